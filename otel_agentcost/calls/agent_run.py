"""One run of an agent, from start to end: its span, its name and conversation, its place among other agents.

`integrations/agents` opens agent runs for frameworks. All model and tool calls inside count in the totals of the
agent's span and of the spans of all enclosing agents, and in the budgets of all these agents. An error in this module
is logged and does not reach the application.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any, Final, Literal, NamedTuple, cast

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from otel_agentcost.calls import active, finalize
from otel_agentcost.calls.active import Instrumentation
from otel_agentcost.calls.scopes import new_value
from otel_agentcost.calls.tool_call import ToolCall, open_call
from otel_agentcost.core import semconv
from otel_agentcost.core.call import AttributeValue
from otel_agentcost.diagnostics import complete, report
from otel_agentcost.errors import OF_AN_AGENT, BudgetExceeded, LoopDetected
from otel_agentcost.telemetry import agent_spans, attribution, blocks, open_spans, rollup
from otel_agentcost.telemetry.blocks import Entered, Place
from otel_agentcost.telemetry.held_span import HeldEnd, before_end
from otel_agentcost.telemetry.rollup import Tally
from otel_agentcost.telemetry.spans import end_started, error_type

finalize.FINALIZERS.add(__name__)

_OPEN_RUN: Final = context.create_key("agentcost-agent-run")
"""Context key of a weak reference to the innermost agent run that was opened here."""


class Agent(NamedTuple):
    """The agent, or the workflow, that runs."""

    name: str | None
    """None if the application has given it no name."""
    workflow: bool = False
    """True for a graph or a crew that has agents, and is none itself."""
    agent_id: str | None = None
    description: str | None = None
    conversation: str | None = None
    """The id of the thread or session."""
    key: object = None
    """A value that is the same for all methods through which one run passes. They then count as one run."""
    create_span: bool = True
    """False if the framework makes a span of the run, inside of it. That span is adopted."""
    other_names: frozenset[str] = frozenset()
    """What other instrumentations call the agent, instead of its name."""


def _unit_of(agent: Agent) -> str:
    """Return a new name for a run of `agent` in ledgers, where it has no span (`work.py`)."""
    return f"{OF_AN_AGENT} {agent.name} {new_value()}" if agent.name else f"{OF_AN_AGENT} {new_value()}"


class AgentRun(AbstractContextManager["AgentRun"]):
    """A run of an agent, open while its `with` block runs."""

    def __init__(self, agent: Agent, source: str, no_error: Callable[[BaseException], bool] | None = None) -> None:
        """Describe a run; entering it opens it.

        Args:
            agent: The agent.
            source: The framework.
            no_error: Returns True for an exception that is no failure of the agent, for example an interruption.
        """
        self.agent = agent
        self.source = source
        self._no_error = no_error
        self._span: Span | None = None
        """The span to end; None if other code ends it."""
        self._own_span: weakref.ref[Span] | None = None
        self._awaits_span = not agent.create_span
        self._beside = agent_spans.open_beside(agent.name)
        """The span of the same run that other code has opened, in a trace of its own."""
        self._outer: Context | None = None
        """The context in which the run was opened, until it is over."""
        self._entered: Entered | None = None
        self._place: Place | None = None
        """The context of the run, while it is paused."""
        self._opened = False
        self._within: ToolCall | None = None
        self.refusal: BaseException | None = None
        """The refusal with which an inner run has failed."""
        self.first: AgentRun | None = None
        """The run of the agent that handed over to this one."""
        self.following: AgentRun | None = None
        """The run of the agent that this one has handed over to, and that is not over yet."""

    def __enter__(self) -> AgentRun:  # noqa: PYI034 (`Self` needs Python 3.11)
        before = blocks.place()
        try:
            running = active.active()
            if running is not None:
                self._begin(running)
        except BaseException as bug:  # of others too: it may arrive anywhere in here
            complete(partial(end_started, bug, trace.get_current_span(before.context)))
            complete(partial(self.__exit__, None, None, None))
            complete(partial(blocks.move_to, before))
            report("opening the run of an agent", bug)
        return self

    def _begin(self, running: Instrumentation) -> None:
        outer = self._outer = agent_spans.outside_of_ended(blocks.here())
        self._within = open_call(outer)
        if self._is_open_in(outer):
            return
        agent = self.agent
        name = None if agent.workflow else agent.name
        parent = trace.get_current_span(outer)
        tally = rollup.tally_of(parent)
        unit = None if parent.get_span_context().is_valid else _unit_of(agent)
        ctx = attribution.within_agent(outer, tally, agent=name, conversation=agent.conversation, unit=unit)
        adopted = agent_spans.span_of(parent, agent.name, workflow=agent.workflow)
        if adopted is not None:
            self.adopt(adopted)
        elif agent.create_span:
            who = attribution.current(ctx, running.attribution, tally)
            self._span = self._start_span(running, outer, who)
            self._own_span = weakref.ref(self._span)
            if self._beside is not None:
                self._beside.set_attribute(semconv.DUPLICATE, True)
            ctx = trace.set_span_in_context(self._span, ctx)
        self._opened = True
        self._entered = Entered(context.set_value(_OPEN_RUN, weakref.ref(self), ctx), outer)

    def adopt(self, span: SdkSpan) -> None:
        """Use `span`, which other code has opened for this agent, as the span of the run."""
        self._awaits_span = False
        agent_spans.claim(span)
        self._own_span = weakref.ref(span)
        _adopt(span, self._attributes({}))

    @property
    def own_span(self) -> Span | None:
        """The span of the run, which was opened here or adopted."""
        return self._own_span() if self._own_span is not None else None

    def is_shown_by(self, span: SdkSpan, ctx: Context) -> bool:
        """Return True if `span`, which other code has opened in `ctx`, represents this run too.

        An agent that a tool of this run has started is another run.
        """
        return open_call(ctx) is self._within and agent_spans.shows(
            span, self.agent.name, self.own_span, self.agent.other_names
        )

    @property
    def awaits_span(self) -> bool:
        """True if the framework makes the span of this run, and has not done so yet."""
        return self._awaits_span

    def mark_beside(self, span: Span) -> None:
        """Mark `span` if other code has opened it for this run, which began before: beside it, not inside."""
        own = self.own_span
        if own is not None and agent_spans.is_beside(span, own, self.agent.name):
            span.set_attribute(semconv.DUPLICATE, True)

    def _is_open_in(self, ctx: Context) -> bool:
        """Return True if an outer method has opened this run already. An agent that a tool runs is another run."""
        outer = _open_run(ctx)
        return outer is not None and outer.is_same_as(self)

    def is_same_as(self, inner: AgentRun) -> bool:
        """Return True if `inner`, opened while this run is open, is the same run in an inner method."""
        if not self._opened or self.agent.key is None or self.agent.key != inner.agent.key:
            return False
        return self.source == inner.source and self._within is inner._within

    def pause(self) -> None:
        """Leave the context of the run, which goes on elsewhere: the run ends with `__exit__`, wherever that is."""
        entered, self._entered = self._entered, None
        if entered is not None:
            self._place = blocks.place()
            entered.leave()

    @contextmanager
    def begun(self) -> Generator[None]:
        """Open the run for a block, and pause it at the end: it goes on elsewhere. A block that raises ends it."""
        with ExitStack() as failing:
            failing.enter_context(self)
            yield
            failing.pop_all()
        self.pause()

    def resumed(self) -> AbstractContextManager[None]:
        """Return a context manager that makes the context of the paused run current again for a while."""
        return blocks.moved_to(self._place) if self._place is not None else nullcontext()

    def turn_of(self, agent: Agent | None) -> AbstractContextManager[None]:
        """Return a context manager for a turn of `agent`, to which the first agent of the run may have handed over.

        The run of another agent than the first one is inside the run of that one. It ends when it hands over, or when
        the first run ends. Agents are compared by their `key`. None stands for the agent that acts already.
        """
        first = self.first or self
        acting = first.following or first
        if agent is not None and agent.key != acting.agent.key:
            if first.following is not None:
                first.following.__exit__(None, None, None)
                first.following = None
            acting = first
            if agent.key != first.agent.key:
                if agent_spans.is_foreign(trace.get_current_span(blocks.here())):
                    agent = agent._replace(create_span=False)  # another instrumentation makes spans of turns
                acting = AgentRun(agent, self.source, self._no_error)
                acting.first, first.following = first, acting
                with acting._turn(first):
                    acting.__enter__()
                    acting.pause()
        return acting._turn(self)

    @contextmanager
    def _turn(self, current: AgentRun) -> Generator[None]:
        """Let the context of this run be the current one, unless `current` is this run."""
        place = self._place if current is not self else None
        before = blocks.place()
        if place is not None:
            blocks.move_to(place)
        try:
            yield
        finally:
            if place is not None:
                blocks.move_to(before)

    def _start_span(self, running: Instrumentation, outer: Context, who: Mapping[str, str]) -> Span:
        operation = semconv.INVOKE_WORKFLOW if self.agent.workflow else semconv.INVOKE_AGENT
        return running.tracer.start_span(
            f"{operation} {self.agent.name}" if self.agent.name else operation,
            context=outer,
            kind=SpanKind.INTERNAL,
            attributes=self._attributes(who),
        )

    def _attributes(self, who: Mapping[str, str]) -> dict[str, AttributeValue]:
        agent = self.agent
        own = {
            semconv.WORKFLOW if agent.workflow else semconv.AGENT: agent.name,
            semconv.AGENT_ID: agent.agent_id,
            semconv.AGENT_DESCRIPTION: agent.description,
            semconv.CONVERSATION: agent.conversation,
        }
        operation = semconv.INVOKE_WORKFLOW if agent.workflow else semconv.INVOKE_AGENT
        return {semconv.OPERATION: operation, **who, **{key: str(value) for key, value in own.items() if value}}

    def __del__(self) -> None:
        finalize.abandoned(getattr(self, "_entered", None), getattr(self, "_span", None))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, place: object) -> Literal[False]:
        self._opened = False
        following, self.following = self.following, None
        if following is not None:
            following.__exit__(kind, error, place)
        entered, self._entered = self._entered, None
        span, self._span = self._span, None
        try:
            if entered is not None:
                entered.leave()
            if self._outer is not None and error is not None:
                self._name_refusal(error, self._outer)
            self.refusal = None
            if self._outer is not None and (own := self.own_span) is not None:
                agent_spans.note_end(own, self._outer)
            self._outer = None
            if span is not None and span.is_recording():
                self._end(span, error)
        except BaseException as bug:  # of others too: it may arrive anywhere in here
            if span is not None and span.is_recording():
                complete(span.end)
            report("ending the run of an agent", bug)
        return False

    def _name_refusal(self, error: BaseException, outer: Context) -> None:
        """Name the refusal of an inner run as the cause of `error`, if a framework has passed on its text alone."""
        noted, self.refusal = self.refusal, None  # an exception that is kept keeps its frames
        refusal = error if isinstance(error, BudgetExceeded | LoopDetected) else error.__cause__ or noted
        if not isinstance(refusal, BudgetExceeded | LoopDetected):
            return
        if error is not refusal and error.__cause__ is None and str(refusal) in str(error):
            error.__cause__ = refusal
        around = _open_run(outer)
        if around is not None:
            around.refusal = refusal

    def _end(self, span: Span, error: BaseException | None) -> None:
        # GeneratorExit means that the consumer stopped early, which is not an error of the agent.
        if error is not None and not isinstance(error, GeneratorExit) and not self._is_no_error(error):
            span.set_attribute(semconv.ERROR_TYPE, error_type(error))
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def _is_no_error(self, error: BaseException) -> bool:
        try:
            return self._no_error is not None and self._no_error(error)
        except Exception as bug:  # the exception is of any framework
            report("reading the exception of an agent", bug)
            return False


def turn(agent: Agent | None, source: str) -> AbstractContextManager[None]:
    """Return a context manager for a turn of `agent` in the run that `source` has opened here, if there is one.

    Args:
        agent: The agent, possibly another one than in the turn before; None for the same.
        source: The framework.
    """
    run = _open_run(blocks.here())
    return run.turn_of(agent) if run is not None and run.source == source else nullcontext()


def place_in_run(source: str) -> Place | None:
    """Return the place of the running code if `source` has opened an agent run here, else None."""
    run = _open_run(blocks.here())
    return blocks.place() if run is not None and run.source == source else None


def adopt_span(span: SdkSpan, ctx: Context | None) -> None:
    """Let the innermost agent run adopt `span`, which has just started in `ctx`, if it waits for such a span.

    If the run has a span already, and `span` turns out to represent the same run, it is marked when it ends.
    """
    if agent_spans.is_foreign(span):
        open_spans.remember(span)
    run = _run_around(blocks.here(ctx))
    if run is None:
        return
    if not run.awaits_span:
        if run.own_span is not span:
            before_end(span, partial(_mark_duplicate, span, run.agent, run.own_span))
    elif agent_spans.span_of(span, run.agent.name, workflow=run.agent.workflow):
        run.adopt(span)


def is_duplicate(span: SdkSpan, ctx: Context | None) -> bool:
    """Return True if `span` of an agent, which has just started in `ctx`, represents a run that has a span already."""
    if not agent_spans.is_foreign(span):
        return False
    here = blocks.here(ctx)
    run = _run_around(here)
    return run is not None and not run.awaits_span and run.is_shown_by(span, here)


def _mark_duplicate(span: SdkSpan, agent: Agent, own: Span | None) -> None:
    if not agent_spans.is_foreign(span) or not agent_spans.is_agent(span):
        return
    tally = rollup.tally_of(span)
    if (tally is None or not tally.is_of(span)) and agent_spans.shows(span, agent.name, own, agent.other_names):
        span.set_attribute(semconv.DUPLICATE, True)


def _run_around(ctx: Context) -> AgentRun | None:
    """Return the open run in `ctx`, or else in the current context: some instrumentations make contexts anew."""
    return _open_run(ctx) or _open_run(context.get_current())


def _open_run(ctx: Context) -> AgentRun | None:
    reference = cast("weakref.ref[AgentRun] | None", ctx.get(_OPEN_RUN))
    return reference() if reference is not None else None


def _adopt(span: SdkSpan, attributes: Mapping[str, AttributeValue]) -> None:
    """Let calls below `span`, which other code has opened for an agent, count in totals of its own.

    Args:
        span: The span.
        attributes: The attributes of the agent. The span gets those that it does not have.
    """
    present: Mapping[str, Any] = span.attributes or {}
    span.set_attributes({name: value for name, value in attributes.items() if name not in present})
    tally = rollup.tally_of(span)
    if tally is None or tally.is_of(span):  # not sampled, or the processor has seen that it is an agent
        return
    own = Tally(tally, span)
    rollup.attach_own(span, own)

    def write() -> None:
        if not own.empty:
            span.set_attributes(own.attributes())

    HeldEnd(span, write, partial(finalize.wait_for, own))
