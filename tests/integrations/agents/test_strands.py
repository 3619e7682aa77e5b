"""Agents of Strands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace

from tests.integrations.agents.agent_runs import MODEL, RUN_USD, finish, model, refused, spent, tree, watched
from tests.support.in_memory import Telemetry

sdk: Any = pytest.importorskip("strands", reason="strands is not here: `make frameworks`")
models: Any = pytest.importorskip("strands.models.openai", reason="strands' OpenAI models are not here")
tracing: Any = pytest.importorskip("strands.telemetry.tracer", reason="strands is not here")


@pytest.fixture(autouse=True)
def its_spans(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strands makes spans with the global provider, which is none of one test's own."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", telemetry.tracer_provider)
    tracer = tracing.get_tracer()
    monkeypatch.setattr(tracer, "tracer", telemetry.tracer_provider.get_tracer("strands"))
    monkeypatch.setattr(tracer, "tracer_provider", telemetry.tracer_provider)


tool: Any = sdk.tool


@tool  # type: ignore[untyped-decorator] # the framework is no dependency
def search(query: str) -> str:
    """Find pages.

    Args:
        query: The words to look for.
    """
    return f"pages on {query}"


@pytest.fixture(name="agent")
def an_agent() -> Iterator[Callable[[], Any]]:
    """Makes an agent with a tool: an agent remembers its conversation."""
    with model() as url:
        options = {"base_url": url, "api_key": "none", "max_retries": 0}
        chat = models.OpenAIModel(model_id=MODEL, client_args=options)
        yield lambda: sdk.Agent(name="researcher", model=chat, tools=[search], callback_handler=None)


async def streamed(agent: Any) -> Any:
    """Read the events of a run."""
    return [event async for event in agent.stream_async("Hi")]


WAYS: dict[str, Callable[[Any], Any]] = {
    "call": lambda agent: agent("Hi"),
    "invoke_async": lambda agent: agent.invoke_async("Hi"),
    "stream_async": streamed,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_one_trace(telemetry: Telemetry, agent: Any, way: str) -> None:
    """The agent has one span, that of Strands, with the totals of its model calls."""
    with watched(telemetry):
        finish(WAYS[way](agent()))
    lines = [line.strip() for line in tree(telemetry)]
    assert lines[0] == "invoke_agent researcher"
    assert lines.count("invoke_agent researcher") == 1
    assert len({span.context.trace_id for span in telemetry.spans if span.context is not None}) == 1
    assert spent(telemetry) == (2, 1, pytest.approx(RUN_USD))
    assert lines.count("execute_tool search") == 1
    assert sum(line.startswith("chat") for line in lines) == 2  # the spans of model calls are those of Strands too


@pytest.mark.parametrize("way", WAYS)
def test_budgets_hold(telemetry: Telemetry, agent: Any, way: str) -> None:
    """The second call is refused."""
    for settings in ({"budgets": "agent=researcher/day:calls=1"}, {"trace_max_llm_calls": 1}):
        telemetry.exporter.clear()
        with watched(telemetry, **settings):
            refused(lambda: WAYS[way](agent()))
        assert telemetry.total("agentcost.budget.refusals") >= 1
