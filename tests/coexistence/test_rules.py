"""The rules of adoption, one by one: whose span is taken, when it ends, and what is never taken.

With the real neighbours where they are what it is about, else with plain spans of a stand-in framework.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

import otel_agentcost
from otel_agentcost.core import semconv
from tests.coexistence import providers
from tests.coexistence.experiment import Order, call, client_of, installed, instrument, pristine, scope
from tests.coexistence.neighbours import NEIGHBOURS, Neighbour, needs_neighbours, neighbours
from tests.coexistence.shapes import CHAT, CHAT_STREAM, MESSAGE, SHAPES, Shape
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the neighbours' own

FRAMEWORK = {semconv.OPERATION: semconv.CHAT, semconv.PROVIDER: "openai", semconv.REQUEST_MODEL: providers.OPENAI_MODEL}


@pytest.fixture
def server(model_server: ModelServer) -> ModelServer:
    """The provider of all tests here."""
    model_server.responder = providers.answer
    return model_server


@pytest.fixture
def openai(server: ModelServer, telemetry: Telemetry) -> Iterator[Any]:
    """An OpenAI client, instrumented by us alone."""
    new_client = partial(client_of, "openai", server, telemetry, is_async=False, native=False)
    with installed((), telemetry, "ours first"), new_client() as client:
        yield client


@pytest.fixture
def framework(telemetry: Telemetry) -> Tracer:
    """The tracer of an agent framework."""
    return trace.get_tracer("framework", tracer_provider=telemetry.tracer_provider)


def shape(name: str, sdk: str) -> Shape:
    """The shape of that name."""
    return next(one for one in SHAPES if (one.name, one.sdk) == (name, sdk))


def usd(span: ReadableSpan) -> object:
    """The dollars on `span`."""
    return (span.attributes or {}).get(semconv.COST)


def by_name(telemetry: Telemetry, name: str) -> ReadableSpan:
    """The only span called so."""
    return telemetry.span(name)


# --- what is never taken -------------------------------------------------------------------------------------------


def test_a_framework_span_takes_one_call_only(openai: Any, framework: Tracer, telemetry: Telemetry) -> None:
    """The second model call within a framework's chat span gets a span, and dollars, of its own."""
    with framework.start_as_current_span("framework chat", attributes=FRAMEWORK):
        openai.chat.completions.create(**CHAT)
        openai.chat.completions.create(**CHAT)
    outer, inner = by_name(telemetry, "framework chat"), by_name(telemetry, f"chat {providers.OPENAI_MODEL}")
    assert usd(outer) == usd(inner) == pytest.approx(providers.OPENAI_USD)
    assert inner.parent == outer.get_span_context()
    assert telemetry.total("agentcost.cost") == pytest.approx(2 * providers.OPENAI_USD)


def test_an_agent_span_is_never_a_call(openai: Any, framework: Tracer, telemetry: Telemetry) -> None:
    """The span of an agent gets the sum of its calls, and each call a span of its own."""
    with framework.start_as_current_span("agent", attributes={semconv.OPERATION: "invoke_agent"}):
        openai.chat.completions.create(**CHAT)
        openai.chat.completions.create(**CHAT)
    agent = telemetry.attributes("agent")
    assert semconv.COST not in agent
    assert agent[semconv.TRACE_COST] == pytest.approx(2 * providers.OPENAI_USD)
    assert len([span for span in telemetry.spans if usd(span) is not None]) == 2


def test_an_attempt_that_failed_leaves_no_error_on_the_span_round_it(
    openai: Any, framework: Tracer, telemetry: Telemetry
) -> None:
    """A framework that tries again with another model has no error on its span: whether it failed, it says itself."""
    with framework.start_as_current_span("framework chat", attributes=FRAMEWORK):
        with pytest.raises(Exception, match="no such model"):
            openai.chat.completions.create(**{**CHAT, "model": "wrong"})
        openai.chat.completions.create(**CHAT)
    outer = by_name(telemetry, "framework chat")
    assert outer.status.status_code is StatusCode.UNSET
    assert semconv.ERROR_TYPE not in (outer.attributes or {})
    assert usd(outer) == pytest.approx(providers.OPENAI_USD)
    assert by_name(telemetry, "chat wrong").status.status_code is StatusCode.ERROR


