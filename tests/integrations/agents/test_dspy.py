"""Agents of DSPy: their model calls go through its own client (since 3.4) or through litellm."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import otel_agentcost
from otel_agentcost import BudgetExceeded
from otel_agentcost.settings.hosts import to_hosts
from otel_agentcost.testing import Answer
from tests.integrations.agents.agent_runs import (
    MODEL,
    TOOL_USD,
    USD,
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

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would fetch one

sdk: Any = pytest.importorskip("dspy", reason="dspy is not here: `make frameworks`")

ENGINES = ["lm15", "litellm"] if hasattr(sdk, "lm15") else [""]
HOSTS: Any = to_hosts("127.0.0.1=openai")

pytestmark = pytest.mark.filterwarnings("ignore")  # of litellm and its models


def search(query: str) -> str:
    """Find pages."""
    return f"pages on {query}"


def field(name: str, value: str) -> str:
    """A part of an answer, as the framework wants it."""
    return f"[[ ## {name} ## ]]\n{value}\n\n"


def answering(request: Any) -> Answer:
    """Search first, then say that this is all: one model call for each, and one for the answer."""
    asked = str(request.body["messages"][-1])
    if "next_tool_name" not in asked:
        return says(field("reasoning", "Bees.") + field("answer", "Bees shiver.") + "[[ ## completed ## ]]")
    done = "pages on" in asked
    name, arguments = ("finish", "{}") if done else ("search", '{"query": "bees"}')
    told = field("next_thought", "I search.") + field("next_tool_name", name) + field("next_tool_args", arguments)
    return says(told + "[[ ## completed ## ]]")


@pytest.fixture(name="agent", params=ENGINES)
def an_agent(request: pytest.FixtureRequest) -> Iterator[Callable[[], Any]]:
    """Makes an agent with a tool."""
    with model(answering) as url:
        engine = {"engine": request.param} if request.param else {}
        sdk.configure(lm=sdk.LM(f"openai/{MODEL}", api_base=url, api_key="none", cache=False, num_retries=0, **engine))
        yield lambda: researcher(sdk.Signature("question -> answer"), tools=[search])


class researcher(sdk.ReAct):  # type: ignore[misc] # no dependency # noqa: N801 (the agent's name)
    """An agent with a name."""


class Newsroom(sdk.Module):  # type: ignore[misc] # the framework is no dependency
    """A program of the application."""

    def __init__(self) -> None:
        super().__init__()
        self.researcher = researcher("question -> answer", tools=[search])

    def forward(self, question: str) -> Any:
        """Ask the agent."""
        return self.researcher(question=question)


async def streamed(agent: Any) -> Any:
    """Read the chunks of a run."""
    return [chunk async for chunk in sdk.streamify(agent)(question="Hi")]


WAYS: dict[str, Callable[[Any], Any]] = {
    "call": lambda agent: agent(question="Hi"),
    "acall": lambda agent: agent.acall(question="Hi"),
    "streamify": streamed,
}
CHAT = "  chat"
RUN = ["invoke_agent researcher", CHAT, "  execute_tool search", CHAT, CHAT]


def names(telemetry: Telemetry) -> list[str]:
    """The tree, without the model: litellm names it with its provider."""
    return [line.split(" gpt-")[0].split(" openai/")[0] for line in tree(telemetry)]


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_one_trace(telemetry: Telemetry, agent: Any, way: str) -> None:
    """The agent, its model calls and its tool; the tool with which it ends is none."""
    with watched(telemetry, hosts=HOSTS):
        finish(WAYS[way](agent()))
    assert names(telemetry) == RUN
    assert spent(telemetry)[:2] == (3, 1)
    if way == "streamify" and CHAT + f" openai/{MODEL}" in tree(telemetry):
        return  # litellm does not ask for the usage of a stream, and counts tokens itself
    assert spent(telemetry)[2] == pytest.approx(3 * USD + TOOL_USD)
    assert telemetry.total("agentcost.cost", gen_ai__agent__name="researcher") == pytest.approx(3 * USD + TOOL_USD)


@pytest.mark.parametrize("way", ["call", "acall"])
def test_budgets_hold(telemetry: Telemetry, agent: Any, way: str) -> None:
    """The refusal reaches the application as `BudgetExceeded`, from each client of DSPy."""
    for settings in ({"budgets": "agent=researcher/day:calls=1"}, {"trace_max_llm_calls": 1}):
        telemetry.exporter.clear()
        with watched(telemetry, hosts=HOSTS, **settings):
            assert isinstance(refused(lambda: WAYS[way](agent())), BudgetExceeded)
        assert len(model_calls(telemetry)) == 1
    telemetry.exporter.clear()
    with watched(telemetry, hosts=HOSTS), otel_agentcost.run("job", llm_calls=1) as job:
        assert isinstance(refused(lambda: WAYS[way](agent())), BudgetExceeded)
    assert job.llm_calls == len(model_calls(telemetry)) == 1


def test_a_program_of_the_application_is_a_workflow(telemetry: Telemetry, agent: Any) -> None:
    """Its agents run inside, and share its allowance."""
    del agent
    with watched(telemetry, hosts=HOSTS):
        Newsroom()(question="Hi")
    assert names(telemetry)[:2] == ["invoke_workflow Newsroom", "  invoke_agent researcher"]
    assert spent(telemetry, "invoke_workflow Newsroom")[0] == 3


def test_programs_of_a_batch_are_runs_of_their_own(telemetry: Telemetry, agent: Any) -> None:
    """DSPy runs them in threads."""
    examples = [sdk.Example(question=f"Hi {number}").with_inputs("question") for number in range(3)]
    with watched(telemetry, hosts=HOSTS):
        agent().batch(examples, num_threads=2, disable_progress_bar=True)
    assert sorted(names(telemetry)) == sorted(3 * RUN)
