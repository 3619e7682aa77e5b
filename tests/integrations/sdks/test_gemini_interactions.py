"""Gemini's interactions, whole, streamed and in the background, and its explicit caches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google import genai

import otel_agentcost
from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply, sse_event

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental.*")

USAGE: dict[str, Any] = {
    "total_input_tokens": 1000,
    "input_tokens_by_modality": [{"modality": "text", "tokens": 1000}],
    "total_cached_tokens": 0,
    "total_output_tokens": 80,
    "total_thought_tokens": 20,
    "total_tool_use_tokens": 0,
    "total_tokens": 1100,
}
USD = 0.00055
"""1,000 tokens in and 100 out of gemini-2.5-flash, at $0.30 and $2.50 a million."""
DOWNGRADE = "gemini-2.5-pro=gemini-2.5-flash"
ASK: dict[str, Any] = {"model": "gemini-2.5-flash", "input": "6 x 7"}


def interaction(status: str = "completed", **more: Any) -> dict[str, Any]:
    used = {"usage": USAGE} if status in ("completed", "requires_action") else {}
    return {
        "id": "int_1", "object": "interaction", "model": "gemini-2.5-flash", "status": status,
        "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
        "steps": [{"type": "model_output", "content": [{"type": "text", "text": "42"}]}], **used, **more,
    }  # fmt: skip


def events(*states: dict[str, Any]) -> Reply:
    delta = {"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": "Forty-two"}}
    kinds = {"completed": "interaction.completed", "in_progress": "interaction.created"}
    chunks = [sse_event({"event_type": kinds[state["status"]], "interaction": state}) for state in states]
    return Reply(content_type="text/event-stream", chunks=[chunks[0], sse_event(delta), *chunks[1:]])


@pytest.fixture
def gemini(model_server: ModelServer) -> Iterator[genai.Client]:
    options: Any = {"base_url": model_server.url}
    with genai.Client(api_key="none", http_options=options) as made:
        yield made


def created(gemini: genai.Client) -> None:
    gemini.interactions.create(**ASK)


def raw(gemini: genai.Client) -> None:
    gemini.interactions.with_raw_response.create(**ASK).parse()


@pytest.mark.parametrize("make", [created, raw])
def test_an_interaction_is_priced(
    telemetry: Telemetry, gemini: genai.Client, model_server: ModelServer, make: Callable[[genai.Client], None]
) -> None:
    """Reading it again costs nothing."""
    model_server.responder = lambda _: json_reply(interaction())
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("job") as block:
        make(gemini)
        gemini.interactions.get("int_1")
    assert (block.llm_calls, float(block.cost_usd or 0), block.unpriced_calls) == (1, USD, 0)
    said = telemetry.attributes("generate_content gemini-2.5-flash")
    assert said["gen_ai.usage.output_tokens"] == 100
    assert said["gen_ai.response.id"] == "int_1"


def test_a_streamed_interaction_is_priced(
    telemetry: Telemetry, gemini: genai.Client, model_server: ModelServer
) -> None:
    """The last event has the usage. A stream that is left early is estimated, and marked."""
    model_server.responder = lambda _: events(interaction("in_progress"), interaction())
    with budgeted(telemetry), otel_agentcost.run("job") as block:
        for _ in gemini.interactions.create(**ASK, stream=True):
            pass
        assert (block.llm_calls, float(block.cost_usd or 0)) == (1, USD)
    model_server.responder = lambda _: events(interaction("in_progress"))
    with budgeted(telemetry):
        for _ in gemini.interactions.create(**ASK, stream=True):
            pass
    assert dict(telemetry.spans[-1].attributes or {})["agentcost.usage.estimated"] is True


def test_an_interaction_in_the_background_is_charged_when_it_is_read(
    telemetry: Telemetry, gemini: genai.Client, model_server: ModelServer
) -> None:
    """Polls and further readings cost nothing."""
    states = ["in_progress", "in_progress", "completed"]
    model_server.responder = lambda _: json_reply(interaction(states.pop(0) if len(states) > 1 else states[0]))
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("job") as block:
        gemini.interactions.create(**ASK, background=True)
        assert (block.cost_usd, block.unpriced_calls) == (None, 1)
        for _ in range(4):
            gemini.interactions.get("int_1")
        assert (block.llm_calls, float(block.cost_usd or 0), block.unpriced_calls) == (1, USD, 0)


def test_a_stream_in_the_background_that_is_left_is_charged_when_it_is_read(
    telemetry: Telemetry, gemini: genai.Client, model_server: ModelServer
) -> None:
    """The interaction goes on without its stream; it can be read whole, or its stream resumed."""
    replies = [events(interaction("in_progress")), events(interaction("in_progress"), interaction())]
    model_server.responder = lambda _: replies.pop(0)
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("job") as block:
        for _ in gemini.interactions.create(**ASK, background=True, stream=True):
            pass
        assert (block.cost_usd, block.unpriced_calls) == (None, 1)
        resumed: Any = gemini.interactions.get("int_1", stream=True)
        for _ in resumed:
            pass
        assert (block.llm_calls, float(block.cost_usd or 0), block.unpriced_calls) == (1, USD, 0)


@pytest.mark.asyncio
async def test_an_async_client_is_charged_alike(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Whole, streamed, and in the background."""
    replies = [
        json_reply(interaction()),
        events(interaction("in_progress"), interaction()),
        json_reply(interaction("in_progress")),
        json_reply(interaction()),
    ]
    model_server.responder = lambda _: replies.pop(0)
    options: Any = {"base_url": model_server.url}
    made = genai.Client(api_key="none", http_options=options).aio
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("job") as block:
        await made.interactions.create(**ASK)
        stream: Any = await made.interactions.create(**ASK, stream=True)
        async for _ in stream:
            pass
        await made.interactions.create(**ASK, background=True)
        await made.interactions.get("int_1")
        assert (block.llm_calls, round(float(block.cost_usd or 0), 9), block.unpriced_calls) == (3, 3 * USD, 0)
    await made.aclose()


