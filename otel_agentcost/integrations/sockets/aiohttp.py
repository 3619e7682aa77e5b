"""aiohttp: the WebSockets that `ClientSession.ws_connect` opens.

A message arrives with its type. Those of text and bytes are events; the others say that the connection is closed.
"""

# Objects of the client have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

from otel_agentcost.diagnostics import report
from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.sockets._base import (
    ASYNC,
    Method,
    Patched,
    SocketClient,
    opened,
    seen_to,
    send_turn,
    session_for,
    session_of,
)
from otel_agentcost.integrations.sockets._places import Places

_REGULAR: Final = frozenset({None, 1000, 1001})
"""Codes with which a connection is closed regularly."""


def _connecting(original: Method, places: Places) -> Method:
    async def _ws_connect(self: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
        connection = await original(self, url, *args, **kwargs)
        try:
            there = self._build_url(url)
        except Exception as error:  # a client of another version
            report("looking at a socket", error)
            return connection
        uri = SimpleNamespace(
            secure=there.scheme in ("wss", "https"),
            host=there.host or "",
            port=there.port,
            path=there.raw_path,
            query=there.raw_query_string,
        )
        opened(connection, SimpleNamespace(uri=uri), places, asynchronous=True)
        return connection

    return _ws_connect


def _sending(original: Method, places: Places) -> Method:
    async def send(self: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
        session = session_for(self, data, places)
        if session is None or not await session.leads_async(data):
            return await original(self, data, *args, **kwargs)
        return await send_turn(session, original, self, data, *args, **kwargs)

    return send


def _receiving(original: Method, _places: Places) -> Method:
    async def receive(self: Any, *args: Any, **kwargs: Any) -> Any:
        session = session_of(self)
        if session is None:
            return await original(self, *args, **kwargs)
        while True:
            if not session.kept:
                message = await original(self, *args, **kwargs)
                if message.type.name in ("CLOSE", "CLOSING", "CLOSED", "ERROR"):
                    session.closed(_failure(self, message))
                    return message
                if message.type.name not in ("TEXT", "BINARY") or not session.received(message.data):
                    session.kept.append(message)
            await seen_to(session, self.send_str)
            if session.kept:
                return session.kept.popleft()

    return receive


def _failure(connection: Any, message: Any) -> BaseException | None:
    """Return the error with which a connection has ended; None for a regular end."""
    if isinstance(message.data, BaseException):
        return message.data
    code = connection.close_code
    return None if code in _REGULAR else ConnectionResetError(f"the connection was closed with the code {code}")


def _target(method: str) -> Target:
    return Target(
        module="aiohttp.client_ws",
        owner="ClientWebSocketResponse",
        method=method,
        asynchronous=True,
        together="aiohttp sockets",
    )


_CONNECT: Final = Target(module="aiohttp.client", owner="ClientSession", method="_ws_connect", asynchronous=True)

CLIENT = SocketClient(
    name="aiohttp",
    distribution="aiohttp",
    oldest="3.10",
    patches=(
        Patched(target=_CONNECT, function=_connecting),
        Patched(target=_target("send_str"), function=_sending),
        Patched(target=_target("send_bytes"), function=_sending),
        Patched(target=_target("receive"), function=_receiving),
        Patched(target=_target("close"), function=ASYNC.closing),
    ),
)
