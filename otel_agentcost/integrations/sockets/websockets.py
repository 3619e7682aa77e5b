"""websockets: its clients with threads and with asyncio. Its legacy client (`websockets.legacy`) is not patched."""

from __future__ import annotations

from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.sockets._base import ASYNCIO, THREADS, Kind, Patched, SocketClient


def _patches(package: str, kind: Kind) -> tuple[Patched, ...]:
    client, connection = f"websockets.{package}.client", f"websockets.{package}.connection"
    asynchronous = kind is ASYNCIO

    def target(method: str, *reads: str) -> Target:
        return Target(
            module=connection,
            owner="Connection",
            method=method,
            reads=reads,
            asynchronous=asynchronous,
            together=f"{package} connections",
        )

    protocol = ("protocol",) if asynchronous else ("", "protocol")
    opened = Target(module=client, owner="ClientConnection", method="__init__", reads=protocol, asynchronous=False)
    return (
        Patched(target=opened, function=kind.opening),
        Patched(target=target("send", "message"), function=kind.sending),
        Patched(target=target("recv"), function=kind.receiving),
        Patched(target=target("close"), function=kind.closing),
    )


CLIENT = SocketClient(
    name="websockets",
    distribution="websockets",
    oldest="13.0",
    patches=(*_patches("sync", THREADS), *_patches("asyncio", ASYNCIO)),
)
