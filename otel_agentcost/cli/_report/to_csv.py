"""A report for a spreadsheet: the lines of all tables, each with the name of its table. Each table adds up."""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost.cli import _figures
from otel_agentcost.insight.report import Wanted, report_of
from otel_agentcost.insight.repricing import Repricing
from otel_agentcost.store.questions import Source


def pieces(source: Source, wanted: Wanted, repricing: Repricing) -> Iterator[str]:
    """Yield a report. See `_report.pieces`."""
    report = report_of(source, wanted, repricing)
    names = tuple(dict.fromkeys(name for view in report.views for name in view.by))
    rows = [
        {"table": ",".join(view.by), **dict.fromkeys(names, ""), **line}
        for view in report.views
        for line in _figures.lines_json(view)
    ]
    yield f"{_figures.csv_of(rows)}\n"
