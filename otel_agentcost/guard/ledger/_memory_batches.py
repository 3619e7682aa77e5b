"""The batches of the ledger of one process. Bounded: the oldest are forgotten, those that are closed first."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from otel_agentcost.core.batch import NONE_COUNTED, BatchVerbs, KeptBatch, LinesCounted, line_mark, total
from otel_agentcost.guard.ledger import GRACE, Amounts, Claim, Standing, checked

BATCHES_AT_MOST = 10_000
"""Maximum of batches that are kept."""


class Spending(Protocol):
    """Amounts that are being added to the accounts of claims. `spend` goes on where an exception has interrupted it."""

    def spend(self) -> None:
        """Add the amounts to each account that does not have them yet."""
        ...


class _Batch:
    __slots__ = ("counted", "lines", "names", "nano_usd", "open", "record", "spending", "until")

    def __init__(self, record: str, until: float) -> None:
        self.record = record
        self.until = until
        self.open = True
        self.lines = 0
        self.nano_usd = 0
        self.counted: set[bytes] = set()
        """The marks of the counted lines. Empty again once the batch is closed."""
        self.names: set[str] = set()
        self.spending: tuple[Spending, set[bytes], int] | None = None
        """A step that counts lines: the amounts, the marks of its lines, and its cost."""

    def finish(self) -> None:
        """Finish the step that an exception of others has interrupted."""
        if self.spending is None:
            return
        spending, marks, nano = self.spending
        spending.spend()
        new = len(self.counted | marks) - len(self.counted)
        # No call from here on but of C code on sets: nothing interrupts it.
        self.counted |= marks
        self.lines += new
        self.nano_usd += nano if new else 0
        self.spending = None


class MemoryBatches(BatchVerbs):
    """Implements `BatchVerbs` in dictionaries, under the lock of the ledger."""

    _lock: threading.Lock
    _batches: OrderedDict[str, _Batch]
    _batch_keys: dict[str, str]
    """The key of a batch by its other names."""

    @abstractmethod
    def _spending(self, claims: Sequence[Claim], amounts: Amounts, now: float) -> Spending: ...

    @abstractmethod
    def _standing(self, key: str, now: float) -> Standing: ...

    def keep_batch(self, key: str, record: str, *, now: float, until: float) -> bool:
        """See `BatchVerbs`."""
        with self._lock:
            if self._known(key, now) is not None:
                return False
            self._batches[key] = _Batch(record, until)
            if len(self._batches) > BATCHES_AT_MOST:
                closed = (each for each, batch in self._batches.items() if not batch.open)
                self._forget(next(closed, next(iter(self._batches))))
            return True

    def name_batch(self, key: str, names: Collection[str], *, now: float) -> None:
        """See `BatchVerbs`."""
        with self._lock:
            if (batch := self._known(key, now)) is not None:
                batch.names.update(names)
                self._batch_keys.update(dict.fromkeys(names, key))

    def find_batch(self, name: str, *, now: float) -> KeptBatch | None:
        """See `BatchVerbs`."""
        with self._lock:
            key = self._batch_keys.get(name, name)
            batch = self._known(key, now)
            return _shown(key, batch) if batch is not None else None

    def open_batches(self, *, now: float) -> Sequence[KeptBatch]:
        """See `BatchVerbs`."""
        with self._lock:
            return [_shown(key, batch) for key, batch in self._batches.items() if batch.open and batch.until > now]

    def count_lines(
        self, key: str, claims: Sequence[Claim], lines: Mapping[str, Amounts], *, now: float
    ) -> LinesCounted:
        """See `BatchVerbs`."""
        marks = {line: line_mark(line) for line in lines}
        for amounts in lines.values():
            checked(amounts)
        with self._lock:
            batch = self._known(key, now)
            if batch is None or not batch.open:
                return NONE_COUNTED
            batch.finish()
            new = frozenset(line for line in lines if marks[line] not in batch.counted)
            if not new:
                return NONE_COUNTED
            amounts = total(lines, new)
            spending = self._spending(claims, amounts, now)
            batch.spending = spending, {marks[line] for line in new}, amounts["nano_usd"]
            batch.finish()
            return LinesCounted(new, [(claim, self._standing(claim.key, now)) for claim in claims])

    def close_batch(self, key: str, *, now: float) -> bool:
        """See `BatchVerbs`."""
        with self._lock:
            batch = self._known(key, now)
            if batch is None or not batch.open:
                return False
            batch.finish()
            batch.open = False
            batch.counted = set()
            return True

    # --- under the lock ---

    def _without_batches(self) -> None:
        """Begin without batches. In a forked process, those of its parent are left to it."""
        self._batches = OrderedDict()
        self._batch_keys = {}

    def _known(self, key: str, now: float) -> _Batch | None:
        batch = self._batches.get(key)
        if batch is not None and batch.until + GRACE <= now:
            self._forget(key)
            return None
        return batch

    def _forget(self, key: str) -> None:
        for name in self._batches.pop(key).names:
            self._batch_keys.pop(name, None)


def _shown(key: str, batch: _Batch) -> KeptBatch:
    return KeptBatch(key=key, record=batch.record, open=batch.open, lines=batch.lines, nano_usd=batch.nano_usd)
