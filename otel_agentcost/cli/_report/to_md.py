"""A report in Markdown, with tables as GitHub and GitLab show them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from otel_agentcost.cli._report import _words
from otel_agentcost.insight.report import Wanted, report_of
from otel_agentcost.insight.repricing import Repricing
from otel_agentcost.store.questions import Source, printable

_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~&$])")
_MENTION = re.compile(r"(?<!\w)@(?=\w)")
"""A name that GitHub and GitLab would tell about it. A backslash does not stop them; a space without width does."""


def pieces(source: Source, wanted: Wanted, repricing: Repricing) -> Iterator[str]:
    """Yield a report. See `_report.pieces`."""
    report = report_of(source, wanted, repricing)
    yield f"# {_cell(_words.head(report))}\n\n"
    yield "".join(f"- {_cell(line)}\n" for line in _words.said(report))
    for each in _words.tables(report):
        yield f"\n## {_cell(each.title)}\n\n{_row(each.heads)}"
        yield _row(["---" if at < each.words else "---:" for at in range(len(each.heads))], raw=True)
        yield "".join(map(_row, each.rows))
    for kind, found in _words.advice(report.findings):
        yield f"\n## Recommendations, {_words.CLASSES[kind]}\n\n"
        for one in found:
            details = "".join(f"  - {_cell(detail)}\n" for detail in one.details)
            yield f"- **{_cell(one.dollars)}** {_cell(one.title)}\n{details}"
    yield "".join(f"\n{_cell(note)}\n" for note in _words.notes(report))


def _row(cells: tuple[str, ...] | list[str], *, raw: bool = False) -> str:
    return f"| {' | '.join(cells if raw else map(_cell, cells))} |\n"


def _cell(text: str) -> str:
    """Return a text that is no markup: names come from users."""
    return _MENTION.sub("@&#8203;", _MARKS.sub(r"\\\1", printable(text)))
