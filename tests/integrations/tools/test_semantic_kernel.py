"""Semantic Kernel: functions that the application invokes, and that a model calls by itself."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry import trace

from otel_agentcost import tool
from otel_agentcost.core import semconv
from tests.integrations.agents.agent_runs import MODEL, calls, model, says
from tests.integrations.tools.one_tool_call import counted, one_call, priced, repeats, tool_spans
from tests.support.in_memory import Telemetry

sdk: Any = pytest.importorskip("semantic_kernel", reason="semantic-kernel is not here: `make frameworks`")
agents: Any = pytest.importorskip("semantic_kernel.agents", reason="semantic-kernel has no agents")
functions: Any = pytest.importorskip("semantic_kernel.functions", reason="semantic-kernel is not here")
services: Any = pytest.importorskip("semantic_kernel.connectors.ai.open_ai", reason="semantic-kernel is not here")
openai: Any = pytest.importorskip("openai", reason="openai is not here")

NAME = "pages-search"
PRICES: Any = {NAME: "0.25"}
function: Any = functions.kernel_function


_TRACERS = (
    "functions.kernel_function",
    "connectors.ai.chat_completion_client_base",
    "utils.telemetry.agent_diagnostics.decorators",
)
"""The modules that make spans."""


def make_spans_with(provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Semantic Kernel make its spans with `provider`; the global one is none of one test's own."""
    for name in _TRACERS:
        module = importlib.import_module(f"semantic_kernel.{name}")
        monkeypatch.setattr(module, "tracer", provider.get_tracer(name))


