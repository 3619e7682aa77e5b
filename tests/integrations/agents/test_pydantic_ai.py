"""Agents of Pydantic AI: run in every way, with its own spans and without, and asked by a tool of another agent."""

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
    says,
    spent,
    tree,
    watched,
)
from tests.support.in_memory import Telemetry

sdk: Any = pytest.importorskip("pydantic_ai", reason="pydantic-ai is not here: `make frameworks`")
models: Any = pytest.importorskip("pydantic_ai.models.openai", reason="pydantic-ai's OpenAI models are not here")
providers: Any = pytest.importorskip("pydantic_ai.providers.openai", reason="pydantic-ai is not here")
Instrumentation: Any = pytest.importorskip("pydantic_ai.models.instrumented", reason="pydantic-ai is not here")
ChatModel: Any = getattr(models, "OpenAIChatModel", None) or models.OpenAIModel


def chat(url: str) -> Any:
    """The framework's model, asking the local one."""
    return ChatModel(MODEL, provider=providers.OpenAIProvider(base_url=url, api_key="none"))


def search(query: str) -> str:
    """Find pages."""
    return f"pages on {query}"


@pytest.fixture(name="agent")
def an_agent() -> Iterator[Any]:
    """An agent with a tool."""
    with model() as url:
        yield sdk.Agent(chat(url), name="researcher", tools=[search])


async def iterated(agent: Any) -> Any:
    """Run an agent node by node."""
    async with agent.iter("Hi") as run:
        async for _ in run:
            pass
    return run.result


async def streamed(agent: Any) -> Any:
    """Read an agent's answer as it comes."""
    async with agent.run_stream("Hi") as result:
        return await result.get_output()


WAYS: dict[str, Callable[[Any], Any]] = {
    "run": lambda agent: agent.run("Hi"),
    "iter": iterated,
    "run_stream": streamed,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_one_trace(telemetry: Telemetry, agent: Any, way: str) -> None:
    """Whichever method runs it: the agent, its model calls, its tool."""
    check_run(telemetry, lambda: WAYS[way](agent))


async def test_so_is_one_of_a_synchronous_program(telemetry: Telemetry, agent: Any) -> None:
    """`run_sync` makes an event loop of its own, in a thread without one."""

    def run() -> Any:
        asyncio.set_event_loop(asyncio.new_event_loop())
        return agent.run_sync("Hi")

    await asyncio.to_thread(check_run, telemetry, run)


@pytest.mark.parametrize("way", WAYS)
def test_budgets_hold(telemetry: Telemetry, agent: Any, way: str) -> None:
    """The refusal reaches the application as it is."""
    check_budgets(telemetry, lambda: WAYS[way](agent))


@pytest.mark.parametrize("way", WAYS)
def test_its_own_span_is_adopted(telemetry: Telemetry, agent: Any, way: str) -> None:
    """An instrumented agent makes spans of its run and its tools; the run is one span, with the totals."""
    agent.instrument = Instrumentation.InstrumentationSettings(tracer_provider=telemetry.tracer_provider)
    with watched(telemetry):
        finish(WAYS[way](agent))
    (root,) = [span for span in telemetry.spans if span.parent is None]
    attributes = root.attributes or {}
    assert attributes[semconv.OPERATION] == semconv.INVOKE_AGENT
    assert attributes[semconv.AGENT] == "researcher"
    assert spent(telemetry, root.name)[:2] == (2, 1)
    assert [line for line in tree(telemetry) if line.strip().startswith(("invoke_agent", "agent run"))] == [root.name]


def test_the_name_of_an_agent_is_inferred_as_without_us(telemetry: Telemetry) -> None:
    """From the variable of the caller, also where that calls `iter` itself."""

    async def run(url: str) -> None:
        writer = sdk.Agent(chat(url))
        async with writer.iter("Hi") as started:
            async for _ in started:
                pass

    with model(says()) as url, watched(telemetry):
        finish(run(url))
    assert tree(telemetry) == ["invoke_agent writer", f"  {MODEL_CALL}"]


def test_an_agent_that_gets_no_name_without_us_gets_none(telemetry: Telemetry) -> None:
    """`infer_name=False` and `iter` leave it as it is. The span of `iter` is named after the variable."""

    async def run(url: str) -> None:
        unnamed = sdk.Agent(chat(url))
        await unnamed.run("Hi", infer_name=False)
        assert unnamed.name is None
        await iterated(unnamed)
        assert unnamed.name is None

    with model(says(), says()) as url, watched(telemetry):
        finish(run(url))
    assert tree(telemetry)[::2] == ["invoke_agent agent", "invoke_agent agent"]


def test_an_agent_that_a_tool_runs_is_below_the_tool(telemetry: Telemetry) -> None:
    """It counts in its own totals and in those of the agent that uses it."""
    with model(calls("ask_writer"), says(), says()) as url:
        writer = sdk.Agent(chat(url), name="writer")

        async def ask_writer() -> str:
            """Ask the writer."""
            await writer.run("Write")
            return "written"

        editor = sdk.Agent(chat(url), name="editor", tools=[ask_writer])
        with watched(telemetry, budgets="agent=editor/day:calls=3"):
            finish(editor.run("Hi"))
            with pytest.raises(Exception, match="agent=editor/day:calls=3"):
                finish(editor.run("Hi"))
    assert tree(telemetry)[:6] == [
        "invoke_agent editor",
        f"  {MODEL_CALL}",
        "  execute_tool ask_writer",
        "    invoke_agent writer",
        f"      {MODEL_CALL}",
        f"  {MODEL_CALL}",
    ]
    assert spent(telemetry, "invoke_agent writer")[:2] == (1, 0)


def test_a_failure_is_an_error(telemetry: Telemetry, agent: Any) -> None:
    """The exception of a tool passes, and the span says which it was."""

    @agent.tool_plain  # type: ignore[untyped-decorator] # the framework is no dependency
    def fail() -> str:
        """Fail."""
        raise KeyError("bees")

    with model(calls("fail")) as url, watched(telemetry), pytest.raises(KeyError):
        finish(agent.run("Hi", model=chat(url)))
    assert telemetry.attributes(RUN[0])[semconv.ERROR_TYPE] == "KeyError"
