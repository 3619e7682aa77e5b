"""Settings of budgets: every way to write them, and how loudly it is said that one which was meant is not enforced."""

from __future__ import annotations

import json
from datetime import timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agentcost.core import breakers
from otel_agentcost.core.budgets import Budget, parse
from otel_agentcost.errors import SettingsError
from otel_agentcost.settings import ROWS, Settings
from otel_agentcost.settings.parsers import quoted
from tests.settings.test_settings import load, problem, written

ENVIRONMENT = {
    "TRACE_BUDGET_USD": "0.50",
    "TRACE_BUDGET_TOKENS": "1e6",
    "TRACE_MAX_LLM_CALLS": "20",
    "TRACE_MAX_TOOL_CALLS": "30",
    "TRACE_MAX_SECONDS": "600",
    "BUDGETS": "user/day:usd=1; total/month:usd=1000,on_exceed=warn",
    "ON_EXCEED": "Downgrade",
    "DOWNGRADE": "gpt-4o=gpt-4o-mini, claude-opus-4-1=claude-haiku-4-5,",
    "SOFT_LIMIT": "0.9",
    "WAIT_SECONDS": "0",
    "UNPRICED": "refuse",
    "UNLIMITED_OUTPUT": "assume",
    "RESERVE_BATCHES": "true",
    "LONGEST_ANSWER": "64000",
    "TIME_ZONE": "Europe/Berlin",
    "BREAKERS": "agent:trips=5/10m,open=15m",
    "LEDGER": "redis://:s3cret@cache/0",
    "LEDGER_DOWN": "refuse",
    "LEDGER_TIMEOUT": "0.1",
}

FILE = """
trace_budget_usd: 0.50
trace_budget_tokens: 1_000_000
trace_max_llm_calls: 20
trace_max_tool_calls: 30
trace_max_seconds: 10:00
budgets:
- user/day:usd=1
- {scope: total, window: month, usd: 1000, on_exceed: warn}
on_exceed: downgrade
downgrade:
  gpt-4o: gpt-4o-mini
  claude-opus-4-1: claude-haiku-4-5
soft_limit: 0.9
wait_seconds: 0
unpriced: refuse
unlimited_output: assume
reserve_batches: true
longest_answer: 64000
time_zone: Europe/Berlin
breakers:
- agent:trips=5/10m,open=15m
ledger: redis://:s3cret@cache/0
ledger_down: refuse
ledger_timeout: .1
"""


def variables(**settings: str) -> dict[str, str]:
    return {f"OTEL_AGENTCOST_{name}": value for name, value in settings.items()}


def understood(settings: Settings) -> dict[str, object]:
    return {row.field: getattr(settings, row.field) for row in ROWS if row.budget}


def test_every_setting_of_budgets_is_read_from_its_variable() -> None:
    """Each lands in its field, exact, and without a word of complaint."""
    settings = load(variables(**ENVIRONMENT))
    assert understood(settings) == {
        "trace_budget_usd": Decimal("0.50"),
        "trace_budget_tokens": 10**6,
        "trace_max_llm_calls": 20,
        "trace_max_tool_calls": 30,
        "trace_max_seconds": 600,
        "budgets": parse("user/day:usd=1;total/month:usd=1000,on_exceed=warn"),
        "on_exceed": "downgrade",
        "downgrade": {"gpt-4o": "gpt-4o-mini", "claude-opus-4-1": "claude-haiku-4-5"},
        "soft_limit": 0.9,
        "wait_seconds": 0.0,
        "unpriced": "refuse",
        "unlimited_output": "assume",
        "reserve_batches": True,
        "longest_answer": 64000,
        "time_zone": ZoneInfo("Europe/Berlin"),
        "breakers": breakers.parse("agent:trips=5/10m,open=15m"),
        "ledger": "redis://:s3cret@cache/0",
        "ledger_down": "refuse",
        "ledger_timeout": 0.1,
    }
    assert settings.notices == ()
    assert settings == Settings(**understood(settings))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_file_says_the_same_in_yaml_and_in_json(tmp_path: Path) -> None:
    """Lists, mappings, bare numbers and durations in a file mean what the texts of the environment mean."""
    import yaml

    expected = understood(load(variables(**ENVIRONMENT)))
    assert understood(load(written(tmp_path, "a.yaml", FILE))) == expected
    assert understood(load(written(tmp_path, "a.json", json.dumps(yaml.safe_load(FILE))))) == expected


