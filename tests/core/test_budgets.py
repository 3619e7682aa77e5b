"""Budgets: the grammar and its error sentences, and calendar windows over every time zone."""

from __future__ import annotations

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_agentcost.core import budgets
from otel_agentcost.core.budgets import FOREVER, Action, Budget, Scope, UnclearRule, Unit, Window

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "Atlantic/Azores",
    "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "Asia/Beirut",
)  # fmt: skip

NAMELESS: tuple[Scope, ...] = ("trace", "process", "total")
AMOUNTS = st.integers(1, budgets.MOST)


@st.composite
def rules(draw: st.DrawFn) -> Budget:
    """Every budget that can be written."""
    scope: Scope = draw(st.sampled_from(budgets.SCOPES))
    names = st.text(min_size=1).filter(str.strip) | st.sampled_from(
        ["a/day", "a/24h", "a/40d", '"', "x;y:usd=1", " b ", "a=b", "é:,"]
    )
    name = None if scope in NAMELESS else draw(st.none() | names)
    windows = st.sampled_from((*budgets.WINDOWS, "1h", "24h", "7d", "31d"))
    window: Window | None = None if scope == "trace" else draw(st.none() | windows)
    units: list[Unit] = ["nano_usd", "tokens", "calls", "tool_calls", *(["seconds"] if scope == "trace" else [])]  # type: ignore[list-item]
    limits: dict[Unit, int] = draw(st.dictionaries(st.sampled_from(units), AMOUNTS, min_size=1))
    action: Action | None = draw(st.none() | st.sampled_from(budgets.ACTIONS))
    return Budget(scope=scope, name=name, window=window, limits=limits, on_exceed=action)


def test_the_rules_of_the_design() -> None:
    """The examples of the documentation mean what they say."""
    user, agent, total = budgets.parse(
        "user/day:usd=1;agent=researcher/day:usd=50;total/month:usd=1000,on_exceed=warn;"
    )
    assert user == Budget(scope="user", window="day", limits={"nano_usd": 10**9})
    assert agent == Budget(scope="agent", name="researcher", window="day", limits={"nano_usd": 50 * 10**9})
    assert total == Budget(scope="total", window="month", limits={"nano_usd": 10**12}, on_exceed="warn")


def test_blanks_and_slashes_and_several_limits() -> None:
    """Blanks do not matter, a model's slash is not a window, and a rule may limit several units."""
    (rule,) = budgets.parse(" model = meta/llama-3 : usd = 0.5 , llm_calls = 3 ")
    assert rule == Budget(scope="model", name="meta/llama-3", limits={"nano_usd": 5 * 10**8, "calls": 3})
    (rule,) = budgets.parse("model=meta/llama-3/hour:tokens=1e6")
    assert (rule.name, rule.window, rule.limits) == ("meta/llama-3", "hour", {"tokens": 10**6})


def test_a_settings_file_may_hold_lists_and_mappings() -> None:
    """What YAML makes of a list of rules is read like the text."""
    text = "user/day:usd=1,on_exceed=clamp;agent=a/day:tokens=5;total:calls=7"
    written = [{"scope": "user", "window": "day", "usd": 1, "on_exceed": "clamp"}, "agent=a/day:tokens=5;total:calls=7"]
    assert budgets.read(written) == budgets.parse(text) == budgets.read(text)
    assert budgets.read({"scope": "agent", "name": 7, "usd": 0.25})[0].name == "7"
    under = [{"user/day": {"usd": 1, "on_exceed": "clamp"}}, {'agent="a"/day': "tokens=5", "total": "calls=7"}]
    assert budgets.read(under) == budgets.read(budgets.read(text)) == budgets.parse(text)
    assert budgets.read(budgets.read(text)[0]) == budgets.parse(text)[:1]
    assert budgets.read([]) == budgets.read({}) == ()


