"""Agents, orchestrations and group chats of Semantic Kernel, with its own spans of agents and without."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace

from otel_agentcost import BudgetExceeded, Settings
from otel_agentcost.core import semconv
from tests.integrations.agents.agent_runs import (
    MODEL,
    MODEL_CALL,
    RUN_USD,
    USD,
    calls,
    check_budgets,
    finish,
    model,
    model_calls,
    refused,
    said,
    says,
    spent,
    tree,
    watched,
)
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry

agents: Any = pytest.importorskip("semantic_kernel.agents", reason="semantic-kernel is not here: `make frameworks`")
openai: Any = pytest.importorskip("openai", reason="openai is not here")
services: Any = pytest.importorskip("semantic_kernel.connectors.ai.open_ai", reason="semantic-kernel is not here")
functions: Any = pytest.importorskip("semantic_kernel.functions", reason="semantic-kernel is not here")

_TRACERS = (
    "functions.kernel_function",
    "connectors.ai.chat_completion_client_base",
    "utils.telemetry.agent_diagnostics.decorators",
    "utils.telemetry.model_diagnostics.decorators",
)
"""The modules that make spans."""


@pytest.fixture(params=[True, False], ids=["its spans", "our spans"], autouse=True)
def its_spans(request: pytest.FixtureRequest, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether it makes spans of agents and models; it always makes those of tools, with the global provider."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", telemetry.tracer_provider)
    for name in _TRACERS:
        module = importlib.import_module(f"semantic_kernel.{name}")
        monkeypatch.setattr(module, "tracer", telemetry.tracer_provider.get_tracer(name))
        if hasattr(module, "MODEL_DIAGNOSTICS_SETTINGS"):
            monkeypatch.setattr(module.MODEL_DIAGNOSTICS_SETTINGS, "enable_otel_diagnostics", request.param)
    return bool(request.param)


class Pages:
    """A plugin with one function."""

    @functions.kernel_function(description="Finds pages.")  # type: ignore[untyped-decorator] # no dependency
    def search(self, query: str) -> str:
        """Find pages."""
        return f"pages on {query}"


def searching(request: Any) -> Any:
    """Call the function first, and say something when its result is there."""
    answered = "call_" in str(request.body.get("messages", request.body.get("input")))
    return says() if answered else calls("Pages-search", query="bees")


def agent_of(url: str, name: str = "researcher", **more: Any) -> Any:
    """An agent that asks the local model."""
    client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    chat = services.OpenAIChatCompletion(ai_model_id=MODEL, async_client=client)
    return agents.ChatCompletionAgent(service=chat, name=name, description="Writes.", **more)


@pytest.fixture(name="agent")
def an_agent() -> Iterator[Any]:
    """An agent with a function."""
    with model(searching) as url:
        yield agent_of(url, plugins=[Pages()])


async def invoked(agent: Any, **more: Any) -> Any:
    """Read the messages of a run."""
    return [message async for message in agent.invoke("Hi", **more)]


async def streamed(agent: Any, **more: Any) -> Any:
    """Read the parts of the messages of a run."""
    return [part async for part in agent.invoke_stream("Hi", **more)]


WAYS: dict[str, Callable[..., Any]] = {
    "get_response": lambda agent, **more: agent.get_response("Hi", **more),
    "invoke": invoked,
    "invoke_stream": streamed,
}


def lines(telemetry: Telemetry) -> list[str]:
    """The tree without the spans of the loop around model calls, and of the runtime that passes messages on."""
    kept = ("invoke_", "execute_tool", MODEL_CALL)
    return [line.strip() for line in tree(telemetry) if line.strip().startswith(kept)]


def traces(telemetry: Telemetry) -> int:
    """The number of traces."""
    return len({span.context.trace_id for span in telemetry.spans if span.context is not None})


RUN = ["invoke_agent researcher", MODEL_CALL, "execute_tool Pages-search", MODEL_CALL]


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_one_trace(telemetry: Telemetry, agent: Any, way: str) -> None:
    """One span of the agent, of the framework where that makes one, with the totals of its model and tool calls."""
    with instrumented(telemetry, settings=Settings(tool_prices={"Pages-search": "0.25"})):
        finish(WAYS[way](agent))
    assert lines(telemetry) == RUN
    assert traces(telemetry) == 1
    assert spent(telemetry) == (2, 1, pytest.approx(RUN_USD))
    assert telemetry.attributes(RUN[0])[semconv.AGENT_DESCRIPTION] == "Writes."
    assert telemetry.total("agentcost.cost", gen_ai__agent__name="researcher") == pytest.approx(RUN_USD)


@pytest.mark.parametrize("way", WAYS)
def test_budgets_hold(telemetry: Telemetry, agent: Any, way: str) -> None:
    """The refusal comes out as itself."""
    check_budgets(telemetry, lambda: WAYS[way](agent))


@pytest.mark.parametrize("way", WAYS)
def test_a_thread_is_a_conversation(telemetry: Telemetry, agent: Any, way: str) -> None:
    """Its id is on the calls, and a budget can hold for it."""
    thread = agents.ChatHistoryAgentThread(thread_id="thread-1")
    with watched(telemetry, budgets="conversation/day:calls=2"):
        finish(WAYS[way](agent, thread=thread))
        error = refused(lambda: WAYS[way](agent, thread=thread))
    assert isinstance(error, BudgetExceeded)
    assert "thread-1" in said(telemetry, semconv.CONVERSATION)


def test_an_agent_without_a_name_has_none(telemetry: Telemetry, its_spans: bool) -> None:
    """It makes one up, which is another one for each agent, and which its own spans have."""
    with model(says()) as url:
        client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
        chat = services.OpenAIChatCompletion(ai_model_id=MODEL, async_client=client)
        with watched(telemetry):
            finish(agents.ChatCompletionAgent(service=chat).get_response("Hi"))
    assert lines(telemetry)[1:] == [MODEL_CALL]
    assert its_spans or semconv.AGENT not in telemetry.attributes(MODEL_CALL)
    assert telemetry.total("agentcost.cost") == pytest.approx(USD)


def test_an_agent_that_is_a_plugin_is_below_the_function(telemetry: Telemetry) -> None:
    """It shares the allowance of the agent that uses it."""

    def answer(request: Any) -> Any:
        said_so = str(request.body["messages"])
        return says() if "call_" in said_so or "Write" in said_so else calls("writer-writer", messages="Write")

    with model(answer) as url:
        editor = agent_of(url, "editor", plugins=[agent_of(url, "writer")])
        with watched(telemetry):
            finish(editor.get_response("Hi"))
        assert spent(telemetry, "invoke_agent editor")[:2] == (3, 1)
        assert spent(telemetry, "invoke_agent writer")[0] == 1
        tool = "execute_tool writer-writer"
        run = ["invoke_agent editor", MODEL_CALL, tool, "invoke_agent writer", MODEL_CALL, MODEL_CALL]
        assert lines(telemetry) == run
        assert traces(telemetry) == 1
        telemetry.exporter.clear()
        with watched(telemetry, budgets="agent=editor/day:calls=1"):
            assert isinstance(refused(lambda: editor.get_response("Hi")), BudgetExceeded)
    assert len(model_calls(telemetry)) == 1


@pytest.mark.parametrize("way", WAYS)
def test_an_agent_of_responses_is_a_run(telemetry: Telemetry, way: str) -> None:
    """Its thread's id is that of the last response, and no conversation."""
    with model(says()) as url:
        client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
        agent = agents.OpenAIResponsesAgent(ai_model_id=MODEL, client=client, name="researcher")
        with watched(telemetry):
            finish(WAYS[way](agent))
        assert lines(telemetry) == RUN[:2]
        assert semconv.CONVERSATION not in telemetry.attributes(RUN[0])
        telemetry.exporter.clear()
        with watched(telemetry, budgets="agent=researcher/day:calls=1"):
            assert isinstance(refused(lambda: WAYS[way](agent)), BudgetExceeded)
    assert len(model_calls(telemetry)) == 1


