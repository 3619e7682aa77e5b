"""Hand-written tools: a span, a price, and a place in the roll-ups.

    @otel_agentcost.tool(usd="0.005")
    def search(query: str) -> list[str]: ...

    with otel_agentcost.tool_call("search", arguments={"query": "bees"}) as call:
        call.result = search("bees")

What one call is, from its beginning to its end, is in `toolcalls.py`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, cast, overload

from otel_agentcost.calls.generators import generating, generating_async
from otel_agentcost.calls.tool_call import Dollars, Price, PriceFunction, ToolCall
from otel_agentcost.core.tool_prices import to_price

_P = ParamSpec("_P")
_R = TypeVar("_R")


@overload
def tool(function: Callable[_P, _R], /) -> Callable[_P, _R]: ...
@overload
def tool(
    *, usd: Dollars | PriceFunction | None = None, name: str | None = None
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    usd: Dollars | PriceFunction | None = None,
    name: str | None = None,
) -> Any:
    """Makes each call of the decorated function an `execute_tool` span with its price. Works bare (`@tool`) too.

    The function may be plain, `async`, or a generator of either kind, whose call ends when the generator does, however
    it ends. `usd` is what one call costs in US dollars (`"0.005"`), or one second of it (`"0.01/s"`), or a function of
    the arguments, by their names, and the result: `usd=lambda arguments, pages: 0.001 * len(pages)`. The result of a
    generator is the list of its items so far. Without `usd` the price of `OTEL_AGENTCOST_TOOL_PRICES` counts, and
    without that the tool is free of charge here. `name` is the tool's name, by default the function's.

    A call that raises is charged too: the tool's provider has done its work, or at least may say so. Only where the
    price depends on a result that never came, the call is unpriced; so it is where the price function raises.

    Raises ValueError for a price that is no amount of money.
    """
    price = _price(usd)

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        return _decorated(function, str(name or getattr(function, "__name__", "tool")), price)

    return decorate(function) if function is not None else decorate


def tool_call(
    name: str,
    *,
    arguments: Mapping[str, Any] | None = None,
    usd: Dollars | PriceFunction | None = None,
    call_id: str | None = None,
) -> ToolCall:
    """A call of the tool `name`, for a `with` or `async with` block in which it runs; set `call.result` in it.

    `arguments` are what the tool is called with and `call_id` is the id that the model gave the call: with it, what
    the conversation says of the call and what is seen here are known to be the same. `usd` is as for `tool`. Arguments
    and result go on the span only where content is captured.

    Raises ValueError for a price that is no amount of money.
    """
    given: Mapping[str, Any] = arguments if arguments is not None else {}
    return ToolCall(name, lambda: given, _price(usd), call_id)


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


def _decorated(function: Callable[_P, _R], called: str, price: Price | None) -> Callable[_P, _R]:
    arguments = _Arguments(function)

    def opened(*args: Any, **kwargs: Any) -> ToolCall:
        return ToolCall(called, lambda: arguments.of(args, kwargs), price)

    def opened_for_items(*args: Any, **kwargs: Any) -> ToolCall:
        call = opened(*args, **kwargs)
        call.result = []
        return call

    if inspect.isasyncgenfunction(function):
        return cast("Callable[_P, _R]", generating_async(function, opened_for_items, ToolCall.note))
    if inspect.isgeneratorfunction(function):
        return cast("Callable[_P, _R]", generating(function, opened_for_items, ToolCall.note))
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def asynchronous(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            with opened(*args, **kwargs) as call:
                result = call.result = await function(*args, **kwargs)
            return result

        return cast("Callable[_P, _R]", asynchronous)

    @functools.wraps(function)
    def synchronous(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with opened(*args, **kwargs) as call:
            result = call.result = function(*args, **kwargs)
        return result

    return synchronous


class _Arguments:
    """The arguments of a function's calls, by their names."""

    def __init__(self, function: Callable[..., Any]) -> None:
        try:
            self._signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):  # a function written in C may have none
            self._signature = None
        self._bound = _is_method(function)
        """Whether the first argument is the object that the function is a method of."""

    def of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """As the function gets them, its defaults included."""
        if self._signature is None:
            return {**{str(place): value for place, value in enumerate(args)}, **kwargs}
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError:  # the call itself is about to raise the same
            return dict(kwargs)
        bound.apply_defaults()
        named: dict[str, Any] = {}
        for place, (name, parameter) in enumerate(self._signature.parameters.items()):
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                named |= bound.arguments[name]
            elif place or not self._bound:
                named[name] = bound.arguments[name]
        return named


def _is_method(function: Callable[..., Any]) -> bool:
    """Whether `function` is written in a class, or takes `self`: decorators see methods before they are some."""
    code = getattr(function, "__code__", None)
    first = code.co_varnames[:1] if code is not None and code.co_argcount else ()
    return first in (("self",), ("cls",))
