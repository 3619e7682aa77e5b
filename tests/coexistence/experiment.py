"""One scene: some neighbours and we, installed in some order, one call in some shape, and what came of it."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

import otel_agentcost
from otel_agentcost.core import semconv
from tests.coexistence import providers
from tests.coexistence.neighbours import NATIVE, Neighbour
from tests.coexistence.shapes import Shape
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

Order = Literal["theirs first", "ours first", "without us"]
OURS = "otel_agentcost"
ROOT = "application"
_PATCHED_BY_SOMEBODY = {
    "openai": (
        "_client",
        "resources.chat.completions.completions",
        "resources.completions",
        "resources.embeddings",
        "resources.responses.responses",
    ),
    "anthropic": ("_client", "resources.messages.messages", "resources.beta.messages.messages"),
}
_COSTS = (semconv.COST, semconv.UNPRICED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one call left behind."""

    spans: Sequence[ReadableSpan]
    """All but the application's own, in the order in which they ended."""
    calls: int
    """How many calls our metrics count."""
    usd: float
    """What they come to by our metrics."""

    @property
    def costed(self) -> Sequence[ReadableSpan]:
        """The spans that say what a call cost, or why that is not known."""
        return [span for span in self.spans if any(name in (span.attributes or {}) for name in _COSTS)]

    @property
    def ours(self) -> Sequence[ReadableSpan]:
        """The spans that we made."""
        return [span for span in self.spans if scope(span) == OURS]

    @property
    def theirs(self) -> Sequence[ReadableSpan]:
        """The spans that neighbours made."""
        return [span for span in self.spans if scope(span) != OURS]


def scope(span: ReadableSpan) -> str:
    """The instrumentation scope of `span`."""
    return span.instrumentation_scope.name if span.instrumentation_scope else ""


def client_of(sdk: str, server: ModelServer, telemetry: Telemetry, *, is_async: bool, native: bool) -> Any:
    """A client of `sdk` that talks to the local server."""
    module = importlib.import_module(sdk)
    http: Any = module.DefaultAsyncHttpxClient if is_async else module.DefaultHttpxClient
    common = {
        "api_key": "none",
        "max_retries": 0,
        "http_client": http(verify=False),
    }  # no certificates: ten times faster
    if sdk == "openai":
        return (module.AsyncOpenAI if is_async else module.OpenAI)(base_url=server.url + "/v1", **common)
    kind = module.AsyncAnthropic if is_async else module.Anthropic
    tracing = {"tracer_provider": telemetry.tracer_provider} if native else False
    return kind(base_url=server.url, open_telemetry=tracing, **common)


@contextlib.contextmanager
def pristine(sdk: str) -> Generator[None]:
    """Puts the methods of `sdk` back at the end: not every neighbour's `uninstrument` does."""
    for module in _PATCHED_BY_SOMEBODY[sdk]:
        importlib.import_module(f"{sdk}.{module}")
    parts = (f"{sdk}.resources", f"{sdk}._base_client", f"{sdk}._client")
    modules = [module for name, module in sys.modules.items() if name.startswith(parts)]
    classes = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    saved = [(cls, dict(vars(cls))) for cls in classes if cls.__module__.startswith(sdk)]
    try:
        yield
    finally:
        for cls, methods in saved:
            for name, now in list(vars(cls).items()):
                if name not in methods:
                    delattr(cls, name)
                elif now is not methods[name] and not name.startswith("_abc"):
                    setattr(cls, name, methods[name])


@contextlib.contextmanager
def installed(neighbours: Sequence[Neighbour], telemetry: Telemetry, order: Order) -> Generator[None]:
    """The neighbours and we, one after the other; all gone at the end. Their metrics, named as ours, go elsewhere."""
    theirs = Telemetry()
    with pristine(neighbours[0].sdk) if neighbours else contextlib.nullcontext():
        try:
            if order == "ours first":
                instrument(telemetry)
            for neighbour in neighbours:
                neighbour.instrument(telemetry, theirs)
            if order == "theirs first":
                instrument(telemetry)
            yield
        finally:
            otel_agentcost.uninstrument()
            for neighbour in reversed(neighbours):
                neighbour.uninstrument()
            theirs.shutdown()


def instrument(telemetry: Telemetry) -> None:
    """Ours."""
    otel_agentcost.instrument(tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider)


def play(neighbours: Sequence[Neighbour], shape: Shape, server: ModelServer, order: Order) -> Seen:
    """One call, with all in place for it alone."""
    telemetry = Telemetry()
    try:
        with installed(neighbours, telemetry, order):
            return call(neighbours, shape, server, telemetry)
    finally:
        telemetry.shutdown()


def call(neighbours: Sequence[Neighbour], shape: Shape, server: ModelServer, telemetry: Telemetry) -> Seen:
    """One call in an application's own span."""
    server.responder = providers.answer
    telemetry.clear()
    before = _counted(telemetry)
    client = client_of(shape.sdk, server, telemetry, is_async=shape.is_async, native=NATIVE in neighbours)
    tracer = trace.get_tracer(ROOT, tracer_provider=telemetry.tracer_provider)
    with tracer.start_as_current_span(ROOT):
        shape.call(client)
    after = _counted(telemetry)
    spans = [span for span in telemetry.spans if span.name != ROOT]
    return Seen(spans=spans, calls=after[0] - before[0], usd=after[1] - before[1])


def _counted(telemetry: Telemetry) -> tuple[int, float]:
    """How many calls our metrics count so far, and how many dollars."""
    counts: list[int] = [getattr(point, "count", 0) for point in telemetry.points("gen_ai.client.operation.duration")]
    return sum(counts), telemetry.total("agentcost.cost")
