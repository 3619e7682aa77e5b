"""`docs/extending.md`: its plug-ins work from a distribution outside this package, and its tests pass."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.support.plugin_distribution import PluginDistribution

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
MODULES = {found[1]: block for block in PYTHON if (found := re.match(r"# (\w+)\.py\n", block))}
(TESTS,) = (block for block in PYTHON if "def test_" in block)

ACME = """
class Client:
    base_url = "https://api.acme.example"
    sent = []

    def send(self, path, body):
        self.sent.append(body)
        answer = {"role": "assistant", "content": "Forty-two."}
        usage = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}
        choice = {"index": 0, "finish_reason": "stop", "message": answer}
        return {"result": {"id": "1", "model": body["model"], "choices": [choice], "usage": usage}}


class Tool:
    name = "search"

    def run(self, **arguments):
        return "Nothing found."


class Agent:
    name = "researcher"

    def run(self, task, thread):
        return task()
"""

PRICES = {
    "providers": {
        "acme": {
            "base_url": "https://api.acme.example",
            "models": {
                "acme-1": {"input_mtok": 1, "output_mtok": 2},
                "acme-mini": {"input_mtok": 0.1, "output_mtok": 0.2},
            },
        }
    }
}

SCRIPT = """
import json
from otel_agentcost import BudgetExceeded, Settings, run
from otel_agentcost.testing import recording

HELLO = {"model": "acme-1", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
refused = None
with recording(settings=Settings(ledger="acme://here", prices="prices.json", **SETTINGS)) as made:
    import acme

    client = acme.Client()
    with run("work"):
        acme.Agent().run(lambda: acme.Tool().run(query="bees"), thread="t-1")
        client.send("/v1/models", {"model": "none"})
        for _ in range(3):
            try:
                answer = client.send("/v1/chat", HELLO)
            except BudgetExceeded as error:
                refused = str(error)
assert answer["result"]["id"] == "1"
print(json.dumps({
    "calls": [[call.provider, call.model, call.input_tokens, call.output_tokens, str(call.usd)]
              for call in made.calls if not call.refused],
    "tools": [[tool.name, tool.agent] for tool in made.tools],
    "refused": refused,
    "sent": [body["model"] for body in client.sent],
}))
"""


def groups() -> dict[str, dict[str, str]]:
    """The entry points that the page declares."""
    (block,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    parser = ConfigParser()
    parser.read_string(block)
    return {
        name.removeprefix('project.entry-points."').removesuffix('"'): {
            key: value.strip('"') for key, value in parser[name].items()
        }
        for name in parser.sections()
    }


def run_acme(folder: Path, settings: str) -> dict[str, object]:
    (folder / "prices.json").write_text(json.dumps(PRICES), encoding="utf-8")
    acme = PluginDistribution(folder, "agentcost-acme", {**MODULES, "acme": ACME}, groups())
    done = acme.run(f"SETTINGS = {settings}\n{SCRIPT}")
    expected = re.compile("is used up: |was sent to 'acme-mini', because")
    assert all(expected.search(line) for line in done.stderr.splitlines()), done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_the_plug_ins_work_together(tmp_path: Path) -> None:
    """The SDK's calls are read by the format, priced, and refused by the ledger; the framework's tool is seen,
    under its agent."""
    seen = run_acme(tmp_path, "dict(trace_max_llm_calls=2)")
    assert seen["calls"] == [["acme", "acme-1", 1000, 50, "0.0011"]] * 2
    assert seen["tools"] == [["search", "researcher"]]
    assert "has too little left for this call" in str(seen["refused"])
    assert seen["sent"] == ["none", "acme-1", "acme-1"]


def test_a_plug_in_sdk_can_be_downgraded(tmp_path: Path) -> None:
    """A budget rewrites the request of an SDK that comes from outside."""
    seen = run_acme(
        tmp_path, "dict(trace_budget_usd='0.0001', on_exceed='downgrade', downgrade={'acme-1': 'acme-mini'})"
    )
    assert seen["sent"] == ["none", "acme-mini"]
    assert seen["calls"] == [["acme", "acme-mini", 1000, 50, "0.00011"]]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_each_example_is_short(module: str) -> None:
    """A plug-in of each kind takes less than 40 lines."""
    assert len(MODULES[module].splitlines()) < 40


def test_the_page_has_an_example_of_each_door() -> None:
    """Every module that the page's entry points name is on the page."""
    found = groups()
    assert sorted(found) == [f"otel_agentcost.{kind}" for kind in ("agents", "formats", "ledgers", "sdks", "tools")]
    assert {module for points in found.values() for module in points.values()} == set(MODULES)


def test_the_tests_on_the_page_pass(tmp_path: Path) -> None:
    """The example of `otel_agentcost.testing` passes as it stands, in a pytest run of its own."""
    (tmp_path / "test_agent.py").write_text(TESTS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert "3 passed" in ended.stdout, ended.stdout + ended.stderr
