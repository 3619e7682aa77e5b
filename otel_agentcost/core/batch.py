"""The record of a batch in a ledger, and the verbs that keep and settle it.

A provider answers a batch hours later, in lines, which any process may read, and read again. So the ledger keeps the
batch from its creation on, and counts each of its lines once: in one atomic step, it takes the lines that were not
counted before and adds their cost to the budgets. The ledger does not interpret the record.
"""

# ruff: noqa: ARG002 (the defaults of a protocol)
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol, cast

from otel_agentcost.core.ledger import UNITS, Amounts, Claim, Standing, Unit

BATCH_DAYS = 60
"""Days for which a batch is remembered after its creation. Providers keep results for about thirty days."""

TERMS: Final = (("processing", "batch"),)
"""The terms of the price of a batch's requests (`core.call.Call.terms`)."""

LINES_AT_ONCE = 500
"""The most lines that one step counts, so that a server which serves others is not blocked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptBatch:
    """A batch as the ledger has it."""

    key: str
    """Identifies the batch: its provider and its id there."""
    record: str
    """What the one who keeps it wrote. The ledger does not interpret it."""
    open: bool
    """True until all its results were counted, or it has ended without any."""
    lines: int = 0
    """The number of lines that were counted."""
    nano_usd: int = 0
    """Their cost in billionths of a dollar."""


class LinesCounted(NamedTuple):
    """The result of counting lines."""

    lines: frozenset[str]
    """The lines that this step has counted: those that none counted before."""
    standings: Sequence[tuple[Claim, Standing]] = ()
    """The standing of each claim afterwards; empty if no line was counted."""


NONE_COUNTED = LinesCounted(frozenset())


class BatchVerbs(Protocol):
    """The verbs of a ledger that keeps batches, beside those of `Ledger`.

    Like those, each is one atomic step that can be repeated, and may raise `guard.ledger.LedgerError`. The defaults
    are those of a ledger that keeps no batch.
    """

    def keep_batch(self, key: str, record: str, *, now: float, until: float) -> bool:
        """Keep a batch. One that is known already stays as it is.

        Args:
            key: Identifies the batch, over all providers.
            record: Any text.
            now: Epoch seconds.
            until: Epoch seconds after which it may be forgotten.

        Returns:
            True if the batch is kept now, and was not before. Default: False, nothing is kept.
        """
        return False

    def name_batch(self, key: str, names: Collection[str], *, now: float) -> None:
        """Add names of a kept batch, such as those of the files with its results. An unknown batch is ignored."""
        return

    def find_batch(self, name: str, *, now: float) -> KeptBatch | None:
        """Return the batch with this key or name; None if none is kept. Default: None."""
        return None

    def open_batches(self, *, now: float) -> Sequence[KeptBatch]:
        """Return the open batches, the oldest first. Default: none."""
        return ()

    def count_lines(
        self,
        key: str,
        claims: Sequence[Claim],
        lines: Mapping[str, Amounts],
        *,
        now: float,
    ) -> LinesCounted:
        """Count the lines of a batch that were not counted before, and add their amounts in every claim, in one step.

        Args:
            key: The key of the batch. Lines of an unknown or closed batch are not counted.
            claims: The budgets that the lines count in.
            lines: The cost of each line, by an id that is unique in the batch.
            now: Epoch seconds.
        """
        return NONE_COUNTED

    def close_batch(self, key: str, *, now: float) -> bool:
        """Close a batch: no further line of it is counted. Returns True for the one call that closes it."""
        return False


def line_mark(line: str) -> bytes:
    """Return the eight bytes that stand for a line in a store.

    Two of a hundred thousand lines have the same mark with a chance of 3e-10.
    """
    return blake2b(line.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def total(lines: Mapping[str, Amounts], counted: Collection[str]) -> dict[Unit, int]:
    """Return the sum of the amounts of the lines in `counted`, with all units."""
    return {unit: sum(lines[line].get(unit, 0) for line in counted) for unit in UNITS}


class NoBatches(BatchVerbs):
    """Stands for the verbs of a ledger that has none: it keeps no batch."""


def batch_verbs(ledger: object) -> BatchVerbs:
    """Return the verbs of a ledger for batches. Those of a ledger of another distribution may be missing."""
    return cast("BatchVerbs", ledger) if hasattr(ledger, "count_lines") else _NONE


_NONE: Final = NoBatches()
