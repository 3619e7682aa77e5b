"""Decorate functions and generators with a scope: an attribution, a run or a tool call that is open while they run.

A generator shares the context of its consumer: a value that it sets would be set for the consumer too. A decorated one
therefore has a context of its own, which is current while it runs and not between two items. Calls that the consumer
makes between two items must not count in the run, and the run must not stay open when the consumer stops early.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, cast

from otel_agentcost.telemetry import blocks
from otel_agentcost.telemetry.blocks import Place

_F = TypeVar("_F", bound=Callable[..., Any])
_Scope = TypeVar("_Scope", bound=AbstractContextManager[Any])


def _ignore_item(_scope: object, _item: object) -> None:
    """Default callback: ignore the item."""


class _Turn:
    """Makes the generator's context the current one while the generator runs. Entered once for each item."""

    def __init__(self) -> None:
        self._inner: Place | None = None
        self._outer: Place | None = None

    def __enter__(self) -> None:
        self._outer = blocks.place()
        if self._inner is not None:
            blocks.move_to(self._inner)

    def __exit__(self, *_exc: object) -> None:
        self._inner = blocks.place()
        if self._outer is not None:
            blocks.move_to(self._outer)
        self._outer = None


class _Within:
    """Enters and leaves `scope` in the generator's context."""

    def __init__(self, turn: _Turn, scope: AbstractContextManager[Any]) -> None:
        self._turn = turn
        self._scope = scope

    def __enter__(self) -> None:
        with self._turn:
            self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        with self._turn:
            self._scope.__exit__(kind, error, place)


def decorated(function: _F, scope: Callable[[], AbstractContextManager[Any]]) -> _F:
    """Return `function` with a new scope around each call.

    Args:
        function: A synchronous or `async` function or generator function.
        scope: Returns a scope.
    """

    def scope_of(*_args: Any, **_kwargs: Any) -> AbstractContextManager[Any]:
        return scope()

    if inspect.isasyncgenfunction(function):
        return cast("_F", generating_async(function, scope_of))
    if inspect.isgeneratorfunction(function):
        return cast("_F", generating(function, scope_of))
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


def generating(
    function: Callable[..., Any], scope: Callable[..., _Scope], on_item: Callable[[_Scope, Any], object] = _ignore_item
) -> Callable[..., Any]:
    """Return a generator function that runs each generator of `function` in a scope.

    Values that are sent, exceptions that are thrown, and the return value pass unchanged.

    Args:
        function: A generator function.
        scope: Returns the scope of one generator from the same arguments.
        on_item: Called with the scope and each item.
    """

    @functools.wraps(function)
    def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        turn = _Turn()
        opened = scope(*args, **kwargs)
        with _Within(turn, opened):
            inner = function(*args, **kwargs)
            step = partial(next, inner)
            while True:
                with turn:
                    try:
                        item = step()
                    except StopIteration as end:
                        return end.value
                on_item(opened, item)
                try:
                    sent = yield item
                except GeneratorExit:
                    with turn:
                        inner.close()
                    raise
                except BaseException as error:
                    step = partial(inner.throw, error)
                else:
                    step = partial(inner.send, sent)

    return generate


def generating_async(
    function: Callable[..., Any], scope: Callable[..., _Scope], on_item: Callable[[_Scope, Any], object] = _ignore_item
) -> Callable[..., Any]:
    """Do the same as `generating`, for an async generator function."""

    @functools.wraps(function)
    async def generate(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        turn = _Turn()
        opened = scope(*args, **kwargs)
        with _Within(turn, opened):
            inner = function(*args, **kwargs)
            step = inner.__anext__
            while True:
                with turn:
                    try:
                        item = await step()
                    except StopAsyncIteration:
                        return
                on_item(opened, item)
                try:
                    sent = yield item
                except GeneratorExit:
                    with turn:
                        await inner.aclose()
                    raise
                except BaseException as error:
                    step = partial(inner.athrow, error)
                else:
                    step = partial(inner.asend, sent)

    return generate
