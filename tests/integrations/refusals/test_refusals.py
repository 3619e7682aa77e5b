"""What an application sees of a refusal through the libraries that retry, fall back or wrap: docs/refusals.md.

Each library is run against a local model with a budget that nothing fits into. Its tests need it in their environment:
`make frameworks`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from otel_agentcost import BudgetExceeded
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

MODEL = "gpt-4o-mini"
ASKED = [{"role": "user", "content": "Hi"}]

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries
os.environ.update({"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_DISABLE_TRACKING": "true", "CREWAI_TESTING": "true"})
os.environ.update({"OPENAI_AGENTS_DISABLE_TRACING": "1", "HAYSTACK_TELEMETRY_ENABLED": "False"})


class Seen(NamedTuple):
    """What the application sees."""

    error: str
    """The class of the exception."""
    attempts: int
    """How often the library asked. Nothing was sent."""
    wrapped: bool = False
    """True if the refusal is the `__cause__` of the exception, or further down."""
    text: bool = True
    """True if the message of the exception holds that of the refusal."""


def of(module: str) -> Any:
    """A module of a library, which is no dependency of the tests."""
    return import_module(module)


def openai(url: str, kind: str = "OpenAI") -> Any:
    """A client that retries as it does by default."""
    return getattr(of("openai"), kind)(base_url=url, api_key="none")


# --- The libraries ---


def of_tenacity(url: str, **more: Any) -> Any:
    tenacity = of("tenacity")
    ask = tenacity.retry(stop=tenacity.stop_after_attempt(3), **more)(openai(url).chat.completions.create)
    return ask(model=MODEL, messages=ASKED)


def of_tenacity_without_refusals(url: str) -> Any:
    return of_tenacity(url, retry=of("tenacity").retry_if_not_exception_type(BudgetExceeded))


def chat_openai(url: str) -> Any:
    """A model of LangChain."""
    return of("langchain_openai").ChatOpenAI(model=MODEL, base_url=url, api_key="none")


def of_langchain_retry(url: str) -> Any:
    return chat_openai(url).with_retry(stop_after_attempt=3, wait_exponential_jitter=False).invoke("Hi")


def of_langchain_fallbacks(url: str, **more: Any) -> Any:
    return chat_openai(url).with_fallbacks([chat_openai(url)], **more).invoke("Hi")


def of_langchain_lambda(url: str) -> Any:
    step = of("langchain_core.runnables").RunnableLambda
    return (step(lambda text: text) | step(chat_openai(url).invoke)).invoke("Hi")


def of_instructor(url: str) -> Any:
    bee = of("pydantic").create_model("Bee", name=(str, ...))
    client = of("instructor").from_openai(openai(url))
    return client.chat.completions.create(model=MODEL, messages=ASKED, response_model=bee, max_retries=3)


def of_instructor_async(url: str) -> Any:
    bee = of("pydantic").create_model("Bee", name=(str, ...))
    client = of("instructor").from_openai(openai(url, "AsyncOpenAI"))
    return asyncio.run(client.chat.completions.create(model=MODEL, messages=ASKED, response_model=bee, max_retries=3))


def of_haystack(url: str) -> Any:
    """A component that calls a model, alone."""
    return haystack_generator(url).run([of("haystack.dataclasses").ChatMessage.from_user("Hi")])


def of_haystack_pipeline(url: str) -> Any:
    pipeline = of("haystack").Pipeline()
    pipeline.add_component("model", haystack_generator(url))
    return pipeline.run({"model": {"messages": [of("haystack.dataclasses").ChatMessage.from_user("Hi")]}})


def haystack_generator(url: str) -> Any:
    key = of("haystack.utils").Secret.from_token("none")
    chat = of("haystack.components.generators.chat")
    return chat.OpenAIChatGenerator(api_key=key, model=MODEL, api_base_url=url)


def of_crewai(url: str, **more: Any) -> Any:
    sdk = of("crewai")
    llm = sdk.LLM(model=MODEL, base_url=url, api_key="none")
    agent = sdk.Agent(role="writer", goal="Say things", backstory="Curious.", llm=llm, **more)
    task = sdk.Task(description="Say hi", expected_output="Hi", agent=agent)
    return sdk.Crew(agents=[agent], tasks=[task]).kickoff()


def llama_model(url: str) -> Any:
    """A model of LlamaIndex."""
    return of("llama_index.llms.openai").OpenAI(model=MODEL, api_base=url, api_key="none")


def of_llama_index(url: str) -> Any:
    return llama_model(url).chat([of("llama_index.core.llms").ChatMessage(role="user", content="Hi")])


def of_llama_index_agent(url: str) -> Any:
    agent = of("llama_index.core.agent.workflow").FunctionAgent(llm=llama_model(url), tools=[])

    async def run() -> Any:
        return await agent.run("Hi")

    return asyncio.run(run())


def of_openai_agents(url: str) -> Any:
    sdk = of("agents")
    model = sdk.OpenAIChatCompletionsModel(MODEL, openai(url, "AsyncOpenAI"))
    return sdk.Runner.run_sync(sdk.Agent("writer", model=model), "Hi")


def pydantic_model(url: str) -> Any:
    """A model of Pydantic AI."""
    provider = of("pydantic_ai.providers.openai").OpenAIProvider(openai_client=openai(url, "AsyncOpenAI"))
    return of("pydantic_ai.models.openai").OpenAIChatModel(MODEL, provider=provider)


def of_pydantic_ai(url: str) -> Any:
    return of("pydantic_ai").Agent(pydantic_model(url), retries=3).run_sync("Hi")


def of_pydantic_ai_fallback(url: str) -> Any:
    model = pydantic_model(url)
    return of("pydantic_ai").Agent(of("pydantic_ai.models.fallback").FallbackModel(model, model)).run_sync("Hi")


def kernel_chat(url: str) -> Any:
    """A client of OpenAI of Semantic Kernel."""
    chat = of("semantic_kernel.connectors.ai.open_ai").OpenAIChatCompletion
    return chat(ai_model_id=MODEL, async_client=openai(url, "AsyncOpenAI"))


def of_semantic_kernel(url: str) -> Any:
    agent = of("semantic_kernel.agents").ChatCompletionAgent(service=kernel_chat(url))
    return asyncio.run(agent.get_response("Hi"))


def of_semantic_kernel_prompt(url: str) -> Any:
    return asyncio.run(of("semantic_kernel").Kernel(services=kernel_chat(url)).invoke_prompt("Hi"))


class Row(NamedTuple):
    """A way to call a model, and what its user sees."""

    package: str
    call: Callable[[str], Any]
    seen: Seen


ROWS: dict[str, Row] = {
    "tenacity": Row("tenacity", of_tenacity, Seen("RetryError", 3, wrapped=True, text=False)),
    "tenacity, reraise": Row("tenacity", partial(of_tenacity, reraise=True), Seen("BudgetExceeded", 3)),
    "tenacity, retry_if_not_exception_type": Row("tenacity", of_tenacity_without_refusals, Seen("BudgetExceeded", 1)),
    "langchain": Row("langchain_openai", lambda url: chat_openai(url).invoke("Hi"), Seen("BudgetExceeded", 1)),
    "langchain, with_retry": Row("langchain_openai", of_langchain_retry, Seen("BudgetExceeded", 3)),
    "langchain, with_fallbacks": Row("langchain_openai", of_langchain_fallbacks, Seen("BudgetExceeded", 2)),
    "langchain, exceptions_to_handle": Row(
        "langchain_openai",
        lambda url: of_langchain_fallbacks(url, exceptions_to_handle=(ValueError,)),
        Seen("BudgetExceeded", 1),
    ),
    "langchain, RunnableLambda": Row("langchain_openai", of_langchain_lambda, Seen("BudgetExceeded", 1)),
    "instructor": Row("instructor", of_instructor, Seen("BudgetExceeded", 1)),
    "instructor, async": Row("instructor", of_instructor_async, Seen("BudgetExceeded", 1)),
    "haystack": Row("haystack", of_haystack, Seen("BudgetExceeded", 1)),
    "haystack, pipeline": Row("haystack", of_haystack_pipeline, Seen("PipelineRuntimeError", 1, wrapped=True)),
    "crewai": Row("crewai", of_crewai, Seen("BudgetExceeded", 3)),
    "crewai, max_retry_limit=0": Row("crewai", partial(of_crewai, max_retry_limit=0), Seen("BudgetExceeded", 1)),
    "llama_index": Row("llama_index.llms.openai", of_llama_index, Seen("BudgetExceeded", 1)),
    "llama_index, agent": Row("llama_index.llms.openai", of_llama_index_agent, Seen("BudgetExceeded", 1)),
    "openai-agents": Row("agents", of_openai_agents, Seen("BudgetExceeded", 1)),
    "pydantic-ai": Row("pydantic_ai", of_pydantic_ai, Seen("BudgetExceeded", 1)),
    "pydantic-ai, fallback": Row("pydantic_ai", of_pydantic_ai_fallback, Seen("BudgetExceeded", 1)),
    "semantic-kernel": Row("semantic_kernel", of_semantic_kernel, Seen("BudgetExceeded", 1)),
    "semantic-kernel, invoke_prompt": Row(
        "semantic_kernel", of_semantic_kernel_prompt, Seen("KernelInvokeException", 1, wrapped=True, text=False)
    ),
}


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a library keeps, it keeps for one test."""
    monkeypatch.setenv("CREWAI_STORAGE_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def installed(module: str) -> bool:
    """Whether a package is here, with its parents."""
    parts = module.split(".")
    return all(find_spec(".".join(parts[: n + 1])) is not None for n in range(len(parts)))


@pytest.mark.parametrize("way", ROWS)
def test_a_refused_call_is_not_sent_and_not_hidden(way: str, model_server: ModelServer, telemetry: Telemetry) -> None:
    """No request arrives however often the library asks again, and the refusal is in the exception that comes out."""
    row = ROWS[way]
    if not installed(row.package):
        pytest.skip(f"{row.package} is not here: `make frameworks`")
    with budgeted(telemetry, budgets="process:usd=0.0000001"), pytest.raises(Exception) as caught:
        row.call(f"{model_server.url}/v1")
    assert model_server.requests == []
    assert seen(caught.value, telemetry) == row.seen, repr(caught.value)


def seen(error: BaseException, telemetry: Telemetry) -> Seen:
    """What is seen of an exception."""
    refusal: BaseException | None = error
    while refusal is not None and not isinstance(refusal, BudgetExceeded):
        refusal = refusal.__cause__
    return Seen(
        type(error).__name__,
        int(telemetry.total("agentcost.budget.refusals")),
        wrapped=refusal is not None and refusal is not error,
        text="process:usd=0.0000001" in str(error),
    )
