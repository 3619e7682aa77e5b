"""The rule `stall`: the context grows, turn by turn, and nothing new comes back.

Only tools that are asked for something count: of those that do something, or wait, nothing new is expected.
"""

from __future__ import annotations

from typing import Final

from otel_agentcost.core.loops import result_text, similarity, tool_names
from otel_agentcost.core.loops.conversation import RESULT_KEPT, ToolCall, ToolResult, clip
from otel_agentcost.core.loops.progress import Moment
from otel_agentcost.core.loops.repetition import FULL, PATIENT, Finding, Streak, Thresholds

_LABEL: Final = 24
"""Characters below which a result that was seen before is but a label ("neutral", "healthy"): many things have it."""


class Stalls:
    """How many turns in a row brought nothing new."""

    __slots__ = ("_fresh", "_moment", "_streak", "_thresholds")

    def __init__(self, moment: Moment, thresholds: Thresholds) -> None:
        self._moment = moment
        self._thresholds = thresholds
        self._streak: Streak | None = None
        self._fresh = 0
        """The last turn that brought something new."""

    def reset(self) -> None:
        """Something new has come."""
        self._streak = None

    def returned(self, call: ToolCall, result: ToolResult, *, new: bool) -> None:
        """A call has come back."""
        turn, content = self._moment.turn, result.content
        if new:
            self._fresh = turn
            self._streak = None
            return
        if (
            self._fresh == turn
            or tool_names.tells_nothing(call.tool)
            or tool_names.waits(call.tool, call.arguments, content)
        ):
            return
        if not result_text.empty(content) and (len(content) < _LABEL or result_text.acknowledges(content)):
            return
        streak = self._streak
        if streak is None:
            streak = self._streak = Streak(call.tool, self._moment.at)
        elif streak.turn != turn:
            idle = self._moment.writes == streak.writes and (streak.tool != call.tool or self._goes_on(streak, call))
            streak.again(FULL if idle else PATIENT)
            streak.tool = call.tool
        streak.turn, streak.user, streak.writes = turn, self._moment.user, self._moment.writes
        streak.arguments, streak.result = call.arguments, clip(content, RESULT_KEPT)

    def _goes_on(self, streak: Streak, call: ToolCall) -> bool:
        """Whether it is about the same things; one that asks about one thing after the other has reason to go on."""
        return similarity.same_things(streak.arguments, call.arguments)

    def findings(self) -> list[Finding]:
        streak = self._streak
        if streak is None or streak.turn != self._moment.turn or streak.credit < self._thresholds.stall * FULL:
            return []
        return [streak.finding("stall")]
