"""Public functions for runs with a budget of their own, and for adjustments of the spent amount.

    with otel_agentcost.run("support-ticket", usd=0.50, user="u1") as run:
        ...
        run.cost_usd, run.remaining_usd

A run is a span (`invoke_workflow support-ticket`) that carries the totals of its calls. `telemetry/run_context.py` has
the totals of a run; `guard/` enforces its budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from decimal import Decimal
from functools import partial
from typing import Any, Literal, TypeVar

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from otel_agentcost.calls import active, finalize
from otel_agentcost.calls.admission import Gate
from otel_agentcost.calls.scopes import new_value
from otel_agentcost.core import money, semconv
from otel_agentcost.core.budgets import Action, Budget, Unit, to_action, to_limit
from otel_agentcost.diagnostics import complete, report, warn_once
from otel_agentcost.telemetry import attribution, blocks, run_context
from otel_agentcost.telemetry.blocks import Entered
from otel_agentcost.telemetry.generators import decorated
from otel_agentcost.telemetry.run_context import Run
from otel_agentcost.telemetry.spans import end_started, error_type

finalize.FINALIZERS.add(__name__)

_F = TypeVar("_F", bound=Callable[..., Any])

Dollars = Decimal | float | str

_INERT = (
    "otel-agentcost: a run with a budget was opened, but nothing is instrumented (instrument() was not called yet, "
    "or OTEL_AGENTCOST_ENABLED is false): NO BUDGET IS ENFORCED."
)


def run(  # noqa: PLR0913 (one keyword for each limit, and for each thing that it is for)
    name: str,
    *,
    usd: Dollars | None = None,
    tokens: int | None = None,
    llm_calls: int | None = None,
    tool_calls: int | None = None,
    seconds: int | None = None,
    on_exceed: Action | None = None,
    user: str | None = None,
    tenant: str | None = None,
    team: str | None = None,
    feature: str | None = None,
    agent: str | None = None,
    conversation: str | None = None,
) -> Opening:
    """Open a run: a piece of work with totals and, if it has limits, a budget of its own.

    Use it as a `with` or `async with` block, or as a decorator that opens a new run for each call. All calls inside
    count in it, those in tasks and threads too. A model call that could exceed a limit raises `BudgetExceeded` before
    it is sent, unless `on_exceed` says otherwise. Runs nest: a call must fit into every open run. Without
    `instrument()`, no limit is enforced, and a warning is logged.

    Args:
        name: The name of the run, on its span and in errors.
        usd: Limit in US dollars. Default of this and all other limits: no limit.
        tokens: Limit of input and output tokens.
        llm_calls: Limit of model calls.
        tool_calls: Limit of tool calls. Tool calls themselves are never refused; the next model call is.
        seconds: Limit of the run's duration. A model call that starts later is refused.
        on_exceed: What happens to a model call that does not fit: `block`, `warn`, `downgrade` or `clamp`. Default:
            the setting `OTEL_AGENTCOST_ON_EXCEED`.
        user: Attribution of the calls inside, as in `attribute`; so are the other arguments below.
        tenant: Id of the tenant.
        team: Name of the team.
        feature: Name of the product feature.
        agent: Name of the agent.
        conversation: Id of the conversation.

    Returns:
        A context manager and decorator. The block gets a `Run`, with `cost_usd` and `remaining_usd` (`Decimal`, US
        dollars), `llm_calls`, `tool_calls`, `input_tokens`, `output_tokens` and `unpriced_calls`. If some calls are
        unpriced, `cost_usd` is a lower bound, or None if nothing is known; `remaining_usd` is None without a limit.

    Raises:
        ValueError: A limit is not a number above zero, a limit of tokens, calls or seconds is not a whole number, or
            `on_exceed` is not an action. As an exception, `usd` may be `Decimal(0)`, such as the `remaining_usd` of
            another run: every call with a cost is then refused.

    Example:
        with otel_agentcost.run("support-ticket", usd=0.50, user="u1") as run:
            agent.answer(ticket)
        print(run.cost_usd)
    """
    limits: dict[Unit, int] = {}
    arguments: tuple[tuple[str, Unit, Any], ...] = (
        ("usd", "nano_usd", usd),
        ("tokens", "tokens", tokens),
        ("llm_calls", "calls", llm_calls),
        ("tool_calls", "tool_calls", tool_calls),
        ("seconds", "seconds", seconds),
    )
    for argument, unit, limit in arguments:
        if isinstance(limit, Decimal) and not limit and unit == "nano_usd":
            limits[unit] = 1  # such as the `remaining_usd` of another run: no call with a cost fits
        elif limit is not None:
            limits[unit] = to_limit(unit, limit, f"run({name!r}, {argument}={limit!r})")
    if on_exceed is not None:
        to_action(on_exceed, f"run({name!r}, on_exceed={on_exceed!r})")
    budget = Budget(scope="run", name=name, limits=limits, on_exceed=on_exceed) if limits else None
    who = {"user": user, "tenant": tenant, "team": team, "feature": feature, "agent": agent}
    return Opening(name, budget, {**who, "conversation": conversation})


class Opening(AbstractContextManager[Run], AbstractAsyncContextManager[Run]):
    """A run that is not open yet. `with`, `async with` and each call of a decorated function open it."""

    def __init__(self, name: str, budget: Budget | None, who: Mapping[str, str | None]) -> None:
        self._name = name
        self._budget = budget
        self._who = who
        self._open: list[_Scope] = []

    def __enter__(self) -> Run:
        before = blocks.place()
        opened = Run(self._name, new_value(), self._budget, _spent)
        scope = _Scope(opened, self._who)
        try:
            scope.__enter__()
            self._open.append(scope)
        except BaseException as error:  # of others: it may arrive anywhere in here
            complete(partial(end_started, error, trace.get_current_span(scope.outer)))
            complete(partial(scope.__exit__, type(error), error, None))
            complete(partial(blocks.move_to, before))
            raise
        return opened

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, place: object) -> Literal[False]:
        leaving: _Scope | None = None
        try:
            if (leaving := blocks.take_current(self._open)) is not None:
                leaving.__exit__(kind, error, place)
        except BaseException:  # of others: it may arrive anywhere in here
            leaving = leaving or blocks.take_current(self._open)
            if leaving is not None:
                complete(partial(leaving.__exit__, kind, error, place))
            raise
        return False

    async def __aenter__(self) -> Run:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: object
    ) -> Literal[False]:
        return self.__exit__(kind, error, place)

    def __call__(self, function: _F) -> _F:
        """Decorate a synchronous or `async` function or generator: each call opens a new run."""
        return decorated(function, lambda: Opening(self._name, self._budget, self._who))


class _Scope(AbstractContextManager[None]):
    """An open run: its span, its entry in the context, its start and end in the guard."""

    def __init__(self, opened: Run, who: Mapping[str, str | None]) -> None:
        self._run = opened
        self._who = who
        self._span: Span | None = None
        self._entered: Entered | None = None
        self.outer = blocks.here()

    def __enter__(self) -> None:
        running = active.active()
        outer = ctx = attribution.within(self.outer, **self._who)
        if running is not None:
            who = attribution.current(outer, running.attribution)
            attributes = {semconv.OPERATION: semconv.INVOKE_WORKFLOW, semconv.WORKFLOW: self._run.name, **who}
            self._span = running.tracer.start_span(
                f"{semconv.INVOKE_WORKFLOW} {self._run.name}",
                context=outer,
                kind=SpanKind.INTERNAL,
                attributes=attributes,
            )
            ctx = trace.set_span_in_context(self._span, ctx)
        if running is not None and self._run.budget is not None:
            gate = running.gates.open()
            gate.guard.begin("run", self._run.value, gate.clock())
            ctx = run_context.entered(self._run, ctx, carry=gate.carries)
        else:
            if running is None and self._run.budget is not None:
                warn_once("a run without instrumentation", _INERT)
            ctx = run_context.entered(self._run, ctx)
        self._entered = Entered(ctx, self.outer)

    def __del__(self) -> None:
        finalize.abandoned(getattr(self, "_entered", None), getattr(self, "_span", None))

    def is_current(self) -> bool:
        """Return True if this is the innermost open run of the running code."""
        return self._entered is not None and self._entered.is_current()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, place: object) -> Literal[False]:
        entered = self._entered
        if entered is not None:
            entered.leave()
            self._entered = None
        try:
            gate = _gate()
            if gate is not None and self._run.budget is not None:
                gate.guard.ended("run", self._run.value)
        except Exception as bug:
            report("ending a run", bug)
        if self._span is not None and self._span.is_recording():
            if error is not None and kind is not GeneratorExit:  # the consumer stopped early: no error
                self._span.set_attribute(semconv.ERROR_TYPE, error_type(error))
                self._span.set_status(Status(StatusCode.ERROR))
            self._span.end()
        return False


def adjust(usd: Dollars, *, reason: str) -> None:
    """Add US dollars to the spent amount of every budget and run that applies in the current context.

    Use it for a cost that no response contains, or for a call that the provider does not bill. The adjustment is
    recorded as an event on the current span and as a log record. Metrics and the spans of calls do not change. The
    spent amount of a budget or a run never falls below zero.

    Args:
        usd: The amount in US dollars; a negative amount is subtracted.
        reason: The reason, for the event and the log record.

    Raises:
        ValueError: `usd` is not a number, or `reason` is empty.

    Example:
        otel_agentcost.adjust("0.25", reason="image generated outside of the SDK")
    """
    negative = str(usd).strip().startswith("-")
    amount = money.from_number(str(usd).strip().removeprefix("-"))
    if amount is None:
        raise ValueError(f"usd={usd!r} is not an amount of dollars: write a number, such as 0.05 or -0.05")
    if not reason.strip():
        raise ValueError("an adjustment needs a reason, which appears in the log record")
    signed = -amount if negative else amount
    try:
        ctx = blocks.here()
        for each in run_context.current(ctx):
            each.adjusted(signed)
        run_context.happened("adjustment", reason, usd=signed)
        running = active.active()
        if running is not None:
            running.recorder.adjusted(trace.get_current_span(ctx), signed, reason)
            if running.gates.gate is not None:
                running.gates.gate.adjust(signed)
    except Exception as bug:
        report("adjusting the spend", bug)


def refund(usd: Dollars, *, reason: str) -> None:
    """Subtract US dollars from the spent amount of every budget and run that applies in the current context.

    Args:
        usd: The amount in US dollars, zero or more.
        reason: The reason, for the event and the log record.

    Raises:
        ValueError: `usd` is not a number or is negative, or `reason` is empty.

    Example:
        otel_agentcost.refund("0.02", reason="provider credited a failed call")
    """
    if str(usd).strip().startswith("-"):
        raise ValueError(f"usd={usd!r} is negative: refund(...) takes a positive amount, adjust(...) takes both")
    adjust(f"-{usd}", reason=reason)


def _gate() -> Gate | None:
    running = active.active()
    return running.gates.gate if running is not None else None


def _spent(opened: Run) -> int | None:
    gate = _gate()
    return gate.spent(opened) if gate is not None else None
