"""A report for programs. `daily` and `totals` are those of ccusage, so that its viewers read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from otel_agentcost.cli import _figures
from otel_agentcost.core import money
from otel_agentcost.insight.forecast import Forecast, RunsOut
from otel_agentcost.insight.recommendations import Finding
from otel_agentcost.insight.report import Period, Report, Wanted, report_of
from otel_agentcost.insight.repricing import Repricing
from otel_agentcost.store.questions import Line, Source, Sums

_NO_MODEL = "tools"
"""The name under which the breakdown of a day has what belongs to no model, so that it adds up to the day."""


def pieces(source: Source, wanted: Wanted, repricing: Repricing) -> Iterator[str]:
    """Yield a report. See `_report.pieces`."""
    yield json.dumps(as_json(report_of(source, wanted, repricing)), indent=2) + "\n"


def as_json(report: Report) -> dict[str, Any]:
    """Return a report for a program. Dollars that are not known are null."""
    before, change, month = report.before, report.change, report.month
    return {
        "daily": _daily(report),
        "totals": _usage(report.total),
        "period": _period(Period(report.wanted.period.since, report.wanted.until)),
        "total": _figures.as_json(report.total),
        "unpriced": dict(report.reasons),
        "by": {",".join(view.by): _figures.lines_json(view) for view in report.views},
        "before": {"period": _period(before[0]), "total": _figures.as_json(before[1])} if before is not None else None,
        "change": _nano({**change._asdict(), "difference": change.difference}) if change is not None else None,
        "dearest_runs": [
            {"run": run.run, "agent": run.agent, "began": run.began, "ended": run.ended, **_figures.as_json(run.sums)}
            for run in report.runs
        ],
        "month": _month(month) if month is not None else None,
        "budgets": list(map(_budget, report.budgets)),
        "recommendations": list(map(_finding, report.findings)),
        "notes": [*([report.no_trend] if report.no_trend else []), *report.notes],
    }


def _month(month: Forecast) -> dict[str, Any]:
    amounts = {"spent": month.spent, "likely": month.likely, "low": month.low, "high": month.high}
    return {"month": month.month, "whole_days": month.days, **_nano(amounts)}


def _budget(budget: RunsOut) -> dict[str, Any]:
    return {
        "budget": budget.budget,
        "value": budget.whose,
        **_nano({"left": budget.left}),
        "runs_out": budget.day.isoformat() if budget.day is not None else None,
        "at_the_earliest": budget.earliest.isoformat() if budget.earliest is not None else None,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "name": finding.name,
        "title": finding.title,
        "class": finding.kind,
        **_nano({"": finding.nusd}),
        finding.unit: finding.calls,
        "formula": finding.formula,
        "where": [{"place": place, **_nano({"": nusd})} for place, nusd in finding.where],
    }


def _daily(report: Report) -> list[dict[str, Any]]:
    days: dict[str, list[Line]] = {}
    for line in report.daily:
        days.setdefault(line.keys[0], []).append(line)
    return [
        {
            "date": day,
            **_usage(_sum(lines)),
            "modelsUsed": [line.keys[1] for line in lines if line.keys[1]],
            "modelBreakdowns": [
                {"modelName": line.keys[1] or _NO_MODEL, "cost": usage.pop("totalCost"), **usage}
                for line in lines
                if (line.keys[1] or line.sums.nusd) and (usage := _usage(line.sums))
            ],
        }
        for day, lines in days.items()
    ]


def _usage(sums: Sums) -> dict[str, Any]:
    """Return sums under the names of ccusage, where input tokens are those that no cache has read or written."""
    usd = sums.usd
    return {
        "inputTokens": sums.input - sums.cache_read - sums.cache_write,
        "outputTokens": sums.output,
        "cacheCreationTokens": sums.cache_write,
        "cacheReadTokens": sums.cache_read,
        "totalTokens": sums.input + sums.output,
        "totalCost": money.to_float(usd) if usd is not None else None,
        "nanoUsd": sums.nusd if usd is not None else None,
        "unpricedCalls": max(0, sums.unpriced),
    }


def _sum(lines: list[Line]) -> Sums:
    whole = Sums()
    for line in lines:
        whole = whole.plus(line.sums)
    return whole


def _period(period: Period) -> dict[str, float | None]:
    return {"since": period.since, "until": period.until}


def _nano(amounts: dict[str, int]) -> dict[str, float | int]:
    """Return amounts as dollars and as billionths."""
    found: dict[str, float | int] = {}
    for name, nusd in amounts.items():
        found[f"{name}_usd".lstrip("_")] = _figures.as_float(nusd)
        found[f"{name}_nano_usd".lstrip("_")] = nusd
    return found
