"""OpenAI's Agents SDK: function tools in an agent's runs, agents as tools, handoffs, MCP servers, and hosted tools."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost import BudgetExceeded, Settings, tool
from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import counted, one_call, priced, repeats, tool_spans
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import response

agents: Any = pytest.importorskip("agents", reason="openai-agents is not here: `make frameworks`")

pytestmark = pytest.mark.filterwarnings("default")  # what frameworks warn of is not what these tests are about

SERVER = Path(__file__).with_name("pages_server.py")


@pytest.fixture(autouse=True)
def no_traces() -> None:
    """The framework's own traces would go to the network."""
    agents.set_tracing_disabled(True)


def called(call_id: str = "call_1", *, tool: str = "search", arguments: str = '{"query": "bees"}') -> Any:
    """What the model says when it calls a tool."""
    responses: Any = pytest.importorskip("openai.types.responses")
    return responses.ResponseFunctionToolCall(
        id=f"fc_{call_id}", call_id=call_id, name=tool, arguments=arguments, type="function_call"
    )


def said(text: str) -> Any:
    """What the model says to the user."""
    responses: Any = pytest.importorskip("openai.types.responses")
    content = responses.ResponseOutputText(text=text, type="output_text", annotations=[])
    return responses.ResponseOutputMessage(
        id="msg_1", type="message", role="assistant", status="completed", content=[content]
    )


