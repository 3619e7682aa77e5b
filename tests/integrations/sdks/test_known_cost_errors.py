"""What users complain about elsewhere, each as a test named after what must not happen here.

The rows of the survey of peers (section 3), and where each is held; a name without a file is in this one.

| row | what must not happen | test |
|---|---|---|
| 1 | swapped arguments, fractional tokens | test_tokens_and_dollars_are_not_swapped |
| 2, 3, 15, 16, 19, 21 | cached tokens billed twice, or at the full rate | test_cached_tokens_are_not_billed_twice |
| 4, 5, 6 | the requested tier billed in place of the served one; streams that lose it | test_openai_hosts.py: \
test_requested_tier_is_not_billed_in_place_of_the_served_one |
| 7 | a breakdown that exceeds its total | test_parts_do_not_exceed_the_total |
| 8 | another model served than asked for | test_model_asked_for_is_not_billed_in_place_of_the_\
served_one |
| 9 | an Azure alias at $0 | test_openai_hosts.py: test_azure |
| 10 | cache writes left out | test_cache_writes_are_not_left_out |
| 11 | Bedrock caching priced many times too high | test_anthropic.py: test_clouds |
| 12 | output derived as total minus input | test_output_is_not_derived_from_a_total |
| 13 | a new model priced as its older sibling | test_new_model_is_not_priced_as_its_sibling |
| 14 | price data that rots unnoticed | the price book's own tests (tests/pricebook) |
| 17 | cached tokens at $0 for want of a key | test_cached_tokens_are_not_free |
| 18 | exclusive counts that go negative and are clamped | test_base_input_is_not_clamped_away |
| 20 | native spans without cached tokens | test_anthropic.py: test_messages |
| 22 | sub-agents not rolled up | tests/telemetry/test_rollup.py: test_root_and_nested_agents |
| 23 | no long-context rate | test_long_context_is_not_billed_at_the_short_rate |
| 24 | Azure's cost unlike a manual calculation | test_openai_hosts.py: test_azure |
| 25 | no cost for dated names, Vertex, Bedrock ids | test_dated_and_regional_names_do_not_lose_their_price |
| 26, 27, 28 | streamed responses without a span, without cached tokens | test_openai.py: test_other_endpoints |
| 29, 30, 31, 32 | streams without tokens or cache counts | test_openai.py, test_anthropic.py, test_google_genai.py |
| 33 | no cost on a stream | the same: the span of a stream has its dollars |
| 34 to 39 | two spans, or two charges, for one call | tests/coexistence; test_parent_does_not_repeat_usage |
| 40 | attempts counted as calls | test_errors.py: test_retries_of_the_sdk_are_one_span |
| 58, 61 | a raw response taken for a parsed one | test_raw_response_is_not_taken_for_an_answer |
| 59 | a stream wrapper without parse | test_openai.py: test_chat[with_raw_response stream] |
| 60 | embeddings through a raw response fail | test_bad_input.py: test_embeddings_raw_response_without_a_model |
| 62 | one missing method switches all off; an exception at a stream's end | test_patching.py: \
test_target_that_is_gone_is_one_warning, test_fuzz.py |
| 63 | "Failed to detach context" on abandoned streams | test_abandoned_streams_do_not_fail_to_detach |
| 64, 66 | SDK majors and neighbours that cannot be installed together | tests/test_packaging.py |
| 65 | beta messages and cache writes missing | test_anthropic.py: test_messages[beta.messages.create] |
| 67 | a stream as a context manager escapes | test_stream_ends.py: test_end_of_a_stream[with_break] |
| 68 | the attribute limit evicts the cost | tests/telemetry/test_attributes.py: test_attribute_limit_... |
| 71 | cost worked out from token metrics | test_cost_is_not_worked_out_from_token_totals |

T1 to T17 of the comparison of peers are in test_openai.py and test_anthropic.py, by the same usages and dollars; F1,
F2, F5 to F9, F14 and F15 in test_stream_ends.py and test_stream_ends_async.py; F3, F4 and F12 in every shape of
test_openai.py and test_anthropic.py; F10 and F11 in test_bad_input.py; F13 here (test_introspection_is_not_lost).
"""

