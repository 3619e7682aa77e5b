"""The rule `stall`: the context grows turn by turn without any new result.

Only tools that return information count: tools that write or wait are not expected to return anything new.
"""

from __future__ import annotations

from typing import Final

from otel_agentcost.core.loops import result_text, similarity, tool_names
from otel_agentcost.core.loops.conversation import RESULT_KEPT, ToolCall, ToolResult, clip
from otel_agentcost.core.loops.progress import Progress
from otel_agentcost.core.loops.repetition import FULL, PATIENT, Finding, Repetition, Thresholds

_LABEL: Final = 24
"""Characters below which a known result is only a label ("neutral", "healthy"), which many things have."""


class StallRule:
    """Counts consecutive turns without a new result."""

    __slots__ = ("_fresh", "_progress", "_repetition", "_thresholds")

    def __init__(self, progress: Progress, thresholds: Thresholds) -> None:
        self._progress = progress
        self._thresholds = thresholds
        self._repetition: Repetition | None = None
        self._fresh = 0
        """The last turn with a new result."""

    def reset(self) -> None:
        """Start anew: there is new input."""
        self._repetition = None

    def returned(self, call: ToolCall, result: ToolResult, *, new: bool) -> None:
        """Count a call that has returned."""
        turn, content = self._progress.turn, result.content
        if new:
            self._fresh = turn
            self._repetition = None
            return
        if (
            self._fresh == turn
            or tool_names.has_no_informative_result(call.tool)
            or tool_names.waits(call.tool, call.arguments, content)
        ):
            return
        if not result_text.is_empty(content) and (len(content) < _LABEL or result_text.is_acknowledgement(content)):
            return
        repetition = self._repetition
        if repetition is None:
            repetition = self._repetition = Repetition(call.tool, self._progress.at)
        elif repetition.turn != turn:
            idle = self._progress.writes == repetition.writes and (
                repetition.tool != call.tool or self._goes_on(repetition, call)
            )
            repetition.again(FULL if idle else PATIENT)
            repetition.tool = call.tool
        repetition.turn, repetition.user, repetition.writes = turn, self._progress.user, self._progress.writes
        repetition.arguments, repetition.result = call.arguments, clip(content, RESULT_KEPT)

    def _goes_on(self, repetition: Repetition, call: ToolCall) -> bool:
        """Return whether a call has the same subjects as the last one; a new subject is progress."""
        return similarity.have_same_subjects(repetition.arguments, call.arguments)

    def findings(self) -> list[Finding]:
        repetition = self._repetition
        if (
            repetition is None
            or repetition.turn != self._progress.turn
            or repetition.credit < self._thresholds.stall * FULL
        ):
            return []
        return [repetition.finding("stall")]
