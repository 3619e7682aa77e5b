"""The pytest plug-in: the fixture in a test run of its own, and what the plug-in costs everybody else."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

TEST = """
from otel_agentcost import BudgetExceeded
from otel_agentcost.testing import Answer, exceeded

HELLO = [{"role": "user", "content": "Hello"}]


def test_an_agent(agentcost):
    agentcost.model.answers(Answer("Hi.", input_tokens=1000, output_tokens=5))
    client = agentcost.model.openai()
    client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    assert agentcost.calls[0].input_tokens == 1000
    with exceeded():
        try:
            client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
        except BudgetExceeded:
            return
    raise AssertionError


def test_the_next_one_starts_anew(agentcost):
    assert agentcost.calls == ()
"""

OTHERS = """
import sys


def test_of_another_project():
    loaded = {name.partition(".")[0] for name in sys.modules}
    assert "pytest_agentcost" in loaded
    assert not loaded & {"otel_agentcost", "opentelemetry", "wrapt", "httpx", "httpx2", "openai", "anthropic", "google"}
"""


def run(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(source, encoding="utf-8")
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_agentcost", "-p", "no:cacheprovider", "-W", "error"]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False)


def test_the_fixture_instruments_one_test(tmp_path: Path) -> None:
    """A test gets a model and the calls; the next test starts without them."""
    ended = run(tmp_path, TEST)
    assert "2 passed" in ended.stdout, ended.stdout + ended.stderr


def test_other_projects_import_nothing_by_it(tmp_path: Path) -> None:
    """A run that does not use the fixture loads neither this package nor OpenTelemetry."""
    ended = run(tmp_path, OTHERS)
    assert "1 passed" in ended.stdout, ended.stdout + ended.stderr


def test_pytest_finds_the_plug_in() -> None:
    """The distribution names the plug-in for pytest, as `agentcost`."""
    points = {(point.group, point.name): point.value for point in distribution("otel-agentcost").entry_points}
    assert points["pytest11", "agentcost"] == "pytest_agentcost"
