"""Tools that run at the provider: counted, free by a table with sources, or named. None is passed over in silence."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agentcost.core.call import Answer
from otel_agentcost.core.tool_counters import FREE_COUNTERS
from otel_agentcost.wire import provider_tools
from otel_agentcost.wire.anthropic_messages import server_tools
from tests.wire.reading import chat, streamed, used, whole

TOKENS = {"input_tokens": 10, "output_tokens": 5}
PLAIN = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def named(answer: Answer) -> str:
    used(answer)
    return answer.uncounted or ""


# --- OpenAI's responses, and those of others in this format ---


def responses(*items: dict[str, Any], usage: dict[str, Any] | None = None, **more: Any) -> list[Answer]:
    """The answer with these output items, whole and streamed."""
    body = {"model": "gpt-5.4", "status": "completed", "output": list(items), "usage": usage or TOKENS, **more}
    return [
        whole("openai_responses", body),
        streamed("openai_responses", [{"type": "response.completed", "response": body}]),
    ]


@pytest.mark.parametrize("kind", ["video_generation_call", "browser_call", "program", "openrouter:datetime"])
def test_an_output_item_that_is_not_known_is_not_passed_over(kind: str) -> None:
    """Whatever a provider adds next may be billed."""
    for answer in responses({"type": "message"}, {"type": kind}):
        assert named(answer) == f"the price of {kind} is not known"


@pytest.mark.parametrize("kind", sorted(provider_tools.FREE_ITEMS))
def test_what_is_known_to_be_free_is_not_named(kind: str) -> None:
    """A note that is always there would be no note."""
    for answer in responses({"type": kind}):
        assert named(answer) == ""


def test_a_shell_in_a_container_is_not_free() -> None:
    """A local shell runs in the application; a container is billed by its time."""
    local, hosted = {"type": "local"}, {"type": "container_reference", "container_id": "c"}
    for answer in responses({"type": "shell_call", "environment": local}):
        assert named(answer) == ""
    for answer in responses({"type": "shell_call", "environment": hosted}):
        assert named(answer) == "the price of shell_call in a container is not known"


def test_a_tool_in_tool_usage_that_is_not_known_is_not_passed_over() -> None:
    """Families without usage have zeros, which say nothing."""
    tools = {"web_search": {"num_requests": 1}, "deep_crawl": {"pages": 3}, "maps": {"num_requests": 0}}
    for answer in responses({"type": "web_search_call", "status": "completed"}, tool_usage=tools):
        assert used(answer).counts["web_searches"] == 1
        assert named(answer) == "the price of deep_crawl is not known"


def test_xais_tools_are_counted_once() -> None:
    """Its counters leave out what is not billed; the items of the output repeat them."""
    details = {"web_search_calls": 2, "x_search_calls": 3, "mcp_calls": 4, "hologram_calls": 1}
    usage = {**TOKENS, "server_side_tool_usage_details": details, "num_server_side_tools_used": 10}
    items = [{"type": "web_search_call", "status": "completed"}] * 3 + [{"type": "x_search_call"}]
    for answer in responses(*items, usage=usage):
        counts = used(answer).counts
        assert (counts["web_searches"], counts["social_searches"]) == (2, 3)
        assert named(answer) == "the price of hologram_calls is not known"
    for answer in responses({"type": "x_search_call"}):
        assert used(answer).counts["social_searches"] == 1


# --- chats ---


@pytest.mark.parametrize(
    ("usage", "kind", "number", "name"),
    [
        ({"server_tool_use": {"web_search_requests": 2}}, "web_searches", 2, ""),
        ({"server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 3}}, "web_searches", 0, ""),
        ({"server_tool_use": {"teleport_requests": 1}}, "web_searches", 0, "teleport_requests"),
        ({"server_side_tool_usage_details": {"x_search_calls": 3}}, "social_searches", 3, ""),
        ({"server_side_tool_usage_details": {"code_interpreter_calls": 1}}, "code_executions", 1, ""),
        ({"server_tool_use": {"web_search_requests": 2.0}}, "web_searches", 2, ""),
        ({"server_tool_use": {"web_search_requests": "2"}}, "web_searches", 2, ""),
        ({"server_tool_use": {"web_search_requests": -2}}, "web_searches", 0, ""),
        ({"num_sources_used": 7}, "web_searches", 0, "live search sources"),
        ({"connectors": {"web_search": 1}}, "web_searches", 1, ""),
        ({"connectors": {"web_search_premium": 1}, "connector_tokens": 9}, "", 0, "connector tokens"),
        ({"plugins": {"search": {"count": 1, "strategy": "turbo"}}}, "", 0, "search"),
        ({"tool_calls_details": {"fetch_url": {"invocation": 2}}}, "", 0, "fetch_url"),
        ({"server_tool_use": None, "connectors": {}, "plugins": "n/a"}, "", 0, ""),
    ],
)
def test_a_counter_of_tools_in_a_chat_is_not_passed_over(
    usage: dict[str, Any], kind: Any, number: int, name: str
) -> None:
    """Of xAI, Anthropic behind a gateway, Mistral's agents, DashScope, Perplexity; whole and streamed."""
    body = chat({**PLAIN, **usage})
    for answer in (whole("openai_chat", body), streamed("openai_chat", [body])):
        assert used(answer).counts.get(kind, 0) == number
        assert name in named(answer) if name else not named(answer)


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ({"executed_tools": [{"type": "search", "index": 0}]}, "search"),  # Groq's compound
        ({"tool_calls": [{"type": "builtin_function", "function": {"name": "$web_search"}}]}, "$web_search"),
        ({"tool_calls": [{"type": "web_search", "web_search": {}}]}, "web_search"),
        ({"tool_calls": [{"type": "function", "function": {"name": "f", "arguments": ""}}]}, ""),
        ({"tool_calls": [{"type": "custom", "custom": {"name": "f", "input": ""}}]}, ""),
        ({"content": "hello"}, ""),
    ],
)
def test_a_tool_in_a_message_that_ran_at_the_provider_is_not_passed_over(message: dict[str, Any], name: str) -> None:
    """The application executes functions and custom tools; all else was executed already."""
    choice = {"index": 0, "finish_reason": "stop"}
    answers = (
        whole("openai_chat", {**chat(PLAIN), "choices": [{**choice, "message": message}]}),
        streamed("openai_chat", [{**chat(PLAIN), "choices": [{**choice, "delta": message}]}]),
    )
    for answer in answers:
        assert named(answer) == (f"the price of {name} is not known" if name else "")


