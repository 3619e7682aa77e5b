"""An instrumented gateway in a process of its own: `python -m tests.services.gateway PROVIDER_URL SETTINGS`.

It takes chats of the OpenAI format, makes them at the provider with the openai SDK, in the trace of the request, and
passes the answers on. `GET /figures` is what its spans and metrics say so far. Headers of a request make it behave as
gateways do: `x-calls: 2` makes a second call for the request, `x-model` is the provider's name of the model,
`x-status: 500` answers so although the model has answered, `x-stripped: 1` has lost the baggage on its way.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from openai import APIStatusError, OpenAI
from opentelemetry import context, propagate
from opentelemetry.trace import SpanKind

from otel_agentcost import BudgetExceeded
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry

ROOT = Path(__file__).resolve().parent.parent.parent


class _Handler(BaseHTTPRequestHandler):
    telemetry: Telemetry
    client: OpenAI
    failed: list[str]
    """The statuses that requests have asked for."""

    def do_GET(self) -> None:
        """Says what the telemetry has."""
        spans = [dict(span.attributes or {}) for span in self.telemetry.spans if span.name.startswith("chat")]
        names = ("agentcost.cost", "agentcost.tokens", "gen_ai.client.token.usage")
        self._reply(200, {"spans": spans, **{name: self.telemetry.total(name) for name in names}})

    def do_POST(self) -> None:
        """Makes the call in the trace of the request, as a web framework with its instrumentation does."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body["model"] = self.headers.get("x-model", body["model"])
        lost = ("baggage",) if self.headers.get("x-stripped") else ()
        token = context.attach(propagate.extract({k: v for k, v in self.headers.items() if k.lower() not in lost}))
        try:
            tracer = self.telemetry.tracer_provider.get_tracer("server")
            with tracer.start_as_current_span("POST", kind=SpanKind.SERVER):
                self._answer(body)
        finally:
            context.detach(token)

    def _answer(self, body: Any) -> None:
        try:
            answer = [self._ask(body) for _ in range(int(self.headers.get("x-calls", "1")))][-1]
        except BudgetExceeded as error:
            self._reply(429, {"error": {"message": str(error)}})
            return
        if (status := self.headers.get("x-status")) is not None and not self._tried(status):
            if body.get("stream"):
                list(answer)
            self._reply(int(status[:3]), {"error": {"message": "after the call"}})
            return
        if not body.get("stream"):
            self._reply(200, answer.model_dump())
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for chunk in answer:
            self.wfile.write(f"data: {chunk.model_dump_json()}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def _tried(self, status: str) -> bool:
        """True for every request but the first, if the status is one for the first only: `500 once`."""
        self.failed.append(status)
        return status.endswith("once") and len(self.failed) > 1

    def _ask(self, body: Any) -> Any:
        try:
            return self.client.chat.completions.create(**body)
        except APIStatusError:  # try another deployment
            return self.client.chat.completions.create(**body)

    def _reply(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name of the base class)
        """Keep quiet."""


def figures(url: str) -> dict[str, Any]:
    """What the gateway at `url` has on its spans and in its metrics."""
    with urlopen(f"{url}/figures") as answer:
        said: dict[str, Any] = json.load(answer)
        return said


@contextmanager
def gateway(provider: str, **settings: str) -> Generator[str]:
    """A gateway in front of `provider`, instrumented with these settings; gives its address."""
    command = [sys.executable, "-m", "tests.services.gateway", provider, json.dumps(settings)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate("stop\n", timeout=30)


def main() -> None:
    telemetry = Telemetry()
    client = OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="none", max_retries=0)
    handler = type("Handler", (_Handler,), {"telemetry": telemetry, "client": client, "failed": []})
    with budgeted(telemetry, **json.loads(sys.argv[2])), ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.readline()
        server.shutdown()


if __name__ == "__main__":
    main()
