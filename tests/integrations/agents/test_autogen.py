"""Agents and teams of AutoGen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.integrations.agents.agent_runs import (
    MODEL,
    MODEL_CALL,
    finish,
    model,
    model_calls,
    refused,
    said,
    spent,
    tree,
    watched,
)
from tests.support.in_memory import Telemetry

agents: Any = pytest.importorskip("autogen_agentchat.agents", reason="autogen is not here: `make frameworks`")
teams: Any = pytest.importorskip("autogen_agentchat.teams", reason="autogen is not here")
conditions: Any = pytest.importorskip("autogen_agentchat.conditions", reason="autogen is not here")
models: Any = pytest.importorskip("autogen_ext.models.openai", reason="autogen's OpenAI models are not here")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # a model that answers by another name than was asked


@pytest.fixture(autouse=True)
def global_provider(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The global provider is what autogen-core makes spans with, and is none of one test's own."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", telemetry.tracer_provider)


async def search(query: str) -> str:
    """Find pages."""
    return f"pages on {query}"


def agent_of(url: str, name: str = "researcher") -> Any:
    """An agent with a tool, which asks the local model."""
    chat = models.OpenAIChatCompletionClient(model=MODEL, base_url=url, api_key="none", max_retries=0)
    return agents.AssistantAgent(name, model_client=chat, tools=[search], reflect_on_tool_use=True)


@pytest.fixture(name="agent")
def an_agent() -> Iterator[Callable[[], Any]]:
    """Makes an agent with a tool: an agent remembers its conversation."""
    with model() as url:
        yield lambda: agent_of(url)


async def streamed(agent: Any) -> Any:
    """Read the messages of a run."""
    return [message async for message in agent.run_stream(task="Hi")]


WAYS: dict[str, Callable[[Any], Any]] = {"run": lambda agent: agent.run(task="Hi"), "run_stream": streamed}


def agents_and_calls(telemetry: Telemetry) -> list[str]:
    """The tree without tools, and without the spans in which AutoGen's runtime passes messages on."""
    kept = ("invoke_", MODEL_CALL)
    return [line.strip() for line in tree(telemetry) if line.strip().startswith(kept)]


def traces(telemetry: Telemetry) -> int:
    """The number of traces that have model calls."""
    return len({span.context.trace_id for span in model_calls(telemetry) if span.context is not None})


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_one_trace(telemetry: Telemetry, agent: Any, way: str) -> None:
    """The agent has one span, of AutoGen where that makes one, with the totals."""
    with watched(telemetry):
        finish(WAYS[way](agent()))
    assert agents_and_calls(telemetry) == ["invoke_agent researcher", MODEL_CALL, MODEL_CALL]
    assert traces(telemetry) == 1
    assert spent(telemetry)[:2] == (2, 1)


@pytest.mark.parametrize("way", WAYS)
def test_budgets_hold(telemetry: Telemetry, agent: Any, way: str) -> None:
    """The refusal reaches the application as it is."""
    for settings in ({"budgets": "agent=researcher/day:calls=1"}, {"trace_max_llm_calls": 1}):
        telemetry.exporter.clear()
        with watched(telemetry, **settings):
            assert isinstance(refused(lambda: WAYS[way](agent())), BudgetExceeded)
        assert len(model_calls(telemetry)) == 1


@pytest.mark.skipif(
    not hasattr(sys.modules["autogen_agentchat.agents._base_chat_agent"], "trace_invoke_agent_span"),
    reason="before 0.7, AutoGen starts the turns of a team under a remote parent, and totals do not pass that",
)
@pytest.mark.parametrize("way", WAYS)
def test_a_team_is_a_workflow_of_its_agents(telemetry: Telemetry, way: str) -> None:
    """They act in tasks of AutoGen's runtime, in the same trace."""
    with model() as url:
        members = [agent_of(url, "first"), agent_of(url, "second")]
        team = teams.RoundRobinGroupChat(members, termination_condition=conditions.MaxMessageTermination(5))
        with watched(telemetry, budgets="agent=second/day:calls=99"):
            finish(WAYS[way](team))
    assert traces(telemetry) == 1
    assert agents_and_calls(telemetry)[:3] == ["invoke_workflow RoundRobinGroupChat", "invoke_agent first", MODEL_CALL]
    assert {"first"} <= said(telemetry, semconv.AGENT)
    total = spent(telemetry, "invoke_workflow RoundRobinGroupChat")
    assert total[0] == len(model_calls(telemetry))
