"""pydantic-ai: tools of an agent's runs, with and without its own spans, those of MCP servers and of the provider."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
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

WHY = "pydantic-ai is not here: `make frameworks`"
ai: Any = pytest.importorskip("pydantic_ai", reason=WHY)
function: Any = pytest.importorskip("pydantic_ai.models.function", reason=WHY)
messages: Any = pytest.importorskip("pydantic_ai.messages", reason=WHY)

pytestmark = pytest.mark.filterwarnings("default")  # what frameworks warn of is not what these tests are about

SERVER = Path(__file__).with_name("pages_server.py")


def called(call_id: str = "call_1", *, tool: str = "search", **arguments: Any) -> Any:
    """What the model says when it calls a tool."""
    return messages.ToolCallPart(tool, arguments or {"query": "bees"}, tool_call_id=call_id)


def model(*turns: list[Any]) -> Any:
    """A model that says this, turn by turn, and is then done."""
    left = iter(turns)

    def answer(_messages: Any, _info: Any) -> Any:
        return messages.ModelResponse(parts=next(left, [messages.TextPart("done")]))

    return function.FunctionModel(answer)


def search(query: str) -> str:
    """Finds pages."""
    return f"pages on {query}"


@pytest.fixture(params=[False, True], ids=["", "with its own spans"])
def spans(request: pytest.FixtureRequest, telemetry: Telemetry) -> Generator[bool]:
    """Whether pydantic-ai makes spans by itself, of which the tests then see the same."""
    with own_spans(telemetry) if request.param else no_spans():
        yield request.param


@contextmanager
def own_spans(telemetry: Telemetry) -> Generator[None]:
    """pydantic-ai instruments itself."""
    settings = pytest.importorskip("pydantic_ai.models.instrumented").InstrumentationSettings
    ai.Agent.instrument_all(settings(tracer_provider=telemetry.tracer_provider, include_content=False))
    try:
        yield
    finally:
        ai.Agent.instrument_all(False)


@contextmanager
def no_spans() -> Generator[None]:
    yield


def whose(telemetry: Telemetry) -> str:
    """Who made the span of the only call."""
    (span,) = tool_spans(telemetry)
    assert span.instrumentation_scope is not None
    return span.instrumentation_scope.name


async def test_a_call_is_one_span(telemetry: Telemetry, *, spans: bool) -> None:
    """pydantic-ai's where it makes one, else ours, with the model's id; content only where it is asked for."""
    with priced(telemetry):
        await ai.Agent(model([called()]), tools=[search]).run("Hi")
    said = one_call(telemetry)
    assert said[semconv.TOOL_CALL_ID] == "call_1"
    assert semconv.TOOL_ARGUMENTS not in said
    assert semconv.TOOL_RESULT not in said
    assert whose(telemetry) == ("pydantic-ai" if spans else "otel_agentcost")


async def test_an_async_tool_runs_within_its_span(telemetry: Telemetry, *, spans: bool) -> None:
    """What it does itself, its requests, is beneath the call; and the span shows what was asked and answered."""

    async def search(query: str) -> str:
        with telemetry.tracer_provider.get_tracer("t").start_as_current_span("http"):
            return f"pages on {query}"

    with priced(telemetry, capture_content="SPAN_ONLY"):
        await ai.Agent(model([called()]), tools=[search]).run("Hi")
    said = one_call(telemetry)
    assert said[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'
    assert said[semconv.TOOL_RESULT] == "pages on bees"
    (span,) = tool_spans(telemetry)
    parent, context = telemetry.span("http").parent, span.get_span_context()
    assert parent is not None
    assert context is not None
    assert parent.span_id == context.span_id


@pytest.mark.usefixtures("spans")
async def test_calls_at_the_same_time_are_calls_of_their_own(telemetry: Telemetry) -> None:
    """The model may call several tools at once, or one several times."""
    with priced(telemetry):
        await ai.Agent(model([called(f"call_{n}", query=str(n)) for n in range(5)]), tools=[search]).run("Hi")
    assert counted(telemetry) == (5, 1.25)
    said = [dict(span.attributes or {}) for span in tool_spans(telemetry)]
    assert sorted(str(one[semconv.TOOL_CALL_ID]) for one in said) == [f"call_{n}" for n in range(5)]


@pytest.mark.usefixtures("spans")
async def test_a_retry_is_an_error_and_a_call(telemetry: Telemetry) -> None:
    """`ModelRetry` is an answer to the model: the call has failed, and the next one is another."""
    asked: list[str] = []

    def search(query: str) -> str:
        asked.append(query)
        if len(asked) == 1:
            raise ai.ModelRetry("say which bees")
        return query

    agent = ai.Agent(model([called("call_1")], [called("call_2", query="wild bees")]), tools=[search])
    with priced(telemetry):
        await agent.run("Hi")
    assert asked == ["bees", "wild bees"]
    assert counted(telemetry) == (2, 0.5)
    errors = [dict(span.attributes or {}).get(semconv.ERROR_TYPE) for span in tool_spans(telemetry)]
    assert errors == ["pydantic_ai.exceptions.ModelRetry", None]


@pytest.mark.usefixtures("spans")
@pytest.mark.parametrize("wrong", [called(pages="bees"), called(tool="serch")], ids=["arguments", "name"])
async def test_what_pydantic_ai_refuses_has_not_run(telemetry: Telemetry, wrong: Any) -> None:
    """Arguments that do not fit, or no such tool: the model is told, and no tool was used."""
    with priced(telemetry):
        await ai.Agent(model([wrong], [called("call_2")]), tools=[search]).run("Hi")
    assert counted(telemetry) == (1, 0.25)
    assert telemetry.total("agentcost.cost") == 0.25


@pytest.mark.usefixtures("spans")
async def test_an_exception_passes(telemetry: Telemetry) -> None:
    """It is the application's own, and the span says which it was."""

    def search(query: str) -> str:
        raise KeyError(query)

    with priced(telemetry), pytest.raises(KeyError, match="bees"):
        await ai.Agent(model([called()]), tools=[search]).run("Hi")
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "KeyError"


