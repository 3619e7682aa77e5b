"""Crews, flows and agents of CrewAI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost.testing import Answer
from tests.integrations.agents.agent_runs import (
    MODEL,
    MODEL_CALL,
    check_budgets,
    check_run,
    finish,
    model,
    says,
    searching,
    spent,
    tree,
    watched,
)
from tests.support.in_memory import Telemetry

# Before it is imported: it would send what it sees to its makers, and ask the user at the terminal.
os.environ.update({"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_DISABLE_TRACKING": "true", "CREWAI_TESTING": "true"})
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would fetch one

crewai: Any = pytest.importorskip("crewai", reason="crewai is not here: `make frameworks`")
tools: Any = pytest.importorskip("crewai.tools", reason="crewai is not here")
flows: Any = pytest.importorskip("crewai.flow.flow", reason="crewai is not here")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

BY_LITELLM = not hasattr(crewai, "BaseLLM")
"""Older releases call models through LiteLLM, and let them call tools in words."""
CALL = f"chat openai/{MODEL}" if BY_LITELLM else MODEL_CALL
RUN = ["invoke_agent researcher", f"  {CALL}", "  execute_tool search", f"  {CALL}"]


def has(kind: Any, *methods: str) -> pytest.MarkDecorator:
    """Skip a test of methods that came later than the release."""
    return pytest.mark.skipif(
        not all(hasattr(kind, method) for method in methods), reason=f"this crewai has no {', '.join(methods)}"
    )


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What crewai remembers, it remembers for one test."""
    monkeypatch.setenv("CREWAI_STORAGE_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))


@tools.tool("search")  # type: ignore[untyped-decorator] # the framework is no dependency
def search(query: str) -> str:
    """Finds pages."""
    return f"pages on {query}"


def agent_of(url: str, role: str = "researcher", **more: Any) -> Any:
    """An agent that asks the local model."""
    llm = crewai.LLM(model=f"openai/{MODEL}" if BY_LITELLM else MODEL, base_url=url, api_key="none")
    return crewai.Agent(role=role, goal="Find things", backstory="Curious.", llm=llm, **more)


def crew_of(*agents: Any, name: str = "newsroom", **more: Any) -> Any:
    """A crew with a task for each agent."""
    tasks = [crewai.Task(description="Find bees", expected_output="Bees", agent=agent) for agent in agents]
    return crewai.Crew(name=name, agents=list(agents), tasks=tasks, **more)


def answering(request: Any) -> Answer:
    """Call the tool first, and say something when its result is there."""
    if not BY_LITELLM:
        return searching(request)
    if "pages on" in str(request.body["messages"]):
        return says("Thought: I know.\nFinal Answer: Bees shiver.")
    return says('Thought: I search.\nAction: search\nAction Input: {"query": "bees"}')


@pytest.fixture(name="agent")
def an_agent() -> Iterator[Any]:
    """An agent with a tool."""
    with model(answering) as url:
        yield agent_of(url, tools=[search])


NEWSROOM = ["invoke_workflow newsroom", *("  " + line for line in RUN)]


def test_a_crew_is_a_workflow_of_its_agents(telemetry: Telemetry, agent: Any) -> None:
    """Each of them is below the crew, with its own model calls and tools."""
    with watched(telemetry):
        crew_of(agent).kickoff()
    assert tree(telemetry) == NEWSROOM
    assert spent(telemetry)[:2] == (2, 1)
    assert spent(telemetry, NEWSROOM[0])[:2] == (2, 1)


@pytest.mark.parametrize("way", ["kickoff_async", pytest.param("akickoff", marks=has(crewai.Crew, "akickoff"))])
def test_so_is_one_that_runs_in_an_event_loop(telemetry: Telemetry, agent: Any, way: str) -> None:
    """In a thread, and natively."""
    with watched(telemetry):
        finish(getattr(crew_of(agent), way)())
    assert tree(telemetry) == NEWSROOM


@pytest.mark.skipif("stream" not in crewai.Crew.model_fields, reason="this crewai streams no crews")
def test_so_is_one_that_streams(telemetry: Telemetry, agent: Any) -> None:
    """Its run is in the thread that makes the chunks."""
    with watched(telemetry):
        list(crew_of(agent, stream=True).kickoff())
    assert tree(telemetry)[0] == NEWSROOM[0]
    assert len({span.context.trace_id for span in telemetry.spans if span.context is not None}) == 1


@has(crewai.Agent, "kickoff", "kickoff_async")
def test_an_agent_runs_without_a_crew(telemetry: Telemetry, agent: Any) -> None:
    """By `kickoff`, in an event loop or not."""
    check_run(telemetry, lambda: agent.kickoff("Find bees"), RUN)
    telemetry.exporter.clear()
    with watched(telemetry):
        finish(agent.kickoff_async("Find bees"))
    assert tree(telemetry) == RUN


def test_a_flow_is_a_workflow(telemetry: Telemetry) -> None:
    """With the crews and the agents that its steps start."""
    with model(says("Thought: I know.\nFinal Answer: Bees shiver.")) as url:
        writer = agent_of(url, "writer")

        class Story(flows.Flow):  # type: ignore[misc]
            """A flow of one crew."""

            @flows.start()  # type: ignore[untyped-decorator]
            def write(self) -> Any:
                return crew_of(writer).kickoff()

        with watched(telemetry):
            Story().kickoff()
    assert tree(telemetry) == [
        "invoke_workflow Story",
        "  invoke_workflow newsroom",
        "    invoke_agent writer",
        f"      {CALL}",
    ]


def test_budgets_hold(telemetry: Telemetry, agent: Any) -> None:
    """The refusal reaches the application as it is."""
    check_budgets(telemetry, lambda: crew_of(agent).kickoff())