def test_the_rules_in_force_are_the_trace_and_then_the_others() -> None:
    """The limits of traces are one budget, in whole units; it comes first, and only if there is a limit."""
    trace = Budget(
        scope="trace",
        limits={"nano_usd": 500_000_000, "tokens": 10**6, "calls": 20, "tool_calls": 30, "seconds": 600},
    )
    others = parse(ENVIRONMENT["BUDGETS"])
    assert load(variables(**ENVIRONMENT)).rules == (trace, *others)
    assert load(budgets=others).rules == others
    assert load(trace_max_llm_calls=3).rules == (Budget(scope="trace", limits={"calls": 3}),)
    assert Settings().rules == Settings(budgets=()).rules == ()


@pytest.mark.parametrize(
    "content",
    [
        "budgets: user/day:usd=1;agent=a/day:usd=2,on_exceed=warn",
        "budgets: [user/day:usd=1, {scope: agent, name: a, window: day, usd: 2, on_exceed: warn}]",
        "budgets:\n- user/day: usd=1\n- agent=a/day: usd=2,on_exceed=warn",
        "budgets:\n- user/day: usd=1\n  agent=a/day: {usd: 2.0, on_exceed: warn}",
        "budgets:\n  user/day: usd=1\n  agent=a/day: usd=2,on_exceed=warn",
        'budgets:\n  user/day: {usd: "1"}\n  \'agent="a"/day\': {usd: 2, on_exceed: warn}',
    ],
)
def test_rules_in_yaml_are_read_as_they_are_meant(tmp_path: Path, content: str) -> None:
    """A blank behind a colon makes a mapping of a text: it is the same rule."""
    expected = parse("user/day:usd=1;agent=a/day:usd=2,on_exceed=warn")
    assert load(written(tmp_path, "a.yaml", content)).budgets == expected


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("budgets: 5", "budgets in {file} is 5, where 5 is not a list of rules"),
        ("budgets: [user/day:usd=1, tokens=5]", "where 'tokens=5' has no scope"),
        ("budgets: {user/day: 1}", "where '1' in 'user/day:1' is not a limit"),
        ("budgets: {window: day, usd: 1}", "'None' in"),
        ("budgets: [{scope: agent, name: on, usd: 1}]", "is not text: put the name in quotes"),
        ("budgets: [{scope: agent, name: 4.10, usd: 1}]", "4.1 in {{'scope': 'agent'"),
        ("budgets: [{scope: agent, name: 2026-11-22, usd: 1}]", "is not text: put the name in quotes"),
        ("trace_budget_usd: on", "trace_budget_usd in {file} is True, which is not a limit"),
        ("trace_budget_usd: .inf", "which is not a limit: write a number above zero"),
        ("trace_budget_usd: 2026-11-22", "trace_budget_usd in {file} is 2026-11-22, which is not a limit"),
        ("trace_max_llm_calls: 2.5", "which cannot be counted: write a whole number"),
        ("ledger_down: no", "ledger_down in {file} is False, which is none of allow and refuse"),
        ("downgrade: {a: 4}", "where 4 for 'a' is not a model name"),
        ("time_zone: 2", "which is not a known time zone"),
        ("soft_limit: yes", "which is not a share"),
    ],
)
def test_what_yaml_makes_of_a_value_is_refused_where_it_is_not_what_was_meant(
    tmp_path: Path, content: str, why: str
) -> None:
    """A switch, a date or a number where a text is needed is said, and no budget of another name is kept."""
    environ = written(tmp_path, "a.yaml", content)
    said = problem(environ)
    assert why.format(file=environ["OTEL_AGENTCOST_CONFIG"]) in said
    assert [rule.text for rule in load(environ).rules] in ([], ["user/day:usd=1"])
    if content.startswith(("budgets", "trace")):
        assert said.endswith((" NO BUDGET IS ENFORCED.", " NO SUCH BUDGET IS ENFORCED."))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("TRACE_BUDGET_USD", "-1", "which is not a limit: write a number above zero"),
        ("TRACE_BUDGET_USD", "0", "which is not a limit: write a number above zero"),
        ("TRACE_BUDGET_USD", "$1", "which is not a number: write 1, without a currency sign"),
        ("TRACE_BUDGET_USD", "1,50", "which is not a limit: write a number above zero"),
        ("TRACE_BUDGET_USD", "1e-10", "which cannot be counted: write a billionth of a dollar or more"),
        ("TRACE_BUDGET_USD", "1e20", "which is too large: the largest limit is 1000000000"),
        ("TRACE_BUDGET_TOKENS", "1.5", "which cannot be counted: write a whole number"),
        ("TRACE_MAX_SECONDS", "5m", "which is not a limit: write a number above zero"),
        ("BUDGETS", "user/day:usd=$1", "where '$1' in 'user/day:usd=$1' is not a number"),
        ("BUDGETS", ";", "which contains no rule: write scope[=name][/window]:limit=value, such as user/day:usd=1"),
        ("ON_EXCEED", "explode", "which is none of block, warn, downgrade and clamp"),
        ("DOWNGRADE", "gpt-4o", "where 'gpt-4o' does not have the form model=model"),
        ("DOWNGRADE", "a=", "where '' for 'a' is not a model name"),
        ("DOWNGRADE", "a=b,a=c", "which has two models for a"),
        ("DOWNGRADE", "a=a", "where a would replace itself"),
        ("SOFT_LIMIT", "80%", "which is not a share of a budget: write a number above 0 and at most 1, such as 0.8"),
        ("SOFT_LIMIT", "80", "which is not a share of a budget"),
        ("SOFT_LIMIT", "0", "which is not a share of a budget"),
        ("WAIT_SECONDS", "-1", "which is not a waiting time: write seconds from 0 to 3600, such as 10"),
        ("WAIT_SECONDS", "inf", "which is not a waiting time"),
        ("LEDGER_TIMEOUT", "50", "which is not a timeout: write seconds from 0.001 to 30"),
        ("LEDGER_TIMEOUT", "0", "which is not a timeout"),
        ("LEDGER", "postgres://db/x", "which is not a ledger: write memory://, sqlite:///path/to/file or redis://"),
        ("LEDGER", "memory", "which is not a ledger"),
        ("LEDGER_DOWN", "maybe", "which is none of allow and refuse"),
        ("TIME_ZONE", "Europe/Berlln", "which is not a known time zone"),
        ("TIME_ZONE", "Europe", "which is not a known time zone: write a name such as Europe/Berlin"),
        ("TIME_ZONE", "../../etc/passwd", "which is not a known time zone"),
        ("UNPRICED", "ask", "which is none of allow and refuse"),
        ("UNLIMITED_OUTPUT", "none", "which is none of rest and assume"),
        ("LONGEST_ANSWER", "0", "which is not a limit"),
    ],
)
def test_what_cannot_be_understood_is_quoted_and_loud(name: str, value: str, why: str) -> None:
    """One sentence with the name, the value and the remedy, and for a limit another in capitals that there is none."""
    said = problem({f"OTEL_AGENTCOST_{name}": value})
    assert said.startswith(f"OTEL_AGENTCOST_{name} is '{value}', {why}")
    assert said.endswith(" NO BUDGET IS ENFORCED.") == (name == "BUDGETS" or name.startswith("TRACE_"))
    assert said.count("\n") == 0


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://app:s3cret@host", "'http://***@host'"),
        ("http://app:s3@cret/s3cret@host", "'http://***@host'"),
        ("app:s3cret@host:6379", "'***@host:6379'"),
        ("redis:app:s3cret@host", "'***@host'"),
        ("http://h/0?password=s3cret", "'http://h/0?password=***'"),
        ("http://" + "s3cret" * 50 + "@host", "'http://***@host'"),
    ],
)
def test_a_password_is_never_repeated(url: str, shown: str) -> None:
    """What is quoted may land in a log that others read: a password is hidden in whatever form it was written."""
    said = problem(variables(LEDGER=url))
    assert said.startswith(f"OTEL_AGENTCOST_LEDGER is {shown}, which is not a ledger")
    assert "s3cret" not in said
    assert "s3cret" not in quoted({"cache": ["redis://:s3cret@cache/0"], "url": f"redis://{url}"})


