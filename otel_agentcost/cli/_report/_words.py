"""The sentences and tables of a report, as plain cells: the forms for people put them into their own tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Final, NamedTuple

from otel_agentcost.core import money
from otel_agentcost.core.run_tables import unpriced
from otel_agentcost.insight.forecast import Forecast, RunsOut
from otel_agentcost.insight.recommendations import Class, Finding
from otel_agentcost.insight.report import Period, Report, others
from otel_agentcost.insight.trend import Change
from otel_agentcost.store.questions import COLUMNS, TIMES, Spend, Sums, figures

MOST: Final = 20
"""Lines of a table; the others are one line."""

CLASSES: Final[dict[Class, str]] = {
    "measured": "measured: dollars that were spent or saved",
    "exact": "exact: the same tokens at another price of the price book",
    "ceiling": "ceiling: at most this much, and only a test can tell",
}

NEVER_ADDED: Final = "The dollars of recommendations are not added up: one call can be in several of them."


class Table(NamedTuple):
    """A table for people."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int
    """The leading columns that are words; the others are numbers."""
    total: bool
    """True if the last row is the sum of the others."""


def usd(nusd: int, decimals: int | None = None, *, sign: bool = False) -> str:
    """Write billionths of a dollar, exactly, with as many decimals as they need or as are given."""
    needed = decimals if decimals is not None else decimals_of([nusd])
    whole, rest = divmod(abs(nusd), money.NANO_PER_USD)
    before = "-" if nusd < 0 else "+" if sign else ""
    return f"{before}${whole:,}.{f'{rest:09d}'[:needed]}"


def decimals_of(amounts: Sequence[int]) -> int:
    """Return the fewest decimals, at least two, that write all amounts exactly."""
    for decimals in range(2, 9):
        if all(nusd % 10 ** (9 - decimals) == 0 for nusd in amounts):
            return decimals
    return 9


def dollars(sums: Sums, decimals: int | None = None) -> str:
    """Write dollars: `>=` if calls are missing from them, `unpriced` if nothing is known."""
    if sums.usd is None:
        return "unpriced"
    return f"{'>=' if sums.unpriced > 0 else ''}{usd(sums.nusd, decimals)}"


def rounded(nusd: int) -> str:
    """Write an amount that is no exact one: a forecast."""
    return f"${nusd / money.NANO_PER_USD:,.2f}"


def counted(number: int, units: str) -> str:
    """Write a number of units, whose name is a plural."""
    return f"{number:,} {units.removesuffix('s') if number == 1 else units}"


def head(report: Report) -> str:
    """Return the period and what was spent in it."""
    total = report.total
    tools = f" and {counted(total.tools, 'tool calls')}" if total.tools else ""
    when = written(Period(report.wanted.period.since, report.wanted.until), report.wanted.zone)
    return f"{dollars(total)} {when}, in {counted(total.calls, 'model calls')}{tools}"


def written(period: Period, zone: tzinfo) -> str:
    """Return a period in words."""
    until = f"until {moment(period.until, zone)}" if period.until is not None else "until now"
    return until if period.since is None else f"since {moment(period.since, zone)} {until}"


def moment(at: float, zone: tzinfo) -> str:
    """Return a time in words."""
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M %Z")


def said(report: Report) -> Iterator[str]:
    """Yield the sentences below the head: why calls are unpriced, the trend, and what lies ahead."""
    yield from (f"unpriced: {why}" for why in unpriced(report.reasons))
    yield from trend(report)
    yield from ahead(report)


def notes(report: Report) -> Sequence[str]:
    """Return the sentences at the end."""
    return (*([NEVER_ADDED] if report.findings else []), *report.notes)


def trend(report: Report) -> Iterator[str]:
    """Yield the change since the period before."""
    if report.before is None or report.change is None:
        yield report.no_trend
        return
    period, sums = report.before
    yield f"{dollars(sums)} {written(period, report.wanted.zone)}, in {counted(sums.calls, 'model calls')}"
    yield parts(report.change)
    if sums.unpriced > 0 or report.total.unpriced > 0:
        yield "The change is that of the priced calls."


