"""Frameworks whose tools' results are kept: the second call gets an equal result, and the tool does not run again.

Each needs its framework: `make frameworks` makes the environments.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from otel_agentcost import attribute
from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import priced, tool_spans
from tests.support.in_memory import Telemetry

ran: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    """No tool has run yet."""
    ran.clear()


def search(query: str) -> str:
    """Searches pages.

    Args:
        query: The words.
    """
    ran.append(query)
    if query == "fail":
        raise ValueError("no such page")
    return "" if query == "nothing" else f"pages on {query}"


search.__annotations__.update({"query": str, "return": str})  # old releases read them as types


def needed(module: str) -> Any:
    return pytest.importorskip(module, reason=f"{module} is not here: `make frameworks`")


Ask = Callable[[str, str], Any]
"""Calls the tool with a query and the id of a model's call."""


def langchain() -> Ask:
    tools = needed("langchain_core.tools")
    tool = tools.StructuredTool.from_function(search)
    return lambda query, id_: tool.invoke({"type": "tool_call", "id": id_, "name": "search", "args": {"query": query}})


def langchain_async() -> Ask:
    tools = needed("langchain_core.tools")
    tool = tools.StructuredTool.from_function(search)
    return lambda query, id_: asyncio.run(
        tool.ainvoke({"type": "tool_call", "id": id_, "name": "search", "args": {"query": query}})
    )


def openai_agents() -> Ask:
    agents, context = needed("agents"), needed("agents.tool_context")
    tool = agents.function_tool(search)
    module = importlib.import_module("agents.tool")
    if not hasattr(module, "maybe_invoke_function_tool_failure_error_function"):
        pytest.skip("before openai-agents 0.11 an error looks like a result, so that nothing is kept")

    def ask(query: str, id_: str) -> Any:
        arguments = f'{{"query": "{query}"}}'
        given = context.ToolContext(context=None, tool_name="search", tool_call_id=id_, tool_arguments=arguments)
        return asyncio.run(module.invoke_function_tool(function_tool=tool, context=given, arguments=arguments))

    return ask


def pydantic_ai() -> Ask:
    ai, messages, function = (needed(f"pydantic_ai{part}") for part in ("", ".messages", ".models.function"))

    def ask(query: str, id_: str) -> Any:
        def model(history: list[Any], _info: Any) -> Any:
            if len(history) > 1:
                return messages.ModelResponse([messages.TextPart("done")])
            return messages.ModelResponse([messages.ToolCallPart("search", {"query": query}, tool_call_id=id_)])

        done = asyncio.run(ai.Agent(function.FunctionModel(model), tools=[search]).run("x"))
        parts = [part for message in done.all_messages() for part in message.parts]
        return next((part.content, part.tool_call_id) for part in parts if isinstance(part, messages.ToolReturnPart))

    return ask


def anthropic() -> Ask:
    sdk = needed("anthropic")
    runner = importlib.import_module("anthropic.lib.tools._beta_runner").BaseSyncToolRunner
    tool = sdk.beta_tool(search)
    if not hasattr(runner, "_run_tool"):  # in old releases
        return lambda query, _id: tool.call({"query": query})
    return lambda query, id_: runner._run_tool(
        SimpleNamespace(), tool, SimpleNamespace(name="search", input={"query": query}, id=id_)
    )


def google_genai() -> Ask:
    needed("google.genai")
    module = importlib.import_module("google.genai._extra_utils")
    return lambda query, _id: module.invoke_function_from_dict_args({"query": query}, search)


def dspy() -> Ask:
    tool = needed("dspy").Tool(search)
    return lambda query, _id: tool(query=query)


def haystack() -> Ask:
    tools = needed("haystack.tools")
    schema = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
    tool = tools.Tool(name="search", description="Searches.", parameters=schema, function=search)
    return lambda query, _id: tool.invoke(query=query)


def llama_index() -> Ask:
    tool = needed("llama_index.core.tools").FunctionTool.from_defaults(search)
    return lambda query, _id: tool.call(query=query)


def smolagents() -> Ask:
    tool = needed("smolagents").tool(search)
    return lambda query, _id: tool(query=query)


def autogen() -> Ask:
    tools, core = needed("autogen_core.tools"), needed("autogen_core")
    tool = tools.FunctionTool(search, description="Searches.", name="search")
    return lambda query, _id: asyncio.run(tool.run_json({"query": query}, core.CancellationToken()))


FRAMEWORKS = (
    langchain,
    langchain_async,
    openai_agents,
    pydantic_ai,
    anthropic,
    google_genai,
    dspy,
    haystack,
    llama_index,
    smolagents,
    autogen,
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda each: each.__name__)
def test_a_known_result_is_not_bought_again(framework: Callable[[], Ask], telemetry: Telemetry) -> None:
    """The second call is a hit: an equal result with its own id, no price, its age, and what it saved."""
    ask = framework()
    with priced(telemetry, tool_cache="search=15m"), attribute(tenant="acme"):
        first, second = ask("bees", "call_1"), ask("bees", "call_2")
        ask("wasps", "call_3")
        with attribute(tenant="other"):
            ask("bees", "call_4")
    assert ran == ["bees", "wasps", "bees"]
    assert type(second) is type(first)
    assert str(second).replace("call_2", "call_1").startswith(str(first)[:20])
    if "call_1" in str(first):
        assert "call_2" in str(second)
        assert "call_1" not in str(second)
    spans: list[dict[str, Any]] = [dict(span.attributes or {}) for span in tool_spans(telemetry)]
    hits = [said for said in spans if semconv.CACHE in said]
    assert len(spans) == 4
    assert len(hits) == 1
    assert hits[0][semconv.CACHE] == "hit"
    assert 0 <= hits[0][semconv.CACHE_AGE] < 60
    assert semconv.COST not in hits[0]
    assert telemetry.total("agentcost.cost", gen_ai__operation__name=semconv.EXECUTE_TOOL) == 0.75
    assert telemetry.total("agentcost.savings", agentcost__savings__kind="tool_cache") == 0.25


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda each: each.__name__)
def test_errors_and_empty_results_are_not_kept(framework: Callable[[], Ask], telemetry: Telemetry) -> None:
    """However a framework hands on an error of the tool, the next call runs it again; so it is with an empty result."""
    ask = framework()
    with priced(telemetry, tool_cache="search=15m"), attribute(tenant="acme"):
        for i in range(2):
            for query in ("fail", "nothing"):
                with suppress(Exception):
                    ask(query, f"call_{query}_{i}")
    assert ran.count("fail") == ran.count("nothing") >= 2
    assert all(semconv.CACHE not in (span.attributes or {}) for span in tool_spans(telemetry))
