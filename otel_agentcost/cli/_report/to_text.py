"""A report for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import fill
from typing import Final

from otel_agentcost.cli._figures import table
from otel_agentcost.cli._report import _words
from otel_agentcost.insight.report import Wanted, report_of
from otel_agentcost.insight.repricing import Repricing
from otel_agentcost.store.questions import Source, printable, shown

_WIDTH: Final = 100
_INDENT: Final = " " * 6


def pieces(source: Source, wanted: Wanted, repricing: Repricing) -> Iterator[str]:
    """Yield a report. See `_report.pieces`."""
    report = report_of(source, wanted, repricing)
    yield "".join(f"{printable(line)}\n" for line in (_words.head(report), *_words.said(report)))
    for each in _words.tables(report):
        rows = [tuple(map(shown, row[: each.words])) + row[each.words :] for row in each.rows]
        rows = [tuple("" if cell == "-" and at else cell for at, cell in enumerate(row)) for row in rows]
        yield f"\n{each.title}\n{table(each.heads, rows, each.words)}\n"
    for kind, found in _words.advice(report.findings):
        yield f"\nrecommendations, {_words.CLASSES[kind]}\n"
        for one in found:
            yield f"  {one.dollars}  {printable(one.title)}\n"
            yield "".join(f"{_indented(printable(detail))}\n" for detail in one.details)
    if notes := _words.notes(report):
        yield "\n" + "".join(f"{note}\n" for note in notes)


def _indented(detail: str) -> str:
    """Return a detail below its recommendation: a terminal would break it at its left border."""
    return fill(detail, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_long_words=False)
