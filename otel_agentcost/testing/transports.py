"""HTTP transports that take a function for the network: for `httpx` and for `httpx2`, which SDKs use since 2026.

The classes are made when they are needed, from the library that the SDK at hand uses.
"""

# Both libraries enter here, of which neither need be installed:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any

from otel_agentcost.testing.server import Reply, Request

Respond = Callable[[Request], Reply]


@cache
def transports(library: str) -> tuple[Any, Any]:
    """Return the sync and the async transport class of `library`, each of which takes a `Respond`.

    Args:
        library: `httpx` or `httpx2`.

    """
    httpx: Any = import_module(library)
    stream = _stream_class(httpx)

    def response(reply: Reply) -> Any:
        headers = {"content-type": reply.content_type, **reply.headers}
        return httpx.Response(reply.status, headers=headers, stream=stream(reply))

    class Transport(httpx.BaseTransport):  # type: ignore[misc]
        def __init__(self, respond: Respond) -> None:
            self._respond = respond

        def handle_request(self, request: Any) -> Any:
            return response(self._respond(_request(request, request.read())))

    class AsyncTransport(httpx.AsyncBaseTransport):  # type: ignore[misc]
        def __init__(self, respond: Respond) -> None:
            self._respond = respond

        async def handle_async_request(self, request: Any) -> Any:
            return response(self._respond(_request(request, await request.aread())))

    return Transport, AsyncTransport


def _stream_class(httpx: Any) -> Any:
    class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):  # type: ignore[misc]
        """The body of a reply, chunk by chunk; a number is a pause."""

        def __init__(self, reply: Reply) -> None:
            self._chunks = reply.chunks if reply.chunks is not None else [reply.body]
            self._drop = reply.drop

        def __iter__(self) -> Iterator[bytes]:
            for chunk in self._chunks:
                if isinstance(chunk, bytes):
                    yield chunk
                else:
                    time.sleep(chunk)
            self._end()

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in self._chunks:
                if isinstance(chunk, bytes):
                    yield chunk
                else:
                    await asyncio.sleep(chunk)
            self._end()

        def _end(self) -> None:
            if self._drop:
                raise httpx.RemoteProtocolError("the connection was closed before the end of the response")

    return Stream


def _request(request: Any, body: bytes) -> Request:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Request(method=request.method, path=request.url.raw_path.decode(), headers=headers, body=body)
