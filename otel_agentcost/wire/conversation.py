"""Reads the conversation that requests carry, as the items in which loops are found; only what is new in each request.

`Reader` remembers how many messages of which conversations it has read, by fingerprints of the latest ones, so that a
request costs what is new in it. It recognises what an application does to its history (cutting off the beginning,
summarizing, temporary notes, starting over, branching), or reads the request as a new conversation. Nothing here raises
on what it reads. The formats' own part is their `conversation` facet. Called by `calls.loop_guard`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from otel_agentcost.core.loops import Item, TextMessage, ToolCall
from otel_agentcost.wire.format import Conversation, Format, without_facet
from otel_agentcost.wire.no_facets import NO_CONVERSATION

__all__ = ["Part", "Reader", "is_stored", "tool_calls"]

Message = Any

_REMEMBERED: Final = 12
"""Fingerprints of the latest messages that are kept."""
_NOTES: Final = 3
"""Messages at the end that may disappear again: notes that an application adds to each request."""
_ALIKE: Final = 4
"""Consecutive messages that must be equal to recognise a conversation whose other messages differ."""
_MAX_NEW: Final = 600
"""Messages that are read of a conversation that is new here: the latest."""
_TWO_TURNS: Final = 4
"""Messages: a call and a result, twice."""
_SEARCHED: Final = 64
"""Messages, from the end, that are searched for the place where reading left off."""
_CONVERSATIONS: Final = 12


def _facet(form: Format) -> Conversation | None:
    facet = form.conversation
    if facet is None:
        without_facet(form, "conversation", "loops in its conversations are not detected")
    return facet


def is_stored(form: Format, body: Any) -> bool:
    """Return True if the provider may store the answer to this request, so that the next one need not repeat it."""
    facet = _facet(form)
    return facet is not None and facet.is_stored(body)


def tool_calls(form: Format, response: Any) -> list[ToolCall]:
    """Return the tool calls in a whole response whose successor may carry only their results."""
    facet = _facet(form)
    return [] if facet is None else facet.tool_calls(response)


class Part(NamedTuple):
    """The part of a request that was not read before."""

    conversation: int
    """The number of the conversation within the trace."""
    items: list[Item]
    tools: bool
    """True if the items include tool calls or results."""


class _Cursor:
    """The place up to which one conversation was read."""

    __slots__ = ("latest", "number", "root", "seen")

    def __init__(self, number: int) -> None:
        self.number = number
        self.seen = self.root = 0
        self.latest: list[int] = []
        """Marks of the latest messages, in order."""


class Reader:
    """Reads the requests of one trace. Not thread-safe."""

    __slots__ = ("_count", "_cursors")

    def __init__(self) -> None:
        self._cursors: OrderedDict[int, _Cursor] = OrderedDict()
        self._count = 0

    def size(self) -> int:
        """Return the approximate memory use in bytes."""
        return 400 + 900 * len(self._cursors)

    def forget(self, conversation: int) -> None:
        """Forget a conversation: its next request is read from the beginning."""
        self._cursors.pop(conversation, None)

    def read(self, form: Format, body: Any) -> Part | None:
        """Return what is new in a request of the wire format `form`; None if the format has no conversation."""
        facet = _facet(form)
        if facet is None or facet is NO_CONVERSATION:
            return None
        history = _History(facet, facet.messages(body))
        root = history.root()
        cursor, start = self._place(history, root, continued=facet.continues(body))
        begun = cursor is None
        if cursor is None:
            self._count += 1
            cursor = self._cursors[self._count] = _Cursor(self._count)
            if len(self._cursors) > _CONVERSATIONS:
                self._cursors.popitem(last=False)
            history.messages = history.messages[-_MAX_NEW:]
            history.drop_copies(0, begun=True)
            start = 0
        else:
            self._cursors.move_to_end(cursor.number)
            if len(history.messages) - start >= _TWO_TURNS:
                history.drop_copies(start, begun=False)
        messages = history.messages
        items: list[Item] = []
        tools = False
        kept = len(cursor.latest) - (cursor.seen - start) if not begun else 0
        latest = cursor.latest[:kept] if kept > 0 else []
        for message in messages[start:]:
            before = len(items)
            facet.read(message, items)
            with_tools = len(items) > before and not (
                type(items[before]) is TextMessage and type(items[-1]) is TextMessage
            )
            tools = tools or with_tools
            latest.append(history.mark(message) | with_tools)
        cursor.seen, cursor.root = len(messages), root
        cursor.latest = latest[-_REMEMBERED:]
        return Part(cursor.number, items, tools)

    def _place(self, history: _History, root: int, *, continued: bool) -> tuple[_Cursor | None, int]:
        """Return the conversation of a request, and the index of its first message that was not read."""
        for cursor in reversed(self._cursors.values()):
            if cursor.root == root and history.stands(cursor):
                # A window of so many messages may have moved on.
                slid = history.moved(cursor) if len(history.messages) == cursor.seen else None
                return cursor, cursor.seen if slid is None else slid
        if continued:
            return (next(reversed(self._cursors.values())), 0) if self._cursors else (None, 0)
        for cursor in reversed(self._cursors.values()):
            start = history.after_notes(cursor) if cursor.root == root else None
            if start is None:
                start = history.moved(cursor)
            if start is not None:
                return cursor, start
        return None, 0


class _History:
    """The messages of one request, with what the format says of each."""

    __slots__ = ("_facet", "_fingerprint", "messages")

    def __init__(self, facet: Conversation, messages: Sequence[Message]) -> None:
        self._facet = facet
        self._fingerprint = facet.fingerprint
        self.messages = messages

    def mark(self, message: Message) -> int:
        """Return the fingerprint of a message, with the lowest bit free: it tells whether tools are in the message."""
        return self._fingerprint(message) << 1

    def root(self) -> int:
        """Return the fingerprint of the first message that is no instruction (an instruction may contain the time)."""
        for message in self.messages[:3]:
            if not self._facet.is_instruction(message):
                return self._fingerprint(message)
        return 0

    def stands(self, cursor: _Cursor) -> bool:
        """Return True if the messages that were read are still there.

        Compares the latest message, and the one before it unless the latest has tools in it.
        """
        messages, end, latest = self.messages, cursor.seen, cursor.latest
        if not latest or end > len(messages) or self.mark(messages[end - 1]) != latest[-1] & ~1:
            return False
        return bool(latest[-1] & 1) or len(latest) == 1 or self.mark(messages[end - 2]) == latest[-2] & ~1

    def after_notes(self, cursor: _Cursor) -> int | None:
        """Return where to go on if the latest messages were notes that are gone or replaced; None if they were not."""
        messages = self.messages
        for notes in range(1, min(_NOTES, len(cursor.latest) - 1) + 1):
            if cursor.latest[-notes] & 1:
                return None
            at = cursor.seen - notes - 1
            if 1 <= at < len(messages) and self.mark(messages[at]) == cursor.latest[-notes - 1] & ~1:
                return at + 1
        return None

    def moved(self, cursor: _Cursor) -> int | None:
        """Return where to go on if the beginning was cut off or summarized; None if the latest messages are not there.

        The latest messages of a run that repeats itself are in several places: the longest match is the right one.
        """
        if len(cursor.latest) < _ALIKE:
            return None
        known = [mark & ~1 for mark in reversed(cursor.latest)]
        messages = self.messages
        marks = [self.mark(message) for message in reversed(messages[-_SEARCHED:])]
        place, longest = None, _ALIKE - 1
        for skipped, mark in enumerate(marks):
            if mark == known[0]:
                same = next(
                    (n for n, (one, other) in enumerate(zip(marks[skipped:], known, strict=False)) if one != other),
                    None,
                )
                same = min(len(known), len(marks) - skipped) if same is None else same
                if same > longest:
                    place, longest = len(messages) - skipped, same
        return place

    def drop_copies(self, start: int, *, begun: bool) -> None:
        """Drop messages that an application or a retry put at the end a second time: all of them, or the last ones.

        An agent in a loop adds one turn per request. Several new turns that repeat the ones before were sent twice; so
        was, in a new conversation (`begun`), a repetition of its beginning, or of one turn.
        """
        messages = self.messages
        fresh = len(messages) - start
        if len(messages) < 2 or (begun and len(messages) > 2 * _SEARCHED and not self._begins_again()):
            return
        marks = [self.mark(message) for message in messages[max(0, start - fresh) :]]
        root = None if not begun else self.root() << 1
        while True:
            fresh = len(messages) - start
            size = _copied(marks, min(fresh, len(marks) // 2))
            if not size:
                break
            turns = self._turns(messages[-size:])
            if begun:
                thrice = marks[-3 * size : -2 * size] == marks[-size:]
                if root not in marks[-size:] and (turns > 1 or thrice):
                    break
            elif turns < 2 and self._turns(messages[start:]) < 2:
                break
            messages, marks = messages[:-size], marks[:-size]
        self.messages = messages

    def _begins_again(self) -> bool:
        root = self.root()
        return any(self._fingerprint(message) == root for message in self.messages[3:])

    def _turns(self, messages: Sequence[Message]) -> int:
        """Return how many turns of the model there are: messages of the model in a row are one."""
        by_model = [self._facet.by_model(message) for message in messages]
        return sum(now and not before for before, now in zip([False, *by_model], by_model, strict=False))


def _copied(marks: list[int], most: int) -> int:
    """Return how many of the last marks repeat those before them: the most that are no repetition in themselves."""
    last = marks[-1]
    for size in range(most, 0, -1):
        if marks[-1 - size] == last and marks[-size:] == marks[-2 * size : -size]:
            tail = marks[-size:]
            if not any(size % part == 0 and tail[:part] * (size // part) == tail for part in range(1, size // 2 + 1)):
                return size
    return 0
