"""Bad values of every setting, from each source: what they turn off, and what stops the program if it is strict.

The tests go over the rows of the table, so a new setting is in them.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost import runtime
from otel_agentcost.errors import SettingsError
from otel_agentcost.settings import ROWS, Row, Settings, from_environment
from otel_agentcost.settings.parsers import InvalidValue

BUDGET = "OTEL_AGENTCOST_BUDGETS"
GOOD = "user/day:usd=1"
TEXTS = frozenset({"user", "tenant", "team", "feature", "agent", "conversation", "cache_version"})
"""Settings that any text is a value of."""
PATHS = frozenset({"prices", "config"})
"""Settings whose text is a path; what is wrong with the file is found when it is opened."""
CLOSED = frozenset({"cache_key", "cache_only"})
"""Settings whose default is open: a bad value closes them. Nothing is kept in plain text, or of everybody, instead."""
SECRET = frozenset({"cache_key"})
"""Settings that no message quotes."""
NO_TEXT = [{"no": ["text"]}, ["?"]]
BAD_TEXTS = ["?", "?=?", "-1", "\x00", "nonsense" * 50]
BAD_LISTS = {
    "budgets": (f"{GOOD};users/day:usd=1", "NO SUCH BUDGET IS ENFORCED."),
    "breakers": ("agent:trips=5/10m,open=15m;agents:trips=1/1m,open=1m", "NO SUCH CIRCUIT BREAKER OPENS."),
    "tool_prices": ("search=0.01,read=cheap", "The rest of it is in effect."),
    "downgrade": ("a=b,c", "The rest of it is in effect."),
    "hosts": ("llm.internal=openai,?", "The rest of it is in effect."),
    "loop_rules": ("repeat,cicle", "The rest of it is in effect."),
    "loop_thresholds": ("stall=12,results=95", "The rest of it is in effect."),
    "tool_cache": ("search=15m,read=soon", "The rest of it is in effect."),
    "tool_cache_servers": ("docs,?", "The rest of it is in effect."),
    "cache": ("exact,exakt", "The rest of it is in effect."),
    "cache_only": ("triage,?", "The rest of it is in effect."),
    "bill_labels": ("team,teem", "The rest of it is in effect."),
}
"""Lists with one item that cannot be understood."""


def bad_values(row: Row) -> list[Any]:
    """Values that cannot be understood, of those that are tried."""
    return [value for value in (*BAD_TEXTS, *NO_TEXT) if not is_understood(row, value)]


def is_understood(row: Row, value: Any) -> bool:
    try:
        row.parse(value)
    except InvalidValue:
        return False
    return True


def written(tmp_path: Path, field: str, value: Any) -> Path:
    file = tmp_path / "agentcost.json"
    file.write_text(json.dumps({field: value}), encoding="utf-8")
    return file


def loaded(source: str, row: Row, value: Any, tmp_path: Path, **more: Any) -> Settings:
    """The settings with a good budget and `value` of another setting, by source."""
    environ = {} if row.field == "budgets" else {BUDGET: GOOD}
    if source == "argument":
        return from_environment(environ, **{row.field: value}, **more)
    if source == "environment":
        return from_environment({**environ, row.variable: str(value)}, **more)
    return from_environment({**environ, "OTEL_AGENTCOST_CONFIG": str(written(tmp_path, row.field, value))}, **more)


SOURCES = ("argument", "environment", "file")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.field)
def test_every_setting_has_values_that_it_does_not_understand(row: Row) -> None:
    """So that the tests below try something of each; only texts and paths take any text."""
    found = bad_values(row)
    assert found
    assert (row.field in TEXTS | PATHS) == (not any(isinstance(value, str) for value in found))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.field)
def test_a_bad_value_turns_off_itself_alone(row: Row, source: str, tmp_path: Path) -> None:
    """Nothing is raised, all other settings are in effect, and a notice quotes it. With `strict` it is an error."""
    good = from_environment({} if row.field == "budgets" else {BUDGET: GOOD})
    for value in bad_values(row):
        if (source == "environment" and not isinstance(value, str)) or (source == "file" and row.field == "config"):
            continue
        if row.field != "strict":
            settings = loaded(source, row, value, tmp_path)
            differing = {each.field for each in ROWS if getattr(good, each.field) != getattr(settings, each.field)}
            assert differing <= {"config", *({row.field} & CLOSED)}
            assert [rule.text for rule in settings.rules] == [rule.text for rule in good.rules]
            name = row.variable if source == "environment" else row.field
            assert any(name in notice for notice in settings.notices)
        more = {} if row.field == "strict" else {"strict": True}
        with pytest.raises(SettingsError, match="The program does not start, because strict is set"):
            loaded(source, row, value, tmp_path, **more)


def test_every_list_is_known_to_be_one() -> None:
    """A setting whose parsed value is a list or a mapping is in the table above."""
    lists = {
        row.field for row in ROWS if isinstance(getattr(Settings(), row.field), (tuple, dict)) or row.field in BAD_LISTS
    }
    assert lists == BAD_LISTS.keys()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("field", BAD_LISTS)
def test_one_bad_item_leaves_the_others(field: str, source: str, tmp_path: Path) -> None:
    """The rest of the list is in effect, and with `strict` it is an error."""
    (row,) = (row for row in ROWS if row.field == field)
    value, words = BAD_LISTS[field]
    settings = loaded(source, row, value, tmp_path)
    assert len(getattr(settings, field)) == 1
    assert any(words in notice and "The rest of it is in effect." in notice for notice in settings.notices)
    assert settings.rules
    with pytest.raises(SettingsError, match="strict is set"):
        loaded(source, row, value, tmp_path, strict=True)


STARTS: list[tuple[str, dict[str, str]]] = [
    *((row.field, {row.variable: next(v for v in bad_values(row) if isinstance(v, str))}) for row in ROWS
      if row.field not in TEXTS | PATHS and row.field != "strict"),
    ("a rule", {BUDGET: "users/day:usd=1"}),
    ("a name", {"OTEL_AGENTCOST_BUDGETZ": "user/day:usd=5"}),
    ("a prefix", {"OTEL_AGENT_COST_BUDGETS": "user/day:usd=5"}),
    ("no settings file", {"OTEL_AGENTCOST_CONFIG": "/nowhere/agentcost.json"}),
    ("no file of the ledger", {"OTEL_AGENTCOST_LEDGER": "sqlite:///"}),
    ("no price file", {"OTEL_AGENTCOST_PRICES": "/nowhere/prices.json"}),
]  # fmt: skip
"""What is wrong at a start, in the environment."""


@pytest.mark.parametrize(("what", "wrong"), STARTS, ids=[what for what, _ in STARTS])
@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
def test_a_start_goes_on_or_ends(
    what: str, wrong: dict[str, str], strict: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Strict, the program ends with the sentence in the log. Otherwise it is instrumented, with all that is right."""
    for name, value in {
        "OTEL_AGENTCOST_TRACE_MAX_LLM_CALLS": "5",
        **wrong,
        "OTEL_AGENTCOST_STRICT": str(strict),
    }.items():
        if "\x00" not in value:
            monkeypatch.setenv(name, value)
    with caplog.at_level(logging.WARNING, "otel_agentcost"):
        try:
            if strict:
                with pytest.raises(SystemExit):
                    runtime.start()
            else:
                runtime.start()
                in_use = runtime.settings_in_use()
                assert in_use is not None
                assert ("trace:calls=5" in [rule.text for rule in in_use.rules]) == ("TRACE_MAX_LLM" not in str(wrong))
            assert runtime.running() != strict
        finally:
            runtime.stop()
    shown = ["***"] if what in SECRET else [str(value)[:20] for value in wrong.values()]
    assert any(value in record.getMessage() for record in caplog.records for value in shown)


