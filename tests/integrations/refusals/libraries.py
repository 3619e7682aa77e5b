"""The libraries that retry, fall back or wrap, each around a call of a model, and what is seen: docs/refusals.md."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from otel_agentcost import BudgetExceeded

MODEL = "gpt-4o-mini"
ASKED = [{"role": "user", "content": "Hi"}]


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


def of_backoff(url: str) -> Any:
    backoff = of("backoff")
    retrying = backoff.on_exception(backoff.constant, Exception, max_tries=3, interval=0)
    return retrying(openai(url).chat.completions.create)(model=MODEL, messages=ASKED)


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


def of_langchain_middleware(url: str, name: str, *arguments: Any, **more: Any) -> Any:
    """An agent whose model calls a middleware repeats."""
    middleware = getattr(of("langchain.agents.middleware"), name)(*arguments, **more)
    agent = of("langchain.agents").create_agent(chat_openai(url), [], middleware=[middleware])
    return agent.invoke({"messages": ASKED})


def of_langchain_fallback_middleware(url: str) -> Any:
    return of_langchain_middleware(url, "ModelFallbackMiddleware", chat_openai(url))


def of_langgraph(url: str, **more: Any) -> Any:
    """A graph with a node that is retried."""
    policy = of("langgraph.types").RetryPolicy(max_attempts=3, initial_interval=0.01, jitter=False, **more)
    graph = of("langgraph.graph").StateGraph(dict)
    graph.add_node("ask", lambda _: {"said": chat_openai(url).invoke("Hi")}, retry_policy=policy)
    graph.set_entry_point("ask")
    return graph.compile().invoke({"said": ""})


def bees() -> Any:
    """The class of what instructor returns."""
    return of("pydantic").create_model("Bee", name=(str, ...))


def of_instructor_kind(url: str, method: str) -> Any:
    """Answers that arrive part by part."""
    ask = getattr(of("instructor").from_openai(openai(url)).chat.completions, method)
    return list(ask(model=MODEL, messages=ASKED, response_model=bees(), max_retries=3))


def of_instructor_provider(url: str) -> Any:
    client = of("instructor").from_provider(f"openai/{MODEL}", base_url=url, api_key="none")
    return client.chat.completions.create(messages=ASKED, response_model=bees(), max_retries=3)


def of_litellm(url: str, **more: Any) -> Any:
    completion = of("litellm").completion
    return completion(model=f"openai/{MODEL}", api_base=url, api_key="none", messages=ASKED, **more)


def of_litellm_router(url: str) -> Any:
    """A router with two models, of which the second one is the fallback of the first one."""
    params = {"model": f"openai/{MODEL}", "api_base": url, "api_key": "none"}
    models = [{"model_name": name, "litellm_params": params} for name in ("first", "second")]
    router = of("litellm").Router(model_list=models, fallbacks=[{"first": ["second"]}], num_retries=1, retry_after=0)
    return router.completion(model="first", messages=ASKED)


def of_dspy(url: str, module: str = "") -> Any:
    """A module of DSPy that asks again until the answer is good enough."""
    sdk = of("dspy")
    with sdk.context(lm=sdk.LM(f"openai/{MODEL}", api_base=url, api_key="none", cache=False)):
        program = sdk.Predict("question -> answer")
        if module:
            program = getattr(sdk, module)(module=program, N=3, reward_fn=lambda *_: 1.0, threshold=1.0)
        return program(question="Hi")


def autogen_agent(url: str) -> Any:
    """An agent of AutoGen."""
    client = of("autogen_ext.models.openai").OpenAIChatCompletionClient(model=MODEL, base_url=url, api_key="none")
    return of("autogen_agentchat.agents").AssistantAgent("writer", client)


def of_autogen(url: str) -> Any:
    return asyncio.run(autogen_agent(url).run(task="Hi"))


def of_autogen_team(url: str) -> Any:
    team = of("autogen_agentchat.teams").RoundRobinGroupChat([autogen_agent(url)], max_turns=1)
    return asyncio.run(team.run(task="Hi"))


def of_smolagents(url: str) -> Any:
    sdk = of("smolagents")
    chat = sdk.OpenAIServerModel(MODEL, api_base=url, api_key="none")
    return sdk.ToolCallingAgent(tools=[], model=chat, verbosity_level=0).run("Hi")


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


def of_haystack_fallback(url: str, *, awaited: bool = False) -> Any:
    """Two generators, one after the other."""
    fallback = of("haystack.components.generators.chat").FallbackChatGenerator(
        [haystack_generator(url), haystack_generator(url)]
    )
    asked = [of("haystack.dataclasses").ChatMessage.from_user("Hi")]
    return asyncio.run(fallback.run_async(asked)) if awaited else fallback.run(asked)


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


def of_openai_agents_guardrail(url: str) -> Any:
    """An agent whose input another agent looks at."""
    sdk = of("agents")
    model = sdk.OpenAIChatCompletionsModel(MODEL, openai(url, "AsyncOpenAI"))

    async def looks(*_: Any) -> Any:
        await sdk.Runner.run(sdk.Agent("guard", model=model), "Is it all right?")
        return sdk.GuardrailFunctionOutput(output_info=None, tripwire_triggered=False)

    guardrail = sdk.InputGuardrail(guardrail_function=looks, run_in_parallel=False)
    return sdk.Runner.run_sync(sdk.Agent("writer", model=model, input_guardrails=[guardrail]), "Hi")


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
    "backoff": Row("backoff", of_backoff, Seen("BudgetExceeded", 3)),
    "langchain": Row("langchain_openai", lambda url: chat_openai(url).invoke("Hi"), Seen("BudgetExceeded", 1)),
    "langchain, with_retry": Row("langchain_openai", of_langchain_retry, Seen("BudgetExceeded", 3)),
    "langchain, with_fallbacks": Row("langchain_openai", of_langchain_fallbacks, Seen("BudgetExceeded", 2)),
    "langchain, exceptions_to_handle": Row(
        "langchain_openai",
        lambda url: of_langchain_fallbacks(url, exceptions_to_handle=(ValueError,)),
        Seen("BudgetExceeded", 1),
    ),
    "langchain, RunnableLambda": Row("langchain_openai", of_langchain_lambda, Seen("BudgetExceeded", 1)),
    "langchain, ModelFallbackMiddleware": Row("langchain", of_langchain_fallback_middleware, Seen("BudgetExceeded", 2)),
    "langchain, ModelRetryMiddleware with on_failure='error'": Row(
        "langchain",
        partial(
            of_langchain_middleware, name="ModelRetryMiddleware", max_retries=2, initial_delay=0, on_failure="error"
        ),
        Seen("BudgetExceeded", 3),
    ),
    "langgraph, RetryPolicy": Row("langgraph", of_langgraph, Seen("BudgetExceeded", 1)),
    "langgraph, RetryPolicy with retry_on=Exception": Row(
        "langgraph", partial(of_langgraph, retry_on=Exception), Seen("BudgetExceeded", 3)
    ),
    "litellm": Row("litellm", of_litellm, Seen("BudgetExceeded", 1)),
    "litellm, num_retries=2": Row("litellm", partial(of_litellm, num_retries=2), Seen("BudgetExceeded", 1)),
    "litellm, fallbacks": Row("litellm", partial(of_litellm, fallbacks=["openai/gpt-4o"]), Seen("BudgetExceeded", 2)),
    "litellm, router with fallbacks and num_retries=1": Row("litellm", of_litellm_router, Seen("BudgetExceeded", 4)),
    "instructor": Row("instructor", of_instructor, Seen("BudgetExceeded", 1)),
    "instructor, async": Row("instructor", of_instructor_async, Seen("BudgetExceeded", 1)),
    "instructor, create_partial": Row(
        "instructor", partial(of_instructor_kind, method="create_partial"), Seen("BudgetExceeded", 1)
    ),
    "instructor, create_iterable": Row(
        "instructor", partial(of_instructor_kind, method="create_iterable"), Seen("BudgetExceeded", 1)
    ),
    "instructor, from_provider": Row("instructor", of_instructor_provider, Seen("BudgetExceeded", 1)),
    "dspy": Row("dspy", of_dspy, Seen("BudgetExceeded", 1)),
    "dspy, Refine": Row("dspy", partial(of_dspy, module="Refine"), Seen("BudgetExceeded", 3)),
    "dspy, BestOfN": Row("dspy", partial(of_dspy, module="BestOfN"), Seen("BudgetExceeded", 3)),
    "haystack": Row("haystack", of_haystack, Seen("BudgetExceeded", 1)),
    "haystack, FallbackChatGenerator": Row("haystack", of_haystack_fallback, Seen("BudgetExceeded", 2)),
    "haystack, FallbackChatGenerator, async": Row(
        "haystack", partial(of_haystack_fallback, awaited=True), Seen("BudgetExceeded", 2)
    ),
    "haystack, pipeline": Row("haystack", of_haystack_pipeline, Seen("PipelineRuntimeError", 1, wrapped=True)),
    "crewai": Row("crewai", of_crewai, Seen("BudgetExceeded", 1)),
    "llama_index": Row("llama_index.llms.openai", of_llama_index, Seen("BudgetExceeded", 1)),
    "llama_index, agent": Row("llama_index.llms.openai", of_llama_index_agent, Seen("BudgetExceeded", 1)),
    "openai-agents": Row("agents", of_openai_agents, Seen("BudgetExceeded", 1)),
    "openai-agents, guardrail": Row("agents", of_openai_agents_guardrail, Seen("BudgetExceeded", 1)),
    "pydantic-ai": Row("pydantic_ai", of_pydantic_ai, Seen("BudgetExceeded", 1)),
    "pydantic-ai, fallback": Row("pydantic_ai", of_pydantic_ai_fallback, Seen("BudgetExceeded", 1)),
    "autogen": Row("autogen_ext", of_autogen, Seen("BudgetExceeded", 1)),
    "autogen, team": Row("autogen_ext", of_autogen_team, Seen("RuntimeError", 1, wrapped=True)),
    "smolagents": Row("smolagents", of_smolagents, Seen("AgentGenerationError", 1, wrapped=True)),
    "semantic-kernel": Row("semantic_kernel", of_semantic_kernel, Seen("BudgetExceeded", 1)),
    "semantic-kernel, invoke_prompt": Row(
        "semantic_kernel", of_semantic_kernel_prompt, Seen("KernelInvokeException", 1, wrapped=True, text=False)
    ),
}
