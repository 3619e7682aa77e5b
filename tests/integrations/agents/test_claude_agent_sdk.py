"""Agents of the Claude Agent SDK, with a program that speaks its protocol, and with Claude Code where it is bundled."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractContextManager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

import otel_agentcost
from otel_agentcost import BudgetExceeded, Settings
from otel_agentcost.core import semconv
from otel_agentcost.testing import Answer, FakeModel, ToolCall
from tests.integrations.agents import claude_program
from tests.integrations.agents.agent_runs import TOOL_USD, model_calls, said, spent, tree, watched
from tests.integrations.agents.claude_program import HELPER_USD, MODEL, SESSION, USD
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry

sdk: Any = pytest.importorskip("claude_agent_sdk", reason="claude-agent-sdk is not here: `make frameworks`")

AGENT = "claude-agent"
RUN = [f"invoke_agent {AGENT}", f"  chat {MODEL}", "  execute_tool search"]
OPTIONS = {field.name for field in fields(sdk.ClaudeAgentOptions)}
LIMITED = "max_budget_usd" in OPTIONS
BUNDLED = Path(sdk.__file__).parent / "_bundled" / "claude"

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program named as the SDK looks for it, and no settings of Claude Code in the environment."""
    for name in [*os.environ]:
        if name.startswith(("CLAUDE", "ANTHROPIC")):
            monkeypatch.delenv(name)
    path = tmp_path / "claude"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {claude_program.__file__} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return path


def options(**more: Any) -> Any:
    """Options that start the program of the tests."""
    found = os.path.realpath(next(Path(each) / "claude" for each in os.environ["PATH"].split(":")))
    path = {"cli_path": found} if "cli_path" in OPTIONS else {}
    return sdk.ClaudeAgentOptions(**{**path, **more})


async def by_query(**more: Any) -> list[Any]:
    """One prompt, by `query`."""
    return [message async for message in sdk.query(prompt="Hi", options=options(**more))]


async def by_stream(*prompts: str, **more: Any) -> list[Any]:
    """Prompts that the application sends one after the other, by `query`."""

    async def messages() -> AsyncIterator[Any]:
        for prompt in prompts or ("Hi",):
            content = {"role": "user", "content": prompt}
            yield {"type": "user", "message": content, "parent_tool_use_id": None, "session_id": "default"}
            await asyncio.sleep(1)

    return [message async for message in sdk.query(prompt=messages(), options=options(**more))]


async def by_client(*prompts: str, **more: Any) -> list[Any]:
    """Prompts of a client, each answered before the next one."""
    seen: list[Any] = []
    async with sdk.ClaudeSDKClient(options(**more)) as client:
        for prompt in prompts or ("Hi",):
            await client.query(prompt)
            seen += [message async for message in client.receive_response()]
    return seen


WAYS: dict[str, Callable[..., Any]] = {"query": by_query, "prompts": by_stream, "client": by_client}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_one_trace(telemetry: Telemetry, way: str) -> None:
    """The agent, its tool call, and one span of the model with the dollars that the program reports."""
    with watched(telemetry):
        messages = asyncio.run(WAYS[way]())
    assert type(messages[-1]).__name__ == "ResultMessage"
    assert tree(telemetry) == RUN
    assert spent(telemetry, RUN[0]) == (2, 1, pytest.approx(2 * USD + TOOL_USD))
    told = telemetry.attributes(f"chat {MODEL}")
    assert (told[semconv.INPUT_TOKENS], told[semconv.OUTPUT_TOKENS]) == (200, 100)
    assert told[semconv.COST] == pytest.approx(2 * USD)
    assert told[semconv.COST_SOURCE] == "provider"
    assert telemetry.attributes(RUN[0])[semconv.CONVERSATION] == SESSION
    assert said(telemetry, semconv.AGENT) == {AGENT}
    assert telemetry.total("agentcost.cost", gen_ai__agent__name=AGENT) == pytest.approx(2 * USD + TOOL_USD)


def test_running_totals_are_not_charged_twice(telemetry: Telemetry) -> None:
    """Each prompt of a client is a run, with what it has added to the totals, by model."""
    with watched(telemetry):
        asyncio.run(by_client("Hi", "And?", env={"HELPER": "1", "ONE_TOOL": "1"}))
    lines = tree(telemetry)
    assert [line for line in lines if not line.startswith(" ")] == [RUN[0], RUN[0]]
    assert lines.count("  chat claude-haiku-4-5") == lines.count(f"  chat {MODEL}") == 2
    usd = [span.attributes[semconv.TRACE_COST] for span in telemetry.spans if span.attributes and span.parent is None]
    assert usd == [pytest.approx(2 * USD + HELPER_USD + TOOL_USD), pytest.approx(USD + HELPER_USD)]
    assert telemetry.total("agentcost.cost", gen_ai__operation__name="chat") == pytest.approx(3 * USD + 2 * HELPER_USD)


