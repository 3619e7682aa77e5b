"""Usages as gateways and providers really send them, through the real SDK at their addresses: the right dollars."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest

from otel_agentcost.core import semconv
from tests.recordings.replay import Redirect
from tests.support.budgeted_calls import budgeted, until_refused
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply, sse_reply
from tests.support.replies import chat, chat_chunks


def client(base_url: str, server: ModelServer) -> openai.OpenAI:
    """A client of `base_url` whose requests all go to `server`."""
    http = httpx2.Client(transport=Redirect(server.url))
    return openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, http_client=http)


def ask(sdk: openai.OpenAI, model: str, **more: Any) -> None:
    """One call, read to its end."""
    result: Any = sdk.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}], **more)
    if more.get("stream"):
        list(result)


def test_moonshots_usage_in_the_choice_is_never_estimated(telemetry: Telemetry, model_server: ModelServer) -> None:
    """1019 in (768 cached) and 113 out, though no chunk has a usage at its top."""
    usage = {"prompt_tokens": 1019, "completion_tokens": 113, "total_tokens": 1132, "cached_tokens": 768}
    *events, last = chat_chunks(model="kimi-k2.5")
    choice = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}
    model_server.replies(sse_reply([*events, {**last, "choices": [choice]}], done=True))
    with instrumented(telemetry), client("https://api.moonshot.ai/v1", model_server) as sdk:
        ask(sdk, "kimi-k2.5", stream=True)
    said = telemetry.attributes()
    assert (said[semconv.INPUT_TOKENS], said[semconv.CACHE_READ_TOKENS]) == (1019, 768)
    assert said[semconv.OUTPUT_TOKENS] == 113
    assert said[semconv.COST] == pytest.approx(0.0005664)
    assert semconv.ESTIMATED not in said


@pytest.mark.parametrize("stream", [False, True])
def test_cache_writes_through_a_gateway_are_never_billed_as_input(
    telemetry: Telemetry, model_server: ModelServer, *, stream: bool
) -> None:
    """Claude behind a LiteLLM proxy: 10,017 of 10,032 tokens were written to the cache."""
    usage = {
        "prompt_tokens": 10032,
        "completion_tokens": 100,
        "total_tokens": 10132,
        "prompt_tokens_details": {"cached_tokens": 0},
        "cache_creation_input_tokens": 10017,
        "cache_read_input_tokens": 0,
    }
    model = "claude-sonnet-4-5-20250929"
    model_server.replies(
        sse_reply(chat_chunks(usage, model=model), done=True) if stream else json_reply(chat(usage, model=model))
    )
    with instrumented(telemetry), client("http://litellm.internal:4000", model_server) as sdk:
        ask(sdk, "anthropic/claude-sonnet-4-5", stream=stream)
    said = telemetry.attributes()
    assert said[semconv.CACHE_WRITE_TOKENS] == 10017
    assert said[semconv.COST] == pytest.approx(0.03910875)


def test_audio_in_a_chat_is_never_billed_by_its_text_alone(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Mistral bills Voxtral's audio by the second, and its tokens besides."""
    usage = {"prompt_audio_seconds": 203, "prompt_tokens": 3, "completion_tokens": 635, "total_tokens": 3264}
    model_server.replies(json_reply(chat(usage, model="voxtral-small-latest")))
    with instrumented(telemetry), client("https://api.mistral.ai/v1", model_server) as sdk:
        ask(sdk, "voxtral-small-latest")
    assert telemetry.attributes()[semconv.COST] == pytest.approx(0.0137876, abs=1e-7)


def test_audio_by_the_second_never_passes_a_budget_unreserved(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A recording of a megabyte can be long: a budget without room for it refuses the call before it is sent."""
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 1_000_000, "format": "mp3"}}
    asked: Any = [{"role": "user", "content": [sound]}]
    with budgeted(telemetry, budgets="process:usd=0.05"), client("https://api.mistral.ai/v1", model_server) as sdk:
        made, _ = until_refused(
            lambda: sdk.chat.completions.create(model="voxtral-small-latest", messages=asked, max_tokens=100)
        )
    assert made == 0
    assert model_server.requests == []


def test_mistrals_transcription_is_billed_by_the_second(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Its usage has the seconds under a name of its own."""
    usage = {"prompt_audio_seconds": 203, "prompt_tokens": 4, "completion_tokens": 635, "total_tokens": 3264}
    model_server.replies(json_reply({"model": "voxtral-mini-2602", "text": "Hello.", "usage": usage}))
    with instrumented(telemetry), client("https://api.mistral.ai/v1", model_server) as sdk:
        sdk.audio.transcriptions.create(model="voxtral-mini-2602", file=b"RIFF")
    assert telemetry.attributes()[semconv.COST] == pytest.approx(203 * 0.18 / 3600)


@pytest.mark.parametrize(("annotated", "usd"), [(False, 0.002), (True, 0.003)])
def test_pages_that_were_read_are_never_free(
    telemetry: Telemetry, model_server: ModelServer, *, annotated: bool, usd: float
) -> None:
    """Mistral's OCR, which the SDK reaches by `post`: by the page, and annotated pages cost more."""
    pages = [{"index": 0, "markdown": "Hi"}]
    model_server.replies(
        json_reply({"model": "mistral-ocr-2512", "pages": pages, "usage_info": {"pages_processed": 1}})
    )
    body: dict[str, Any] = {"model": "mistral-ocr-2512", "document": {"type": "document_url", "document_url": "x"}}
    if annotated:
        body["document_annotation_format"] = {"type": "json_schema"}
    with instrumented(telemetry), client("https://api.mistral.ai/v1", model_server) as sdk:
        sdk.post("/ocr", cast_to=object, body=body)
    assert telemetry.attributes()[semconv.COST] == pytest.approx(usd)


def test_a_transcript_of_nothing_is_never_free(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Zero seconds for a text: the length that its words take to say counts, marked as an estimate."""
    said = " ".join(f"word{number}" for number in range(150))
    model_server.replies(
        json_reply({"text": said, "usage": {"type": "duration", "seconds": 0}}),
        json_reply({"text": "", "usage": {"type": "duration", "seconds": 0}}),
    )
    with instrumented(telemetry), client("https://api.openai.com/v1", model_server) as sdk:
        for _ in range(2):
            sdk.audio.transcriptions.create(model="whisper-1", file=b"RIFF")
    spoken, silent = (dict(span.attributes or {}) for span in telemetry.spans)
    assert spoken[semconv.COST] == pytest.approx(60 * 0.36 / 3600)
    assert spoken[semconv.ESTIMATED] is True
    assert silent[semconv.COST] == 0
    assert semconv.ESTIMATED not in silent
