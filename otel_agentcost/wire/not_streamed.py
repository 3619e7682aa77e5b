"""The stream reader of formats that are not streamed: it sees nothing and has its answer ready."""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from typing import Any

from otel_agentcost.core.call import Answer
from otel_agentcost.wire.format import SoFar


class Uncounted:
    """Reads nothing."""

    __slots__ = ("_answer",)

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def feed(self, event: Any) -> None:
        """Takes in one event."""

    def so_far(self) -> SoFar:
        """Nothing: no text is kept."""
        return SoFar([])

    def answer(self, *, complete: bool) -> Answer:
        """The answer that was known beforehand."""
        return self._answer
