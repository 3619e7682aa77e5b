"""Single calls from spans: read into a store of their own in a temporary folder, which answers as any other store.

So they come in the order of time, and the memory does not grow with their number. What spans do not have is missing.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from otel_agentcost.store.questions import Question
from otel_agentcost.store.rows import Event, Row
from otel_agentcost.store.schema import Address
from otel_agentcost.store.single_calls import Dear, Recorded, Repeated
from otel_agentcost.store.sources.sqlite import SqliteSource
from otel_agentcost.store.store_file import StoreFile

LACKS: Final = (
    "Spans have no fingerprints of requests and tool calls, no sizes of tools, no runs, and no terms but OpenAI's "
    "service tier: what rests on them is left out."
)
"""What a source of spans says to a question about single calls."""

_AT_ONCE: Final = 2_000
"""Rows of one transaction."""

_FOREVER: Final = 1_000_000
"""Days for which the rows are kept: the folder is gone before."""

Read = Callable[[Question], Iterable[Row | Event]]


class SingleSpans:
    """The part of `Detailed` that a source of spans shares with others."""

    lacks = LACKS

    def __init__(self, read: Read) -> None:
        """Create it.

        Args:
            read: Returns the rows of a period. Raises `AgentCostError`.
        """
        self._read = read
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._stores: dict[tuple[float | None, float | None], SqliteSource] = {}

    def close(self) -> None:
        """See `Source`."""
        for store in self._stores.values():
            store.close()
        self._stores.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def hold(self) -> None:
        """See `Detailed`. Each period is read once."""

    def kept_since(self) -> float:
        """See `Detailed`. What was deleted is not known."""
        return 0.0

    def each(self, question: Question) -> Iterator[Recorded]:
        """See `Detailed`."""
        return self._store(question).each(question)

    def dearest(self, question: Question, number: int) -> Sequence[Dear]:
        """See `Detailed`. Spans have no runs: these are traces."""
        return self._store(question).dearest(question, number)

    def repeated(self, question: Question) -> Iterator[Repeated]:
        """See `Detailed`."""
        return self._store(question).repeated(question)

    def repeated_tools(self, question: Question) -> Iterator[Repeated]:
        """See `Detailed`."""
        return self._store(question).repeated_tools(question)

    def loops(self, question: Question) -> tuple[int, int]:
        """See `Detailed`."""
        return self._store(question).loops(question)

    def _store(self, question: Question) -> SqliteSource:
        """Return the store that has the rows of a period."""
        period = question.since, question.until
        found = self._stores.get(period)
        if found is None:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="agentcost-")
            path = Path(self._folder.name) / f"{len(self._stores)}.db"
            _fill(path, iter(self._read(question)))
            found = self._stores[period] = SqliteSource(path)
        return found


def _fill(path: Path, rows: Iterator[Row | Event]) -> None:
    now = time.time()
    file = StoreFile(Address(path, "", None), now)
    try:
        while batch := list(islice(rows, _AT_ONCE)):
            file.write(batch, now, _FOREVER)
    finally:
        file.connection.close()
