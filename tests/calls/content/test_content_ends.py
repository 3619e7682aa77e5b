"""Message content of calls that end badly, and of those that nobody records: what came, and never a broken call."""

from __future__ import annotations

import gc
import json
from typing import Any

import httpx2
import pytest
from hypothesis import given
from openai import APIError
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from otel_agentcost.core import semconv
from otel_agentcost.wire import content, load, transcript
from otel_agentcost.wire.transcript import Transcript
from tests.calls.content.question import CHAT, CONTENTS, MESSAGE, QUESTION, RESPONSE, SAID, Scene
from tests.support import replies
from tests.support.call_shapes import warnings_of_ours
from tests.support.in_memory import Telemetry
from tests.support.model_server import Reply, json_reply, sse_reply
from tests.wire.test_fuzz import BOUNDED, objects


def test_an_error_has_the_question_alone(scene: Scene) -> None:
    """What was asked is recorded also where the provider refuses to answer."""
    scene.server.replies(json_reply({"error": {"message": "no"}}, status=400))
    with scene.capturing("SPAN_AND_EVENT"), pytest.raises(APIError):
        scene.openai().chat.completions.create(**CHAT)
    assert scene.said() == {semconv.INPUT_MESSAGES: [SAID]}
    (event,) = scene.events.records
    assert semconv.OUTPUT_MESSAGES not in event.attributes
    assert event.attributes["error.type"] == "openai.BadRequestError"


def streams_of(scene: Scene) -> dict[str, tuple[Any, Reply]]:
    return {
        "openai_chat": (
            lambda: scene.openai().chat.completions.create(**CHAT, stream=True),
            sse_reply(replies.chat_chunks()),
        ),
        "openai_responses": (
            lambda: scene.openai().responses.create(**RESPONSE, stream=True),
            replies.response_stream(),
        ),
        "anthropic_messages": (
            lambda: scene.anthropic().messages.create(**MESSAGE, stream=True),
            replies.message_stream(),
        ),
        "gemini": (lambda: scene.gemini().models.generate_content_stream(**CONTENTS), replies.content_stream()),
    }


FORMS = ["openai_chat", "openai_responses", "anthropic_messages", "gemini"]
BEFORE = {"openai_chat": 1, "openai_responses": 4, "anthropic_messages": 2, "gemini": 0}
"""How many events come before the first word."""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dropped", [False, True])
def test_a_stream_that_is_broken_off_has_what_came(scene: Scene, form: str, dropped: bool) -> None:
    """Closed or dropped after two words: those two words, without an end."""
    ask, reply = streams_of(scene)[form]
    scene.server.replies(reply)
    with scene.capturing("SPAN_ONLY"):
        stream = ask()
        for _ in range(BEFORE[form] + 2):
            next(stream)
        if not dropped:
            stream.close()
        del stream
        gc.collect()
    (message,) = scene.said()[semconv.OUTPUT_MESSAGES]
    assert message["parts"] == [{"type": "text", "content": "Forty-"}]
    assert message["finish_reason"] in (None, "in_progress")


