"""aiohttp: the connection of one request is replaced by one on which the recorded response has arrived.

Everything above a connection is the client's own: its parser, cookies, hooks, and the response object.
"""

# Objects of the client have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

from otel_agentcost.core.recorded import Recorded, Sent
from otel_agentcost.diagnostics import report
from otel_agentcost.integrations.http._aiohttp import decoder_of, replace_stream
from otel_agentcost.integrations.patching import FunctionPatch, Patch, Target
from otel_agentcost.integrations.replays._base import Taken, current
from otel_agentcost.telemetry.transports import name_of

_SENT: WeakKeyDictionary[Any, Sent] = WeakKeyDictionary()
"""The requests of responses that have not started."""


def _patches() -> tuple[Patch, ...]:
    def target(module: str, owner: str, method: str, *reads: str) -> Target:
        return Target(module=f"aiohttp.{module}", owner=owner, method=method, reads=reads, optional=True)

    return (
        FunctionPatch(target("connector", "BaseConnector", "connect", "req"), _connecting),
        FunctionPatch(target("client_reqrep", "ClientRequest", "send", "conn"), _sending),
        FunctionPatch(target("client_reqrep", "ClientResponse", "start", "connection"), _starting),
    )


PATCHES = _patches


def _connecting(connect: Callable[..., Any]) -> Callable[..., Any]:
    async def patched(self: Any, req: Any, *args: Any, **kwargs: Any) -> Any:
        exchange = current()
        if exchange is not None:
            try:
                reply = exchange.reply_to(_sent(req)._replace(through=name_of(self)))
                if reply is not None:
                    return _connection(self, req, reply)
            except Exception as error:
                report("replaying an answer", error)
        return await connect(self, req, *args, **kwargs)

    return patched


def _sending(send: Callable[..., Any]) -> Callable[..., Any]:
    async def patched(self: Any, conn: Any) -> Any:
        exchange = current()
        if exchange is None or exchange.served:
            return await send(self, conn)
        through = name_of(getattr(conn, "_connector", None))
        sent = _sent(self)._replace(through=through)  # before the body is written: it is closed then
        response = await send(self, conn)
        _SENT[response] = sent
        return response

    return patched


def _starting(start: Callable[..., Any]) -> Callable[..., Any]:
    async def patched(self: Any, connection: Any) -> Any:
        result = await start(self, connection)
        sent = _SENT.pop(self, None)
        exchange = current() if sent is not None else None
        try:
            if sent is None or exchange is None:
                return result
            recording = exchange.recording(sent, _head(self))
            if recording is not None:
                taken = Taken(recording, decoder_of(self, None))
                replace_stream(self, taken, taken)
        except Exception as error:
            report("recording an answer", error)
        return result

    return patched


def _sent(request: Any) -> Sent:
    body: Any = request.body
    body = getattr(body, "_value", body)  # of a payload
    content = bytes(body) if isinstance(body, (bytes, bytearray, memoryview)) else None
    headers = tuple((str(name), str(value)) for name, value in request.headers.items())
    return Sent(request.method, str(request.url), headers, content)


def _head(response: Any) -> Recorded:
    headers = tuple((str(name), str(value)) for name, value in response.headers.items())
    version = response.version or (1, 1)
    return Recorded(response.status, headers, (), f"HTTP/{version[0]}.{version[1]}", response.reason or "")


def _connection(connector: Any, request: Any, reply: Recorded) -> Any:
    """Return a connection on which `reply` arrives soon."""
    loop = asyncio.get_running_loop()
    protocol: Any = import_module("aiohttp.client_proto").ResponseHandler(loop)
    protocol.connection_made(_Line())
    for piece in _written(reply):
        loop.call_soon(protocol.data_received, piece)
    return _connection_class()(connector, request.connection_key, protocol, loop)


def _written(reply: Recorded) -> list[bytes]:
    """Return a response as it goes over a connection."""
    names = {name.lower() for name, _ in reply.headers}
    sized = ("content-length", "transfer-encoding")
    headers = [(name, value) for name, value in reply.headers if name.lower() not in sized]
    whole = sum(map(len, reply.chunks))
    chunked = "transfer-encoding" in names
    headers.append(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(whole)))
    lines = [f"{reply.version} {reply.status} {reply.reason}", *(f"{name}: {value}" for name, value in headers)]
    head = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")
    if not chunked:
        return [head, *reply.chunks]
    return [head, *(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in reply.chunks), b"0\r\n\r\n"]


class _Line(asyncio.Transport):
    """The transport of a connection that does not exist."""

    def __init__(self) -> None:
        super().__init__()
        self._closed = False

    def write(self, data: Any) -> None:
        """Write nothing."""

    def writelines(self, list_of_data: Any) -> None:
        """Write nothing."""

    def is_closing(self) -> bool:
        """Return True after `close`."""
        return self._closed

    def close(self) -> None:
        """Close the transport."""
        self._closed = True

    def abort(self) -> None:
        """Close the transport."""
        self._closed = True

    def is_reading(self) -> bool:
        """Return True: bytes arrive at once."""
        return True

    def pause_reading(self) -> None:
        """Go on: everything has arrived."""

    def resume_reading(self) -> None:
        """Go on."""


@cache
def _connection_class() -> Any:
    """Return the class of such connections, which do not return to the pool of their connector."""
    base: Any = import_module("aiohttp.connector").Connection

    class Replayed(base):  # type: ignore[misc]  # the class is known when aiohttp is
        def close(self) -> None:
            self._notify_release()
            self._protocol = None

        release = close

        def __del__(self) -> None:
            self._protocol = None

    return Replayed
