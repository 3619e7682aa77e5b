"""Agents and workflows of LlamaIndex."""

# The framework reads the types of a step, and is no dependency:
# pyright: reportInvalidTypeForm=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

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

sdk: Any = pytest.importorskip("llama_index.core.agent.workflow", reason="LlamaIndex is not here: `make frameworks`")
flows: Any = pytest.importorskip("llama_index.core.workflow", reason="LlamaIndex is not here")
OpenAI: Any = pytest.importorskip("llama_index.llms.openai", reason="LlamaIndex's OpenAI models are not here").OpenAI

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def chat(url: str) -> Any:
    """The framework's model, asking the local one."""
    usage = {"stream_options": {"include_usage": True}}
    return OpenAI(model=MODEL, api_base=url, api_key="none", max_retries=0, additional_kwargs=usage)


def search(query: str) -> str:
    """Find pages."""
    return f"pages on {query}"


def agent_of(url: str, name: str = "researcher", **more: Any) -> Any:
    """An agent whose model calls functions."""
    return sdk.FunctionAgent(name=name, description="finds things", llm=chat(url), **{"tools": [search], **more})


@pytest.fixture(name="agent")
def an_agent() -> Iterator[Any]:
    """An agent with a tool."""
    with model() as url:
        yield agent_of(url)


async def awaited(agent: Any) -> Any:
    """Wait for the answer."""
    return await agent.run(user_msg="Hi")


async def streamed(agent: Any) -> Any:
    """Read the events of a run."""
    handler = agent.run(user_msg="Hi")
    async for _ in handler.stream_events():
        pass
    return await handler


WAYS: dict[str, Callable[[Any], Any]] = {"await": awaited, "stream_events": streamed}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_one_trace(telemetry: Telemetry, agent: Any, way: str) -> None:
    """The agent, its model calls, its tool; all of them are in tasks of the framework."""
    check_run(telemetry, lambda: WAYS[way](agent))


@pytest.mark.parametrize("way", WAYS)
def test_budgets_hold(telemetry: Telemetry, agent: Any, way: str) -> None:
    """The refusal reaches the application, in one form or another."""
    check_budgets(telemetry, lambda: WAYS[way](agent), Exception)


def test_a_workflow_of_agents_has_the_run_of_each_inside(telemetry: Telemetry) -> None:
    """Until it hands over to the next one."""
    answers = (calls("handoff", to_agent="writer", reason="you can"), calls(query="bees"), says(), says())
    with model(*answers) as url:
        first = agent_of(url, "editor", tools=[], can_handoff_to=["writer"])
        second = agent_of(url, "writer", can_handoff_to=["editor"])
        with watched(telemetry):
            finish(awaited(sdk.AgentWorkflow(agents=[first, second], root_agent="editor")))
    assert tree(telemetry) == [
        "invoke_workflow AgentWorkflow",
        "  invoke_agent editor",
        f"    {MODEL_CALL}",
        "    execute_tool handoff",
        "  invoke_agent writer",
        f"    {MODEL_CALL}",
        "    execute_tool search",
        f"    {MODEL_CALL}",
    ]
    assert spent(telemetry, "invoke_workflow AgentWorkflow")[:2] == (3, 2)
    assert spent(telemetry, "invoke_agent writer")[:2] == (2, 1)


def test_a_workflow_may_start_an_agent(telemetry: Telemetry, agent: Any) -> None:
    """In one of its steps."""

    class Story(flows.Workflow):  # type: ignore[misc]
        """A workflow of one step."""

        @flows.step  # type: ignore[untyped-decorator]
        async def write(self, ev: flows.StartEvent) -> flows.StopEvent:
            return flows.StopEvent(result=await awaited(agent))

    async def told() -> Any:
        return await Story().run()

    with watched(telemetry):
        finish(told())
    assert tree(telemetry) == ["invoke_workflow Story", *("  " + line for line in RUN)]
