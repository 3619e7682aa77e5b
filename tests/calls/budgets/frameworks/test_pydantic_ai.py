"""Pydantic AI: its retries, its fallback models, its streams, and tools that ask the model to try again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from otel_agentcost import BudgetExceeded
from tests.calls.budgets.frameworks.endless_agent import ATTEMPTS, Budgeted, spending
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

WHY = "pydantic-ai is not installed: `make neighbours` installs it"
pydantic_ai: Any = pytest.importorskip("pydantic_ai", reason=WHY)
fallback: Any = pytest.importorskip("pydantic_ai.models.fallback", reason=WHY)
openai_models: Any = pytest.importorskip("pydantic_ai.models.openai", reason=WHY)
openai_provider: Any = pytest.importorskip("pydantic_ai.providers.openai", reason=WHY)
anthropic_models: Any = pytest.importorskip("pydantic_ai.models.anthropic", reason=WHY)
anthropic_provider: Any = pytest.importorskip("pydantic_ai.providers.anthropic", reason=WHY)

pytestmark = pytest.mark.filterwarnings("default")  # what frameworks warn of is not what these tests are about

Model = Callable[[Budgeted], Any]
Go = Callable[[Budgeted, Any], Any]


@pytest.fixture
def scene(telemetry: Telemetry, model_server: ModelServer) -> Iterator[Budgeted]:
    """A budget over everything."""
    with spending(telemetry, model_server) as made:
        yield made


def chat(scene: Budgeted) -> Any:
    """A model behind OpenAI's chat completions."""
    return openai_models.OpenAIChatModel(
        "gpt-4o", provider=openai_provider.OpenAIProvider(openai_client=scene.openai())
    )


def responses(scene: Budgeted) -> Any:
    """A model behind OpenAI's responses API."""
    provider = openai_provider.OpenAIProvider(openai_client=scene.openai())
    return openai_models.OpenAIResponsesModel("gpt-4o", provider=provider)


def claude(scene: Budgeted) -> Any:
    """A model of Anthropic's."""
    provider = anthropic_provider.AnthropicProvider(anthropic_client=scene.anthropic())
    return anthropic_models.AnthropicModel("claude-sonnet-4-6", provider=provider)


def agent_of(model: Any, *tools: Any) -> Any:
    """An agent that uses its tools for ever, and tries everything again."""
    return pydantic_ai.Agent(model, tools=list(tools), retries=ATTEMPTS, model_settings={"max_tokens": 50})


def look() -> str:
    """Looks."""
    return "nothing new"


UNLIMITED = {"request_limit": None}


def run(scene: Budgeted, agent: Any) -> Any:
    """One run."""
    return scene.run(agent.run("Hi", usage_limits=pydantic_ai.UsageLimits(**UNLIMITED)))


def run_streamed(scene: Budgeted, agent: Any) -> Any:
    """One run as a stream of words."""

    async def words() -> list[str]:
        limits = pydantic_ai.UsageLimits(**UNLIMITED)
        async with agent.run_stream("Hi", usage_limits=limits) as result:
            return [word async for word in result.stream_text(delta=True)]

    return scene.run(words())


@pytest.mark.parametrize("model", [chat, responses, claude])
@pytest.mark.parametrize("go", [run, run_streamed])
def test_a_run_in_a_loop(scene: Budgeted, model: Model, go: Go) -> None:
    """The refusal itself ends the run, whole or streamed."""
    agent = agent_of(model(scene), look)
    scene.use_up(lambda: go(scene, agent))
    with pytest.raises(BudgetExceeded):
        go(scene, agent)
    scene.stays_refused(lambda: go(scene, agent))


@pytest.mark.parametrize("go", [run, run_streamed])
def test_models_to_fall_back_to(scene: Budgeted, go: Go) -> None:
    """Falling back on any exception, through models of two providers, ends in a group of refusals, and no request."""
    model = fallback.FallbackModel(chat(scene), claude(scene), responses(scene), fallback_on=(Exception,))
    agent = agent_of(model, look)
    scene.use_up(lambda: go(scene, agent))
    scene.stays_refused(lambda: go(scene, agent))


def test_a_tool_that_swallows_the_refusal(scene: Budgeted) -> None:
    """A tool that answers with a request to try again, whatever happened in it: the model's next call is refused."""
    asked: list[str] = []
    inner = pydantic_ai.Agent(chat(scene), model_settings={"max_tokens": 50})

    async def think() -> str:
        """Asks another model."""
        asked.append("once")
        try:
            return str((await inner.run("Think")).output)
        except Exception as error:
            raise pydantic_ai.ModelRetry("try again") from error

    agent = agent_of(chat(scene), think)
    scene.use_up(lambda: run(scene, agent))
    assert len(asked) > 1
    scene.stays_refused(lambda: run(scene, agent))


def test_an_answer_that_is_never_good_enough(scene: Budgeted) -> None:
    """A validator that sends every answer back spends until the budget is used up, and nothing after it."""
    agent = pydantic_ai.Agent(chat(scene), retries=10_000, model_settings={"max_tokens": 50})

    @agent.output_validator  # type: ignore[untyped-decorator]
    def never(_answer: str) -> str:
        raise pydantic_ai.ModelRetry("try again")

    scene.use_up(lambda: run(scene, agent))
    scene.stays_refused(lambda: run(scene, agent))