@pytest.mark.usefixtures("spans")
async def test_the_models_result_is_no_tool(telemetry: Telemetry) -> None:
    """It hands it in by what looks like a call."""
    handed_in = called("call_2", tool="final_result", response=42)
    with priced(telemetry):
        result = await ai.Agent(model([called()], [handed_in]), tools=[search], output_type=int).run("Hi")
    assert result.output == 42
    one_call(telemetry)


@pytest.mark.usefixtures("spans")
async def test_a_price_of_the_function_itself_counts_once(telemetry: Telemetry) -> None:
    """A decorated function that is pydantic-ai's tool as well is one call, at the decorator's price."""
    with priced(telemetry):
        await ai.Agent(model([called()]), tools=[tool(usd="0.5", name="search")(search)]).run("Hi")
    one_call(telemetry, usd=0.5)


@pytest.mark.usefixtures("spans")
async def test_the_same_call_again_and_again_is_a_loop(telemetry: Telemetry) -> None:
    """Seen from the tools alone, whatever model the agent has."""
    with priced(telemetry):
        await ai.Agent(model(*([called(f"call_{n}")] for n in range(4))), tools=[search]).run("Hi")
        assert repeats() == ["repeat"]
    assert counted(telemetry) == (4, 1.0)


@pytest.mark.usefixtures("spans")
@pytest.mark.parametrize("prefix", ["", "pages"])
async def test_a_tool_of_an_mcp_server_is_one_call(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder, prefix: str
) -> None:
    """Framework, client and server see it, maybe under names that differ by the server's; the bare one has a price."""
    mcp: Any = pytest.importorskip("pydantic_ai.mcp", reason=WHY)
    otel = sys.modules.get("mcp.shared._otel")  # since mcp 2: its spans go to the global provider, which is no test's
    if otel is not None:
        monkeypatch.setattr(otel, "_tracer", telemetry.tracer_provider.get_tracer("mcp-python-sdk"))
    stdio = hasattr(mcp, "MCPToolset")
    server = (
        mcp.MCPToolset(str(SERVER), init_timeout=60)
        if stdio
        else mcp.MCPServerStdio(sys.executable, [str(SERVER)], timeout=60)
    )
    name = f"{prefix}_search" if prefix else "search"
    agent = ai.Agent(model([called(tool=name)]), toolsets=[server.prefixed(prefix) if prefix else server])
    with priced(telemetry):
        async with agent:
            result = await agent.run("Hi")
    assert "pages on bees" in str(result.all_messages())
    assert [str(warning) for warning in recwarn if "otel_agentcost" in warning.filename] == []
    # Its first releases went past the client's own method: nobody sees the name without the prefix then.
    assert counted(telemetry) == (1, 0.25 if stdio or not prefix else 0.0)
    assert [(span.attributes or {})[semconv.TOOL] for span in tool_spans(telemetry)][-1] == name