def members(url: str) -> list[Any]:
    """Two agents."""
    return [agent_of(url, "first"), agent_of(url, "second")]


ORCHESTRATIONS: dict[str, Callable[[str], Any]] = {
    "SequentialOrchestration": lambda url: agents.SequentialOrchestration(members=members(url)),
    "ConcurrentOrchestration": lambda url: agents.ConcurrentOrchestration(members=members(url)),
    "GroupChatOrchestration": lambda url: agents.GroupChatOrchestration(
        members=members(url), manager=agents.RoundRobinGroupChatManager(max_rounds=2)
    ),
    "HandoffOrchestration": lambda url: agents.HandoffOrchestration(
        members=members(url), handoffs={"first": {"second": "Hand over."}}
    ),
}


async def orchestrated(orchestration: Any) -> Any:
    """Run an orchestration in a runtime that was started before."""
    runtimes = importlib.import_module("semantic_kernel.agents.runtime")
    runtime = runtimes.InProcessRuntime()
    runtime.start()
    try:
        result = await orchestration.invoke("Hi", runtime=runtime)
        return await result.get(timeout=20)
    finally:
        await runtime.stop_when_idle()


def handing_over(request: Any) -> Any:
    """Let the first agent hand over, and the second complete the task."""
    offered = [tool["function"]["name"] for tool in request.body.get("tools", [])]
    transfer = next((name for name in offered if "transfer_to" in name), None)
    if transfer is not None and "call_" not in str(request.body["messages"]):
        return calls(transfer)
    complete = next((name for name in offered if "complete_task" in name), None)
    return calls(complete, task_summary="Done.") if complete is not None else says()


