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
from otel_agentcost.store.questions import Line, Question, Source, Spend, Sums, answer
from otel_agentcost.store.single_calls import Dear, Detailed

VIEWS: Final = ("day", "model", "provider", "agent", "user", "team", "feature", "tool")
"""The groupings of a report, one table each."""

_WEEK: Final = 7 * 86_400.0

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The subject of a report: its period, its tables, and what else it takes into account."""

    period: Period
    now: float
    zone: tzinfo
    by: tuple[tuple[str, ...], ...] = tuple((name,) for name in VIEWS)
    """The groupings of each table."""
    offline: frozenset[str] = frozenset()
    """The features that nobody waits for."""
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
        recent = replace(asked, since=max(kept, since or 0.0))
        runs = source.dearest(recent, RUNS)
        found = findings(_evidence(source, recent, wanted, repricing, daily.total), source.each(recent))
    before, changed = _trend(source, asked, wanted, repricing, notes)
    month, budgets = _ahead(source, wanted, notes)
    return Report(
        wanted=wanted,
        total=daily.total,
        reasons=daily.reasons,
        views=views,
        daily=daily,
        before=before,
        change=changed,
        runs=tuple(runs),
        month=month,
        budgets=tuple(budgets),
        findings=tuple(found),
        notes=tuple(notes),
    )


def others(spend: Spend, most: int) -> tuple[Sequence[Line], int, Sums]:
    """Return the first lines of an answer, the number of the others, and their sums."""
    first, rest = spend.lines[:most], spend.lines[most:]
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
    prices = [line.keys[0] for line in source.spend(replace(asked, by=("price",))) if line.keys[0]]
    cheaper = repricing.ladder(prices, wanted.until)
    for model, other in wanted.downgrade.items():
        cheaper.update({price: other for price in prices if price.partition("/")[2] == model})
    return Evidence(
        repricing=repricing,
        until=wanted.until,
        total=total,
        errors=source.spend(replace(asked, by=("error", "agent"))),
        loops=source.loops(asked),
        repeated=source.repeated(asked),
        offline=wanted.offline,
        cheaper=cheaper,
    )


def _trend(
    source: Source, asked: Question, wanted: Wanted, repricing: Repricing, notes: list[str]
) -> tuple[tuple[Period, Sums] | None, Change | None]:
    """Return the period before with its sums, and the change since; None if nothing was recorded there."""
    since = wanted.period.since
    if since is None:
        return None, None
    hours = max(1, round((wanted.until - since) / 3600))
    earlier = Period(since - hours * 3600, since)
    try:
        before = source.spend(replace(asked, since=earlier.since, until=earlier.until, by=CELLS))
    except UnclearPeriod as error:  # the period itself has its answer
        notes.append(f"There is no trend. {error}")
        return None, None
    if not before.lines:
        return None, None
    now = source.spend(replace(asked, by=CELLS))
    return (earlier, before.total), change(before, now, repricing.rates(wanted.until))


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
