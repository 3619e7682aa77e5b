"""Detect loops in one conversation, which is fed item by item in its order.

`LoopDetector.feed` takes new items; `LoopDetector.findings` returns the current loops: those whose latest round was in
the latest turn of the model, without a message of the user since. A turn is all that the model says and calls at once.
Repetitions within a turn do not count, because the model has not seen the results. The detector keeps digests, and
short samples as evidence.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from otel_agentcost.core.loops import result_text, similarity, tool_names, weights
from otel_agentcost.core.loops.conversation import RESULT_KEPT, Item, TextMessage, ToolCall, ToolResult, clip, digest
from otel_agentcost.core.loops.error_storm import ErrorStormRule
from otel_agentcost.core.loops.no_progress import NoProgressRule
from otel_agentcost.core.loops.progress import Progress
from otel_agentcost.core.loops.repetition import FULL, PATIENT, Finding, Repetition, Similarity, Thresholds
from otel_agentcost.core.loops.stall import StallRule

__all__ = ["LoopDetector"]

_KINDS: Final = 40
"""The number of kinds of calls that are kept; the least recent ones are dropped."""
_ROOM: Final = 36_000
"""Bytes for all of them together."""
_RESULTS: Final = 64
"""The number of results whose digests are kept."""
_OPEN: Final = 64
"""The number of calls of one turn that are evaluated."""
_LEFT_OPEN: Final = 16
"""The number of them whose results can come with a later request."""
_OPEN_CALL: Final = 850
"""The size of each in bytes, at most."""
_COMPARED: Final = 8
"""The number of calls that a new one is compared with, the latest first."""
_WORDINGS: Final = 2
"""The number of earlier wordings of a call that are kept."""
_LABEL: Final = 24
"""Characters below which a result is only a label ("negative"), which many things have."""


_DRAFT: Final = 12
"""Spaces in a message before a hand-off, at least, for it to count as work for another agent."""


class LoopDetector:
    """Detects loops in one conversation. Not thread-safe."""

    __slots__ = (
        "_drafts",
        "_error_storm",
        "_groups",
        "_hot",
        "_kinds",
        "_new",
        "_no_progress",
        "_open",
        "_progress",
        "_results",
        "_room",
        "_similarity",
        "_stall",
        "_thresholds",
        "_users",
    )

    def __init__(self, text_similarity: Similarity, thresholds: Thresholds | None = None) -> None:
        self._similarity = text_similarity
        self._thresholds = thresholds or Thresholds()
        self._progress = Progress()
        self._kinds: OrderedDict[int, Repetition] = OrderedDict()
        self._room = 0
        self._open: list[ToolCall] = []
        self._results: OrderedDict[int, None] = OrderedDict()
        self._users: OrderedDict[int, None] = OrderedDict()
        self._drafts: OrderedDict[int, None] = OrderedDict()
        self._groups: dict[tuple[str, int], list[Repetition]] = {}
        """The kinds of calls, by their tool and the key that similar ones share."""
        self._hot: list[Repetition] = []
        self._new = _New()
        self._no_progress = NoProgressRule(self._progress, text_similarity, self._thresholds)
        self._error_storm = ErrorStormRule(self._progress, text_similarity, self._thresholds)
        self._stall = StallRule(self._progress, self._thresholds)

    def size(self) -> int:
        """Return its approximate size in bytes."""
        others = (
            self._no_progress.size()
            + self._error_storm.size()
            + 120 * (len(self._results) + len(self._users) + len(self._drafts))
        )
        return 4_000 + self._room + others + _OPEN_CALL * len(self._open)

    # --- input ---

    def feed(self, items: Iterable[Item], at: int) -> None:
        """Take new items.

        Args:
            items: The items that follow those of earlier calls.
            at: Their position, in the caller's unit. `Finding.since` is in the same unit.
        """
        self._progress.at = at
        for item in items:
            if type(item) is ToolCall:
                self._called(item)
            elif type(item) is ToolResult:
                self._returned(item)
            elif type(item) is TextMessage:
                self._said(item)
        if len(self._open) > _LEFT_OPEN:
            del self._open[_LEFT_OPEN:]

    def fit(self, room: int) -> None:
        """Drop the least recent kinds of calls until the detector takes at most `room` bytes."""
        most = room - (self.size() - self._room)
        while self._room > most and len(self._kinds) > 1:
            self._forget_oldest()

    def _called(self, call: ToolCall) -> None:
        if self._progress.model_acts():
            self._open.clear()  # results that are missing by now will not come
        self._no_progress.called()
        if len(self._open) < _OPEN:
            self._open.append(call)

    def _said(self, said: TextMessage) -> None:
        if said.by_model:
            self._no_progress.flush()
            self._progress.model_acts()
            self._no_progress.say(said.text)
            if said.text.count(" ") >= _DRAFT:
                self._progress.drafts += self._is_new_draft(said.text)
            return
        self._no_progress.flush()
        self._progress.model_receives()
        progress, plain = self._progress, " ".join(said.text[:4096].lower().split())
        urged = result_text.is_nudge(plain)
        known = digest(result_text.without_digits(plain) if urged else plain)  # "3 steps left", "2 steps left"
        progress.question = 0 if urged else known
        if known not in self._users:
            progress.user += 1
            progress.topics += not urged
            self._stall.reset()
            _remember(self._users, known, 24)
        elif not urged:  # a repeated question gets the same answer
            progress.user += 1
            progress.topics += 1
            self._stall.reset()

    def _is_new_draft(self, text: str) -> bool:
        known = digest(result_text.stable_text(text[:4096]).casefold())
        new = known not in self._drafts
        _remember(self._drafts, known, 24)
        return new

    def _returned(self, result: ToolResult) -> None:
        self._progress.model_receives()
        call = self._of(result)
        if call is None:
            return
        progress = self._progress
        progress.order += 1
        raw = digest(result.content)
        self._new.waits = self._new.exchanged = False
        failed = result.error or result_text.is_failure(result.content)
        repetition = self._kinds.get(call.key) or self._alike(call, result, raw)
        new = raw not in self._results and not result_text.is_empty(result.content)
        if repetition is None:
            repetition = self._begin(call, result, raw)
            progress.novel += new
            progress.writes += not failed and tool_names.is_write(call.tool)
        elif repetition.turn == progress.turn:
            return  # called twice in one turn
        else:
            new = self._once_more(repetition, call, result, raw, new=new)
        self._note(repetition)
        if tool_names.sleeps(call.tool, call.arguments):
            progress.slept = progress.order
        if failed:
            self._error_storm.failed(call, result)
        else:
            self._error_storm.succeeded(call.tool)
        if not self._new.waits:
            self._stall.returned(call, result, new=new)
        if new:
            progress.news += 1
            _remember(self._results, raw, _RESULTS)

    def _of(self, result: ToolResult) -> ToolCall | None:
        """Return the call of a result: by its id, else the first of that tool, else the first."""
        for at, call in enumerate(self._open):
            if call.id == result.id if result.id is not None else result.tool in (None, call.tool):
                return self._open.pop(at)
        if result.id is not None:
            return None
        return self._open.pop(0) if self._open and result.tool is None else None

    # --- kinds of calls ---

    def _begin(self, call: ToolCall, result: ToolResult, raw: int) -> Repetition:
        repetition = Repetition(call.tool, self._progress.at)
        repetition.key, repetition.raw = call.key, raw
        repetition.started = self._progress.order
        repetition.things, repetition.stable_text = self._new.things, self._new.stable_text
        repetition.arguments, repetition.result = call.arguments, clip(result.content, RESULT_KEPT)
        self._kinds[call.key] = repetition
        self._room += repetition.size()
        self._groups.setdefault((call.tool, repetition.things), []).append(repetition)
        while len(self._kinds) > _KINDS or self._room > _ROOM:
            self._forget_oldest()
        return repetition

    def _forget_oldest(self) -> None:
        _, old = self._kinds.popitem(last=False)
        self._room -= old.size()
        group = self._groups[old.tool or "", old.things]
        group.remove(old)
        if not group:
            del self._groups[old.tool or "", old.things]

    def _once_more(self, repetition: Repetition, call: ToolCall, result: ToolResult, raw: int, *, new: bool) -> bool:
        """Count a call of a known kind. Return whether its result is new."""
        before = repetition.size()
        same = self._same(repetition, result, raw)
        if same is None:
            repetition.restart(self._progress.at)
        elif not same:
            repetition.restart(self._progress.at)
            self._progress.last_change = self._progress.order
        else:
            new = False
            weight = weights.repetition_weight(
                self._progress, repetition, call, result, exchanged=self._new.exchanged, apart=self._thresholds.apart
            )
            self._new.waits = weight == PATIENT
            repetition.again(weight)
        if not same:
            repetition.raw = raw
        if repetition.near and call.arguments != repetition.arguments:
            repetition.wordings = (repetition.arguments, *repetition.wordings[: _WORDINGS - 1])
        repetition.arguments, repetition.result = call.arguments, clip(result.content, RESULT_KEPT)
        self._kinds.move_to_end(repetition.key)
        self._room += repetition.size() - before
        if repetition.credit >= self._thresholds.repeats * FULL and repetition not in self._hot:
            self._hot.append(repetition)
        return new

    def _note(self, repetition: Repetition) -> None:
        progress = self._progress
        repetition.turn, repetition.order, repetition.user = progress.turn, progress.order, progress.user
        repetition.novel, repetition.writes, repetition.topics = progress.novel, progress.writes, progress.topics
        repetition.drafts = progress.drafts

    def _same(self, repetition: Repetition, result: ToolResult, raw: int) -> bool | None:
        """Return whether a result has the same content as the previous one; None if that was too long to compare."""
        if raw == repetition.raw:
            return True
        stable_text = _stable_text(result.content)
        before = repetition.stable_text
        if before is None and len(repetition.result) < RESULT_KEPT:
            before = _stable_text(repetition.result)
        repetition.stable_text = stable_text
        if before is None:
            return None
        return before == stable_text or similarity.are_similar_results(
            repetition.result, result.content[:RESULT_KEPT], self._similarity, self._thresholds.results
        )

    def _alike(self, call: ToolCall, result: ToolResult, raw: int) -> Repetition | None:
        """Return the kind of which this call is another wording: similar arguments and a similar result."""
        self._new.stable_text = None
        self._new.things = similarity.subject_key(call.arguments)
        group = self._groups.get((call.tool, self._new.things))
        if group is not None:
            for repetition in group[: -_COMPARED - 1 : -1]:
                if repetition.turn == self._progress.turn or not self._tells_the_same(repetition, result, raw):
                    continue
                way = self._put_alike(repetition, call, result)
                if way != similarity.OTHER:
                    repetition.near = True
                    repetition.reworded = repetition.reworded or way == similarity.REWORDED
                    label = len(result.content) < _LABEL and not result_text.is_empty(result.content)
                    self._new.exchanged = way == similarity.EXCHANGED and (label or not repetition.reworded)
                    return repetition
        return None

    def _put_alike(self, repetition: Repetition, call: ToolCall, result: ToolResult) -> int:
        nothing = weights.is_unspecific(result.content)
        least = self._thresholds.arguments_to_nothing if nothing else self._thresholds.arguments
        return max(
            similarity.compare_arguments(wording, call.arguments, self._similarity, least, loose=not nothing)
            for wording in (repetition.arguments, *repetition.wordings)
        )

    def _tells_the_same(self, repetition: Repetition, result: ToolResult, raw: int) -> bool:
        if raw == repetition.raw:
            return True
        content, before = result.content, repetition.result
        if self._new.stable_text is None:
            self._new.stable_text = _stable_text(content)
        if repetition.stable_text is None and len(before) < RESULT_KEPT:
            repetition.stable_text = _stable_text(before)
        if repetition.stable_text is None:
            return False
        if repetition.stable_text == self._new.stable_text:
            return True
        if max(len(before), len(content)) >= RESULT_KEPT:
            return False
        return similarity.are_similar_results(before, content, self._similarity, self._thresholds.results)

    # --- output ---

    def findings(self) -> list[Finding]:
        """Return the current loops; none if the latest turn was not part of one."""
        self._no_progress.settle()
        found: list[Finding] = []
        if self._hot:
            progress = self._progress
            self._hot = [repetition for repetition in self._hot if repetition.credit >= self._thresholds.repeats * FULL]
            current = [
                repetition
                for repetition in self._hot
                if repetition.turn == progress.turn and repetition.user == progress.user
            ]
            found += [self._called_again(repetition) for repetition in current]
        if not found:
            found += self._error_storm.findings()
        found += self._no_progress.findings()
        return found or self._stall.findings()

    def _called_again(self, repetition: Repetition) -> Finding:
        """Return the finding for a kind of call: a cycle if other calls repeat in the same rounds."""
        others = {
            id(other)
            for other in self._kinds.values()
            if other is not repetition
            and other.repeats >= max(2, repetition.repeats - 1)
            and other.order >= repetition.started
        }
        period = 1 + len(others)
        if 2 <= period <= 6:
            return repetition.finding("cycle", period)
        return repetition.finding("near_repeat" if repetition.near else "repeat")


class _New:
    """Intermediate results for the call that returned last."""

    __slots__ = ("exchanged", "stable_text", "things", "waits")

    def __init__(self) -> None:
        self.stable_text: str | int | None = None
        self.exchanged = False
        """True if the call is an earlier one with some words exchanged."""
        self.things = 0
        self.waits = False


def _stable_text(content: str) -> str | int:
    found = result_text.stable_text(content)
    return found if len(found) <= 64 else digest(found)


def _remember(known: OrderedDict[int, None], item: int, most: int) -> None:
    known[item] = None
    if len(known) > most:
        known.popitem(last=False)
