"""That no budget is enforced is seen, however an application has set up its logging."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SET_UPS = {
    "nothing": "",
    "basicConfig": "import logging; logging.basicConfig()",
    "a file": "import logging, os; logging.basicConfig(filename=os.devnull)",
    "a handler that exports": "import logging; logging.getLogger().addHandler(logging.NullHandler())",
    "dictConfig": "import logging.config; logging.getLogger('otel_agentcost'); "
    "logging.config.dictConfig({'version': 1})",
}


@pytest.mark.parametrize("set_up", SET_UPS)
def test_an_unclear_budget_is_seen_once(set_up: str) -> None:
    """On standard error, by whatever writes there; the application runs on."""
    code = f"{SET_UPS[set_up]}\nimport otel_agentcost\notel_agentcost.instrument()\nprint('runs on')"
    environment = {**os.environ, "OTEL_AGENTCOST_TRACE_BUDGET_USD": "$1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr.count("NO BUDGET IS ENFORCED") == 1
    assert done.stdout == "runs on\n"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"LEDGER": "sqlite://x.db"}, "NO BUDGET IS ENFORCED until"),
        ({"LEDGER": "sqlite://x.db", "LEDGER_DOWN": "refuse"}, "EVERY CALL WITH A BUDGET IS REFUSED"),
        ({"LEDGER": "redis://127.0.0.1:1/0"}, "NO BUDGET IS ENFORCED until"),
        ({"PRICES": "/nowhere/prices.json"}, "uses list prices alone"),
        ({"TRACE_MAX_LLM_CALLS": "none"}, "NO SUCH BUDGET IS ENFORCED."),
        ({"ENABLED": "false"}, "NO BUDGET IS ENFORCED."),
        ({"TRACE_BUDGETS_USD": "1"}, "NO SUCH BUDGET IS ENFORCED"),
    ],
)
def test_whatever_keeps_budgets_from_being_enforced_is_said(settings: dict[str, str], words: str) -> None:
    """One sentence at start-up, also for a ledger that cannot even be opened, which refuses where that is asked for."""
    code = "import otel_agentcost; otel_agentcost.instrument()"
    given = {f"OTEL_AGENTCOST_{name}": value for name, value in {"TRACE_BUDGET_USD": "1", **settings}.items()}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **given}, capture_output=True, text=True, check=True
    )
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            "trace_budget_usd=1",
            "otel-agentcost: trace_budget_usd. Set OTEL_AGENTCOST_TRACE_BUDGET_USD in the environment",
        ),
        ("budgets='total:calls=1'", "NO SUCH BUDGET IS ENFORCED"),
        ("loop_action='block'", "otel-agentcost: loop_action"),
        ("loop_action='warn', user='u1'", ""),
        ("", ""),
    ],
)
def test_settings_that_come_too_late_are_said(given: str, words: str) -> None:
    """Those of code, where `opentelemetry-instrument` has started us already; what is the same as before is fine."""
    code = f"import otel_agentcost as a; a.instrument(); a.instrument(settings=a.Settings({given})); a.instrument()"
    environment = {**os.environ, "OTEL_AGENTCOST_USER": "u1", "OTEL_AGENTCOST_TRACE_MAX_SECONDS": "9"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert words in done.stderr
    assert done.stderr.count("are ignored, because") == bool(words)
    assert ("NO SUCH BUDGET" in done.stderr) == ("loop" not in given and bool(words))