def test_spans_of_an_http_instrumentation_are_children_of_the_call(
    server: ModelServer, telemetry: Telemetry, openai: Any
) -> None:
    """The HTTP client's own instrumentation makes spans within the call's, and they carry no dollars."""
    httpx = pytest.importorskip("opentelemetry.instrumentation.httpx", reason="no HTTP instrumentation is installed")
    http = httpx.HTTPX2ClientInstrumentor()
    http.instrument(tracer_provider=telemetry.tracer_provider)
    try:
        with client_of("openai", server, telemetry, is_async=False, native=False) as client:
            client.chat.completions.create(**CHAT)
    finally:
        http.uninstrument()
    inference, post = by_name(telemetry, f"chat {providers.OPENAI_MODEL}"), by_name(telemetry, "POST")
    assert post.parent == inference.get_span_context()
    assert usd(post) is None


# --- spans that are not the current one ----------------------------------------------------------------------------


@needs_neighbours
def test_noted_spans_are_not_mixed_up_between_tasks(server: ModelServer, telemetry: Telemetry) -> None:
    """Ten calls at once: each span of OpenLLMetry's, none of which is ever current, gets its own call's dollars."""
    models = ["claude-sonnet-4-6", "claude-haiku-4-5"] * 5

    async def calls() -> None:
        client = client_of("anthropic", server, telemetry, is_async=True, native=False)
        await asyncio.gather(*(client.messages.create(**{**MESSAGE, "model": model}) for model in models))
        await client.close()

    with installed(neighbours("anthropic", "openllmetry"), telemetry, "theirs first"):
        asyncio.run(calls())
    assert sorted(str((span.attributes or {})[semconv.REQUEST_MODEL]) for span in telemetry.spans) == sorted(models)
    assert {scope(span) for span in telemetry.spans} == {"opentelemetry.instrumentation.anthropic"}
    assert all(usd(span) is not None for span in telemetry.spans)


def test_a_span_noted_for_another_model_is_left_alone(openai: Any, framework: Tracer, telemetry: Telemetry) -> None:
    """A span that was opened for a call that never came does not get the dollars of the next one."""
    waiting = framework.start_span("waiting", attributes={**FRAMEWORK, semconv.REQUEST_MODEL: "gpt-4o"})
    openai.chat.completions.create(**CHAT)
    waiting.end()
    assert usd(by_name(telemetry, "waiting")) is None
    assert usd(by_name(telemetry, f"chat {providers.OPENAI_MODEL}")) == pytest.approx(providers.OPENAI_USD)


def test_a_span_noted_under_another_parent_is_left_alone(openai: Any, framework: Tracer, telemetry: Telemetry) -> None:
    """A span that was opened elsewhere in the trace is not the call's, though it asks for the same model."""
    waiting = framework.start_span("waiting", attributes=FRAMEWORK)
    with framework.start_as_current_span("elsewhere"):
        openai.chat.completions.create(**CHAT)
    waiting.end()
    assert usd(by_name(telemetry, "waiting")) is None


@needs_neighbours
def test_a_stream_that_its_owner_forgets_is_still_exported(server: ModelServer, telemetry: Telemetry) -> None:
    """OpenLLMetry never ends the span of an anthropic stream that is broken off: it is exported all the same."""
    company = neighbours("anthropic", "openllmetry")
    with installed(company, telemetry, "theirs first"):
        seen = call(company, shape("stream broken off", "anthropic"), server, telemetry)
    (span,) = seen.spans
    assert scope(span) == "opentelemetry.instrumentation.anthropic"
    assert usd(span) == pytest.approx(seen.usd)


# --- ends, limits, sampling ----------------------------------------------------------------------------------------


