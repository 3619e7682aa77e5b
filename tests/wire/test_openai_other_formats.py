"""Responses, embeddings, images, audio, moderations, batches."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.wire.reading import ask, streamed, used, whole

USAGE: dict[str, Any] = {
    "input_tokens": 1205,
    "input_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 100},
    "output_tokens": 183,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 1388,
}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "model": "gpt-5.4",
    "status": "completed",
    "service_tier": "flex",
    "output": [],
    "usage": USAGE,
}


def response(**more: Any) -> dict[str, Any]:
    return {**RESPONSE, **more}


def test_cached_tokens_of_the_responses_api_are_found() -> None:
    """Cached, written and reasoning tokens are split as for a chat; the served tier sets the price."""
    answer = whole("openai_responses", response())
    assert used(answer).counts == {
        "input_tokens": 81,
        "cache_read_tokens": 1024,
        "cache_write_tokens": 100,
        "output_tokens": 119,
        "output_reasoning_tokens": 64,
    }
    assert answer.terms == (("service_tier", "flex"),)
    assert (answer.model, answer.response_id, answer.finish_reasons) == ("gpt-5.4", "resp_1", ("stop",))


def test_a_streamed_response_has_its_usage_in_the_last_event() -> None:
    """The streamed Responses API is read like the whole one."""
    events = [
        {"type": "response.created", "response": response(usage=None, status="in_progress", service_tier="auto")},
        {"type": "response.output_text.delta", "delta": "Hello"},
        {"type": "response.completed", "response": response()},
    ]
    assert streamed("openai_responses", events) == whole("openai_responses", response())


def test_an_incomplete_response_is_billed() -> None:
    """A response that hit its output limit says so, and costs what it says."""
    cut = response(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    answer = streamed("openai_responses", [{"type": "response.incomplete", "response": cut}])
    assert answer.finish_reasons == ("max_output_tokens",)
    assert used(answer).output_tokens == 183


def test_a_response_left_early_is_estimated_without_a_tier() -> None:
    """The tier in the first event is the requested one: it says nothing of what served the call."""
    started = response(usage=None, status="in_progress", service_tier="priority")
    events = [{"type": "response.created", "response": started}]
    events += [{"type": "response.output_text.delta", "delta": " words"}] * 20
    answer = streamed("openai_responses", events, {"input": "Write", "model": "gpt-5.4"}, complete=False)
    assert used(answer).estimated
    assert used(answer).output_tokens == pytest.approx(20, abs=4)
    assert (answer.model, answer.terms) == ("gpt-5.4", ())


def test_a_background_response_has_no_usage_yet() -> None:
    """It is not free, and not without reason."""
    answer = whole("openai_responses", response(usage=None, status="queued"))
    assert (answer.usage, answer.finish_reasons) == (None, ())
    assert "background" in (answer.missing or "")


def test_an_error_instead_of_a_response_is_quoted() -> None:
    """A stream that fails at once says why, and counts nothing."""
    answer = streamed("openai_responses", [{"type": "error", "message": "overloaded"}])
    assert (answer.usage, answer.missing) == (None, "the stream ended with an error: overloaded")
    failed = response(status="failed", usage=None, error={"message": "policy"})
    assert "policy" in (streamed("openai_responses", [{"type": "response.failed", "response": failed}]).missing or "")


def test_searches_are_what_the_provider_bills() -> None:
    """`tool_usage` counts billable searches; without it, or with the preview tool, their price is unknown."""
    output = [
        {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "a"}},
        {"type": "web_search_call", "status": "completed", "action": {"type": "open_page"}},
        {"type": "web_search_call", "status": "completed"},
        {"type": "file_search_call"},
        {"type": "code_interpreter_call"},
        {"type": "function_call", "name": "f"},
    ]
    answer = whole("openai_responses", response(output=output))
    counts = used(answer).counts
    assert (counts["storage_searches"], counts["code_executions"]) == (1, 1)
    assert "web_searches" not in counts
    assert answer.uncounted == "the price of 2 web searches is not known"
    assert answer.finish_reasons == ("tool_calls",)
    billed = whole("openai_responses", response(output=output, tool_usage={"web_search": {"num_requests": 1}}))
    assert used(billed).counts["web_searches"] == 1
    assert billed.uncounted is None
    preview = response(
        output=output, tool_usage={"web_search": {"num_requests": 1}}, tools=[{"type": "web_search_preview"}]
    )
    assert whole("openai_responses", preview).uncounted == "the price of 2 web searches is not known"


def test_generated_images_are_another_model_s_usage() -> None:
    """The image tool's tokens are charged to the image model, and are not the answer's."""
    made = {
        "input_tokens": 30,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 20},
        "output_tokens": 1056,
        "cached_tokens": 5,
        "cached_tokens_details": {"cached_text_tokens": 5, "cached_image_tokens": 0},
    }
    tools = [{"type": "image_generation", "model": "gpt-image-1.5"}]
    answer = whole("openai_responses", response(tools=tools, tool_usage={"image_gen": made}))
    (charge,) = answer.extra
    assert charge.model == "gpt-image-1.5"
    assert charge.usage.counts == {
        "input_text_tokens": 5,
        "cache_text_read_tokens": 5,
        "input_image_tokens": 20,
        "output_image_tokens": 1056,
    }
    assert used(answer).input_tokens == 1205


def test_images_of_unknown_size_are_said_to_be_left_out_of_the_price() -> None:
    """The tokens have their price; that it leaves out what the images cost is said."""
    answer = whole("openai_responses", response(output=[{"type": "image_generation_call"}]))
    assert "images" in (answer.uncounted or "")
    unnamed = {"image_gen": {"input_tokens": 1, "output_tokens": 1}}
    assert "which model" in (whole("openai_responses", response(tool_usage=unnamed)).uncounted or "")


def test_writes_to_the_long_cache_have_no_known_price() -> None:
    """Tokens written for twelve hours are counted, and the call is not priced as if for thirty minutes."""
    details = {"cached_tokens": 0, "cache_write_tokens": 100}
    long = {**details, "cache_write_tokens_details": {"ttl_12h_tokens": 60, "ttl_30m_tokens": 40}}
    answer = whole("openai_responses", response(usage={**USAGE, "input_tokens_details": long}))
    assert used(answer).cache_write_tokens == 100
    assert "12-hour" in (answer.missing or "")


def test_a_response_request_is_described() -> None:
    """Conversation, previous response, reasoning level and format, by the conventions' names."""
    body = {
        "model": "gpt-5.4",
        "max_output_tokens": 200,
        "conversation": {"id": "conv_1"},
        "previous_response_id": "resp_0",
        "reasoning": {"effort": "high"},
        "text": {"format": {"type": "json_schema"}},
        "service_tier": "flex",
    }
    call = ask("openai_responses", body)
    assert call.max_output_tokens == 200
    assert call.parameters["gen_ai.conversation.id"] == "conv_1"
    assert call.parameters["gen_ai.request.previous_response.id"] == "resp_0"
    assert call.parameters["gen_ai.request.reasoning.level"] == "high"
    assert call.parameters["gen_ai.output.type"] == "json"
    assert call.parameters["openai.request.service_tier"] == "flex"
    assert call.terms == ()


