"""The rule `error_storm`: one tool fails in the same way again and again, whatever it is called with."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from otel_agentcost.core.loops import result_text
from otel_agentcost.core.loops.conversation import RESULT_KEPT, ToolCall, ToolResult, clip
from otel_agentcost.core.loops.progress import Moment
from otel_agentcost.core.loops.repetition import FAINT, FULL, SOFT, WEAK, Finding, Similarity, Streak, Thresholds

_KINDS: Final = 6


class Failures:
    """The kinds of failures of one conversation that have not been overcome."""

    __slots__ = ("_current", "_kinds", "_moment", "_similarity", "_thresholds")

    def __init__(self, moment: Moment, similarity: Similarity, thresholds: Thresholds) -> None:
        self._moment = moment
        self._similarity = similarity
        self._thresholds = thresholds
        self._kinds: OrderedDict[tuple[str, str], Streak] = OrderedDict()
        self._current: Streak | None = None

    def size(self) -> int:
        return sum(300 + streak.size() for streak in self._kinds.values())

    def succeeded(self, tool: str) -> None:
        """The tool can do what it is for: whatever was wrong before is overcome."""
        if self._kinds:
            for kind in [kind for kind in self._kinds if kind[0] == tool]:
                del self._kinds[kind]

    def failed(self, call: ToolCall, result: ToolResult) -> None:
        """One more failure."""
        moment = self._moment
        kind = (call.tool, result_text.signature(result.content))
        streak = self._kinds.get(kind) or self._alike(kind)
        if streak is None:
            streak = self._kinds[kind] = Streak(call.tool, moment.at)
            if len(self._kinds) > _KINDS:
                self._kinds.popitem(last=False)
        elif streak.turn == moment.turn:
            return
        else:
            streak.again(self._weight(streak, result))
        streak.turn, streak.user, streak.novel, streak.writes = moment.turn, moment.user, moment.novel, moment.writes
        streak.arguments, streak.result = call.arguments, clip(result.content, RESULT_KEPT)
        self._current = streak

    def _weight(self, streak: Streak, result: ToolResult) -> int:
        """What it counts: less where other things are wrong each time, and where others had a say."""
        if self._moment.user > streak.user or self._moment.novel - streak.novel > self._thresholds.apart:
            return FAINT
        written, missing = self._moment.writes > streak.writes, result_text.missing(result.content)
        if not (written or missing):
            return SOFT
        verbatim = result_text.essence(streak.result) == result_text.essence(clip(result.content, RESULT_KEPT))
        if written:  # something was changed, and another mistake came to light
            return WEAK if verbatim else FAINT
        return SOFT if verbatim else WEAK

    def _alike(self, kind: tuple[str, str]) -> Streak | None:
        for (tool, signature), streak in self._kinds.items():
            if tool == kind[0] and (
                self._similarity(signature, kind[1]) >= self._thresholds.errors or _same_form(signature, kind[1])
            ):
                return streak
        return None

    def findings(self) -> list[Finding]:
        streak, moment = self._current, self._moment
        if streak is None or streak.turn != moment.turn or streak.user != moment.user:
            return []
        return [streak.finding("error_storm")] if streak.credit >= self._thresholds.repeats * FULL else []


def _same_form(one: str, other: str) -> bool:
    """Whether two failures are one sentence about different things: of four words, one is another."""
    before, after = one.split(), other.split()
    if len(before) != len(after):
        return False
    return 4 * sum(map(str.__ne__, before, after)) <= len(before)
