"""The demo's model server: a local HTTP server that OpenAI's, Anthropic's and Google's SDKs take for their provider.

    with ModelServer(script) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none")

Routing, JSON and streaming live here. What is answered comes from `model.py`, how it is written from `dialects/`.
It listens on the loopback interface only, on a free port, and needs no network.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import urlsplit

from otel_agentcost.cli.demo.dialects import Dialect, anthropic, gemini, openai_chat, openai_responses
from otel_agentcost.cli.demo.model import BadRequest, Script, ScriptedModel

# The end of the path, and who speaks so.
ROUTES: tuple[tuple[str, Dialect], ...] = (
    ("/chat/completions", openai_chat.DIALECT),
    ("/responses", openai_responses.DIALECT),
    ("/messages", anthropic.DIALECT),
    (":generateContent", gemini.DIALECT),
    (":streamGenerateContent", gemini.DIALECT),
)


class ModelServer:
    """The server, running from `__enter__` to `__exit__`."""

    def __init__(self, script: Script, *, pause: float = 0.0) -> None:
        """`pause` is how many seconds the model thinks before it answers; it writes at a matching speed."""
        self._http = _HTTPServer(ScriptedModel(script), pause)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Where the server listens: scheme, host and port."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> ModelServer:  # noqa: PYI034 (typing.Self is not in Python 3.10)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # an SDK's idle connection must not hold up the end

    def __init__(self, model: ScriptedModel, pause: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.model = model
        self.pause = pause

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that hangs up in the middle of a stream is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _HTTPServer  # pyright: ignore[reportIncompatibleVariableOverride] (the server that makes the handlers)

    def do_POST(self) -> None:
        """Answers one request."""
        path = urlsplit(self.path).path
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        dialect = next((dialect for ending, dialect in ROUTES if path.endswith(ending)), None)
        if dialect is None:
            self._send_json(404, openai_chat.DIALECT.error(404, f"No such path here: {path}"))
            return
        try:
            asked = dialect.read(_json_object(raw), path)
        except (ValueError, BadRequest) as error:
            self._send_json(400, dialect.error(400, str(error)))
            return
        answered = self.server.model.answer(asked)
        time.sleep(self.server.pause)
        if asked.stream:
            self._send_events(dialect.events(asked, answered))
        else:
            self._send_json(200, dialect.whole(answered))

    def _send_json(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_events(self, events: Iterator[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            for event in events:
                self._send_chunk(event.encode())
                time.sleep(self.server.pause / 50)
            self._send_chunk(b"")

    def _send_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        """Nothing: the terminal belongs to the demo."""


def _json_object(raw: bytes) -> dict[str, Any]:
    value: object = json.loads(raw)
    if not isinstance(value, dict):
        raise BadRequest("The request body must be a JSON object.")
    return cast("dict[str, Any]", value)
