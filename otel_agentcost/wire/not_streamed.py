"""The stream reader of formats that are not streamed: it ignores events and has its answer ready."""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from typing import Any

from otel_agentcost.core.call import Answer
from otel_agentcost.wire.format import SoFar


class NotStreamed:
    """Ignores events and returns a prepared answer."""

    __slots__ = ("_answer",)

    def __init__(self, answer: Answer) -> None:
        """Create a reader that returns `answer`."""
        self._answer = answer

    def feed(self, event: Any) -> None:
        """Ignore the event."""

    def so_far(self) -> SoFar:
        """Return nothing: no text is kept."""
        return SoFar([])

    def answer(self, *, complete: bool) -> Answer:
        """Return the prepared answer."""
        return self._answer
