"""The open blocks around a call, `with attribute(...)`, `with run(...)` and agents: they say whose the call is.

A block is in two places, which are set and restored together. One is the OpenTelemetry context: code passes it on, to
threads and elsewhere. The other is a context variable of this package, because frameworks detach contexts: FastAPI
restores the OpenTelemetry context after a dependency, but not this variable. `here` combines both.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol, TypeVar

from opentelemetry import baggage, context
from opentelemetry.context import Context

from otel_agentcost.telemetry import event_loops

_KEY = context.create_key("agentcost-block")

CARRIED_RUNS = "agentcost.runs"
"""The baggage entry with the budgets of runs."""


class AgentFrame(NamedTuple):
    """An agent of a framework."""

    attributes: Mapping[str, str]
    """Its name and conversation by attribute name, with those of the enclosing agents where it has none."""
    outer: Any
    """The totals that calls outside of the agent add to; None if there are none."""
    unit: str | None = None
    """What its calls count in where no span is open: the name of the outermost agent's run. None if a run is around."""


class Block:
    """A block, with the values of the enclosing blocks. Only `left` ever changes."""

    __slots__ = ("agents", "attributes", "carried", "left", "outer", "place", "runs")

    def __init__(
        self,
        attributes: Mapping[str, str],
        runs: tuple[Any, ...],
        outer: Block | None,
        carried: str | None = None,
        agents: tuple[AgentFrame, ...] | None = None,
    ) -> None:
        """Create a block.

        Args:
            attributes: The attribution, by attribute name.
            runs: The open runs, innermost first.
            outer: The enclosing block.
            carried: The baggage entry with the budgets of the runs; None if it is not written.
            agents: The agents of frameworks, innermost first. Default: those of the enclosing block.
        """
        self.attributes = attributes
        self.runs = runs
        self.outer = outer
        self.carried = carried
        if agents is None:
            agents = outer.agents if outer is not None else ()
        self.agents: tuple[AgentFrame, ...] = agents
        self.place: tuple[int, int] | None = None
        """The thread and the task that entered the block."""
        self.left = False
        """True if the block was left in another place than it was entered, where it could not be restored."""

    def is_inside(self, outer: Block) -> bool:
        """Return True if this block is `outer`, or if `outer` encloses it."""
        block: Block | None = self
        while block is not None and block is not outer:
            block = block.outer
        return block is not None


_innermost: ContextVar[Block | None] = ContextVar("agentcost_block", default=None)


def of(ctx: Context) -> Block | None:
    """Return the innermost block of `ctx`."""
    entries: Any = ctx  # a mapping: `get_value` takes three times as long
    block: Block | None = entries.get(_KEY)
    return block


def within(ctx: Context, block: Block) -> Context:
    """Return `ctx` with `block` as its innermost block."""
    return context.set_value(_KEY, block, ctx)


def here(ctx: Context | None = None) -> Context:
    """Return a context with the innermost open block of the running code.

    Args:
        ctx: The context to start from. Default: the current one.

    Returns:
        The same context, unless a framework has detached the context of the block, or the block was left elsewhere.
    """
    if ctx is None:
        ctx = context.get_current()
    block, held = _innermost.get(), of(ctx)
    if block is held and (block is None or not block.left):
        return ctx
    inner = _still_open(block)
    combined = _combined(ctx, inner, held)
    if (inner is not block or _still_open(held) is not held) and ctx is context.get_current():
        _innermost.set(inner)  # this place has entered the block: tasks that it starts from now on are outside of it
        context.attach(combined)
    return combined


def _combined(ctx: Context, block: Block | None, held: Block | None) -> Context:
    inner = _still_open(held)
    if inner is None or (block is not None and block.is_inside(inner)):  # else other code has passed `ctx` on
        inner = block
    if inner is held:
        return ctx
    if inner is not None and inner.carried is not None:
        ctx = baggage.set_baggage(CARRIED_RUNS, inner.carried, ctx)
    return context.set_value(_KEY, inner, ctx)


def _still_open(block: Block | None) -> Block | None:
    """Return `block`, or the nearest enclosing one if it was left elsewhere and this is the place that entered it.

    Tasks and threads that were started in a block keep it after it was left: they work for the same user and run.
    """
    while block is not None and block.left and block.place == running_code():
        block = block.outer
    return block


def running_code() -> tuple[int, int]:
    """Return the thread and the task of the running code."""
    return threading.get_ident(), id(event_loops.current_task())


class Entered:
    """A block that is entered. `leave` may be called anywhere: in another task or thread, or by a finalizer."""

    __slots__ = ("_before", "_block", "_context", "_outer", "_token")

    def __init__(self, ctx: Context, outer: Context) -> None:
        """Enter the innermost block of `ctx`: make both current.

        Args:
            ctx: A context, made from `outer`.
            outer: The context that `here` returned.
        """
        self._block, self._outer = of(ctx), of(outer)
        self._before = context.get_current()
        self._context = ctx
        for block in self._own_blocks():
            block.place = running_code()
        context.attach(ctx)
        self._token = _innermost.set(self._block)

    def _own_blocks(self) -> list[Block]:
        blocks: list[Block] = []
        block = self._block
        while block is not None and block is not self._outer:
            blocks.append(block)
            block = block.outer
        return blocks

    def is_current(self) -> bool:
        """Return True if this is the innermost block of the running code."""
        return _innermost.get() is self._block or context.get_current() is self._context

    def leave(self) -> None:
        """Restore what was current before, where that is still possible."""
        if context.get_current() is self._context:  # `attach`, because the token of another context is invalid
            context.attach(self._before)
        if not self._restored() or of(context.get_current()) is self._block:
            for block in self._own_blocks():
                block.left = True

    def _restored(self) -> bool:
        """Restore the variable. Return False if this is another context than the one that entered the block."""
        if _innermost.get() is not self._block:
            return False
        try:
            _innermost.reset(self._token)
        except ValueError:  # a copy of that context
            _innermost.set(self._outer)
            return False
        return True


class _Leavable(Protocol):
    def is_current(self) -> bool: ...


_E = TypeVar("_E", bound=_Leavable)


def take_current(entered: list[_E]) -> _E | None:
    """Remove and return the one that is left now: an object may be entered in several tasks and threads at a time.

    Returns:
        None if none is entered: code may leave an object twice.
    """
    if not entered:
        return None
    leaving = next((each for each in reversed(entered) if each.is_current()), entered[-1])
    entered.remove(leaving)
    return leaving


# --- From one place to another: generators and threads ---


class Place(NamedTuple):
    """The context and the block that are current at a place in the code."""

    context: Context
    block: Block | None


def place() -> Place:
    """Return what is current now."""
    return Place(context.get_current(), _innermost.get())


def place_of(ctx: Context) -> Place:
    """Return the place in which `ctx` and its block are current."""
    return Place(ctx, of(ctx))


def move_to(there: Place) -> None:
    """Make the context and the block of `there` current."""
    if context.get_current() is not there.context:
        context.attach(there.context)
    take_over(there.block)


@contextmanager
def moved_to(there: Place) -> Generator[None]:
    """Make the context and the block of `there` current, for a block of code."""
    before = place()
    move_to(there)
    try:
        yield
    finally:
        move_to(before)


def innermost() -> Block | None:
    """Return the innermost block of the running code, as the context variable has it."""
    return _innermost.get()


def take_over(block: Block | None) -> None:
    """Make `block`, which was entered or left in a copy of this context, the innermost one here."""
    if _innermost.get() is not block:
        _innermost.set(block)
