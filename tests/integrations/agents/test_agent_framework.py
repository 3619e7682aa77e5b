"""Agents of the Microsoft Agent Framework, with its own spans and without."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.integrations.agents.agent_runs import (
    MODEL,
    calls,
    finish,
    model,
    model_calls,
    refused,
    says,
    spent,
    tree,
    watched,
)
from tests.support.in_memory import Telemetry

sdk: Any = pytest.importorskip("agent_framework", reason="agent-framework is not here: `make frameworks`")
observability: Any = pytest.importorskip("agent_framework.observability", reason="agent-framework is not here")
clients: Any = pytest.importorskip("agent_framework_openai", reason="the framework's OpenAI clients are not here")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(params=[True, False], ids=["its spans", "our spans"], autouse=True)
def its_spans(request: pytest.FixtureRequest, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the framework makes spans; with the global provider, which is none of one test's own."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", telemetry.tracer_provider)
    monkeypatch.setattr(observability.OBSERVABILITY_SETTINGS, "enable_instrumentation", request.param)
    return bool(request.param)


def search(query: str) -> str:
    """Find pages."""
    return f"pages on {query}"


def agent_of(url: str, name: str = "researcher", **more: Any) -> Any:
    """An agent that asks the local model."""
    chat = clients.OpenAIChatCompletionClient(model=MODEL, base_url=url, api_key="none")
    return sdk.Agent(client=chat, name=name, **more)


@pytest.fixture(name="agent")
def an_agent() -> Iterator[Callable[[], Any]]:
    """Makes an agent with a tool."""
    with model() as url:
        yield lambda: agent_of(url, tools=[search])


async def streamed(agent: Any) -> Any:
    """Read the updates of a run."""
    return [update async for update in agent.run("Hi", stream=True)]


def agents(telemetry: Telemetry) -> list[str]:
    """The tree of the agents alone."""
    return [line for line in tree(telemetry) if "invoke_agent" in line]


def test_a_run_is_one_trace(telemetry: Telemetry, agent: Any) -> None:
    """The agent has one span, with the totals."""
    with watched(telemetry):
        finish(agent().run("Hi"))
    assert agents(telemetry) == ["invoke_agent researcher"]
    assert spent(telemetry)[:2] == (2, 1)
    assert telemetry.attributes("invoke_agent researcher")[semconv.AGENT] == "researcher"
    assert len({span.context.trace_id for span in telemetry.spans if span.context is not None}) == 1


def test_so_is_one_that_streams(telemetry: Telemetry, agent: Any) -> None:
    """What the application does between two updates is not part of the run."""

    async def reading() -> None:
        async for _ in agent().run("Hi", stream=True):
            with telemetry.tracer_provider.get_tracer("application").start_as_current_span("between"):
                pass

    with watched(telemetry):
        finish(reading())
    assert agents(telemetry) == ["invoke_agent researcher"]
    assert spent(telemetry)[:2] == (2, 1)
    assert {span.parent for span in telemetry.spans if span.name == "between"} == {None}


def test_a_stream_that_is_dropped_ends(telemetry: Telemetry, agent: Any, its_spans: bool) -> None:
    """With what it has spent until then; and one that nobody reads spends nothing."""
    if its_spans:
        pytest.skip("the framework ends its own span of such a stream, or does not")

    async def first() -> None:
        async for _ in agent().run("Hi", stream=True):
            break

    async def none() -> None:
        agent().run("Hi", stream=True)

    with watched(telemetry):
        finish(first())
        finish(none())
        gc.collect()
    assert agents(telemetry) == ["invoke_agent researcher"] * 2
    assert len(model_calls(telemetry)) == 1


@pytest.mark.parametrize("run", [lambda agent: agent.run("Hi"), streamed], ids=["run", "stream"])
@pytest.mark.parametrize("settings", [{"budgets": "agent=researcher/day:calls=1"}, {"trace_max_llm_calls": 1}])
def test_budgets_hold(telemetry: Telemetry, agent: Any, settings: Any, run: Any) -> None:
    """The refusal reaches the application, as it is or as the cause of the framework's own error."""
    with watched(telemetry, **settings):
        error = refused(lambda: run(agent()))
    assert len(model_calls(telemetry)) <= 1
    seen = [error, error.__cause__, error.__context__]
    assert any(isinstance(each, BudgetExceeded) for each in seen), seen


def test_an_agent_that_is_a_tool_is_below_the_tool(telemetry: Telemetry) -> None:
    """It shares the allowance of the agent that uses it."""
    with model(calls("writer", task="Write"), says(), says()) as url:
        writer = agent_of(url, "writer", description="Writes.")
        editor = agent_of(url, "editor", tools=[writer.as_tool()])
        with watched(telemetry):
            finish(editor.run("Hi"))
    assert spent(telemetry, "invoke_agent editor")[0] == 3
    assert [line.strip() for line in agents(telemetry)] == ["invoke_agent editor", "invoke_agent writer"]
    assert spent(telemetry, "invoke_agent writer")[0] == 1
