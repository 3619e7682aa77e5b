"""The rule `no_progress`: the model's own answers repeat.

An answer is what the model says without calling a tool with it; what it says beside a call ("let me look again") is
judged by what the call brings.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from otel_agentcost.core.loops import result_text, similarity
from otel_agentcost.core.loops.conversation import clip, digest
from otel_agentcost.core.loops.progress import Moment
from otel_agentcost.core.loops.repetition import FULL, PATIENT, SOFT, Finding, Similarity, Streak, Thresholds

_KEPT: Final = 8
_SAMPLE: Final = 300
_READ: Final = 4_096
_SHORTEST: Final = 4
"""Words: what is shorter ("Yes.", "Let me check.") is said often."""
_SUBSTANTIAL: Final = 8
"""Words of an answer that nobody gives twice by chance."""


class Answers:
    """The latest answers of one conversation."""

    __slots__ = ("_current", "_kinds", "_moment", "_pending", "_similarity", "_thresholds")

    def __init__(self, moment: Moment, text_similarity: Similarity, thresholds: Thresholds) -> None:
        self._moment = moment
        self._similarity = text_similarity
        self._thresholds = thresholds
        self._kinds: OrderedDict[int, Streak] = OrderedDict()
        self._pending: str | None = None
        self._current: Streak | None = None

    def size(self) -> int:
        return sum(streak.size() for streak in self._kinds.values())

    def say(self, text: str) -> None:
        """The model says `text`; whether that is an answer shows in what comes next."""
        self._pending = f"{self._pending} {text[:_READ]}" if self._pending else text[:_READ]

    def called(self) -> None:
        """The model calls a tool in the same turn."""
        self._pending = None

    def settle(self) -> None:
        """Nothing more comes with it for now."""
        self.flush()

    def flush(self) -> None:
        """The turn is over: what was said was an answer."""
        text, self._pending = self._pending, None
        if text is None:
            return
        said = result_text.essence(" ".join(text.split())).casefold()
        count = said.count(" ") + 1
        if count < _SHORTEST:
            self._current = None
            return
        key = digest(said)
        streak = self._kinds.get(key)
        exact = streak is not None
        if streak is None:
            streak = self._alike(text)
        if streak is None:
            streak = Streak(None, self._moment.at)
            streak.key = key
            self._kinds[key] = streak
            if len(self._kinds) > _KEPT:
                self._kinds.popitem(last=False)
        else:
            self._again(streak, exact=exact, substantial=count >= _SUBSTANTIAL)
            self._kinds.move_to_end(streak.key)
        moment = self._moment
        streak.turn, streak.user, streak.novel = moment.turn, moment.topics, moment.news
        streak.order, streak.raw = moment.user, moment.question
        streak.arguments = clip(text, _SAMPLE)
        self._current = streak

    def _again(self, streak: Streak, *, exact: bool, substantial: bool) -> None:
        moment = self._moment
        spoken, asked, learned = moment.user > streak.order, moment.topics > streak.user, moment.news > streak.novel
        if learned and not substantial:
            streak.restart(moment.at)
            return
        streak.near = streak.near or not exact
        if spoken and moment.question and moment.question == streak.raw:
            streak.again(PATIENT)  # the same question has the same answer
        elif asked:  # another matter may have the same answer: a label, a refusal, "Is there anything else?"
            streak.again(PATIENT)
        else:
            streak.again(SOFT if spoken or learned or not exact else FULL)

    def _alike(self, text: str) -> Streak | None:
        sample = clip(text, _SAMPLE)
        for streak in reversed(self._kinds.values()):
            if not 0.6 <= (len(sample) + 1) / (len(streak.arguments) + 1) <= 1.7:
                continue
            if similarity.near_texts(streak.arguments, sample, self._similarity, self._thresholds.answers):
                return streak
        return None

    def findings(self) -> list[Finding]:
        streak = self._current
        if streak is None or streak.turn != self._moment.turn or streak.credit < self._thresholds.repeats * FULL:
            return []
        return [streak.finding("no_progress")]