def test_the_results_of_a_search_beside_a_chat_are_not_passed_over() -> None:
    """GLM's search tool reports its results, and no count."""
    found = [{"title": "Bees", "link": "http://x"}]
    assert "web_search" in named(whole("openai_chat", chat(PLAIN, web_search=found)))
    assert named(whole("openai_chat", chat(PLAIN, web_search=[]))) == ""


# --- Anthropic ---


def messages(
    *blocks: dict[str, Any], usage: dict[str, Any] | None = None, container: Any = None, tools: Any = ()
) -> list[Answer]:
    """The answer with these blocks, whole and streamed."""
    counted, body = {**TOKENS, **(usage or {})}, {"tools": list(tools)}
    message = {"model": "claude-sonnet-4-5", "content": list(blocks), "usage": counted, "container": container}
    started = {**message, "content": [], "usage": TOKENS, "container": None}
    events = [
        {"type": "message_start", "message": started},
        *({"type": "content_block_start", "index": 0, "content_block": block} for block in blocks),
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "container": container}, "usage": counted},
    ]
    return [whole("anthropic_messages", message, body), streamed("anthropic_messages", events, body)]


@pytest.mark.parametrize("tool", ["teleport", "bash_code_execution", "code_execution"])
def test_a_server_tool_that_is_not_known_to_be_free_is_not_passed_over(tool: str) -> None:
    """Code execution is billed by the hour of its container, and the response does not say how long that runs."""
    for answer in messages({"type": "server_tool_use", "name": tool}):
        assert named(answer) == f"the price of {tool if tool == 'teleport' else server_tools.CONTAINER} is not known"


def test_a_container_is_not_free() -> None:
    """Skills and code execution leave one in the message; web search of 2026 makes it free."""
    container = {"id": "container_1", "expires_at": "2026-11-29T00:00:00Z"}
    for answer in messages(container=container):
        assert server_tools.CONTAINER in named(answer)
    for answer in messages(container=container, tools=[{"type": "web_search_20260209", "name": "web_search"}]):
        assert named(answer) == ""