@pytest.mark.parametrize("kind", ORCHESTRATIONS)
def test_an_orchestration_is_a_workflow_of_its_agents(telemetry: Telemetry, kind: str) -> None:
    """They act in tasks of the runtime, in the same trace."""
    with model(handing_over if kind.startswith("Handoff") else says()) as url, watched(telemetry):
        finish(orchestrated(ORCHESTRATIONS[kind](url)))
    assert lines(telemetry)[0] == f"invoke_workflow {kind}"
    assert sorted(line for line in lines(telemetry) if line.startswith("invoke_agent")) == [
        "invoke_agent first",
        "invoke_agent second",
    ]
    assert traces(telemetry) == 1
    assert spent(telemetry, f"invoke_workflow {kind}")[0] == len(model_calls(telemetry)) >= 2
    assert {"first", "second"} <= said(telemetry, semconv.AGENT)


@pytest.mark.parametrize("kind", ["SequentialOrchestration", "GroupChatOrchestration"])
@pytest.mark.parametrize("settings", [{"budgets": "agent=second/day:calls=1"}, {"trace_max_llm_calls": 1}])
def test_a_refusal_comes_out_of_an_orchestration(telemetry: Telemetry, kind: str, settings: Any) -> None:
    """As itself."""
    logging.getLogger("semantic_kernel").setLevel(logging.CRITICAL)
    with model(says()) as url, watched(telemetry, **settings):
        error = refused(lambda: orchestrated(ORCHESTRATIONS[kind](url)))
    assert isinstance(error, BudgetExceeded)
    ended = telemetry.attributes(f"invoke_workflow {kind}") if "trace_max_llm_calls" in settings else {}
    assert ended.get(semconv.ERROR_TYPE) in (None, "otel_agentcost.BudgetExceeded")


@pytest.mark.parametrize("method", ["invoke", "invoke_stream"])
def test_a_group_chat_is_a_workflow_of_its_agents(telemetry: Telemetry, method: str) -> None:
    """Each turn is a run."""
    strategies = importlib.import_module("semantic_kernel.agents.strategies")

    async def chat(url: str) -> Any:
        stop = strategies.DefaultTerminationStrategy(maximum_iterations=2)
        group = agents.AgentGroupChat(agents=members(url), termination_strategy=stop)
        await group.add_chat_message("Hi")
        return [message async for message in getattr(group, method)()]

    with model(says()) as url, watched(telemetry):
        finish(chat(url))
    turns = ["invoke_agent first", MODEL_CALL, "invoke_agent second", MODEL_CALL]
    assert lines(telemetry) == ["invoke_workflow AgentGroupChat", *turns]
    assert traces(telemetry) == 1
    assert spent(telemetry, "invoke_workflow AgentGroupChat")[0] == 2
