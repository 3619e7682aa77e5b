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
    ("BUDGETS", "user/weekly:usd=5", "did you mean week?"),
    ("BUDGETS", "user/per week:usd=5", "did you mean week?"),
    ("BUDGETS", "user/last 24 hours:usd=5", "did you mean 24h?"),
    ("BUDGETS", "user/last week:usd=5", "did you mean 7d?"),
    ("BUDGETS", "user/rolling 30 days:usd=5", "did you mean 30d?"),
    ("BUDGETS", "user/2w:usd=5", "did you mean 14d?"),
    ("BUDGETS", "user per week:usd=5", "write user/week:usd=5"),
    ("BUDGETS", "last 24 hours:usd=5", "write total/24h:usd=5"),
    ("BUDGETS", "user:usd=5/24h", "the window stands behind the scope"),
    ("BUDGETS", "user:7d:usd=5", "write user/7d:usd=5"),
    ("BUDGETS", "user=bob/90d:usd=1", "or put the name in double quotes if it is a part of it"),
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
    ("BREAKERS", "agent:trip=5/10m,open=15m", "did you mean trips?"),
    ("BUDGETS", "user:day:usd=1", "write user/day:usd=1"),
    ("BUDGETS", "user=bob/Day:usd=1", "did you mean day?"),
    ("BUDGETS", "user=bob/weekly:usd=1", "is not a window: write one of hour, day, week, month"),
    ("BUDGETS", "user/day=1", "write user/day:usd=1"),
    ("BUDGETS", "user=bob/day=$1", "write user=bob/day:usd=1"),
    ("BUDGETS", "daily=5", "write total/day:usd=5"),
    ("BUDGETS", "5", "write total:usd=5"),
    ("BUDGETS", "off", "for no budget, remove it"),
    ("BUDGETS", "user/day:usd=1|agent:usd=2", "rules are joined by ';'"),
    ("BUDGETS", "user/day:usd=1\nagent:usd=2", "rules are joined by ';'"),
    ("BUDGETS", "user/day:usd=1 agent:usd=2", "rules are joined by ';'"),
    ("BUDGETS", "user/day:usd=1:on_exceed=warn", "the limits of a rule by ','"),
    ("BUDGETS", "user/day:usd=1 on_exceed=warn", "the limits of a rule are joined by ','"),
    ("BUDGETS", "[user/day:usd=1]", "rules have no brackets"),
    ("BUDGETS", "user/day:max_usd=1", "did you mean usd?"),
    ("BUDGETS", "agent_name=x:usd=1", "did you mean agent?"),
    ("BUDGETS", "user/day:usd=50 cents", "write 0.5, in US dollars"),
    ("TRACE_BUDGET_USD", "5usd", "write 5, without a currency sign"),
    ("TRACE_BUDGET_USD", "50c", "write 0.5, in US dollars"),
    ("TRACE_BUDGET_USD", "5;", "write 5."),
    ("TRACE_BUDGET_USD", "5/day", "total/day:usd=5"),
    ("TRACE_BUDGET_USD", "5 000", "write 5000, without separators"),
    ("TRACE_BUDGET_USD", "1.000,50", "write 1000.50, with a decimal point"),
    ("TRACE_BUDGET_TOKENS", "1M", "write 1000000."),
    ("TRACE_BUDGET_TOKENS", "100 tokens", "write 100, without a unit"),
    ("TRACE_MAX_LLM_CALLS", "50 calls", "write 50, without a unit"),
    ("TRACE_MAX_SECONDS", "1m30s", "write 90, in seconds"),
    ("TRACE_MAX_SECONDS", "00:10:00", "write 600, in seconds"),
    ("TRACE_MAX_SECONDS", "PT10M", "write 600, in seconds"),
    ("LOOP_MAX_REPEATS", "off", "write 0"),
    ("LOOP_MAX_REPEATS", "1e400", "a whole number from 2 to 1000"),
    ("LOOP_RULES", "all", "for all of them, remove it"),
    ("LOOP_RULES", "off", "set LOOP_MAX_REPEATS to 0"),
    ("LOOP_RULES", "!stall", "write the others: repeat,cycle,near_repeat,error_storm,no_progress"),
    ("LOOP_RULES", "repeat;cycle", "write repeat,cycle"),
    ("LOOP_THRESHOLDS", "stal=12", "did you mean stall?"),
    ("LOOP_THRESHOLDS", "results=95", "write 0.95"),
    ("LOOP_THRESHOLDS", "repeats=5", "write LOOP_MAX_REPEATS"),
    ("LOOP_THRESHOLDS", "stall=1e400", "a whole number from 1 to 1000"),
    ("DOWNGRADE", "gpt-4o=gpt-4o-mini;o1=o1-mini", "pairs are joined by ','"),
    ("DOWNGRADE", "gpt-4o=gpt-4o-mini o1=o1-mini", "pairs are joined by ','"),
    ("DOWNGRADE", "gpt-4o==gpt-4o-mini", "pairs are joined by ','"),
    ("DOWNGRADE", "gpt-4o>gpt-4o-mini", "write gpt-4o=gpt-4o-mini"),
    ("TOOL_PRICES", "web_search=0.005;read=0.1", "pairs are joined by ','"),
    ("TOOL_PRICES", '{"web_search": 0.005}', "write web_search=0.005"),
    ("TOOL_PRICES", "web_search=5c", "write 0.05, in US dollars"),
    ("TOOL_PRICES", "web_search=5/1k", "write 0.005"),
    ("TOOL_PRICES", "web_search=1e400", "which is not an amount of US dollars"),
    ("TIME_ZONE", "UTC+2", "write Etc/GMT-2"),
    ("TIME_ZONE", "GMT-5", "write Etc/GMT+5"),
    ("TIME_ZONE", "PST", "did you mean America/Los_Angeles?"),
    ("LEDGER", "redis:/cache", "write redis://cache"),
    ("LEDGER", "sqlite:ledger.db", "write sqlite:///ledger.db"),
    ("LEDGER", "sqlite", "did you mean sqlite:///path?"),
    ("LEDGER", "tcp://cache:6379", "write redis://cache:6379"),
    ("LEDGER", ":memory:", "did you mean memory://?"),
    ("REDIS_URL", "redis://cache", "Did you mean OTEL_AGENTCOST_LEDGER?"),
    ("MODEL_PRICES", "prices.yaml", "Did you mean OTEL_AGENTCOST_PRICES?"),
    ("MAX_USD", "5", "Did you mean OTEL_AGENTCOST_TRACE_BUDGET_USD? NO SUCH BUDGET IS ENFORCED."),
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


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("TRACE_BUDGET_USD=50 cents", "write 50,"),
        ("TRACE_BUDGET_TOKENS=1M", "in seconds"),
        ("SOFT_LIMIT=1.2", "write 0.012"),
        ("LOOP_RULES=all", "stall?"),
        ("LOOP_RULES=-stall", "did you mean stall?"),
        ("TIME_ZONE=GMT+2", "Etc/GMT+2"),
        ("LEDGER=redis:user:secret@host", "secret"),
    ],
)
def test_no_hint_leads_to_another_meaning(value: str, wrong: str) -> None:
    """A wrong hint is worse than none: fifty dollars for fifty cents, the opposite side of the earth."""
    name, _, written = value.partition("=")
    assert wrong not in problem({f"OTEL_AGENTCOST_{name}": written}).replace(repr(written), "")


