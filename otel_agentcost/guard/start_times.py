"""The start times of traces and runs that have a limit of seconds. Bounded: the least recently used are dropped."""

from __future__ import annotations

import threading
from collections import OrderedDict

from otel_agentcost.core.budgets import Scope
from otel_agentcost.guard import forks

AT_MOST = 10_000


class StartTimes:
    """Start times by scope and value. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        forks.watch(self)
        self._starts: OrderedDict[tuple[Scope, str], float] = OrderedDict()
        self._reported: OrderedDict[tuple[str, str], None] = OrderedDict()

    def after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may hold."""
        self._lock = threading.Lock()

    def start_of(self, scope: Scope, value: str, now: float) -> float:
        """Return the start in epoch seconds: `now` if it is asked for the first time."""
        key = (scope, value)
        with self._lock:
            start = self._starts.setdefault(key, now)
            self._starts.move_to_end(key)
            while len(self._starts) > AT_MOST:
                self._starts.popitem(last=False)
        return start

    def is_first_report(self, rule: str, value: str) -> bool:
        """Return True once for each `rule` and `value`: their overrun is reported once."""
        key = (rule, value)
        with self._lock:
            if key in self._reported:
                return False
            self._reported[key] = None
            while len(self._reported) > AT_MOST:
                self._reported.popitem(last=False)
        return True
