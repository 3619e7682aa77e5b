"""Tool calls of which others make spans: counted once each, whoever else makes one of the same call."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

import otel_agentcost
from otel_agentcost import Settings
from otel_agentcost.calls.tool_call import leave_out
from otel_agentcost.core import semconv
from otel_agentcost.telemetry import blocks
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry

PRICES: Any = {"search": "0.25", "slow": "1/s"}


def theirs(telemetry: Telemetry, name: str, *, kind: SpanKind = SpanKind.INTERNAL, **attributes: str) -> Any:
    """A span of somebody else's (in the names of attributes write `.` as `__`)."""
    given = {key.replace("__", "."): value for key, value in attributes.items()}
    return telemetry.tracer_provider.get_tracer("theirs").start_as_current_span(name, kind=kind, attributes=given)


def totals(telemetry: Telemetry) -> tuple[object, object]:
    said = telemetry.attributes("agent")
    return said.get(semconv.TRACE_TOOL_CALLS), said.get(semconv.TRACE_TOOL_COST)


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("tools/call search", {"gen_ai__operation__name": "execute_tool", "gen_ai__tool__name": "search"}),  # MCP
        ("running tool", {"gen_ai__tool__name": "search"}),  # pydantic-ai
        ("execute_tool search", {}),  # google-adk, which says the rest later
        ("search", {"openinference__span__kind": "TOOL"}),
        ("call", {"openinference__span__kind": "TOOL", "tool__name": "search"}),
    ],
)
def test_a_tool_span_of_others_is_a_tool_call(telemetry: Telemetry, name: str, attributes: dict[str, Any]) -> None:
    """It gets the price of its tool, and counts in totals and runs."""
    with (
        instrumented(telemetry, settings=Settings(tool_prices=PRICES)),
        theirs(telemetry, "agent"),
        otel_agentcost.run("r") as run,
        theirs(telemetry, name, **attributes),
    ):
        pass
    assert telemetry.attributes(name)[semconv.COST] == 0.25
    assert totals(telemetry) == (1, 0.25)
    assert run.cost_usd == Decimal("0.25")


def test_spans_inside_each_other_are_one_call(telemetry: Telemetry) -> None:
    """The framework's, then something of its own, then the MCP client's, then the server's."""
    with (
        instrumented(telemetry, settings=Settings(tool_prices=PRICES)),
        theirs(telemetry, "agent"),
        theirs(telemetry, "execute_tool search"),
        theirs(telemetry, "session"),
        theirs(telemetry, "tools/call search", kind=SpanKind.CLIENT, gen_ai__tool__name="search"),
        theirs(telemetry, "tools/call search (server)", kind=SpanKind.SERVER, gen_ai__tool__name="search"),
    ):
        pass
    assert totals(telemetry) == (1, 0.25)
    assert telemetry.total("agentcost.cost") == 0.25


@pytest.mark.parametrize("ours_first", [True, False])
def test_a_call_that_we_see_ourselves_has_our_price(telemetry: Telemetry, *, ours_first: bool) -> None:
    """Whether our span is round theirs or inside it."""

    def ours() -> Any:
        return otel_agentcost.tool_call("search", usd="0.5")

    with instrumented(telemetry, settings=Settings(tool_prices=PRICES)), theirs(telemetry, "agent"):
        if ours_first:
            with ours(), theirs(telemetry, "running tool", gen_ai__tool__name="search"):
                pass
        else:
            with theirs(telemetry, "running tool", gen_ai__tool__name="search"), ours():
                pass
    assert totals(telemetry) == (1, 0.5)


def test_tools_that_call_tools_count_each(telemetry: Telemetry) -> None:
    """Another tool inside a tool, the same tool after it, and the same tool of an agent inside it."""
    with instrumented(telemetry, settings=Settings(tool_prices=PRICES)), theirs(telemetry, "agent"):
        with theirs(telemetry, "execute_tool search"), theirs(telemetry, "execute_tool other"):
            pass
        with (
            theirs(telemetry, "execute_tool search"),
            theirs(telemetry, "sub", gen_ai__operation__name="invoke_agent"),
            theirs(telemetry, "execute_tool search"),
        ):
            pass
    assert totals(telemetry) == (4, 0.75)