from __future__ import annotations

import asyncio
import inspect
import json
from decimal import Decimal
from typing import Any

import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from tests.integrations.sdks.openai_shapes import ASK, QUESTION
from tests.integrations.sdks.raw_bodies import CHAT, CHAT_STREAM, GEMINI, MESSAGES, Method, compare, on_openai
from tests.integrations.sdks.recorded_streams import CHAT as CHAT_CASE
from tests.integrations.sdks.recorded_streams import MESSAGES as MESSAGES_CASE
from tests.integrations.sdks.recorded_streams import Streamed, Wire
from tests.integrations.sdks.test_stream_ends_async import broken_off, settled
from tests.support.call_shapes import instrumented, warnings_of_ours
from tests.support.in_memory import Telemetry
from tests.support.model_server import sse_event
from tests.support.replies import CACHED, MESSAGE_CACHED, chat, chat_chunks, content, message

pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")

PARTS = ("input", "output", "cache_read", "cache_write", "tool")


def told(method: Method, body: Any, telemetry: Telemetry) -> dict[str, Any]:
    """The attributes of the span of one call that is answered by `body`."""
    telemetry.clear()
    return dict(compare(method, [json.dumps(body).encode()], telemetry))


def asking(model: str) -> Method:
    """A chat with `model`."""
    return Method(name=model, call=lambda t: on_openai(t).chat.completions.create(model=model, messages=QUESTION))


def test_tokens_and_dollars_are_not_swapped(telemetry: Telemetry) -> None:
    """Tokens are whole numbers, dollars are a small double, and neither stands where the other belongs."""
    given = told(CHAT, chat(), telemetry)
    assert (type(given["gen_ai.usage.input_tokens"]), given["gen_ai.usage.input_tokens"]) == (int, 100)
    assert (type(given["agentcost.cost.usd"]), given["agentcost.cost.usd"]) == (float, 0.000045)
    assert telemetry.total("gen_ai.client.token.usage", gen_ai__token__type="input") == 100
    assert telemetry.total("agentcost.cost") == 0.000045


CACHES = [
    (CHAT, chat(CACHED), 0.00021375, 0.0000768),
    (MESSAGES, message(MESSAGE_CACHED), 0.0045552, 0.0003072),
    (GEMINI, content(), 0.000392, 0.000012),
]


@pytest.mark.parametrize(("method", "body", "usd", "cached"), CACHES, ids=["openai", "anthropic", "gemini"])
def test_cached_tokens_are_not_billed_twice(
    method: Method, body: Any, usd: float, cached: float, telemetry: Telemetry
) -> None:
    """Cached tokens are billed once, at the cached rate, whether they are counted within the input or beside it."""
    given = told(method, body, telemetry)
    assert given["agentcost.cost.usd"] == usd
    assert given["agentcost.cost.cache_read_usd"] == pytest.approx(cached, rel=1e-12)


@pytest.mark.parametrize(("method", "body", "usd", "cached"), CACHES, ids=["openai", "anthropic", "gemini"])
def test_parts_do_not_exceed_the_total(
    method: Method, body: Any, usd: float, cached: float, telemetry: Telemetry
) -> None:
    """The parts of a cost come to the cost, to the last digit."""
    given = told(method, body, telemetry)
    parts = [Decimal(repr(given.get(f"agentcost.cost.{part}_usd", 0.0))) for part in PARTS]
    assert sum(parts) == Decimal(repr(usd))


