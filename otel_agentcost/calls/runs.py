"""Runs that the code itself opens, with an allowance of their own, and corrections of what was spent.

    with otel_agentcost.run("support-ticket", usd=0.50, user="u1") as run:
        ...
        run.cost_usd, run.remaining_usd

A run is a span (`invoke_workflow support-ticket`) that gets the roll-up of its calls, and everything in it counts in
its allowance. What a run has spent is in `telemetry/runs.py`; that it spends no more, the guard sees to.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from decimal import Decimal
from typing import Any, Literal, TypeVar, cast

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from otel_agentcost.calls import active
from otel_agentcost.calls.admission import Gate
from otel_agentcost.calls.generators import generating, generating_async
from otel_agentcost.calls.scopes import new_value
from otel_agentcost.core import money, semconv
from otel_agentcost.core.budgets import Action, Budget, Unit, to_action, to_limit
from otel_agentcost.diagnostics import report, warn_once
from otel_agentcost.telemetry import attribution, run_context
from otel_agentcost.telemetry.run_context import Run
from otel_agentcost.telemetry.spans import error_type

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
    """One piece of work with an allowance: in a `with` or `async with` block, or for each call of a function.

    What is made inside, in tasks and threads too, counts together in its allowance: US dollars, tokens, model calls,
    tool calls, seconds. The model call that could pass it raises `BudgetExceeded` before it is sent (`on_exceed`: what
    happens else, by default what `OTEL_AGENTCOST_ON_EXCEED` says). Runs nest, and all that are open must admit a call:
    an inner one can only be tighter. The others say for whom the run is, as in `attribute`.

    Raises ValueError for a limit that is no amount above zero, and for an action that is none.
    """
    limits: dict[Unit, int] = {}
    given: tuple[tuple[str, Unit, Any], ...] = (
        ("usd", "nano_usd", usd),
        ("tokens", "tokens", tokens),
        ("llm_calls", "calls", llm_calls),
        ("tool_calls", "tool_calls", tool_calls),
        ("seconds", "seconds", seconds),
    )
    for written, unit, limit in given:
        if isinstance(limit, Decimal) and not limit and unit == "nano_usd":
            limits[unit] = 1  # what another run has left: nothing, and no call fits into it
        elif limit is not None:
            limits[unit] = to_limit(unit, limit, f"run({name!r}, {written}={limit!r})")
    if on_exceed is not None:
        to_action(on_exceed, f"run({name!r}, on_exceed={on_exceed!r})")
    budget = Budget(scope="run", name=name, limits=limits, on_exceed=on_exceed) if limits else None
    who = {"user": user, "tenant": tenant, "team": team, "feature": feature, "agent": agent}
    return Opening(name, budget, {**who, "conversation": conversation})


class Opening(AbstractContextManager[Run], AbstractAsyncContextManager[Run]):
    """A run that is yet to be opened: by `with`, by `async with`, or by each call of the function that it decorates."""

    def __init__(self, name: str, budget: Budget | None, who: Mapping[str, str | None]) -> None:
        self._name = name
        self._budget = budget
        self._who = who
        self._open: list[_Scope] = []

    def __enter__(self) -> Run:
        opened = Run(self._name, new_value(), self._budget, _spent)
        scope = _Scope(opened, self._who)
        scope.__enter__()
        self._open.append(scope)
        return opened

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, place: object) -> Literal[False]:
        # One object may be open in several tasks or threads at once: which of them leaves, its context tells.
        leaving = next((scope for scope in reversed(self._open) if scope.is_current()), self._open[-1])
        self._open.remove(leaving)
        leaving.__exit__(kind, error, place)
        return False

    async def __aenter__(self) -> Run:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: object
    ) -> Literal[False]:
        return self.__exit__(kind, error, place)

    def __call__(self, function: _F) -> _F:
        """Opens a new run for each call of `function`: plain, `async`, or a generator of either kind."""

        def scope(*_args: Any, **_kwargs: Any) -> Opening:
            return Opening(self._name, self._budget, self._who)

        if inspect.isasyncgenfunction(function):
            return cast("_F", generating_async(function, scope))
        if inspect.isgeneratorfunction(function):
            return cast("_F", generating(function, scope))
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def asynchronous(*args: Any, **kwargs: Any) -> Any:
                with scope():
                    return await function(*args, **kwargs)

            return cast("_F", asynchronous)

        @functools.wraps(function)
        def synchronous(*args: Any, **kwargs: Any) -> Any:
            with scope():
                return function(*args, **kwargs)

        return cast("_F", synchronous)


class _Scope(AbstractContextManager[None]):
    """The time in which a run is open: its span, its place in the context, its beginning and end in the guard."""

    def __init__(self, opened: Run, who: Mapping[str, str | None]) -> None:
        self._run = opened
        self._who = who
        self._span: Span | None = None

    def __enter__(self) -> None:
        runtime = active.active()
        self._outer = context.get_current()
        outer = ctx = attribution.within(self._outer, **self._who)
        if runtime is not None:
            who = attribution.current(outer, runtime.attribution)
            asked = {semconv.OPERATION: semconv.INVOKE_WORKFLOW, semconv.WORKFLOW: self._run.name, **who}
            self._span = runtime.tracer.start_span(
                f"{semconv.INVOKE_WORKFLOW} {self._run.name}", context=outer, kind=SpanKind.INTERNAL, attributes=asked
            )
            ctx = trace.set_span_in_context(self._span, ctx)
        if runtime is not None and self._run.budget is not None:
            gate = runtime.gate()
            gate.guard.begin("run", self._run.value, time.time())
            ctx = run_context.entered(self._run, ctx, carry=gate.carries)
        else:
            if runtime is None and self._run.budget is not None:
                warn_once("a run without instrumentation", _INERT)
            ctx = run_context.entered(self._run, ctx)
        attribution.follow_into_threads()
        self._context = ctx
        context.attach(ctx)

    def is_current(self) -> bool:
        """Whether it is the innermost that is open here."""
        return context.get_current() is self._context

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, place: object) -> Literal[False]:
        # It may be left in another context than it was entered in: there is nothing to take back there. And in another
        # thread, where a token of `attach` says nothing.
        if self.is_current():
            context.attach(self._outer)
        try:
            gate = _gate()
            if gate is not None and self._run.budget is not None:
                gate.guard.ended("run", self._run.value)
        except Exception as bug:
            report("ending a run", bug)
        if self._span is not None:
            if error is not None and kind is not GeneratorExit:  # nobody wants its items any more
                self._span.set_attribute(semconv.ERROR_TYPE, error_type(error))
                self._span.set_status(Status(StatusCode.ERROR))
            self._span.end()
        return False


def adjust(usd: Dollars, *, reason: str) -> None:
    """Counts `usd` US dollars more, or less where it is negative, in every budget and run that applies here.

    For what is known only to the application: a cost that no response tells, a call that the provider does not bill.
    It is on the record as an event on the current span and a log record, with the reason; metrics and the spans of
    calls keep what the calls have cost. No budget goes below zero. Raises ValueError for what is no amount, or where
    no reason is given.
    """
    negative = str(usd).strip().startswith("-")
    amount = money.from_number(str(usd).strip().removeprefix("-"))
    if amount is None:
        raise ValueError(f"usd={usd!r} is not an amount of dollars: write a number, such as 0.05 or -0.05")
    if not reason.strip():
        raise ValueError("an adjustment needs a reason, which appears in the log record")
    signed = -amount if negative else amount
    try:
        for each in run_context.current(context.get_current()):
            each.adjusted(signed)
        gate = _gate()
        if gate is not None:
            gate.adjust(signed, reason)
    except Exception as bug:
        report("adjusting the spend", bug)


def refund(usd: Dollars, *, reason: str) -> None:
    """`adjust` by `usd` US dollars less. Raises ValueError as it does."""
    if str(usd).strip().startswith("-"):
        raise ValueError(f"usd={usd!r} is negative: refund(...) takes a positive amount, adjust(...) takes both")
    adjust(f"-{usd}", reason=reason)


def _gate() -> Gate | None:
    runtime = active.active()
    return runtime.line.gate if runtime is not None else None


def _spent(opened: Run) -> int | None:
    gate = _gate()
    return gate.spent(opened) if gate is not None else None
