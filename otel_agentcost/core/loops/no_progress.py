"""The rule `no_progress`: the model's own answers repeat.

An answer is a message of the model without a tool call in the same turn. A message beside a call ("let me look again")
does not count: the call does.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from otel_agentcost.core.loops import result_text, similarity
from otel_agentcost.core.loops.conversation import clip, digest
from otel_agentcost.core.loops.progress import Progress
from otel_agentcost.core.loops.repetition import FULL, PATIENT, SOFT, Finding, Repetition, Similarity, Thresholds

_KEPT: Final = 8
_SAMPLE: Final = 300
_READ: Final = 4_096
_SHORTEST: Final = 4
"""Words of an answer, at least: shorter ones ("Yes.", "Let me check.") are frequent."""
_SUBSTANTIAL: Final = 8
"""Words above which an answer does not repeat by chance."""


class NoProgressRule:
    """Counts the latest answers of one conversation."""

    __slots__ = ("_current", "_kinds", "_pending", "_progress", "_similarity", "_thresholds")

    def __init__(self, progress: Progress, text_similarity: Similarity, thresholds: Thresholds) -> None:
        self._progress = progress
        self._similarity = text_similarity
        self._thresholds = thresholds
        self._kinds: OrderedDict[int, Repetition] = OrderedDict()
        self._pending: str | None = None
        self._current: Repetition | None = None

    def size(self) -> int:
        return sum(repetition.size() for repetition in self._kinds.values())

    def say(self, text: str) -> None:
        """Take a message of the model. The next item shows whether it is an answer."""
        self._pending = f"{self._pending} {text[:_READ]}" if self._pending else text[:_READ]

    def called(self) -> None:
        """Drop the message: the model calls a tool in the same turn."""
        self._pending = None

    def settle(self) -> None:
        """Count the message as an answer: the request has no further items."""
        self.flush()

    def flush(self) -> None:
        """Count the message as an answer: the turn is over."""
        text, self._pending = self._pending, None
        if text is None:
            return
        said = result_text.stable_text(" ".join(text.split())).casefold()
        count = said.count(" ") + 1
        if count < _SHORTEST:
            self._current = None
            return
        key = digest(said)
        repetition = self._kinds.get(key)
        exact = repetition is not None
        if repetition is None:
            repetition = self._alike(text)
        if repetition is None:
            repetition = Repetition(None, self._progress.at)
            repetition.key = key
            self._kinds[key] = repetition
            if len(self._kinds) > _KEPT:
                self._kinds.popitem(last=False)
        else:
            self._again(repetition, exact=exact, substantial=count >= _SUBSTANTIAL)
            self._kinds.move_to_end(repetition.key)
        progress = self._progress
        repetition.turn, repetition.user, repetition.novel = progress.turn, progress.topics, progress.news
        repetition.order, repetition.raw = progress.user, progress.question
        repetition.arguments = clip(text, _SAMPLE)
        self._current = repetition

    def _again(self, repetition: Repetition, *, exact: bool, substantial: bool) -> None:
        progress = self._progress
        spoken, asked, learned = (
            progress.user > repetition.order,
            progress.topics > repetition.user,
            progress.news > repetition.novel,
        )
        if learned and not substantial:
            repetition.restart(progress.at)
            return
        repetition.near = repetition.near or not exact
        if spoken and progress.question and progress.question == repetition.raw:
            repetition.again(PATIENT)  # the same question gets the same answer
        elif asked:  # another question can get the same answer: a label, a refusal, "Is there anything else?"
            repetition.again(PATIENT)
        else:
            repetition.again(SOFT if spoken or learned or not exact else FULL)

    def _alike(self, text: str) -> Repetition | None:
        sample = clip(text, _SAMPLE)
        for repetition in reversed(self._kinds.values()):
            if not 0.6 <= (len(sample) + 1) / (len(repetition.arguments) + 1) <= 1.7:
                continue
            if similarity.are_similar_answers(repetition.arguments, sample, self._similarity, self._thresholds.answers):
                return repetition
        return None

    def findings(self) -> list[Finding]:
        repetition = self._current
        if (
            repetition is None
            or repetition.turn != self._progress.turn
            or repetition.credit < self._thresholds.repeats * FULL
        ):
            return []
        return [repetition.finding("no_progress")]
