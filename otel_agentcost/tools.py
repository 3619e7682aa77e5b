"""Hand-written tools: a span, a price, and a place in the roll-ups."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, ParamSpec, TypeVar, cast, overload

from opentelemetry import context, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from otel_agentcost import in_force, names
from otel_agentcost.border import report
from otel_agentcost.core import money
from otel_agentcost.telemetry import attribution, rollup, runs
from otel_agentcost.telemetry.spans import error_type

_P = ParamSpec("_P")
_R = TypeVar("_R")


@overload
def tool(function: Callable[_P, _R], /) -> Callable[_P, _R]: ...
@overload
def tool(
    *, usd: Decimal | float | str | None = None, name: str | None = None
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]: ...


def tool(
    function: Callable[..., Any] | None = None, /, *, usd: Decimal | float | str | None = None, name: str | None = None
) -> Any:
    """Makes each call of the decorated function (plain or `async`) an `execute_tool` span with its price.

    `usd` is what one call costs in US dollars; without it the price of `OTEL_AGENTCOST_TOOL_PRICES` counts, and
    without that the tool is free of charge here. `name` is the tool's name, by default the function's. A call that
    raises is charged too: the tool's provider has done its work, or at least may say so. Works bare (`@tool`) too.

    Raises ValueError for a price that is no amount of money.
    """
    price = money.from_number(usd) if usd is not None else None
    if usd is not None and price is None:
        raise ValueError(f"usd={usd!r} is not an amount of dollars: write a number that is not negative, such as 0.005")

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        return _decorated(function, str(name or getattr(function, "__name__", "tool")), price)

    return decorate(function) if function is not None else decorate


def _decorated(function: Callable[_P, _R], called: str, price: Decimal | None) -> Callable[_P, _R]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def asynchronous(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            with _executing(called, price):
                return await function(*args, **kwargs)

        return cast("Callable[_P, _R]", asynchronous)

    @functools.wraps(function)
    def synchronous(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _executing(called, price):
            return function(*args, **kwargs)

    return synchronous


@contextmanager
def _executing(name: str, price: Decimal | None) -> Generator[None]:
    """One tool call, from its span's start to its end; a bare block where nothing is instrumented."""
    runtime = in_force.active()
    if runtime is None:
        yield
        return
    usd = price if price is not None else runtime.settings.tool_prices.get(name)
    ctx = context.get_current()
    parent = trace.get_current_span(ctx)
    who = attribution.current(ctx, runtime.attribution, rollup.tally_of(parent))
    attributes = {names.OPERATION: names.EXECUTE_TOOL, names.TOOL: name, names.TOOL_TYPE: "function", **who}
    span = runtime.tracer.start_span(f"{names.EXECUTE_TOOL} {name}", kind=SpanKind.INTERNAL, attributes=attributes)
    token = context.attach(trace.set_span_in_context(span, ctx))
    try:
        yield
    except BaseException as error:
        span.set_attribute(names.ERROR_TYPE, error_type(error))
        span.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        context.detach(token)
        try:
            if usd is not None:
                span.set_attribute(names.COST, money.to_float(usd))
                base = {names.OPERATION: names.EXECUTE_TOOL, names.TOOL: runtime.metrics.bounded_model(name)}
                runtime.metrics.spent(usd, base, who)
            tally = rollup.tally_of(span) or rollup.tally_of(parent)
            if tally is not None:
                tally.add_tool(usd)
            for run in runs.current(ctx):
                run.tally.add_tool(usd)
            runtime.tool_used(span, ctx, usd)
        except Exception as error:
            report("settling a tool call", error)
        span.end()
