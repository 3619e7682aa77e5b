"""Lifetimes of cached prompts that do not fit the time between calls: an hour where minutes do, or the reverse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from otel_agentcost.insight.recommendations import Bounded, Evidence, Finding, Seen, Tally, Watcher, place, thread
from otel_agentcost.insight.recommendations.rebuilt_prompts import Before
from otel_agentcost.insight.repricing import FRESH, WRITES, Other, moved, renamed
from otel_agentcost.store.fingerprints import shared

_SHORT: Final = 300.0
_LONG: Final = 3600.0


class _Prefix(NamedTuple):
    """Prompts that begin alike."""

    at: float
    waiting: tuple[tuple[str, int], ...]
    """Places and savings of writes for an hour that have not needed it yet."""


class _Longer:
    """The balance of an agent and a model, if its prompts were kept for an hour."""

    def __init__(self) -> None:
        self.nusd = self.calls = 0
        self.has_price = False


def watch(evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _CacheLifetimes(evidence.until)


class _CacheLifetimes(Watcher):
    sees = True

    def __init__(self, until: float) -> None:
        self._until = until
        self._shorter = Tally()
        self._longer: dict[str, _Longer] = {}
        self._prefixes = Bounded[_Prefix]()
        self._before = Bounded[Before]()

    def see(self, seen: Seen) -> None:
        tokens = seen.call.tokens
        if tokens is None or not (tokens.cache_read or tokens.cache_write) or seen.segments is None:
            return
        self._see_hours(seen, seen.segments)
        self._see_minutes(seen, seen.segments)

    def _see_hours(self, seen: Seen, segments: tuple[bytes, ...]) -> None:
        """Take a call for the question if what is kept for an hour is needed for less than five minutes."""
        call = seen.call
        key = (call.names.provider, call.names.model, segments[0])
        before = self._prefixes.get(key)
        waiting = before.waiting if before is not None else ()
        gap = call.at - before.at if before is not None else 0.0
        if gap > _LONG:
            self._count(waiting)
            waiting = ()
        elif gap > _SHORT:  # the hour was of use
            waiting = ()
        counts = call.counts
        if any("_1h_" in kind for kind in counts):
            counts = renamed(counts, lambda kind: kind.replace("_1h_", "_5m_"))
            waiting = (*waiting, (place(call), seen.saved(counts)))
        self._prefixes.keep(key, _Prefix(call.at, waiting))

    def _see_minutes(self, seen: Seen, segments: tuple[bytes, ...]) -> None:
        """Take a call for the question if what is kept for five minutes is needed again within the hour."""
        call, tokens = seen.call, seen.call.tokens
        if tokens is None or seen.basis is None or call.nusd is None:
            return
        balance = self._longer.setdefault(place(call), _Longer())
        counts = call.counts
        if tokens.cache_write:
            nusd = seen.repricing.nusd(call, seen.basis, Other(renamed(counts, _for_an_hour)))
            # Without a price of its own, an hour looks like five minutes: then there is none at this provider.
            if nusd is None or nusd <= call.nusd:
                return
            balance.has_price = True
        key = thread(call)
        lost = _lost(self._before.get(key), call.at, tokens.cache_read, segments)
        if lost or tokens.cache_write:
            counts = moved(counts, lost, FRESH, "cache_read_tokens")  # what is read is not written again
            nusd = seen.repricing.nusd(call, seen.basis, Other(renamed(counts, _for_an_hour)))
            balance.nusd += call.nusd - nusd if nusd is not None else 0
            balance.calls += bool(lost)
        self._before.keep(key, Before(call.at, tokens.cache_read + tokens.cache_write, segments))

    def found(self) -> Iterator[Finding]:
        for prefix in self._prefixes.values():
            if prefix.at < self._until - _LONG:
                self._count(prefix.waiting)
        yield from self._shorter.finding(
            "cache_lifetimes",
            "Keep these prompts for five minutes, not for an hour",
            "exact",
            "tokens written for an hour, where each next call came within 5 minutes or not within the hour x (price of "
            "writing for an hour - for 5 minutes)",
        )
        longer = Tally()
        for where, balance in self._longer.items():
            if balance.has_price:
                longer.add(where, balance.nusd, balance.calls)
        yield from longer.finding(
            "cache_lifetimes",
            "Keep these prompts for an hour, not for five minutes",
            "exact",
            "tokens that were paid again 5 to 60 minutes after an equal beginning x (price paid - price of a cached "
            "token), less the surcharge for an hour of all other tokens that were written",
        )

    def _count(self, waiting: tuple[tuple[str, int], ...]) -> None:
        for where, nusd in waiting:
            self._shorter.add(where, nusd)


def _lost(before: Before | None, at: float, read: int, segments: tuple[bytes, ...]) -> int:
    """Return the tokens that were cached 5 to 60 minutes ago, and that an equal beginning did not read."""
    if before is None or not _SHORT < at - before.at <= _LONG:
        return 0
    unchanged = shared(before.segments, segments) == len(before.segments)
    return before.lost(read) if unchanged else 0


def _for_an_hour(kind: str) -> str:
    """Return the kind of tokens that are written for an hour, in place of those written for less."""
    if kind not in WRITES or "_1h_" in kind:
        return kind
    return f"{kind.removesuffix('_tokens').removesuffix('_5m')}_1h_tokens"
