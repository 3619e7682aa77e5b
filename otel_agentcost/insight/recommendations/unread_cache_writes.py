"""Prompts that were written to a cache at a surcharge, and that no call has read."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from otel_agentcost.insight.recommendations import Evidence, Finding, Seen, Tally, Watcher, place
from otel_agentcost.insight.repricing import WRITES, moved

_HOUR: Final = 3600.0
"""Seconds after which no cache keeps a prompt that was not read."""

_SWEEP: Final = 10_000
"""Calls after which writes that no call has read are counted and forgotten."""

_Key = tuple[str, str, bytes | str]


class _Write(NamedTuple):
    """A write that no call has read yet."""

    at: float
    where: str
    nusd: int
    """Its surcharge, in billionths of a dollar."""


class _Writes:
    """Writes of prompts that begin alike, by the tokens that their call had read: a later call that reads more has read
    them. They are kept in order, so that the time of a call does not grow with their number.
    """

    def __init__(self) -> None:
        self._levels: list[int] = []
        self._by_level: dict[int, deque[_Write]] = {}

    def add(self, level: int, write: _Write) -> None:
        writes = self._by_level.get(level)
        if writes is None:
            writes = self._by_level[level] = deque()
            insort(self._levels, level)
        writes.append(write)

    def read(self, tokens: int, since: float) -> Iterator[_Write]:
        """Forget what a call has read, and yield what was too old for it."""
        end = bisect_left(self._levels, tokens)
        for level in self._levels[:end]:
            yield from _before(self._by_level.pop(level), since)
        del self._levels[:end]

    def forget(self, since: float) -> Iterator[_Write]:
        """Forget and yield what was written earlier."""
        for writes in self._by_level.values():
            yield from _before(writes, since)
        self._levels = [level for level in self._levels if self._by_level[level]]
        self._by_level = {level: self._by_level[level] for level in self._levels}

    def __bool__(self) -> bool:
        return bool(self._levels)


def watch(evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _UnreadCacheWrites(evidence.until)


class _UnreadCacheWrites(Watcher):
    sees = True

    def __init__(self, until: float) -> None:
        self._until = until
        self._tally = Tally()
        self._waiting: dict[_Key, _Writes] = {}
        self._seen = 0

    def see(self, seen: Seen) -> None:
        call, tokens = seen.call, seen.call.tokens
        self._seen += 1
        if self._seen % _SWEEP == 0:
            self._forget(call.at - _HOUR)
        if tokens is None or not (tokens.cache_read or tokens.cache_write):
            return
        # Calls with the same first part (tools, system prompt) can read what the other has written.
        begins = seen.segments[0] if seen.segments else call.chain
        key = (call.names.provider, call.names.model, begins)
        waiting = self._waiting.get(key)
        if waiting is not None and tokens.cache_read:
            self._count(waiting.read(tokens.cache_read, call.at - _HOUR))
        if tokens.cache_write:
            nusd = seen.saved(moved(call.counts, tokens.cache_write, WRITES, "input_tokens"))
            if nusd:
                self._waiting.setdefault(key, _Writes()).add(tokens.cache_read, _Write(call.at, place(call), nusd))

    def found(self) -> Iterator[Finding]:
        self._forget(self._until - _HOUR)
        formula = (
            "tokens written and not read by any call within the hour x (price of writing - price of a fresh token)"
        )
        title = "Do not mark prompts for the cache that nobody sends again"
        return self._tally.finding("unread_cache_writes", title, "exact", formula)

    def _forget(self, before: float) -> None:
        for key, waiting in list(self._waiting.items()):
            self._count(waiting.forget(before))
            if not waiting:
                del self._waiting[key]

    def _count(self, writes: Iterator[_Write]) -> None:
        for write in writes:
            self._tally.add(write.where, write.nusd)


def _before(writes: deque[_Write], since: float) -> Iterator[_Write]:
    """Take the writes of an earlier time out of a queue, which is in the order of time."""
    while writes and writes[0].at < since:
        yield writes.popleft()
