"""The recorder's server: plays the model providers, and takes the spans that come of it.

One scenario runs at a time. What a call uses follows from the scenario's name (`USED`), so that every driver, in
whatever language, only has to make the call; the server knows what it said, which is the scenario's truth.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.collector.foreign.record import otlp, wire

USED: dict[str, dict[str, int]] = {
    "plain": {"input_tokens": 1200, "output_tokens": 80},
    "cached": {"input_tokens": 300, "cache_read_tokens": 2048, "output_tokens": 90},
    "written": {"input_tokens": 310, "cache_read_tokens": 2048, "cache_write_5m_tokens": 512, "output_tokens": 95},
    "hour": {"input_tokens": 320, "cache_write_1h_tokens": 1024, "output_tokens": 70},
    "reasoning": {"input_tokens": 700, "output_tokens": 40, "output_reasoning_tokens": 400},
    "tool": {"input_tokens": 500, "output_tokens": 60},
    "agent": {"input_tokens": 400, "output_tokens": 50},
    "embeddings": {"input_tokens": 250},
    "unknown": {"input_tokens": 600, "output_tokens": 30},
    "cost": {"input_tokens": 800, "output_tokens": 20},
}
"""By the first word of a scenario's name."""
REPORTED_COST = 0.0123

HOSTS = {
    "openai": "api.openai.com",
    "anthropic": "api.anthropic.com",
    "aws": "bedrock-runtime.us-east-1.amazonaws.com",
    "google": "generativelanguage.googleapis.com",
    "openrouter": "openrouter.ai",
}


class Server:
    """The server, from `__enter__` to `__exit__`."""

    def __init__(self) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._lock = threading.Lock()
        self.scenarios: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Server:  # noqa: PYI034 (typing.Self is not in Python 3.10)
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def begin(self, name: str) -> None:
        """The scenario that what comes from now on belongs to."""
        self.scenarios.append({"scenario": name, "truth": [], "resourceSpans": []})

    def spans(self, body: bytes, content_type: str) -> None:
        """An exporter's request."""
        with self._lock:
            self.scenarios[-1]["resourceSpans"].extend(otlp.resource_spans(body, content_type))

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, str, Iterator[bytes]]:
        """A provider's answer: status, content type, pieces."""
        scenario = self.scenarios[-1]
        word = str(scenario["scenario"]).split("-")[0]
        call = wire.understand(path, body)
        if word == "error":
            return 400, "application/json", iter([json.dumps(call.error()).encode()])
        call.used = USED[word]
        call.tool = word == "tool" or (word == "agent" and not call.has_tool_result)
        call.cost = REPORTED_COST if word == "cost" else None
        truth = {"provider": call.provider, "model": call.model, "usage": call.used}
        scenario["truth"].append(truth | ({"reported_usd": call.cost} if call.cost else {}))
        return 200, call.content_type, call.pieces()


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self._body()
            if self.path.startswith("/begin/"):
                server.begin(self.path.removeprefix("/begin/"))
                self._send(200, "application/json", iter([b"{}"]))
            elif self.path.endswith("/v1/traces"):
                raw = otlp.unpacked(raw, self.headers.get("Content-Encoding", ""))
                server.spans(raw, self.headers.get("Content-Type", ""))
                self._send(200, self.headers.get("Content-Type", ""), iter([]))
            elif self.path.endswith(("/v1/metrics", "/v1/logs")):
                self._send(200, self.headers.get("Content-Type", ""), iter([]))
            else:
                self._send(*server.answer(self.path, json.loads(raw)))

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _send(self, status: int, content_type: str, pieces: Iterator[bytes]) -> None:
            body = b"".join(pieces)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
            """Nothing."""

    return Handler
