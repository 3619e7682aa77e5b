"""Agents and graphs of LangChain and LangGraph."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from otel_agentcost.core import semconv
from tests.integrations.agents.agent_runs import (
    MODEL,
    RUN,
    calls,
    check_budgets,
    check_run,
    finish,
    model,
    said,
    says,
    spent,
    tree,
    watched,
)
from tests.support.in_memory import Telemetry

prebuilt: Any = pytest.importorskip("langgraph.prebuilt", reason="LangGraph is not here: `make frameworks`")
graphs: Any = pytest.importorskip("langgraph.graph", reason="LangGraph is not here: `make frameworks`")
ChatOpenAI: Any = pytest.importorskip("langchain_openai", reason="LangChain is not here").ChatOpenAI


if importlib.util.find_spec("langchain") is not None:
    create_agent: Any = importlib.import_module("langchain.agents").create_agent
else:
    create_agent = prebuilt.create_react_agent


def search(query: str) -> str:
    """Find pages."""
    return f"pages on {query}"


ASKED = {"messages": [{"role": "user", "content": "How do bees survive?"}]}


def chat(url: str) -> Any:
    """LangChain's client of the local model."""
    return ChatOpenAI(model=MODEL, base_url=url, api_key="none", max_retries=0, stream_usage=True)


@pytest.fixture(name="agent")
def an_agent() -> Iterator[Any]:
    """An agent that `create_agent` has made."""
    with model() as url:
        yield create_agent(chat(url), tools=[search], name="researcher")


async def read_all(stream: Any) -> list[Any]:
    """Read an async stream."""
    return [item async for item in stream]


async def all_of(*runs: Any) -> list[Any]:
    """Run side by side."""
    return list(await asyncio.gather(*runs))


WAYS: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda agent: agent.invoke(ASKED),
    "ainvoke": lambda agent: agent.ainvoke(ASKED),
    "stream": lambda agent: list(agent.stream(ASKED, stream_mode="messages")),
    "astream": lambda agent: read_all(agent.astream(ASKED)),
    "astream_events": lambda agent: read_all(agent.astream_events(ASKED, version="v2")),
    "batch": lambda agent: agent.batch([ASKED]),
    "abatch": lambda agent: agent.abatch([ASKED]),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_one_trace(telemetry: Telemetry, agent: Any, way: str) -> None:
    """Whichever method runs it: the agent, its model calls, its tool."""
    check_run(telemetry, lambda: WAYS[way](agent))


async def test_runs_side_by_side_are_traces_of_their_own(telemetry: Telemetry, agent: Any) -> None:
    """A batch, and agents in one event loop: each call is in the trace of its run."""
    with watched(telemetry):
        await asyncio.to_thread(agent.batch, [ASKED, ASKED, ASKED])
        await asyncio.gather(agent.ainvoke(ASKED), agent.ainvoke(ASKED), agent.abatch([ASKED, ASKED]))
    assert tree(telemetry) == RUN * 7
    assert {spent_of[:2] for spent_of in all_spent(telemetry)} == {(2, 1)}


def all_spent(telemetry: Telemetry) -> list[tuple[object, ...]]:
    """The totals of each run."""
    names = (semconv.TRACE_LLM_CALLS, semconv.TRACE_TOOL_CALLS)
    runs = [span.attributes or {} for span in telemetry.spans if span.name == RUN[0]]
    return [tuple(run.get(name) for name in names) for run in runs]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream", "batch"])
def test_budgets_hold(telemetry: Telemetry, agent: Any, way: str) -> None:
    """The refusal reaches the application as it is."""
    check_budgets(telemetry, lambda: WAYS[way](agent))


def test_a_stream_that_is_not_read_out_ends_its_span(telemetry: Telemetry, agent: Any) -> None:
    """Closed, or dropped. The consumer's own calls between two items are no calls of the agent."""
    tracer = telemetry.tracer_provider.get_tracer("application")
    with watched(telemetry):
        stream = agent.stream(ASKED)
        next(stream)
        with tracer.start_as_current_span("mine"):
            pass
        stream.close()
        dropped = agent.stream(ASKED)
        next(dropped)
        del dropped
    assert sorted(tree(telemetry)) == sorted(["mine", *RUN[:2], *RUN[:2]])
    runs = [span for span in telemetry.spans if span.name == RUN[0]]
    assert [(run.attributes or {}).get(semconv.ERROR_TYPE) for run in runs] == [None, None]


