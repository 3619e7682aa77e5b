"""What the tests of this folder share: a call shape, its uninstrumented twin, and what its span must say.

A shape is run twice against the same replies, without us and with us. Both times the application must see the same
objects of the same types and the provider the same bytes; with us there is in addition the expected span.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

import otel_agentcost
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request

ANSWER = "Forty-two."


@dataclass(frozen=True, kw_only=True)
class Spend:
    """What the span of one call must say. None: the attribute must not be there."""

    name: str
    operation: str = "chat"
    provider: str = "openai"
    model: str | None = None
    """The model asked for; by default the last word of `name`; "" where the request names none."""
    served: str | None = None
    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    usd: float | None = None
    source: str = "local"
    unpriced: str | None = None
    """What the reason must contain."""
    estimated: bool | None = None
    error: str | None = None


def a_tool(name: str) -> Spend:
    """A call of a tool that the SDK makes by itself, which costs nothing."""
    return Spend(name=f"execute_tool {name}", operation="execute_tool")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One way to call an SDK. `run` gets the server's URL, makes the call and returns what the application saw."""

    name: str
    run: Callable[[str], Any]
    replies: Sequence[Reply]
    spends: Sequence[Spend]
    raises: bool = False
    """The application sees an exception."""
    loose_body: bool = False
    """The SDK makes up a part of the body anew each time (a multipart boundary)."""


@contextlib.contextmanager
def instrumented(telemetry: Telemetry, **more: Any) -> Generator[None]:
    """Instruments with this test's own telemetry, for a block."""
    otel_agentcost.instrument(
        tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider, **more
    )
    try:
        yield
    finally:
        otel_agentcost.uninstrument()


def run(action: Callable[[str], Any], url: str) -> Any:
    """Runs a shape, in an event loop of its own where it is asynchronous."""
    result = action(url)
    if inspect.iscoroutine(result):
        return asyncio.run(result)
    return result


def seen(value: Any) -> Any:
    """A comparable description of what the application got: types, and all content."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, BaseException):
        status = getattr(value, "status_code", None)
        return (kind, str(value), status, seen(value.__cause__), seen(getattr(value, "body", None)))
    if hasattr(value, "model_dump"):
        extra = {name: getattr(value, name) for name in ("_request_id",) if hasattr(value, name)}
        with_types = {name: seen(item) for name, item in vars(value).items()}
        dump = seen(value.model_dump(warnings=False))
        return (kind, dump, extra, with_types)
    if isinstance(value, Mapping):
        # The server's clock is no part of what is compared.
        return {key: seen(item) for key, item in value.items() if str(key).lower() != "date"}
    if isinstance(value, (list, tuple)):
        return [seen(item) for item in value]
    if value is None or isinstance(value, (str, bytes, int, float, bool)):
        return value
    return kind


@dataclass
class Outcome:
    """One run of a shape: what the application saw and what the provider was sent."""

    saw: Any
    raised: Exception | None
    requests: list[tuple[str, str, Any]]


def observe(action: Callable[[str], Any], server: ModelServer, replies: Sequence[Reply], *, loose: bool) -> Outcome:
    """Runs a shape against `replies`; an exception is something that the application sees, too."""
    server.requests.clear()
    server.replies(*replies)
    raised: Exception | None = None
    try:
        saw = seen(run(action, server.url))
    except Exception as error:
        saw, raised = seen(error), error
    gc.collect()
    return Outcome(saw, raised, [_sent(request, loose=loose) for request in server.requests])


def _sent(request: Request, *, loose: bool) -> tuple[str, str, Any]:
    if not loose:
        return (request.method, request.path, request.body)
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    return (request.method, request.path, request.body.replace(boundary, b"boundary"))


_WANTED = {
    "model": "gen_ai.request.model",
    "served": "gen_ai.response.model",
    "operation": "gen_ai.operation.name",
    "provider": "gen_ai.provider.name",
    "input": "gen_ai.usage.input_tokens",
    "output": "gen_ai.usage.output_tokens",
    "cache_read": "gen_ai.usage.cache_read.input_tokens",
    "cache_write": "gen_ai.usage.cache_write.input_tokens",
    "reasoning": "gen_ai.usage.reasoning.output_tokens",
    "usd": "agentcost.cost.usd",
    "estimated": "agentcost.usage.estimated",
    "error": "error.type",
}


def check_span(span: ReadableSpan, spend: Spend) -> None:
    """The span says what it must, and nothing that it must not."""
    given = dict(span.attributes or {})
    if spend.operation == "execute_tool":  # a tool that the SDK calls by itself
        assert (span.name, given["gen_ai.operation.name"]) == (spend.name, "execute_tool")
        assert "agentcost.cost.usd" not in given
        return
    model = (spend.model or None) if spend.model is not None else spend.name.rpartition(" ")[2]
    wanted = {name: getattr(spend, name) for name in _WANTED} | {"model": model}
    found = {name: given.get(attribute) for name, attribute in _WANTED.items()}
    if spend.estimated and spend.output is None:  # how many, depends on the tokenizer that is there
        assert isinstance(found["output"], int)
        assert isinstance(found["usd"], float)
        wanted |= {"input": found["input"], "output": found["output"], "usd": found["usd"]}
    reason = given.get("agentcost.unpriced")
    assert (span.name, found) == (spend.name, wanted), (reason, given)
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code.name == ("UNSET" if spend.error is None else "ERROR")
    if spend.unpriced is None:
        assert reason is None
    else:
        assert spend.unpriced in str(reason)
    if spend.usd is not None:
        assert given["gen_ai.usage.cost.amount"] == spend.usd
        assert (given["gen_ai.usage.cost.currency"], given["gen_ai.usage.cost.source"]) == ("USD", spend.source)


def check_shape(shape: Shape, server: ModelServer, telemetry: Telemetry) -> None:
    """The whole promise for one shape: same objects, same bytes, the right spans, the right metrics, no warning."""
    without = observe(shape.run, server, shape.replies, loose=shape.loose_body)
    assert shape.raises or without.raised is None, without.raised
    assert server.unused == 0, "the shape itself is wrong: it asked for fewer replies than it was given"
    with warnings_of_ours() as warned, instrumented(telemetry):
        with_us = observe(shape.run, server, shape.replies, loose=shape.loose_body)
    assert with_us.saw == without.saw
    assert with_us.requests == without.requests
    assert warned == []
    assert [span.name for span in telemetry.spans] == [spend.name for spend in shape.spends]
    for span, spend in zip(telemetry.spans, shape.spends, strict=True):
        check_span(span, spend)
    usd = sum(spend.usd or 0.0 for spend in shape.spends)
    if not any(spend.estimated for spend in shape.spends):
        assert abs(telemetry.total("agentcost.cost") - usd) < 1e-12
        tokens = sum((spend.input or 0) + (spend.output or 0) for spend in shape.spends)
        assert telemetry.total("gen_ai.client.token.usage") == tokens


@contextlib.contextmanager
def warnings_of_ours() -> Generator[list[str]]:
    """What this package logs at WARNING and above within a block, and whatever the OpenTelemetry context logs."""
    found: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler = Collect(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("otel_agentcost", "opentelemetry")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield found
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def names(shapes: Sequence[Shape]) -> list[str]:
    """Test ids."""
    return [shape.name for shape in shapes]
