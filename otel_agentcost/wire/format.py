"""The interface of a wire format: what it reads from requests and responses, and how it changes requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from otel_agentcost.core.call import Answer, Call, Endpoint


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One model call, as a seam reads it from the arguments of an SDK."""

    call: Call
    endpoint: Endpoint
    format: Format
