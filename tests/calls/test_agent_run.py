"""Runs of agents, apart from any framework: spans, names, nesting, adoption, and their budgets."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import cycle
from types import ModuleType
from typing import Any

import pytest
from openai import OpenAI
from opentelemetry import context, trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import otel_agentcost
from otel_agentcost import BudgetExceeded, Settings, runtime
from otel_agentcost.calls.agent_run import Agent, AgentRun, turn
from otel_agentcost.core import semconv
from otel_agentcost.integrations.agents._base import AgentFramework, LeftOpenPatch, patches_of
from otel_agentcost.integrations.patching import Target
from tests.support.budgeted_calls import USD, answering, ask, budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

RESEARCHER = Agent(name="researcher", conversation="c-1", key=1)
WRITER = Agent(name="writer", key=2)
CALL = "chat gpt-4o-mini"


def run(agent: Agent = RESEARCHER) -> AgentRun:
    """A run of `agent`, as a framework opens it."""
    return AgentRun(agent, "acme")


@contextmanager
def asking(telemetry: Telemetry, model_server: ModelServer, **settings: Any) -> Generator[OpenAI]:
    """Instrumented; the block gets a client whose calls are answered."""
    answering(model_server)
    with budgeted(telemetry, **settings), client(model_server) as made:
        yield made


def agents(telemetry: Telemetry) -> list[object]:
    """The agents that the spans of the calls name."""
    return [(span.attributes or {}).get(semconv.AGENT) for span in telemetry.spans if span.name == CALL]


def test_calls_are_below_the_agent_and_count_in_it(telemetry: Telemetry, model_server: ModelServer) -> None:
    """They have its name and its conversation; the agent has the totals."""
    with asking(telemetry, model_server) as made, run():
        ask(made)
    call, agent = telemetry.attributes(CALL), telemetry.attributes("invoke_agent researcher")
    assert (call[semconv.AGENT], call[semconv.CONVERSATION]) == ("researcher", "c-1")
    assert (agent[semconv.TRACE_LLM_CALLS], agent[semconv.TRACE_COST]) == (1, USD)
    assert telemetry.span(CALL).parent == telemetry.span("invoke_agent researcher").get_span_context()


def test_a_budget_of_an_agent_does_not_depend_on_sampling(model_server: ModelServer) -> None:
    """A trace that is not sampled has no spans, and is limited all the same: by agent, conversation and trace."""
    for limit in ("agent=researcher/day:calls=1", "conversation/day:calls=1", "trace:calls=1"):
        telemetry = Telemetry(sampler=ALWAYS_OFF)
        with asking(telemetry, model_server, budgets=limit) as made, run():
            ask(made)
            with pytest.raises(BudgetExceeded):
                ask(made)
        assert telemetry.spans == ()


def test_each_run_is_a_trace(telemetry: Telemetry, model_server: ModelServer) -> None:
    """So a limit of a trace is one of a run, in a program without other spans."""
    with asking(telemetry, model_server, trace_max_llm_calls=1) as made:
        for _ in range(3):
            with run():
                ask(made)
    assert len(agents(telemetry)) == 3


def test_a_nested_agent_shares_the_allowance_of_the_outer_one(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Its calls count in the budgets of both, with its own name."""
    with (
        asking(telemetry, model_server, budgets="agent=researcher/day:calls=2;agent=writer/day:calls=9") as made,
        run(),
    ):
        ask(made)
        with run(WRITER):
            ask(made)
            with pytest.raises(BudgetExceeded, match="agent=researcher/day:calls=2"):
                ask(made)
    assert agents(telemetry) == ["researcher", "writer", "writer"]


def test_two_agents_of_one_name_count_a_call_once(telemetry: Telemetry, model_server: ModelServer) -> None:
    """An agent that asks itself spends its allowance once."""
    with asking(telemetry, model_server, budgets="agent/day:calls=2") as made, run(), run(WRITER), run():
        ask(made)
        ask(made)
        with pytest.raises(BudgetExceeded):
            ask(made)


def test_a_name_that_is_given_in_code_is_no_way_around_the_budget(
    telemetry: Telemetry, model_server: ModelServer
) -> None:
    """It is on spans and metrics; the framework's agent is limited all the same."""
    settings = "agent=researcher/day:calls=1"
    with asking(telemetry, model_server, budgets=settings) as made, otel_agentcost.attribute(agent="support"), run():
        ask(made)
        with pytest.raises(BudgetExceeded):
            ask(made)
    assert agents(telemetry) == ["support", "support"]


