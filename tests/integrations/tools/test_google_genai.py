"""google-genai: the functions that automatic function calling calls, in the very loop that the SDK makes of them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from otel_agentcost import BudgetExceeded, tool
from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import counted, one_call, priced, tool_spans
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply, sse_reply
from tests.support.replies import content

genai: Any = pytest.importorskip("google.genai", reason="google-genai is not here: `make frameworks`")

MODEL = "gemini-2.5-flash"
SERVER = """
try:
    from mcp.server.mcpserver import MCPServer as Server
except ImportError:
    from mcp.server.fastmcp import FastMCP as Server
server = Server("pages")

@server.tool()
def search(query: str) -> str:
    return f"pages on {query}"

server.run()
"""


def calls(*queries: str, ids: bool = True) -> dict[str, Any]:
    """An answer of the model that calls `search`, once for each of `queries`, in parallel."""
    parts: list[Any] = []
    for query in queries:
        call: dict[str, Any] = {"name": "search", "args": {"query": query}}
        parts.append({"functionCall": {**call, "id": f"call_{query}"} if ids else call})
    return content(parts=parts)


CALL, DONE = json_reply(calls("bees")), json_reply(content())


def a_tool(function: Callable[..., Any]) -> Any:
    """`function`, as a tool called `search`. Older releases want types there, and no names of types."""
    function.__annotations__ = get_type_hints(function)
    function.__name__ = "search"
    return function


@a_tool
def search(query: str) -> str:
    """Finds pages."""
    return f"pages on {query}"


def client_of(server: ModelServer) -> Any:
    """A client that talks to the local server."""
    return genai.Client(api_key="none", http_options={"base_url": server.url})


def ask(server: ModelServer, *replies: Reply, using: Any = search) -> Any:
    """One question, and whatever the SDK makes of it."""
    server.replies(*(replies or (CALL, DONE)))
    config = {"tools": [using]}
    client = client_of(server)
    return client.models.generate_content(model=MODEL, contents="?", config=config)


async def closed(client: Any) -> None:
    """Closes the connections of an asynchronous client, which older releases cannot."""
    close = getattr(client.aio, "aclose", None)
    if close is not None:
        await close()


async def ask_async(server: ModelServer, *replies: Reply, using: Any = search) -> Any:
    """The same of an asynchronous client."""
    server.replies(*(replies or (CALL, DONE)))
    config = {"tools": [using]}
    client = client_of(server)
    answer = await client.aio.models.generate_content(model=MODEL, contents="?", config=config)
    await closed(client)
    return answer


def test_a_function_that_the_model_called_is_one_span(telemetry: Telemetry, model_server: ModelServer) -> None:
    """With the id of the model's call; content only where it is asked for."""
    with priced(telemetry):
        assert ask(model_server).text == "Forty-two."
    said = one_call(telemetry)
    assert said[semconv.TOOL_CALL_ID] == "call_bees"
    assert semconv.TOOL_ARGUMENTS not in said
    assert "pages on bees" in model_server.requests[1].body.decode()