@pytest.mark.parametrize("where", ["SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"])
def test_nothing_is_done_for_a_span_that_does_not_record(
    scene: Scene, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unsampled call has no content, in no place, and none is put together."""

    def unwanted(*_: object) -> str:
        raise AssertionError("content was put together for nobody")

    monkeypatch.setattr(content, "input_messages", unwanted)
    scene.telemetry = Telemetry(sampler=ALWAYS_OFF)
    scene.server.replies(json_reply(replies.chat()), replies.chat_stream())
    with warnings_of_ours() as warned, scene.capturing(where):
        scene.openai().chat.completions.create(**CHAT)
        list(scene.openai().chat.completions.create(**CHAT, stream=True))
    assert (warned, scene.events.records, scene.telemetry.spans) == ([], [], ())
    assert scene.telemetry.total("agentcost.cost") > 0
    scene.telemetry.shutdown()


def test_a_limit_to_attributes_evicts_content_and_not_the_cost(scene: Scene) -> None:
    """On a span that may have only so many attributes, the dollars stay and what was said goes first."""
    scene.server.replies(json_reply(replies.message()), json_reply(replies.message()))
    with scene.capturing("SPAN_ONLY"):
        scene.anthropic().messages.create(**MESSAGE)
    all_of_them = scene.telemetry.attributes()
    limited = Telemetry()
    limits = SpanLimits(max_span_attributes=list(all_of_them)[::-1].index(semconv.OUTPUT_MESSAGES))
    limited.tracer_provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    limited.tracer_provider.add_span_processor(SimpleSpanProcessor(limited.exporter))
    scene.telemetry = limited
    with scene.capturing("SPAN_ONLY"):
        scene.anthropic().messages.create(**MESSAGE)
    kept = limited.attributes()
    assert scene.said() == {}
    assert kept[semconv.COST] == all_of_them[semconv.COST]
    assert {semconv.INPUT_TOKENS, semconv.OUTPUT_TOKENS, semconv.COST_AMOUNT} <= kept.keys()
    limited.shutdown()


@pytest.mark.parametrize("body", [b"[]", b"null", b'{"choices": [1]}', b'{"choices": {"message": []}}', b"{"])
def test_a_malformed_answer_is_what_the_application_sees_without_us(scene: Scene, body: bytes) -> None:
    """Whatever comes back: the same object or the same error, and what was asked is recorded."""

    def ask() -> str:
        scene.server.replies(Reply(body=body))
        try:
            return repr(scene.openai().chat.completions.create(**CHAT))
        except Exception as error:
            return repr(error)

    without = ask()
    with scene.capturing("SPAN_AND_EVENT"):
        assert ask() == without
    assert scene.said()[semconv.INPUT_MESSAGES] == [SAID]
    assert len(scene.events.records) == 1


def test_what_is_sent_is_recorded_as_it_was_sent(scene: Scene) -> None:
    """An agent that goes on writing to its messages while the answer comes does not change what it had asked."""
    messages: Any = [{"role": "user", "content": QUESTION}]
    scene.server.replies(replies.chat_stream())
    with scene.capturing("SPAN_ONLY"):
        for _ in (
            scene.openai()
            .post("/chat/completions", body={**CHAT, "messages": messages}, cast_to=httpx2.Response)
            .iter_lines()
        ):
            messages.append({"role": "assistant", "content": "and so on"})
    assert scene.said()[semconv.INPUT_MESSAGES] == [SAID]


def test_a_logger_that_fails_costs_neither_the_call_nor_its_figures(scene: Scene) -> None:
    """One warning; the application has its answer, the span its dollars."""

    def broken(_record: Any) -> None:
        raise OSError("full")

    setattr(scene.events, "on_emit", broken)  # noqa: B010 (a method, to the type checkers)
    scene.server.replies(json_reply(replies.chat()))
    with warnings_of_ours() as warned, scene.capturing("EVENT_ONLY"):
        scene.openai().chat.completions.create(**CHAT)
    assert len(warned) == 1
    assert scene.telemetry.attributes()[semconv.COST] == replies.PLAIN_USD


def test_an_answer_without_end_is_cut_off_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many characters are kept, and the last words tell."""
    monkeypatch.setattr(transcript, "MAX_CHARACTERS", 1000)
    said = Transcript(load("openai_chat"))
    for _ in range(100):
        said.feed({"choices": [{"index": 0, "delta": {"content": "x" * 100}}]})
    (message,) = json.loads(content.output_messages(load("openai_chat"), said.response()) or "")
    (part,) = message["parts"]
    assert part["content"].endswith(transcript.CUT)
    assert len(part["content"]) <= 1000 + len(transcript.CUT)


@pytest.mark.parametrize("form", [*FORMS, "openai_completions", "openai_embeddings"])
@BOUNDED
@given(value=objects)
def test_no_event_makes_a_transcript_raise(form: str, value: Any) -> None:
    """Whatever comes in a stream: messages in JSON, or nothing."""
    said = Transcript(load(form))
    for kind in (
        "content_block_start",
        "content_block_delta",
        "response.output_text.delta",
        "response.output_item.done",
    ):
        said.feed({"type": kind, "content_block": value, "delta": value, "item": value, "index": value})
    said.feed({"choices": [{"delta": value, "index": value}], "candidates": [{"content": value}]})
    said.feed({"choices": [{"delta": {"tool_calls": [value], "content": value}}], "candidates": value})
    said.feed(value)
    found = content.output_messages(load(form), said.response())
    assert found is None or isinstance(json.loads(found), list)


def test_several_choices_and_calls_stay_apart() -> None:
    """Choices by their index; calls by their index, or by their id where a provider gives all the same index."""
    said = Transcript(load("openai_chat"))
    for choice in (1, 0):
        for call in ("a", "b"):
            function = {"name": f"{call}{choice}", "arguments": "{}"}
            calls = [{"index": 0, "id": f"{call}{choice}", "function": function}]
            said.feed({"choices": [{"index": choice, "delta": {"tool_calls": calls}}]})
    messages = json.loads(content.output_messages(load("openai_chat"), said.response()) or "")
    assert [[part["name"] for part in message["parts"]] for message in messages] == [["a0", "b0"], ["a1", "b1"]]


def test_thoughts_of_a_stream_are_told_from_its_words() -> None:
    """Gemini's and Anthropic's thoughts come in the same stream as the answer, as parts of their own."""
    wanted = [{"type": "reasoning", "content": "Hmm, hm"}, {"type": "text", "content": "Yes, yes"}]
    gemini = Transcript(load("gemini"))
    for words, thought in (("Hmm", True), (", hm", True), ("Yes", False), (", yes", False)):
        body = {"candidates": [{"content": {"parts": [{"text": words, "thought": thought}]}}]}
        gemini.feed(body)
    (message,) = json.loads(content.output_messages(load("gemini"), gemini.response()) or "")
    assert message["parts"] == wanted
    anthropic = Transcript(load("anthropic_messages"))
    for index, kind, words in (
        (0, "thinking", "Hmm"),
        (0, "thinking", ", hm"),
        (1, "text", "Yes"),
        (1, "text", ", yes"),
    ):
        anthropic.feed({"type": "content_block_start", "index": index, "content_block": {"type": kind, kind: words}})
    (message,) = json.loads(content.output_messages(load("anthropic_messages"), anthropic.response()) or "")
    assert message["parts"] == wanted


@pytest.mark.parametrize(("scope", "events"), [("opentelemetry.instrumentation.genai.openai", 0), ("another", 1)])
def test_an_adopted_span_keeps_what_its_owner_wrote(scene: Scene, scope: str, events: int) -> None:
    """The owner's content stands, what it lacks is added, and who writes the same event has written it already."""
    given: dict[str, Any] = {semconv.OPERATION: "chat", semconv.REQUEST_MODEL: CHAT["model"]}
    scene.server.replies(json_reply(replies.chat()))
    tracer = scene.telemetry.tracer_provider.get_tracer(scope)
    with scene.capturing("SPAN_AND_EVENT"), tracer.start_as_current_span("chat gpt-4o-mini", attributes=given) as span:
        scene.openai().chat.completions.create(**CHAT)
        span.set_attribute(semconv.INPUT_MESSAGES, "[]")
    said = scene.said()
    assert said[semconv.INPUT_MESSAGES] == []
    assert said[semconv.OUTPUT_MESSAGES][0]["finish_reason"] == "stop"
    assert len(scene.events.records) == events
    assert scene.telemetry.attributes()[semconv.COST] == replies.PLAIN_USD