def test_methods_that_call_each_other_are_one_run(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Equal keys say so; an agent that one of its tools runs is another run."""
    with asking(telemetry, model_server), run(), run(), otel_agentcost.tool_call("ask"), run():
        pass
    assert [span.name for span in telemetry.spans].count("invoke_agent researcher") == 2


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "researcher"},
        {"openinference.span.kind": "AGENT"},
        {"traceloop.span.kind": "agent"},
    ],
)
@pytest.mark.parametrize("root", [True, False])
def test_a_span_that_others_have_opened_is_adopted(
    telemetry: Telemetry, model_server: ModelServer, attributes: dict[str, str], *, root: bool
) -> None:
    """It gets the totals and the attributes that it does not have; there is no second span."""
    tracer = telemetry.tracer_provider.get_tracer("others")
    with asking(telemetry, model_server) as made, tracer.start_as_current_span("root") as outer:
        if not root:
            ask(made)
        with tracer.start_as_current_span("their agent", attributes=attributes), run():
            ask(made)
        outer.set_attribute("done", value=True)
    agent = telemetry.attributes("their agent")
    assert agent[semconv.TRACE_LLM_CALLS] == 1
    assert (agent[semconv.AGENT], agent[semconv.CONVERSATION]) == ("researcher", "c-1")
    assert agents(telemetry)[-1] == "researcher"
    assert "invoke_agent researcher" not in [span.name for span in telemetry.spans]


@pytest.mark.parametrize("named_at", ["its start", "its end"])
def test_a_span_that_others_open_inside_is_no_second_agent(
    telemetry: Telemetry, model_server: ModelServer, named_at: str
) -> None:
    """It gets no totals, and is marked: the run has a span with the totals."""
    names = {semconv.OPERATION: semconv.INVOKE_AGENT, semconv.AGENT: "researcher"}
    tracer = telemetry.tracer_provider.get_tracer("theirs")
    with asking(telemetry, model_server) as made, run():
        given = names if named_at == "its start" else {}
        with tracer.start_as_current_span("researcher.agent", attributes=given) as span:
            ask(made)
            span.set_attributes(names)
    inner = telemetry.attributes("researcher.agent")
    assert inner[semconv.DUPLICATE] is True
    assert semconv.TRACE_COST not in inner
    assert telemetry.attributes("invoke_agent researcher")[semconv.TRACE_LLM_CALLS] == 1


@pytest.mark.parametrize("of", ["researcher", "writer"])
def test_a_span_that_others_have_open_beside_the_run_is_no_second_agent(
    telemetry: Telemetry, model_server: ModelServer, of: str
) -> None:
    """They do not make it current. One of another agent is not of this run."""
    with asking(telemetry, model_server) as made:
        span = telemetry.tracer_provider.get_tracer("theirs").start_span("agent beside")
        span.set_attributes({"traceloop.span.kind": "agent", semconv.AGENT: of})
        with run():
            ask(made)
        span.end()
    assert telemetry.attributes("invoke_agent researcher")[semconv.TRACE_LLM_CALLS] == 1
    beside = telemetry.attributes("agent beside")
    assert (semconv.DUPLICATE in beside) == (of == "researcher")
    assert semconv.TRACE_COST not in beside


def test_a_context_that_others_leave_behind_does_not_join_two_runs(
    telemetry: Telemetry, model_server: ModelServer
) -> None:
    """An instrumentation has attached it inside the run, and restores what was current there after its end."""
    with asking(telemetry, model_server) as made:
        with run():
            inside = context.get_current()
            ask(made)
        token = context.attach(inside)
        with run():
            ask(made)
        assert not trace.get_current_span().get_span_context().is_valid
        context.detach(token)
    runs = [span for span in telemetry.spans if span.name == "invoke_agent researcher"]
    assert [span.parent for span in runs] == [None, None]


@pytest.mark.parametrize("open_still", [True, False])
def test_runs_below_a_span_of_others(telemetry: Telemetry, model_server: ModelServer, *, open_still: bool) -> None:
    """The first run adopts the span. While it is open, the next one is inside; after its end, it is a trace of its own.

    An instrumentation may end its span and leave it current.
    """
    attributes = {semconv.OPERATION: semconv.INVOKE_AGENT, semconv.AGENT: "researcher"}
    with asking(telemetry, model_server) as made:
        span = telemetry.tracer_provider.get_tracer("others").start_span("their agent", attributes=attributes)
        with trace.use_span(span, end_on_exit=open_still):
            with run():
                ask(made)
            if not open_still:
                span.end()
            with run():
                ask(made)
    theirs, second = telemetry.attributes("their agent"), telemetry.span("invoke_agent researcher")
    assert theirs[semconv.TRACE_LLM_CALLS] == 1 + open_still
    assert (second.parent is not None) == open_still


def test_a_span_of_others_that_a_failed_run_leaves_open(
    telemetry: Telemetry, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The span of the run ends with its totals, and the next run is a trace of its own."""
    tracer = telemetry.tracer_provider.get_tracer("others")

    def around(function: Callable[[], None]) -> None:
        span = tracer.start_span("their agent", attributes={"openinference.span.kind": "AGENT"})
        token = context.attach(trace.set_span_in_context(span))
        function()
        context.detach(token)
        span.end()

    module: Any = ModuleType("others_around")
    module.around = around
    monkeypatch.setitem(sys.modules, "others_around", module)
    patch = LeftOpenPatch(target=Target(module="others_around", method="around"))
    (installed,) = patches_of(AgentFramework(name="acme", title="Acme", distribution="acme", patches=(patch,)))

    def work() -> None:
        with run():
            ask(made)
            raise ValueError("the model refuses")

    installed.install()
    with asking(telemetry, model_server) as made:
        for _ in range(2):
            with pytest.raises(ValueError, match="refuses"):
                module.around(work)
        assert not trace.get_current_span().get_span_context().is_valid
    installed.remove()
    runs = [span for span in telemetry.spans if span.name == "their agent"]
    assert [(span.attributes or {}).get(semconv.TRACE_LLM_CALLS) for span in runs] == [1, 1]
    assert [span.parent for span in runs] == [None, None]


def test_runs_follow_each_other_in_one_span_of_others(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The first one adopts it and leaves it open: it is not over, and the next one is inside of it."""
    tracer = telemetry.tracer_provider.get_tracer("others")
    theirs = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "researcher"}
    with asking(telemetry, model_server) as made, tracer.start_as_current_span("theirs", attributes=theirs) as outer:
        for _ in range(3):
            with run():
                ask(made)
    assert telemetry.attributes("theirs")[semconv.TRACE_LLM_CALLS] == 3
    assert {span.context.trace_id for span in telemetry.spans if span.context} == {outer.get_span_context().trace_id}


@pytest.mark.parametrize(
    "parent", [trace.INVALID_SPAN, trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=True))]
)
def test_runs_follow_each_other_where_no_spans_are_made(model_server: ModelServer, parent: trace.Span) -> None:
    """Without a provider each span is the current one again: the end of a run is not the end of that."""
    answering(model_server)
    settings: Any = {"budgets": "agent=researcher/day:calls=5"}
    runtime.start(tracer_provider=trace.NoOpTracerProvider(), settings=Settings(**settings))
    try:
        with trace.use_span(parent), client(model_server) as made:
            for _ in range(2):
                with run():
                    ask(made)
                    with run(WRITER):
                        ask(made)
            with run():
                ask(made)
                with pytest.raises(BudgetExceeded):
                    ask(made)
    finally:
        otel_agentcost.uninstrument()
    assert not vars(trace.INVALID_SPAN).keys() - {"_context"}, "a mark on the span that all programs share"


class TwoSpans(trace.Tracer):
    """A tracer that uses its spans in turn."""

    def __init__(self) -> None:
        self._spans = cycle([trace.NonRecordingSpan(trace.SpanContext(1, n, is_remote=False)) for n in (1, 2)])

    def start_span(self, *_: object, **__: object) -> trace.Span:
        return next(self._spans)

    start_as_current_span = trace.NoOpTracer.start_as_current_span


class TwoSpansProvider(trace.TracerProvider):
    """Has one tracer."""

    def get_tracer(self, *_: object, **__: object) -> trace.Tracer:
        return TwoSpans()


def test_a_tracer_may_use_its_spans_again(model_server: ModelServer) -> None:
    """As test doubles do: each of two spans has been opened inside the other one and is over."""
    answering(model_server)
    runtime.start(tracer_provider=TwoSpansProvider())
    try:
        with client(model_server) as made:
            with run(), run(WRITER):  # spans 1 and 2
                pass
            with run(Agent(name="a", key=3)):
                pass
            for _ in range(3):
                with run(), run(WRITER):  # spans 2 and 1
                    ask(made)
                with run(), run(WRITER), run(Agent(name="c", key=4)):
                    ask(made)
    finally:
        otel_agentcost.uninstrument()


def test_a_span_of_another_agent_inside_is_an_agent(telemetry: Telemetry, model_server: ModelServer) -> None:
    """It has totals of its own, and is no duplicate."""
    names = {semconv.OPERATION: semconv.INVOKE_AGENT, semconv.AGENT: "writer"}
    tracer = telemetry.tracer_provider.get_tracer("theirs")
    with asking(telemetry, model_server) as made, run(), tracer.start_as_current_span("writer", attributes=names):
        ask(made)
    inner = telemetry.attributes("writer")
    assert semconv.DUPLICATE not in inner
    assert inner[semconv.TRACE_LLM_CALLS] == 1


def test_a_span_of_another_agent_is_not_adopted(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Nor is one that an agent has already."""
    tracer = telemetry.tracer_provider.get_tracer("others")
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "researcher"}
    with asking(telemetry, model_server), tracer.start_as_current_span("theirs", attributes=attributes), run(WRITER):
        pass
    with (
        asking(telemetry, model_server),
        tracer.start_as_current_span("theirs", attributes=attributes),
        run(),
        run(WRITER),
    ):
        pass
    assert [span.name for span in telemetry.spans] == ["invoke_agent writer", "theirs"] * 2


def test_an_agent_that_takes_over_acts_until_the_next_one_does(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Also where its turns are in other tasks and threads; all of it is one run."""
    with asking(telemetry, model_server, budgets="agent=writer/day:calls=2") as made, run():

        def take_turn(agent: Agent | None) -> None:
            with turn(agent, "acme"):
                ask(made)

        async def take_turns() -> None:
            for agent in (RESEARCHER, WRITER, None, RESEARCHER):
                await asyncio.to_thread(take_turn, agent)

        asyncio.run(take_turns())
        with pytest.raises(BudgetExceeded):
            take_turn(WRITER)
    assert agents(telemetry) == ["researcher", "writer", "writer", "researcher", "writer"]
    assert telemetry.attributes("invoke_agent researcher")[semconv.TRACE_LLM_CALLS] == 4


def test_a_thread_that_an_agent_starts_works_for_it(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Its calls are below the agent."""
    with asking(telemetry, model_server) as made, run():
        thread = threading.Thread(target=ask, args=(made,))
        thread.start()
        thread.join()
    assert agents(telemetry) == ["researcher"]
    assert telemetry.attributes("invoke_agent researcher")[semconv.TRACE_LLM_CALLS] == 1


def test_a_run_that_is_never_left_ends_when_it_is_collected(telemetry: Telemetry, model_server: ModelServer) -> None:
    """What comes after it is no call of the agent."""
    with asking(telemetry, model_server) as made:
        left = run()
        left.__enter__()
        del left
        gc.collect()
        ask(made)
    assert telemetry.span("invoke_agent researcher").end_time is not None
    assert agents(telemetry) == [None]


def test_nothing_happens_without_instrumentation(telemetry: Telemetry) -> None:
    """A framework that was patched once runs on."""
    with run():
        pass
    assert telemetry.spans == ()


def test_spans_of_a_framework_without_an_sdk_do_not_cost_the_totals(
    telemetry: Telemetry, model_server: ModelServer
) -> None:
    """The application's provider is not the global one, so the framework's spans record nothing."""
    theirs = trace.NoOpTracer()
    with asking(telemetry, model_server) as made, run(), theirs.start_as_current_span("theirs"):
        ask(made)
        with run(WRITER), theirs.start_as_current_span("theirs"):
            ask(made)
    totals = [
        telemetry.attributes(f"invoke_agent {name}")[semconv.TRACE_LLM_CALLS] for name in ("researcher", "writer")
    ]
    assert totals == [2, 1]
