"""LlamaIndex: function tools, sync and async, query engines, and an agent's run with a model that is none."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agentcost import tool
from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import counted, one_call, priced, repeats, tool_spans
from tests.support.in_memory import Telemetry

tools: Any = pytest.importorskip("llama_index.core.tools", reason="LlamaIndex is not here: `make frameworks`")
FunctionTool: Any = tools.FunctionTool

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # LlamaIndex looks at what pydantic deprecates


def find_pages(query: str, most: int = 10) -> str:
    """Finds pages."""
    return f"pages on {query}"


def made(function: Any = find_pages, **more: Any) -> Any:
    return FunctionTool.from_defaults(function, name="search", description="Finds pages.", **more)


def test_a_call_is_one_span(telemetry: Telemetry) -> None:
    """Content only where it is asked for."""
    with priced(telemetry):
        assert made()(query="bees").content == "pages on bees"
    assert semconv.TOOL_ARGUMENTS not in one_call(telemetry)


async def test_so_is_one_that_is_called_asynchronously(telemetry: Telemetry) -> None:
    """A function that is not async runs in a thread, and is the same call there; arguments have their names."""
    with priced(telemetry, capture_content="SPAN_ONLY"):
        await made().acall("bees", most=3)
    said = one_call(telemetry)
    assert said[semconv.TOOL_ARGUMENTS] == '{"query": "bees", "most": 3}'
    assert said[semconv.TOOL_RESULT] == "pages on bees"


async def test_a_coroutine_is_one_call_both_ways(telemetry: Telemetry) -> None:
    """What it does itself is beneath its span; called without await, it runs all the same."""

    async def find(query: str) -> str:
        with telemetry.tracer_provider.get_tracer("t").start_as_current_span("http"):
            return query

    coroutine = FunctionTool.from_defaults(async_fn=find, fn=find_pages, name="search", description="d")
    with priced(telemetry):
        await coroutine.acall(query="a")
    one_call(telemetry)
    (span,) = tool_spans(telemetry)
    parent, context = telemetry.span("http").parent, span.get_span_context()
    assert parent is not None
    assert context is not None
    assert parent.span_id == context.span_id


def test_a_coroutine_that_is_called_without_await_is_one_call(telemetry: Telemetry) -> None:
    """It runs in an event loop of LlamaIndex's making."""

    async def find(query: str) -> str:
        return query

    try:
        coroutine = FunctionTool.from_defaults(async_fn=find, name="search", description="d")
    except TypeError:
        pytest.skip("this LlamaIndex wants a function that is not async, too")
    with priced(telemetry):
        assert coroutine.call("a").content == "a"
    one_call(telemetry)


def test_an_error_that_becomes_an_answer_is_an_error(telemetry: Telemetry) -> None:
    """The model reads of it; the span says which it was."""

    calling: Any = pytest.importorskip("llama_index.core.tools.calling", reason="this LlamaIndex has no `call_tool`")

    def fail(query: str, most: int) -> str:
        raise KeyError(query)

    with priced(telemetry):
        assert calling.call_tool(made(fail), {"query": "bees", "most": 1}).is_error
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "KeyError"


def test_an_exception_passes(telemetry: Telemetry) -> None:
    """It is the application's own."""

    def fail(query: str) -> str:
        raise KeyError(query)

    with priced(telemetry), pytest.raises(KeyError, match="bees"):
        made(fail)(query="bees")
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "KeyError"


def test_a_price_of_the_function_itself_counts_once(telemetry: Telemetry) -> None:
    """A decorated function that is LlamaIndex's tool as well is one call, at the decorator's price."""

    @tool(usd="0.5", name="lookup")
    def lookup(query: str) -> str:
        return query

    with priced(telemetry):
        FunctionTool.from_defaults(lookup, name="lookup", description="d")(query="a")
    one_call(telemetry, tool="lookup", usd=0.5)


def test_the_same_call_again_and_again_is_a_loop(telemetry: Telemetry) -> None:
    """Seen from the tools alone, without a conversation."""
    with priced(telemetry):
        for _ in range(4):
            made()(query="bees")
        assert repeats() == ["repeat"]
    assert counted(telemetry) == (4, 1.0)


