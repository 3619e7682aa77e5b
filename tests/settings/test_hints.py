"""What is said of the mistakes that people make: each message has the word, the number or the name that was meant."""

from __future__ import annotations

import pytest

from tests.settings.test_settings import load, problem

MISTAKES = [
    ("BUDGETS", "user:bob/day:usd=1", "write user=bob/day:usd=1"),
    ("BUDGETS", "agent:researcher:usd=1", "write agent=researcher:usd=1"),
    ("BUDGETS", "user/day:usd=0,5", "write 0.5, with a decimal point"),
    ("BUDGETS", "user/day:usd=0,5,tokens=100", "write 0.5, with a decimal point"),
    ("BUDGETS", "total:usd=1,000", "write 1000, without separators"),
    ("BUDGETS", "users/day:usd=1", "did you mean user?"),
    ("BUDGETS", "User/day:usd=1", "did you mean user?"),
    ("BUDGETS", "all/day:usd=1", "did you mean total?"),
    ("BUDGETS", "customer/day:usd=1", "did you mean tenant?"),
    ("BUDGETS", "session:usd=1", "did you mean conversation?"),
    ("BUDGETS", "bob/day:usd=1", "write user=bob/day:usd=1"),
    ("BUDGETS", "usd=1", "write total:usd=1 for all calls together, or user/day:usd=1"),
    ("BUDGETS", "daily:usd=5", "write total/day:usd=5"),
    ("BUDGETS", "user.day:usd=5", "write user/day:usd=5"),
    ("BUDGETS", "user per day:usd=5", "write user/day:usd=5"),
    ("BUDGETS", "user/daily:usd=5", "did you mean day?"),
    ("BUDGETS", "user=bob:usd=1/day", "the window stands behind the scope, as in user/day:usd=1"),
    ("BUDGETS", "user/day:dollars=5", "did you mean usd?"),
    ("BUDGETS", "user/day:requests=5", "did you mean calls?"),
    ("BUDGETS", "user/day:usd=5,on_exceed=deny", "did you mean block?"),
    ("BUDGETS", "user/day:usd=5,agent/day:usd=1", "rules are joined by ';'"),
    ("BUDGETS", "run:usd=1", "otel_agentcost.run(..., usd=1)"),
    ("BUDGETS", "user/day:usd=10 EUR", "write 10, without a currency sign"),
    ("BUDGETS", "'user/day:usd=1'", "remove the quotes around it"),
    ("TRACE_BUDGET_USD", "0,5", "write 0.5, with a decimal point"),
    ("TRACE_BUDGET_USD", "$0.50", "write 0.50, without a currency sign"),
    ("TRACE_BUDGET_USD", "unlimited", "for no limit, remove it"),
    ("TRACE_BUDGET_USD", "0", "for no limit, remove it"),
    ("TRACE_BUDGET_TOKENS", "200k", "write 200000"),
    ("TRACE_MAX_SECONDS", "10m", "write 600, in seconds"),
    ("SOFT_LIMIT", "80%", "write 0.8"),
    ("SOFT_LIMIT", "80", "write 0.8"),
    ("WAIT_SECONDS", "500ms", "write 0.5, in seconds"),
    ("ON_EXCEED", "reject", "did you mean block?"),
    ("UNPRICED", "deny", "did you mean refuse?"),
    ("LEDGER_DOWN", "block", "did you mean refuse?"),
    ("LOOP_RULES", "repeat,cicle", "did you mean cycle?"),
    ("DOWNGRADE", "gpt-4o->gpt-4o-mini", "write gpt-4o=gpt-4o-mini"),
    ("TOOL_PRICES", "web_search=0,005", "write 0.005, with a decimal point"),
    ("TOOL_PRICES", "web_search=$0.005", "write 0.005, without a currency sign"),
    ("TIME_ZONE", "berlin", "did you mean Europe/Berlin?"),
    ("LEDGER", "/srv/ledger.db", "for a file write sqlite:////srv/ledger.db"),
    ("LEDGER", "cache:6379", "for a server write redis://cache:6379"),
    ("LEDGER", "sqllite:///x", "did you mean sqlite://?"),
    ("ENABLED", "enabled", "write true"),
    ("BREAKERS", "agents:trips=5/10m,open=15m", "did you mean agent?"),
    ("BREAKERS", "agent:trips=5/10min,open=15m", "did you mean 10m?"),
]


@pytest.mark.parametrize(("name", "value", "hint"), MISTAKES)
def test_a_message_does_not_leave_out_what_was_meant(name: str, value: str, hint: str) -> None:
    """The value is quoted, and what to write stands behind it."""
    said = problem({f"OTEL_AGENTCOST_{name}": value})
    assert hint in said
    assert "?." not in said


@pytest.mark.parametrize(
    "name",
    [
        "OTEL_AGENT_COST_USER",
        "OTEL_AGENTCOSTS_USER",
        "OTEL_AGENTS_COST_USER",
        "AGENTCOST_USER",
        "AGENT_COST_USER",
        "otel_agentcost_user",
        "OTEL_AGENTCOST__USER",
        "OTEL_AGNETCOST_USER",
        "OPENTELEMETRY_AGENTCOST_USER",
        "OTEL_PYTHON_AGENTCOST_USER",
        "OTELAGENTCOST_USER",
        "OTEL_AGENTCOST_USERS",
    ],
)
def test_a_variable_with_nearly_our_name_is_not_passed_over(name: str) -> None:
    """It has no effect, and what it was meant to be is said."""
    settings = load({name: "bob"})
    (said,) = settings.notices
    assert settings.user is None
    assert said.startswith(f"{name} is 'bob', but ")
    assert said.endswith("Did you mean OTEL_AGENTCOST_USER?")


def test_a_limit_with_nearly_our_name_is_loud() -> None:
    """Whoever wrote it believes in a budget."""
    for name in ("OTEL_AGENT_COST_TRACE_BUDGET_USD", "AGENTCOST_BUDGETS"):
        (said,) = load({name: "1"}).notices
        assert said.endswith("NO SUCH BUDGET IS ENFORCED.")


@pytest.mark.parametrize("name", ["AGENT_COST_CENTER", "COST_USER", "AGENTCOST_RUN_WINDOW", "OTEL_SERVICE_NAME"])
def test_a_variable_of_others_is_not_mentioned(name: str) -> None:
    """Their names may have such words in them; and the Collector's variables are ours."""
    assert load({name: "x"}).notices == ()
