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

from otel_agentcost.core.loops import Item, Said
from otel_agentcost.wire.format import get
from otel_agentcost.wire.history_items import READERS, Message, fingerprint, given

__all__ = ["Part", "Reader"]

_REMEMBERED: Final = 4
"""Fingerprints of the latest messages that are kept: notes that an application adds at the end come and go."""
_MOST: Final = 600
"""Messages that are read of a conversation that was not seen before: the latest."""
_SEARCHED: Final = 64
"""Messages, from the end, in which the place is sought where reading left off."""
_CONVERSATIONS: Final = 16


class Part(NamedTuple):
    """What a request says that was not read before."""

    conversation: int
    """Which of the conversations of a trace it belongs to."""
    items: list[Item]
    tools: bool
    """Whether there are tool calls in them, or results."""


class _Cursor:
    """How far one conversation was read."""

    __slots__ = ("latest", "number", "seen")

    def __init__(self, number: int) -> None:
        self.number = number
        self.seen = 0
        self.latest: list[tuple[int, bool]] = []
        """Of the latest messages, in order: the fingerprint, and whether tools are in them."""


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
        messages = given(form, body)
        continued = form == "openai_responses" and get(body, "previous_response_id") is not None
        cursor, start = self._place(messages, continued=continued)
        begun = cursor is None
        if cursor is None:
            self._count += 1
            cursor = self._cursors[self._count] = _Cursor(self._count)
            if len(self._cursors) > _CONVERSATIONS:
                self._cursors.popitem(last=False)
            start = max(0, len(messages) - _MOST)
        else:
            self._cursors.move_to_end(cursor.number)
        items: list[Item] = []
        tools = False
        kept = len(cursor.latest) - (cursor.seen - start) if not begun else 0
        latest = cursor.latest[:kept] if kept > 0 else []
        for message in messages[start:]:
            before = len(items)
            reader(message, items)
            told = any(type(item) is not Said for item in items[before:])
            tools = tools or told
            latest.append((fingerprint(message), told))
        cursor.seen = len(messages)
        cursor.latest = latest[-_REMEMBERED:]
        return Part(cursor.number, items, tools)

    def _place(self, messages: Sequence[Message], *, continued: bool) -> tuple[_Cursor | None, int]:
        """Which conversation this is, and the first message that was not read."""
        for cursor in reversed(self._cursors.values()):
            if _stands(messages, cursor):
                return cursor, cursor.seen
        if continued:
            return (next(reversed(self._cursors.values())), 0) if self._cursors else (None, 0)
        for cursor in reversed(self._cursors.values()):
            start = _after_notes(messages, cursor)
            if start is None:
                start = _moved(messages, cursor)
            if start is not None:
                return cursor, start
        return None, 0


def _stands(messages: Sequence[Message], cursor: _Cursor) -> bool:
    """Whether the messages before `end` are the latest that were read: one with a tool in it, or else two."""
    end = cursor.seen
    if not cursor.latest or end > len(messages):
        return False
    known, tools = cursor.latest[-1]
    if fingerprint(messages[end - 1]) != known:
        return False
    return tools or len(cursor.latest) == 1 or fingerprint(messages[end - 2]) == cursor.latest[-2][0]


def _after_notes(messages: Sequence[Message], cursor: _Cursor) -> int | None:
    """Where to go on if the latest messages were but notes, which are gone or were replaced; None if not so."""
    for notes in range(1, len(cursor.latest)):
        if cursor.latest[-notes][1]:
            return None
        at = cursor.seen - notes - 1
        if at < 1 or at >= len(messages):
            continue
        if fingerprint(messages[at]) == cursor.latest[-notes - 1][0]:
            return at + 1
    return None


def _moved(messages: Sequence[Message], cursor: _Cursor) -> int | None:
    """Where to go on if what comes before the latest messages is not what it was: cut off, or summed up."""
    if len(cursor.latest) < 2:
        return None
    (before, _), (last, tools) = cursor.latest[-2:]
    for at in range(len(messages) - 1, max(0, len(messages) - _SEARCHED), -1):
        if fingerprint(messages[at]) == last and (tools or fingerprint(messages[at - 1]) == before):
            return at + 1
    return None
