"""Streams under a budget that is not passed, or not by what the application does with them."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from anthropic import Anthropic
from openai import OpenAI

from otel_agentcost import BudgetExceeded, Settings
from otel_agentcost.wire import tokenizers
from tests.integrations.sdks import endless_streams as out
from tests.integrations.sdks import openai_shapes
from tests.integrations.sdks.endless_streams import STREAM, WORDS, Flow
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.support.replies import chat_chunks, chat_stream

pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")


@pytest.fixture(autouse=True)
def vocabulary() -> None:
    """Has what counts stay the same within a test."""
    tokenizers.ready()


def asked(url: str, use: Callable[[OpenAI], Any]) -> Any:
    """Opens a client for `use`, and closes it."""
    return openai_shapes.sync(use)(url)


def limited(telemetry: Telemetry, **settings: Any) -> Any:
    """Instruments with a budget of 600 tokens."""
    given: dict[str, Any] = {"budgets": "total:tokens=600", **settings}
    return instrumented(telemetry, settings=Settings(**given))


def test_a_stream_that_fits_is_passed_on_whole(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Nothing is kept back of an answer that stays below, and its real usage is charged."""
    usage = {"prompt_tokens": 10, "completion_tokens": 200, "total_tokens": 210}
    model_server.replies(chat_stream(usage, words=WORDS[:200]))
    with limited(telemetry):
        chunks = asked(
            model_server.url, lambda client: list(client.chat.completions.create(**openai_shapes.WITH_USAGE))
        )
    assert len(chunks) == len(chat_chunks(usage, words=WORDS[:200]))
    given = telemetry.attributes()
    assert given["gen_ai.usage.output_tokens"] == 200
    assert "error.type" not in given


def test_an_answer_that_is_whole_is_not_taken_away(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Hidden thoughts are known at the end alone: they are charged, the answer is passed on, and the next call is
    refused.
    """
    usage = {"prompt_tokens": 10, "completion_tokens": 5000, "total_tokens": 5010}
    model_server.replies(chat_stream(usage, words=WORDS[:50]))
    with limited(telemetry):
        chunks = asked(
            model_server.url, lambda client: list(client.chat.completions.create(**openai_shapes.WITH_USAGE))
        )
        with pytest.raises(BudgetExceeded, match="not sent"):
            asked(model_server.url, lambda client: client.chat.completions.create(**STREAM))
    assert chunks[-1].usage.completion_tokens == 5000
    span = telemetry.spans[0]
    assert dict(span.attributes or {})["gen_ai.usage.output_tokens"] == 5000
    assert span.status.status_code.name == "UNSET"


def test_the_first_event_can_be_too_much(model_server: ModelServer, telemetry: Telemetry) -> None:
    """A server that sends all of its answer in one piece has it kept back, and it is charged."""
    model_server.replies(chat_stream(words=["".join(WORDS)]))
    got: list[Any] = []
    with limited(telemetry), pytest.raises(BudgetExceeded, match="too little left for the rest of this answer"):
        asked(model_server.url, lambda client: got.extend(client.chat.completions.create(**STREAM)))
    assert [word for chunk in got for word in out.chat_text(chunk)] == [""]
    charged = telemetry.attributes()["gen_ai.usage.output_tokens"]
    assert isinstance(charged, int)
    assert charged > 2000


def test_what_has_wholly_arrived_is_not_cut_off(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Where the application's HTTP client has read the response itself, nothing would be saved."""
    model_server.replies(chat_stream(words=WORDS))

    def ask(client: OpenAI) -> Any:
        with client.chat.completions.with_streaming_response.create(**STREAM) as response:
            return response.read().decode()

    hooks: Any = {"response": [lambda response: response.read()]}
    with limited(telemetry), httpx2.Client(event_hooks=hooks) as http:
        text = openai_shapes.sync(ask, http_client=http)(model_server.url)
    assert text.count("data:") == len(WORDS) + 3
    charged = telemetry.attributes()["gen_ai.usage.output_tokens"]
    assert isinstance(charged, int)
    assert charged > 2000


def test_reading_a_raw_response_at_once_is_cut_off_too(model_server: ModelServer, telemetry: Telemetry) -> None:
    """`read()` of a streamed response goes through the same bytes."""
    flow = Flow(out.chat(WORDS))
    model_server.replies(flow.reply)

    def ask(client: OpenAI) -> None:
        with client.chat.completions.with_streaming_response.create(**STREAM) as response:
            response.read()

    with limited(telemetry), pytest.raises(BudgetExceeded):
        asked(model_server.url, ask)
    assert flow.over.wait(5)
    assert flow.sent < len(flow) / 2
    assert telemetry.span().status.status_code.name == "ERROR"


def test_a_dropped_stream_settles_at_once(model_server: ModelServer, telemetry: Telemetry) -> None:
    """A meter keeps no stream alive that the application has let go of."""
    model_server.replies(Flow(out.messages(WORDS), named=True).reply)
    gc.collect()
    gc.disable()
    try:
        with limited(telemetry), Anthropic(base_url=model_server.url, api_key="none") as client:
            stream: Any = client.messages.create(**out.MESSAGE_STREAM)
            next(stream)
            del stream
            assert telemetry.span().status.status_code.name == "UNSET"
    finally:
        gc.enable()


def test_content_is_recorded_up_to_the_cut(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Where message content is asked for, the span has what was received."""
    model_server.replies(Flow(out.chat(WORDS)).reply)
    with limited(telemetry, capture_content="SPAN_ONLY"), pytest.raises(BudgetExceeded):
        asked(model_server.url, lambda client: list(client.chat.completions.create(**STREAM)))
    assert "The river runs on and on" in str(telemetry.attributes()["gen_ai.output.messages"])


def test_a_budget_that_only_warns_cuts_nothing_off(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The whole answer comes, and the budget is over."""
    model_server.replies(chat_stream(words=WORDS))
    with limited(telemetry, budgets="total:tokens=600,on_exceed=warn"):
        chunks = asked(model_server.url, lambda client: list(client.chat.completions.create(**STREAM)))
    assert len(chunks) == len(WORDS) + 2