def test_a_compaction_is_billed() -> None:
    """`responses.compact` names no model in its answer, and has a usage like any response."""
    compacted: dict[str, Any] = {"id": "cmp_1", "object": "response.compaction", "output": [], "usage": USAGE}
    assert used(whole("openai_responses", compacted, path="/responses/compact")).input_tokens == 1205


def test_embeddings_cost_their_input() -> None:
    """One count, and the settings that the conventions name."""
    body = {"model": "text-embedding-3-small", "input": "hi", "dimensions": 256, "encoding_format": "float"}
    call = ask("openai_embeddings", body)
    assert call.parameters == {
        "gen_ai.embeddings.dimension.count": 256,
        "gen_ai.request.encoding_formats": ("float",),
    }
    answer = whole("openai_embeddings", {"model": "m", "usage": {"prompt_tokens": 8, "total_tokens": 8}}, body)
    assert used(answer).counts == {"input_tokens": 8}
    assert whole("openai_embeddings", {"data": []}).missing == "the response has no usage"


IMAGE: dict[str, Any] = {
    "input_tokens": 50,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
    "output_tokens": 4160,
    "total_tokens": 4210,
}


def test_images_cost_text_and_image_tokens() -> None:
    """Without details the output of an image model is images; DALL-E says nothing, and is unpriced."""
    assert used(whole("openai_images", {"data": [], "usage": IMAGE})).counts == {
        "input_text_tokens": 10,
        "input_image_tokens": 40,
        "output_image_tokens": 4160,
    }
    details = {**IMAGE, "output_tokens_details": {"text_tokens": 60, "image_tokens": 4100}}
    assert used(whole("openai_images", {"usage": details})).counts["output_text_tokens"] == 60
    assert whole("openai_images", {"data": []}).missing == "the response has no usage"


