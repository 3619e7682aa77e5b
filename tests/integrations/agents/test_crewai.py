"""Crews, flows and agents of CrewAI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.agents.agent_runs import (
    MODEL,
    MODEL_CALL,
    RUN,
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

# Before it is imported: it would send what it sees to its makers, and ask the user at the terminal.
os.environ.update({"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_DISABLE_TRACKING": "true", "CREWAI_TESTING": "true"})

crewai: Any = pytest.importorskip("crewai", reason="crewai is not here: `make frameworks`")
tools: Any = pytest.importorskip("crewai.tools", reason="crewai is not here")
flows: Any = pytest.importorskip("crewai.flow.flow", reason="crewai is not here")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

BY_LITELLM = not hasattr(crewai, "BaseLLM")
"""Older releases call models through LiteLLM, which is not what is tested here."""
NATIVE = pytest.mark.skipif(BY_LITELLM, reason="this release of crewai calls models through LiteLLM only")


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


@pytest.fixture(name="agent")
def an_agent() -> Iterator[Any]:
    """An agent with a tool."""
    with model() as url:
        yield agent_of(url, tools=[search])


NEWSROOM = ["invoke_workflow newsroom", *("  " + line for line in RUN)]


@NATIVE
def test_a_crew_is_a_workflow_of_its_agents(telemetry: Telemetry, agent: Any) -> None:
    """Each of them is below the crew, with its own model calls and tools."""
    with watched(telemetry):
        crew_of(agent).kickoff()
    assert tree(telemetry) == NEWSROOM
    assert spent(telemetry)[:2] == (2, 1)
    assert spent(telemetry, NEWSROOM[0])[:2] == (2, 1)


@NATIVE
def test_so_is_one_that_runs_in_an_event_loop(telemetry: Telemetry, agent: Any) -> None:
    """In a thread, and natively."""
    with watched(telemetry):
        finish(crew_of(agent).kickoff_async())
        finish(crew_of(agent).akickoff())
    assert tree(telemetry) == NEWSROOM * 2


@NATIVE
def test_so_is_one_that_streams(telemetry: Telemetry, agent: Any) -> None:
    """Its run is in the thread that makes the chunks."""
    with watched(telemetry):
        list(crew_of(agent, stream=True).kickoff())
    assert tree(telemetry)[0] == NEWSROOM[0]
    assert len({span.context.trace_id for span in telemetry.spans if span.context is not None}) == 1


@NATIVE
def test_an_agent_runs_without_a_crew(telemetry: Telemetry, agent: Any) -> None:
    """By `kickoff`, in an event loop or not."""
    check_run(telemetry, lambda: agent.kickoff("Find bees"))
    telemetry.exporter.clear()
    with watched(telemetry):
        finish(agent.kickoff_async("Find bees"))
    assert tree(telemetry) == RUN


@NATIVE
def test_a_flow_is_a_workflow(telemetry: Telemetry) -> None:
    """With the crews and the agents that its steps start."""
    with model(says()) as url:
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
        f"      {MODEL_CALL}",
    ]


@NATIVE
def test_budgets_hold(telemetry: Telemetry, agent: Any) -> None:
    """The refusal reaches the application as it is."""
    check_budgets(telemetry, lambda: crew_of(agent).kickoff())
