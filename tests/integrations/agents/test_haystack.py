"""Agents and pipelines of Haystack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integrations.agents.agent_runs import (
    MODEL,
    MODEL_CALL,
    finish,
    model,
    model_calls,
    refused,
    spent,
    tree,
    watched,
)
from tests.support.in_memory import Telemetry

sdk: Any = pytest.importorskip("haystack", reason="haystack is not here: `make frameworks`")
agents: Any = pytest.importorskip("haystack.components.agents", reason="this release of haystack has no agents")
generators: Any = pytest.importorskip("haystack.components.generators.chat", reason="haystack is not here")
tools: Any = pytest.importorskip("haystack.tools", reason="haystack is not here")
auth: Any = pytest.importorskip("haystack.utils", reason="haystack is not here")

ASKED = {"messages": [sdk.dataclasses.ChatMessage.from_user("Hi")]}
RUN = ["invoke_agent Agent", f"  {MODEL_CALL}", "  execute_tool search", f"  {MODEL_CALL}"]


@tools.tool  # type: ignore[untyped-decorator] # the framework is no dependency
def search(query: str) -> str:
    """Find pages."""
    return f"pages on {query}"


@pytest.fixture(name="agent")
def an_agent() -> Iterator[Any]:
    """An agent with a tool."""
    with model() as url:
        key = auth.Secret.from_token("none")
        chat = generators.OpenAIChatGenerator(api_key=key, model=MODEL, api_base_url=url, max_retries=0)
        agent = agents.Agent(chat_generator=chat, tools=[search])
        agent.warm_up()
        yield agent


WAYS: dict[str, Callable[[Any], Any]] = {
    "run": lambda agent: agent.run(**ASKED),
    "run_async": lambda agent: agent.run_async(**ASKED),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_one_trace(telemetry: Telemetry, agent: Any, way: str) -> None:
    """The agent, its model calls, its tool."""
    with watched(telemetry):
        finish(WAYS[way](agent))
    assert tree(telemetry) == RUN
    assert spent(telemetry, RUN[0])[:2] == (2, 1)


def test_a_pipeline_is_a_workflow(telemetry: Telemetry, agent: Any) -> None:
    """In it, an agent has the name of its component, which a budget can name."""
    pipeline = sdk.Pipeline()
    pipeline.add_component("researcher", agent)
    with watched(telemetry, budgets="agent=researcher/day:calls=2"):
        pipeline.run({"researcher": ASKED})
        refused(lambda: pipeline.run({"researcher": ASKED}))
    assert tree(telemetry)[:2] == ["invoke_workflow Pipeline", "  invoke_agent researcher"]
    assert len(model_calls(telemetry)) == 2


@pytest.mark.parametrize("way", WAYS)
def test_budgets_hold(telemetry: Telemetry, agent: Any, way: str) -> None:
    """The second call of a trace is refused, and no further one is sent."""
    with watched(telemetry, trace_max_llm_calls=1):
        refused(lambda: WAYS[way](agent))
    assert len(model_calls(telemetry)) == 1
