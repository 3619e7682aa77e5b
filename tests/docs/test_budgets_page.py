"""What docs/budgets.md says, run as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import budgets
from otel_agentcost.errors import Reason
from otel_agentcost.settings import from_environment
from tests.support.budgeted_calls import answering
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import MESSAGE, message
from tools.documents import ROOT

PAGE = (ROOT / "docs" / "budgets.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The page's blocks of that language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def launch(code: str, server: ModelServer, tmp_path: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs `code` under `opentelemetry-instrument`, with these settings of ours."""
    if server.responder is None:
        answering(server)
    script = tmp_path / "agent.py"
    script.write_text(code, encoding="utf-8")
    launcher = shutil.which("opentelemetry-instrument", path=str(Path(sys.executable).parent))
    assert launcher is not None
    nothing = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    ours = {f"OTEL_AGENTCOST_{name}": value for name, value in settings.items()}
    environment = {**os.environ, **nothing, **ours, "OPENAI_BASE_URL": server.url + "/v1", "OPENAI_API_KEY": "none"}
    environment |= {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "none"}
    command = [launcher, sys.executable, str(script)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


LOOP = """
import openai
client = openai.OpenAI()
messages = [{"role": "user", "content": "Hi"}]
for step in range(100):
    client.chat.completions.create(model="gpt-4o-mini", messages=messages, max_tokens=50)
"""


def test_one_setting_stops_an_unchanged_script(model_server: ModelServer, tmp_path: Path) -> None:
    """The first example: a loop without any span stops with the sentence that the page shows."""
    done = launch(LOOP, model_server, tmp_path, TRACE_BUDGET_USD="0.001")
    assert done.returncode == 1
    shown = re.sub(r"\s+", " ", PAGE)
    told = done.stderr.splitlines()[-1]
    for words in (
        "otel_agentcost.BudgetExceeded: The budget trace:usd=0.",
        "has too little left for this call, which was not",
    ):
        assert words in told
        assert words in shown
    remedy = "Raise the limit, or use a shorter prompt, a lower output limit or a cheaper model."
    assert f"{remedy} The allowance is renewed at " in told
    made = len(model_server.requests)
    assert made * 0.000045 <= 0.001 < (made + 2) * 0.000045


CLAUDE = """
import anthropic
client = anthropic.Anthropic()
for step in range(100):
    client.messages.create(model="claude-sonnet-4-5", messages=[{"role": "user", "content": "Hi"}], max_tokens=50)
"""


@pytest.mark.parametrize("sampler", ["always_on", "always_off"])
def test_the_sdks_own_span_is_no_trace_of_its_own(
    model_server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    """anthropic opens a span round each call: a plain script has one allowance all the same, sampled or not."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    model_server.responder = lambda _request: json_reply(message(MESSAGE))
    done = launch(CLAUDE, model_server, tmp_path, TRACE_MAX_LLM_CALLS="3")
    assert "calls outside a span" in done.stderr.splitlines()[-1]
    assert len(model_server.requests) == 3


def test_the_pages_python_runs(model_server: ModelServer, tmp_path: Path) -> None:
    """As it stands: it prints what was spent and what is left."""
    (code,) = blocks("python")
    done = launch(code, model_server, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("spent $0.000045, left $0.499955")


def test_the_pages_settings_file_is_understood(tmp_path: Path) -> None:
    """The YAML says what the rules above it say, in its own time zone."""
    pytest.importorskip("yaml")
    (written,) = blocks("yaml")
    file = tmp_path / "agentcost.yaml"
    file.write_text(written, encoding="utf-8")
    settings = from_environment({"OTEL_AGENTCOST_CONFIG": str(file)})
    rules, rolling = re.findall(r"OTEL_AGENTCOST_BUDGETS='(.*)'", PAGE)
    assert [budgets.rolling_seconds(rule.window) for rule in budgets.parse(rolling)] == [86_400, 7 * 86_400]
    assert settings.rules[1:] == budgets.parse(rules)
    assert settings.rules[0].text == "trace:usd=0.5"
    assert str(settings.time_zone) == "Europe/Berlin"


def test_the_page_names_what_an_exception_has() -> None:
    """Every attribute that the page lists is there."""
    (listed,) = re.findall(r"`BudgetExceeded` has (.*?)\. It is", PAGE)
    error = BudgetExceeded(budget="total:usd=1", scope="total", value="", unit="usd", reason="ledger")
    names = set(re.findall(r"`(\w+)`", listed)) - {"Decimal"}
    reasons = set(get_args(Reason))
    assert {name for name in names if not hasattr(error, name)} <= reasons <= names
    assert len(names) > 8


def test_every_scope_window_and_action_is_on_the_page() -> None:
    """And nothing that does not exist."""
    rows = dict(re.findall(r"^\| `?(\w+)`? \| (.*) \|$", PAGE, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", rows["scope"])) == set(budgets.SCOPES)
    assert set(re.findall(r"`(\w+)`", rows["window"])) - {"OTEL_AGENTCOST_TIME_ZONE", "1h", "31d"} == set(
        budgets.WINDOWS
    )
    assert set(budgets.ACTIONS) <= rows.keys()


def test_a_circuit_breaker_is_written_as_the_page_says(model_server: ModelServer, tmp_path: Path) -> None:
    """The page's own rules are understood, and one like them stops a script that goes on after refusals."""
    (written,) = re.findall(r"OTEL_AGENTCOST_BREAKERS='(.*)'", PAGE)
    assert [breaker.times for breaker in from_environment({}, breakers=written).breakers] == [5, 3]
    code = LOOP.replace("    client.chat", "    try: client.chat").rstrip() + (
        "\n    except openai.OpenAIError: raise\n    except Exception as error: print(error.reason)\n"
    )
    limits = {"TRACE_MAX_LLM_CALLS": "2", "BREAKERS": "agent:trips=5/10m,open=15m", "AGENT": "bees"}
    done = launch(code, model_server, tmp_path, **limits)
    assert done.stdout.split() == ["spent"] * 5 + ["circuit"] * 93, done.stderr
