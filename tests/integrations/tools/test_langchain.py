"""LangChain's tools: called by the model, by hand, sync and async, and what they bring."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Annotated, Any

import pytest

from otel_agentcost import tool
from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import counted, one_call, priced, repeats, tool_spans
from tests.support.in_memory import Telemetry

tools: Any = pytest.importorskip("langchain_core.tools", reason="LangChain is not here: `make frameworks`")
InjectedToolArg: Any = tools.InjectedToolArg
StructuredTool: Any = tools.StructuredTool

CALL = {"type": "tool_call", "name": "search", "id": "call_1", "args": {"query": "bees"}}


def find_pages(query: str) -> str:
    return f"pages on {query}"


search = StructuredTool.from_function(find_pages, name="search", description="Finds pages.")


def test_a_tool_that_the_model_called_is_one_span(telemetry: Telemetry) -> None:
    """With the id of the model's call; content only where it is asked for."""
    with priced(telemetry):
        assert search.invoke(CALL).content == "pages on bees"
    said = one_call(telemetry)
    assert said[semconv.TOOL_CALL_ID] == "call_1"
    assert semconv.TOOL_ARGUMENTS not in said


async def test_so_is_one_that_is_called_asynchronously(telemetry: Telemetry) -> None:
    """A tool that is not async runs in a thread, and is the same call there."""
    with priced(telemetry, capture_content="SPAN_ONLY"):
        await search.ainvoke(CALL)
    said = one_call(telemetry)
    assert said[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'
    assert said[semconv.TOOL_RESULT] == "pages on bees"


async def test_a_coroutine_runs_within_its_span(telemetry: Telemetry) -> None:
    """What it does itself, its requests, is beneath the call."""

    async def find(query: str) -> str:
        with telemetry.tracer_provider.get_tracer("t").start_as_current_span("http"):
            return query

    with priced(telemetry):
        await StructuredTool.from_function(coroutine=find, name="search", description="d").ainvoke({"query": "a"})
    one_call(telemetry)
    (span,) = tool_spans(telemetry)
    parent, context = telemetry.span("http").parent, span.get_span_context()
    assert parent is not None
    assert context is not None
    assert parent.span_id == context.span_id


def test_an_error_that_langchain_turns_into_an_answer_is_an_error(telemetry: Telemetry) -> None:
    """`handle_tool_error` is for the model to read; the call has failed all the same."""

    def fail(query: str) -> str:
        raise tools.ToolException(query)

    failing = StructuredTool.from_function(fail, name="search", description="d", handle_tool_error=True)
    with priced(telemetry):
        assert failing.invoke(CALL).status == "error"
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "tool_error"


def test_an_exception_passes(telemetry: Telemetry) -> None:
    """It is the application's own, and the span says which it was."""

    def fail(query: str) -> str:
        raise KeyError(query)

    failing = StructuredTool.from_function(fail, name="search", description="d")
    with priced(telemetry), pytest.raises(KeyError, match="bees"):
        failing.invoke(CALL)
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "KeyError"


def test_a_price_of_the_function_itself_counts_once(telemetry: Telemetry) -> None:
    """A decorated function that is LangChain's tool as well is one call, at the decorator's price."""

    @tool(usd="0.5", name="lookup")
    def lookup(query: str) -> str:
        return query

    made = StructuredTool.from_function(lookup, name="lookup", description="d")
    with priced(telemetry):
        made.invoke({"query": "a"})
    one_call(telemetry, tool="lookup", usd=0.5)


def test_the_same_call_again_and_again_is_a_loop(telemetry: Telemetry) -> None:
    """Seen from the tools alone, without a conversation."""
    with priced(telemetry):
        for number in range(4):
            search.invoke({**CALL, "id": f"call_{number}"})
        assert repeats() == ["repeat"]
    assert counted(telemetry) == (4, 1.0)


def test_what_langchain_injects_is_no_argument(telemetry: Telemetry) -> None:
    """The state of the graph, which the model has not written, is not shown, and tells no two calls apart."""

    def find(query: str, state: Annotated[Any, InjectedToolArg]) -> str:
        return query

    made = StructuredTool.from_function(find, name="search", description="d")
    with priced(telemetry, capture_content="SPAN_ONLY"):
        made.invoke({"query": "bees", "state": object()})
    assert one_call(telemetry)[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'


def test_what_a_tool_returns_is_not_looked_into(telemetry: Telemetry) -> None:
    """A response whose body is read by looking at it stays unread, and a table whose column is called `status` is no
    error, nor does it raise."""
    seen: list[str] = []

    class Response:
        def __getattr__(self, name: str) -> Any:
            seen.append(name)
            return "error"

    response = Response()

    def find(query: str) -> Any:
        return response

    with priced(telemetry, capture_content="SPAN_ONLY"):
        result = StructuredTool.from_function(find, name="search", description="d").invoke({"query": "bees"})
    assert result is response
    assert not {"content", "status"} & set(seen)
    said = one_call(telemetry)
    assert semconv.ERROR_TYPE not in said
    assert said[semconv.TOOL_RESULT] == '"<Response>"'


def test_a_subclass_that_goes_on_to_run_is_counted_once(telemetry: Telemetry) -> None:
    """Also where it is pickled, or copied."""

    class Search(tools.BaseTool):  # type: ignore[misc]
        name: str = "search"
        description: str = "Finds pages."

        def _run(self, query: str) -> str:
            return query

        def run(self, *args: Any, **kwargs: Any) -> Any:
            return super().run(*args, **kwargs)

    with priced(telemetry):
        assert copy.deepcopy(Search()).run({"query": "bees"}) == "bees"
        assert pickle.loads(pickle.dumps(tools.BaseTool)) is tools.BaseTool
        assert inspect.iscoroutinefunction(Search().arun)
    one_call(telemetry)
