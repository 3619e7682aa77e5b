"""Public functions for hand-written tools: each call has a span and a price, and counts in totals and budgets.

    @otel_agentcost.tool(usd="0.005")
    def search(query: str) -> list[str]: ...

    with otel_agentcost.tool_call("search", arguments={"query": "bees"}) as call:
        call.result = search("bees")

`tool_call.py` has the life of one call, from start to end.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, cast, overload

from otel_agentcost.calls.tool_call import ToolCall
from otel_agentcost.calls.tool_cost import Dollars, Price, PriceFunction
from otel_agentcost.calls.tool_results import kept_or, kept_or_awaited
from otel_agentcost.core.tool_cache import Keep, KeepScope, to_keep
from otel_agentcost.core.tool_prices import to_price
from otel_agentcost.core.tool_results import Origin
from otel_agentcost.telemetry.generators import generating, generating_async

_P = ParamSpec("_P")
_R = TypeVar("_R")


@overload
def tool(function: Callable[_P, _R], /) -> Callable[_P, _R]: ...
@overload
def tool(
    *,
    usd: Dollars | PriceFunction | None = None,
    name: str | None = None,
    cache: str | int | None = None,
    scope: KeepScope | None = None,
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    usd: Dollars | PriceFunction | None = None,
    name: str | None = None,
    cache: str | int | None = None,
    scope: KeepScope | None = None,
) -> Any:
    """Decorate a function as a tool: each call has an `execute_tool` span and a cost.

    The call also counts in the totals of its trace and runs, in budgets and in loop detection. The function may be
    synchronous, `async`, or a generator of either kind. The call of a generator ends with the generator. A call that
    raises is charged too, because its provider may have done the work.

    Args:
        function: The function, where the decorator is used without parentheses: `@otel_agentcost.tool`.
        usd: The price in US dollars: of one call (`"0.005"`), of one second (`"0.01/s"`), or a function of the call's
            arguments (a dict by parameter name) and its result: `lambda arguments, pages: 0.001 * len(pages)`. The
            result of a generator is the list of the items that it has yielded. With a price function, a call is
            unpriced if the function raises, or if the call raised before it had a result. Default: the price of the
            tool in the setting `OTEL_AGENTCOST_TOOL_PRICES`; without a price, a call costs nothing.
        name: The name of the tool. Default: the name of the function.
        cache: How long a result answers calls with the same arguments: `"10m"`, or seconds. Such a call costs nothing,
            and the function is not called. Default: the rule in the setting `OTEL_AGENTCOST_TOOL_CACHE`, if any.
            Results of generators, empty results and exceptions are never kept.
        scope: Who shares a result: calls for the same `tenant` (default), for the same `user`, of the same `run`, or of
            this `process` for the same tenant and user. Without what it names, the process.

    Returns:
        A function with the signature and the results of the decorated one, or, without `function`, a decorator.

    Raises:
        ValueError: `usd` is neither a price nor a function that is not `async`; `cache` is no time; or the function is
            a generator and has a `cache`.

    Example:
        @otel_agentcost.tool(usd="0.005")
        def web_search(query: str) -> list[str]: ...
    """
    price = _price(usd)
    keep = _keep(cache, scope)

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        called = str(name or getattr(function, "__name__", "tool"))
        if keep is not None and (inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function)):
            raise ValueError(f"{called} is a generator, whose results are not kept: leave out cache")
        return _decorated(function, called, price, keep)

    return decorate(function) if function is not None else decorate


def tool_call(
    name: str,
    *,
    arguments: Mapping[str, Any] | None = None,
    usd: Dollars | PriceFunction | None = None,
    call_id: str | None = None,
) -> ToolCall:
    """Open a tool call for a `with` or `async with` block, with the span, cost and counts of `tool`.

    Set `result` of the call inside the block: loop detection compares it, and a price function gets it. The span
    carries arguments and result only if the settings capture content.

    Args:
        name: The name of the tool.
        arguments: The arguments of the tool, by name. Default: none.
        usd: The price in US dollars, as for `tool`.
        call_id: The id that the model gave the call. Loop detection uses it to recognize the call in the conversation.

    Returns:
        A context manager that returns itself. Use it once.

    Raises:
        ValueError: `usd` is neither a price nor a function that is not `async`.

    Example:
        with otel_agentcost.tool_call("search", arguments={"query": query}, usd="0.005") as call:
            call.result = search(query)
    """
    by_name: Mapping[str, Any] = arguments if arguments is not None else {}
    return ToolCall(name, lambda: by_name, _price(usd), call_id)


def _price(usd: Any) -> Price | None:
    if usd is None:
        return None
    if callable(usd) and not inspect.iscoroutinefunction(usd):
        return cast("PriceFunction", usd)
    price = to_price(usd)
    if price is None:
        raise ValueError(
            f"usd={usd!r} is not an amount of dollars: write dollars per call, such as 0.005, dollars per second, "
            'such as "0.01/s", or a function of arguments and result that is not async'
        )
    return price


def _keep(cache: str | int | None, scope: KeepScope | None) -> Keep | None:
    if cache is None:
        if scope is not None:
            raise ValueError(f"scope={scope!r} says who shares cached results: it needs cache, such as cache='10m'")
        return None
    return to_keep(cache, scope)


def _decorated(function: Callable[_P, _R], called: str, price: Price | None, keep: Keep | None) -> Callable[_P, _R]:
    arguments = _Arguments(function)

    def opened(*args: Any, **kwargs: Any) -> ToolCall:
        return ToolCall(called, lambda: arguments.of(args, kwargs), price)

    def opened_for_items(*args: Any, **kwargs: Any) -> ToolCall:
        call = opened(*args, **kwargs)
        call.result = []
        return call

    if inspect.isasyncgenfunction(function):
        return cast("Callable[_P, _R]", generating_async(function, opened_for_items, ToolCall.add_item))
    if inspect.isgeneratorfunction(function):
        return cast("Callable[_P, _R]", generating(function, opened_for_items, ToolCall.add_item))
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def asynchronous(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            with opened(*args, **kwargs) as call:
                place = call.place(keep, lambda: arguments.origin(args, kwargs))
                if place is None:
                    result = call.result = await function(*args, **kwargs)
                else:
                    result = await kept_or_awaited(call, place, lambda: function(*args, **kwargs), call.take)
            return result

        return cast("Callable[_P, _R]", asynchronous)

    @functools.wraps(function)
    def synchronous(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with opened(*args, **kwargs) as call:
            place = call.place(keep, lambda: arguments.origin(args, kwargs))
            if place is None:
                result = call.result = function(*args, **kwargs)
            else:
                result = kept_or(call, place, lambda: function(*args, **kwargs), call.take)
        return result

    return synchronous


class _Arguments:
    """Maps the arguments of calls to the parameter names of one function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        try:
            self._signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):  # a function written in C may have none
            self._signature = None
        self._bound = _is_method(function)
        """True if the first argument is `self` or `cls`."""
        self._own = _own_signature(function)

    def origin(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Origin:
        """Return what the result of a call depends on: the function, `self` or `cls`, and all arguments."""
        if self._own is not None:
            try:
                bound = self._own.bind(*args, **kwargs)
            except TypeError:  # the call itself is about to raise the same
                return Origin((self._function,), arguments=(args, dict(kwargs)))
            bound.apply_defaults()
            values = tuple(bound.arguments.values())  # each parameter has its place: `*args` and `**kwargs` too
            first = int(self._bound)
            return Origin((self._function, *values[:first]), arguments=values[first:])
        return Origin((self._function,), arguments=(args, dict(kwargs)))

    def of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by parameter name, with defaults, and without `self` or `cls`."""
        as_given = {**{str(place): value for place, value in enumerate(args)}, **kwargs}
        if self._signature is None:
            return as_given
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError:  # a decorator adds arguments, or the call is about to raise the same
            return as_given
        bound.apply_defaults()
        named: dict[str, Any] = {}
        for place, (name, parameter) in enumerate(self._signature.parameters.items()):
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                more: dict[str, Any] = bound.arguments[name]
                named |= {f"**{key}" if key in named else key: value for key, value in more.items()}
            elif place or not self._bound:
                named[name] = bound.arguments[name]
        return named


def _own_signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature of a function itself; None if it says that it has another one.

    `functools.wraps` makes a wrapper look like the function in it, which may get other arguments and other defaults.
    """
    if type(function) is not types.FunctionType or hasattr(function, "__signature__"):
        return None
    return inspect.signature(function, follow_wrapped=False)


def _is_method(function: Callable[..., Any]) -> bool:
    """Check if the first parameter is `self` or `cls` of a class: a decorator in its body gets a plain function."""
    code = getattr(function, "__code__", None)
    first = code.co_varnames[:1] if code is not None and code.co_argcount else ()
    owner = getattr(function, "__qualname__", "").rpartition(".")[0]
    return first in (("self",), ("cls",)) and bool(owner) and not owner.endswith("<locals>")
