"""Strands: tools that a model wants, and that the application calls, with the spans of Strands and without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace

from otel_agentcost import tool
from otel_agentcost.core import semconv
from tests.integrations.agents.agent_runs import MODEL, calls, model, says
from tests.integrations.tools.one_tool_call import counted, one_call, priced, repeats, tool_spans
from tests.support.in_memory import Telemetry

sdk: Any = pytest.importorskip("strands", reason="strands is not here: `make frameworks`")
models: Any = pytest.importorskip("strands.models.openai", reason="strands' OpenAI models are not here")
tracing: Any = pytest.importorskip("strands.telemetry.tracer", reason="strands is not here")
tools: Any = pytest.importorskip("strands.tools.tools", reason="strands is not here")


@pytest.fixture(autouse=True)
def its_spans(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strands makes spans with the global provider, which is none of one test's own."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", telemetry.tracer_provider)
    monkeypatch.setattr(tracing.get_tracer(), "tracer", telemetry.tracer_provider.get_tracer("strands"))
    monkeypatch.setattr(tracing.get_tracer(), "tracer_provider", telemetry.tracer_provider)


def found(query: str) -> str:
    """Find pages."""
    if query == "nothing":
        raise KeyError(query)
    return f"pages on {query}"


def decorated() -> Any:
    """A function as a tool."""
    return sdk.tool(found, name="search", description="Finds pages.")


def of_a_module() -> Any:
    """A tool as a module has it: a function of the call, and a specification."""
    schema = {"json": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}}
    spec = {"name": "search", "description": "Finds pages.", "inputSchema": schema}

    def search(use: Any, **_: Any) -> Any:
        text = found(use["input"]["query"])
        return {"toolUseId": use["toolUseId"], "status": "success", "content": [{"text": text}]}

    return tools.PythonAgentTool("search", spec, search)


KINDS: dict[str, Callable[[], Any]] = {"decorated": decorated, "of a module": of_a_module}


def agent_of(url: str, *given: Any) -> Any:
    """An agent with these tools."""
    options = {"base_url": url, "api_key": "none", "max_retries": 0}
    chat = models.OpenAIModel(model_id=MODEL, client_args=options)
    return sdk.Agent(name="researcher", model=chat, tools=list(given), callback_handler=None)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tool_that_the_model_called_is_one_span(telemetry: Telemetry, kind: str) -> None:
    """The framework's own, with the id of the model's call."""
    with model(calls(query="bees"), says()) as url, priced(telemetry, capture_content="SPAN_ONLY"):
        await agent_of(url, KINDS[kind]()).invoke_async("Find pages on bees")
    attributes = one_call(telemetry)
    assert str(attributes[semconv.TOOL_CALL_ID]).startswith("call_")
    assert attributes[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'
    assert "pages on bees" in attributes[semconv.TOOL_RESULT]


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_that_becomes_an_answer_is_an_error(telemetry: Telemetry, kind: str) -> None:
    """The model reads of it."""
    with model(calls(query="nothing"), says()) as url, priced(telemetry):
        await agent_of(url, KINDS[kind]()).invoke_async("Find pages on nothing")
    assert one_call(telemetry)[semconv.ERROR_TYPE]


def test_a_call_of_the_application_is_one_span(telemetry: Telemetry) -> None:
    """Of this package: Strands makes none of it."""
    with priced(telemetry):
        agent = agent_of("http://127.0.0.1", decorated())  # its `tool` does not keep it
        agent.tool.search(query="bees")
    assert semconv.ERROR_TYPE not in one_call(telemetry)


async def test_where_its_spans_go_elsewhere_there_is_ours(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has made a global provider."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(tracing.get_tracer(), "tracer", trace.NoOpTracer())
    with model(calls(query="bees"), says()) as url, priced(telemetry):
        await agent_of(url, decorated()).invoke_async("Find pages on bees")
    (span,) = tool_spans(telemetry)
    assert (span.attributes or {})[semconv.COST] == 0.25


def test_a_price_of_the_function_itself_counts_once(telemetry: Telemetry) -> None:
    """A decorated function that is a tool of Strands as well is one call, at the decorator's price."""

    @tool(usd="0.5", name="lookup")
    def lookup(query: str) -> str:
        return query

    with priced(telemetry):
        agent = agent_of("http://127.0.0.1", sdk.tool(lookup, name="lookup", description="Looks up."))
        agent.tool.lookup(query="a")
    assert counted(telemetry) == (1, 0.5)
    assert telemetry.total("agentcost.cost") == 0.5


def test_the_same_call_again_and_again_is_a_loop(telemetry: Telemetry) -> None:
    """Seen from the tools alone, without a conversation."""
    with priced(telemetry):
        agent = agent_of("http://127.0.0.1", decorated())
        for _ in range(4):
            agent.tool.search(query="bees")
        assert repeats() == ["repeat"]
    assert counted(telemetry) == (4, 1.0)