def test_model_asked_for_is_not_billed_in_place_of_the_served_one(telemetry: Telemetry) -> None:
    """Where a router serves another model, that one is billed, streamed or not."""
    assert told(CHAT, chat(model="gpt-4o"), telemetry)["agentcost.cost.usd"] == 0.00075  # 100 x 2.50 + 50 x 10.00
    telemetry.clear()
    chunks = [sse_event(chunk) for chunk in chat_chunks(CACHED, model="gpt-4o")]
    given = compare(CHAT_STREAM, chunks, telemetry)
    assert given["agentcost.cost.usd"] == 0.0035625  # 181 x 2.50 + 1024 x 1.25 + 183 x 10.00


def test_cache_writes_are_not_left_out(telemetry: Telemetry) -> None:
    """Tokens written to the cache are input, and have their own price."""
    given = told(MESSAGES, message(MESSAGE_CACHED), telemetry)
    assert given["gen_ai.usage.cache_write.input_tokens"] == 256
    assert given["agentcost.cost.cache_write_usd"] == 0.00096  # 256 x 3.75
    assert given["gen_ai.usage.input_tokens"] == 181 + 1024 + 256


def test_output_is_not_derived_from_a_total(telemetry: Telemetry) -> None:
    """A total that is larger than input and output together does not make the output larger."""
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 99_999}
    given = told(CHAT, chat(usage), telemetry)
    assert given["gen_ai.usage.output_tokens"] == 50
    assert given["agentcost.cost.usd"] == 0.000045


@pytest.mark.parametrize("model", ["gpt-5.99-turbo-ultra", "gpt-4o-mini-2", "claude-sonnet-9", "o99-mini", "gemini-99"])
def test_new_model_is_not_priced_as_its_sibling(model: str, telemetry: Telemetry) -> None:
    """A model that the price book does not know yet has no price, however much its name looks like another's."""
    given = told(asking(model), chat(model=model), telemetry)
    assert "agentcost.cost.usd" not in given
    assert model in given["agentcost.unpriced"]


def test_cached_tokens_are_not_free(telemetry: Telemetry) -> None:
    """A model whose price list has no price for cached tokens bills them at its input price: never at nothing."""
    given = told(asking("gpt-4"), chat(CACHED, model="gpt-4"), telemetry)
    usd = given.get("agentcost.cost.usd")
    assert usd is None or usd >= 1024 * 30e-6, given


def test_base_input_is_not_clamped_away(telemetry: Telemetry) -> None:
    """Anthropic's input leaves out what was cached: fresh tokens are billed however few they are."""
    usage = {**MESSAGE_CACHED, "input_tokens": 5, "cache_read_input_tokens": 100_000}
    given = told(MESSAGES, message(usage), telemetry)
    assert given["agentcost.cost.input_usd"] == 0.000015  # 5 x 3.00
    assert given["gen_ai.usage.input_tokens"] == 5 + 100_000 + 256


def test_long_context_is_not_billed_at_the_short_rate(telemetry: Telemetry) -> None:
    """The threshold looks at the whole input, cached tokens included."""
    asked = Method(
        name="gemini-2.5-pro",
        call=lambda t: (
            __import__("tests.integrations.sdks.recorded_streams", fromlist=["gemini"])
            .gemini(t)
            .models.generate_content(model="gemini-2.5-pro", contents="x")
        ),
    )
    usage = {"promptTokenCount": 250_000, "cachedContentTokenCount": 100_000, "candidatesTokenCount": 1000}
    usage["totalTokenCount"] = 251_000
    given = told(asked, content(usage, model="gemini-2.5-pro"), telemetry)
    assert given["agentcost.cost.usd"] == 0.415  # 150,000 x 2.50 + 100,000 x 0.25 + 1,000 x 15.00


@pytest.mark.parametrize(
    "model",
    ["gpt-4o-mini-2024-07-18", "gpt-5-mini-2025-08-07", "gpt-4.1-2025-04-14", "o3-2025-04-16", "gpt-4o-2024-05-13"],
)
def test_dated_and_regional_names_do_not_lose_their_price(model: str, telemetry: Telemetry) -> None:
    """A name with a date has its price (regional ones: test_anthropic.py)."""
    assert told(asking(model), chat(model=model), telemetry)["agentcost.cost.usd"] > 0