def model(*turns: list[Any]) -> Any:
    """A model that says this, turn by turn, and is then done."""
    left = iter(turns)

    class Scripted(agents.Model):  # type: ignore[misc]
        async def get_response(self, *_: Any, **__: Any) -> Any:
            return agents.ModelResponse(output=next(left, [said("done")]), usage=agents.Usage(), response_id=None)

        def stream_response(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

    return Scripted()


async def run(tools: list[Any], *turns: list[Any], **more: Any) -> str:
    """A run of an agent with these tools, whose model says this."""
    agent = agents.Agent(name="researcher", model=model(*turns), tools=tools, **more)
    return str((await agents.Runner.run(agent, "Hi")).final_output)


def find(query: str) -> str:
    """Finds pages."""
    return f"pages on {query}"


def fail(query: str) -> str:
    """Finds none."""
    raise KeyError(query)


def search(function: Any = find, **more: Any) -> Any:
    """The tool `search`."""
    return agents.function_tool(function, name_override="search", **more)


def tells_failures() -> None:
    """Skips where an answer that the framework made of an exception cannot be told from a result."""
    if not hasattr(agents.tool, "maybe_invoke_function_tool_failure_error_function"):
        pytest.skip("this release of openai-agents does not tell failures from results")


async def test_a_call_is_one_span(telemetry: Telemetry) -> None:
    """With the model's id; content only where it is asked for."""
    with priced(telemetry):
        assert await run([search()], [called()]) == "done"
    said = one_call(telemetry)
    assert said[semconv.TOOL_CALL_ID] == "call_1"
    assert semconv.TOOL_ARGUMENTS not in said
    assert semconv.TOOL_RESULT not in said


async def test_an_async_tool_runs_within_its_span(telemetry: Telemetry) -> None:
    """What it does itself, its requests, is beneath the call; and the span shows what was asked and answered."""

    async def find(query: str) -> str:
        with telemetry.tracer_provider.get_tracer("t").start_as_current_span("http"):
            return f"pages on {query}"

    with priced(telemetry, capture_content="SPAN_ONLY"):
        await run([search(find)], [called()])
    said = one_call(telemetry)
    assert said[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'
    assert said[semconv.TOOL_RESULT] == "pages on bees"
    (span,) = tool_spans(telemetry)
    parent, context = telemetry.span("http").parent, span.get_span_context()
    assert parent is not None
    assert context is not None
    assert parent.span_id == context.span_id


async def test_calls_at_the_same_time_are_calls_of_their_own(telemetry: Telemetry) -> None:
    """The model may call several tools at once, or one several times."""
    with priced(telemetry):
        await run([search()], [called(f"call_{n}") for n in range(5)])
    assert counted(telemetry) == (5, 1.25)
    ids = [str((span.attributes or {})[semconv.TOOL_CALL_ID]) for span in tool_spans(telemetry)]
    assert sorted(ids) == [f"call_{n}" for n in range(5)]


@pytest.mark.parametrize("more", [{}, {"failure_error_function": lambda _context, _error: "sorry"}], ids=["", "own"])
async def test_an_exception_that_becomes_an_answer_is_an_error(telemetry: Telemetry, more: Any) -> None:
    """The model is told in words, the framework's or the application's; the call has failed all the same."""
    tells_failures()
    with priced(telemetry):
        assert await run([search(fail, **more)], [called()]) == "done"
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "tool_error"


async def test_an_exception_passes_as_the_framework_passes_it(telemetry: Telemetry) -> None:
    """Without an answer in its place the run ends; the span says what it was."""
    with priced(telemetry), pytest.raises(agents.UserError) as caught:
        await run([search(fail, failure_error_function=None)], [called()])
    assert isinstance(caught.value.__cause__, KeyError)
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "KeyError"


@pytest.mark.parametrize("arguments", ['{"query"', '{"pages": "bees"}'])
async def test_a_tool_whose_arguments_are_refused_has_not_run(telemetry: Telemetry, arguments: str) -> None:
    """The model is told, by the framework: no tool was used."""
    tells_failures()
    with priced(telemetry):
        assert await run([search()], [called(arguments=arguments)], [called("call_2")]) == "done"
    assert counted(telemetry) == (1, 0.25)
    assert telemetry.total("agentcost.cost") == 0.25


async def test_arguments_that_are_no_json_are_shown_as_they_are(telemetry: Telemetry) -> None:
    """A tool that reads them by itself may take what it likes; nothing of ours complains."""

    async def find(_context: Any, _arguments: str) -> str:
        return "pages"

    made = agents.FunctionTool("search", "Finds pages.", {"type": "object", "properties": {}}, find)
    with priced(telemetry, capture_content="SPAN_ONLY"):
        assert await run([made], [called(arguments="bees")]) == "done"
    assert one_call(telemetry)[semconv.TOOL_ARGUMENTS] == '{"input": "bees"}'


async def test_a_tool_that_takes_too_long_is_one_call(telemetry: Telemetry) -> None:
    """It runs in a task of its own then, and what is within it stays within."""

    async def wait(query: str) -> str:
        with telemetry.tracer_provider.get_tracer("t").start_as_current_span("http"):
            await asyncio.sleep(5)
        return query

    with priced(telemetry):
        assert await run([search(wait, timeout=0.01)], [called()]) == "done"
    one_call(telemetry)
    assert telemetry.span("http").parent is not None


async def test_a_price_of_the_function_itself_counts_once(telemetry: Telemetry) -> None:
    """A decorated function that is the framework's tool as well is one call, at the decorator's price."""
    with priced(telemetry):
        await run([search(tool(usd="0.5", name="search")(find))], [called()])
    one_call(telemetry, usd=0.5)


async def test_a_tool_that_was_wrapped_is_one_call(telemetry: Telemetry) -> None:
    """Applications put functions of their own round `on_invoke_tool`."""
    made = search()
    within = made.on_invoke_tool

    async def around(context: Any, arguments: str) -> Any:
        return await within(context, arguments)

    made.on_invoke_tool = around
    with priced(telemetry):
        await run([made], [called()])
    one_call(telemetry)


async def test_the_same_call_again_and_again_is_a_loop(telemetry: Telemetry) -> None:
    """Seen from the tools alone, whatever model the agent has."""
    with priced(telemetry):
        await run([search()], *([called(f"call_{n}")] for n in range(4)))
        assert repeats() == ["repeat"]
    assert counted(telemetry) == (4, 1.0)


async def test_an_agent_that_is_a_tool_is_a_call_with_calls_within(telemetry: Telemetry) -> None:
    """Each counts as what it is, also where both have one name; what the inner one failed at is not the outer's."""
    inner = agents.Agent(name="inner", model=model([called("call_2")]), tools=[search(fail)])
    with priced(telemetry):
        await run([inner.as_tool("search", "Asks.")], [called("call_1", arguments='{"input": "bees"}')])
    assert counted(telemetry) == (2, 0.5)
    within, around = tool_spans(telemetry)
    (agent,) = (span for span in telemetry.spans if span.name == "invoke_agent inner")
    assert (within.parent, agent.parent) == (agent.get_span_context(), around.get_span_context())
    assert semconv.ERROR_TYPE not in (around.attributes or {})


async def test_a_handoff_is_no_tool(telemetry: Telemetry) -> None:
    """It runs nothing: it says whose turn it is."""
    other = agents.Agent(name="other", model=model([called("call_2")]), tools=[search()])
    with priced(telemetry):
        await run([], [called("call_1", tool="transfer_to_other", arguments="{}")], handoffs=[other])
    assert one_call(telemetry)[semconv.TOOL_CALL_ID] == "call_2"


async def test_a_tool_of_an_mcp_server_is_one_call(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Framework, client and server see it."""
    mcp: Any = pytest.importorskip("agents.mcp", reason="openai-agents has no MCP here")
    otel = sys.modules.get("mcp.shared._otel")  # since mcp 2: its spans go to the global provider, which is no test's
    if otel is not None:
        monkeypatch.setattr(otel, "_tracer", telemetry.tracer_provider.get_tracer("mcp-python-sdk"))
    parameters = {"command": sys.executable, "args": [str(SERVER)]}
    with priced(telemetry, capture_content="SPAN_ONLY"):
        async with mcp.MCPServerStdio(parameters, client_session_timeout_seconds=30) as server:
            await run([], [called()], mcp_servers=[server])
    said = one_call(telemetry)
    assert said[semconv.TOOL_CALL_ID] == "call_1"
    assert "pages on bees" in said[semconv.TOOL_RESULT]


@asynccontextmanager
async def openai_model(server: ModelServer) -> AsyncGenerator[Any]:
    """OpenAI's responses API, of the test's server."""
    openai: Any = pytest.importorskip("openai")
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield agents.OpenAIResponsesModel("gpt-4o-mini", client)


@pytest.mark.parametrize("raises", [False, True])
async def test_a_refusal_within_a_tool(telemetry: Telemetry, model_server: ModelServer, *, raises: bool) -> None:
    """An agent that asks another one, which may not call its model again: the framework makes an answer of what is
    raised, or passes it on.
    """
    model_server.replies(json_reply(response()))
    async with openai_model(model_server) as asked:

        async def ask(query: str) -> str:
            inner = agents.Agent(name="inner", model=asked)
            return str((await agents.Runner.run(inner, query)).final_output)

        made = search(ask, failure_error_function=None) if raises else search(ask)
        with priced(telemetry, trace_max_llm_calls=1):
            running = run([made], [called("call_1")], [called("call_2")])
            if raises:
                with pytest.raises(agents.UserError) as caught:
                    await running
                assert isinstance(caught.value.__cause__, BudgetExceeded)
            else:
                assert await running == "done"
    assert counted(telemetry) == (2, 0.5)


async def test_hosted_tools_are_the_providers(telemetry: Telemetry, model_server: ModelServer) -> None:
    """They run there, and are on the model call's bill: no call of ours, even where somebody set a price by name."""
    found = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "a"}}
    reply = response(tool_usage={"web_search": {"num_requests": 1}})
    model_server.replies(json_reply({**reply, "output": [found, *reply["output"]]}))
    prices: Any = {"web_search*": "1"}
    tracer = telemetry.tracer_provider.get_tracer("application")
    with instrumented(telemetry, settings=Settings(tool_prices=prices)), tracer.start_as_current_span("agent"):
        async with openai_model(model_server) as asked:
            agent = agents.Agent(name="researcher", model=asked, tools=[agents.WebSearchTool()])
            await agents.Runner.run(agent, "Hi")
    assert tool_spans(telemetry) == []
    assert telemetry.attributes("agent")[semconv.TRACE_TOOL_CALLS] == 0
    assert 0.01 < telemetry.total("agentcost.cost") < 0.02
