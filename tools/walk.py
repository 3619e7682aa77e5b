"""Count what one call walks through: calls, functions, files and file switches of this package.

    make walk                       in an environment with LangChain and OpenLLMetry's Groq instrumentation
    python tools/walk.py --files    names the files, too

Five calls against a local HTTP server, each warm and inside one span of the application: an OpenAI chat, the same
streamed, an Anthropic message under a trace budget, a LangChain tool, and a Groq call that another instrumentation
reports. `sys.setprofile` sees each Python function that is entered. A switch is a call into another file than the call
before it; the depth is the largest number of the package's own frames above its first.

The script imports `otel_agentcost` and nothing else of the repository, so it also measures another version:

    PYTHONPATH=/path/to/other/checkout python tools/walk.py
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_agentcost

PACKAGE = str(Path(otel_agentcost.__file__).parent) + "/"
MESSAGES = [{"role": "user", "content": "What is the answer?"}]
WARMING = 5
"""Calls before the measured one: caches and lazy imports are not what a call walks through."""

_OPENAI_USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
_ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-6",
    "content": [{"type": "text", "text": "Forty-two."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 12, "output_tokens": 5},
}


class Missing(Exception):
    """A package that a call needs is not installed."""


@dataclass(slots=True)
class Walk:
    """Everything that one call entered."""

    calls: int = 0
    switches: int = 0
    depth: int = 0
    functions: set[CodeType] = field(default_factory=set[CodeType])
    files: Counter[str] = field(default_factory=Counter[str])

    @property
    def rooms(self) -> set[str]:
        """The folders and modules of the package's root that the files are in."""
        return {file.split("/")[0] for file in self.files}


@dataclass(frozen=True, slots=True)
class Case:
    """One of the calls."""

    name: str
    prepare: Callable[[str], Callable[[], object]]
    """Gets the server's URL; returns the call."""
    settings: Callable[[], otel_agentcost.Settings] = otel_agentcost.Settings
    counter: str = "agentcost.trace.llm_calls"
    """The attribute by which the application's span counts such calls."""


def measure(call: Callable[[], object]) -> Walk:
    """Make `call` once and record the functions of the package that this thread enters.

    Args:
        call: A call without arguments; its result is dropped.
    """
    walk, stack = Walk(), 0
    last: str | None = None

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal stack, last
        file = frame.f_code.co_filename
        if not file.startswith(PACKAGE):
            return
        if event == "call":
            stack += 1
            walk.calls += 1
            walk.depth = max(walk.depth, stack - 1)
            walk.functions.add(frame.f_code)
            walk.files[file.removeprefix(PACKAGE)] += 1
            walk.switches += last is not None and last != file
            last = file
        elif event == "return":
            stack -= 1

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return walk


def provide() -> InMemorySpanExporter:
    """Set the global providers, which the SDKs' own spans use, too. Returns the exporter that gets the spans."""
    exporter = InMemorySpanExporter()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))
    return exporter


def walk_of(case: Case, url: str, exporter: InMemorySpanExporter) -> Walk:
    """Instrument, make the calls of `case` against the server at `url`, and measure the last one.

    Args:
        case: The call to measure.
        url: The server's base URL, without a slash at its end.
        exporter: Gets the spans of the global tracer provider.

    Raises:
        Missing: A package that the call needs is not installed.
        RuntimeError: The package did not count the measured call.
    """
    otel_agentcost.instrument(settings=case.settings())
    try:
        call = case.prepare(url)
        tracer = trace.get_tracer("application")
        for _ in range(WARMING):
            with tracer.start_as_current_span("run"):
                call()
        exporter.clear()
        with tracer.start_as_current_span("run"):
            walk = measure(call)
        (root,) = (span.attributes or {} for span in exporter.get_finished_spans() if span.name == "run")
        if root.get(case.counter) != 1:
            raise RuntimeError(f"{case.name}: the application's span does not count one call, so it was not measured")
        return walk
    finally:
        otel_agentcost.uninstrument()


def openai_chat(url: str) -> Callable[[], object]:
    """Return a chat completion with OpenAI's SDK."""
    client = imported("openai").OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    return lambda: client.chat.completions.create(model="gpt-4o", messages=MESSAGES)


def openai_stream(url: str) -> Callable[[], object]:
    """Return a chat completion that is streamed and read to its end."""
    client = imported("openai").OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    options = {"include_usage": True}
    return lambda: list(
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True, stream_options=options)
    )


