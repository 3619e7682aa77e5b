"""Calls through SDKs that we do not patch are priced from the spans of those who see them, in each one's dialect."""

from __future__ import annotations

import pytest

import otel_agentcost
from otel_agentcost.integrations import sdks
from otel_agentcost.integrations.spans.sources import SOURCES
from tests.support.budgeted_calls import budgeted
from tests.support.call_shapes import instrumented
from tests.support.foreign_spans import (
    ASKS,
    BEDROCK,
    BEDROCK_TOO,
    BOTOCORE,
    CLAUDE,
    COHERE,
    GROQ,
    GROQ_TOO,
    MODEL,
    OFFICIAL_BEDROCK,
    SAYS,
    USD,
    Said,
    call,
    failed,
    span_of,
)
from tests.support.in_memory import Telemetry

OLDER: Said = {
    "gen_ai.usage.prompt_tokens": 1205.0,
    "gen_ai.usage.completion_tokens": 183.0,
    "gen_ai.usage.cache_read_input_tokens": 1024,
    "llm.usage.total_tokens": 1388,
}
OPENINFERENCE: Said = {
    "openinference.span.kind": "LLM",
    "llm.model_name": MODEL,
    "llm.token_count.prompt": 1205,
    "llm.token_count.prompt_details.cache_read": 1024,
    "llm.token_count.completion": 183,
    "llm.token_count.completion_details.reasoning": 40,
}
CONVERSE: Said = {
    "gen_ai.usage.input_tokens": 2000,
    "gen_ai.usage.output_tokens": 183,
    "gen_ai.usage.cache_read.input_tokens": 1024,
}
CONVERSE_USD = 0.00995742
"""2,000 tokens at $3.30, 1,024 cached ones at $0.33, 183 output tokens at $16.50 a million."""


@pytest.mark.parametrize(
    ("scope", "asks", "says"),
    [
        (GROQ, ASKS, SAYS),
        (GROQ, {"gen_ai.system": "Groq", "llm.request.type": "chat", "gen_ai.request.model": MODEL}, OLDER),
        (GROQ_TOO, {}, OPENINFERENCE),
    ],
    ids=["conventions", "older names", "OpenInference"],
)
def test_dialects(telemetry: Telemetry, scope: str, asks: Said, says: Said) -> None:
    """Whatever the figures are called, the call costs the same, and its span and the metrics say so as for our own."""
    with instrumented(telemetry):
        call(telemetry, scope, asks, says, name="Completions")
    given = telemetry.attributes("Completions")
    assert given["agentcost.cost.usd"] == pytest.approx(USD)
    assert given["gen_ai.usage.cost.amount"] == given["agentcost.cost.usd"]
    assert (given["gen_ai.usage.cost.currency"], given["gen_ai.usage.cost.source"]) == ("USD", "local")
    assert given["agentcost.cost.basis"] == "span"
    assert (given["gen_ai.usage.input_tokens"], given["gen_ai.usage.cache_read.input_tokens"]) == (1205, 1024)
    assert (given["gen_ai.operation.name"], given["gen_ai.provider.name"]) == ("chat", "groq")
    assert given["gen_ai.request.model"] == MODEL
    assert "agentcost.unpriced" not in given
    assert telemetry.total("agentcost.cost", gen_ai__request__model=MODEL) == pytest.approx(USD)
    assert telemetry.histogram("gen_ai.client.operation.cost").count == 1
    assert telemetry.points("gen_ai.client.token.usage") == ()
    assert telemetry.points("gen_ai.client.operation.duration") == ()


def test_what_its_owner_says_stands(telemetry: Telemetry) -> None:
    """Names that the span has already keep their values."""
    with instrumented(telemetry):
        call(telemetry, asks={**ASKS, "gen_ai.provider.name": "Groq Inc."})
    assert telemetry.attributes()["gen_ai.provider.name"] == "Groq Inc."


