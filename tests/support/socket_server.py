"""A local provider of sessions over WebSockets, which answers each event of a client as its script says."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any

from typing_extensions import Self
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

Script = Callable[[dict[str, Any]], Iterable[dict[str, Any] | None]]
"""Returns the events that answer an event. None closes the connection without a farewell."""


def _break(connection: ServerConnection) -> None:
    """Close a connection without a farewell.

    A socket that is only closed stays open while the thread of `websockets` waits for its next bytes: the client would
    hear of nothing until its next ping, 20 seconds later.
    """
    with suppress(OSError):  # the client was faster
        connection.socket.shutdown(socket.SHUT_RDWR)
    connection.socket.close()


class SocketServer:
    """Serves each connection in a thread of its own."""

    def __init__(
        self, script: Script, greeting: Iterable[dict[str, Any]] = (), tls: ssl.SSLContext | None = None
    ) -> None:
        self.script = script
        self.greeting = tuple(greeting)
        self.received: list[dict[str, Any]] = []
        """The events of all clients, in the order in which they arrived."""
        self.paths: list[str] = []
        self._server = serve(self._session, "127.0.0.1", 0, ssl=tls)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        port: int = self._server.socket.getsockname()[1]
        return port

    def types(self) -> list[str]:
        """The types of the events that arrived."""
        return [event.get("type", next(iter(event))) for event in self.received]

    def wait_for(self, kind: str, times: int) -> None:
        """Wait until so many events of a type have arrived: the server reads in threads of its own."""
        for _ in range(500):
            if self.types().count(kind) >= times:
                break
            time.sleep(0.01)
        assert self.types().count(kind) == times

    def _session(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.paths.append(connection.request.path)
        try:
            for event in self.greeting:
                connection.send(json.dumps(event))
            for message in connection:
                event = json.loads(message)
                self.received.append(event)
                for answer in self.script(event):
                    if answer is None:
                        _break(connection)
                        return
                    connection.send(json.dumps(answer, separators=(",", ":")))
        except (ConnectionClosed, OSError):
            return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join(timeout=10)
