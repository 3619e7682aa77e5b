"""The traces of calls under no span: the unit of work that is running, or an hour of the process.

Each such call is a trace of its own for OpenTelemetry, so no limit of a trace could ever stop them. They count together
instead: those of one web request, one job of a queue, one notebook cell. Outside of such a unit, those of one run of an
agent do, as they would under its span: without a tracer provider it has none. The rest (a script, a worker loop written
by hand) shares one allowance of the process, which is renewed an hour after its first call: a runaway spends one budget
an hour, and a worker that runs for weeks is never refused for what it did on the first day.

Two kinds of units are known. The libraries of a `Source` say themselves which job is running. For all others a patch
calls `enter` and `Unit.leave`; the unit is in the OpenTelemetry context, which tasks and threads follow. The files in
`integrations/work/` declare both.
"""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, NamedTuple

from opentelemetry import context
from opentelemetry.context import Context

from otel_agentcost.calls.scopes import NO_TRACE, new_value, process_name, trace_id_of
from otel_agentcost.diagnostics import report
from otel_agentcost.guard import forks
from otel_agentcost.telemetry import attribution, run_context
from otel_agentcost.telemetry.spans import Record

RENEWED_AFTER = 3_600.0
"""Seconds from the first call of a process under no span and in no unit of work until their allowance is renewed."""

_KEY = context.create_key("agentcost-unit-of-work")


class Source(NamedTuple):
    """A library that says which unit of work is running."""

    unit: str
    """The name of one unit, for people: `Celery task`."""
    module: str
    """The module to ask. It is never imported: without it, there is no such unit."""
    current: Callable[[Any], str | None]
    """Gets the module, and returns the id of the unit that is running here; None if there is none."""


class Unit:
    """A unit of work that a patch has entered."""

    __slots__ = ("__weakref__", "_answer", "_before", "_context", "_running", "value")

    def __init__(self, value: str) -> None:
        """Create a unit. `value`: its name in ledgers and in texts, such as `web request 71-8a3f-5`."""
        self.value = value
        self._running = True
        self._answer: weakref.ref[Any] | None = None
        self._before: Context | None = context.get_current()
        self._context: Context | None = context.set_value(_KEY, self, self._before)
        context.attach(self._context)

    @property
    def running(self) -> bool:
        """True until `leave`."""
        return self._running

    @property
    def current(self) -> bool:
        """True while it runs, and while its answer is read."""
        return self._running or (self._answer is not None and self._answer() is not None)

    def leave(self, answer: object = None) -> None:
        """End the unit. Tasks and threads that it has left behind are in no unit any more.

        Args:
            answer: An iterable that the server reads after the end, in the same thread: the body of a WSGI response.
                The unit stays current as long as this object lives.
        """
        self._running = False
        before, entered = self._before, self._context
        self._before = self._context = None  # they may hold the unit before this one, and that the one before it
        if answer is not None and not isinstance(answer, list | tuple):
            with suppress(TypeError):  # an object without weak references
                self._answer = weakref.ref(answer)
                return
        if before is not None and context.get_current() is entered:
            context.attach(before)


def enter(unit: str, identity: str | None = None) -> Unit | None:
    """Enter a unit of work, unless the running code is in one already.

    Args:
        unit: The name of one unit, for people.
        identity: Its id, which is the same in all processes. Default: a new one.
    """
    outer = context.get_current().get(_KEY)
    if isinstance(outer, Unit) and outer.running:
        return None
    return Unit(f"{unit} {identity or new_value()}")


class _Hour(NamedTuple):
    process: str
    began: float
    value: str

    def includes(self, process: str, now: float) -> bool:
        return self.process == process and self.began <= now < self.began + RENEWED_AFTER


class Work:
    """Names the traces of calls. One for each `instrument()`; thread-safe."""

    def __init__(self, sources: Iterable[Source] = (), clock: Callable[[], float] = time.time) -> None:
        """Create the object.

        Args:
            sources: The libraries to ask for the unit that is running.
            clock: Returns seconds since the epoch.
        """
        self._sources: Sequence[Source] = tuple(sources)
        self._clock = clock
        self._hour: _Hour | None = None
        self._lock = threading.Lock()
        forks.watch(self)

    def after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may hold."""
        self._lock = threading.Lock()

    def trace_of(self, record: Record) -> str:
        """Return the name of the trace of a model call in ledgers. It stays what it was when the call began."""
        if record.trace is None:
            record.trace = self.trace(trace_id_of(record.span), record.context, alone=record.alone)
        return record.trace

    def trace(self, trace_id: str, ctx: Context, *, alone: bool) -> str:
        """Return the name of a trace in ledgers.

        Args:
            trace_id: The trace id as hexadecimal digits.
            ctx: The context of the call.
            alone: True if the call has no parent span.
        """
        if not alone and trace_id != NO_TRACE:
            return trace_id
        unit = agent = run = None
        if ctx:
            if runs := run_context.current(ctx):  # its span is invalid, because no OpenTelemetry SDK is set up
                run = f"run {runs[-1].name} {runs[-1].value}"
            agent = attribution.unit_of_agent(ctx)
            if run is not None and agent is None:
                return run
            entered = ctx.get(_KEY)
            if isinstance(entered, Unit) and entered.current:
                unit = entered.value
        unit = unit or self._asked()
        if unit is None:
            return agent or self._of_this_hour()
        return run or unit

    def _asked(self) -> str | None:
        """Return the unit that a library says is running; None if there is none."""
        for source in self._sources:
            module = sys.modules.get(source.module)
            if module is None:
                continue
            try:
                identity = source.current(module)
            except Exception as bug:  # a library of the application may raise anything
                report(f"asking for the current {source.unit}", bug)
                continue
            if identity is not None:
                return f"{source.unit} {identity}"
        return None

    def _of_this_hour(self) -> str:
        process, now = process_name(), self._clock()
        hour = self._hour
        if hour is None or not hour.includes(process, now):
            with self._lock:
                hour = self._hour
                if hour is None or not hour.includes(process, now):
                    until = datetime.fromtimestamp(now + RENEWED_AFTER, timezone.utc)
                    value = f"{process} (calls under no span until {until:%Y-%m-%d %H:%M:%S} UTC)"
                    hour = self._hour = _Hour(process, now, value)
        return hour.value
