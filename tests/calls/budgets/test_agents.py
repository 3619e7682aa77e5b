"""Budgets of agents and conversations, as the agents' own spans name them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import OpenAI

import otel_agentcost
from otel_agentcost import BudgetExceeded
from tests.support.budgeted_calls import USD, answering, ask, budgeted, client, until_refused
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer


@pytest.fixture
def openai(model_server: ModelServer) -> Iterator[OpenAI]:
    """A client whose calls all succeed."""
    with client(answering(model_server)) as made:
        yield made


def test_an_agent_is_known_by_its_own_span(telemetry: Telemetry, openai: OpenAI) -> None:
    """A framework's `invoke_agent` span names the agent: its calls count in the budget of that agent alone."""
    tracer = telemetry.tracer_provider.get_tracer("framework")
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "researcher"}
    with budgeted(telemetry, budgets="agent=researcher:calls=2"):
        with tracer.start_as_current_span("invoke_agent researcher", attributes=agent):
            made, error = until_refused(lambda: ask(openai))
        with tracer.start_as_current_span("invoke_agent writer", attributes={**agent, "gen_ai.agent.name": "writer"}):
            for _ in range(5):
                ask(openai)
    assert (made, error.scope, error.value) == (2, "agent", "researcher")
    assert telemetry.total("agentcost.cost", gen_ai__agent__name="researcher") == pytest.approx(2 * USD)
    assert telemetry.total("agentcost.cost", gen_ai__agent__name="writer") == pytest.approx(5 * USD)


def test_the_nearest_agent_counts_and_the_code_has_the_last_word(telemetry: Telemetry, openai: OpenAI) -> None:
    """A child agent's calls are the child's; what `attribute` says goes before any span."""
    tracer = telemetry.tracer_provider.get_tracer("framework")

    def named(name: str) -> dict[str, str]:
        return {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name, "gen_ai.conversation.id": "c1"}

    with budgeted(telemetry, agent="default", budgets="conversation=c1:calls=3"):
        ask(openai)
        with tracer.start_as_current_span("invoke_agent", attributes=named("outer")):
            ask(openai)
            with tracer.start_as_current_span("invoke_agent", attributes=named("inner")):
                ask(openai)
                with otel_agentcost.attribute(agent="mine"):
                    ask(openai)
                with pytest.raises(BudgetExceeded, match="conversation c1"):
                    ask(openai)
    chats = [dict(span.attributes or {}) for span in telemetry.spans if span.name.startswith("chat")]
    assert [chat["gen_ai.agent.name"] for chat in chats] == ["default", "outer", "inner", "mine", "inner"]