def test_an_adopted_span_ends_when_its_owner_ends_it(openai: Any, framework: Tracer, telemetry: Telemetry) -> None:
    """The figures of a stream may come later: the span's end time is that of its owner, and it is exported once."""
    span = framework.start_span("theirs", kind=SpanKind.CLIENT, attributes=FRAMEWORK)
    with trace.use_span(span):
        stream = openai.chat.completions.create(**CHAT_STREAM)
    list(stream)
    assert len(telemetry.spans) == 0
    span.end(end_time=2**60)
    ended = telemetry.span()
    assert ended.end_time == 2**60
    assert usd(ended) == pytest.approx(providers.OPENAI_USD)


def test_a_span_that_ends_before_its_stream_waits_for_the_figures(
    openai: Any, framework: Tracer, telemetry: Telemetry
) -> None:
    """An owner may end its span when it hands the stream over (Logfire does): the stream is priced when it is read."""
    with framework.start_as_current_span("theirs", attributes=FRAMEWORK):
        stream = openai.chat.completions.create(**CHAT_STREAM)
    handed_over = time.time_ns()
    assert len(telemetry.spans) == 0
    list(stream)
    ended = telemetry.span()
    assert ended.end_time is not None
    assert ended.end_time <= handed_over
    assert usd(ended) == pytest.approx(providers.OPENAI_USD)


@needs_neighbours
def test_the_attribute_limit_does_not_evict_the_dollars(server: ModelServer, telemetry: Telemetry) -> None:
    """OpenInference writes an attribute for each message, beyond the SDK's limit of 128: the dollars stay."""
    company = neighbours("openai", "openinference")
    messages: Any = [{"role": "user", "content": f"Question {number}"} for number in range(100)]
    with (
        installed(company, telemetry, "theirs first"),
        otel_agentcost.attribute(user="u1", feature="search"),
        client_of("openai", server, telemetry, is_async=False, native=False) as client,
    ):
        client.chat.completions.create(model=providers.OPENAI_MODEL, messages=messages)
    given = telemetry.attributes()
    assert len(given) == 128
    assert given[semconv.COST] == pytest.approx(providers.OPENAI_USD)
    assert (given[semconv.USER], given[semconv.FEATURE], given[semconv.PROVIDER]) == ("u1", "search", "openai")


@needs_neighbours
@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_unsampled_calls_are_counted_once(sdk: str, server: ModelServer) -> None:
    """Without any recorded span, and with all neighbours there, our metrics count each call once."""
    telemetry = Telemetry(sampler=ALWAYS_OFF)
    with installed(neighbours(sdk), telemetry, "theirs first"):
        for one in (one for one in SHAPES if one.sdk == sdk and one.usd is not None):
            seen = call(neighbours(sdk), one, server, telemetry)
            assert seen.calls == 1, one.name
            assert seen.usd == pytest.approx(one.usd), one.name
            assert len(seen.spans) == 0
    telemetry.shutdown()


# --- coming and going ----------------------------------------------------------------------------------------------


@needs_neighbours
@pytest.mark.parametrize("order", ["theirs first", "ours first"])
@pytest.mark.parametrize(
    "neighbour", [one for one in NEIGHBOURS if one.module], ids=lambda one: f"{one.sdk} {one.name}"
)
def test_whoever_goes_first(neighbour: Neighbour, order: Order, server: ModelServer, telemetry: Telemetry) -> None:
    """However the two come and go, each call is counted once while we are there, and never while we are not."""
    one = shape({"openai": "chat", "anthropic": "messages"}[neighbour.sdk], neighbour.sdk)

    def counted() -> tuple[int, int]:
        seen = call([neighbour], one, server, telemetry)
        return seen.calls, len(seen.costed)

    with installed([neighbour], telemetry, order):
        assert counted() == (1, 1)
        neighbour.uninstrument()
        assert counted() == (1, 1)
        otel_agentcost.uninstrument()
        assert counted() == (0, 0)
        instrument(telemetry)
        assert counted() == (1, 1)
        neighbour.instrument(telemetry, Telemetry())
        otel_agentcost.uninstrument()
        assert counted() == (0, 0)
        instrument(telemetry)
        assert counted() == (1, 1)


