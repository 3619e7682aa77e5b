"""The sums of one run by agent, model and tool, and what happened in it, for its tables in a notebook."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from otel_agentcost.core.run_tables import VIEWS, Happened
from otel_agentcost.core.spend import Line, Spend, Sums, by_dollars, open_reasons

_LINES: Final = 1_000
"""Combinations of agent, model and tool that are kept apart, and reasons."""

_EVENTS: Final = 1_000
"""Events that are kept: the latest ones."""

OTHERS: Final = "(others)"
"""The agent, model or tool of what comes beyond `_LINES`."""

Key = tuple[str, str, str]
"""The values of `VIEWS`. A text that is not known is empty."""


class RunSums:
    """The sums of one run. Thread-safe."""

    __slots__ = ("_lines", "_lock", "_reasons", "events")

    def __init__(self) -> None:
        """Start with nothing."""
        self._lock = threading.Lock()
        self._lines: dict[Key, Sums] = {}
        self._reasons: dict[str, int] = {}
        self.events: deque[Happened] = deque(maxlen=_EVENTS)

    def add(self, key: Key, sums: Sums, reason: str) -> None:
        """Add a call.

        Args:
            key: Its agent, model and tool.
            sums: Its figures.
            reason: Why it is unpriced; empty if it is not.
        """
        with self._lock:
            lines = self._lines
            before = lines.get(key)
            if before is None and len(lines) >= _LINES:
                _, model, tool = key
                key = (OTHERS, OTHERS if model else "", OTHERS if tool else "")
                before = lines.get(key)
            lines[key] = sums if before is None else before.plus(sums)
            if sums.unpriced:
                if reason not in self._reasons and len(self._reasons) >= _LINES:
                    reason = OTHERS
                self._reasons[reason] = self._reasons.get(reason, 0) + sums.unpriced

    def views(self) -> dict[str, Spend]:
        """Return what was spent, by each of `VIEWS`."""
        with self._lock:
            lines = list(self._lines.items())
        return {name: _view(name, at, lines) for at, name in enumerate(VIEWS)}

    def reasons(self) -> dict[str, int]:
        """Return why calls are unpriced, and how many."""
        with self._lock:
            return open_reasons(dict(self._reasons))


def _view(name: str, at: int, lines: list[tuple[Key, Sums]]) -> Spend:
    found: dict[str, Sums] = {}
    for key, sums in lines:
        if key[at] or name != "tool":
            found[key[at]] = found.get(key[at], Sums()).plus(sums)
    return Spend((name,), by_dollars(Line((key,), sums) for key, sums in found.items() if any(sums)))
