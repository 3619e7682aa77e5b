"""A report for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost.cli._figures import table
from otel_agentcost.cli._report import _words
from otel_agentcost.insight.report import Wanted, report_of
from otel_agentcost.insight.repricing import Repricing
from otel_agentcost.store.questions import Source, shown


def pieces(source: Source, wanted: Wanted, repricing: Repricing) -> Iterator[str]:
    """Yield a report. See `_report.pieces`."""
    report = report_of(source, wanted, repricing)
    said = (_words.head(report), *_words.unpriced(report), *_words.trend(report), *_words.ahead(report))
    yield "".join(f"{_safe(line)}\n" for line in said)
    for each in _words.tables(report):
        rows = [tuple(map(shown, row[: each.words])) + row[each.words :] for row in each.rows]
        rows = [tuple("" if cell == "-" and at else cell for at, cell in enumerate(row)) for row in rows]
        yield f"\n{each.title}\n{table(each.heads, rows, each.words)}\n"
    for kind, found in _words.advice(report.findings):
        yield f"\nrecommendations, {_words.CLASSES[kind]}\n"
        for one in found:
            yield f"  {one.dollars}  {_safe(one.title)}\n"
            yield "".join(f"      {_safe(detail)}\n" for detail in one.details)
    notes = (*([_words.NEVER_ADDED] if report.findings else []), *report.notes)
    if notes:
        yield "\n" + "".join(f"{note}\n" for note in notes)


def _safe(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]
