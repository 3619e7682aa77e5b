"""The batches of the ledger of a fleet. The scripts are beside this file, and `keep_batch.lua` describes the keys."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from otel_agentcost.core.batch import NONE_COUNTED, BatchVerbs, KeptBatch, LinesCounted, line_mark
from otel_agentcost.guard.ledger import UNITS, Amounts, Claim, Standing, checked, encoded, ends

BATCH_SCRIPTS: Final = ("keep_batch", "name_batch", "find_batch", "open_batches", "count_lines", "close_batch")

_BATCH: Final = b"{agentcost}:batch:"
_NAME: Final = b"{agentcost}:batch-name:"
_LINES: Final = b"{agentcost}:batch-lines:"
_OPEN: Final = b"{agentcost}:batches"
_FIELDS: Final = 5
"""Figures of a batch in an answer."""


class RedisBatches(BatchVerbs):
    """Implements `BatchVerbs` with one script for each verb."""

    @abstractmethod
    def _run(self, verb: str, keys: Sequence[bytes], args: Sequence[Any]) -> Any: ...

    @abstractmethod
    def _claimed(self, claims: Sequence[Claim]) -> list[bytes]: ...

    @abstractmethod
    def _standings(self, claims: Sequence[Claim], words: Sequence[bytes]) -> Sequence[tuple[Claim, Standing]]: ...

    def keep_batch(self, key: str, record: str, *, now: float, until: float) -> bool:
        """See `BatchVerbs`."""
        name = encoded(key)
        return bool(self._run("keep_batch", [_BATCH + name, _OPEN], [name, encoded(record), repr(now), repr(until)]))

    def name_batch(self, key: str, names: Collection[str], *, now: float) -> None:
        """See `BatchVerbs`."""
        name = encoded(key)
        keys = [_BATCH + name, *(_NAME + encoded(each) for each in names)]
        self._run("name_batch", keys, [name, repr(now)])

    def find_batch(self, name: str, *, now: float) -> KeptBatch | None:
        """See `BatchVerbs`."""
        word = encoded(name)
        found: list[bytes] | None = self._run("find_batch", [_NAME + word], [word, repr(now)])
        return _shown(found) if found else None

    def open_batches(self, *, now: float) -> Sequence[KeptBatch]:
        """See `BatchVerbs`."""
        found: list[bytes] = self._run("open_batches", [_OPEN], [repr(now)])
        return [_shown(found[i : i + _FIELDS]) for i in range(0, len(found), _FIELDS)]

    def count_lines(
        self, key: str, claims: Sequence[Claim], lines: Mapping[str, Amounts], *, now: float
    ) -> LinesCounted:
        """See `BatchVerbs`."""
        name = encoded(key)
        args: list[Any] = [repr(now), " ".join([*(repr(ends(claim)) for claim in claims), *rolling_words(claims)])]
        for line, amounts in lines.items():
            checked(amounts)
            args += [line_mark(line), " ".join(str(amounts.get(unit, 0)) for unit in UNITS)]
        keys = [_BATCH + name, _LINES + name, *self._claimed(claims)]
        marks: bytes
        marks, standings = self._run("count_lines", keys, args) or (b"", b"")
        if b"1" not in marks:
            return NONE_COUNTED
        new = frozenset(line for line, mark in zip(lines, marks, strict=True) if mark == ord("1"))
        return LinesCounted(new, self._standings(claims, standings.split()))

    def close_batch(self, key: str, *, now: float) -> bool:
        """See `BatchVerbs`."""
        name = encoded(key)
        return bool(self._run("close_batch", [_BATCH + name, _LINES + name, _OPEN], [name, repr(now)]))


def constants() -> str:
    """Return the lines of Lua that the scripts begin with."""
    return f"local BATCH = '{_BATCH.decode()}'\n"


def rolling_words(claims: Sequence[Claim]) -> list[str]:
    """Return the words of the claims' rolling windows, 0 for a claim without one; nothing if none has one."""
    if not any(claim.rolling for claim in claims):
        return []
    return [" ".join(str(claim.rolling or 0) for claim in claims)]


def _shown(found: Sequence[bytes]) -> KeptBatch:
    key, record, is_open, lines, nano_usd = found
    return KeptBatch(
        key=key.decode("utf-8", "surrogatepass"),
        record=record.decode("utf-8", "surrogatepass"),
        open=is_open == b"1",
        lines=int(lines),
        nano_usd=int(nano_usd),
    )
