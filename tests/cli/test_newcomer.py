"""A newcomer's walk: a fresh environment, a small program, and within three minutes its spend and a report."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.budgeted_calls import answering
from tests.support.model_server import ModelServer
from tools.documents import ROOT

MOST = 180.0
"""Seconds of the whole walk."""

PROGRAM = """
import os
import openai
client = openai.OpenAI(base_url=os.environ["SERVER"] + "/v1", api_key="none")
question = [{"role": "user", "content": "How do bees survive the winter?"}]
answer = client.chat.completions.create(model="gpt-4o-mini", messages=question, max_tokens=50)
print(answer.choices[0].message.content)
"""


def test_from_nothing_to_a_report_in_three_minutes(tmp_path: Path, model_server: ModelServer) -> None:
    """The wheel and openai, and nothing of this environment; each command is one of the README or of docs/store.md."""
    answering(model_server)
    dist, new = tmp_path / "dist", tmp_path / "new"
    (tmp_path / "agent.py").write_text(PROGRAM, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"SERVER": model_server.url, "XDG_DATA_HOME": str(tmp_path / "data"), "HOME": str(tmp_path)}
    environment |= {"PATH": f"{new / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def run(*command: str | Path, cwd: Path = tmp_path) -> str:
        ran = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=MOST, check=False
        )
        assert ran.returncode == 0, (command, ran.stdout[-2000:], ran.stderr[-2000:])
        return ran.stdout if command[0] != "agentcost" or command[1] != "run" else ran.stderr

    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", dist, cwd=ROOT)
    (wheel,) = dist.glob("*.whl")
    began = time.monotonic()
    run(sys.executable, "-m", "venv", new)
    try:
        run(new / "bin" / "python", "-m", "tools.packages", "openai", cwd=ROOT)
    except AssertionError as error:
        pytest.skip(f"no packages can be installed here: {str(error)[-300:]}")
    run(new / "bin" / "python", "-m", "tools.packages", wheel, cwd=ROOT)
    shown = run("agentcost", "run", "python", "agent.py")
    assert "by model" in shown
    assert "gpt-4o-mini" in shown
    assert "$0.000045" in run("agentcost", "spend")
    page = run("agentcost", "report", "--format", "html")
    assert page.startswith("<!doctype html>")
    assert "gpt-4o-mini" in page
    assert time.monotonic() - began < MOST
