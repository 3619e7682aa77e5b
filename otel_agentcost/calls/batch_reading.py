"""One reading of a batch's results: by the application, or by the command that settles batches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from otel_agentcost.calls import finalize, streams
from otel_agentcost.calls.batch_settlement import Books, Settlement
from otel_agentcost.core.batch import LINES_AT_ONCE
from otel_agentcost.diagnostics import report
from otel_agentcost.wire.batch_api import BatchApi, BatchLine
from otel_agentcost.wire.fields import parsed

finalize.FINALIZERS.add(__name__)


class Reading:
    """One reading of results, from its first line to its end: a `StreamListener`."""

    def __init__(self, books: Books, api: BatchApi, names: Sequence[str]) -> None:
        """Begin to read.

        Args:
            books: Settles the lines.
            api: Reads a line.
            names: What the ledger may call the batch.
        """
        self._books = books
        self._api = api
        self._settlement = Settlement(books, names)
        self._lines: list[BatchLine] = []
        self._ids: dict[str, int] = {}
        self._number = 0
        self._ended = False
        self.raw: streams.RawReader | None = None
        """Reads the bytes of the response, if the application reads them."""

    def feed(self, event: Any) -> None:
        """Read one line."""
        if self._ended:
            return
        self._number += 1
        line = self._api.line(event)
        if line is None:
            if self._number == 1:  # a file that is no batch's
                self._ended = True
            return
        name = line.id or f"#{self._number}"
        times = self._ids[name] = self._ids.get(name, 0) + 1
        self._lines.append(line._replace(id=name if times == 1 else f"{name} #{times}"))
        if len(self._lines) >= LINES_AT_ONCE:
            self._flush()

    def feed_bytes(self, content: bytes) -> None:
        """Read results that have arrived completely."""
        for line in content.splitlines():
            if self._ended:
                return
            if line.strip():
                self.feed(parsed(line))
        self.end(complete=True)

    def first_chunk(self) -> None:
        """Do nothing: how fast results arrive says nothing about a model."""

    def unreadable(self, bug: Exception) -> streams.Feed:
        """Stop to read after an error."""
        report("reading the results of a batch", bug)
        self._ended = True
        return _ignore

    def end(self, error: BaseException | None = None, *, complete: bool) -> None:
        """Settle the lines that were read. After all of them, the batch is closed."""
        if self._ended:
            return
        complete = complete and error is None
        if complete and self.raw is not None:
            self.raw.ended()
        self._ended = True
        self._flush()
        self._books.run(partial(self._settlement.end, complete=complete and self._number > 0))

    def dropped(self) -> None:
        """Settle from a finalizer the lines of results that were dropped."""
        finalize.settle_when_safe(partial(self.end, complete=False))

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            self._books.run(partial(self._settlement.add, lines))


def _ignore(_event: Any) -> None:
    """Ignore a line."""
