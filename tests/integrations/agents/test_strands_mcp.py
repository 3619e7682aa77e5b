"""Agents of Strands whose tools come from MCP servers: Strands, its agent and mcp see one call of a tool."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from otel_agentcost.core import semconv
from tests.integrations.agents.agent_runs import (
    MODEL,
    RUN,
    RUN_USD,
    TOOL_USD,
    calls,
    finish,
    model,
    says,
    spent,
    tree,
    watched,
)
from tests.support.in_memory import Telemetry

sdk: Any = pytest.importorskip("strands", reason="strands is not here: `make frameworks`")
models: Any = pytest.importorskip("strands.models.openai", reason="strands' OpenAI models are not here")
clients: Any = pytest.importorskip("strands.tools.mcp", reason="mcp is not here")
tracing: Any = pytest.importorskip("strands.telemetry.tracer", reason="strands is not here")
mcp: Any = pytest.importorskip("mcp", reason="mcp is not here")
stdio: Any = pytest.importorskip("mcp.client.stdio", reason="mcp is not here")

# These files are skipped as a whole without the packages above.
from tests.integrations.agents.test_strands import WAYS  # noqa: E402 (see above)
from tests.integrations.agents.test_strands import its_spans as its_spans  # noqa: E402, PLC0414 (a fixture)
from tests.integrations.tools.test_mcp import SERVER  # noqa: E402 (see above)


@pytest.fixture(autouse=True)
def spans_of_mcp(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """What mcp makes spans with is the global provider, which is none of one test's own."""
    with suppress(ImportError):  # before release 2 it makes none
        otel = importlib.import_module("mcp.shared._otel")
        monkeypatch.setattr(otel, "_tracer", telemetry.tracer_provider.get_tracer("mcp-python-sdk"))


@pytest.fixture(name="client")
def a_client(tmp_path: Path) -> Iterator[Any]:
    """Connected to a server in another process, in a thread of Strands."""
    script = tmp_path / "server.py"
    script.write_text(SERVER, encoding="utf-8")
    parameters = mcp.StdioServerParameters(command=sys.executable, args=[str(script)])
    with clients.MCPClient(lambda: stdio.stdio_client(parameters)) as client:
        yield client


def agent_of(url: str, client: Any) -> Any:
    """An agent with the tools of the server."""
    options = {"base_url": url, "api_key": "none", "max_retries": 0}
    chat = models.OpenAIModel(model_id=MODEL, client_args=options)
    tools = list(client.list_tools_sync())
    return sdk.Agent(name="researcher", model=chat, tools=tools, callback_handler=None)


def tool_spans(telemetry: Telemetry) -> list[dict[str, Any]]:
    """The attributes of the spans of tool calls."""
    said = [dict(span.attributes or {}) for span in telemetry.spans]
    return [each for each in said if each.get(semconv.OPERATION) == semconv.EXECUTE_TOOL]


@pytest.mark.parametrize("way", WAYS)
def test_a_tool_of_a_server_is_one_call(telemetry: Telemetry, client: Any, way: str) -> None:
    """Below the agent, with the id of the model's call; it is counted and priced once."""
    with watched(telemetry), model() as url:
        finish(WAYS[way](agent_of(url, client)))
    assert spent(telemetry) == (2, 1, pytest.approx(RUN_USD))
    assert telemetry.total("agentcost.cost", gen_ai__agent__name="researcher") == pytest.approx(RUN_USD)
    (said,) = tool_spans(telemetry)
    assert said[semconv.TOOL_CALL_ID].startswith("call_")
    assert said[semconv.COST] == TOOL_USD
    assert [line.strip() for line in tree(telemetry)].count("execute_tool search") == 1
    in_run = {span.context.trace_id for span in telemetry.spans if span.context and " send " not in span.name}
    assert len(in_run) == 1


def test_an_error_of_the_server_is_one_call_that_failed(telemetry: Telemetry, client: Any) -> None:
    """The model reads of it."""
    with watched(telemetry), model(calls(query="fail"), says()) as url:
        finish(agent_of(url, client).invoke_async("Hi"))
    (said,) = tool_spans(telemetry)
    assert said[semconv.ERROR_TYPE]
    assert spent(telemetry)[:2] == (2, 1)


def test_a_call_of_the_application_is_one_call(telemetry: Telemetry, client: Any) -> None:
    """Outside of a run."""
    with watched(telemetry), model() as url:
        agent = agent_of(url, client)
        agent.tool.search(query="bees")
    (said,) = tool_spans(telemetry)
    assert said[semconv.COST] == TOOL_USD
    assert telemetry.total("agentcost.cost") == TOOL_USD


def test_where_their_spans_go_elsewhere_there_is_ours(
    telemetry: Telemetry, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has made a global provider."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(tracing.get_tracer(), "tracer", trace.NoOpTracer())
    with suppress(ImportError):
        otel = importlib.import_module("mcp.shared._otel")
        monkeypatch.setattr(otel, "_tracer", trace.NoOpTracer())
    with watched(telemetry), model() as url:
        finish(agent_of(url, client).invoke_async("Hi"))
    assert [line for line in tree(telemetry) if not line.startswith("MCP")] == RUN
    assert spent(telemetry) == (2, 1, pytest.approx(RUN_USD))
