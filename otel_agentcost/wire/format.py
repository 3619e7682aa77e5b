"""What every wire format offers, and how its fields are read.

The readers below accept dicts and SDK objects alike, because the same answer reaches us as JSON (raw responses,
google-genai) and as a parsed object (openai, anthropic). A field that is not what it should be is absent, but a
count that is not a count raises `Malformed`, which every format turns into an `Answer` that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from otel_agentcost.core.call import Answer, Call

MOST = 2**53
"""No call uses more of anything. Above it, a number that went through floating point is no longer itself."""


class Malformed(Exception):
    """A field holds something it cannot hold; the text quotes both. Caught in this package, never seen outside."""


class CannotRewrite(Exception):
    """A request cannot be made to ask for what it should. The text says why ("its body is no JSON object").

    Raised on purpose, by `Format.rewrite` and by the seams; caught in this package, never seen outside.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a request is to ask for in place of what it asks for."""

    model: str | None = None
    """None: as it is."""
    max_output_tokens: int | None = None
    """Per choice; None: as it is. A limit that is lower already stays."""
    provider: str = ""
    """Who is asked, and `known`: whether the address tells that, or only the SDK that is used."""
    known: bool = True


def get(value: Any, name: str) -> Any:
    """The field `name` of a JSON object or an SDK object; None where there is no such field, or no object."""
    if type(value) is dict:
        return value.get(name)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] (no cast: hot)
    if isinstance(value, dict):
        return value.get(name)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    try:
        return getattr(value, name, None)
    except Exception:  # an object of the application's, whose attributes fail, is an object without them
        return None


def fields(value: Any) -> Any:
    """The fields of an SDK object as a dict, where they can be had as one: many look-ups are then ten times as fast
    (a field that a pydantic object does not have costs it two microseconds). Anything else is returned as it is.
    """
    if type(value) is dict:
        return value  # pyright: ignore[reportUnknownVariableType]
    try:
        known, more = value.__dict__, getattr(value, "__pydantic_extra__", None)
    except Exception:  # no object with fields
        return value
    if type(known) is not dict:
        return value
    return {**known, **more} if isinstance(more, dict) and more else known  # pyright: ignore[reportUnknownVariableType]


def quote(value: object) -> str:
    """A short form of `value` for an explanation."""
    try:
        return f"{value!r:.80}"
    except Exception:  # a repr that fails (or an integer too long to print) still has a type
        return f"a value of type {type(value).__name__}"


def count(value: Any, name: str) -> int:
    """The count in the field `name`: 0 where it is absent or null.

    Raises `Malformed` for what is not a count: negative numbers, fractions, text, booleans, and more than `MOST`.
    """
    number = get(value, name)
    if type(number) is int and 0 <= number <= MOST:
        return number
    if number is None:
        return 0
    if type(number) is float and 0 <= number <= MOST and number.is_integer():
        return int(number)
    raise Malformed(f"{name} is {quote(number)}, which is not a count")


def measure(value: Any, name: str) -> Decimal | None:
    """The measured amount (seconds) in the field `name`; None where it is absent or null. Raises `Malformed`."""
    number = get(value, name)
    if number is None:
        return None
    if type(number) in (int, float) and 0 <= number <= MOST:
        return Decimal(repr(number))
    raise Malformed(f"{name} is {quote(number)}, which is not an amount")


def plain(value: object) -> bool:
    """Whether `value` is a number, a text or a list: something that has no fields."""
    return isinstance(value, (str, bytes, int, float, list, tuple))


def part(value: Any, name: str) -> Any:
    """The object in the field `name`, as its `fields`; None where it is absent or null.

    Raises `Malformed` for what is not an object.
    """
    found = get(value, name)
    if found is None or type(found) is dict:
        return found  # pyright: ignore[reportUnknownVariableType]
    if plain(found):
        raise Malformed(f"{name} is {quote(found)}, which is not an object")
    return fields(found)


def need(value: Any, *names: str) -> None:
    """Raises `Malformed` unless every one of the fields is there: a usage without them says nothing."""
    for name in names:
        if get(value, name) is None:
            raise Malformed(f"{name} is missing in the usage {quote(value)}")


def text(value: Any, name: str) -> str | None:
    """The text in the field `name`; None where there is none, or where it is empty or not text."""
    found = get(value, name)
    return found if isinstance(found, str) and found else None


def texts(value: Any, *names: str) -> list[str]:
    """The texts in those of the fields that have one."""
    return [found for name in names if (found := text(value, name)) is not None]


def items(value: Any, name: str) -> Sequence[Any]:
    """The elements of the list in the field `name`; nothing where there is no list."""
    found = get(value, name)
    return found if isinstance(found, (list, tuple)) else ()  # pyright: ignore[reportUnknownVariableType] (mypy bars the cast)


class SoFar(NamedTuple):
    """What a stream has brought up to now, as far as it is billed as output."""

    said: list[str]
    """Every piece of text, in order (words, refusals, thoughts, tool calls, all choices): it grows with the stream."""
    tokens: int = 0
    """The output tokens up to now that the stream itself reports; 0 where it has not said."""
    over: bool = False
    """Whether the answer has come to its end: nothing more is produced."""


class AnswerReader(Protocol):
    """Reads the events of one stream, in order, as they pass."""

    def feed(self, event: Any, /) -> None:
        """Takes in one event. Called for every chunk: whatever can wait for `answer` waits."""
        ...

    def so_far(self) -> SoFar:
        """The output up to now; of formats whose output is no text, nothing. Asked after every event of a stream that
        may have to be cut off, and of no other.
        """
        ...

    def answer(self, *, complete: bool) -> Answer:
        """What the events so far amount to. `complete` is whether the stream was read to its end."""
        ...


class Format(Protocol):
    """One wire format."""

    def read_request(self, body: Any, path: str) -> Call:
        """What the request asks for."""
        ...

    def rewrite(self, call: Call, path: str, change: Change) -> tuple[dict[str, Any], str]:
        """The body and the path of the request that `call` was read from, with `change` made in them.

        They are new where they differ: nothing that was given is changed. Raises `CannotRewrite`.
        """
        ...

    def read_response(self, call: Call, response: Any) -> Answer:
        """What a whole (not streamed) response says."""
        ...

    def open_stream(self, call: Call) -> AnswerReader:
        """A reader for the events of the stream that answers `call`."""
        ...