@given(st.dictionaries(st.sampled_from([row.variable for row in ROWS if row.budget]), st.text(max_size=40)))
def test_any_budget_is_enforced_or_said_loudly_not_to_be(environ: dict[str, str]) -> None:
    """No value whatever of these settings leaves a user believing in a budget that is not there."""
    settings = load(environ)
    for row in ROWS:
        if (row.field == "budgets" or row.field.startswith("trace_")) and environ.get(row.variable, "").strip():
            said = [notice for notice in settings.notices if notice.startswith(f"{row.variable} is ")]
            assert getattr(settings, row.field) or "BUDGET IS ENFORCED" in said[0]


# --- A budget was meant -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [row.field for row in ROWS if row.field not in ("config", "strict", "capture_content")]
)
def test_one_unclear_setting_turns_off_no_other(wrong: str) -> None:
    """Every other setting is in effect, the other budgets too, and the message is about that one."""
    environ = variables(**ENVIRONMENT, TOOL_PRICES="search=0.01", LOOP_ACTION="block", AGENT="bees")
    texts = ("user", "tenant", "team", "feature", "agent", "conversation", "prices", "cache_version")
    value = ["no", "text"] if wrong in texts else "?"
    good, settings = load(environ), load(environ, **{wrong: value})
    differing = {row.field for row in ROWS if getattr(good, row.field) != getattr(settings, row.field)}
    assert differing <= {wrong}
    (said,) = (notice for notice in settings.notices if "the argument" in notice and " is " in notice)
    assert said.startswith(f"the argument {wrong} is ")
    assert ("NO SUCH BUDGET IS ENFORCED." in said) == (wrong == "budgets" or wrong.startswith("trace_"))