def test_a_counter_of_server_tools_that_is_not_known_is_not_passed_over() -> None:
    """Web searches have a price, fetched pages are free."""
    for answer in messages(usage={"server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 3}}):
        assert (used(answer).counts["web_searches"], named(answer)) == (2, "")
    for answer in messages(usage={"server_tool_use": {"teleport_requests": 1}}):
        assert named(answer) == "the price of teleport_requests is not known"
    for answer in messages(usage={"server_tool_use": {"code_execution_requests": 1}}):
        assert server_tools.CONTAINER in named(answer)


@pytest.mark.parametrize("tool", sorted(server_tools.FREE_TOOLS))
def test_a_free_server_tool_is_not_named(tool: str) -> None:
    """So are the application's own tools, and those of MCP servers."""
    blocks = ({"type": "server_tool_use", "name": tool}, {"type": "tool_use", "name": "f"}, {"type": "mcp_tool_use"})
    for answer in messages(*blocks):
        assert named(answer) == ""
    for answer in messages({"type": "quantum_tool_use"}):
        assert named(answer) == "the price of quantum_tool_use is not known"


# --- Gemini ---

COUNTED = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
MAPS = "the price of Google Maps grounding is not known"


def gemini(grounding: Any, *, model: str = "gemini-2.5-flash", parts: Any = (), tools: Any = ()) -> list[Answer]:
    """The answer with this grounding, whole and streamed."""
    candidate = {"content": {"parts": list(parts)}, "finishReason": "STOP", "groundingMetadata": grounding}
    body = {"candidates": [candidate], "usageMetadata": COUNTED, "modelVersion": model}
    asked = {"tools": list(tools)}
    return [whole("gemini", body, asked), streamed("gemini", [body], asked)]


@pytest.mark.parametrize(
    "grounding",
    [
        {"groundingChunks": [{"maps": {"placeId": "places/x"}}], "googleMapsWidgetContextToken": "t"},
        {"groundingChunks": [{"maps": {"placeId": "places/x"}}]},
        {"googleMapsWidgetContextToken": "t"},
        {"grounding_chunks": [{"maps": {"place_id": "places/x"}}]},
    ],
)
@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3-flash-preview"])
def test_google_maps_grounding_is_not_free(grounding: Any, model: str) -> None:
    """25 dollars for a thousand prompts, which the price book cannot say."""
    for answer in gemini(grounding, model=model):
        assert named(answer) == MAPS


def test_maps_beside_a_search_do_not_hide_each_other() -> None:
    """The search has its price, the maps have their name."""
    both = {"webSearchQueries": ["bees"], "groundingChunks": [{"web": {"uri": "u"}}, {"maps": {"placeId": "p"}}]}
    for answer in gemini(both):
        assert (used(answer).counts["web_searches"], named(answer)) == (1, MAPS)


@pytest.mark.parametrize(
    ("grounding", "name"),
    [
        ({"groundingChunks": [{"retrievedContext": {"uri": "u"}}]}, "retrieval grounding"),
        ({"retrievalQueries": ["q"]}, "retrieval grounding"),
        ({"imageSearchQueries": ["q"]}, "image search"),
        ({"groundingChunks": [{"image": {"sourceUri": "u"}}]}, "image search"),
        ({"groundingChunks": [{"satellite": {"uri": "u"}}]}, "satellite (grounding)"),
        ({"satelliteQueries": ["q"]}, "satellitequeries (grounding)"),
        ({"groundingSupports": [{}], "searchEntryPoint": {"renderedContent": "x"}, "retrievalMetadata": {}}, ""),
        ({}, ""),
        (None, ""),
    ],
)
def test_grounding_that_is_not_known_to_be_free_is_not_passed_over(grounding: Any, name: str) -> None:
    """Whatever a provider adds next may be billed."""
    for answer in gemini(grounding):
        assert named(answer) == (f"the price of {name} is not known" if name else "")
        assert "web_searches" not in used(answer).counts


def test_a_file_search_is_not_named() -> None:
    """The Gemini API bills what it retrieves as tokens only; Vertex bills its retrieval."""
    grounding = {"groundingChunks": [{"retrievedContext": {"fileSearchStore": "s"}}]}
    for answer in gemini(grounding, tools=[{"fileSearch": {"fileSearchStoreNames": ["s"]}}]):
        assert named(answer) == ""
    for answer in gemini(grounding, tools=[{"retrieval": {"vertexAiSearch": {}}}]):
        assert named(answer) == "the price of retrieval grounding is not known"


def test_another_web_search_is_not_billed_as_googles() -> None:
    """Vertex's search for enterprises has a price of its own."""
    grounding = {"webSearchQueries": ["bees"], "groundingChunks": [{"web": {"uri": "u"}}]}
    for answer in gemini(grounding, tools=[{"enterpriseWebSearch": {}}]):
        assert "web_searches" not in used(answer).counts
        assert named(answer) == "the price of enterprise web search is not known"
    for answer in gemini(grounding, tools=[{"googleSearch": {}}]):
        assert (used(answer).counts["web_searches"], named(answer)) == (1, "")


def test_web_results_without_queries_are_not_free() -> None:
    """Gemini 2.5 bills the prompt; of Gemini 3 the number of queries is missing."""
    grounding = {"groundingChunks": [{"web": {"uri": "u"}}]}
    for answer in gemini(grounding):
        assert (used(answer).counts["web_searches"], named(answer)) == (1, "")
    for answer in gemini(grounding, model="gemini-3-flash-preview"):
        assert "web_searches" not in used(answer).counts
        assert "web searches (their number is not reported)" in named(answer)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("GOOGLE_SEARCH_WEB", ""),
        ("URL_CONTEXT", ""),
        ("FILE_SEARCH", ""),
        ("GOOGLE_MAPS", "Google Maps grounding"),
        ("MEDIA_PROCESSING", "MEDIA_PROCESSING"),
    ],
)
def test_a_tool_call_at_google_is_not_passed_over(kind: str, name: str) -> None:
    """Parts of Gemini 3's answers say which of Google's tools ran."""
    for answer in gemini(None, parts=[{"toolCall": {"toolType": kind}}, {"executableCode": {"code": "1"}}]):
        assert named(answer) == (f"the price of {name} is not known" if name else "")


