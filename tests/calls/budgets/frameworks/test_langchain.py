"""LangChain and LangGraph: retries, fallbacks, agents, tools and callbacks that swallow what is raised in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from otel_agentcost import BudgetExceeded
from tests.calls.budgets.frameworks.endless_agent import ATTEMPTS, Budgeted, spending
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

WHY = "langchain is not installed: `make neighbours` installs it"
langchain_openai: Any = pytest.importorskip("langchain_openai", reason=WHY)
langchain_anthropic: Any = pytest.importorskip("langchain_anthropic", reason=WHY)
agents: Any = pytest.importorskip("langchain.agents", reason=WHY)
middleware: Any = pytest.importorskip("langchain.agents.middleware", reason=WHY)
callbacks: Any = pytest.importorskip("langchain_core.callbacks", reason=WHY)

pytestmark = pytest.mark.filterwarnings("default")  # what frameworks warn of is not what these tests are about

HI = {"messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def scene(telemetry: Telemetry, model_server: ModelServer) -> Iterator[Budgeted]:
    """A budget over everything."""
    with spending(telemetry, model_server) as made:
        yield made


def gpt(scene: Budgeted, **more: Any) -> Any:
    """The chat model over the OpenAI SDK."""
    given = {"model": "gpt-4o", "max_tokens": 50, "max_retries": ATTEMPTS, **more}
    return langchain_openai.ChatOpenAI(base_url=scene.url, api_key="none", **given)


def claude(scene: Budgeted, **more: Any) -> Any:
    """The chat model over the Anthropic SDK."""
    given = {"model": "claude-sonnet-4-6", "max_tokens": 50, "max_retries": ATTEMPTS, **more}
    return langchain_anthropic.ChatAnthropic(base_url=scene.server.url, api_key="none", **given)


def insistent(model: Any) -> Any:
    """`model`, tried again whatever was raised, without a pause."""
    return model.with_retry(
        retry_if_exception_type=(Exception,),
        wait_exponential_jitter=False,
        stop_after_attempt=ATTEMPTS,
        exponential_jitter_params={"initial": 0, "max": 0},
    )


def look() -> str:
    """Looks."""
    return "nothing new"


@pytest.mark.parametrize("sdk", [gpt, claude])
def test_a_chain_that_retries(scene: Budgeted, sdk: Callable[..., Any]) -> None:
    """`with_retry` on any exception ends with the refusal itself, and none of its attempts is sent."""
    chain = insistent(sdk(scene))
    scene.use_up(lambda: chain.invoke("Hi"))
    with pytest.raises(BudgetExceeded):
        chain.invoke("Hi")
    scene.stays_refused(lambda: chain.batch(["Hi"] * 8))


def test_the_responses_api(scene: Budgeted) -> None:
    """The same where the model is called by OpenAI's responses API."""
    chain = insistent(gpt(scene, use_responses_api=True))
    scene.use_up(lambda: chain.invoke("Hi"))
    scene.stays_refused(lambda: chain.invoke("Hi"))


@pytest.mark.parametrize("sdk", [gpt, claude])
def test_a_stream(scene: Budgeted, sdk: Callable[..., Any]) -> None:
    """Streams are refused like whole answers, and each that was admitted is charged once."""
    chain = insistent(sdk(scene))
    scene.use_up(lambda: list(chain.stream("Hi")))
    scene.stays_refused(lambda: list(chain.stream("Hi")))


async def test_an_asynchronous_chain(scene: Budgeted) -> None:
    """Awaited calls and asynchronous streams are refused alike."""
    chain = insistent(gpt(scene))
    scene.use_up(lambda: chain.invoke("Hi"))
    before = scene.books()
    with pytest.raises(BudgetExceeded):
        await chain.ainvoke("Hi")
    with pytest.raises(BudgetExceeded):
        [chunk async for chunk in chain.astream("Hi")]
    assert scene.books() == before


def test_a_chain_that_falls_back(scene: Budgeted) -> None:
    """Another provider's model is no way around a budget that holds it too."""
    chain = gpt(scene).with_fallbacks([claude(scene), gpt(scene, model="gpt-5-mini")])
    scene.use_up(lambda: chain.invoke("Hi"))
    assert len({request.json["model"] for request in scene.server.requests}) > 1
    scene.stays_refused(lambda: chain.invoke("Hi"))


@pytest.mark.parametrize("sdk", [gpt, claude])
def test_an_agent_in_a_loop(scene: Budgeted, sdk: Callable[..., Any]) -> None:
    """An agent that would call its tool for ever is ended by the refusal; run again, it sends nothing."""
    agent = agents.create_agent(sdk(scene), [look]).with_config(recursion_limit=10_000)
    scene.use_up(lambda: agent.invoke(HI))
    scene.stays_refused(lambda: agent.invoke(HI))
    scene.stays_refused(lambda: list(agent.stream(HI, stream_mode="messages")))


def test_an_agent_with_retries_and_fallbacks(scene: Budgeted) -> None:
    """An agent whose middleware retries, and then falls back to another model, meets the refusal each time."""
    again = middleware.ModelRetryMiddleware(
        max_retries=ATTEMPTS, retry_on=(Exception,), on_failure="error", initial_delay=0, jitter=False
    )
    other = middleware.ModelFallbackMiddleware(claude(scene))
    agent = agents.create_agent(gpt(scene), [look], middleware=[other, again]).with_config(recursion_limit=10_000)
    scene.use_up(lambda: agent.invoke(HI))
    scene.stays_refused(lambda: agent.invoke(HI))


def test_an_agent_that_answers_with_its_failure(scene: Budgeted) -> None:
    """Middleware that turns every failure into an answer ends the agent with the refusal's words, and no request."""
    again = middleware.ModelRetryMiddleware(
        max_retries=ATTEMPTS, retry_on=(Exception,), on_failure="continue", initial_delay=0, jitter=False
    )
    agent = agents.create_agent(gpt(scene), [look], middleware=[again])
    scene.use_up(lambda: gpt(scene).invoke("Hi"))
    before = scene.books()
    assert "BudgetExceeded" in agent.invoke(HI)["messages"][-1].content
    assert scene.books() == before


def test_a_tool_that_swallows_the_refusal(scene: Budgeted) -> None:
    """A tool that calls a model, under middleware that hides what tools raise: the agent's own next call is refused."""
    asked: list[str] = []

    def think() -> str:
        """Asks another model."""
        asked.append("once")
        return str(gpt(scene).invoke("Think").content)

    hides = middleware.ToolRetryMiddleware(
        max_retries=2, retry_on=(Exception,), on_failure="continue", initial_delay=0, jitter=False
    )
    agent = agents.create_agent(gpt(scene), [think], middleware=[hides]).with_config(recursion_limit=10_000)
    scene.use_up(lambda: agent.invoke(HI))
    assert len(asked) > 1
    scene.stays_refused(lambda: agent.invoke(HI))


def test_a_callback_that_fails_changes_nothing(scene: Budgeted) -> None:
    """A handler whose exceptions LangChain logs and drops neither lifts the budget nor hides the refusal."""

    class Failing(callbacks.BaseCallbackHandler):  # type: ignore[misc]
        def on_llm_error(self, error: BaseException, **_: Any) -> None:
            raise ValueError("a handler's own failure")

    chain = insistent(gpt(scene, callbacks=[Failing()]))
    scene.use_up(lambda: chain.invoke("Hi"))
    scene.stays_refused(lambda: chain.invoke("Hi"))
