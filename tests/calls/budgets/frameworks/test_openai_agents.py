"""OpenAI's Agents SDK: its runner, its retry policies, its streams, and tools whose exceptions become answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from otel_agentcost import BudgetExceeded
from tests.calls.budgets.frameworks.endless_agent import ATTEMPTS, Budgeted, spending
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

agents: Any = pytest.importorskip(
    "agents", reason="openai-agents is not installed: `make neighbours` installs it", exc_type=ImportError
)

pytestmark = pytest.mark.filterwarnings("default")  # what frameworks warn of is not what these tests are about

Model = Callable[[Budgeted], Any]
Go = Callable[[Budgeted, Any], Any]


@pytest.fixture
def scene(telemetry: Telemetry, model_server: ModelServer) -> Iterator[Budgeted]:
    """A budget over everything; the framework's own traces, which would go to the network, are off."""
    agents.set_tracing_disabled(True)
    with spending(telemetry, model_server) as made:
        yield made


def chat(scene: Budgeted) -> Any:
    """A model behind chat completions."""
    return agents.OpenAIChatCompletionsModel("gpt-4o", scene.openai())


def responses(scene: Budgeted) -> Any:
    """A model behind the responses API."""
    return agents.OpenAIResponsesModel("gpt-4o", scene.openai())


def insistent(**more: Any) -> Any:
    """Settings of a model that is asked again whatever was raised."""

    async def always(_context: Any) -> bool:
        return True

    retry = agents.ModelRetrySettings(
        max_retries=ATTEMPTS, policy=always, backoff={"initial_delay": 0, "max_delay": 0, "jitter": False}
    )
    return agents.ModelSettings(max_tokens=50, retry=retry, include_usage=True, **more)


def agent_of(model: Any, *tools: Any) -> Any:
    """An agent that uses its tools for ever."""
    return agents.Agent(
        name="researcher", model=model, tools=list(tools), model_settings=insistent(), reset_tool_choice=False
    )


def look() -> str:
    """Looks."""
    return "nothing new"


def run(scene: Budgeted, agent: Any) -> Any:
    """One run, without a limit of turns that it could reach."""
    return scene.run(agents.Runner.run(agent, "Hi", max_turns=10_000))


def run_streamed(scene: Budgeted, agent: Any) -> list[Any]:
    """One run as a stream of events."""

    async def events() -> list[Any]:
        result = agents.Runner.run_streamed(agent, "Hi", max_turns=10_000)
        return [event async for event in result.stream_events()]

    return scene.run(events())


@pytest.mark.parametrize("model", [chat, responses])
@pytest.mark.parametrize("go", [run, run_streamed])
def test_a_run_in_a_loop(scene: Budgeted, model: Model, go: Go) -> None:
    """The refusal itself ends the run, whole or streamed, however often the runner is told to try again."""
    agent = agent_of(model(scene), agents.function_tool(look))
    scene.use_up(lambda: go(scene, agent))
    with pytest.raises(BudgetExceeded):
        go(scene, agent)
    scene.stays_refused(lambda: go(scene, agent))


@pytest.mark.parametrize("go", [run, run_streamed])
def test_a_tool_that_swallows_the_refusal(scene: Budgeted, go: Go) -> None:
    """What a tool raises is told to the model as an answer: the call that would tell it is refused too."""
    asked: list[str] = []

    async def think() -> str:
        """Asks another model."""
        asked.append("once")
        answered = await scene.openai().chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Think"}], max_tokens=50
        )
        return str(answered.choices[0].message.content)

    agent = agent_of(chat(scene), agents.function_tool(think))
    scene.use_up(lambda: go(scene, agent))
    assert len(asked) > 1
    scene.stays_refused(lambda: go(scene, agent))


def test_an_agent_that_is_a_tool(scene: Budgeted) -> None:
    """An agent within an agent spends from the same budget, and its refusal, an answer to the outer one, ends both."""
    inner = agent_of(chat(scene), agents.function_tool(look))
    outer = agent_of(chat(scene), inner.as_tool("ask_researcher", "Asks the researcher", max_turns=10_000))
    scene.use_up(lambda: run(scene, outer))
    scene.stays_refused(lambda: run(scene, outer))
