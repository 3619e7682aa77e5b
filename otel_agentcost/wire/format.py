"""What every wire format offers, and how its fields are read.

The three readers below accept dicts and SDK objects alike, because the same answer reaches us as JSON (raw
responses, google-genai) and as a parsed object (openai, anthropic).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from otel_agentcost.core.call import Answer, Call


class Malformed(Exception):
    """A field holds something it cannot hold; the text quotes both. Caught in this package, never seen outside."""


def get(value: Any, name: str) -> Any:
    """The field `name` of a JSON object or an SDK object; None where there is no such field, or no object."""
    if type(value) is dict:
        return value.get(name)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] (no cast: hot)
    return getattr(value, name, None)


def count(value: Any, name: str) -> int:
    """The count in the field `name`: 0 where it is absent or null.

    Raises `Malformed` for what is not a count: negative numbers, fractions, text, booleans.
    """
    number = get(value, name)
    if type(number) is int and number >= 0:
        return number
    if number is None:
        return 0
    if type(number) is float and number >= 0 and number.is_integer():
        return int(number)
    raise Malformed(f"{name} is {number!r:.80}, which is not a count")


def text(value: Any, name: str) -> str | None:
    """The text in the field `name`; None where there is none, or where it is empty or not text."""
    found = get(value, name)
    return found if isinstance(found, str) and found else None


def items(value: Any, name: str) -> Sequence[Any]:
    """The elements of the list in the field `name`; nothing where there is no list."""
    found = get(value, name)
    return found if isinstance(found, list) else ()  # pyright: ignore[reportUnknownVariableType] (mypy bars the cast)


class AnswerReader(Protocol):
    """Reads the events of one stream, in order, as they pass."""

    def feed(self, event: Any, /) -> None:
        """Takes in one event. Called for every chunk: whatever can wait for `answer` waits."""
        ...

    def answer(self, *, complete: bool) -> Answer:
        """What the events so far amount to. `complete` is whether the stream was read to its end."""
        ...


class Format(Protocol):
    """One wire format."""

    def read_request(self, body: Any, path: str) -> Call:
        """What the request asks for."""
        ...

    def read_response(self, call: Call, response: Any) -> Answer:
        """What a whole (not streamed) response says."""
        ...

    def open_stream(self, call: Call) -> AnswerReader:
        """A reader for the events of the stream that answers `call`."""
        ...
