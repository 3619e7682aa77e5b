"""Generators with an OpenTelemetry context of their own, which holds while they run and not between two items.

A generator shares the context of whoever asks it for items: what it sets would be set for them, too. Called by
`runs.py` and `handwritten.py`, for decorated generators: a run must not count what is done with its items, nor stay
open round a consumer that stops half-way.
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


def _nothing(_scope: object, _item: object) -> None:
    """Items are nobody's business."""


class _Turn:
    """The time in which a generator runs, with its own context as the current one. It has many, one after the other."""

    def __init__(self) -> None:
        self._inner: Context | None = None
        self._outer: Context | None = None

    def __enter__(self) -> None:
        self._outer = context.get_current()
        if self._inner is not None:
            context.attach(self._inner)

    def __exit__(self, *_exc: object) -> None:
        # Attached, not detached: this may be another thread than before, where tokens from there say nothing.
        self._inner = context.get_current()
        if self._outer is not None and self._outer is not self._inner:
            context.attach(self._outer)
        self._outer = None


class _Within:
    """All of a generator's life, within `scope`."""

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
    function: Callable[..., Any], scope: Callable[..., _Scope], noted: Callable[[_Scope, Any], object] = _nothing
) -> Callable[..., Any]:
    """The generator function `function`, each of its generators in a `scope` of its own, which is made of the same
    arguments; `noted` is shown each item. Whatever is sent or thrown into a generator, and what it returns, passes
    unchanged.
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
                noted(opened, item)
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
    function: Callable[..., Any], scope: Callable[..., _Scope], noted: Callable[[_Scope, Any], object] = _nothing
) -> Callable[..., Any]:
    """`generating`, asynchronous."""

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
                noted(opened, item)
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
