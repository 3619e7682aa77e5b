"""What must hold of an agent's run in whichever framework: one trace, the right tree, the right dollars, its budgets.

The agents of the tests ask a local model. It answers with one call of the tool `search`, and then with a text, so that
a run is two model calls and a tool call. Each framework's tests need it in their environment.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import inspect
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

import otel_agentcost
from otel_agentcost import BudgetExceeded, Settings
from otel_agentcost.core import semconv
from otel_agentcost.testing import Answer, FakeModel, ToolCall
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry

MODEL = "gpt-4o-mini"
USD = 0.000045
"""The price of each model call: 100 tokens in, 50 out."""
TOOL_USD = 0.25
PRICES: Any = {"search": "0.25"}
RUN_USD = round(2 * USD + TOOL_USD, 9)

MODEL_CALL = f"chat {MODEL}"
RUN = ["invoke_agent researcher", f"  {MODEL_CALL}", "  execute_tool search", f"  {MODEL_CALL}"]
"""The tree of a run, by the names of its spans."""

Run = Callable[[], Any]


def says(text: str = "Bees shiver.") -> Answer:
    """An answer of the model."""
    return Answer(text, input_tokens=100, output_tokens=50)


def calls(tool: str = "search", **arguments: Any) -> Answer:
    """An answer of the model that calls a tool."""
    return Answer(tools=(ToolCall(tool, arguments),), input_tokens=100, output_tokens=50)


def searching(request: Any) -> Answer:
    """Call the tool first, and say something when its result is there: for any number of runs at a time."""
    answered = "call_" in str(request.body.get("messages", request.body.get("input")))
    return says() if answered else calls(query="bees")


@contextmanager
def model(*answers: Any) -> Generator[str]:
    """A local model with these answers. The block gets the base URL for clients of OpenAI."""
    made = FakeModel(*(answers or (searching,)))
    with made.server() as server:
        yield f"{server.url}/v1"


@contextmanager
def watched(telemetry: Telemetry, **settings: Any) -> Generator[None]:
    """Instrumented, with a price for the tool `search`, and no span around the agent."""
    with instrumented(telemetry, settings=Settings(tool_prices=PRICES, **settings)):
        yield


_LOOP = asyncio.new_event_loop()  # one for all runs: an async client can't be used in a second one
atexit.register(_LOOP.close)


def finish(result: Any) -> Any:
    """Run a coroutine in the event loop of the tests; return any other result as it is."""
    return _LOOP.run_until_complete(result) if inspect.iscoroutine(result) else result


def settle() -> None:
    """Let the event loop close the async generators that a run has left open, as it does in an application."""
    for _ in range(3):
        _LOOP.run_until_complete(asyncio.sleep(0))


def tree(telemetry: Telemetry) -> list[str]:
    """The names of all spans in the order in which they started, indented by their depth."""
    below: dict[int, list[ReadableSpan]] = {}
    known = {span.context.span_id for span in telemetry.spans if span.context is not None}
    for span in sorted(telemetry.spans, key=lambda each: each.start_time or 0):
        parent = span.parent.span_id if span.parent is not None and span.parent.span_id in known else 0
        below.setdefault(parent, []).append(span)

    def lines(parent: int, depth: int) -> list[str]:
        found: list[str] = []
        for span in below.get(parent, []):
            assert span.context is not None
            found += ["  " * depth + span.name, *lines(span.context.span_id, depth + 1)]
        return found

    return lines(0, 0)


def spent(telemetry: Telemetry, name: str = RUN[0]) -> tuple[object, ...]:
    """Model calls, tool calls and US dollars by the totals of the only span with this name."""
    said = telemetry.attributes(name)
    return tuple(said.get(key) for key in (semconv.TRACE_LLM_CALLS, semconv.TRACE_TOOL_CALLS, semconv.TRACE_COST))


def said(telemetry: Telemetry, name: str) -> set[object]:
    """The values of an attribute on all spans; None for those without it."""
    values: list[Any] = [(span.attributes or {}).get(name) for span in telemetry.spans]
    return set(values)


def model_calls(telemetry: Telemetry) -> list[ReadableSpan]:
    """The spans of model calls that were made."""
    return [
        span
        for span in telemetry.spans
        if (span.attributes or {}).get(semconv.OPERATION) == "chat"
        and (span.attributes or {}).get(semconv.ERROR_TYPE) != semconv.REFUSED
    ]


def check_run(telemetry: Telemetry, run: Run, expected: Sequence[str] = RUN, *, agent: str = "researcher") -> Any:
    """Run the agent, and assert that the run is one trace with this tree and the right dollars; return its result."""
    with watched(telemetry):
        result = finish(run())
        gc.collect()
    assert tree(telemetry) == list(expected)
    assert len({span.context.trace_id for span in telemetry.spans if span.context is not None}) == 1
    llm_calls, tool_calls, usd = spent(telemetry, f"invoke_agent {agent}")
    assert (llm_calls, tool_calls) == (2, 1)
    assert usd == pytest.approx(RUN_USD)
    assert said(telemetry, semconv.AGENT) == {agent}
    assert telemetry.total("agentcost.cost", gen_ai__agent__name=agent) == pytest.approx(RUN_USD)
    return result


def refused(run: Run) -> BaseException:
    """Run the agent until it raises, at the latest in the fifth run; return the exception."""
    for _ in range(5):
        try:
            finish(run())
        except Exception as error:  # noqa: PERF203 (a framework may raise an error of its own)
            return error
    raise AssertionError("five runs were made, and none was refused")


def check_budgets(
    telemetry: Telemetry, run: Run, raises: type[BaseException] = BudgetExceeded, *, agent: str = "researcher"
) -> None:
    """Assert that a budget of the agent, of a run and of the trace each refuse the second model call.

    Args:
        telemetry: The telemetry of the test.
        run: Runs the agent.
        raises: The exception that the application sees.
        agent: The name of the agent.
    """
    with watched(telemetry, budgets=f"agent={agent}/day:calls=1"):
        assert isinstance(refused(run), raises)
    assert len(model_calls(telemetry)) == 1
    telemetry.exporter.clear()
    with watched(telemetry), otel_agentcost.run("job", llm_calls=1) as job:
        assert isinstance(refused(run), raises)
    assert job.llm_calls == len(model_calls(telemetry)) == 1
    telemetry.exporter.clear()
    with watched(telemetry, trace_max_llm_calls=1):
        assert isinstance(refused(run), raises)
    assert len(model_calls(telemetry)) == 1