def test_the_thread_is_the_conversation(telemetry: Telemetry, agent: Any) -> None:
    """Of the agent and of its calls."""
    with watched(telemetry, budgets="conversation/day:calls=3"):
        agent.invoke(ASKED, {"configurable": {"thread_id": "t-1"}})
    assert said(telemetry, semconv.CONVERSATION) == {"t-1"}


def test_an_agent_that_a_tool_runs_is_below_the_tool(telemetry: Telemetry) -> None:
    """It counts in its own totals and budgets, and in those of the agent that uses it."""
    with model(calls("ask_writer"), calls(query="bees"), says(), says()) as url:
        writer = create_agent(chat(url), tools=[search], name="writer")

        def ask_writer() -> str:
            """Ask the writer."""
            return str(writer.invoke(ASKED)["messages"][-1].content)

        editor = create_agent(chat(url), tools=[ask_writer], name="editor")
        with watched(telemetry, budgets="agent=editor/day:calls=4;agent=writer/day:calls=2"):
            editor.invoke(ASKED)
            inner = ["invoke_agent writer", *RUN[1:]]
            assert tree(telemetry) == [
                "invoke_agent editor",
                "  chat gpt-4o-mini",
                "  execute_tool ask_writer",
                *("    " + line for line in inner),
                "  chat gpt-4o-mini",
            ]
            assert spent(telemetry, "invoke_agent editor")[:2] == (4, 2)
            assert spent(telemetry, "invoke_agent writer")[:2] == (2, 1)
            with pytest.raises(Exception, match="agent=editor/day:calls=4"):
                editor.invoke(ASKED)
            with pytest.raises(Exception, match="agent=writer/day:calls=2"):
                writer.invoke(ASKED)


def graph_of(**nodes: Any) -> Any:
    """A graph of these nodes, one after the other."""
    builder = graphs.StateGraph(graphs.MessagesState)
    before = graphs.START
    for name, node in nodes.items():
        builder.add_node(name, node)
        builder.add_edge(before, name)
        before = name
    return builder


def test_a_graph_of_agents_is_a_workflow(telemetry: Telemetry) -> None:
    """A subgraph is an agent: by its own name, or by that of its node."""
    with model(says()) as url:
        named = create_agent(chat(url), tools=[], name="researcher")
        unnamed = create_agent(chat(url), tools=[])
        plain = graph_of(ask=lambda state: {"messages": [chat(url).invoke(state["messages"])]}).compile()
        graph = graph_of(first=named, second=unnamed, third=plain).compile()
        with watched(telemetry):
            finish(graph.ainvoke(ASKED))
    assert tree(telemetry) == [
        "invoke_workflow LangGraph",
        "  invoke_agent researcher",
        "    chat gpt-4o-mini",
        "  invoke_agent second",
        "    chat gpt-4o-mini",
        "  invoke_agent third",
        "    chat gpt-4o-mini",
    ]
    assert spent(telemetry, "invoke_workflow LangGraph")[0] == 3


def test_an_interruption_is_no_error(telemetry: Telemetry) -> None:
    """A graph that waits for a person has not failed; the continuation is another run of the same conversation."""
    types: Any = pytest.importorskip("langgraph.types", reason="LangGraph is not here")
    memory: Any = pytest.importorskip("langgraph.checkpoint.memory", reason="LangGraph is not here")
    inner = graph_of(ask=lambda _: {"messages": [types.interrupt("really?")]}).compile(name="inner")
    graph = graph_of(inner=inner).compile(name="outer", checkpointer=memory.InMemorySaver())
    thread = {"configurable": {"thread_id": "t-1"}}
    with watched(telemetry):
        graph.invoke(ASKED, thread)
        graph.invoke(types.Command(resume="yes"), thread)
    assert tree(telemetry) == ["invoke_agent outer", "  invoke_agent inner"] * 2
    assert said(telemetry, semconv.ERROR_TYPE) == {None}


def test_a_failure_is_an_error(telemetry: Telemetry) -> None:
    """The exception of a node passes, and the span says which it was."""

    def fail(_: Any) -> Any:
        raise KeyError("bees")

    with watched(telemetry), pytest.raises(KeyError):
        graph_of(fail=fail).compile(name="researcher").invoke(ASKED)
    assert telemetry.attributes(RUN[0])[semconv.ERROR_TYPE] == "KeyError"
