"""A stream that would pass its budget is closed before it does, and what was received is charged."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from otel_agentcost import BudgetExceeded, Settings
from otel_agentcost.wire import tokenizers
from otel_agentcost.wire.tokenizers import count_text
from tests.integrations.sdks import endless_streams as out
from tests.integrations.sdks import openai_other_shapes, openai_shapes
from tests.integrations.sdks.endless_streams import STREAM, WORDS, Application, Flow, Outrun
from tests.support.call_shapes import instrumented, run, warnings_of_ours
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")

LIMIT = 600
SETTINGS: dict[str, Any] = {"budgets": f"total:tokens={LIMIT}"}


def create(client: Any) -> Any:
    return client.chat.completions.create(**STREAM)


def two(client: Any) -> Any:
    return client.chat.completions.create(**STREAM, n=2)


def parsed(client: Any) -> Any:
    return client.chat.completions.with_raw_response.create(**STREAM).parse()


def helper(client: Any) -> Any:
    return client.chat.completions.stream(**openai_shapes.ASK)


def respond(client: Any) -> Any:
    return client.responses.create(**openai_other_shapes.RESPOND, stream=True)


def respond_helper(client: Any) -> Any:
    return client.responses.stream(**openai_other_shapes.RESPOND)


def message(client: Any) -> Any:
    return client.messages.create(**out.MESSAGE_STREAM)


def message_helper(client: Any) -> Any:
    return client.messages.stream(**out.MESSAGE)


def raw(client: Any) -> Any:
    return client.chat.completions.with_streaming_response.create(**STREAM)


def raw_message(client: Any) -> Any:
    return client.messages.with_streaming_response.create(**out.MESSAGE_STREAM)


def its_bytes(response: Any) -> Any:
    return response.iter_bytes()


def its_lines(response: Any) -> Any:
    return response.iter_lines()


def its_text(stream: Any) -> Any:
    return stream.text_stream


CASES = [
    out.openai("chat", out.chat, out.reading(create, out.chat_text)),
    out.openai("chat, two choices", out.choices, out.reading(two, out.chat_text)),
    out.openai("chat, a tool call", out.tool_call, out.reading(create, out.chat_text)),
    out.openai("chat, raw and parsed", out.chat, out.reading(parsed, out.chat_text)),
    out.openai("chat, bytes", out.chat, out.reading(raw, out.itself, its_bytes)),
    out.openai("chat, helper", out.chat, out.reading(helper, out.event_text)),
    out.openai_async("chat", out.chat, out.reading_async(create, out.chat_text)),
    out.openai_async("chat, helper", out.chat, out.reading_async(helper, out.event_text)),
    out.openai_async("chat, bytes", out.chat, out.reading_async(raw, out.itself, its_bytes)),
    out.openai("responses", out.responses, out.reading(respond, out.event_text), named=True),
    out.openai("responses, helper", out.responses, out.reading(respond_helper, out.event_text), named=True),
    out.openai_async("responses", out.responses, out.reading_async(respond, out.event_text), named=True),
    out.anthropic("messages", out.messages, out.reading(message, out.event_text)),
    out.anthropic("messages, thoughts", out.thoughts, out.reading(message, out.event_text)),
    out.anthropic("messages, bytes", out.messages, out.reading(raw_message, out.itself, its_bytes)),
    out.anthropic("messages, helper", out.messages, out.reading(message_helper, out.event_text)),
    out.anthropic("messages, text of the helper", out.messages, out.reading(message_helper, out.itself, its_text)),
    out.anthropic_async("messages", out.messages, out.reading_async(message, out.event_text)),
    out.anthropic_async("messages, helper", out.messages, out.reading_async(message_helper, out.event_text)),
    out.anthropic_async("messages, lines", out.messages, out.reading_async(raw_message, out.line_of, its_lines)),
    *out.google("without counts", out.gemini),
    *out.google("with counts", out.counted, per_word=3),
]


def cut_off(case: Outrun, flow: Flow, server: ModelServer) -> tuple[Application, BudgetExceeded]:
    """What the application saw of a stream, and how it ended for it."""
    server.replies(flow.reply)
    application = Application(flow)
    with pytest.raises(BudgetExceeded) as caught:
        run(lambda url: case.run(url, application), server.url)
    return application, caught.value


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_stream_is_cut_off(case: Outrun, model_server: ModelServer, telemetry: Telemetry) -> None:
    """The application gets all that fits and then `BudgetExceeded`, the provider sees the connection closed, and what
    was received is charged.
    """
    tokenizers.ready()
    flow = Flow(case.events(WORDS), named=case.named)
    with warnings_of_ours() as warned, instrumented(telemetry, settings=Settings(**SETTINGS)):
        application, error = cut_off(case, flow, model_server)
    assert application.closed
    assert flow.sent < len(flow) / 2
    assert not application.goes_on
    assert not [words for words in warned if "% used" not in words]
    words = application.text.count(" ")
    assert application.text == "".join(WORDS[:words])
    span = telemetry.span()
    charged = check_charge(span, error)
    if case.per_word:
        fitted, following = case.per_word * words, case.per_word * (words + 1)
    else:
        model = span.name.rpartition(" ")[2]
        fitted, following = (count_text("".join(WORDS[:number]), model) for number in (words, words + 1))
    assert isinstance(error.requested, int)
    fence = LIMIT - (error.requested - charged)
    assert LIMIT / 2 < fence < LIMIT
    assert fitted <= fence < following
    gc.collect()


def check_charge(span: ReadableSpan, error: BudgetExceeded) -> int:
    """The span of a stream that was cut off says so, and what for. Returns the output tokens that it charges."""
    given = dict(span.attributes or {})
    assert given["error.type"] == "otel_agentcost.BudgetExceeded"
    assert span.status.status_code.name == "ERROR"
    assert given["agentcost.usage.estimated"] is True
    assert float(str(given["agentcost.cost.usd"])) > 0
    (said,) = (event.attributes or {} for event in span.events if event.name == "agentcost.budget.exceeded")
    assert (said["agentcost.budget.action"], said["agentcost.budget.requested"]) == ("cut_off", error.requested)
    assert error.cut_off
    charged = given["gen_ai.usage.output_tokens"]
    assert isinstance(charged, int)
    return charged
