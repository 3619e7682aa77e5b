"""httpx and httpx2: the transport of one request is replaced by one that records or replays.

Everything above a transport is the client's own: event hooks, authentication, cookies, redirects, and the response
object. A transport of the application is replaced for this request like any other.
"""

# Objects of the client have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from typing import Any

from otel_agentcost.calls.answer_cache import Exchange, Recording
from otel_agentcost.calls.streams import decoder_of
from otel_agentcost.core.recorded import Recorded, Sent
from otel_agentcost.diagnostics import report
from otel_agentcost.integrations.patching import FunctionPatch, Patch, Target
from otel_agentcost.integrations.replays._base import Taken, current
from otel_agentcost.telemetry.transports import name_of


def patches_of(library: str) -> tuple[Patch, ...]:
    """Return the patches of the client called `library`."""
    return tuple(
        FunctionPatch(
            Target(
                module=f"{library}._client", owner=owner, method="_transport_for_url", reads=("url",), optional=True
            ),
            _looked_up,
        )
        for owner in ("Client", "AsyncClient")
    )


def _looked_up(method: Callable[..., Any]) -> Callable[..., Any]:
    def patched(self: Any, url: Any) -> Any:
        transport = method(self, url)
        exchange = current()
        return transport if exchange is None else _Transport(transport, exchange)

    return patched


class _Transport:
    """The transport of one request."""

    def __init__(self, transport: Any, exchange: Exchange) -> None:
        self._transport = transport
        self._exchange = exchange

    def handle_request(self, request: Any) -> Any:
        sent, response = self._replayed(request)
        if response is not None:
            return response
        return self._recorded(sent, self._transport.handle_request(request))

    async def handle_async_request(self, request: Any) -> Any:
        sent, response = self._replayed(request)
        if response is not None:
            return response
        return self._recorded(sent, await self._transport.handle_async_request(request))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _replayed(self, request: Any) -> tuple[Sent | None, Any]:
        try:
            sent = _sent(request)._replace(through=name_of(self._transport))
            reply = self._exchange.reply_to(sent)
            return sent, _response(request, reply) if reply is not None else None
        except Exception as error:
            report("replaying an answer", error)
            return None, None

    def _recorded(self, sent: Sent | None, response: Any) -> Any:
        try:
            recording = self._exchange.recording(sent, _head(response)) if sent is not None else None
            if recording is not None:
                _record(response, recording)
        except Exception as error:
            report("recording an answer", error)
        return response


def _sent(request: Any) -> Sent:
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw)
    return Sent(request.method, str(request.url), headers, getattr(request, "_content", None))


def _head(response: Any) -> Recorded:
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw)
    version = response.extensions.get("http_version", b"HTTP/1.1").decode("ascii", "replace")
    reason = response.extensions.get("reason_phrase", b"").decode("ascii", "replace")
    return Recorded(response.status_code, headers, (), version, reason)


def _response(request: Any, reply: Recorded) -> Any:
    library = type(request).__module__.partition(".")[0]
    extensions: dict[str, Any] = {"http_version": reply.version.encode()}
    if reply.reason:
        extensions["reason_phrase"] = reply.reason.encode()
    make = sys.modules[library].Response
    return make(
        reply.status, headers=list(reply.headers), stream=_stream_class(library)(reply.chunks), extensions=extensions
    )


def _record(response: Any, recording: Recording) -> None:
    if hasattr(response, "_content"):  # of a transport of a test, which has all of it
        recording.chunk(response.content)
        recording.ended()
        return
    library = next(kind.__module__ for kind in type(response).__mro__ if kind.__name__ == "Response").partition(".")[0]
    response.stream = _tap_class(library)(response.stream, recording, decoder_of(response))


class _Chunks:
    """The body of a replayed response, piece by piece as it came."""

    def __init__(self, chunks: tuple[bytes, ...]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk

    def close(self) -> None:
        """Close nothing."""

    async def aclose(self) -> None:
        """Close nothing."""


class _Tap:
    """The body of a response that is recorded."""

    def __init__(self, stream: Any, recording: Recording, decode: Callable[[bytes], bytes] | None) -> None:
        self._stream = stream
        self._taken = Taken(recording, decode)

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._taken.feed(chunk)
            yield chunk
        self._taken.end(complete=True)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._taken.feed(chunk)
            yield chunk
        self._taken.end(complete=True)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # of an object that is being copied
            raise AttributeError(name)
        return getattr(self._stream, name)

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()


def _bases(library: str) -> tuple[type, type]:
    module = sys.modules[library]
    return module.SyncByteStream, module.AsyncByteStream


@cache
def _stream_class(library: str) -> Any:
    """Return the class of replayed bodies: the library checks for its own base classes."""
    return type("_Chunks", (_Chunks, *_bases(library)), {})


@cache
def _tap_class(library: str) -> Any:
    """Return the class of recorded bodies."""
    return type("_Tap", (_Tap, *_bases(library)), {})
