"""Definitions of tools that are sent with each request, and whose tool is never called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from otel_agentcost.core import money
from otel_agentcost.insight.recommendations import Evidence, Finding, Seen, Tally, Watcher, place
from otel_agentcost.store.offered_tools import Definitions

_BORDERS: Final = re.compile(r"\W+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SCALE: Final = 1_000_000
"""Billionths of a dollar for a character are small: they are summed in parts of this size."""

_CALLED: Final = frozenset({"tool_calls", "tool_call", "tool_use", "function_call"})
"""The reasons for which an answer ended that called a tool."""

_MOST: Final = 5_000
"""Lists of tools, by agent and place, beyond which no more are kept."""


def watch(_evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _UnusedTools()


class _UnusedTools(Watcher):
    sees = True

    def __init__(self) -> None:
        self._called: dict[str, set[str]] = {}
        """The tools whose calls are recorded, by agent."""
        self._calls: dict[str, int] = {}
        """The recorded calls of tools, by agent, less the answers that called some."""
        self._paid: dict[tuple[str, str, Definitions], tuple[int, int]] = {}
        """What each character of the prompts cost, and the calls, by agent, place and list of tools."""

    def see(self, seen: Seen) -> None:
        call = seen.call
        if call.names.tool:
            self._called.setdefault(call.names.agent, set()).add(_plain(call.names.tool))
            self._count(call.names.agent, 1)
        elif not _CALLED.isdisjoint(call.stop.lower().split(",")):
            self._count(call.names.agent, -1)
        if not call.offered or not call.characters or seen.basis is None:
            return
        cost = seen.repricing.cost(call, seen.basis)
        paid = money.add(money.add(cost.input_usd, cost.cache_read_usd), cost.cache_write_usd)
        key = (call.names.agent, place(call), call.offered)
        if key in self._paid or len(self._paid) < _MOST:
            before, calls = self._paid.get(key, (0, 0))
            self._paid[key] = before + money.to_nano(paid) * _SCALE // call.characters, calls + 1

    def _count(self, agent: str, number: int) -> None:
        self._calls[agent] = self._calls.get(agent, 0) + number

    def found(self) -> Iterator[Finding]:
        tally = Tally()
        recorded = set[str]().union(*self._called.values())
        for (agent, where, offered), (paid, calls) in self._paid.items():
            called = self._called.get(agent, set())
            if self._calls.get(agent, 0) < 0 or not all(_is_called(_plain(name), recorded) for name, _ in offered):
                continue  # some calls of these tools may be made where nothing sees them
            unused = [size for name, size in offered if not _is_called(_plain(name), called)]
            if len(unused) < len(offered):
                tally.add(where, paid * sum(unused) // _SCALE, calls if unused else 0)
        formula = (
            "dollars of the input x characters of the definitions of tools that the agent never called in the period / "
            "characters of the prompt with all definitions; only lists of which the agent called one tool, and of "
            "which calls of each tool are recorded, by any agent"
        )
        return tally.finding("unused_tools", "Leave out tools that are never called", "ceiling", formula)


def _plain(name: str) -> str:
    return _BORDERS.sub("_", name).lower()


def _is_called(name: str, called: set[str]) -> bool:
    """Return True if one of the names means the tool: one of two layers may have the server's name before it."""
    return name in called or any(name.endswith(f"_{other}") or other.endswith(f"_{name}") for other in called)
