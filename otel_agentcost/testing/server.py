"""A local HTTP server that plays a model provider: for SDKs that must see real sockets, and for other processes.

    with ModelServer() as server:
        server.replies(json_reply({...}), sse_reply([{...}, {...}]))
        client = OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)

It sends the replies in order and records the requests. HTTP/1.1 with keep-alive, chunked event streams with pauses,
and connections that drop half-way: what the transports of SDKs see in production. It listens on the loopback
interface only, on a free port. What a model answers in the format of each provider comes from `FakeModel`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

_Self = TypeVar("_Self", bound="ModelServer")

EMPTY: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One HTTP response. `body` goes out whole, with its length; `chunks`, where given, go out one by one instead."""

    status: int = 200
    content_type: str = "application/json"
    body: bytes = b""
    chunks: Sequence[bytes | float] | None = None
    """Chunks of a chunked response; a number is a pause of so many seconds."""
    headers: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    drop: bool = False
    """Closes the connection after what was sent, without ending the response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Header names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


Responder = Callable[[Request], Reply]


def json_reply(value: Any, *, status: int = 200, headers: Mapping[str, str] = EMPTY) -> Reply:
    """Return a whole response in JSON."""
    return Reply(status=status, body=json.dumps(value).encode(), headers=headers)


def sse_event(value: Any, *, named: bool = False) -> bytes:
    """Return one server-sent event; `named` puts the value's "type" on an `event:` line, as Anthropic does."""
    head = f"event: {value['type']}\n" if named else ""
    data = value if isinstance(value, str) else json.dumps(value)
    return f"{head}data: {data}\n\n".encode()


def sse_reply(
    events: Iterable[Any],
    *,
    named: bool = False,
    done: bool = False,
    pause: float = 0.0,
    drop: bool = False,
    headers: Mapping[str, str] = EMPTY,
) -> Reply:
    """Return an event stream, one chunk an event. `done` ends it with OpenAI's `[DONE]`; `drop` breaks it off."""
    chunks: list[bytes | float] = []
    for event in events:
        if pause and chunks:
            chunks.append(pause)
        chunks.append(sse_event(event, named=named))
    if done:
        chunks.append(sse_event("[DONE]"))
    return Reply(content_type="text/event-stream", chunks=chunks, drop=drop, headers=headers)


class ModelServer:
    """The server. A context manager: it serves on a free local port until left."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.responder: Responder | None = None
        """Answers the requests for which the queue has no reply, where set."""
        self._queue: deque[Reply] = deque()
        self._http = _Server(self)

    @property
    def url(self) -> str:
        """The base URL, without a path and without a slash at its end."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def replies(self, *replies: Reply) -> None:
        """Add replies to the queue.

        Args:
            replies: Each answers one request, in this order.

        """
        self._queue.extend(replies)

    @property
    def unused(self) -> int:
        """The number of replies that are left in the queue."""
        return len(self._queue)

    def answer(self, request: Request) -> Reply:
        """Record a request and return its reply.

        Args:
            request: The request that arrived.

        Returns:
            The next reply of the queue, or else that of `responder`, or else an error with status 418.

        """
        self.requests.append(request)
        with contextlib.suppress(IndexError):
            return self._queue.popleft()
        if self.responder is not None:
            return self.responder(request)
        # A status that no SDK retries, so that a test with too few replies fails at once and says so.
        return json_reply({"error": {"message": f"no reply left for {request.method} {request.path}"}}, status=418)

    def __enter__(self: _Self) -> _Self:  # noqa: PYI019 (typing.Self is not in Python 3.10)
        # A short poll: leaving waits for it.
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.drop_connections()
        self._http.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, model_server: ModelServer) -> None:
        self.model_server = model_server
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        """End the keep-alive connections, whose threads would otherwise outlive the server."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of many tests, which look at the side of the client."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride] (the server that makes the handlers)

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(method=self.command, path=self.path, headers=headers, body=body)
        reply = self.server.model_server.answer(request)
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.chunks is None:
            self._send_whole(reply)
        else:
            self._send_chunks(reply, reply.chunks)
        if reply.drop:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 (names that http.server calls)

    def _send_whole(self, reply: Reply) -> None:
        # A dropped response promises more than it sends.
        self.send_header("Content-Length", str(len(reply.body) + (1 if reply.drop else 0)))
        self.end_headers()
        self.wfile.write(reply.body)
        self.wfile.flush()

    def _send_chunks(self, reply: Reply, chunks: Sequence[bytes | float]) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in chunks:
            if isinstance(chunk, bytes):
                self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            else:
                time.sleep(chunk)
            self.wfile.flush()
        if not reply.drop:
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name that http.server gives it)
        """Log nothing: tests look at `requests`, and the terminal is not the server's."""