def test_a_call_within_a_call_has_its_own_span(openai: Any, server: ModelServer, telemetry: Telemetry) -> None:
    """Code that runs within one of our calls, as an HTTP hook does, and calls a model itself, adds a span."""

    def hook(_request: Any) -> None:
        with client_of("openai", server, telemetry, is_async=False, native=False) as client:
            client.chat.completions.create(**CHAT)

    openai._client.event_hooks = {"request": [hook], "response": []}
    openai.chat.completions.create(**CHAT)
    inner, outer = telemetry.spans
    assert inner.parent == outer.get_span_context()
    assert usd(inner) == usd(outer) == pytest.approx(providers.OPENAI_USD)


def test_a_method_that_was_wrapped_by_a_plain_function(server: ModelServer, telemetry: Telemetry) -> None:
    """Logfire wraps a client's method in a plain function: calls through it are counted, whoever came first, once."""
    module: Any = importlib.import_module("openai")
    with pristine("openai"):
        _wrap_plainly(module.OpenAI, module.OpenAI.request)
        with installed((), telemetry, "ours first"):
            assert call((), shape("chat", "openai"), server, telemetry).calls == 1
            _wrap_plainly(module.AsyncOpenAI, module.AsyncOpenAI.request)
            assert call((), shape("async chat", "openai"), server, telemetry).calls == 1
        assert call((), shape("chat", "openai"), server, telemetry).calls == 0


def test_an_own_method_that_calls_the_one_above_it(server: ModelServer, telemetry: Telemetry) -> None:
    """A client class of the application's own, whose method wraps the SDK's and calls it, makes one call of it."""
    module: Any = importlib.import_module("openai")
    with pristine("openai"):

        class Client(module.OpenAI):  # type: ignore[misc]
            @wraps(module.OpenAI.request)
            def request(self, *args: Any, **kwargs: Any) -> Any:
                return super().request(*args, **kwargs)

        with installed((), telemetry, "ours first"):
            with Client(base_url=server.url + "/v1", api_key="none") as client:
                client.chat.completions.create(**CHAT)
            assert len(telemetry.spans) == 1


def _wrap_plainly(cls: Any, method: Any) -> None:
    @wraps(method)
    def request(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    cls.request = request


EXIT = """
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
trace.set_tracer_provider(TracerProvider())
show = lambda span: f"{span.instrumentation_scope.name} {span.attributes.get('agentcost.cost.usd')}\\n"
trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(formatter=show)))
import otel_agentcost
otel_agentcost.instrument()
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
OpenAIInstrumentor().instrument()
import anthropic, openai
from tests.coexistence import providers, shapes
from tests.support.model_server import ModelServer
server = ModelServer().__enter__()
server.responder = providers.answer
kept = [
    openai.OpenAI(base_url=server.url + "/v1", api_key="none").chat.completions.create(**shapes.CHAT_STREAM),
    anthropic.Anthropic(base_url=server.url, api_key="none").messages.create(**shapes.MESSAGE, stream=True),
]
read = [next(iter(stream)) for stream in kept]
"""


@needs_neighbours
def test_streams_that_are_open_when_the_process_exits_are_exported() -> None:
    """Neighbours' spans of streams that nobody read to the end leave with the process, and with their dollars."""
    done = subprocess.run(
        [sys.executable, "-c", EXIT], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True
    )
    spans = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert set(spans) == {"opentelemetry.instrumentation.genai.openai", "com.anthropic.sdk.python"}, done.stderr
    assert all(float(dollars) > 0 for dollars in spans.values())


def test_spans_are_let_go(openai: Any, framework: Tracer, telemetry: Telemetry) -> None:
    """Nothing of ours keeps an adopted span alive once it has ended."""
    with framework.start_as_current_span("theirs", attributes=FRAMEWORK) as span:
        openai.chat.completions.create(**CHAT)
    assert "end" not in vars(span)
    gc.collect()
    assert not [one for one in gc.get_referrers(span) if type(one).__module__.startswith("otel_agentcost")]
    assert isinstance(span, Span)
    assert telemetry.span("theirs").attributes