@given(st.lists(rules(), max_size=4))
def test_what_is_written_is_read_back(written: list[Budget]) -> None:
    """A budget's text means that budget, whatever its name holds, alone and among others."""
    assert budgets.parse("; ".join(rule.text for rule in written)) == tuple(written)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("user/day", "has no limit"),
        ("user/day:", "'' in 'user/day:' is not a limit"),
        ("user/day:on_exceed=warn", "has no limit"),
        ("user/day:usd", "'usd' in"),
        ("user/day:eur=1", "'eur' in"),
        ("user/day:usd=0", "'0' in"),
        ("user/day:usd=-1", "'-1' in"),
        ("user/day:usd=$1", "without a currency"),
        ("user/day:usd=1 EUR", "without a currency"),
        ("user/day:usd=nan", "'nan' in"),
        ("user/day:usd=inf", "'inf' in"),
        ("user/day:usd=1e-12", "cannot be counted"),
        ("user/day:usd=1e30", "too large"),
        ("user/day:tokens=1.5", "cannot be counted"),
        ("user/day:usd=1,usd=2", "twice"),
        ("trace:calls=1,llm_calls=2", "twice"),
        ("user/day:usd=1,on_exceed=explode", "'explode' in"),
        ("user/year:usd=1", "'year' in"),
        ("user/32d:usd=1", "or a rolling one from 1h to 31d such as 24h or 7d"),
        ("user/0h:usd=1", "'0h' in"),
        ("user/90m:usd=1", "'90m' in"),
        ("trace/24h:usd=1", "per 24h"),
        ("usr/day:usd=1", "'usr' in"),
        ("run:usd=1", "'run' in"),
        ("user=/day:usd=1", "has an empty name"),
        ('user="":usd=1', "has an empty name"),
        ("total=x:usd=1", "names a total"),
        ("trace/day:usd=1", "per day"),
        ("user:seconds=9", "duration"),
    ],
)
def test_what_cannot_be_understood_is_quoted(rule: str, says: str) -> None:
    """An error names the rule, what in it is wrong, and what to write."""
    with pytest.raises(UnclearRule) as caught:
        budgets.parse(f"total:usd=1;{rule}")
    assert says in str(caught.value)
    assert rule in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "written",
    [
        *(5, None, [5], {"usd": 1}, {"scope": "user", "usd": None}, [["user:usd=1"]]),
        *({"user/day": 1}, {"user/day": {}}, {"usr/day": "usd=1"}, {5: {"usd": 1}}, {"user/day": {"scope": "user"}}),
        *({"scope": "agent", "name": name, "usd": 1} for name in (True, 4.1, ["a"])),
    ],
)
def test_what_is_no_rule_at_all_is_refused(written: object) -> None:
    """Whatever a settings file holds, there is a sentence and no other error."""
    with pytest.raises(UnclearRule):
        budgets.read(written)


def understood(text: str) -> tuple[Budget, ...] | None:
    try:
        return budgets.parse(text)
    except UnclearRule:
        return None


@given(st.text() | st.text(alphabet='user/day:usd=1;,"a '))
def test_any_text_is_a_budget_or_a_sentence(text: str) -> None:
    """No text makes the parser fail in another way, and what it reads it can write."""
    found = understood(text)
    assert found is None or understood(";".join(rule.text for rule in found)) == found


def test_a_budget_applies_by_scope_and_name() -> None:
    """Without a name to every value of its scope, with one to that value, and never to a call without the scope."""
    each, one = budgets.parse("user:usd=1;user=u1:usd=1")
    assert [rule.value({"user": "u1"}) for rule in (each, one)] == ["u1", "u1"]
    assert [rule.value({"user": "u2"}) for rule in (each, one)] == ["u2", None]
    assert [rule.value({"team": "u1"}) for rule in (each, one)] == [None, None]


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def test_keys_change_with_the_window_only() -> None:
    """A key names scope, window and value, and nothing of the limit: a raised limit forgets no spending."""
    low, high = budgets.parse("user/day:usd=1;user/day:usd=9")
    today, tomorrow = (budgets.period("day", at(day)) for day in ("2026-11-22T23:59:59", "2026-11-23T00:00:00"))
    assert low.key("u", today) == high.key("u", today) != low.key("u", tomorrow)
    assert low.key("u", FOREVER) != low.key("u", today)