def test_an_svg_is_written_by_another_model() -> None:
    """Its tokens are charged to the model that wrote it."""
    svg = {"model": "gpt-6-luna", "input_tokens": 10, "output_tokens": 90, "reasoning_tokens": 30, "total_tokens": 100}
    (charge,) = whole("openai_images", {"usage": IMAGE, "svg_usage": svg}).extra
    assert charge.model == "gpt-6-luna"
    assert charge.usage.counts == {"input_tokens": 10, "output_tokens": 60, "output_reasoning_tokens": 30}


def test_streamed_images_are_counted_when_they_are_finished() -> None:
    """A partial image has no usage; a stream that was left before the end is not priced."""
    events = [{"type": "image_generation.partial_image"}, {"type": "image_generation.completed", "usage": IMAGE}]
    assert used(streamed("openai_images", events)).output_tokens == 4160
    assert streamed("openai_images", events[:1], complete=False).usage is None


def test_a_transcription_costs_tokens_or_seconds() -> None:
    """Tokens with their modalities, seconds as the provider measured them, or the length in a verbose answer."""
    counted = {"type": "tokens", "input_tokens": 100, "output_tokens": 20, "input_token_details": {"audio_tokens": 90}}
    assert used(whole("openai_audio", {"text": "", "usage": counted})).counts == {
        "input_audio_tokens": 90,
        "input_tokens": 10,
        "output_tokens": 20,
    }
    timed = {"text": "", "usage": {"type": "duration", "seconds": 7}}
    assert used(whole("openai_audio", timed)).counts == {"input_audio_seconds": Decimal(7)}
    verbose = {"text": "", "duration": 6.98}
    assert used(whole("openai_audio", verbose)).counts == {"input_audio_seconds": Decimal("6.98")}
    assert whole("openai_audio", "plain text").missing == "the response has no usage"
    assert "-3" in (whole("openai_audio", {"usage": {"seconds": -3}}).missing or "")
    done = [{"type": "transcript.text.delta", "delta": "a"}, {"type": "transcript.text.done", "usage": counted}]
    assert used(streamed("openai_audio", done)).input_tokens == 100


def test_speech_costs_characters_or_is_unpriced() -> None:
    """Models billed by the character are counted from the request; sound says nothing of tokens."""
    body = {"model": "tts-1", "input": "Grüße!", "voice": "alloy"}
    assert used(whole("openai_audio", b"\xff\xf3", body, "/audio/speech")).counts == {"input_characters": 6}
    body["model"] = "gpt-4o-mini-tts"
    assert "tokens" in (whole("openai_audio", b"\xff\xf3", body, "/audio/speech").missing or "")
    done = [{"type": "speech.audio.done", "usage": {"input_tokens": 14, "output_tokens": 101}}]
    spoken = used(streamed("openai_audio", done, body, path="/audio/speech"))
    assert spoken.counts == {"input_tokens": 14, "output_audio_tokens": 101}


def test_moderations_are_free() -> None:
    """Zero dollars, because the provider charges nothing: not because nothing is known."""
    assert whole("openai_moderations", {"id": "modr-1", "model": "omni", "results": []}).free


@pytest.mark.parametrize("form", ["openai_batches", "anthropic_batches"])
def test_a_created_batch_is_unpriced_and_not_free(form: str) -> None:
    """It is billed as it runs, where nobody here sees it."""
    answer = whole(form, {"id": "batch_1", "object": "batch", "errors": None})
    assert not answer.free
    assert "a batch is billed" in (answer.missing or "")
    first = {"params": {"model": "claude-opus-5"}}
    assert ask("anthropic_batches", {"requests": [first]}).model == "claude-opus-5"
