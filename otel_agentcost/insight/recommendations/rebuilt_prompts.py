"""Prompts whose beginning changed although the conversation went on: the provider's cache could not be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from otel_agentcost.insight.recommendations import Bounded, Evidence, Finding, Seen, Tally, Watcher, place, thread
from otel_agentcost.insight.repricing import FRESH, moved
from otel_agentcost.store.fingerprints import shared

_LEAST: Final = 2_000
"""Tokens that make it worth saying."""

_SHARE: Final = 0.05
"""The share of the cached beginning that makes it worth saying."""

_LIFETIME: Final = 300.0
"""Seconds for which every cache keeps a prompt."""

_PROMPTS: Final = 4
"""The latest prompts of a conversation that are compared: calls of several roles may alternate in it."""

_REPEATED: Final = 2
"""Later parts that a prompt with another first part repeats, if it goes on with the same conversation. One may be the
task, which several roles get."""


class Before(NamedTuple):
    """An earlier call of the same thread."""

    at: float
    cached: int
    """Tokens that it has read from the cache or written to it."""
    segments: tuple[bytes, ...]

    def lost(self, read: int) -> int:
        """Return the tokens that were cached and not read again; 0 if they are too few to be worth saying."""
        lost = self.cached - read
        return lost if lost >= _LEAST and lost > _SHARE * self.cached else 0


def watch(_evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _RebuiltPrompts()


class _RebuiltPrompts(Watcher):
    sees = True

    def __init__(self) -> None:
        self._tally = Tally()
        self._before = Bounded[tuple[Before, ...]]()

    def see(self, seen: Seen) -> None:
        call, segments = seen.call, seen.segments
        if call.tokens is None or segments is None or not call.chain:
            return
        key = thread(call)
        kept = [each for each in self._before.get(key, ()) if call.at - each.at <= _LIFETIME]
        read = call.tokens.cache_read
        before = max(reversed(kept), key=lambda each: shared(each.segments, segments), default=None)
        lost = before.lost(read) if before is not None else 0
        if before is not None and lost and _is_rebuilt(before.segments, segments):
            same = shared(before.segments, segments)
            changed = "tools or system prompt" if not same else f"part {same + 1} of the prompt"
            counts = moved(call.counts, lost, FRESH, "cache_read_tokens")
            self._tally.add(f"{place(call)}: {changed} changed", seen.saved(counts))
        latest = Before(call.at, read + call.tokens.cache_write, segments)
        self._before.keep(key, (*kept, latest)[-_PROMPTS:])

    def found(self) -> Iterator[Finding]:
        formula = (
            "tokens that an earlier prompt of the conversation had cached, and that one with a changed beginning and "
            "the same later parts did not read within 5 minutes x (price paid - price of a cached token); what changes "
            "is paid anyway"
        )
        title = "Keep the beginning of prompts unchanged: append, and put what changes last"
        return self._tally.finding("rebuilt_prompts", title, "ceiling", formula)


def _is_rebuilt(before: tuple[bytes, ...], after: tuple[bytes, ...]) -> bool:
    """Return True if a prompt repeats parts of an earlier one behind a part that has changed."""
    same = shared(before, after)
    repeated = len(set(before[same:]).intersection(after[same:]))
    return same < len(before) and repeated >= (1 if same else _REPEATED)
