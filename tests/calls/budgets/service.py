"""A service of an agent that is spread over processes: `python -m tests.calls.budgets.service web|worker <json>`.

`web` serves HTTP: each request makes a model call in the trace that came with it, and passes on to the next service.
`worker` takes jobs from a list in Redis, as task queues do, each with the trace context that it was sent with.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import redis
from openai import OpenAI
from opentelemetry import context, propagate, trace
from opentelemetry.sdk.trace import TracerProvider

import otel_agentcost
from otel_agentcost import BudgetExceeded, Settings

ASK: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50}


class Service:
    """One process of the agent."""

    def __init__(self, model_url: str, settings: dict[str, Any], next_url: str | None = None) -> None:
        trace.set_tracer_provider(TracerProvider())
        otel_agentcost.instrument(settings=Settings(**settings))
        self._openai = OpenAI(base_url=model_url, api_key="none")
        self._next = next_url
        self._tracer = trace.get_tracer("service")

    def work(self, carrier: dict[str, str]) -> list[str]:
        """One model call here, and whatever the next service does; a refusal is an answer like any other."""
        token = context.attach(propagate.extract({key.lower(): value for key, value in carrier.items()}))
        try:
            with self._tracer.start_as_current_span("serve"):
                try:
                    self._openai.chat.completions.create(**ASK)
                    said = ["made"]
                except BudgetExceeded as error:
                    said = [str(error)]
                return said + (forward(self._next) if self._next else [])
        finally:
            context.detach(token)


def forward(url: str) -> list[str]:
    """Asks the service at `url`, in the current trace."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as reply:
        said: list[str] = json.load(reply)
        return said


def web(service: Service) -> None:
    """Serves until it is killed; prints its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(service.work(dict(self.headers))).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 (its name in the base class)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


def worker(service: Service, queue_url: str) -> None:
    """Takes jobs until it is killed, and puts what came of each into another list."""
    queue: Any = redis.Redis.from_url(queue_url)
    print("ready", flush=True)
    while True:
        _, job = queue.blpop("jobs")
        queue.rpush("done", json.dumps(service.work(json.loads(job))))


if __name__ == "__main__":
    kind, written = sys.argv[1:]
    given = json.loads(written)
    made = Service(given["model"], given["settings"], given.get("next"))
    if kind == "web":
        web(made)
    else:
        worker(made, given["queue"])