@pytest.fixture(autouse=True)
def its_spans(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each function has a span of Semantic Kernel."""
    make_spans_with(telemetry.tracer_provider, monkeypatch)


class Pages:
    """A plugin."""

    @function(description="Finds pages.")  # type: ignore[untyped-decorator] # the framework is no dependency
    async def search(self, query: str) -> str:
        """Find pages."""
        if query == "nothing":
            raise KeyError(query)
        return f"pages on {query}"

    @function(name="read", description="Reads pages.")  # type: ignore[untyped-decorator]
    async def read(self, query: str) -> AsyncIterator[str]:
        """Read pages, one by one."""
        if query == "nothing":
            raise KeyError(query)
        for page in range(3):
            yield f"page {page} on {query}"

    @function(description="Looks a word up.")  # type: ignore[untyped-decorator] # the framework is no dependency
    @tool(usd="0.5", name="lookup")
    def lookup(self, query: str) -> str:
        """Look a word up."""
        return query


def a_kernel() -> Any:
    """A kernel with the plugin."""
    kernel = sdk.Kernel()
    kernel.add_plugin(Pages(), plugin_name="pages")
    return kernel


async def invoke(kernel: Any, query: str = "bees", name: str = "search") -> Any:
    """Invoke a function as an application does."""
    return await kernel.invoke(plugin_name="pages", function_name=name, query=query)


def an_agent(url: str) -> Any:
    """An agent with the plugin."""
    client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    chat = services.OpenAIChatCompletion(ai_model_id=MODEL, async_client=client)
    return agents.ChatCompletionAgent(service=chat, name="researcher", kernel=a_kernel())


async def test_a_function_that_the_model_calls_is_one_span(telemetry: Telemetry) -> None:
    """The framework's own, with the id of the model's call."""
    with model(calls(NAME, query="bees"), says()) as url, priced(telemetry, prices=PRICES):
        await an_agent(url).get_response("Find pages on bees")
    assert str(one_call(telemetry, tool=NAME)[semconv.TOOL_CALL_ID]).startswith("call_")


async def test_an_error_that_becomes_an_answer_is_an_error(telemetry: Telemetry) -> None:
    """The model reads of it; the span says which it was."""
    with model(calls(NAME, query="nothing"), says()) as url, priced(telemetry, prices=PRICES):
        await an_agent(url).get_response("Find pages on nothing")
    assert one_call(telemetry, tool=NAME)[semconv.ERROR_TYPE] in ("KeyError", "FunctionExecutionException")


async def test_a_function_that_the_application_invokes_is_one_span(telemetry: Telemetry) -> None:
    """With its arguments and its result, where they are asked for."""
    with priced(telemetry, prices=PRICES, capture_content="SPAN_ONLY"):
        assert str(await invoke(a_kernel())) == "pages on bees"
    attributes = one_call(telemetry, tool=NAME)
    assert attributes[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'


READ: Any = {"pages-read": "0.25"}


@pytest.mark.parametrize("spans", [True, False], ids=["its spans", "our spans"])
async def test_a_function_whose_parts_are_read_one_by_one_is_one_span(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, spans: bool
) -> None:
    """It ends with the last part."""
    if not spans:
        make_spans_with(trace.NoOpTracerProvider(), monkeypatch)
    with priced(telemetry, prices=READ, capture_content="SPAN_ONLY"):
        stream = a_kernel().invoke_stream(plugin_name="pages", function_name="read", query="bees")
        assert [part async for part in stream] == [f"page {page} on bees" for page in range(3)]
    assert one_call(telemetry, tool="pages-read")[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'


async def test_a_function_that_fails_while_it_is_read_is_an_error(telemetry: Telemetry) -> None:
    """Which the application gets."""
    with priced(telemetry, prices=READ), pytest.raises(KeyError):
        async for _ in a_kernel().invoke_stream(plugin_name="pages", function_name="read", query="nothing"):
            pass
    assert one_call(telemetry, tool="pages-read")[semconv.ERROR_TYPE] == "KeyError"


async def test_a_function_that_is_not_read_to_its_end_is_one_call(telemetry: Telemetry) -> None:
    """Its generator is closed."""
    with priced(telemetry, prices=READ):
        stream = a_kernel().get_function("pages", "read").invoke_stream(a_kernel(), query="bees")
        assert await anext(stream) == "page 0 on bees"
        await stream.aclose()
    one_call(telemetry, tool="pages-read")


async def test_a_prompt_that_the_application_streams_is_a_model_call(telemetry: Telemetry) -> None:
    """As one that it invokes."""
    with model(says()) as url, priced(telemetry, prices=PRICES):
        client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
        kernel = sdk.Kernel(services=services.OpenAIChatCompletion(ai_model_id=MODEL, async_client=client))
        assert [part async for part in kernel.invoke_prompt_stream("Hi")]
    assert telemetry.attributes("agent")[semconv.TRACE_LLM_CALLS] == 1


async def test_a_prompt_that_the_application_invokes_is_a_model_call(telemetry: Telemetry) -> None:
    """And no loop, however often it is invoked."""
    with model(says()) as url, priced(telemetry, prices=PRICES):
        client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
        kernel = sdk.Kernel(services=services.OpenAIChatCompletion(ai_model_id=MODEL, async_client=client))
        assert "Bees" in str(await kernel.invoke_prompt("Hi"))
    assert telemetry.attributes("agent")[semconv.TRACE_LLM_CALLS] == 1


async def test_a_price_of_the_function_itself_counts_once(telemetry: Telemetry) -> None:
    """A decorated function that is a kernel function as well is one call, at the decorator's price."""
    with priced(telemetry, prices=PRICES):
        await invoke(a_kernel(), name="lookup")
    assert counted(telemetry) == (1, 0.5)
    assert telemetry.total("agentcost.cost") == 0.5


async def test_the_same_call_again_and_again_is_a_loop(telemetry: Telemetry) -> None:
    """Seen from the functions alone, without a conversation."""
    with priced(telemetry, prices=PRICES):
        kernel = a_kernel()
        for _ in range(4):
            await invoke(kernel)
        assert repeats() == ["repeat"]
    assert counted(telemetry) == (4, 1.0)
    assert len(tool_spans(telemetry)) == 4


async def test_where_its_spans_go_elsewhere_there_is_ours(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has made a global provider."""
    make_spans_with(trace.NoOpTracerProvider(), monkeypatch)
    with priced(telemetry, prices=PRICES):
        await invoke(a_kernel())
    one_call(telemetry, tool=NAME)