def test_what_the_tool_was_made_with_is_no_argument(telemetry: Telemetry) -> None:
    """A key, say, which the model has not written."""
    try:
        bound = made(partial_params={"most": 7})
    except TypeError:
        pytest.skip("this LlamaIndex has no partial_params")
    with priced(telemetry, capture_content="SPAN_ONLY"):
        bound(query="bees")
    assert one_call(telemetry)[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'


async def test_a_query_engine_is_a_tool_too(telemetry: Telemetry) -> None:
    """And so is a retriever."""
    base: Any = pytest.importorskip("llama_index.core.query_engine", reason="LlamaIndex is not here")

    class Engine(base.CustomQueryEngine):  # type: ignore[misc]
        def custom_query(self, query_str: str) -> str:
            return f"pages on {query_str}"

    engine = tools.QueryEngineTool.from_defaults(Engine(), name="search", description="d")
    with priced(telemetry, capture_content="SPAN_ONLY"):
        await engine.acall("bees")
    said = one_call(telemetry)
    assert said[semconv.TOOL_ARGUMENTS] == '{"input": "bees"}'
    assert said[semconv.TOOL_RESULT] == "pages on bees"


def agent_that_searches(function: Any) -> Any:
    """An agent whose model, which is none, calls `search` once and then answers."""
    workflow: Any = pytest.importorskip(
        "llama_index.core.agent.workflow", reason="this LlamaIndex has no FunctionAgent"
    )
    llms: Any = pytest.importorskip("llama_index.core.llms", reason="LlamaIndex is not here")
    base: Any = pytest.importorskip("llama_index.core.llms.function_calling", reason="LlamaIndex is not here")
    llm: Any = pytest.importorskip("llama_index.core.llms.llm", reason="LlamaIndex is not here")

    class Model(base.FunctionCallingLLM, llms.MockLLM):  # type: ignore[misc]
        @property
        def metadata(self) -> Any:
            return llms.LLMMetadata(is_function_calling_model=True)

        async def achat_with_tools(self, tools: Any, user_msg: Any = None, chat_history: Any = None, **_: Any) -> Any:
            answer = "done" if any(message.role == "tool" for message in chat_history) else ""
            return llms.ChatResponse(message=llms.ChatMessage(role="assistant", content=answer))

        def _prepare_chat_with_tools(self, *_: Any, **__: Any) -> dict[str, Any]:
            return {}

        def get_tool_calls_from_response(self, response: Any, **_: Any) -> list[Any]:
            asked = llm.ToolSelection(tool_id="call_1", tool_name="search", tool_kwargs={"query": "bees"})
            return [] if response.message.content else [asked]

    return workflow.FunctionAgent(tools=[made(function)], llm=Model(), streaming=False)


async def test_a_tool_that_an_agent_calls_is_one_span(telemetry: Telemetry) -> None:
    """Beneath the agent's span, although the agent runs in tasks of its own."""
    agent = agent_that_searches(find_pages)
    with priced(telemetry, capture_content="SPAN_ONLY"):
        assert str(await agent.run("Find pages on bees")) == "done"
    assert one_call(telemetry)[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'


async def test_a_tool_of_an_agent_that_fails_is_one_span(telemetry: Telemetry) -> None:
    """The agent goes on with the error as an answer."""

    def fail(query: str) -> str:
        raise KeyError(query)

    agent = agent_that_searches(fail)
    with priced(telemetry):
        assert str(await agent.run("Find pages on bees")) == "done"
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "KeyError"


async def test_a_tool_that_waits_for_somebody_is_one_call(telemetry: Telemetry) -> None:
    """It is run once more when the answer has come: what was before that is no call, and no error."""
    workflow: Any = pytest.importorskip("llama_index.core.workflow", reason="this LlamaIndex has no workflows")
    if not hasattr(workflow, "HumanResponseEvent") or not hasattr(workflow.Context, "wait_for_event"):
        pytest.skip("this LlamaIndex waits for nobody")

    async def ask(ctx: Any, query: str) -> str:
        asked = workflow.InputRequiredEvent(prefix=query)
        return str((await ctx.wait_for_event(workflow.HumanResponseEvent, waiter_event=asked)).response)

    ask.__annotations__["ctx"] = workflow.Context
    with priced(telemetry):
        handler = agent_that_searches(ask).run("Find pages on bees")
        async for event in handler.stream_events():
            if isinstance(event, workflow.InputRequiredEvent):
                handler.ctx.send_event(workflow.HumanResponseEvent(response="yes"))
        assert str(await handler) == "done"
    assert counted(telemetry) == (1, 0.25)
    assert all(semconv.ERROR_TYPE not in (span.attributes or {}) for span in tool_spans(telemetry))