def test_what_stands_for_many_calls_or_is_none_is_not_counted(telemetry: Telemetry) -> None:
    """google-adk's span for merged answers, a server's span, and a model call that names a tool."""
    with instrumented(telemetry, settings=Settings(tool_prices={"*": "1"})), theirs(telemetry, "agent"):
        with theirs(telemetry, "execute_tool (merged tools)"):
            pass
        with theirs(telemetry, "tools/call search", kind=SpanKind.SERVER, gen_ai__operation__name="execute_tool"):
            pass
        with theirs(telemetry, "chat m", gen_ai__operation__name="chat", gen_ai__tool__name="search"):
            pass
    assert totals(telemetry) == (None, None)


def test_a_call_within_a_call_of_the_same_tool_has_another_id(telemetry: Telemetry) -> None:
    """An agent that is a tool, and has one of the same name; spans without an id are of the call above."""
    with (
        instrumented(telemetry, settings=Settings(tool_prices=PRICES)),
        theirs(telemetry, "agent"),
        theirs(telemetry, "outer", gen_ai__tool__name="search", gen_ai__tool__call__id="call_1"),
        theirs(telemetry, "inner", gen_ai__tool__name="search", gen_ai__tool__call__id="call_2"),
        theirs(telemetry, "client", gen_ai__tool__name="search"),
    ):
        pass
    assert totals(telemetry) == (2, 0.5)


def test_what_was_refused_was_not_called(telemetry: Telemetry) -> None:
    """pydantic-ai makes a span also where a model's arguments do not fit, and the tool has not run."""
    refusal = type("ToolRetryError", (Exception,), {"__module__": "pydantic_ai.exceptions"})
    with instrumented(telemetry, settings=Settings(tool_prices=PRICES)), theirs(telemetry, "agent"):
        with theirs(telemetry, "execute_tool search", pydantic_ai__tool__failure_stage="validation"):
            pass
        with pytest.raises(refusal), theirs(telemetry, "running tool", gen_ai__tool__name="search"):
            raise refusal
    assert telemetry.total("agentcost.cost") == 0
    assert not totals(telemetry)[0]


def beside(telemetry: Telemetry, scope: str, **attributes: str) -> Any:
    """A span of the tool `search`, below the current span, that its instrumentation does not make current."""
    given = {semconv.OPERATION: "execute_tool", semconv.TOOL: "search"}
    given |= {key.replace("__", "."): value for key, value in attributes.items()}
    return telemetry.tracer_provider.get_tracer(scope).start_span(f"search of {scope}", attributes=given)


@pytest.mark.parametrize("ours_first", [True, False])
def test_spans_side_by_side_are_no_second_call(telemetry: Telemetry, *, ours_first: bool) -> None:
    """The span of another instrumentation starts inside the call or before it, with another parent."""
    with instrumented(telemetry, settings=Settings(tool_prices=PRICES)), theirs(telemetry, "agent"):
        if ours_first:
            above = trace.set_span_in_context(trace.get_current_span())
            with otel_agentcost.tool_call("search"):
                tracer = telemetry.tracer_provider.get_tracer("acme")
                tracer.start_span("execute_tool search", context=above).end()
        else:
            span = beside(telemetry, "acme")
            with otel_agentcost.tool_call("search"):
                pass
            span.end()
    assert totals(telemetry) == (1, 0.25)
    assert sum(semconv.DUPLICATE in (span.attributes or {}) for span in telemetry.spans) == 1


def test_spans_of_two_instrumentations_side_by_side_are_one_call(telemetry: Telemetry) -> None:
    """They are open at the same time, in the same running code."""
    with instrumented(telemetry, settings=Settings(tool_prices=PRICES)), theirs(telemetry, "agent"):
        first, second = beside(telemetry, "acme"), beside(telemetry, "other")
        second.end()
        first.end()
    assert totals(telemetry) == (1, 0.25)
    assert telemetry.attributes("search of other")[semconv.DUPLICATE] is True


def test_calls_of_one_tool_at_a_time_count_each(telemetry: Telemetry) -> None:
    """By the ids that the model gave them, or since one instrumentation makes one span of a call."""
    with instrumented(telemetry, settings=Settings(tool_prices=PRICES)), theirs(telemetry, "agent"):
        spans = [beside(telemetry, "acme"), beside(telemetry, "acme")]
        spans += [beside(telemetry, "other", gen_ai__tool__call__id=each) for each in ("1", "2")]
        for span in spans:
            span.end()
        beside(telemetry, "acme").end()
        beside(telemetry, "other").end()  # later
    assert totals(telemetry)[0] == 4