def test_a_program_that_names_no_models_is_charged_by_its_total(telemetry: Telemetry) -> None:
    """Old releases report one sum: it is that of the model that was seen."""
    with watched(telemetry):
        asyncio.run(by_client("Hi", "And?", env={"OLD": "1"}))
    assert [line for line in tree(telemetry) if "chat" in line] == [f"  chat {MODEL}"] * 2
    assert telemetry.total("agentcost.cost", gen_ai__operation__name="chat") == pytest.approx(4 * USD)


def test_a_session_without_a_report_is_a_lower_bound(telemetry: Telemetry) -> None:
    """The program ends before it reports: what was seen has list prices, and the span says that it is not all."""
    with watched(telemetry):
        asyncio.run(by_query(env={"NO_RESULT": "1"}))
    spans = model_calls(telemetry)
    assert len(spans) == 2
    assert all("before it reported" in str((span.attributes or {})[semconv.UNPRICED]) for span in spans)
    # 100 tokens in, and the first 2 out, at $3 and $15 for a million
    assert telemetry.total("agentcost.cost", gen_ai__operation__name="chat") == pytest.approx(2 * 0.00033)


# --- Budgets ---


@pytest.mark.parametrize("way", WAYS)
def test_a_budget_stops_a_turn_between_its_model_calls(telemetry: Telemetry, way: str) -> None:
    """The application sees `BudgetExceeded`, the program is stopped, and what it has used is charged."""
    for settings in ({"budgets": f"agent={AGENT}/day:calls=1"}, {"trace_max_llm_calls": 1}):
        telemetry.exporter.clear()
        with watched(telemetry, **settings), pytest.raises(BudgetExceeded):
            asyncio.run(WAYS[way]())
        (call,) = model_calls(telemetry)
        told = call.attributes or {}
        if semconv.UNPRICED not in told:
            assert told[semconv.COST] == pytest.approx(USD)
        else:  # the SDK had closed the program's input, so that it could only be ended, and reported nothing
            assert way == "query"
            assert told[semconv.COST] == pytest.approx(0.00033)


def test_a_budget_of_a_run_around_the_agent_holds(telemetry: Telemetry) -> None:
    """It counts the model calls of the program."""

    async def work() -> None:
        with otel_agentcost.run("job", llm_calls=1) as job:
            with pytest.raises(BudgetExceeded):
                await by_query()
            assert job.llm_calls == 1

    with watched(telemetry):
        asyncio.run(work())


@pytest.mark.parametrize("way", ["client", "prompts"])
def test_a_used_up_budget_refuses_the_next_prompt(telemetry: Telemetry, way: str) -> None:
    """Nothing is sent for it. The answers to the prompts before are read."""
    more: Any = {"budgets": f"agent={AGENT}/day:usd={2 * USD:f}"}
    with instrumented(telemetry, settings=Settings(**more)), pytest.raises(BudgetExceeded) as refusal:
        asyncio.run(WAYS[way]("Hi", "And?"))
    assert refusal.value.budget.startswith(f"agent={AGENT}")
    assert len(model_calls(telemetry)) == 1
    assert telemetry.total("agentcost.cost", gen_ai__operation__name="chat") == pytest.approx(2 * USD)


