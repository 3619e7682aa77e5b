"""Agents and teams of Agno."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from otel_agentcost.core import semconv
from tests.integrations.agents.agent_runs import (
    MODEL,
    MODEL_CALL,
    RUN,
    finish,
    model,
    model_calls,
    says,
    spent,
    tree,
    watched,
)
from tests.support.in_memory import Telemetry

sdk: Any = pytest.importorskip("agno.agent", reason="agno is not here: `make frameworks`")
teams: Any = pytest.importorskip("agno.team", reason="agno is not here")
OpenAIChat: Any = pytest.importorskip("agno.models.openai", reason="agno is not here").OpenAIChat


def chat(url: str) -> Any:
    """The framework's model, asking the local one."""
    return OpenAIChat(id=MODEL, base_url=url, api_key="none", max_retries=0)


def search(query: str) -> str:
    """Find pages."""
    return f"pages on {query}"


@pytest.fixture(name="agent")
def an_agent() -> Iterator[Any]:
    """An agent with a tool."""
    with model() as url:
        yield sdk.Agent(name="researcher", model=chat(url), tools=[search], telemetry=False)


async def streamed(agent: Any) -> Any:
    """Read the events of a run."""
    return [event async for event in agent.arun("Hi", stream=True)]


WAYS: dict[str, Callable[[Any], Any]] = {
    "run": lambda agent: agent.run("Hi", session_id="s-1"),
    "run stream": lambda agent: list(agent.run("Hi", stream=True)),
    "arun": lambda agent: agent.arun("Hi"),
    "arun stream": streamed,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_one_trace(telemetry: Telemetry, agent: Any, way: str) -> None:
    """Whichever method runs it: the agent, its model calls, its tool."""
    with watched(telemetry):
        finish(WAYS[way](agent))
    assert tree(telemetry) == RUN
    assert spent(telemetry)[:2] == (2, 1)


def test_a_session_is_the_conversation(telemetry: Telemetry, agent: Any) -> None:
    """Of the agent and of its calls."""
    with watched(telemetry):
        agent.run("Hi", session_id="s-1")
    assert telemetry.attributes(RUN[0])[semconv.CONVERSATION] == "s-1"


@pytest.mark.parametrize("way", WAYS)
def test_budgets_hold(telemetry: Telemetry, agent: Any, way: str) -> None:
    """No further call is sent. Agno turns an exception of the model into a failed run, which the application sees."""
    for settings in ({"budgets": "agent=researcher/day:calls=1"}, {"trace_max_llm_calls": 1}):
        telemetry.exporter.clear()
        with watched(telemetry, **settings), suppress(Exception):  # a stream, for example, may raise
            finish(WAYS[way](agent))
        assert len(model_calls(telemetry)) == 1


def test_members_run_inside_their_team(telemetry: Telemetry) -> None:
    """The team is an agent of its own, which asks them."""
    with model(says()) as url:
        member = sdk.Agent(name="writer", model=chat(url), telemetry=False)
        team = teams.Team(name="newsroom", members=[member], model=chat(url), telemetry=False)
        with watched(telemetry):
            team.run("Hi")
    assert tree(telemetry) == ["invoke_agent newsroom", f"  {MODEL_CALL}"]
