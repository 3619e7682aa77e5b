"""The rule `error_storm`: one tool fails in the same way again and again, with any arguments."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from otel_agentcost.core.loops import result_text
from otel_agentcost.core.loops.conversation import RESULT_KEPT, ToolCall, ToolResult, clip
from otel_agentcost.core.loops.progress import Progress
from otel_agentcost.core.loops.repetition import FAINT, FULL, SOFT, WEAK, Finding, Repetition, Similarity, Thresholds

_KINDS: Final = 6


class ErrorStormRule:
    """Counts the failures of one conversation by tool and kind, until the tool succeeds."""

    __slots__ = ("_current", "_kinds", "_progress", "_similarity", "_thresholds")

    def __init__(self, progress: Progress, similarity: Similarity, thresholds: Thresholds) -> None:
        self._progress = progress
        self._similarity = similarity
        self._thresholds = thresholds
        self._kinds: OrderedDict[tuple[str, str], Repetition] = OrderedDict()
        self._current: Repetition | None = None

    def size(self) -> int:
        return sum(300 + repetition.size() for repetition in self._kinds.values())

    def succeeded(self, tool: str) -> None:
        """Drop the failures of `tool`: it works again."""
        if self._kinds:
            for kind in [kind for kind in self._kinds if kind[0] == tool]:
                del self._kinds[kind]

    def failed(self, call: ToolCall, result: ToolResult) -> None:
        """Count a failure."""
        progress = self._progress
        kind = (call.tool, result_text.failure_signature(result.content))
        repetition = self._kinds.get(kind) or self._alike(kind)
        if repetition is None:
            repetition = self._kinds[kind] = Repetition(call.tool, progress.at)
            if len(self._kinds) > _KINDS:
                self._kinds.popitem(last=False)
        elif repetition.turn == progress.turn:
            return
        else:
            repetition.again(self._weight(repetition, result))
        repetition.turn, repetition.user, repetition.novel, repetition.writes = (
            progress.turn,
            progress.user,
            progress.novel,
            progress.writes,
        )
        repetition.arguments, repetition.result = call.arguments, clip(result.content, RESULT_KEPT)
        self._current = repetition

    def _weight(self, repetition: Repetition, result: ToolResult) -> int:
        """Return the weight of a failure: less if the mistakes differ, or if the user or other calls intervened."""
        if self._progress.user > repetition.user or self._progress.novel - repetition.novel > self._thresholds.apart:
            return FAINT
        written, missing = self._progress.writes > repetition.writes, result_text.is_not_found(result.content)
        if not (written or missing):
            return SOFT
        verbatim = result_text.stable_text(repetition.result) == result_text.stable_text(
            clip(result.content, RESULT_KEPT)
        )
        if written:  # a change brought another mistake to light
            return WEAK if verbatim else FAINT
        return SOFT if verbatim else WEAK

    def _alike(self, kind: tuple[str, str]) -> Repetition | None:
        for (tool, signature), repetition in self._kinds.items():
            if tool == kind[0] and (
                self._similarity(signature, kind[1]) >= self._thresholds.errors or _same_form(signature, kind[1])
            ):
                return repetition
        return None

    def findings(self) -> list[Finding]:
        repetition, progress = self._current, self._progress
        if repetition is None or repetition.turn != progress.turn or repetition.user != progress.user:
            return []
        return [repetition.finding("error_storm")] if repetition.credit >= self._thresholds.repeats * FULL else []


def _same_form(one: str, other: str) -> bool:
    """Return whether two failures are one sentence about different things: at most one in four words differs."""
    before, after = one.split(), other.split()
    if len(before) != len(after):
        return False
    return 4 * sum(map(str.__ne__, before, after)) <= len(before)