BAD_PRICES = {"providers": {"openai": {"models": {"gpt-4o": {"input_mtok": "cheap", "output_mtok": 2}}}}}
BIN = Path(sys.executable).parent
LAUNCHERS = {
    "opentelemetry-instrument": ([str(BIN / "opentelemetry-instrument"), sys.executable, "-c"], "print('it runs')"),
    "agentcost run": ([str(BIN / "agentcost"), "run", sys.executable, "-c"], "print('it runs')"),
    "instrument": ([sys.executable, "-c"], "import otel_agentcost; otel_agentcost.instrument(); print('it runs')"),
}


@pytest.mark.parametrize("strict", ["false", "true"])
@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("what", ["rule", "name", "file", "price"])
def test_every_way_to_start(what: str, launcher: str, strict: str, tmp_path: Path) -> None:
    """A program runs with what is right, and the sentence is on standard error; or it does not begin."""
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps(BAD_PRICES))
    wrong, words = {
        "rule": ({BUDGET: f"{GOOD};users/day:usd=1"}, "'users' in 'users/day:usd=1' is not a scope"),
        "name": ({"OTEL_AGENTCOST_BUDGETZ": GOOD}, "Did you mean OTEL_AGENTCOST_BUDGETS?"),
        "file": ({"OTEL_AGENTCOST_CONFIG": "/nowhere/a.json"}, "/nowhere/a.json"),
        "price": ({"OTEL_AGENTCOST_PRICES": str(prices)}, "input_mtok is 'cheap'"),
    }[what]
    command, code = LAUNCHERS[launcher]
    environ = {**os.environ, **wrong, "OTEL_AGENTCOST_STRICT": strict, "XDG_DATA_HOME": str(tmp_path)}
    environ |= {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    done = subprocess.run([*command, code], env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert ("it runs" in done.stdout, done.returncode == 0) == ((False, False) if strict == "true" else (True, True))
    # Where Python itself loads the instrumentation, it ends with lines of its own: they come behind the sentence.
    assert words in done.stderr.partition("Fatal Python error")[0]
    assert "Traceback" not in done.stderr.partition("Fatal Python error")[0]