def test_one_unclear_item_turns_off_no_other() -> None:
    """One rule, breaker, price, model or threshold of several: the others are in effect."""
    settings = load(
        variables(
            BUDGETS="user/day:usd=1; users/day:usd=2; total:calls=5; team:usd=0,5",
            BREAKERS="agents:trips=1/1m,open=1m; agent:trips=1/1m,open=1m",
            TOOL_PRICES="search=0.01,read=cheap,look=0,05",
            DOWNGRADE="gpt-4o->gpt-4o-mini,o1=o1-mini",
            LOOP_RULES="repeat,cicle",
            LOOP_THRESHOLDS="stall=12,results=95",
        )
    )
    assert [rule.text for rule in settings.budgets] == ["user/day:usd=1", "total:calls=5"]
    assert [breaker.scope for breaker in settings.breakers] == ["agent"]
    assert (dict(settings.downgrade), list(settings.tool_prices)) == ({"o1": "o1-mini"}, ["search"])
    assert (settings.loop_rules, dict(settings.loop_thresholds)) == (("repeat",), {"stall": 12})
    (said,) = (notice for notice in settings.notices if notice.startswith("OTEL_AGENTCOST_BUDGETS"))
    assert "'users' in 'users/day:usd=2'" in said
    assert "'0,5' in 'team:usd=0,5'" in said
    assert "The rest of it is in effect. NO SUCH BUDGET IS ENFORCED." in said
    assert any("NO SUCH CIRCUIT BREAKER OPENS." in notice for notice in settings.notices)