def test_parent_does_not_repeat_usage(telemetry: Telemetry) -> None:
    """An agent's span says what was spent under it in names of its own, which no sum over calls picks up again."""
    tracer = telemetry.tracer_provider.get_tracer("framework")
    agent: dict[str, Any] = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 100}
    with instrumented(telemetry), tracer.start_as_current_span("agent", attributes=agent):
        CHAT.call(Wire([json.dumps(chat()).encode()], {"content-type": "application/json"}).transport())
    priced = [span.name for span in telemetry.spans if "agentcost.cost.usd" in (span.attributes or {})]
    assert priced == ["chat gpt-4o-mini"]
    assert telemetry.total("agentcost.cost") == 0.000045


async def test_raw_response_is_not_taken_for_an_answer(telemetry: Telemetry) -> None:
    """A raw response keeps its class and its `parse`, and whoever asks for `.model` of it sees what he would see."""
    wire = Wire([json.dumps(chat()).encode()], {"content-type": "application/json"})
    with warnings_of_ours() as warned, instrumented(telemetry):
        made: Any = on_openai(wire.transport()).chat.completions.with_raw_response.create(**ASK)
        assert not hasattr(made, "model")
        assert made.parse().model == "gpt-4o-mini-2024-07-18"
        assert made.parse().usage.prompt_tokens == 100
    assert warned == []
    assert len(telemetry.spans) == 1


@pytest.mark.parametrize("case", [CHAT_CASE, MESSAGES_CASE], ids=lambda case: case.name)
def test_abandoned_streams_do_not_fail_to_detach(case: Streamed, telemetry: Telemetry) -> None:
    """A stream that is made in one task and dropped in another, or in no task at all, logs nothing."""
    tracer = telemetry.tracer_provider.get_tracer("application")

    async def main() -> None:
        with tracer.start_as_current_span("turn"):
            made = await case.ask_async(Wire(case.chunks).transport())

        async def elsewhere(stream: Any) -> None:
            async for _ in stream:
                break

        await asyncio.create_task(elsewhere(made))
        del made
        await settled(case, Wire(case.chunks), broken_off)

    with warnings_of_ours() as warned, instrumented(telemetry):
        asyncio.run(main())
    assert warned == []
    assert sum(span.name == case.span for span in telemetry.spans) == 2


def test_cost_is_not_worked_out_from_token_totals(telemetry: Telemetry) -> None:
    """Two calls below a long-context threshold are not billed as one call above it."""
    asked = asking("gpt-5.4")
    usage = {"prompt_tokens": 200_000, "completion_tokens": 10, "total_tokens": 200_010}
    once = told(asked, chat(usage, model="gpt-5.4"), telemetry)["agentcost.cost.usd"]
    told(asked, chat(usage, model="gpt-5.4"), telemetry)
    assert telemetry.total("agentcost.cost") == pytest.approx(2 * once, rel=1e-12)


METHODS: list[tuple[Any, str]] = [
    (OpenAI, "request"),
    (OpenAI, "post"),
    (AsyncOpenAI, "request"),
    (Anthropic, "request"),
    (AsyncAnthropic, "request"),
    (Anthropic, "_request"),
]


@pytest.mark.parametrize(("owner", "name"), METHODS, ids=[f"{owner.__name__}.{name}" for owner, name in METHODS])
def test_introspection_is_not_lost(owner: Any, name: str, telemetry: Telemetry) -> None:
    """Signature, name, doc and kind of what is patched stay what they are (F13)."""

    def described() -> list[Any]:
        method = getattr(owner, name)
        looks = (inspect.signature, inspect.getdoc, inspect.iscoroutinefunction, inspect.isfunction)
        return [method.__name__, method.__qualname__, *(str(look(method)) for look in looks)]

    without = described()
    with instrumented(telemetry):
        assert described() == without
