"""A report: what was spent in a period, how that changed, which runs cost most, what lies ahead, what could be saved.

`report_of` asks a source and computes; how a report looks is up to the formats of the command.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, tzinfo
from typing import Final, NamedTuple

from otel_agentcost.insight import forecast
from otel_agentcost.insight.forecast import Allowed, Forecast, RunsOut
from otel_agentcost.insight.recommendations import Evidence, Finding, findings
from otel_agentcost.insight.repricing import Repricing
from otel_agentcost.insight.trend import CELLS, Change, change
from otel_agentcost.store.periods import UnclearPeriod
from otel_agentcost.store.questions import TIMES, Line, Question, Source, Spend, Sums, UnclearQuestion, answer
from otel_agentcost.store.single_calls import Dear, Detailed

VIEWS: Final = ("day", "model", "provider", "agent", "user", "team", "feature", "tool")
"""The groupings of a report, one table each."""

_WEEK: Final = 7 * 86_400.0

_TWO_DAYS: Final = 2 * 86_400.0
"""A period that is shorter is compared with one of the same length to the second, not to the hour."""

_UNRECORDED: Final = 0.05
"""The share of the period before that may be without any record at its beginning."""

RUNS: Final = 10
"""The number of runs that are listed."""

_BUDGETS: Final = {
    "user": "user",
    "tenant": "tenant",
    "agent": "agent",
    "feature": "feature",
    "model": "requested",
    "team": "team",
}
"""The grouping for each scope of a budget whose spend the sums of hours have."""


class Period(NamedTuple):
    """A time from `since` until `until`, in seconds since the epoch."""

    since: float | None
    """None for all that is kept."""
    until: float | None
    """None for now."""

    def at_middle(self, now: float) -> float:
        """Return the time in the middle, whose prices stand for those of the period."""
        until = now if self.until is None else self.until
        return until if self.since is None else (self.since + until) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The subject of a report: its period, its tables, and what else it takes into account."""

    period: Period
    now: float
    zone: tzinfo
    by: tuple[tuple[str, ...], ...] = tuple((name,) for name in VIEWS)
    """The groupings of each table."""
    offline: frozenset[str] = frozenset()
    """The features whose answers can come later."""
    downgrade: Mapping[str, str] = field(default_factory=dict[str, str])
    """The user's cheaper model for a model."""
    budgets: Sequence[tuple[str, Allowed]] = ()
    """Budgets in dollars, each with its scope."""
    advice: bool = True
    """False to leave out what needs single calls."""

    @property
    def until(self) -> float:
        """The end of the period."""
        return self.now if self.period.until is None else self.period.until

    @property
    def so_far(self) -> float:
        """The end of the part of the period that is not ahead."""
        return min(self.now, self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report."""

    wanted: Wanted
    total: Sums
    reasons: Mapping[str, int]
    """Why calls are unpriced, and how many are so."""
    views: tuple[Spend, ...]
    daily: Spend
    """By day and model."""
    before: tuple[Period, Sums] | None
    """The period before, of the same length; None if there is none."""
    change: Change | None
    no_trend: str
    """Why there is no change; empty if there is one."""
    runs: tuple[Dear, ...]
    month: Forecast | None
    budgets: tuple[RunsOut, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    """What is left out, and why."""


def report_of(source: Source, wanted: Wanted, repricing: Repricing) -> Report:
    """Return the report of a period.

    Args:
        source: Where the spend is recorded.
        wanted: What the report is about.
        repricing: The price book, for the trend and for recommendations.

    Raises:
        AgentCostError: The source has no answer.
    """
    since, until = wanted.period
    asked = Question(since=since, until=until, zone=wanted.zone)
    if isinstance(source, Detailed):
        source.hold()
    daily = source.spend(replace(asked, by=("day", "model")))
    views = tuple(_view(source, asked, by, daily) for by in wanted.by)
    notes: list[str] = []
    runs: Sequence[Dear] = ()
    found: Sequence[Finding] = ()
    if not isinstance(source, Detailed):
        notes.append("This source has no single calls: runs and recommendations are left out.")
    elif wanted.advice:
        kept = source.kept_since()
        if kept > (since or 0.0):
            moment = datetime.fromtimestamp(kept, wanted.zone)
            notes.append(f"Single calls are kept since {moment:%Y-%m-%d %H:%M}: runs and recommendations begin there.")
        if source.lacks:
            notes.append(source.lacks)
        recent = replace(asked, since=max(kept, since or 0.0))
        runs = source.dearest(recent, RUNS)
        found = findings(_evidence(source, recent, wanted, repricing, daily.total), source.each(recent))
    before, changed, no_trend = None, None, ""
    try:
        before, changed = _trend(source, asked, wanted, repricing)
    except UnclearPeriod as error:  # the period itself has its answer
        no_trend = f"There is no trend. {error}"
    except UnclearQuestion:  # such as spans, which do not have all terms
        no_trend = "There is no trend: it compares calls of the same price and terms, which this source does not have."
    month, budgets = _ahead(source, wanted, notes)
    return Report(
        wanted=wanted,
        total=daily.total,
        reasons=daily.reasons,
        views=views,
        daily=daily,
        before=before,
        change=changed,
        no_trend=no_trend,
        runs=tuple(runs),
        month=month,
        budgets=tuple(budgets),
        findings=tuple(found),
        notes=tuple(notes),
    )


def others(spend: Spend, most: int) -> tuple[Sequence[Line], int, Sums]:
    """Return the dearest lines of an answer, the number of the others, and their sums; by time, the latest lines."""
    at = max(0, len(spend.lines) - most) if spend.by and spend.by[0] in TIMES else 0
    first = spend.lines[at : at + most]
    rest = (*spend.lines[:at], *spend.lines[at + most :])
    return first, len(rest), Spend(spend.by, rest).total


def _view(source: Source, asked: Question, by: tuple[str, ...], daily: Spend) -> Spend:
    """Return one table. Days and models are in `daily` already."""
    if by not in (("day",), ("model",)):
        return source.spend(replace(asked, by=by))
    at = daily.by.index(by[0])
    sums: dict[str, Sums] = {}
    for line in daily:
        sums[line.keys[at]] = sums.get(line.keys[at], Sums()).plus(line.sums)
    lines = [Line((key,), each) for key, each in sums.items()]
    return answer(replace(asked, by=by), lines, daily.reasons)


def _evidence(source: Detailed, asked: Question, wanted: Wanted, repricing: Repricing, total: Sums) -> Evidence:
    used: dict[str, list[str]] = {}
    for line in source.spend(replace(asked, by=("operation", "price"))):
        operation, price = line.keys
        if price:
            used.setdefault(operation, []).append(price)
    cheaper: dict[tuple[str, str], str] = {}
    for operation, prices in used.items():
        below = repricing.ladder(prices, wanted.so_far)
        below |= {price: other for price in prices if (other := wanted.downgrade.get(price.partition("/")[2]))}
        cheaper.update({(price, operation): other for price, other in below.items()})
    return Evidence(
        repricing=repricing,
        until=wanted.so_far,
        total=total,
        errors=source.spend(replace(asked, by=("error", "agent", "price"))),
        loops=source.loops(asked),
        repeated=source.repeated(asked),
        repeated_tools=source.repeated_tools(asked),
        offline=wanted.offline,
        cheaper=cheaper,
    )


def _trend(source: Source, asked: Question, wanted: Wanted, repricing: Repricing) -> tuple[tuple[Period, Sums], Change]:
    """Return the period before with its sums, and the change since.

    Raises:
        UnclearPeriod: There is nothing to compare with.
    """
    since = wanted.period.since
    if since is None:
        raise UnclearPeriod("All that is kept has no period before.")
    length = wanted.so_far - since
    if length >= _TWO_DAYS or not isinstance(source, Detailed) or source.kept_since() > since - length:
        length = max(1, round(length / 3600)) * 3600.0  # whole hours need no single calls
    earlier = Period(since - length, since)
    before = source.spend(replace(asked, since=earlier.since, until=earlier.until, by=CELLS))
    if not before.lines:
        raise UnclearPeriod("Nothing was recorded in the period before.")
    begins = since - length * (1 - _UNRECORDED)
    if not source.spend(Question(since=_hour(begins - _WEEK), until=_hour(begins) + 3600)).lines:
        raise UnclearPeriod("The record begins within the period before, which cannot be compared.")
    now = source.spend(replace(asked, by=CELLS))
    rates_before, rates_now = (
        repricing.rates(each.at_middle(wanted.so_far)) for each in (earlier, Period(since, wanted.so_far))
    )
    return (earlier, before.total), change(before, now, rates_before, rates_now)


def _ahead(source: Source, wanted: Wanted, notes: list[str]) -> tuple[Forecast | None, Sequence[RunsOut]]:
    """Return the forecasts of the month and of budgets."""
    now = datetime.fromtimestamp(wanted.now, wanted.zone)
    behind = now.date() - timedelta(days=max(forecast.BEHIND, now.day))
    midnight = datetime.combine(behind, datetime.min.time(), wanted.zone).timestamp()
    since = midnight - midnight % 3600
    asked = Question(by=("day",), since=since, zone=wanted.zone)
    try:
        days = _by_day(source.spend(asked)).get("", {})
    except UnclearPeriod as error:  # a time zone with half hours asks single calls
        notes.append(f"There is no forecast. {error}")
        return None, ()
    first = behind
    if not source.spend(Question(since=since - _WEEK, until=since)).lines:  # the record began later, within a day
        first = min(days, default=now.date()) + timedelta(days=1)
    month = forecast.month(days, now, first)
    if month is None:
        notes.append(f"There is no forecast: it needs {forecast.ENOUGH} whole days of records before today.")
        return None, ()
    by_scope = {"total": {"": days}}
    for scope in {scope for scope, _ in wanted.budgets} & _BUDGETS.keys():
        by_scope[scope] = _by_day(source.spend(replace(asked, by=("day", _BUDGETS[scope]))))
    ends = [
        forecast.runs_out(budget, by_scope[scope].get(budget.whose, {}), now, first)
        for scope, budget in wanted.budgets
        if scope in by_scope
    ]
    return month, [end for end in ends if end is not None]


def _hour(at: float) -> float:
    """Return the beginning of the hour of a time: sums of whole hours are kept for good."""
    return at - at % 3600


def _by_day(spend: Spend) -> dict[str, dict[date, int]]:
    """Return billionths of a dollar by the second key (empty without one) and day."""
    found: dict[str, dict[date, int]] = {}
    for line in spend:
        day, *names = line.keys
        whose = names[0] if names else ""
        of = found.setdefault(whose, {})
        at = date.fromisoformat(day)
        of[at] = of.get(at, 0) + line.sums.nusd
    return found
