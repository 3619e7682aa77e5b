"""Agents that are copied, subclassed, mocked, run in threads, left half-way and timed out, in each framework.

The application behaves as without this package, and every span that was opened ends. `make frameworks` has all of them.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import re
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any, NamedTuple
from unittest import mock

import pytest
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from otel_agentcost.testing import FakeModel
from tests.integrations.agents.agent_runs import MODEL, finish, says, settle, watched
from tests.integrations.refusals.libraries import (
    autogen_agent,
    chat_openai,
    haystack_generator,
    kernel_chat,
    llama_model,
    of,
    openai,
    pydantic_model,
)
from tests.integrations.refusals.test_refusals import installed
from tests.integrations.refusals.test_refusals import storage as storage  # noqa: PLC0414 (a fixture)
from tests.support.call_shapes import warnings_of_ours
from tests.support.in_memory import Telemetry

pytestmark = pytest.mark.filterwarnings("ignore")  # of the frameworks
SLOW = 1.0
"""Seconds of the model's answer where a run is to be cancelled."""


class Framework(NamedTuple):
    """How an application makes and runs an agent."""

    module: str
    make: Callable[[str], Any]
    run: Callable[[Any], Any]
    """Returns the result, or a coroutine of it."""
    method: str
    """The method that `run` calls, if it is one of the agent."""
    stream: Callable[[Any], Any] | None = None
    """Returns the items of a run, one by one, sync or async."""


def asked() -> list[Any]:
    """The question in Haystack's form."""
    return [of("haystack.dataclasses").ChatMessage.from_user("Hi")]


def of_langchain(url: str) -> Any:
    """With a client of its own: those of langchain-openai are shared by all event loops, and fail in the second one."""
    own = of("openai").DefaultAsyncHttpxClient()
    chat = of("langchain_openai").ChatOpenAI(model=MODEL, base_url=url, api_key="none", http_async_client=own)
    return of("langchain.agents").create_agent(chat, [], name="researcher")


def of_openai_agents(url: str) -> Any:
    sdk = of("agents")
    return sdk.Agent("researcher", model=sdk.OpenAIChatCompletionsModel(MODEL, openai(url, "AsyncOpenAI")))


async def streamed_by_pydantic_ai(agent: Any) -> AsyncIterator[Any]:
    async with agent.run_stream("Hi") as result:
        async for text in result.stream_text(delta=True, debounce_by=None):
            yield text


def of_smolagents(url: str) -> Any:
    sdk = of("smolagents")
    chat = sdk.OpenAIServerModel(MODEL, api_base=url, api_key="none")
    return sdk.ToolCallingAgent(
        tools=[], name="researcher", max_steps=1, model=chat, verbosity_level=0, stream_outputs=True
    )


async def run_by_llama_index(agent: Any) -> Any:
    return await agent.run("Hi")


async def streamed_by_llama_index(agent: Any) -> AsyncIterator[Any]:
    async for event in agent.run("Hi").stream_events():
        yield event


def of_crewai(url: str) -> Any:
    sdk = of("crewai")
    llm = sdk.LLM(model=MODEL, base_url=url, api_key="none")
    return sdk.Agent(role="researcher", goal="Say things", backstory="Curious.", llm=llm)


def of_strands(url: str) -> Any:
    options = {"base_url": url, "api_key": "none", "max_retries": 0}
    chat = of("strands.models.openai").OpenAIModel(model_id=MODEL, client_args=options)
    return of("strands").Agent(name="researcher", model=chat, callback_handler=None)


FRAMEWORKS: dict[str, Framework] = {
    "langchain": Framework(
        "langchain.agents",
        lambda url: of("langchain.agents").create_agent(chat_openai(url), [], name="researcher"),
        lambda agent: agent.invoke({"messages": "Hi"}),
        "invoke",
        lambda agent: agent.stream({"messages": "Hi"}, stream_mode="messages"),
    ),
    "langchain, async": Framework(
        "langchain.agents",
        of_langchain,
        lambda agent: agent.ainvoke({"messages": "Hi"}),
        "ainvoke",
        lambda agent: agent.astream({"messages": "Hi"}, stream_mode="messages"),
    ),
    "openai_agents": Framework(
        "agents",
        of_openai_agents,
        lambda agent: of("agents").Runner.run(agent, "Hi"),
        "",
        lambda agent: of("agents").Runner.run_streamed(agent, "Hi").stream_events(),
    ),
    "pydantic_ai": Framework(
        "pydantic_ai.models.openai",
        lambda url: of("pydantic_ai").Agent(pydantic_model(url), name="researcher"),
        lambda agent: agent.run("Hi"),
        "run",
        streamed_by_pydantic_ai,
    ),
    "semantic_kernel": Framework(
        "semantic_kernel",
        lambda url: of("semantic_kernel.agents").ChatCompletionAgent(service=kernel_chat(url), name="researcher"),
        lambda agent: agent.get_response("Hi"),
        "get_response",
        lambda agent: agent.invoke_stream("Hi"),
    ),
    "autogen": Framework(
        "autogen_ext.models.openai",
        autogen_agent,
        lambda agent: agent.run(task="Hi"),
        "run",
        lambda agent: agent.run_stream(task="Hi"),
    ),
    "smolagents": Framework(
        "smolagents",
        of_smolagents,
        lambda agent: agent.run("Hi"),
        "run",
        lambda agent: agent.run("Hi", stream=True),
    ),
    "haystack": Framework(
        "haystack",
        lambda url: of("haystack.components.agents").Agent(chat_generator=haystack_generator(url), tools=[]),
        lambda agent: agent.run(asked()),
        "run",
    ),
    "llama_index": Framework(
        "llama_index.llms.openai",
        lambda url: of("llama_index.core.agent.workflow").FunctionAgent(
            name="researcher", llm=llama_model(url), tools=[]
        ),
        run_by_llama_index,
        "run",
        streamed_by_llama_index,
    ),
    "crewai": Framework("crewai", of_crewai, lambda agent: agent.kickoff("Hi"), "kickoff"),
    "strands": Framework(
        "strands.models.openai",
        of_strands,
        lambda agent: agent.invoke_async("Hi"),
        "invoke_async",
        lambda agent: agent.stream_async("Hi"),
    ),
}


