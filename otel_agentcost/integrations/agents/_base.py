"""The declarations of an agent framework's module, and the wrappers that open the runs of its agents.

An agent is observed and never changed: its results, its streams and its exceptions reach the application as they are.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from opentelemetry import context, trace
from opentelemetry.trace import Span

from otel_agentcost.calls.agent_run import Agent, AgentRun, turn
from otel_agentcost.diagnostics import complete, report
from otel_agentcost.integrations.patching import Patch, Target, Wrapper
from otel_agentcost.integrations.self_check import SelfCheck
from otel_agentcost.telemetry.agent_spans import end_left_open
from otel_agentcost.telemetry.generators import generating, generating_async

Kind = Literal["function", "coroutine", "awaitable", "generator", "async generator", "async context", "future"]
"""Form of a method. `awaitable` is a function that returns a coroutine, or a stream, and `async context` one that
returns an async context manager. `future` is a function that returns an `asyncio.Future`, or an object with such a
future, of the result of a run that it has started in the background.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPatch:
    """One method that runs an agent from its start to its end."""

    target: Target
    read_agent: Callable[[Any, tuple[Any, ...], dict[str, Any]], Agent | None]
    """Reads the instance, the positional and the keyword arguments of a call. Returns None if no agent starts."""
    kind: Kind = "function"
    no_error: Callable[[BaseException], bool] | None = None
    """Returns True for an exception that is no failure of the agent, for example an interruption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnPatch:
    """One async function that lets an agent act, as a part of a run that may have begun with another agent."""

    target: Target
    read_agent: Callable[[Any, tuple[Any, ...], dict[str, Any]], Agent | None]
    """Reads the agent that acts. Its `key` tells it from others. None stands for the one that acts already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPatch:
    """One function that returns a context manager of the `contextvars.Context` in which a step of a run takes place.

    Another instrumentation may have a span of the run that it does not make current. It becomes the current one there,
    so that the calls of the step are in its trace.
    """

    target: Target
    read_span: Callable[[tuple[Any, ...], dict[str, Any]], Span | None]
    """Reads the positional and the keyword arguments. Returns the span of the run; None if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOpenPatch:
    """One function of another instrumentation, around a run, that leaves its span open and current if the run fails.

    The span of the run has its totals only if it ends. It ends with the function.
    """

    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPatch:
    """One method with a wrapper of its own, in a framework whose runs are no calls of a method."""

    target: Target
    wrapper: Wrapper


AnyPatch = AgentPatch | TurnPatch | StepPatch | LeftOpenPatch | OwnPatch


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFramework:
    """One framework: its distribution and where it runs agents."""

    name: str
    title: str
    """The name in documentation and messages."""
    distribution: str
    patches: tuple[AnyPatch, ...]
    runs: str = ""
    """What is a run, for the documentation."""
    refusal: str = "`BudgetExceeded`"
    """What the application sees if a call of an agent is refused, for the documentation."""
    oldest: str = ""
    """The oldest release that the tests cover. Patches may fit older ones, but that is not tested."""


def patches_of(framework: AgentFramework) -> tuple[Patch, ...]:
    """Return the patches to install for `framework`."""
    targets = tuple(patch.target for patch in framework.patches)
    check = SelfCheck(targets, framework.distribution, framework.oldest, "its runs of agents", since_oldest=True)
    return tuple(Patch(patch.target, _wrapper_of(framework.name, patch), check) for patch in framework.patches)


def _wrapper_of(framework: str, patch: AnyPatch) -> Wrapper:
    if isinstance(patch, OwnPatch):
        return patch.wrapper
    if isinstance(patch, LeftOpenPatch):
        return _around_left_open
    if isinstance(patch, TurnPatch):
        return _turn_wrapper(framework, patch)
    return _step_wrapper(framework, patch) if isinstance(patch, StepPatch) else _wrapper(framework, patch)


def _step_wrapper(framework: str, patch: StepPatch) -> Wrapper:
    def around(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        manager = wrapped(*args, **kwargs)
        try:
            span = patch.read_span(args, kwargs)
        except Exception as bug:  # a framework, or an instrumentation, of another version
            report(f"reading the span of a step of {framework}", bug)
            return manager
        return manager if span is None else _with_span(manager, span)

    return around


@contextmanager
def _with_span(manager: AbstractContextManager[Context], span: Span) -> Generator[Context]:
    with manager as place:
        try:
            place.run(_make_current, span)
        except Exception as bug:  # the manager of another version
            report("entering the span of a step", bug)
        yield place


def _make_current(span: Span) -> None:
    """Make `span` the current one, unless the application has opened a span of its own inside the run.

    It is never detached: the context of a step is a copy.
    """
    current = trace.get_current_span()
    parent = getattr(span, "parent", None)
    around = current.get_span_context()
    if not around.is_valid or (parent is not None and parent.span_id == around.span_id):
        context.attach(trace.set_span_in_context(span))


def _around_left_open(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    before = context.get_current()
    try:
        return wrapped(*args, **kwargs)
    except BaseException:  # however the run fails, its span ends
        try:
            complete(partial(end_left_open, before))
        except Exception as bug:  # of a span processor of the application, for example
            report("ending the span of a failed run", bug)
        raise


def _turn_wrapper(framework: str, patch: TurnPatch) -> Wrapper:
    async def around(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            acting = turn(patch.read_agent(instance, args, kwargs), framework)
        except Exception as bug:  # a framework of another version
            report(f"reading a turn of an agent of {framework}", bug)
            return await wrapped(*args, **kwargs)
        with acting:
            return await wrapped(*args, **kwargs)

    return around


def _wrapper(framework: str, patch: AgentPatch) -> Wrapper:
    def open_run(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AgentRun | None:
        try:
            agent = patch.read_agent(instance, args, kwargs)
            return AgentRun(agent, framework, patch.no_error) if agent is not None else None
        except Exception as bug:  # a framework of another version
            report(f"reading an agent of {framework}", bug)
            return None

    return _AROUND[patch.kind](open_run)


_Open = Callable[[Any, tuple[Any, ...], dict[str, Any]], AgentRun | None]


def _around_function(open_run: _Open) -> Wrapper:
    def around(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        opened = open_run(instance, args, kwargs)
        if opened is None:
            return wrapped(*args, **kwargs)
        with opened:
            return wrapped(*args, **kwargs)

    return around


def _around_coroutine(open_run: _Open) -> Wrapper:
    async def around(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        opened = open_run(instance, args, kwargs)
        if opened is None:
            return await wrapped(*args, **kwargs)
        with opened:
            return await wrapped(*args, **kwargs)

    return around


def _around_awaitable(open_run: _Open) -> Wrapper:
    def around(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        opened = open_run(instance, args, kwargs)
        if opened is None or opened.agent.create_span:
            result = wrapped(*args, **kwargs)
        else:  # the method itself may start the span
            with opened:
                result = wrapped(*args, **kwargs)
        return result if opened is None or not inspect.iscoroutine(result) else _awaited(opened, result)

    return around


async def _awaited(opened: AgentRun, result: Awaitable[Any]) -> Any:
    with opened:
        return await result


def _around_generator(open_run: _Open) -> Wrapper:
    def around(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        opened = open_run(instance, args, kwargs)
        if opened is None:
            return wrapped(*args, **kwargs)
        return generating(wrapped, lambda *_args, **_kwargs: opened)(*args, **kwargs)

    return around


def _around_async_generator(open_run: _Open) -> Wrapper:
    def around(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        opened = open_run(instance, args, kwargs)
        if opened is None:
            return wrapped(*args, **kwargs)
        return generating_async(wrapped, lambda *_args, **_kwargs: opened)(*args, **kwargs)

    return around


def _around_async_context(open_run: _Open) -> Wrapper:
    def around(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        opened = open_run(instance, args, kwargs)
        inner = wrapped(*args, **kwargs)
        return inner if opened is None else _within(opened, inner)

    return around


@asynccontextmanager
async def _within(opened: AgentRun, inner: AbstractAsyncContextManager[Any]) -> AsyncGenerator[Any]:
    with opened:
        async with inner as entered:
            yield entered


def _around_future(open_run: _Open) -> Wrapper:
    def around(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        opened = open_run(instance, args, kwargs)
        if opened is None:
            return wrapped(*args, **kwargs)
        with ExitStack() as failing:
            failing.enter_context(opened)
            result = wrapped(*args, **kwargs)
            failing.pop_all()
        opened.pause()
        _end_with(opened, result)
        return result

    return around


def _end_with(opened: AgentRun, result: Any) -> None:
    """End the run when its result is there."""

    def ended(future: Any) -> None:
        error: BaseException | None = None if future.cancelled() else future.exception()
        opened.__exit__(None if error is None else type(error), error, None)

    try:
        future = result if hasattr(result, "add_done_callback") else result._result_task
        future.add_done_callback(ended)
    except Exception as bug:  # a framework of another version
        opened.__exit__(None, None, None)
        report("waiting for the end of an agent", bug)


_AROUND: dict[Kind, Callable[[_Open], Wrapper]] = {
    "function": _around_function,
    "coroutine": _around_coroutine,
    "awaitable": _around_awaitable,
    "generator": _around_generator,
    "async generator": _around_async_generator,
    "async context": _around_async_context,
    "future": _around_future,
}


def makes_spans() -> bool:
    """Return True if spans that a framework starts with the global tracer provider are more than a fiction."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider | trace.NoOpTracerProvider)