# --- streams that were cut off ---


def test_tools_of_a_stream_that_was_cut_off_are_not_lost() -> None:
    """Its tokens are estimated, and what its tools did until then is counted or named as in a whole one."""
    item = {"type": "response.output_item.done", "item": {"type": "file_search_call"}}
    unknown = {"type": "response.output_item.done", "item": {"type": "browser_call"}}
    answer = streamed("openai_responses", [item, unknown], {"model": "gpt-4.1", "input": "bees"}, complete=False)
    assert (used(answer).counts["storage_searches"], named(answer)) == (1, "the price of browser_call is not known")
    search = {"type": "server_tool_use", "name": "web_search"}
    events = [
        {"type": "message_start", "message": {"model": "claude-sonnet-4-5", "usage": TOKENS}},
        *({"type": "content_block_start", "content_block": block} for block in (search, search)),
        {"type": "content_block_start", "content_block": {"type": "server_tool_use", "name": "teleport"}},
    ]
    answer = streamed("anthropic_messages", events, complete=False)
    assert (used(answer).counts["web_searches"], named(answer)) == (2, "the price of teleport is not known")
    chunk = {"candidates": [{"content": {"parts": [{"text": "b"}]}, "groundingMetadata": {"webSearchQueries": ["q"]}}]}
    answer = streamed("gemini", [{**chunk, "modelVersion": "gemini-2.5-flash"}], complete=False)
    assert used(answer).estimated
    assert used(answer).counts["web_searches"] == 1


# --- the tables ---


def test_every_row_of_what_is_free_says_why() -> None:
    """A page, or the one word that explains it."""
    for table in (FREE_COUNTERS, provider_tools.FREE_ITEMS, server_tools.FREE_TOOLS):
        assert all("https://" in reason or reason == "tokens" for reason in table.values())


def test_names_of_a_provider_do_not_grow_without_bound() -> None:
    """They become an attribute of spans and metrics."""
    reason = provider_tools.unknown(["x" * 1000, *(f"tool_{number:03}" for number in range(100))])
    assert reason is not None
    assert len(reason) < 200


@pytest.mark.parametrize(
    "body",
    [
        {"model": "openai/gpt-4o-mini:online"},
        {"model": "openai/gpt-4o-mini", "plugins": [{"id": "web", "max_results": 3}]},
        {"model": "openai/gpt-4o-mini", "plugins": [{"id": "file-parser", "pdf": {"engine": "mistral-ocr"}}]},
    ],
)
def test_a_plugin_that_only_the_request_names_is_not_free(body: dict[str, Any]) -> None:
    """OpenRouter bills it, and its response may not say so. One that is turned off, or not billed, has no name."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    assert "(plugin) is not known" in (whole("openai_chat", chat(usage), body).uncounted or "")
    off = {"model": "m", "plugins": [{"id": "web", "enabled": False}, {"id": "response-healing"}]}
    assert whole("openai_chat", chat(usage), off).uncounted is None
