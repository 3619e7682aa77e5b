"""One address for two local servers, as a provider's is: for its requests and for its WebSocket sessions."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Generator


@contextlib.contextmanager
def one_address(http: int, sessions: int) -> Generator[int]:
    """Pass connections on, by their first bytes, until the block ends.

    Args:
        http: The port of the server of requests.
        sessions: The port of the server of WebSocket sessions.

    Yields:
        The port of both.
    """

    def serve() -> None:
        with contextlib.suppress(OSError):  # the block has ended
            while True:
                client, _ = listening.accept()
                threading.Thread(target=connect, args=(client,), daemon=True).start()

    def connect(client: socket.socket) -> None:
        with client:
            head = b""
            while b"\r\n\r\n" not in head and (more := client.recv(65536)):
                head += more
            port = sessions if b"upgrade: websocket" in head.lower() else http
            with socket.create_connection(("127.0.0.1", port)) as server:
                server.sendall(head)
                onward = threading.Thread(target=copy, args=(client, server))
                onward.start()
                copy(server, client)
                onward.join()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)  # which ends `accept`
        thread.join()


def copy(source: socket.socket, to: socket.socket) -> None:
    """Send on what arrives, until either side ends."""
    with contextlib.suppress(OSError):
        while more := source.recv(65536):
            to.sendall(more)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_WR)
