"""websockets: its clients with threads, with asyncio and with trio, and its legacy client."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.sockets._base import ASYNC, THREADS, Kind, Method, Patched, SocketClient, opened
from otel_agentcost.integrations.sockets._places import Places

_PROTOCOL: Final = {"asyncio": ("protocol",), "sync": ("", "protocol"), "trio": ("", "", "protocol")}
"""The first parameters of a connection, up to the object with its address."""


def _patches(package: str, kind: Kind) -> tuple[Patched, ...]:
    client, connection = f"websockets.{package}.client", f"websockets.{package}.connection"
    asynchronous = kind is ASYNC

    def target(method: str, *reads: str) -> Target:
        return Target(
            module=connection,
            owner="Connection",
            method=method,
            reads=reads,
            asynchronous=asynchronous,
            together=f"{package} connections",
        )

    protocol = _PROTOCOL[package]
    created = Target(module=client, owner="ClientConnection", method="__init__", reads=protocol, asynchronous=False)
    streamed = Target(module=connection, owner="Connection", method="recv_streaming", optional=True)
    return (
        Patched(target=created, function=kind.opening),
        Patched(target=target("send", "message"), function=kind.sending),
        Patched(target=target("recv"), function=kind.receiving),
        Patched(target=target("aclose" if package == "trio" else "close"), function=kind.closing),
        Patched(target=streamed, function=kind.streaming),
    )


def _shaking_hands(original: Method, places: Places) -> Method:
    """Return what runs in place of the legacy client's `handshake(wsuri, ...)`, which names the address."""

    async def handshake(self: Any, wsuri: Any, *args: Any, **kwargs: Any) -> Any:
        result = await original(self, wsuri, *args, **kwargs)
        opened(self, SimpleNamespace(wsuri=wsuri), places, asynchronous=True)
        return result

    return handshake


def _legacy(method: str, module: str = "protocol", owner: str = "WebSocketCommonProtocol") -> Target:
    return Target(module=f"websockets.legacy.{module}", owner=owner, method=method, optional=True)


_LEGACY = (
    Patched(target=_legacy("handshake", "client", "WebSocketClientProtocol"), function=_shaking_hands),
    Patched(target=_legacy("send"), function=ASYNC.sending),
    Patched(target=_legacy("recv"), function=ASYNC.receiving),
    Patched(target=_legacy("close"), function=ASYNC.closing),
)
"""The legacy client has the same methods, and its servers have them too: those have no session."""

CLIENT = SocketClient(
    name="websockets",
    distribution="websockets",
    oldest="13.0",
    patches=(*_patches("sync", THREADS), *_patches("asyncio", ASYNC), *_patches("trio", ASYNC), *_LEGACY),
)
