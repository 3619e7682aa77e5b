"""Agents of Google ADK."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from opentelemetry import trace

from otel_agentcost.core import semconv
from otel_agentcost.testing import Answer, FakeModel, ToolCall
from tests.integrations.agents.agent_runs import finish, refused, spent, tree, watched
from tests.support.in_memory import Telemetry

sdk: Any = pytest.importorskip("google.adk.agents", reason="google-adk is not here: `make frameworks`")
models: Any = pytest.importorskip("google.adk.models", reason="google-adk is not here")
runners: Any = pytest.importorskip("google.adk.runners", reason="google-adk is not here")
adk_telemetry: Any = pytest.importorskip("google.adk.telemetry", reason="google-adk is not here")
genai: Any = pytest.importorskip("google.genai", reason="google-genai is not here")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
GEMINI = "gemini-2.5-flash"


@pytest.fixture(autouse=True)
def its_spans(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """ADK makes spans with the global provider, which is none of one test's own."""
    modules = [module for name, module in sys.modules.copy().items() if name.startswith("google.adk")]
    for tracer in {adk_telemetry.tracer, *(vars(module)["tracer"] for module in modules if "tracer" in vars(module))}:
        monkeypatch.setattr(tracer, "_real_tracer", telemetry.tracer_provider.get_tracer("gcp.vertex.agent"))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", telemetry.tracer_provider)


def search(query: str) -> str:
    """Find pages."""
    return f"pages on {query}"


@pytest.fixture(name="gemini")
def a_model() -> Iterator[Callable[..., Any]]:
    """Makes models of ADK, each of which asks a local one."""
    with ExitStack() as servers:

        def made(*answers: Any) -> Any:
            url = servers.enter_context(FakeModel(*answers).server()).url
            model = models.Gemini(model=GEMINI)
            model.__dict__["api_client"] = genai.Client(api_key="none", http_options={"base_url": url})
            return model

        yield made


def says(text: str = "Bees shiver.") -> Answer:
    """An answer of the model."""
    return Answer(text, input_tokens=100, output_tokens=50)


def calls(tool: str, **arguments: Any) -> Answer:
    """An answer of the model that calls a tool."""
    return Answer(tools=(ToolCall(tool, arguments),), input_tokens=100, output_tokens=50)


async def run(agent: Any) -> list[Any]:
    """Run an agent in a session of its own."""
    runner = runners.InMemoryRunner(agent, app_name="app")
    session = f"s-{uuid.uuid4()}"
    await runner.session_service.create_session(app_name="app", user_id="u", session_id=session)
    said = genai.types.Content(role="user", parts=[genai.types.Part(text="Hi")])
    return [event async for event in runner.run_async(user_id="u", session_id=session, new_message=said)]


@pytest.fixture(name="agent")
def an_agent(gemini: Callable[..., Any]) -> Callable[[], Any]:
    """Makes an agent with a tool."""
    return lambda: sdk.LlmAgent(
        name="researcher", model=gemini(calls("search", query="bees"), says()), tools=[search], description="finds"
    )


def agents(telemetry: Telemetry) -> list[str]:
    """The names of the agents' spans, in their order."""
    named = ("invoke_agent", "agent_run")
    return [line.strip() for line in tree(telemetry) if line.strip().startswith(named)]


def test_a_run_is_one_trace(telemetry: Telemetry, agent: Any) -> None:
    """The agent has one span, that of ADK, with the totals of its model calls and its conversation."""
    with watched(telemetry):
        finish(run(agent()))
    (name,) = agents(telemetry)
    assert len({span.context.trace_id for span in telemetry.spans if span.context is not None}) == 1
    assert spent(telemetry, name)[:2] == (2, 1)
    attributes = telemetry.attributes(name)
    assert attributes[semconv.AGENT] == "researcher"
    assert str(attributes[semconv.CONVERSATION]).startswith("s-")


@pytest.mark.parametrize("settings", [{"budgets": "agent=researcher/day:calls=1"}, {"trace_max_llm_calls": 1}])
def test_budgets_hold(telemetry: Telemetry, agent: Any, settings: Any) -> None:
    """The refusal reaches the application."""
    with watched(telemetry, **settings):
        refused(lambda: run(agent()))
    assert telemetry.total("agentcost.budget.refusals") >= 1


def test_an_agent_that_takes_over_shares_the_allowance_of_the_first_one(telemetry: Telemetry, gemini: Any) -> None:
    """It runs inside of it."""
    writer = sdk.LlmAgent(name="writer", model=gemini(says()), description="writes")
    answers = (calls("transfer_to_agent", agent_name="writer"), says())
    editor = sdk.LlmAgent(name="editor", model=gemini(*answers), sub_agents=[writer])
    with watched(telemetry, budgets="agent=editor/day:calls=2"):
        finish(run(editor))
        refused(lambda: run(editor))
    assert [name.split()[-1].strip("[]") for name in agents(telemetry)][:2] == ["editor", "writer"]
