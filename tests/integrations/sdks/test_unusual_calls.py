"""Calls that few applications make, and some do: hooks that read streams, chunks without counts, whole addresses."""

from __future__ import annotations

import gc
from types import GeneratorType
from typing import Any

import httpx2
import pytest
from anthropic import Anthropic
from google import genai
from openai import OpenAI

from otel_agentcost.core import semconv
from tests.integrations.sdks.hosts import led
from tests.integrations.sdks.openai_shapes import ASK, QUESTION
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, sse_reply
from tests.support.replies import MESSAGE_CACHED_USD, PLAIN, PLAIN_USD, chat_reply, chat_stream, message_stream

pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")


def reading() -> httpx2.Client:
    """An HTTP client whose hook reads every response before the SDK sees it."""
    return httpx2.Client(event_hooks={"response": [lambda response: response.read()]})


def test_raw_stream_that_a_hook_has_read(model_server: ModelServer, telemetry: Telemetry) -> None:
    """A raw stream whose body has been read already is priced by its events, and can still be parsed."""
    model_server.replies(chat_stream(PLAIN))
    with instrumented(telemetry), OpenAI(base_url=f"{model_server.url}/v1", api_key="x", http_client=reading()) as made:
        assert len(list(made.chat.completions.with_raw_response.create(**ASK, stream=True).parse())) > 1
    assert telemetry.attributes()[semconv.COST] == pytest.approx(PLAIN_USD)


def test_raw_message_stream_that_a_hook_has_read(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The same for anthropic."""
    model_server.replies(message_stream())
    with instrumented(telemetry), Anthropic(base_url=model_server.url, api_key="x", http_client=reading()) as made:
        ask: dict[str, Any] = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": QUESTION, "stream": True}
        assert len(list(made.messages.with_raw_response.create(**ask).parse())) > 1
    assert telemetry.attributes()[semconv.COST] == pytest.approx(MESSAGE_CACHED_USD)


COUNTS = {"promptTokenCount": 1000, "candidatesTokenCount": 100, "totalTokenCount": 1100}
TRAFFIC = {"trafficType": "ON_DEMAND"}


def chunk(n: int, **more: Any) -> dict[str, Any]:
    """One chunk of a Gemini stream."""
    said = {"content": {"role": "model", "parts": [{"text": f"word {n} "}]}, "index": 0}
    return {"candidates": [said], "modelVersion": "gemini-2.5-flash", **more}


def gemini(server: ModelServer) -> genai.Client:
    return genai.Client(api_key="x", http_options={"base_url": server.url})


def test_gemini_stream_whose_last_chunk_has_a_traffic_type_alone(
    model_server: ModelServer, telemetry: Telemetry
) -> None:
    """The counts of an earlier chunk are what is billed where the last usage has none."""
    used: list[dict[str, Any]] = [{}, {"usageMetadata": COUNTS}, {"usageMetadata": TRAFFIC}]
    model_server.replies(sse_reply([chunk(n, **more) for n, more in enumerate(used)]))
    with instrumented(telemetry):
        made = gemini(model_server)
        list(made.models.generate_content_stream(model="gemini-2.5-flash", contents="x"))
    given = telemetry.attributes()
    assert given[semconv.COST] == pytest.approx(0.00055)  # 1000 x 0.30 + 100 x 2.50
    assert "agentcost.usage.estimated" not in given


def test_gemini_stream_without_any_counts_is_estimated_by_all_its_text(
    model_server: ModelServer, telemetry: Telemetry
) -> None:
    """A usage that has a traffic type alone in every chunk does not make the text of most chunks free."""
    model_server.replies(sse_reply([chunk(n, usageMetadata=TRAFFIC) for n in range(50)]))
    with instrumented(telemetry):
        made = gemini(model_server)
        list(made.models.generate_content_stream(model="gemini-2.5-flash", contents="x"))
    given = telemetry.attributes()
    assert given["agentcost.usage.estimated"] is True
    tokens = given["gen_ai.usage.output_tokens"]
    assert isinstance(tokens, int)
    assert tokens >= 50


@pytest.mark.parametrize("ending", ["throw", "close"])
def test_gemini_stream_that_is_ended_from_outside_ends_the_sdk_s(
    ending: str, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """An error thrown into a stream (or its close) ends the SDK's own generator at once, whoever keeps the error."""
    model_server.replies(sse_reply([chunk(n) for n in range(20)], pause=0.02))
    made = gemini(model_server)
    api: Any = made._api_client
    before = {id(each) for each in running()}
    with instrumented(telemetry):
        stream = api.request_streamed("post", "models/gemini-2.5-flash:streamGenerateContent?alt=sse", {"contents": []})
        next(stream)
        if ending == "throw":
            with pytest.raises(RuntimeError, match="enough") as kept:
                stream.throw(RuntimeError("enough"))
            assert kept.value.__traceback__ is not None
        else:
            stream.close()
        assert [each for each in running() if id(each) not in before] == []
    assert len(telemetry.spans) == 1


def running() -> list[Any]:
    """The generators of the SDK that are not over."""
    found = [each for each in gc.get_objects() if isinstance(each, GeneratorType)]
    return [each for each in found if each.gi_frame is not None and each.__name__ == "request_streamed"]


@pytest.mark.parametrize(
    ("address", "provider", "host", "model", "usd"),
    [
        ("https://openrouter.ai/api/v1/chat/completions?x=1", "openrouter", "openrouter.ai", "openai/gpt-4o", 0.00075),
        ("HTTPS://api.openai.com/v1/chat/completions", "openai", "api.openai.com", "gpt-4o-mini", PLAIN_USD),
        ("https://gateway.example/v1/chat/completions", "openai", "gateway.example", "gpt-4o-mini", PLAIN_USD),
    ],
)
def test_whole_address_goes_past_the_base_url(
    address: str,
    provider: str,
    host: str,
    model: str,
    usd: float,
    model_server: ModelServer,
    telemetry: Telemetry,
) -> None:
    """A call to a whole address is named and priced by that address, and other calls by the client's."""
    model_server.replies(chat_reply(model=model), chat_reply())
    with instrumented(telemetry), OpenAI(api_key="x", http_client=led(model_server.url)) as made:
        made.post(address, body={"model": model, "messages": QUESTION}, cast_to=object)
        made.chat.completions.create(**ASK)
    first, second = (dict(span.attributes or {}) for span in telemetry.spans)
    assert (first["gen_ai.provider.name"], first["server.address"]) == (provider, host)
    assert first.get(semconv.COST) == pytest.approx(usd)
    assert second["server.address"] == "api.openai.com"
    assert second[semconv.COST] == pytest.approx(PLAIN_USD)