@pytest.mark.usefixtures("spans")
async def test_an_agent_that_is_a_tool_is_a_call_with_calls_within(telemetry: Telemetry) -> None:
    """Each counts as what it is, also where both have one name."""
    inner = ai.Agent(model([called("call_2")]), tools=[search])

    async def ask(query: str) -> str:
        return str((await inner.run(query)).output)

    outer = ai.Agent(model([called("call_1")]), tools=[ai.Tool(ask, name="search")])
    with priced(telemetry):
        assert (await outer.run("Hi")).output == "done"
    assert counted(telemetry) == (2, 0.5)


@asynccontextmanager
async def openai_model(server: ModelServer) -> AsyncGenerator[Any]:
    """OpenAI's responses API, of the test's server."""
    openai: Any = pytest.importorskip("openai", reason=WHY)
    models: Any = pytest.importorskip("pydantic_ai.models.openai", reason=WHY)
    providers: Any = pytest.importorskip("pydantic_ai.providers.openai", reason=WHY)
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        provider = providers.OpenAIProvider(openai_client=client)
        yield models.OpenAIResponsesModel("gpt-4o-mini", provider=provider)


@pytest.mark.usefixtures("spans")
async def test_a_refusal_within_a_tool_ends_the_run(telemetry: Telemetry, model_server: ModelServer) -> None:
    """An agent that asks another one, which may not call its model again: pydantic-ai passes it on, and so do we."""
    model_server.replies(json_reply(response()))
    async with openai_model(model_server) as asked:

        async def search(query: str) -> str:
            return str((await ai.Agent(asked).run(query)).output)

        outer = ai.Agent(model([called("call_1")], [called("call_2")]), tools=[search])
        with priced(telemetry, trace_max_llm_calls=1), pytest.raises(BudgetExceeded):
            await outer.run("Hi")
    assert counted(telemetry) == (2, 0.5)


@pytest.mark.usefixtures("spans")
async def test_tools_of_the_provider_are_the_providers(telemetry: Telemetry, model_server: ModelServer) -> None:
    """They run there, and are on the model call's bill: no call of ours, even where somebody set a price by name."""
    found = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "a"}}
    reply = response(tool_usage={"web_search": {"num_requests": 1}})
    model_server.replies(json_reply({**reply, "output": [found, *reply["output"]]}))
    prices: Any = {"web_search*": "1"}
    tracer = telemetry.tracer_provider.get_tracer("application")
    with instrumented(telemetry, settings=Settings(tool_prices=prices)), tracer.start_as_current_span("agent"):
        async with openai_model(model_server) as asked:
            await ai.Agent(asked).run("Hi")
    assert tool_spans(telemetry) == []
    assert telemetry.attributes("agent")[semconv.TRACE_TOOL_CALLS] == 0
    assert 0.01 < telemetry.total("agentcost.cost") < 0.02


@pytest.mark.usefixtures("spans")
async def test_a_tool_that_waits_for_approval_has_not_run_yet(telemetry: Telemetry) -> None:
    """It is called twice, and used once."""
    if not hasattr(ai, "ApprovalRequired"):
        pytest.skip("this release of pydantic-ai knows no approval")

    approved: list[Any] = []

    def search(query: str) -> str:
        if not approved:
            raise ai.ApprovalRequired
        return query

    agent = ai.Agent(model([called()]), tools=[search], output_type=[str, ai.DeferredToolRequests])
    with priced(telemetry):
        asked = await agent.run("Hi")
        assert [call.tool_call_id for call in asked.output.approvals] == ["call_1"]
        assert telemetry.total("agentcost.cost") == 0
        approved.append(ai.DeferredToolResults(approvals={"call_1": True}))
        await agent.run(message_history=asked.all_messages(), deferred_tool_results=approved[0])
    assert counted(telemetry) == (1, 0.25)
    assert all(semconv.ERROR_TYPE not in (span.attributes or {}) for span in tool_spans(telemetry))
