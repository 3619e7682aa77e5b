"""Prompts with a time or a random id ahead of text that stays the same: nothing behind it can be cached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from otel_agentcost.insight.recommendations import Bounded, Evidence, Finding, Seen, Tally, Watcher, place, thread
from otel_agentcost.insight.repricing import FRESH, moved
from otel_agentcost.savings.prompt_cache.rules import rule
from otel_agentcost.store.fingerprints import shared


def watch(_evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _VolatilePrompts()


class _Before(NamedTuple):
    """The call before in the same thread."""

    at: float
    input: int
    first: int
    """The input tokens of the call with which its messages began to grow: those behind are no part of what changes."""
    segments: tuple[bytes, ...]


class _VolatilePrompts(Watcher):
    sees = True

    def __init__(self) -> None:
        self._tally = Tally()
        self._before = Bounded[_Before]()

    def see(self, seen: Seen) -> None:
        call, tokens, marks, segments = seen.call, seen.call.tokens, seen.call.marks, seen.segments
        if tokens is None or marks is None or not marks.volatile or segments is None:
            return
        found = rule(call.names.provider, call.names.model)
        before = self._before.get(thread(call))
        same = shared(before.segments, segments) if before is not None else 0
        repeats = before is not None and _repeats_behind(before.segments, segments, same)
        grows = before is not None and repeats and len(segments) > len(before.segments)
        first = before.first if before is not None and grows else tokens.input
        self._before.keep(thread(call), _Before(call.at, tokens.input, first, segments))
        if found is None or before is None or not repeats or not 0 <= call.at - before.at <= found.lifetime:
            return
        # Of a message that changes, nothing is known to repeat; of a system prompt, all but the time or the id may.
        repeated = min(before.input, tokens.input)
        more = repeated - tokens.cache_read
        if marks.volatile != "system":
            more = min(more, repeated - before.first)
        elif same != (1 if call.offered else 0):
            return  # it is another part that has changed
        if repeated >= (found.least or 0) and more > 0:
            counts = moved(call.counts, more, FRESH, "cache_read_tokens")
            self._tally.add(f"{place(call)}: {marks.volatile}", seen.saved(counts))

    def found(self) -> Iterator[Finding]:
        formula = (
            "tokens of the prompt before, of which the next one within the time for which it is kept repeats all but "
            "the part with a time or a random id, and that were not read from the cache x (price paid - price of a "
            "cached token); a message with a time or an id does not count itself, a system prompt does"
        )
        title = "Put times and random ids behind the text that stays the same"
        return self._tally.finding("volatile_prompts", title, "ceiling", formula)


def _repeats_behind(before: tuple[bytes, ...], after: tuple[bytes, ...], same: int) -> bool:
    """Return True if one part has changed, and all of those behind it are in the next prompt, too, in their places."""
    behind = before[same + 1 :]
    return bool(behind) and after[same + 1 : len(before)] == behind