def parts(change: Change) -> str:
    """Return a change with its parts, which add up to it exactly."""
    decimals = decimals_of(change)
    each = (
        f"{usd(nusd, decimals, sign=True)} {name}"
        for name, nusd in (("volume", change.volume), ("mix", change.mix), ("price", change.price))
    )
    share = f" ({change.difference / change.before:+.1%})" if change.before else ""
    return f"{usd(change.difference, decimals, sign=True)}{share} = {' '.join(each)}"


def ahead(report: Report) -> Iterator[str]:
    """Yield the forecasts."""
    if report.month is not None:
        yield _month(report.month)
    for budget in report.budgets:
        yield _budget(budget)
    if report.total.unpriced > 0 and report.month is not None:
        yield "The forecasts are of the priced calls."


def _month(month: Forecast) -> str:
    low, high = rounded(month.low), rounded(month.high)
    between = f" (four times in five between {low} and {high})" if low != high else ""
    return (
        f"{month.month} will cost about {rounded(month.likely)}{between}, of which {rounded(month.spent)} are spent; "
        f"from the last {month.days} whole days"
    )


def _budget(budget: RunsOut) -> str:
    whose = f" of {budget.whose}" if budget.whose else ""
    left = f"budget {budget.budget}{whose}: {usd(budget.left)} left"
    if budget.left <= 0:
        return f"budget {budget.budget}{whose}: nothing is left"
    if budget.day is not None:
        early = f", {budget.earliest} at the earliest" if budget.earliest not in (None, budget.day) else ""
        return f"{left}, runs out on {budget.day}{early}"
    early = f"; if much is spent, it runs out on {budget.earliest}" if budget.earliest is not None else ""
    until = f"until it begins anew on {budget.resets_at:%Y-%m-%d}" if budget.resets_at is not None else "for a year"
    return f"{left}, lasts {until}{early}"


def tables(report: Report) -> Iterator[Table]:
    """Yield the tables that have anything to say."""
    for view in report.views:
        if any(any(line.keys) for line in view) or len(report.views) == 1:  # the one that was asked for
            yield _view(view)
    if report.runs:
        yield _runs(report)


def _view(spend: Spend) -> Table:
    first, number, rest = others(spend, MOST)
    decimals = decimals_of([*(line.sums.nusd for line in first), rest.nusd])
    blank = [""] * (len(spend.by) - 1)
    rows = [(*line.keys, *_figures(line.sums, decimals)) for line in first]
    if number:
        by_time = spend.by[0] in TIMES
        other = (f"{number:,} {'earlier' if by_time else 'others'}", *blank, *_figures(rest, decimals))
        rows.insert(0 if by_time else len(rows), other)
    rows.append(("total", *blank, *_figures(spend.total, decimals)))
    return Table(f"by {', '.join(spend.by)}", (*spend.by, *COLUMNS), tuple(rows), len(spend.by), total=True)


def _runs(report: Report) -> Table:
    decimals = decimals_of([run.sums.nusd for run in report.runs])
    rows = [
        (run.run, run.agent, moment(run.began, report.wanted.zone), *_figures(run.sums, decimals))
        for run in report.runs
    ]
    return Table("dearest runs", ("run", "agent", "began", *COLUMNS), tuple(rows), 3, total=False)


def _figures(sums: Sums, decimals: int) -> tuple[str, ...]:
    return (*figures(sums)[:-1], dollars(sums, decimals))


class Advice(NamedTuple):
    """A recommendation in words."""

    dollars: str
    title: str
    details: tuple[str, ...]


def advice(findings: Sequence[Finding]) -> Iterator[tuple[Class, Sequence[Advice]]]:
    """Yield the recommendations of each class that has any."""
    for kind in CLASSES:
        found = [_advice(finding) for finding in findings if finding.kind == kind]
        if found:
            yield kind, found


def _advice(finding: Finding) -> Advice:
    at_most = "at most " if finding.kind == "ceiling" else ""
    where = "; ".join(f"{place}: {usd(nusd)}" for place, nusd in finding.where)
    details = [f"{counted(finding.calls, finding.unit)}; {finding.formula}"]
    return Advice(f"{at_most}{usd(finding.nusd)}", finding.title, (*details, *([where] if where else [])))