def test_a_first_prompt_that_is_refused_starts_no_program(
    telemetry: Telemetry, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even with `connect`."""
    program.unlink()
    monkeypatch.setenv("PATH", "/nowhere")

    async def work() -> None:
        await anext(sdk.query(prompt="Hi", options=sdk.ClaudeAgentOptions()))

    with watched(telemetry, budgets="total:usd=0.000000001"):
        otel_agentcost.adjust("0.01", reason="spent elsewhere")
        with pytest.raises(BudgetExceeded):
            asyncio.run(work())
    assert tree(telemetry) == [RUN[0], "  chat"]


def limited(telemetry: Telemetry, **settings: Any) -> AbstractContextManager[None]:
    """Instrumented with these settings; the tool has no price, unlike in `watched`."""
    return instrumented(telemetry, settings=Settings(**settings))


@pytest.mark.skipif(not LIMITED, reason="this release has no `max_budget_usd`")
def test_the_program_gets_what_is_left(telemetry: Telemetry) -> None:
    """It stops by itself, and says so. A limit of the application stays."""
    with limited(telemetry, trace_budget_usd="0.001"):
        assert asyncio.run(by_query())[-1].subtype == "error_max_budget_usd"
        assert asyncio.run(by_query(max_budget_usd=0.5))[-1].subtype == "success"


@pytest.mark.skipif(not LIMITED, reason="this release has no `max_budget_usd`")
def test_a_budget_that_begins_anew_does_not_limit_a_whole_session(telemetry: Telemetry) -> None:
    """A client may live for weeks: only budgets without a window, and of what is around it, stop its program."""
    with limited(telemetry, budgets="total/day:usd=0.001", trace_budget_usd="0.001"):
        assert asyncio.run(by_client())[-1].subtype == "success"
    with limited(telemetry, budgets="total:usd=0.001"):
        assert asyncio.run(by_client())[-1].subtype == "error_max_budget_usd"


def test_a_client_that_is_closed_in_a_turn_is_charged_what_was_seen(telemetry: Telemetry) -> None:
    """The run ends with the connection."""

    async def work() -> None:
        async with sdk.ClaudeSDKClient(options()) as client:
            await client.query("Hi")
            async for message in client.receive_messages():
                if type(message).__name__ == "AssistantMessage":
                    break

    with watched(telemetry):
        asyncio.run(work())
    assert tree(telemetry) == RUN
    assert telemetry.attributes(RUN[1].strip())[semconv.COST] == pytest.approx(0.00033)


# --- With Claude Code itself ---

pages = pytest.mark.skipif(not BUNDLED.exists(), reason="this release has no bundled Claude Code")


def searching(request: Any) -> Answer:
    """Call the tool first, then answer."""
    if "tool_result" in str(request.body["messages"][-1]):
        return Answer("Bees shiver.", input_tokens=100, output_tokens=50)
    tools = (ToolCall("mcp__pages__search", {"query": "bees"}),)
    return Answer(tools=tools, input_tokens=100, output_tokens=50)


@pytest.fixture(name="claude_code")
def claude_code_options(telemetry: Telemetry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """Options that start Claude Code, with a local model and a tool of the application's own, which asks it too."""
    anthropic: Any = pytest.importorskip("anthropic", reason="anthropic is not here")
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", telemetry.tracer_provider)  # the MCP server makes spans with it
    with FakeModel(searching).server() as server:

        @sdk.tool("search", "Find pages.", {"query": str})  # type: ignore[untyped-decorator] # the framework is no dependency
        async def search(arguments: Any) -> Any:
            client = anthropic.AsyncAnthropic(base_url=server.url, api_key="none")
            asked: Any = [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "b"}]}]
            await client.messages.create(model=MODEL, max_tokens=50, messages=asked)
            return {"content": [{"type": "text", "text": f"pages on {arguments['query']}"}]}

        environment = {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "none", "HOME": str(tmp_path)}
        environment |= {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_TELEMETRY": "1", "IS_SANDBOX": "1"}
        yield sdk.ClaudeAgentOptions(
            env=environment,
            cwd=str(tmp_path),
            model=MODEL,
            mcp_servers={"pages": sdk.create_sdk_mcp_server("pages", tools=[search])},
            allowed_tools=["mcp__pages__search"],
            tools=[],
            setting_sources=[],
        )


@pages
def test_claude_code_is_charged_what_it_reports(telemetry: Telemetry, claude_code: Any) -> None:
    """Two prompts are two runs. A tool of the application runs within the agent, and its model call is below it."""

    async def work() -> None:
        async with sdk.ClaudeSDKClient(claude_code) as client:
            for prompt in ("Hi", "And?"):
                await client.query(prompt)
                async for _ in client.receive_response():
                    pass

    with watched(telemetry):
        asyncio.run(work())
    lines = tree(telemetry)
    assert lines.count("  execute_tool mcp__pages__search") == lines.count(f"  chat {MODEL}") == 2
    assert lines.count("    tools/call search") == 2  # the span of the MCP server, with the model call below it
    roots = [span for span in telemetry.spans if span.name == RUN[0]]
    assert [(span.attributes or {})[semconv.TRACE_COST] for span in roots] == [pytest.approx(3 * USD)] * 2
    assert telemetry.total("agentcost.cost") == pytest.approx(6 * USD)


@pages
def test_claude_code_is_stopped_between_its_model_calls(telemetry: Telemetry, claude_code: Any) -> None:
    """The refusal comes out as itself, from `query` too."""

    async def work() -> None:
        async for _ in sdk.query(prompt="Hi", options=claude_code):
            pass

    with watched(telemetry, trace_max_llm_calls=2), pytest.raises(BudgetExceeded):
        asyncio.run(work())
    assert telemetry.total("agentcost.cost") >= 2 * USD


@pages
def test_claude_code_stops_at_what_is_left(telemetry: Telemetry, claude_code: Any) -> None:
    """By itself: its option is set."""

    async def work() -> Any:
        return [message async for message in sdk.query(prompt="Hi", options=claude_code)]

    claude_code.mcp_servers = {}
    with watched(telemetry, trace_budget_usd="0.0005"):
        messages: list[Any] = []
        with suppress(sdk.ProcessError):  # newer releases raise after such a result
            messages = asyncio.run(work())
    assert not messages or messages[-1].subtype == "error_max_budget_usd"
    assert telemetry.total("agentcost.cost") == pytest.approx(USD)