@pytest.mark.parametrize("scope", [BOTOCORE, OFFICIAL_BEDROCK, BEDROCK_TOO])
def test_input_that_leaves_out_the_cache(telemetry: Telemetry, scope: str) -> None:
    """Bedrock counts cached tokens beside the input; who passes that on is read so, and who adds them up is, too."""
    inclusive = {**CONVERSE, "gen_ai.usage.input_tokens": 3024}
    asks = {"gen_ai.operation.name": "chat", "gen_ai.request.model": CLAUDE}
    with instrumented(telemetry):
        call(telemetry, scope, asks, inclusive if scope == BEDROCK_TOO else CONVERSE)
    given = telemetry.attributes()
    assert given["agentcost.cost.usd"] == pytest.approx(CONVERSE_USD)
    assert given["gen_ai.usage.input_tokens"] == 3024


def test_more_cached_than_there_is_input(telemetry: Telemetry) -> None:
    """Input tokens that are fewer than the cached ones cannot contain them, whoever counted."""
    with instrumented(telemetry):
        call(telemetry, says={**SAYS, "gen_ai.usage.input_tokens": 181})
    given = telemetry.attributes()
    assert (given["gen_ai.usage.input_tokens"], given["agentcost.cost.usd"]) == (1205, pytest.approx(USD))


def test_cache_writes_of_unknown_life(telemetry: Telemetry) -> None:
    """Where an hour's cache has another price than five minutes', the lower one counts, and the span says so."""
    asks = {"gen_ai.operation.name": "chat", "gen_ai.request.model": CLAUDE}
    with instrumented(telemetry):
        call(telemetry, BOTOCORE, asks, {**CONVERSE, "gen_ai.usage.cache_creation.input_tokens": 256})
    given = telemetry.attributes()
    assert given["agentcost.cost.usd"] == pytest.approx(CONVERSE_USD + 256 * 4.125e-6)
    assert "how long its cache writes live" in str(given["agentcost.unpriced"])
    assert telemetry.total("agentcost.unpriced.calls") == 1


@pytest.mark.parametrize("name", [CLAUDE.removeprefix("us.anthropic."), "claude-3-5-sonnet-20240620-v1:0"])
def test_models_without_their_profile(telemetry: Telemetry, name: str) -> None:
    """Where the global profile has another price, the lower one counts and the span says so; else nothing is amiss."""
    asks = {"gen_ai.operation.name": "chat", "gen_ai.request.model": name}
    usage = {"gen_ai.usage.input_tokens": 1_000_000, "gen_ai.usage.output_tokens": 1_000_000}
    with instrumented(telemetry):
        call(telemetry, BEDROCK, asks, usage)
    given = telemetry.attributes()
    assert given["agentcost.cost.usd"] == pytest.approx(18)
    assert ("agentcost.unpriced" in given) == ("4-5" in name)


def test_the_tier_that_a_span_names_sets_the_price(telemetry: Telemetry) -> None:
    """What served the call counts where the span says it."""
    with instrumented(telemetry):
        call(telemetry, says={**SAYS, "openai.response.service_tier": "on_demand"})
    assert telemetry.attributes()["agentcost.cost.usd"] == pytest.approx(USD)


@pytest.mark.parametrize("tier", ["performance", "batch"])
def test_a_tier_without_a_price_in_a_span_is_not_priced_as_standard(telemetry: Telemetry, tier: str) -> None:
    """Unpriced with the tier in the reason."""
    with instrumented(telemetry):
        call(telemetry, says={**SAYS, "openai.response.service_tier": tier})
    given = telemetry.attributes()
    assert "agentcost.cost.usd" not in given
    assert tier in str(given["agentcost.unpriced"])


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ({}, "no usage"),
        ({"gen_ai.usage.output_tokens": 5}, "no usage"),
        ({"gen_ai.usage.input_tokens": -5}, "malformed"),
        ({"gen_ai.usage.input_tokens": 2.5}, "malformed"),
        ({"gen_ai.usage.input_tokens": float("nan")}, "malformed"),
        ({"gen_ai.usage.input_tokens": "many"}, "malformed"),
        ({"gen_ai.usage.input_tokens": True}, "malformed"),
        ({**SAYS, "llm.token_count.prompt_details.audio": 7}, "audio"),
        ({"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}, "counts no tokens"),
    ],
)
def test_usage_that_cannot_be_priced(telemetry: Telemetry, says: Said, reason: str) -> None:
    """A span without figures, or with wrong ones, has no dollars, and says why."""
    with instrumented(telemetry):
        call(telemetry, says=says)
    given = telemetry.attributes()
    assert "agentcost.cost.usd" not in given
    assert reason in str(given["agentcost.unpriced"])
    assert telemetry.total("agentcost.unpriced.calls") == 1


