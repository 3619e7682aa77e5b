"""Prompts that were written to a cache at a surcharge, and that no call has read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from otel_agentcost.insight.recommendations import Evidence, Finding, Seen, Tally, Watcher, place
from otel_agentcost.insight.repricing import WRITES, moved

_HOUR: Final = 3600.0
"""Seconds after which no cache keeps a prompt that was not read."""

_SWEEP: Final = 10_000
"""Calls after which writes that nobody has read are counted and forgotten."""

_Key = tuple[str, str, bytes | str]


def watch(evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _UnreadCacheWrites(evidence.until)


class _UnreadCacheWrites(Watcher):
    sees = True

    def __init__(self, until: float) -> None:
        self._until = until
        self._tally = Tally()
        self._waiting: dict[_Key, list[Seen]] = {}
        self._seen = 0

    def see(self, seen: Seen) -> None:
        call = seen.call
        self._seen += 1
        if self._seen % _SWEEP == 0:
            self._forget(call.at - _HOUR)
        if call.tokens is None or not (call.tokens.cache_read or call.tokens.cache_write):
            return
        # Calls with the same first part (tools, system prompt) can read what the other has written.
        begins = seen.segments[0] if seen.segments else call.chain
        key = (call.names.provider, call.names.model, begins)
        waiting = self._waiting.get(key)
        if waiting is not None:
            self._waiting[key] = [each for each in waiting if not _reads(seen, each)]
        if call.tokens.cache_write:
            self._waiting.setdefault(key, []).append(seen)

    def found(self) -> Iterator[Finding]:
        self._forget(self._until - _HOUR)
        formula = (
            "tokens written and not read by any call within the hour x (price of writing - price of a fresh token)"
        )
        title = "Do not mark prompts for the cache that nobody sends again"
        return self._tally.finding("unread_cache_writes", title, "exact", formula)

    def _forget(self, before: float) -> None:
        for key, waiting in list(self._waiting.items()):
            for seen in waiting:
                if seen.call.at < before and seen.call.tokens is not None:
                    counts = moved(seen.call.counts, seen.call.tokens.cache_write, WRITES, "input_tokens")
                    self._tally.add(place(seen.call), seen.saved(counts))
            left = [seen for seen in waiting if seen.call.at >= before]
            if left:
                self._waiting[key] = left
            else:
                del self._waiting[key]


def _reads(reader: Seen, writer: Seen) -> bool:
    """Return True if a later call may have read what an earlier one wrote: it read more than that one did."""
    after, before = reader.call.tokens, writer.call.tokens
    if after is None or before is None or reader.call.at - writer.call.at > _HOUR:
        return False
    return after.cache_read > before.cache_read
