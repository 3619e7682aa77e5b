"""Calls that few applications make, and some do: hooks that read streams, chunks without counts, whole addresses."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from anthropic import Anthropic
from google import genai
from openai import OpenAI

from otel_agentcost import names
from tests.in_memory import Telemetry
from tests.model_server import ModelServer, sse_reply
from tests.sdks.kit import instrumented
from tests.sdks.openai_shapes import ASK, QUESTION
from tests.sdks.replies import MESSAGE_CACHED_USD, PLAIN, PLAIN_USD, chat_stream, message_stream

pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")


def reading() -> httpx2.Client:
    """An HTTP client whose hook reads every response before the SDK sees it."""
    return httpx2.Client(event_hooks={"response": [lambda response: response.read()]})


def test_raw_stream_that_a_hook_has_read(model_server: ModelServer, telemetry: Telemetry) -> None:
    """A raw stream whose body has been read already is priced by its events, and can still be parsed."""
    model_server.replies(chat_stream(PLAIN))
    with instrumented(telemetry), OpenAI(base_url=f"{model_server.url}/v1", api_key="x", http_client=reading()) as made:
        assert len(list(made.chat.completions.with_raw_response.create(**ASK, stream=True).parse())) > 1
    assert telemetry.attributes()[names.COST] == pytest.approx(PLAIN_USD)


def test_raw_message_stream_that_a_hook_has_read(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The same for anthropic."""
    model_server.replies(message_stream())
    with instrumented(telemetry), Anthropic(base_url=model_server.url, api_key="x", http_client=reading()) as made:
        ask: dict[str, Any] = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": QUESTION, "stream": True}
        assert len(list(made.messages.with_raw_response.create(**ask).parse())) > 1
    assert telemetry.attributes()[names.COST] == pytest.approx(MESSAGE_CACHED_USD)


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
    assert given[names.COST] == pytest.approx(0.00055)  # 1000 x 0.30 + 100 x 2.50
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