def anthropic_message(url: str) -> Callable[[], object]:
    """Return a message with Anthropic's SDK."""
    client = imported("anthropic").Anthropic(base_url=url, api_key="none", max_retries=0)
    return lambda: client.messages.create(model="claude-sonnet-4-6", max_tokens=64, messages=MESSAGES)


def langchain_tool(_url: str) -> Callable[[], object]:
    """Return a call of a LangChain tool as a model asks for it."""
    tool = imported("langchain_core.tools").StructuredTool.from_function(
        _search, name="search", description="Finds pages."
    )
    call = {"type": "tool_call", "name": "search", "id": "call_1", "args": {"query": "bees"}}
    return lambda: tool.invoke(call)


def _search(query: str) -> str:
    return f"pages on {query}"


def groq_span(url: str) -> Callable[[], object]:
    """Return a chat with Groq's SDK, which OpenLLMetry instruments."""
    instrumentor = imported("opentelemetry.instrumentation.groq").GroqInstrumentor()
    instrumentor.instrument(skip_dep_check=True)
    client = imported("groq").Groq(base_url=url, api_key="none", max_retries=0)
    return lambda: client.chat.completions.create(model="llama-3.3-70b-versatile", messages=MESSAGES)


def _with_budget() -> otel_agentcost.Settings:
    return otel_agentcost.Settings(trace_budget_usd=Decimal(1))


CASES = (
    Case("openai chat", openai_chat),
    Case("openai chat, streamed", openai_stream),
    Case("anthropic under a trace budget", anthropic_message, _with_budget),
    Case("langchain tool", langchain_tool, counter="agentcost.trace.tool_calls"),
    Case("groq, seen by openllmetry", groq_span),
)


def imported(module: str) -> Any:
    """Import `module` or raise `Missing`."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Missing(f"{module} is not installed") from error


class _Handler(BaseHTTPRequestHandler):
    """Answer each path with the shape of its API, streamed where the request wants that."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answer one request."""
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        if self.path.endswith("/messages"):
            body = json.dumps(_ANTHROPIC).encode()
        elif asked.get("stream"):
            events = [json.dumps(chunk) for chunk in _chunks(asked["model"])] + ["[DONE]"]
            body = "".join(f"data: {event}\n\n" for event in events).encode()
        else:
            body = json.dumps(_completion(asked["model"])).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if asked.get("stream") else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name that http.server gives)
        """Log nothing: standard error is for problems."""


def _completion(model: str) -> dict[str, object]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Forty-two."}, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [choice],
        "usage": _OPENAI_USAGE,
    }


def _chunks(model: str) -> list[dict[str, object]]:
    """Four chunks: two with text, the end, the usage."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    texts = [{"role": "assistant", "content": "Forty-"}, {"content": "two."}]
    choices: list[dict[str, object]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in texts]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    return [*({**head, "choices": [choice]} for choice in choices), {**head, "choices": [], "usage": _OPENAI_USAGE}]


@contextlib.contextmanager
def serving() -> Generator[str]:
    """Serve on a free local port; yields the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def main(argv: Sequence[str] | None = None) -> int:
    """Print one line a call.

    Returns:
        0, or 1 where a call could not be measured because a package is not installed.
    """
    parser = argparse.ArgumentParser(description="Count what one call walks through in otel_agentcost.")
    parser.add_argument("--files", action="store_true", help="name the files of each call, too")
    options = parser.parse_args(argv)
    logging.getLogger("otel_agentcost").setLevel(logging.ERROR)
    missing = False
    print(PACKAGE)
    print(f"{'call':32}{'calls':>7}{'functions':>11}{'files':>7}{'switches':>10}{'depth':>7}{'rooms':>7}")
    exporter = provide()
    with serving() as url:
        for case in CASES:
            try:
                walk = walk_of(case, url, exporter)
            except Missing as error:
                missing = True
                print(f"{case.name:32}  not measured: {error} (`make walk` installs it)")
                continue
            numbers = (walk.calls, len(walk.functions), len(walk.files), walk.switches, walk.depth, len(walk.rooms))
            print(
                f"{case.name:32}{numbers[0]:7}{numbers[1]:11}{numbers[2]:7}{numbers[3]:10}{numbers[4]:7}{numbers[5]:7}"
            )
            if options.files:
                for file, calls in sorted(walk.files.items()):
                    print(f"    {calls:5}  {file}")
    return int(missing)


if __name__ == "__main__":
    sys.exit(main())
