"""The seam: the one place where an SDK is patched, and the values that it hands to the pipeline.

A seam reads the request and says what came back. It does nothing else: the pipeline (`pipeline.py`) acts on both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

from otel_agentcost.calls.streams import RawReader, StreamListener
from otel_agentcost.core.answer_note import key_of_answer
from otel_agentcost.core.call import Endpoint
from otel_agentcost.wire import AnswerReader, Format
from otel_agentcost.wire.batch_api import Reading
from otel_agentcost.wire.format import ModelRequest


@dataclass(frozen=True, slots=True)
class Body:
    """A whole response."""

    content: Any
    """The response as its wire format's reader takes it: an object of the SDK, or parsed JSON. None where the
    response has no body that can be read."""


@dataclass(frozen=True, slots=True)
class EventStream:
    """An object of the SDK that streams events from its `_iterator`. The application keeps this very object."""

    stream: Any


@dataclass(frozen=True, slots=True)
class EventIterator:
    """A plain iterator of events, synchronous or asynchronous. The application gets another iterator in its place."""

    events: Any
    prepare: Callable[[AnswerReader], AnswerReader] | None = None
    """Wraps the wire format's reader, for an SDK whose events are not yet what that reader reads."""
    close: Callable[[], Awaitable[object]] | None = None
    """Closes the HTTP response, where closing an asynchronous iterator does not."""


@dataclass(frozen=True, slots=True)
class RawResponse:
    """An HTTP response that the application reads by itself."""

    response: Any


@dataclass(frozen=True, slots=True)
class Watched:
    """A response that the application reads later, at a place that only the seam knows."""

    watch: Callable[[Any], object]
    """Called with the call, once. It lets the call's `feed` see the events, and its `end` the end of them."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """The headers of the response, with names in lower case."""
    terms: tuple[tuple[str, str], ...] = ()
    """What the response says of the terms that served the call, beside its body."""

    def headers_alone(self) -> Watched:
        """Return this without what it refers to of the SDK's objects."""
        return replace(self, watch=id)


@dataclass(frozen=True, slots=True)
class Awaited:
    """An answer that arrives elsewhere: over a socket, where it may arrive before the patched method returns.

    `Pipeline.open_stream` was called before the request was sent, and the seam ends the call.
    """


@dataclass(frozen=True, slots=True)
class Rejected:
    """A response with an error, which costs nothing. The SDK raises its own exception for it later."""

    status: int
    """The status of HTTP."""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A response of an HTTP client, which returns those of refused requests too."""

    response: Any
    """The client's object, which has the `headers`."""
    status: int
    body: bytes | None
    """The decompressed body, if the client has read all of it; None if the application reads it."""
    tap: Callable[[StreamListener, str | None], RawReader]
    """Passes the bytes that the application reads to a reader, and their end to the listener. The second argument is
    what the bytes are, as a content type; None: what the header says."""

    @property
    def content_type(self) -> str:
        """The type of the body."""
        return str(self.response.headers.get("content-type") or "")


Reply = Body | EventStream | EventIterator | RawResponse | Watched | Awaited | Rejected | HttpReply


class Seam(Protocol):
    """One place where an SDK is patched."""

    def read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelRequest | None:
        """Return the request that a call of the patched method makes; None where it calls no model.

        Args:
            instance: The object whose method is called, in most SDKs the client.
            args: The positional arguments of the call.
            kwargs: The keyword arguments of the call.
        """
        ...

    def rewrite(
        self,
        request: ModelRequest,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        model: str | None,
        max_output_tokens: int | None,
    ) -> tuple[ModelRequest, tuple[Any, ...], dict[str, Any]]:
        """Return the same call with another model or a lower output limit. The arguments given are not changed.

        Args:
            request: The request as `read` returned it.
            args: The positional arguments of the call.
            kwargs: The keyword arguments of the call.
            model: The model to request; None: unchanged.
            max_output_tokens: The most output tokens for each choice; None: unchanged.

        Raises:
            CannotRewrite: The request has no place for the change.
        """
        ...

    def unwrap(self, result: Any) -> Reply:
        """Return what came back, from what the patched method returned."""
        ...


class AnswerRead(NamedTuple):
    """A request that may retrieve, cancel or go on with an answer of an earlier call."""

    id: str
    """The id in its path: of the answer, or of the session."""
    endpoint: Endpoint
    format: Format | None = None
    """The wire format of the answer; None if the path is not known to return one. Then only this process can say."""

    @property
    def key(self) -> str:
        """Identifies the answer, over all providers."""
        return key_of_answer(self.endpoint, self.id)


@runtime_checkable
class Retrieves(Protocol):
    """Facet of a seam whose SDK can retrieve answers that go on after their call has ended (`Answer.goes_on`)."""

    def answer_read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AnswerRead | None:
        """Return which answer a call of the patched method may retrieve or cancel; None for other calls.

        Args:
            instance: The object whose method is called.
            args: The positional arguments of a call that `Seam.read` takes for no model call.
            kwargs: The keyword arguments of the call.
        """
        ...


@runtime_checkable
class ChecksFields(Protocol):
    """Facet of a seam whose SDK checks the fields of a request: one that it does not know yet would fail the call."""

    def takes(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any], field: str) -> bool:
        """Return True if a call of the patched method may have a field.

        Args:
            instance: The object whose method is called.
            args: The positional arguments of the call.
            kwargs: The keyword arguments of the call.
            field: The name of the field; the names of those around it come first, with dots ("system.cachePoint").
        """
        ...


@runtime_checkable
class TakesHeaders(Protocol):
    """Facet of a seam that can add headers to a request."""

    def with_headers(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], headers: Mapping[str, str]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of the same call with more headers. The arguments given are not changed.

        Args:
            args: The positional arguments of the call.
            kwargs: The keyword arguments of the call.
            headers: The headers. A value is added to the list that the application has in the header of that name.
        """
        ...


class BatchRead(NamedTuple):
    """A request that reads a batch or its results."""

    format: Format
    """The wire format of the batch, with the facet `batches`."""
    endpoint: Endpoint
    kind: Reading
    id: str
    """The id in its path: of the batch, or of the file."""
    content: Callable[[], bytes | None] = bytes
    """Returns the bytes that an upload has sent; None if they cannot be read again."""


@runtime_checkable
class ReadsBatches(Protocol):
    """Facet of a seam whose SDK reads the results of batches."""

    def batch_read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BatchRead | None:
        """Return what a call of the patched method reads of a batch; None for other calls.

        Args:
            instance: The object whose method is called.
            args: The positional arguments of a call that `Seam.read` takes for no model call.
            kwargs: The keyword arguments of the call.
        """
        ...


class SessionRead(NamedTuple):
    """A request that creates or reads a session."""

    format: Format
    endpoint: Endpoint


@runtime_checkable
class ReadsSessions(Protocol):
    """Facet of a seam whose SDK reads sessions, whose usage is a running total (`Answer.total`)."""

    def session_read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> SessionRead | None:
        """Return the session that a call of the patched method returns; None for other calls.

        Args:
            instance: The object whose method is called.
            args: The positional arguments of a call that `Seam.read` takes for no model call.
            kwargs: The keyword arguments of the call.
        """
        ...
