"""The conversation that a request carries, as the items that loops are found in; read as it grows, not as it is.

`Reader` remembers how many messages of which conversations it has seen, by fingerprints of the latest ones, so that
a request costs what is new in it. What an application does to its history (cutting off the beginning, summing up,
notes that come and go, starting over, branching) is recognised, or read as a conversation of its own. Nothing here
raises on what it reads. Called by `looping`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from otel_agentcost.core.loops import Item, TextMessage
from otel_agentcost.wire.conversation_items import READERS, Message, fingerprint, given
from otel_agentcost.wire.fields import get, text

__all__ = ["Part", "Reader", "is_kept"]

_REMEMBERED: Final = 12
"""Fingerprints of the latest messages that are kept."""
_NOTES: Final = 3
"""Messages at the end that may be gone again: notes that an application adds to each request."""
_ALIKE: Final = 4
"""Messages in a row that must be the same where others are not."""
_MOST: Final = 600
"""Messages that are read of a conversation that was not seen before: the latest."""
_TWO_TURNS: Final = 4
"""Messages: a call and a result, twice."""
_SEARCHED: Final = 64
"""Messages, from the end, in which the place is sought where reading left off."""
_CONVERSATIONS: Final = 12


def is_kept(form: str, body: Any) -> bool:
    """Whether the provider may keep the answer to this request, so that the next one need not bring it along."""
    return form == "openai_responses" or (form == "anthropic_messages" and get(body, "thread") is not None)


class Part(NamedTuple):
    """What a request says that was not read before."""

    conversation: int
    """Which of the conversations of a trace it belongs to."""
    items: list[Item]
    tools: bool
    """Whether there are tool calls in them, or results."""


class _Cursor:
    """How far one conversation was read."""

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
        """Bytes that it takes, about."""
        return 400 + 900 * len(self._cursors)

    def forget(self, conversation: int) -> None:
        """What is said next in that conversation is read from its beginning."""
        self._cursors.pop(conversation, None)

    def read(self, form: str, body: Any) -> Part | None:
        """What is new in a request of the wire format called `form`; None where the format carries no conversation."""
        reader = READERS.get(form)
        if reader is None:
            return None
        messages: Sequence[Message] = given(form, body)
        continued = get(body, "previous_response_id") is not None or get(get(body, "thread"), "type") == "continue"
        root = _root(messages)
        cursor, start = self._place(messages, root, continued=continued)
        begun = cursor is None
        if cursor is None:
            self._count += 1
            cursor = self._cursors[self._count] = _Cursor(self._count)
            if len(self._cursors) > _CONVERSATIONS:
                self._cursors.popitem(last=False)
            messages = _sent_once(messages[-_MOST:], 0, begun=True)
            start = 0
        else:
            self._cursors.move_to_end(cursor.number)
            if len(messages) - start >= _TWO_TURNS:
                messages = _sent_once(messages, start, begun=False)
        items: list[Item] = []
        tools = False
        kept = len(cursor.latest) - (cursor.seen - start) if not begun else 0
        latest = cursor.latest[:kept] if kept > 0 else []
        for message in messages[start:]:
            before = len(items)
            reader(message, items)
            told = len(items) > before and not (type(items[before]) is TextMessage and type(items[-1]) is TextMessage)
            tools = tools or told
            latest.append(_mark(message) | told)
        cursor.seen, cursor.root = len(messages), root
        cursor.latest = latest[-_REMEMBERED:]
        return Part(cursor.number, items, tools)

    def _place(self, messages: Sequence[Message], root: int, *, continued: bool) -> tuple[_Cursor | None, int]:
        """Which conversation this is, and the first message that was not read."""
        for cursor in reversed(self._cursors.values()):
            if cursor.root == root and _stands(messages, cursor):
                slid = (
                    _moved(messages, cursor) if len(messages) == cursor.seen else None
                )  # a window of so many messages
                return cursor, cursor.seen if slid is None else slid
        if continued:
            return (next(reversed(self._cursors.values())), 0) if self._cursors else (None, 0)
        for cursor in reversed(self._cursors.values()):
            start = _after_notes(messages, cursor) if cursor.root == root else None
            if start is None:
                start = _moved(messages, cursor)
            if start is not None:
                return cursor, start
        return None, 0


def _sent_once(messages: Sequence[Message], start: int, *, begun: bool) -> Sequence[Message]:
    """The messages without what an application or a retry has put at their end once more: all of them, or the last.

    An agent that goes in circles adds one turn to a request. What comes as several, and repeats what is before it, was
    sent twice; in a conversation that was not seen before (`begun`), so was what repeats its beginning, or one turn.
    """
    fresh = len(messages) - start
    if len(messages) < 2 or (begun and len(messages) > 2 * _SEARCHED and not _begins_again(messages)):
        return messages
    marks = [_mark(message) for message in messages[max(0, start - fresh) :]]
    root = None if not begun else _root(messages) << 1
    while True:
        fresh = len(messages) - start
        size = _copied(marks, min(fresh, len(marks) // 2))
        if not size:
            return messages
        turns = _turns(messages[-size:])
        if begun:
            thrice = marks[-3 * size : -2 * size] == marks[-size:]
            if root not in marks[-size:] and (turns > 1 or thrice):
                return messages
        elif turns < 2 and _turns(messages[start:]) < 2:
            return messages
        messages, marks = messages[:-size], marks[:-size]


def _begins_again(messages: Sequence[Message]) -> bool:
    root = _root(messages)
    return any(fingerprint(message) == root for message in messages[3:])


def _copied(marks: list[int], most: int) -> int:
    """How many of the last marks repeat those before them: the most that are no repetition in themselves; or 0."""
    last = marks[-1]
    for size in range(most, 0, -1):
        if marks[-1 - size] == last and marks[-size:] == marks[-2 * size : -size]:
            tail = marks[-size:]
            if not any(size % part == 0 and tail[:part] * (size // part) == tail for part in range(1, size // 2 + 1)):
                return size
    return 0


def _turns(messages: Sequence[Message]) -> int:
    """How often the model had its say."""
    said = [
        get(message, "role") in ("assistant", "model") or (text(message, "type") or "").endswith("_call")
        for message in messages
    ]
    return sum(now and not before for before, now in zip([False, *said], said, strict=False))


def _mark(message: Message) -> int:
    """The fingerprint of a message, an even number: the last bit says whether tools are in it."""
    return fingerprint(message) << 1


def _root(messages: Sequence[Message]) -> int:
    """What a conversation began with: the first message that is no instruction, which may tell the time."""
    for message in messages[:3]:
        if get(message, "role") not in _INSTRUCTS:
            return fingerprint(message)
    return 0


_INSTRUCTS: Final = ("system", "developer")


def _stands(messages: Sequence[Message], cursor: _Cursor) -> bool:
    """Whether what was read is still there: the latest message, and the one before where no tool is in it."""
    end, latest = cursor.seen, cursor.latest
    if not latest or end > len(messages) or _mark(messages[end - 1]) != latest[-1] & ~1:
        return False
    return bool(latest[-1] & 1) or len(latest) == 1 or _mark(messages[end - 2]) == latest[-2] & ~1


def _after_notes(messages: Sequence[Message], cursor: _Cursor) -> int | None:
    """Where to go on if the latest messages were but notes, which are gone or were replaced; None if not so."""
    for notes in range(1, min(_NOTES, len(cursor.latest) - 1) + 1):
        if cursor.latest[-notes] & 1:
            return None
        at = cursor.seen - notes - 1
        if 1 <= at < len(messages) and _mark(messages[at]) == cursor.latest[-notes - 1] & ~1:
            return at + 1
    return None


def _moved(messages: Sequence[Message], cursor: _Cursor) -> int | None:
    """Where to go on if what comes before the latest messages is not what it was: cut off, or summed up.

    Where a run repeats itself, its latest messages are found in several places: the longest match is the place.
    """
    known = [mark & ~1 for mark in reversed(cursor.latest)]
    if len(known) < _ALIKE:
        return None
    marks = [_mark(message) for message in reversed(messages[-_SEARCHED:])]
    place, longest = None, _ALIKE - 1
    for skipped, mark in enumerate(marks):
        if mark == known[0]:
            same = next(
                (n for n, (one, other) in enumerate(zip(marks[skipped:], known, strict=False)) if one != other), None
            )
            same = min(len(known), len(marks) - skipped) if same is None else same
            if same > longest:
                place, longest = len(messages) - skipped, same
    return place