def test_content_is_on_the_span_where_it_is_captured(telemetry: Telemetry, model_server: ModelServer) -> None:
    """What the function was called with, and what it returned; and a call without an id has none."""
    with priced(telemetry, capture_content="SPAN_ONLY"):
        ask(model_server, json_reply(calls("bees", ids=False)), DONE)
    said = one_call(telemetry)
    assert said[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'
    assert said[semconv.TOOL_RESULT] == "pages on bees"
    assert semconv.TOOL_CALL_ID not in said


@a_tool
async def a_coroutine(query: str) -> str:
    """Finds pages."""
    return f"pages on {query}"


@pytest.mark.parametrize("using", [search, a_coroutine], ids=["in a thread", "a coroutine"])
async def test_so_is_one_of_an_asynchronous_client(using: Any, telemetry: Telemetry, model_server: ModelServer) -> None:
    """Newer releases run a function that is not async in a thread: it is the same call there."""
    with priced(telemetry, capture_content="SPAN_ONLY"):
        await ask_async(model_server, using=using)
    said = one_call(telemetry)
    assert (said[semconv.TOOL_CALL_ID], said[semconv.TOOL_RESULT]) == ("call_bees", "pages on bees")


async def chat(client: Any, config: Any) -> None:
    """In a chat, streamed."""
    talk = client.aio.chats.create(model=MODEL, config=config)
    async for _ in await talk.send_message_stream("?"):
        pass
    await closed(client)


async def stream(client: Any, config: Any) -> None:
    """Streamed, of a synchronous client."""
    list(client.models.generate_content_stream(model=MODEL, contents="?", config=config))


@pytest.mark.parametrize("use", [chat, stream], ids=["chat", "stream"])
async def test_streams_and_chats_call_in_the_same_way(
    use: Callable[[Any, Any], Awaitable[None]], telemetry: Telemetry, model_server: ModelServer
) -> None:
    """Once, whichever method began it."""
    model_server.replies(sse_reply([calls("bees")]), sse_reply([content()]))
    config = {"tools": [search]}
    with priced(telemetry):
        await use(client_of(model_server), config)
    assert one_call(telemetry)[semconv.TOOL_CALL_ID] == "call_bees"


async def test_calls_of_one_answer_are_a_span_each(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Each with its own id."""
    with priced(telemetry):
        await ask_async(model_server, json_reply(calls("bees", "ants", "bees")), DONE)
        ask(model_server, json_reply(calls("wasps")), DONE)
    ids = [(span.attributes or {})[semconv.TOOL_CALL_ID] for span in tool_spans(telemetry)]
    assert ids == ["call_bees", "call_ants", "call_bees", "call_wasps"]
    assert counted(telemetry) == (4, 1.0)


def test_an_error_that_the_model_is_told_of_is_an_error(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The SDK makes an answer of it; the call has failed all the same."""

    @a_tool
    def fail(query: str) -> str:
        """Finds pages."""
        raise KeyError(query)

    with priced(telemetry):
        ask(model_server, using=fail)
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "google.genai.errors.FunctionInvocationError"
    (span,) = tool_spans(telemetry)
    assert span.status.status_code.name == "ERROR"


def test_a_price_of_the_function_itself_counts_once(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A decorated function is one call, at the decorator's price."""
    with priced(telemetry):
        ask(model_server, using=tool(usd="0.5")(search))
    one_call(telemetry, usd=0.5)


def test_a_function_that_asks_a_model_itself_keeps_ids_apart(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Loops within a loop."""

    @a_tool
    def outer(query: str) -> str:
        """Asks somebody else."""
        return str(ask(model_server, json_reply(calls(f"inner {query}")), DONE).text)

    model_server.responder = lambda _: DONE
    with priced(telemetry):
        ask(model_server, json_reply(calls("bees", "ants")), using=outer)
    assert counted(telemetry)[0] == 4
    ids = {str((span.attributes or {}).get(semconv.TOOL_CALL_ID)) for span in tool_spans(telemetry)}
    assert {"call_bees", "call_inner bees", "call_inner ants"} <= ids


def test_the_same_call_again_and_again_is_a_loop(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Seen in the conversation and by the function: counted once in both."""
    with priced(telemetry):
        ask(model_server, *[CALL] * 4, DONE)
    found = [event for span in telemetry.spans for event in span.events if event.name == semconv.E_LOOP]
    assert [(event.attributes or {})[semconv.LOOP_RULE] for event in found] == ["repeat"]
    assert counted(telemetry) == (4, 1.0)


def test_calls_count_in_budgets(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The model is not asked again once the calls are used up; the functions themselves are never stopped."""
    with priced(telemetry, trace_max_tool_calls=2), pytest.raises(BudgetExceeded):
        ask(model_server, *[CALL] * 4, DONE)
    assert counted(telemetry) == (3, 0.75)


def test_threads_do_not_mix_their_ids(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Two loops at once, in two threads."""
    model_server.responder = lambda request: (
        DONE
        if b"functionResponse" in request.body
        else json_reply(calls(request.json["contents"][0]["parts"][0]["text"]))
    )

    def one(query: str) -> None:
        config = {"tools": [search]}
        client = client_of(model_server)
        client.models.generate_content(model=MODEL, contents=query, config=config)

    with priced(telemetry, capture_content="SPAN_ONLY"):
        threads = [threading.Thread(target=one, args=(f"q{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for span in tool_spans(telemetry):
        said = span.attributes or {}
        query = str(said[semconv.TOOL_CALL_ID]).removeprefix("call_")
        assert said[semconv.TOOL_ARGUMENTS] == f'{{"query": "{query}"}}'
    assert len(tool_spans(telemetry)) == 4


async def test_a_tool_of_an_mcp_server_is_one_call(
    telemetry: Telemetry, model_server: ModelServer, tmp_path: Path
) -> None:
    """A session given as a tool: the SDK calls it through mcp, where it is seen."""
    mcp: Any = pytest.importorskip("mcp", reason="mcp is not here: `make frameworks`")
    stdio: Any = pytest.importorskip("mcp.client.stdio", reason="mcp is not here: `make frameworks`")
    script = tmp_path / "server.py"
    script.write_text(SERVER, encoding="utf-8")
    parameters = mcp.StdioServerParameters(command=sys.executable, args=[str(script)])
    with priced(telemetry):
        async with stdio.stdio_client(parameters) as (read, write), mcp.ClientSession(read, write) as session:
            await session.initialize()
            await ask_async(model_server, using=session)
    one_call(telemetry)
    assert "pages on bees" in model_server.requests[1].body.decode()