async def _of(awaitable: Any) -> Any:
    return await awaitable


def ran(framework: Framework, agent: Any) -> Any:
    """Run an agent to its end."""
    result = framework.run(agent)
    return finish(_of(result)) if hasattr(result, "__await__") else result


def ran_in_a_thread(framework: Framework, url: str) -> str:
    result = framework.run(framework.make(url))
    result = asyncio.run(_of(result)) if hasattr(result, "__await__") else result
    return type(result).__name__


# --- What applications do ---------------------------------------------------------------------------------------------


def copied(framework: Framework, url: str) -> Any:
    return ran(framework, copy.copy(framework.make(url)))


def copied_deeply(framework: Framework, url: str) -> Any:
    return ran(framework, copy.deepcopy(framework.make(url)))


def subclassed(framework: Framework, url: str) -> Any:
    """With a method that does something first."""
    agent = framework.make(url)
    if framework.method:

        def overridden(self: Any, *args: Any, **kwargs: Any) -> Any:
            return getattr(super(own, self), framework.method)(*args, **kwargs)

        own = type("Own", (type(agent),), {framework.method: overridden})
        object.__setattr__(agent, "__class__", own)
    return ran(framework, agent)


def mocked(framework: Framework, url: str) -> Any:
    """For a while, by the test of an application."""
    agent = framework.make(url)
    if framework.method:
        with mock.patch.object(type(agent), framework.method, autospec=True):
            result = framework.run(agent)
            if asyncio.iscoroutine(result):
                result.close()
    return ran(framework, agent)


def in_threads(framework: Framework, url: str) -> Any:
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda _: ran_in_a_thread(framework, url), range(3)))


def left(framework: Framework, url: str, *, closes: bool = False, elsewhere: bool = False) -> Any:
    """After the first item."""
    if framework.stream is None:
        return None
    items = framework.stream(framework.make(url))
    if hasattr(items, "__aiter__"):

        async def read() -> None:
            stream = items.__aiter__()
            first = _of(stream.__anext__())
            await (asyncio.create_task(first) if elsewhere else first)
            if closes and hasattr(stream, "aclose"):
                await stream.aclose()

        finish(read())
    else:
        next(iter(items))
        if closes:
            items.close()
    return None


def left_and_closed(framework: Framework, url: str) -> Any:
    return left(framework, url, closes=True)


def read_in_a_task_of_its_own(framework: Framework, url: str) -> Any:
    return left(framework, url, closes=True, elsewhere=True)


def not_started(framework: Framework, url: str) -> Any:
    if framework.stream is not None:
        framework.stream(framework.make(url))


def timed_out(framework: Framework, url: str) -> Any:
    """By `asyncio`, while the model answers."""

    async def run() -> Any:
        result = framework.run(framework.make(url))
        return await asyncio.wait_for(_of(result), SLOW / 3) if hasattr(result, "__await__") else None

    return finish(run())


WAYS = (
    copied,
    copied_deeply,
    subclassed,
    mocked,
    in_threads,
    left,
    left_and_closed,
    read_in_a_task_of_its_own,
    not_started,
    timed_out,
)


class Opened(SpanProcessor):
    """Remembers the spans that were opened."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        self.spans.append(span)


def outcome(way: Callable[..., Any], framework: Framework) -> str:
    """What the application gets: the kind of its result, or of the exception."""

    def answer(_: Any) -> Any:
        if way is timed_out:
            time.sleep(SLOW)
        return says()

    with FakeModel(answer).server() as server:
        try:
            result = way(framework, f"{server.url}/v1")
            return f"{type(result).__name__} {result if isinstance(result, list) else ''}"
        except Exception as error:  # what comes out is compared with and without us
            said = f"{type(error).__name__}: {error}".replace(server.url, "")
            return re.sub("0x[0-9a-f]+", "", said)
        finally:
            settle()
            gc.collect()
            settle()


@pytest.fixture(name="opened")
def all_opened(telemetry: Telemetry) -> Opened:
    """The spans that were opened."""
    made = Opened()
    telemetry.tracer_provider.add_span_processor(made)
    return made


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_application_behaves_as_without_us(
    telemetry: Telemetry, opened: Opened, name: str, way: Callable[..., Any]
) -> None:
    """The same result or exception, no warning, and no span that stays open."""
    framework = FRAMEWORKS[name]
    if not installed(framework.module):
        pytest.skip(f"{framework.module} is not here: `make frameworks`")
    import_module(framework.module)
    with warnings_of_ours() as warned_anyhow:
        bare = outcome(way, framework)
    with warnings_of_ours() as warned, watched(telemetry, budgets="total:calls=100"):
        assert outcome(way, framework) == bare
        deadline = time.monotonic() + 10
        while any(span.end_time is None for span in opened.spans) and time.monotonic() < deadline:
            time.sleep(0.05)  # threads of a run that was cancelled go on
            settle()
            gc.collect()
    assert [span.name for span in opened.spans if span.end_time is None] == []
    assert [line for line in warned if line not in warned_anyhow] == []
