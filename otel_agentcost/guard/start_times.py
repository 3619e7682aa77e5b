"""When each trace that has a limit of seconds was first seen. Bounded: the longest unused are forgotten first."""

from __future__ import annotations

import threading
from collections import OrderedDict

from otel_agentcost.core.budgets import Scope

AT_MOST = 10_000


class Beginnings:
    """First times, by scope and value. Used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first: OrderedDict[tuple[Scope, str], float] = OrderedDict()
        self._told: OrderedDict[tuple[str, str], None] = OrderedDict()

    def first(self, scope: Scope, value: str, now: float) -> float:
        """When it was first asked for: `now`, if it is the first time."""
        key = (scope, value)
        with self._lock:
            began = self._first.setdefault(key, now)
            self._first.move_to_end(key)
            while len(self._first) > AT_MOST:
                self._first.popitem(last=False)
        return began

    def is_news(self, rule: str, value: str) -> bool:
        """Whether it is said for the first time that `value` has taken longer than `rule` lets it."""
        key = (rule, value)
        with self._lock:
            if key in self._told:
                return False
            self._told[key] = None
            while len(self._told) > AT_MOST:
                self._told.popitem(last=False)
        return True
