"""How circuit breakers are written and understood."""

from __future__ import annotations

import pytest

from otel_agentcost import Settings
from otel_agentcost.core.breakers import Breaker, parse
from otel_agentcost.core.budgets import UnclearRule
from otel_agentcost.errors import SettingsError


def test_rules_say_when_they_open_and_for_how_long() -> None:
    """Each value of a scope, or one name, in the times that people write."""
    every, one = parse('agent:trips=5/10m,open=15m; feature="a;b":loops=3/2h, open = 90s')
    assert every == Breaker(scope="agent", counted="trips", times=5, within=600, open_for=900)
    assert one == Breaker(scope="feature", name="a;b", counted="loops", times=3, within=7200, open_for=90)


@pytest.mark.parametrize(
    "rule",
    ["agent:trips=5/10m,open=15m", 'user="a/day":refusals=1/1d,open=7d', "total:loops=2/90s,open=2h"],
)
def test_what_is_understood_is_written_the_same_way(rule: str) -> None:
    """The text of a rule is the rule again: it stands in errors, in telemetry and in the ledger."""
    (breaker,) = parse(rule)
    assert breaker.text == rule
    assert parse(breaker.text) == (breaker,)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("agent trips=5/10m", "does not say when it opens: write scope.*:trips=N/time"),
        ("trace:trips=5/10m,open=1m", "has a scope that is none of agent, feature"),
        ("agent/day:trips=5/10m,open=1m", "has a scope that is none of"),
        ("agent=:trips=5/10m,open=1m", "has an empty name"),
        ("agent:trips=5/10m", "for how long"),
        ("agent:open=1m", "when it opens"),
        ("agent:trips=5,open=1m", "'5' in"),
        ("agent:trips=0/1m,open=1m", "is not a number and a time"),
        ("agent:trips=5/10,open=1m", "is not a time"),
        ("agent:trips=5/10m,open=8d", "from 1s to 7d"),
        ("agent:trips=5/10m,loops=5/10m,open=1m", "'loops=5/10m'"),
        ("agent:usd=5,open=1m", "'usd=5'"),
    ],
)
def test_what_is_not_understood_is_quoted(rule: str, said: str) -> None:
    """With what is wrong about it, and how it is written."""
    with pytest.raises(UnclearRule, match=said):
        parse(rule)
    with pytest.raises(SettingsError, match="NO BUDGET IS ENFORCED"):
        Settings(breakers=rule)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_settings_file_may_hold_a_list() -> None:
    """One text an item."""
    settings = Settings(breakers=["agent:trips=5/10m,open=15m", "user:loops=1/1m,open=1m"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert [breaker.scope for breaker in settings.breakers] == ["agent", "user"]


def test_a_blank_after_the_colon_makes_no_other_rule_of_it() -> None:
    """YAML makes a mapping of it, which says the same."""
    written = [{"agent": "trips=5/10m,open=15m"}, {"feature=support": "loops=3/1h,open=30m"}]
    settings = Settings(breakers=written)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert settings.breakers == parse("agent:trips=5/10m,open=15m;feature=support:loops=3/1h,open=30m")
