"""A report as a bill in the form of FOCUS 1.3, as CSV. It is written hour by hour, from single calls."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from otel_agentcost.cli import _figures
from otel_agentcost.insight import focus
from otel_agentcost.insight.report import Wanted
from otel_agentcost.insight.repricing import Repricing
from otel_agentcost.store.questions import Question, Source
from otel_agentcost.store.single_calls import detailed

_CHUNK = 500


def pieces(source: Source, wanted: Wanted, repricing: Repricing) -> Iterator[str]:
    """Yield a bill. See `_report.pieces`."""
    since, until = wanted.period
    written = io.StringIO()
    writer = csv.DictWriter(written, focus.COLUMNS, lineterminator="\n")
    writer.writeheader()
    calls = detailed(source, "This source").each(Question(since=since, until=until, zone=wanted.zone))
    for number, row in enumerate(focus.rows(calls, repricing)):
        writer.writerow(_figures.shielded(row))
        if number % _CHUNK == 0:
            yield written.getvalue()
            written.seek(0)
            written.truncate()
    yield written.getvalue()
