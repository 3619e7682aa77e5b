"""Agents of smolagents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from otel_agentcost import BudgetExceeded
from tests.integrations.agents.agent_runs import (
    MODEL,
    MODEL_CALL,
    calls,
    model,
    model_calls,
    refused,
    spent,
    tree,
    watched,
)
from tests.support.in_memory import Telemetry

sdk: Any = pytest.importorskip("smolagents", reason="smolagents is not here: `make frameworks`")
OpenAIModel: Any = getattr(sdk, "OpenAIModel", None) or sdk.OpenAIServerModel

RUN = ["invoke_agent researcher", f"  {MODEL_CALL}", f"  {MODEL_CALL}"]


tool: Any = sdk.tool  # the framework warns of any other decorator


@tool  # type: ignore[untyped-decorator] # the framework is no dependency
def search(query: str) -> str:
    """Find pages.

    Args:
        query: The words to look for.
    """
    return f"pages on {query}"


def agent_of(url: str, name: str = "researcher", **more: Any) -> Any:
    """An agent whose model calls tools."""
    chat = OpenAIModel(model_id=MODEL, api_base=url, api_key="none", client_kwargs={"max_retries": 0})
    return sdk.ToolCallingAgent(
        tools=[search], model=chat, name=name, description="Finds things.", verbosity_level=0, **more
    )


@pytest.fixture(name="agent")
def an_agent() -> Iterator[Any]:
    """An agent with a tool, which answers by another one."""
    with model(answering) as url:
        yield agent_of(url)


def answering(request: Any) -> Any:
    """Search first, then answer."""
    return calls("final_answer", answer="Bees") if "pages on" in str(request.body["messages"]) else calls(query="bees")


WAYS: dict[str, Callable[[Any], Any]] = {
    "run": lambda agent: agent.run("Hi"),
    "stream": lambda agent: list(agent.run("Hi", stream=True)),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_one_trace(telemetry: Telemetry, agent: Any, way: str) -> None:
    """The agent and its model calls; tools may run in threads."""
    with watched(telemetry):
        WAYS[way](agent)
    assert [line for line in tree(telemetry) if "execute_tool" not in line] == RUN
    assert spent(telemetry)[0] == 2


@pytest.mark.parametrize("way", WAYS)
def test_budgets_hold(telemetry: Telemetry, agent: Any, way: str) -> None:
    """The application sees an error of the framework, which was raised from the refusal."""
    for settings in ({"budgets": "agent=researcher/day:calls=1"}, {"trace_max_llm_calls": 1}):
        telemetry.exporter.clear()
        with watched(telemetry, **settings):
            error = refused(lambda: WAYS[way](agent))
        assert isinstance(error, BudgetExceeded) or isinstance(error.__cause__, BudgetExceeded)


def test_a_managed_agent_runs_inside_its_manager(telemetry: Telemetry) -> None:
    """It has its own totals, and counts in those of the manager."""
    answers = (calls("writer", task="Write"), calls("final_answer", answer="Bees"), calls("final_answer", answer="Yes"))
    with model(*answers) as url:
        manager = agent_of(url, "editor", managed_agents=[agent_of(url, "writer")])
        with watched(telemetry, budgets="agent=editor/day:calls=3"):
            manager.run("Hi")
            before = len(model_calls(telemetry))
            refused(lambda: manager.run("Hi"))
    assert before == len(model_calls(telemetry)) == 3
    assert spent(telemetry, "invoke_agent writer")[0] == 1