def test_a_name_that_looks_like_a_window_can_be_quoted() -> None:
    """It is a mistake most of the time; in quotes it is a name."""
    (budget,) = load({"OTEL_AGENTCOST_BUDGETS": 'user="bob/Weekly"/day:usd=1'}).budgets
    assert (budget.name, budget.window) == ("bob/Weekly", "day")
    assert budget.text == 'user="bob/Weekly"/day:usd=1'


def test_a_comma_at_the_end_of_a_list_is_no_mistake() -> None:
    """As in the other lists."""
    settings = load({"OTEL_AGENTCOST_LOOP_RULES": "repeat,cycle,", "OTEL_AGENTCOST_DOWNGRADE": "gpt-4o=gpt-4o-mini,"})
    assert settings.loop_rules == ("repeat", "cycle")


def test_a_limit_with_nearly_our_name_is_loud() -> None:
    """Whoever wrote it believes in a budget."""
    for name in ("OTEL_AGENT_COST_TRACE_BUDGET_USD", "AGENTCOST_BUDGETS"):
        (said,) = load({name: "1"}).notices
        assert said.endswith("NO SUCH BUDGET IS ENFORCED.")


@pytest.mark.parametrize("name", ["AGENT_COST_CENTER", "COST_USER", "AGENTCOST_RUN_WINDOW", "OTEL_SERVICE_NAME"])
def test_a_variable_of_others_is_not_mentioned(name: str) -> None:
    """Their names may have such words in them; and the Collector's variables are ours."""
    assert load({name: "x"}).notices == ()