@pytest.mark.parametrize("strict", ["true", "ture"])
def test_strict_admits_no_unclear_setting(strict: str) -> None:
    """A value, a name, and `strict` itself, which a misspelling does not turn off."""
    for wrong in ({"BUDGETS": "users:usd=1"}, {"BUDGETZ": "user:usd=1"}, {"CONFIG": "/nowhere/a.yaml"}):
        with pytest.raises(SettingsError, match="The program does not start, because strict is set"):
            load(variables(STRICT=strict, **wrong))
    assert load(variables(STRICT="true", BUDGETS="user:usd=1")).strict


def test_a_file_that_cannot_be_read_may_have_held_a_budget() -> None:
    """Nobody can know what it says, so it is said that nothing of it is enforced."""
    said = problem(variables(CONFIG="/nowhere/settings.yaml"))
    assert said.count("/nowhere/settings.yaml") == 1
    assert said.endswith(" If it sets a budget, NO SUCH BUDGET IS ENFORCED.")


def test_a_budget_made_in_code_that_cannot_be_understood_is_loud() -> None:
    """The error of the constructor says it too, and only where a budget was meant."""
    wrong: dict[str, Any] = {"trace_budget_usd": "5", "prices": 3}
    with pytest.raises(SettingsError, match=r"prices of Settings is 3, which is not a path.*NO BUDGET IS ENFORCED\.$"):
        Settings(**wrong)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("TRACE_BUDGET", "TRACE_BUDGET_USD"),
        ("TRACE_BUGET_USD", "TRACE_BUDGET_USD"),
        ("MAX_LLM_CALLS", "TRACE_MAX_LLM_CALLS"),
        ("BUDGET", "BUDGETS"),
    ],
)
def test_a_misspelt_budget_is_loudly_not_enforced(name: str, nearest: str) -> None:
    """A budget with a typing mistake was still meant as one."""
    (notice,) = load({f"OTEL_AGENTCOST_{name}": "5"}).notices
    assert notice.startswith(f"OTEL_AGENTCOST_{name} is '5', but otel-agentcost ")
    assert notice.endswith(f" Did you mean OTEL_AGENTCOST_{nearest}? NO SUCH BUDGET IS ENFORCED.")


@pytest.mark.parametrize("name", ["MONTHLY_SPENDING", "COST_LIMIT", "USD", "MAXIMUM", "LIMIT_OF_ALL_CALLS"])
def test_an_unknown_name_that_speaks_of_a_limit_is_loud(name: str) -> None:
    """Where somebody wanted to limit something, under whatever name, it is said that this is not done."""
    (notice,) = load({f"OTEL_AGENTCOST_{name}": "5"}).notices
    assert notice.endswith(" NO SUCH BUDGET IS ENFORCED.")


@pytest.mark.parametrize("name", ["SOFT_LIMT", "LEDGER_URL", "ONEXCEED", "TIMEZONE"])
def test_what_only_belongs_to_budgets_is_not_called_a_budget(name: str) -> None:
    """A misspelt companion of budgets is ignored, and the budgets are enforced without it."""
    (notice,) = load({f"OTEL_AGENTCOST_{name}": "5"}, trace_max_llm_calls=5).notices
    assert "Did you mean" in notice
    assert "ENFORCED" not in notice


def test_loops_are_no_budgets() -> None:
    """A misspelt setting of loops is ignored like any other: no budget is meant by it."""
    (notice,) = load({"OTEL_AGENTCOST_LOOP_MAX_REPEAT": "3"}).notices
    assert "Did you mean OTEL_AGENTCOST_LOOP_MAX_REPEATS?" in notice
    assert "ENFORCED" not in notice


@pytest.mark.parametrize("value", ["1", "-2", "2.5", "many", "true"])
def test_repeats_that_make_no_loop(value: str) -> None:
    """Once is no repetition."""
    said = problem({"OTEL_AGENTCOST_LOOP_MAX_REPEATS": value})
    assert said.startswith(
        f"OTEL_AGENTCOST_LOOP_MAX_REPEATS is '{value}', which is neither 0 nor a whole number from 2 to 1000. "
        "It is ignored, and the default applies: 3."
    )


