"""The part of a tool's call that a cache of results takes: is the result known already, and may this one be kept?

The cache itself is in `savings`, which this room does not import: `core.tool_results` has its contract, and `runtime`
puts both together. It is made when the first call may be answered from it. Neither an error in it nor a store that is
down reaches the application: the tool is then called as if there were no cache.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from otel_agentcost.core.tool_cache import Keep, ToolCacheRules
from otel_agentcost.core.tool_results import Kept, Origin, Place, ToolResults
from otel_agentcost.diagnostics import report
from otel_agentcost.guard.executor import run_in_thread


class ToolCache:
    """The rules of the tool cache, and the cache, which is made when it is first needed."""

    def __init__(self, rules: ToolCacheRules, servers: tuple[str, ...], make: Callable[[], ToolResults | None]) -> None:
        """Create it.

        Args:
            rules: The rules of the settings.
            servers: The MCP servers that are believed if they say that a tool only reads.
            make: Makes the cache; None if it cannot be made.
        """
        self._rules = rules
        self._servers = servers
        self._make = make
        self._made: tuple[ToolResults | None] | None = None
        self.on = bool(rules) and not rules.off
        """True if the settings have a rule. Else only tools are kept whose code asks for it."""

    def keep(self, tool: str, own: Keep | None, origin: Callable[[], Origin | None]) -> tuple[Keep, Origin] | None:
        """Return the rule of a call, and what its result depends on; None if it is not kept.

        The exact name in the settings counts, then what the code says, a pattern in the settings, and `auto`.
        """
        rules = self._rules
        if rules.off or not (self.on or own is not None):
            return None
        keep = rules.get(tool) or own or rules.find(tool)
        if keep is None and rules.auto is None:
            return None
        found = origin() if keep is None or keep.seconds else None
        if found is None or found.destroys:
            return None
        if keep is None and found.reads_only and found.server in self._servers:
            keep = rules.auto
        return (keep, found) if keep is not None else None

    def close(self) -> None:
        """Close the store of the cache, if there is one."""
        if self._made is not None and self._made[0] is not None:
            self._made[0].close()

    def results(self) -> ToolResults | None:
        """Return the cache; None if it cannot be made, which was logged."""
        if self._made is None:
            self._made = (self._make(),)
        return self._made[0]


class Keeping(Protocol):
    """The call of a tool, as it is seen from here."""

    result: Any
    started_at: int

    def answered_by(self, kept: Kept) -> None:
        """Take note that the tool is not called, because its result is known."""
        ...

    @property
    def may_be_kept(self) -> bool:
        """True if the call has a result, which is no error, is not empty and was not kept before."""
        ...


def _same(result: Any) -> Any:
    return result


def kept_or(
    call: Keeping,
    place: Place,
    act: Callable[[], Any],
    take: Callable[[Any], object],
    renew: Callable[[Any], Any] = _same,
) -> Any:
    """Return the kept result of a call, or call the tool and keep its result.

    Args:
        call: The call, which is open.
        place: Where its result is kept.
        act: Calls the tool.
        take: Reads the result of the call from what the caller gets. It does not raise.
        renew: Makes a kept result one of this call, where results name their call.
    """
    kept = _find(place, renew)
    if kept is not None:
        call.answered_by(kept)
        take(kept.result)
        return kept.result
    result = act()
    take(result)
    _keep(call, place, result)
    return result


async def kept_or_awaited(
    call: Keeping,
    place: Place,
    act: Callable[[], Awaitable[Any]],
    take: Callable[[Any], object],
    renew: Callable[[Any], Any] = _same,
) -> Any:
    """Do as `kept_or`, without blocking the event loop."""
    kept = await run_in_thread(lambda: _find(place, renew), _nothing) if place.blocking else _find(place, renew)
    if kept is not None:
        call.answered_by(kept)
        take(kept.result)
        return kept.result
    result = await act()
    take(result)
    if place.blocking:
        await run_in_thread(lambda: _keep(call, place, result), _nothing)
    else:
        _keep(call, place, result)
    return result


def _find(place: Place, renew: Callable[[Any], Any]) -> Kept | None:
    try:
        kept = place.find()
        return kept if kept is None else Kept(renew(kept.result), kept.age, kept.nanoseconds)
    except Exception as bug:
        report("looking for the kept result of a tool", bug)
        return None


def _keep(call: Keeping, place: Place, result: Any) -> None:
    try:
        if call.may_be_kept and not is_empty(result):
            place.keep(result, time.monotonic_ns() - call.started_at)
    except Exception as bug:
        report("keeping the result of a tool", bug)


_SIZED: Final = (str, bytes, bytearray, list, tuple, dict, set, frozenset)


def is_empty(result: Any) -> bool:
    """Return True for None and for a text or container with nothing in it: the next call may well find something."""
    return result is None or (type(result) in _SIZED and not result)


def _nothing() -> None:
    """Undo nothing: what was found or kept meanwhile does no harm."""