def test_a_failed_call(telemetry: Telemetry) -> None:
    """A call that failed without usage has neither dollars nor a reason; its attempt is counted."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    with instrumented(telemetry), tracer.start_as_current_span("root"), span_of(telemetry, says={}) as span:
        failed(span)
    given = telemetry.attributes("chat")
    assert [name for name in given if name.startswith("agentcost.")] == ["agentcost.watched"]
    assert telemetry.attributes("root")["agentcost.trace.llm_calls"] == 1


@pytest.mark.parametrize(
    ("scope", "asks"),
    [
        ("opentelemetry.instrumentation.langchain", ASKS),
        ("opentelemetry.instrumentation.openai", ASKS),
        ("application", ASKS),
        (GROQ, {**ASKS, "gen_ai.operation.name": "invoke_agent"}),
        (GROQ, {**ASKS, "gen_ai.operation.name": "execute_tool"}),
        (BEDROCK_TOO, {"openinference.span.kind": "AGENT"}),
        (GROQ, {}),
    ],
)
def test_spans_that_are_no_calls_of_those_sdks(telemetry: Telemetry, scope: str, asks: Said) -> None:
    """Frameworks, SDKs that we patch, agents and tools are not priced, whatever usage they carry."""
    with instrumented(telemetry):
        call(telemetry, scope, asks)
    assert "agentcost.cost.usd" not in telemetry.attributes()
    assert telemetry.total("agentcost.cost") == 0


def test_sums_and_attribution(telemetry: Telemetry) -> None:
    """Roots, agents and runs contain these calls as they do ours, and the call says for whom it was made."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "researcher"}
    asks = {"gen_ai.system": "Cohere", "llm.request.type": "chat"}
    usage = {"gen_ai.usage.prompt_tokens": 100.0, "gen_ai.usage.completion_tokens": 50.0}
    with (
        budgeted(telemetry),
        tracer.start_as_current_span("root"),
        otel_agentcost.attribute(user="u1"),
        otel_agentcost.run("work") as run,
        tracer.start_as_current_span("agent", attributes=agent),
    ):
        call(telemetry, COHERE, asks, {"gen_ai.request.model": "command-r-plus", **usage})
    assert run.cost_usd is not None
    assert float(run.cost_usd) == pytest.approx(0.00075)
    assert telemetry.attributes("chat")["user.id"] == "u1"
    assert telemetry.attributes("chat")["gen_ai.agent.name"] == "researcher"
    for name in ("root", "agent"):
        assert telemetry.attributes(name)["agentcost.trace.cost_usd"] == pytest.approx(0.00075)
        assert telemetry.attributes(name)["agentcost.trace.llm_calls"] == 1
    assert telemetry.total("agentcost.cost", user__id="u1") == pytest.approx(0.00075)


def test_after_uninstrument(telemetry: Telemetry) -> None:
    """Spans that start then are nobody's business; one that was open is still priced."""
    with instrumented(telemetry):
        open_span = span_of(telemetry)
        open_span.__enter__()
    call(telemetry, name="later")
    open_span.__exit__(None, None, None)
    assert telemetry.attributes("chat")["agentcost.cost.usd"] == pytest.approx(USD)
    assert "agentcost.cost.usd" not in telemetry.attributes("later")


def test_no_sdk_is_both_patched_and_read_from_spans() -> None:
    """A row says whether its SDK has a seam: the span of a call that the seam sees admits nothing."""
    patched = {sdk.name for sdk in sdks.discover()} | {"botocore"}
    assert {name for name, source in SOURCES.items() if source.sdk in patched} == {
        name for name, source in SOURCES.items() if source.patched
    }