@pytest.mark.parametrize(
    ("settings", "notice"),
    [
        ({"DOWNGRADE": "a=b"}, "DOWNGRADE is set, but it is ignored: the budgets have on_exceed=block."),
        ({"DOWNGRADE": "a=b", "BUDGETS": "total:usd=1"}, "DOWNGRADE is set, but it is ignored"),
        (
            {"ON_EXCEED": "downgrade"},
            "ON_EXCEED uses downgrade, but no cheaper model is set, so calls that do not",
        ),
        ({"BUDGETS": "total:usd=1,on_exceed=downgrade"}, "BUDGETS uses downgrade, but no cheaper model is set"),
        ({"LEDGER": "redis://:s3cret@cache"}, "LEDGER is 'redis://***@cache', but no budget is set"),
        ({"ENABLED": "false", "BUDGETS": "total:usd=1"}, "ENABLED is false: NO BUDGET IS ENFORCED."),
        ({"ENABLED": "false", "BREAKERS": "user:trips=1/1m,open=1m"}, "ENABLED is false: NO BUDGET IS ENFORCED."),
        (
            {"LOOP_MAX_REPEATS": "0", "BREAKERS": "user:trips=1/1m,open=1m;agent:loops=1/1m,open=1m"},
            "LOOP_MAX_REPEATS is 0, so loop detection is disabled, and circuit breakers that count loops never open",
        ),
        (
            {"UNPRICED": "refuse", "TRACE_MAX_LLM_CALLS": "3"},
            "UNPRICED is 'refuse', but no budget in US dollars is set",
        ),
        ({"UNLIMITED_OUTPUT": "assume"}, "UNLIMITED_OUTPUT is 'assume', but no budget is set"),
        ({"LEDGER_DOWN": "refuse", "TRACE_BUDGET_USD": "1"}, "LEDGER_DOWN is 'refuse', but the ledger is in memory"),
        ({"LEDGER_TIMEOUT": "1", "TRACE_BUDGET_USD": "1"}, "LEDGER_TIMEOUT is 1.0, but the ledger is in memory"),
        ({"USER": "'bob'"}, """USER is "'bob'", which is used as it is, with these signs"""),
        ({"USER": "$USER"}, "USER is '$USER', which is used as it is"),
        ({"TEAM": "${TEAM}"}, "TEAM is '${TEAM}', which is used as it is"),
    ],
)
def test_what_is_set_without_effect_is_named(settings: dict[str, str], notice: str) -> None:
    """A setting that was understood and does nothing is one notice."""
    (said,) = load(variables(**settings)).notices
    assert said.startswith(f"OTEL_AGENTCOST_{notice}")
    assert "s3cret" not in said


@pytest.mark.parametrize(
    "settings",
    [
        {"DOWNGRADE": "a=b", "BUDGETS": "total:usd=1,on_exceed=downgrade"},
        {"DOWNGRADE": "a=b", "ON_EXCEED": "downgrade"},
        {"DOWNGRADE": "a=b,b=a", "ON_EXCEED": "downgrade", "TRACE_MAX_LLM_CALLS": "3"},
        {"ON_EXCEED": "downgrade", "BUDGETS": "total:usd=1,on_exceed=block"},
        {"LEDGER": "memory://"},
        {"LEDGER": "redis://cache", "TRACE_MAX_LLM_CALLS": "3"},
        {"TIME_ZONE": "Europe/Berlin"},
    ],
)
def test_what_has_an_effect_or_does_no_harm_is_not_spoken_of(settings: dict[str, str]) -> None:
    """No notice where there is nothing to do about it; a chain of models may be a circle."""
    assert load(variables(**settings)).notices == ()


def test_utc_needs_no_database_of_time_zones() -> None:
    """The default works on a machine that knows no time zones, written out or not."""
    assert load(variables(TIME_ZONE="UTC")).time_zone is Settings().time_zone is timezone.utc
    assert "pip install tzdata" in problem(variables(TIME_ZONE="Berlin"))
