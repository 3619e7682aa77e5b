"""Agents of the OpenAI Agents SDK: run in every way, handed over, and used as tools."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from otel_agentcost.core import semconv
from tests.integrations.agents.agent_runs import (
    MODEL,
    MODEL_CALL,
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

sdk: Any = pytest.importorskip("agents", reason="openai-agents is not here: `make frameworks`")
openai: Any = pytest.importorskip("openai", reason="openai is not here")


@pytest.fixture(autouse=True)
def no_traces_to_openai() -> None:
    """The SDK's own traces are not OpenTelemetry's, and would be sent over the network."""
    sdk.set_tracing_disabled(True)


def chat(url: str) -> Any:
    """The SDK's model, asking the local one."""
    client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    return sdk.OpenAIChatCompletionsModel(MODEL, client)


@sdk.function_tool  # type: ignore[untyped-decorator] # the SDK is no dependency
def search(query: str) -> str:
    """Find pages."""
    return f"pages on {query}"


@pytest.fixture(name="agent")
def an_agent() -> Iterator[Any]:
    """An agent with a tool."""
    with model() as url:
        yield sdk.Agent(name="researcher", model=chat(url), tools=[search], handoff_description="finds things")


async def streamed(agent: Any, **options: Any) -> Any:
    """Run an agent, reading its events."""
    result = sdk.Runner.run_streamed(agent, "Hi", **{"run_config": USAGE, **options})
    async for _ in result.stream_events():
        pass
    return result


USAGE: Any = sdk.RunConfig(model_settings=sdk.ModelSettings(include_usage=True))

WAYS: dict[str, Callable[[Any], Any]] = {
    "run": lambda agent: sdk.Runner.run(agent, "Hi"),
    "run_streamed": streamed,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_one_trace(telemetry: Telemetry, agent: Any, way: str) -> None:
    """Whichever method runs it: the agent, its model calls, its tool."""
    check_run(telemetry, lambda: WAYS[way](agent))
    assert telemetry.attributes(RUN[0])[semconv.AGENT_DESCRIPTION] == "finds things"


async def test_so_is_one_of_a_synchronous_program(telemetry: Telemetry, agent: Any) -> None:
    """`run_sync` makes an event loop of its own, in a thread without one."""
    await asyncio.to_thread(check_run, telemetry, lambda: sdk.Runner.run_sync(agent, "Hi"))


@pytest.mark.parametrize("way", WAYS)
def test_budgets_hold(telemetry: Telemetry, agent: Any, way: str) -> None:
    """The refusal reaches the application as it is, from a stream too."""
    check_budgets(telemetry, lambda: WAYS[way](agent))


@pytest.mark.parametrize("way", WAYS)
def test_an_agent_that_takes_over_is_inside_of_the_first_one(telemetry: Telemetry, way: str) -> None:
    """It is one run of both, also where it hands back; each has its own calls."""
    answers = (calls("transfer_to_researcher"), calls(query="bees"), calls("transfer_to_triage"), says())
    with model(*answers) as url:
        triage = sdk.Agent(name="triage", model=chat(url))
        researcher = sdk.Agent(name="researcher", model=chat(url), tools=[search], handoffs=[triage])
        triage.handoffs = [researcher]
        with watched(telemetry, budgets="agent=triage/day:calls=4;agent=researcher/day:calls=2"):
            result = finish(WAYS[way](triage))
            assert result.last_agent.name == "triage"
            assert tree(telemetry) == [
                "invoke_agent triage",
                f"  {MODEL_CALL}",
                "  invoke_agent researcher",
                f"    {MODEL_CALL}",
                "    execute_tool search",
                f"    {MODEL_CALL}",
                f"  {MODEL_CALL}",
            ]
            assert spent(telemetry, "invoke_agent researcher")[:2] == (2, 1)
            assert spent(telemetry, "invoke_agent triage")[:2] == (4, 1)
            with pytest.raises(Exception, match="agent=researcher/day:calls=2"):
                finish(WAYS[way](researcher))


def test_an_agent_that_is_used_as_a_tool_is_below_the_tool(telemetry: Telemetry) -> None:
    """It counts in its own totals and in those of the agent that uses it."""
    with model(calls("ask_writer", input="Write"), says(), says()) as url:
        writer = sdk.Agent(name="writer", model=chat(url))
        tool = writer.as_tool("ask_writer", "asks the writer")
        editor = sdk.Agent(name="editor", model=chat(url), tools=[tool])
        with watched(telemetry):
            finish(sdk.Runner.run(editor, "Hi"))
    assert tree(telemetry) == [
        "invoke_agent editor",
        f"  {MODEL_CALL}",
        "  execute_tool ask_writer",
        "    invoke_agent writer",
        f"      {MODEL_CALL}",
        f"  {MODEL_CALL}",
    ]
    assert spent(telemetry, "invoke_agent editor")[:2] == (3, 1)


def test_a_session_is_the_conversation(telemetry: Telemetry, agent: Any) -> None:
    """Of the agent and of its calls."""
    with watched(telemetry):
        finish(sdk.Runner.run(agent, "Hi", session=sdk.SQLiteSession("s-1")))
    assert said(telemetry, semconv.CONVERSATION) == {"s-1"}


def test_a_stream_that_is_cancelled_ends_its_span(telemetry: Telemetry, agent: Any) -> None:
    """The consumer has read enough."""

    async def cancelled() -> None:
        result = sdk.Runner.run_streamed(agent, "Hi", run_config=USAGE)
        async for _ in result.stream_events():
            result.cancel()
        await asyncio.sleep(0)

    with watched(telemetry):
        finish(cancelled())
    assert tree(telemetry)[0] == RUN[0]
    assert len({span.context.trace_id for span in telemetry.spans if span.context is not None}) == 1
