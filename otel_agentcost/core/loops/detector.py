"""One conversation, watched for loops: fed with its items in order, it finds the loop that it is in, if any.

`Watch.feed` takes in what is new, `Watch.findings` says what stands now: loops whose latest round was in the latest
turn of the model, and which nobody has answered since. A turn is what the model says and calls at once: what it
repeats within one, it has not seen the result of. Kept are digests, and short samples as evidence.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from otel_agentcost.core.loops import result_text, similarity, tool_names, weights
from otel_agentcost.core.loops.conversation import RESULT_KEPT, Item, Said, ToolCall, ToolResult, clip, digest
from otel_agentcost.core.loops.error_storm import Failures
from otel_agentcost.core.loops.no_progress import Answers
from otel_agentcost.core.loops.progress import Moment
from otel_agentcost.core.loops.repetition import FULL, PATIENT, Finding, Similarity, Streak, Thresholds
from otel_agentcost.core.loops.stall import Stalls

__all__ = ["Watch"]

_KINDS: Final = 40
"""Kinds of calls that are remembered; what was not called for longer is a new kind."""
_ROOM: Final = 36_000
"""Bytes that they may take together."""
_RESULTS: Final = 64
"""Results that are known again."""
_OPEN: Final = 64
"""Calls of one turn that are looked at: the others are not waited for."""
_LEFT_OPEN: Final = 16
"""Those of them that are waited for when the request is over."""
_OPEN_CALL: Final = 850
"""Bytes that each may take."""
_COMPARED: Final = 8
"""Calls that a new one is compared with, the latest first."""
_WORDINGS: Final = 2
"""Earlier wordings of a call that are kept beside the latest."""
_LABEL: Final = 24
"""Characters below which one is but a label ("negative"): many things have it."""


_DRAFT: Final = 12
"""Spaces in what an agent says before it hands over, at least, for it to be work that another reads."""


class Watch:
    """The state of one conversation. Not thread-safe."""

    __slots__ = (
        "_answers",
        "_drafts",
        "_failures",
        "_groups",
        "_hot",
        "_kinds",
        "_moment",
        "_new",
        "_open",
        "_results",
        "_room",
        "_similarity",
        "_stalls",
        "_thresholds",
        "_users",
    )

    def __init__(self, text_similarity: Similarity, thresholds: Thresholds | None = None) -> None:
        self._similarity = text_similarity
        self._thresholds = thresholds or Thresholds()
        self._moment = Moment()
        self._kinds: OrderedDict[int, Streak] = OrderedDict()
        self._room = 0
        self._open: list[ToolCall] = []
        self._results: OrderedDict[int, None] = OrderedDict()
        self._users: OrderedDict[int, None] = OrderedDict()
        self._drafts: OrderedDict[int, None] = OrderedDict()
        self._groups: dict[tuple[str, int], list[Streak]] = {}
        """The kinds of calls, by what those that are alike have in common."""
        self._hot: list[Streak] = []
        self._new = _New()
        self._answers = Answers(self._moment, text_similarity, self._thresholds)
        self._failures = Failures(self._moment, text_similarity, self._thresholds)
        self._stalls = Stalls(self._moment, self._thresholds)

    def size(self) -> int:
        """Bytes that it takes, about."""
        others = (
            self._answers.size()
            + self._failures.size()
            + 120 * (len(self._results) + len(self._users) + len(self._drafts))
        )
        return 4_000 + self._room + others + _OPEN_CALL * len(self._open)

    # --- what comes in ---

    def feed(self, items: Iterable[Item], at: int) -> None:
        """Takes in what is new. `at` says when that is, in whatever the caller counts: findings tell it again."""
        self._moment.at = at
        for item in items:
            if type(item) is ToolCall:
                self._called(item)
            elif type(item) is ToolResult:
                self._returned(item)
            elif type(item) is Said:
                self._said(item)
        if len(self._open) > _LEFT_OPEN:
            del self._open[_LEFT_OPEN:]

    def fit(self, room: int) -> None:
        """Forgets calls, those that were not made for longest, until it takes at most so many bytes."""
        most = room - (self.size() - self._room)
        while self._room > most and len(self._kinds) > 1:
            self._forget_oldest()

    def _called(self, call: ToolCall) -> None:
        if self._moment.speaks():
            self._open.clear()  # what has not come back by now never will
        self._answers.called()
        if len(self._open) < _OPEN:
            self._open.append(call)

    def _said(self, said: Said) -> None:
        if said.by_model:
            self._answers.flush()
            self._moment.speaks()
            self._answers.say(said.text)
            if said.text.count(" ") >= _DRAFT:
                self._moment.drafts += self._is_new_draft(said.text)
            return
        self._answers.flush()
        self._moment.listens()
        moment, plain = self._moment, " ".join(said.text[:4096].lower().split())
        urged = result_text.urges(plain)
        known = digest(result_text.without_digits(plain) if urged else plain)  # "3 steps left", "2 steps left"
        moment.question = 0 if urged else known
        if known not in self._users:
            moment.user += 1
            moment.topics += not urged
            self._stalls.reset()
            _remember(self._users, known, 24)
        elif not urged:  # a person who asks the same again is told the same again
            moment.user += 1
            moment.topics += 1
            self._stalls.reset()

    def _is_new_draft(self, text: str) -> bool:
        known = digest(result_text.essence(text[:4096]).casefold())
        new = known not in self._drafts
        _remember(self._drafts, known, 24)
        return new

    def _returned(self, result: ToolResult) -> None:
        self._moment.listens()
        call = self._of(result)
        if call is None:
            return
        moment = self._moment
        moment.order += 1
        raw = digest(result.content)
        self._new.waits = self._new.exchanged = False
        failed = result.error or result_text.failed(result.content)
        streak = self._kinds.get(call.key) or self._alike(call, result, raw)
        new = raw not in self._results and not result_text.empty(result.content)
        if streak is None:
            streak = self._begin(call, result, raw)
            moment.novel += new
            moment.writes += not failed and tool_names.changes_something(call.tool)
        elif streak.turn == moment.turn:
            return  # the model has called it twice at once
        else:
            new = self._once_more(streak, call, result, raw, new=new)
        self._note(streak)
        if tool_names.sleeps(call.tool, call.arguments):
            moment.slept = moment.order
        if failed:
            self._failures.failed(call, result)
        else:
            self._failures.succeeded(call.tool)
        if not self._new.waits:
            self._stalls.returned(call, result, new=new)
        if new:
            moment.news += 1
            _remember(self._results, raw, _RESULTS)

    def _of(self, result: ToolResult) -> ToolCall | None:
        """The call that has come back: by its id, else the first of that tool, else the first without an id."""
        for at, call in enumerate(self._open):
            if call.id == result.id if result.id is not None else result.tool in (None, call.tool):
                return self._open.pop(at)
        if result.id is not None:
            return None
        return self._open.pop(0) if self._open and result.tool is None else None

    # --- kinds of calls ---

    def _begin(self, call: ToolCall, result: ToolResult, raw: int) -> Streak:
        streak = Streak(call.tool, self._moment.at)
        streak.key, streak.raw = call.key, raw
        streak.started = self._moment.order
        streak.things, streak.essence = self._new.things, self._new.essence
        streak.arguments, streak.result = call.arguments, clip(result.content, RESULT_KEPT)
        self._kinds[call.key] = streak
        self._room += streak.size()
        self._groups.setdefault((call.tool, streak.things), []).append(streak)
        while len(self._kinds) > _KINDS or self._room > _ROOM:
            self._forget_oldest()
        return streak

    def _forget_oldest(self) -> None:
        _, old = self._kinds.popitem(last=False)
        self._room -= old.size()
        group = self._groups[old.tool or "", old.things]
        group.remove(old)
        if not group:
            del self._groups[old.tool or "", old.things]

    def _once_more(self, streak: Streak, call: ToolCall, result: ToolResult, raw: int, *, new: bool) -> bool:
        """A call of a kind that was called before. Returns whether what came back is new."""
        before = streak.size()
        same = self._same(streak, result, raw)
        if same is None:
            streak.restart(self._moment.at)
        elif not same:
            streak.restart(self._moment.at)
            self._moment.progress = self._moment.order
        else:
            new = False
            weight = weights.weight(
                self._moment, streak, call, result, exchanged=self._new.exchanged, apart=self._thresholds.apart
            )
            self._new.waits = weight == PATIENT
            streak.again(weight)
        if not same:
            streak.raw = raw
        if streak.near and call.arguments != streak.arguments:
            streak.wordings = (streak.arguments, *streak.wordings[: _WORDINGS - 1])
        streak.arguments, streak.result = call.arguments, clip(result.content, RESULT_KEPT)
        self._kinds.move_to_end(streak.key)
        self._room += streak.size() - before
        if streak.credit >= self._thresholds.repeats * FULL and streak not in self._hot:
            self._hot.append(streak)
        return new

    def _note(self, streak: Streak) -> None:
        moment = self._moment
        streak.turn, streak.order, streak.user = moment.turn, moment.order, moment.user
        streak.novel, streak.writes, streak.topics = moment.novel, moment.writes, moment.topics
        streak.drafts = moment.drafts

    def _same(self, streak: Streak, result: ToolResult, raw: int) -> bool | None:
        """Whether a result tells what the last one told; None where the last one was too long to know."""
        if raw == streak.raw:
            return True
        essence = _essence(result.content)
        before = streak.essence
        if before is None and len(streak.result) < RESULT_KEPT:
            before = _essence(streak.result)
        streak.essence = essence
        if before is None:
            return None
        return before == essence or similarity.near_results(
            streak.result, result.content[:RESULT_KEPT], self._similarity, self._thresholds.results
        )

    def _alike(self, call: ToolCall, result: ToolResult, raw: int) -> Streak | None:
        """The kind of which this is another wording: the arguments nearly the same, and the result, too."""
        self._new.essence = None
        self._new.things = similarity.things(call.arguments)
        group = self._groups.get((call.tool, self._new.things))
        if group is not None:
            for streak in group[: -_COMPARED - 1 : -1]:
                if streak.turn == self._moment.turn or not self._tells_the_same(streak, result, raw):
                    continue
                way = self._put_alike(streak, call, result)
                if way != similarity.OTHER:
                    streak.near = True
                    streak.reworded = streak.reworded or way == similarity.REWORDED
                    label = len(result.content) < _LABEL and not result_text.empty(result.content)
                    self._new.exchanged = way == similarity.EXCHANGED and (label or not streak.reworded)
                    return streak
        return None

    def _put_alike(self, streak: Streak, call: ToolCall, result: ToolResult) -> int:
        nothing = weights.says_nothing(result.content)
        least = self._thresholds.arguments_to_nothing if nothing else self._thresholds.arguments
        return max(
            similarity.near_arguments(wording, call.arguments, self._similarity, least, loose=not nothing)
            for wording in (streak.arguments, *streak.wordings)
        )

    def _tells_the_same(self, streak: Streak, result: ToolResult, raw: int) -> bool:
        if raw == streak.raw:
            return True
        content, before = result.content, streak.result
        if self._new.essence is None:
            self._new.essence = _essence(content)
        if streak.essence is None and len(before) < RESULT_KEPT:
            streak.essence = _essence(before)
        if streak.essence is None:
            return False
        if streak.essence == self._new.essence:
            return True
        if max(len(before), len(content)) >= RESULT_KEPT:
            return False
        return similarity.near_results(before, content, self._similarity, self._thresholds.results)

    # --- what stands ---

    def findings(self) -> list[Finding]:
        """The loops that the conversation is in now; nothing where its latest turn was none of a loop."""
        self._answers.settle()
        found: list[Finding] = []
        if self._hot:
            moment = self._moment
            self._hot = [streak for streak in self._hot if streak.credit >= self._thresholds.repeats * FULL]
            current = [streak for streak in self._hot if streak.turn == moment.turn and streak.user == moment.user]
            found += [self._called_again(streak) for streak in current]
        if not found:
            found += self._failures.findings()
        found += self._answers.findings()
        return found or self._stalls.findings()

    def _called_again(self, streak: Streak) -> Finding:
        """The finding for a kind of call: a cycle, where others were called again with it, round after round."""
        others = {
            id(other)
            for other in self._kinds.values()
            if other is not streak and other.repeats >= max(2, streak.repeats - 1) and other.order >= streak.started
        }
        period = 1 + len(others)
        if 2 <= period <= 6:
            return streak.finding("cycle", period)
        return streak.finding("near_repeat" if streak.near else "repeat")


class _New:
    """What was worked out about the call that came back last."""

    __slots__ = ("essence", "exchanged", "things", "waits")

    def __init__(self) -> None:
        self.essence: str | int | None = None
        self.exchanged = False
        """Whether it is what was called before with other words in the places of some."""
        self.things = 0
        self.waits = False


def _essence(content: str) -> str | int:
    found = result_text.essence(content)
    return found if len(found) <= 64 else digest(found)


def _remember(known: OrderedDict[int, None], item: int, most: int) -> None:
    known[item] = None
    if len(known) > most:
        known.popitem(last=False)