@given(
    st.sampled_from(budgets.WINDOWS),
    st.sampled_from(ZONES),
    st.floats(0, 4e9, allow_nan=False).map(lambda s: round(s, 3)),
)
@example("day", "America/Sao_Paulo", at("2018-11-03T23:30", "America/Sao_Paulo"))  # midnight is skipped
@example("day", "Pacific/Apia", at("2011-12-29T12:00", "Pacific/Apia"))  # a whole day is
@example("hour", "Australia/Lord_Howe", at("2026-04-05T01:45", "Australia/Lord_Howe"))  # half an hour comes twice
@example("hour", "Australia/Lord_Howe", at("2026-04-05T01:45", "Australia/Lord_Howe") + 1800)
@example("day", "America/Havana", at("2026-11-01T00:30", "America/Havana") + 3600)  # midnight comes twice
def test_windows_follow_one_another_without_gap_or_overlap(window: Window, zone: str, now: float) -> None:
    """Every moment is in exactly one window of its kind; the next begins where it ends, under another name."""
    clock = ZoneInfo(zone)
    found = budgets.period(window, now, clock)
    assert found.ends is not None
    assert found.starts <= now < found.ends
    following = budgets.period(window, found.ends, clock)
    assert following.label != found.label
    assert budgets.period(window, found.ends - 0.001, clock).label == found.label
    assert budgets.period(window, max(0.0, found.starts), clock).label == found.label


def test_a_day_on_which_the_clocks_change() -> None:
    """It has 23 or 25 hours, and ends at midnight of its zone."""
    berlin = ZoneInfo("Europe/Berlin")
    for day, hours in (("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-22", 24)):
        found = budgets.period("day", at(f"{day}T12:00", "Europe/Berlin"), berlin)
        assert found.ends is not None
        assert (found.ends - found.starts) / 3600 == hours
        assert found.label == day


def test_an_hour_that_comes_twice_is_two_hours() -> None:
    """What was spent in the first is not charged to the second."""
    berlin = ZoneInfo("Europe/Berlin")
    first = at("2026-10-25T02:30", "Europe/Berlin")
    assert budgets.period("hour", first, berlin) != budgets.period("hour", first + 3600, berlin)


def test_the_default_calendar_is_utc() -> None:
    """Without a zone, days end at midnight UTC."""
    now = datetime(2026, 11, 22, 23, 59, tzinfo=timezone.utc).timestamp()
    assert budgets.period("month", now).label == "2026-11"
    assert budgets.period("day", now).ends == now + 60


def test_weeks_are_those_of_the_calendar_on_the_wall() -> None:
    """They begin on Monday, also where the clocks change, and a year may begin in the last one of another."""
    berlin = ZoneInfo("Europe/Berlin")
    found = budgets.period("week", at("2026-12-06T23:59", "Europe/Berlin"), berlin)
    assert found.label == "2026-W49"
    assert (found.starts, found.ends) == (at("2026-11-30", "Europe/Berlin"), at("2026-12-07", "Europe/Berlin"))
    found = budgets.period("week", at("2026-10-25T12:00", "Europe/Berlin"), berlin)
    assert found.ends is not None
    assert (found.ends - found.starts) / 3600 == 7 * 24 + 1
    assert budgets.period("week", at("2027-01-03T12:00")).label == "2026-W53"


def test_a_rolling_window_has_one_name_and_no_bounds() -> None:
    """A day of it is 24h, whole days from two on are days: the same length is the same account."""
    rules = budgets.parse("user/1d:usd=1;user/24h:usd=2;user/168h:usd=1;user/7d:usd=2;user/36h:usd=1;user=b/1h:calls=1")
    assert [rule.window for rule in rules] == ["24h", "24h", "7d", "7d", "36h", "1h"]
    assert [budgets.rolling_seconds(rule.window) for rule in rules[1:4]] == [86_400, 7 * 86_400, 7 * 86_400]
    assert budgets.period("24h", 5.0) == ("24h", float("-inf"), None, 86_400)
    assert rules[0].key("u1", budgets.period("24h", 5.0)) == "user/24h/u1"
    assert [budgets.rolling_seconds(window) for window in (None, *budgets.WINDOWS)] == [None] * 5


@given(st.floats(0, 4e9), st.sampled_from(["1h", "24h", "31d"]))
def test_two_fixed_windows_hold_a_rolling_one(now: float, window: Window) -> None:
    """The first began at least a window ago, and what is spent now is in both; the second is the first one later on."""
    seconds = budgets.rolling_seconds(window) or 0
    first, second = budgets.overlapping(window, now)
    assert first.ends is not None
    assert first.starts <= now - seconds
    assert second.starts <= now < first.ends
    assert budgets.overlapping(window, first.ends)[0] == second