@pytest.mark.parametrize(
    ("ask", "answer", "reason"),
    [
        (ASK, {"usage": {**USAGE, "total_tokens": 1200}}, "total_tokens is 1200"),
        (ASK, {"usage": None}, "the interaction has no usage"),
        (ASK, {"service_tier": "deferred"}, "deferred"),
        ({**ASK, "service_tier": "flex"}, {}, "does not say whether the flex tier"),
        ({"agent": "deep-research-pro", "input": "6 x 7"}, {"model": None}, "does not say which models"),
    ],
    ids=["contradiction", "no usage", "another tier", "an unknown tier", "an agent"],
)
def test_no_price_is_invented(
    telemetry: Telemetry,
    gemini: genai.Client,
    model_server: ModelServer,
    ask: dict[str, Any],
    answer: dict[str, Any],
    reason: str,
) -> None:
    """What the response leaves open is named."""
    model_server.responder = lambda _: json_reply(interaction(**answer))
    with budgeted(telemetry):
        gemini.interactions.create(**ask)
    (span,) = telemetry.spans
    assert reason in str((span.attributes or {})[semconv.UNPRICED])
    assert semconv.COST not in (span.attributes or {})


def test_searches_are_billed_besides(telemetry: Telemetry, gemini: genai.Client, model_server: ModelServer) -> None:
    """A prompt with searches costs $0.035 more; what has no price is named."""
    grounding = [{"type": "google_search", "count": 3}, {"type": "google_maps", "count": 1}]
    model_server.responder = lambda _: json_reply(interaction(usage={**USAGE, "grounding_tool_count": grounding}))
    with budgeted(telemetry):
        gemini.interactions.create(**ASK)
    said = telemetry.attributes("generate_content gemini-2.5-flash")
    assert said[semconv.COST] == pytest.approx(USD + 0.035)
    assert said[semconv.UNPRICED] == "the price of google_maps is not known"


def test_budgets_hold(telemetry: Telemetry, gemini: genai.Client, model_server: ModelServer) -> None:
    """The second interaction does not fit, and is not sent."""
    model_server.responder = lambda _: json_reply(interaction())
    with budgeted(telemetry, budgets="total:usd=0.0006"):
        gemini.interactions.create(**ASK, generation_config={"max_output_tokens": 100})
        with pytest.raises(BudgetExceeded):
            gemini.interactions.create(**ASK, generation_config={"max_output_tokens": 100})
    assert len(model_server.requests) == 1


