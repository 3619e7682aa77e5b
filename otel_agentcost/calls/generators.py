"""Run generators in their own OpenTelemetry context, which is current while they run and not between two items.

A generator shares the context of its consumer: a value that it sets would be set for the consumer too. `runs.py` and
`decorators.py` use this module for decorated generators. Calls that the consumer makes between two items must not count
in the run, and the run must not stay open when the consumer stops early.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from opentelemetry import context
from opentelemetry.context import Context

_Scope = TypeVar("_Scope", bound=AbstractContextManager[Any])


def _ignore_item(_scope: object, _item: object) -> None:
    """Default callback: ignore the item."""


class _Turn:
    """Makes the generator's context the current one while the generator runs. Entered once for each item."""

    def __init__(self) -> None:
        self._inner: Context | None = None
        self._outer: Context | None = None

    def __enter__(self) -> None:
        self._outer = context.get_current()
        if self._inner is not None:
            context.attach(self._inner)

    def __exit__(self, *_exc: object) -> None:
        # `attach` instead of `detach`: in another thread than that of `attach`, the token is invalid.
        self._inner = context.get_current()
        if self._outer is not None and self._outer is not self._inner:
            context.attach(self._outer)
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