def test_a_span_that_gets_its_tools_name_at_its_end_is_no_second_call(telemetry: Telemetry) -> None:
    """OpenInference's spans of CrewAI are called `search.run` when they start."""
    with (
        instrumented(telemetry, settings=Settings(tool_prices=PRICES)),
        theirs(telemetry, "agent"),
        theirs(telemetry, "search.run", openinference__span__kind="TOOL") as outer,
    ):
        with otel_agentcost.tool_call("search"):
            pass
        outer.set_attribute("tool.name", "search")
    assert totals(telemetry) == (1, 0.25)


@pytest.mark.parametrize("place", ["around", "before", "inside"])
def test_a_span_that_says_at_its_end_that_it_is_of_a_tool_is_a_duplicate(telemetry: Telemetry, place: str) -> None:
    """OpenLLMetry's spans of Agno are around the call; OpenInference's of LangChain beside it, in either order."""
    tracer = telemetry.tracer_provider.get_tracer("acme")
    says = {"traceloop.span.kind": "tool", semconv.TOOL: "search"}
    with instrumented(telemetry, settings=Settings(tool_prices=PRICES)), theirs(telemetry, "agent"):
        above = trace.set_span_in_context(trace.get_current_span())
        if place == "around":
            with tracer.start_as_current_span("work") as span, otel_agentcost.tool_call("search"):
                span.set_attributes(says)
        elif place == "before":
            span = tracer.start_span("search.tool")
            with otel_agentcost.tool_call("search"):
                pass
        else:
            with otel_agentcost.tool_call("search"):
                span = tracer.start_span("search", context=above)
        span.set_attributes(says)
        span.end()
    assert totals(telemetry) == (1, 0.25)
    assert [span.name for span in telemetry.spans if semconv.DUPLICATE in (span.attributes or {})] == [
        {"around": "work", "before": "search.tool", "inside": "search"}[place]
    ]


def test_a_span_around_a_tool_that_is_of_no_tool_is_no_duplicate(telemetry: Telemetry) -> None:
    """Nor is one of another tool."""
    with (
        instrumented(telemetry, settings=Settings(tool_prices=PRICES)),
        theirs(telemetry, "agent"),
        theirs(telemetry, "prepare") as other,
        theirs(telemetry, "search the web"),
        otel_agentcost.tool_call("search"),
    ):
        other.set_attribute(semconv.TOOL, "prepare")
    assert not [span for span in telemetry.spans if semconv.DUPLICATE in (span.attributes or {})]


def test_a_span_that_turns_out_to_be_of_another_tool_counts(telemetry: Telemetry) -> None:
    """Its tool has called the other one."""
    with (
        instrumented(telemetry, settings=Settings(tool_prices=PRICES)),
        theirs(telemetry, "agent"),
        theirs(telemetry, "slow.run", openinference__span__kind="TOOL") as outer,
    ):
        with otel_agentcost.tool_call("search"):
            pass
        outer.set_attribute("tool.name", "other")
    assert totals(telemetry) == (2, 0.25)


def test_a_span_beside_a_reported_call_is_no_second_call(telemetry: Telemetry) -> None:
    """A program reports its calls: they are open while the application reads, without being current there."""
    with instrumented(telemetry, settings=Settings(tool_prices=PRICES)), theirs(telemetry, "agent"):
        reader = blocks.place()
        reported = otel_agentcost.tool_call("search")
        reported.__enter__()
        blocks.move_to(reader)
        with theirs(telemetry, "seen", openinference__span__kind="TOOL", tool__name="search"):
            pass
        with theirs(telemetry, "other", openinference__span__kind="TOOL", tool__name="slow"):
            pass
        reported.__exit__(None, None, None)
        with theirs(telemetry, "later", openinference__span__kind="TOOL", tool__name="search"):
            pass
    assert telemetry.attributes("seen")[semconv.DUPLICATE] is True
    assert semconv.DUPLICATE not in telemetry.attributes("later")
    assert totals(telemetry)[0] == 3


def test_what_ends_a_run_is_no_call(telemetry: Telemetry) -> None:
    """Frameworks let the model call a function of theirs as a tool to end a run. A span around it does not count."""
    with instrumented(telemetry, settings=Settings(tool_prices=PRICES)), theirs(telemetry, "agent"):
        for called in ("finish.__call__", "search.__call__"):
            with theirs(telemetry, called, openinference__span__kind="TOOL"):
                leave_out(trace.get_current_span(), "finish")
    assert telemetry.attributes("finish.__call__")[semconv.DUPLICATE] is True
    assert totals(telemetry)[0] == 1
