"""Tools that the model provider runs and bills: their dollars come with the response, once, and they are part of the
model call. Real shapes of answers, through the real SDKs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from anthropic import Anthropic
from google import genai
from google.genai import types
from openai import OpenAI

from otel_agentcost import BudgetExceeded, Settings, tool_call
from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import tool_spans
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply, sse_reply
from tests.support.replies import content, message, message_events, response, response_events

PRICES: Any = dict.fromkeys(
    ("web_search", "web_search_preview", "web_search_call", "file_search", "code_interpreter", "google_search", "*"),
    "5",
)
"""Five dollars a call: whatever is charged by them by mistake is seen."""

OPENAI_USAGE = {"input_tokens": 319, "output_tokens": 650, "total_tokens": 969}
ANTHROPIC_USAGE = {"input_tokens": 100, "output_tokens": 50, "server_tool_use": {"web_search_requests": 2}}
SEARCHED: list[Any] = [
    {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "bees"}},
    {
        "id": "ws_2",
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "open_page", "url": "http://b"},
    },
]
OTHERS: list[Any] = [
    {"id": "fs_1", "type": "file_search_call", "status": "completed", "queries": ["bees"], "results": None},
    {
        "id": "ci_1",
        "type": "code_interpreter_call",
        "status": "completed",
        "container_id": "cntr_1",
        "code": "1 + 1",
        "outputs": None,
    },
]
SAID: dict[str, Any] = response()["output"][0]
FOUND: list[Any] = [
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "bees"}},
    {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [
            {
                "type": "web_search_result",
                "title": "Bees",
                "url": "http://b",
                "encrypted_content": "x",
                "page_age": None,
            }
        ],
    },
    {"type": "text", "text": "Bees."},
]


def searched(**more: Any) -> dict[str, Any]:
    """A response for which OpenAI has searched once, and opened a page."""
    usage = {"web_search": {"num_requests": 1}}
    return response(OPENAI_USAGE, model="gpt-5-mini", output=[*SEARCHED, SAID], tool_usage=usage, **more)


def grounded() -> dict[str, Any]:
    """A generation for which Gemini has asked Google."""
    body = content()
    body["candidates"][0]["groundingMetadata"] = {
        "webSearchQueries": ["bees"],
        "groundingChunks": [{"web": {"uri": "http://b", "title": "Bees"}}],
    }
    return body


def openai(server: ModelServer, *, stream: bool = False) -> None:
    """A response, with tools of OpenAI's."""
    tools: Any = [{"type": "web_search"}]
    with OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        if stream:
            list(client.responses.create(model="gpt-5-mini", input="?", tools=tools, stream=True))
        else:
            client.responses.create(model="gpt-5-mini", input="?", tools=tools)


def anthropic(server: ModelServer, *, stream: bool = False) -> None:
    """A message, with a tool of Anthropic's."""
    asked: Any = {
        "model": "claude-opus-4-6",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "?"}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
    }
    with Anthropic(base_url=server.url, api_key="none", max_retries=0, open_telemetry=False) as client:
        if stream:
            list(client.messages.create(**asked, stream=True))
        else:
            client.messages.create(**asked)


def gemini(server: ModelServer, *, stream: bool = False) -> None:
    """A generation, grounded in a search."""
    config = types.GenerateContentConfig(tools=[types.Tool(google_search=types.GoogleSearch())])
    with genai.Client(api_key="none", http_options=types.HttpOptions(base_url=server.url)) as client:
        if stream:
            list(client.models.generate_content_stream(model="gemini-2.5-flash", contents="?", config=config))
        else:
            client.models.generate_content(model="gemini-2.5-flash", contents="?", config=config)


def streamed_response() -> Reply:
    """`searched` as events."""
    *events, last = response_events(OPENAI_USAGE)
    return sse_reply([*events, {**last, "response": searched()}], named=True)


CASES: list[Any] = [
    pytest.param(openai, json_reply(searched()), 0.01, id="OpenAI, a search"),
    pytest.param(
        openai,
        json_reply(response(OPENAI_USAGE, model="gpt-5-mini", output=[*OTHERS, SAID])),
        0.0025,  # and a container, which is billed by its time and size, and said to be unpriced
        id="OpenAI, files and code",
    ),
    pytest.param(lambda s: openai(s, stream=True), streamed_response(), 0.01, id="OpenAI, streamed"),
    pytest.param(
        anthropic, json_reply(message(ANTHROPIC_USAGE, model="claude-opus-4-6", content=FOUND)), 0.02, id="Anthropic"
    ),
    pytest.param(
        lambda s: anthropic(s, stream=True),
        sse_reply(message_events(ANTHROPIC_USAGE), named=True),
        0.02,
        id="Anthropic, streamed",
    ),
    pytest.param(gemini, json_reply(grounded()), 0.035, id="Gemini"),
    pytest.param(lambda s: gemini(s, stream=True), sse_reply([grounded()]), 0.035, id="Gemini, streamed"),
]


@pytest.mark.parametrize(("ask", "reply", "usd"), CASES)
def test_what_the_provider_runs_is_charged_once(
    ask: Callable[[ModelServer], None], reply: Reply, usd: float, telemetry: Telemetry, model_server: ModelServer
) -> None:
    """In the dollars of the model call, at the provider's price: no span, no call and no price of a tool."""
    model_server.replies(reply, reply)
    settings = Settings(tool_prices=PRICES, trace_max_tool_calls=1)
    tracer = telemetry.tracer_provider.get_tracer("application")
    with instrumented(telemetry, settings=settings), tracer.start_as_current_span("agent"):
        ask(model_server)
        ask(model_server)
    assert tool_spans(telemetry) == []
    *models, agent = telemetry.spans
    costs = [dict(span.attributes or {}) for span in models]
    assert [cost[semconv.COST_TOOL] for cost in costs] == [pytest.approx(usd)] * 2
    whole = sum(float(str(cost[semconv.COST])) for cost in costs)
    said = dict(agent.attributes or {})
    assert said[semconv.TRACE_COST] == pytest.approx(whole)
    assert said[semconv.TRACE_LLM_COST] == pytest.approx(whole)
    assert (said[semconv.TRACE_TOOL_CALLS], said[semconv.TRACE_TOOL_COST]) == (0, 0)
    assert telemetry.total("agentcost.cost") == pytest.approx(whole)
    assert whole < 1


def test_a_tool_of_the_applications_own_of_the_same_name_is_one(
    telemetry: Telemetry, model_server: ModelServer
) -> None:
    """It has its own price, and counts in the limit of tool calls, beside what the provider runs."""
    model_server.replies(*[json_reply(searched())] * 3)
    settings = Settings(tool_prices=PRICES, trace_max_tool_calls=1)
    tracer = telemetry.tracer_provider.get_tracer("application")
    with instrumented(telemetry, settings=settings), tracer.start_as_current_span("agent"):
        openai(model_server)
        with tool_call("web_search"):
            pass
        openai(model_server)
        with tool_call("web_search"):
            pass
        with pytest.raises(BudgetExceeded):
            openai(model_server)
    said = telemetry.attributes("agent")
    assert (said[semconv.TRACE_TOOL_CALLS], said[semconv.TRACE_TOOL_COST]) == (2, 10.0)
