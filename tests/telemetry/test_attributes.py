"""Span attributes: their names, their types, and that no limit takes the dollars away."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic import Anthropic
from httpx2 import Client, MockTransport, Request, Response
from openai import OpenAI
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind

from tests.integrations.sdks.anthropic_shapes import ASK as ASK_CLAUDE
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.support.openai_call import USD, ask, client
from tests.support.replies import MESSAGE_CACHED_USD, chat_stream, message

pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")

EXPECTED: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.request.temperature": 1.0,
    "gen_ai.request.top_p": 0.5,
    "gen_ai.request.max_tokens": 64,
    "gen_ai.request.seed": 7,
    "gen_ai.request.choice.count": 2,
    "gen_ai.request.stop_sequences": ("a", "b"),
    "gen_ai.request.frequency_penalty": 0.0,
    "gen_ai.response.model": "gpt-4o-mini",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 50,
    "gen_ai.usage.cost.amount": USD,
    "gen_ai.usage.cost.currency": "USD",
    "gen_ai.usage.cost.source": "local",
    "agentcost.cost.usd": USD,
    "agentcost.cost.input_usd": 0.000015,
    "agentcost.cost.output_usd": 0.00003,
    "agentcost.price": "openai/gpt-4o-mini",
    "agentcost.price.assumed": True,
    "agentcost.trace.cost_usd": USD,
    "agentcost.trace.llm_cost_usd": USD,
    "agentcost.trace.tool_cost_usd": 0.0,
    "agentcost.trace.llm_calls": 1,
    "agentcost.trace.tool_calls": 0,
    "agentcost.trace.input_tokens": 100,
    "agentcost.trace.output_tokens": 50,
    "server.address": "local",
    "server.port": 80,
}


def test_exact_names_and_types(telemetry: Telemetry) -> None:
    """A call's span has exactly these attributes, each with its type: integers stay integers and doubles doubles."""
    with instrumented(telemetry):
        ask(temperature=1, top_p=0.5, max_tokens=64, seed=7, n=2, stop=["a", "b"], frequency_penalty=0)
    given = telemetry.attributes()
    assert given == EXPECTED
    assert {name: type(value) for name, value in given.items()} == {
        name: type(value) for name, value in EXPECTED.items()
    }


def test_span_is_a_client_span_of_our_scope(telemetry: Telemetry) -> None:
    """Name, kind, status and scope are those of the conventions and of this package."""
    with instrumented(telemetry):
        ask()
    span = telemetry.span("chat gpt-4o-mini")
    assert (span.kind, span.status.status_code.name) == (SpanKind.CLIENT, "UNSET")
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "otel_agentcost"
    assert span.events == ()


def test_no_message_content_by_default(telemetry: Telemetry) -> None:
    """Neither the question nor the answer is on the span unless content is asked for."""
    with instrumented(telemetry):
        ask(messages=[{"role": "user", "content": "a secret question"}])
    said = telemetry.span().to_json()
    assert "secret" not in said
    assert "Forty-two" not in said


def limited(most: int) -> Telemetry:
    """Telemetry whose spans hold only so many attributes."""
    telemetry = Telemetry()
    telemetry.tracer_provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=most), shutdown_on_exit=False)
    telemetry.tracer_provider.add_span_processor(SimpleSpanProcessor(telemetry.exporter))
    return telemetry


class Chatty(SpanProcessor):
    """An application's processor that fills every span with attributes of its own."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        span.set_attributes({f"app.attribute.{number}": number for number in range(200)})


@pytest.mark.parametrize("most", [128, 16])
def test_attribute_limit_does_not_evict_the_cost_of_our_span(most: int) -> None:
    """Two hundred attributes of the application on our span leave the dollars, tokens and model on it."""
    telemetry = limited(most)
    telemetry.tracer_provider.add_span_processor(Chatty())
    with instrumented(telemetry):
        ask()
    given = telemetry.attributes("chat gpt-4o-mini")
    assert len(given) == most
    for name in ("agentcost.cost.usd", "gen_ai.usage.cost.amount"):
        assert given[name] == USD
    telemetry.shutdown()


@pytest.mark.parametrize("most", [128, 20])
def test_attribute_limit_does_not_evict_the_cost_of_an_adopted_span(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on the span that anthropic's SDK itself opens, filled up while the request is on its way."""
    telemetry = limited(most)

    def handle(_: Request) -> Response:
        trace.get_current_span().set_attributes({f"app.attribute.{number}": number for number in range(200)})
        return Response(200, json=message())

    http = Client(transport=MockTransport(handle))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", telemetry.tracer_provider)
    with instrumented(telemetry):
        made = Anthropic(base_url="http://local", api_key="none", http_client=http)
        made.messages.create(**ASK_CLAUDE)
    span = telemetry.span()
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "com.anthropic.sdk.python"
    given = telemetry.attributes()
    assert len(given) == most
    assert given["agentcost.cost.usd"] == MESSAGE_CACHED_USD
    assert telemetry.total("agentcost.cost") == MESSAGE_CACHED_USD
    telemetry.shutdown()


def test_attribute_limit_does_not_evict_the_roll_up_of_a_root() -> None:
    """A root span that the application has filled up still says what its trace cost."""
    telemetry = limited(32)
    tracer = telemetry.tracer_provider.get_tracer("application")
    with instrumented(telemetry), tracer.start_as_current_span("turn") as turn:
        ask()
        turn.set_attributes({f"app.{number}": number for number in range(200)})
    assert telemetry.attributes("turn")["agentcost.trace.cost_usd"] == USD
    telemetry.shutdown()


def test_refused_call_says_what_refused_it(telemetry: Telemetry) -> None:
    """An error has `error.type`, the status and its text; it has no cost and no reason for having none."""
    with instrumented(telemetry), pytest.raises(Exception, match="quota"):
        ask(client({"error": {"message": "no quota"}}, 403))
    span = telemetry.span()
    assert span.attributes is not None
    assert span.attributes["error.type"] == "openai.PermissionDeniedError"
    assert "quota" in str(span.status.description)
    assert not any(name.startswith("agentcost.") and "trace" not in name for name in span.attributes)


def test_an_estimate_stays_within_the_output_limit(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A stream without usage is counted here: what comes to more than the provider may make is not charged."""
    model_server.replies(chat_stream())
    made = OpenAI(base_url=model_server.url + "/v1", api_key="none")
    with made, instrumented(telemetry):
        stream = made.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}], max_tokens=2, stream=True
        )
        assert len(list(stream)) > 2
    given = telemetry.attributes()
    assert given["agentcost.usage.estimated"] is True
    assert given["gen_ai.usage.output_tokens"] == 2