def test_a_limit_is_lowered_to_what_is_left(
    telemetry: Telemetry, gemini: genai.Client, model_server: ModelServer
) -> None:
    """`clamp` and `downgrade` change the request."""
    model_server.responder = lambda _: json_reply(interaction())
    with budgeted(telemetry, budgets="total:usd=0.001", on_exceed="clamp"):
        gemini.interactions.create(**ASK, generation_config={"max_output_tokens": 60_000})
    with budgeted(telemetry, budgets="total:usd=0.001", on_exceed="downgrade", downgrade=DOWNGRADE):
        config: Any = {"max_output_tokens": 300}
        gemini.interactions.create(model="gemini-2.5-pro", input="6 x 7", generation_config=config)
    clamped, downgraded = (request.json for request in model_server.requests)
    assert clamped["generation_config"]["max_output_tokens"] < 400
    assert downgraded["model"] == "gemini-2.5-flash"


def test_decisions_are_priced(telemetry: Telemetry, gemini: genai.Client, model_server: ModelServer) -> None:
    """Their usage has the form of an interaction's."""
    model_server.responder = lambda _: json_reply({"answers": {}, "usage": USAGE})
    questions: Any = {"q": {"type": "noul", "instructions": "Is it 42?"}}
    with budgeted(telemetry):
        gemini.decisions.create(model="models/gemini-2.5-flash", input="6 x 7", questions=questions)
    assert telemetry.attributes("generate_content gemini-2.5-flash")[semconv.COST] == USD


# --- Caches -----------------------------------------------------------------------------------------------------------


def cache(**used: Any) -> dict[str, Any]:
    metadata = {"totalTokenCount": 100_000, **used}
    made = {"name": "cachedContents/1", "model": "models/gemini-2.5-flash", "expireTime": "2026-01-01T01:00:00Z"}
    return {**made, "usageMetadata": metadata}


CONFIG: Any = {"contents": [{"role": "user", "parts": [{"text": "A long text. " * 100}]}], "ttl": "3600s"}


def test_a_cache_costs_its_tokens_and_names_its_storage(
    telemetry: Telemetry, gemini: genai.Client, model_server: ModelServer
) -> None:
    """The tokens that are written have the price of input. Reading the cache's description costs nothing."""
    model_server.responder = lambda _: json_reply(cache())
    with budgeted(telemetry), otel_agentcost.run("job") as block:
        gemini.caches.create(model="gemini-2.5-flash", config=CONFIG)
        gemini.caches.get(name="cachedContents/1")
    said = telemetry.attributes("create_cache gemini-2.5-flash")
    assert said[semconv.COST] == 0.03
    assert said[semconv.UNPRICED] == (
        "100000 cached tokens are billed by the hour that they are stored (until 2026-01-01T01:00:00Z), "
        "which is not priced"
    )
    assert block.llm_calls == 1


def test_a_cache_with_sound_is_not_priced_as_text(
    telemetry: Telemetry, gemini: genai.Client, model_server: ModelServer
) -> None:
    """Sound has a price of its own, and its tokens are not counted apart."""
    model_server.responder = lambda _: json_reply(cache(audioDurationSeconds=60))
    with budgeted(telemetry):
        gemini.caches.create(model="gemini-2.5-flash", config=CONFIG)
    said = telemetry.attributes("create_cache gemini-2.5-flash")
    assert semconv.COST not in said
    assert "input_audio_tokens" in str(said[semconv.UNPRICED])


@pytest.mark.asyncio
async def test_an_async_client_creates_caches_too(telemetry: Telemetry, model_server: ModelServer) -> None:
    """As the synchronous one."""
    model_server.responder = lambda _: json_reply(cache())
    options: Any = {"base_url": model_server.url}
    made = genai.Client(api_key="none", http_options=options).aio
    with budgeted(telemetry):
        await made.caches.create(model="gemini-2.5-flash", config=CONFIG)
    assert telemetry.attributes("create_cache gemini-2.5-flash")[semconv.COST] == 0.03
    await made.aclose()
