"""One call of a tool, from its beginning to its end: a span, a price, a place in totals and budgets, and what the loop
watch learns of it.

`handwritten.py` makes them, for decorated functions and for `with tool_call(...)`, and `tools/`, for those of
frameworks. One call may be seen more than once, by the framework, by an MCP client and by a decorator: the outermost
counts it. Nothing of ours that goes wrong in here reaches the application, least of all a price function.
"""

from __future__ import annotations

import re
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from decimal import Decimal
from typing import Any, Final, Literal, cast

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from otel_agentcost.calls import active
from otel_agentcost.calls.active import Instrumentation
from otel_agentcost.calls.jsonable import Plain, plain
from otel_agentcost.calls.loop_guard import ToolUse
from otel_agentcost.core import money, semconv
from otel_agentcost.core.tool_prices import ToolPrice
from otel_agentcost.diagnostics import report, warn_once
from otel_agentcost.telemetry import attribution, rollup, run_context
from otel_agentcost.telemetry.recorder import SpanAccount
from otel_agentcost.telemetry.spans import error_type

Dollars = Decimal | float | str
PriceFunction = Callable[[dict[str, Any], Any], Dollars]
Price = ToolPrice | PriceFunction

_HERE: Final = context.create_key("agentcost-tool-call")
"""In a context: a reference to the call of a tool that runs there. No more: what a tool has started in the background
keeps its context, and is not to keep what the tool was given and has brought.
"""

MARK: Final = "_agentcost_tool"
"""On a span: the call of a tool that it, or one round it, is."""

_NOT_SET: Final = object()
_TOOL_ERROR: Final = "tool_error"
"""`error.type` of a call that returned its error: the convention for MCP, and there is none for other tools."""
_ITEMS_KEPT: Final = 64
"""Of what a generator brings, where no price depends on all of it."""
_NOT_PLAIN: Final = re.compile(r"\W+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_RESULT_READ: Final = 4_096
"""Characters of a result that the loop watch looks at."""


class ToolCall(AbstractContextManager["ToolCall"], AbstractAsyncContextManager["ToolCall"]):
    """A call of a tool, open while its block runs. `result` is what it brought, as far as you say so."""

    def __init__(
        self,
        name: str,
        arguments: Callable[[], Mapping[str, Any]],
        price: Price | None = None,
        call_id: str | None = None,
        *,
        seen_by: str = "",
        spans: bool = True,
        put_off: Callable[[BaseException], bool] | None = None,
    ) -> None:
        """`arguments` is asked only where somebody wants to know: a price function, the loop watch, a span.

        `seen_by` names the framework that makes the call. Without `spans`, somebody else makes a span of it, who is
        given what is to be on it (`adopt`). `put_off` tells of what is raised whether it says that the tool has not run
        after all: then nothing was used, and nothing failed.
        """
        self.name = name
        self.result: Any = _NOT_SET
        self.failed = False
        """Whether the result is an error, which the tool has returned and not raised."""
        self._put_off = put_off
        self._answered: BaseException | None = None
        """What was raised, where somebody has made an answer of it."""
        self.seen_by = seen_by
        self._arguments = arguments
        self._given: dict[str, Any] | None = None
        self._price = price
        self.priced = price is not None
        """Whether its price was said with it, and does not come from the settings."""
        self._call_id = call_id
        self._spans = spans
        self._around: ToolCall | None = None
        self._nearer: ToolCall | None = None
        """The same call, seen from nearer by."""
        self._settled = False
        self._foreign = False
        """Whether the span of somebody else in which it has begun is its own: it is settled when that ends."""
        self._took: int | None = None
        self._failure: BaseException | None = None
        self._running: Instrumentation | None = None
        self._span: Span = trace.INVALID_SPAN
        self._written: Plain | None = None

    def __enter__(self) -> ToolCall:  # noqa: PYI034 (`Self` needs Python 3.11)
        try:
            self._running = active.active()
            if self._running is not None:
                self._begin(self._running)
        except Exception as bug:
            self._running = None
            report("opening a tool call", bug)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, place: object) -> Literal[False]:
        running, self._running = self._running, None
        if running is None:
            return False
        took = time.monotonic_ns() - self._began
        # Where it is left in another context than it was entered in, there is nothing to take back. What the tool has
        # left current of its own is beneath its span, which is over.
        if open_in(None) is self:
            context.attach(self._outer)
        # Nobody wants the items of a generator any more: that is no error.
        failure = error if not isinstance(error, GeneratorExit) else None
        try:
            self._end(running, took, failure)
        except Exception as bug:
            report("settling a tool call", bug)
        return False

    async def __aenter__(self) -> ToolCall:  # noqa: PYI034
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: object
    ) -> Literal[False]:
        return self.__exit__(kind, error, place)

    def note(self, item: Any) -> None:
        """A generator has brought `item`: its result is the list of them."""
        if self._running is None:
            return
        if len(self.result) < _ITEMS_KEPT or callable(self._price):
            self.result.append(item)

    # --- Its beginning ---

    def _begin(self, running: Instrumentation) -> None:
        outer = context.get_current()
        parent = trace.get_current_span(outer)
        self._outer = self._inner = outer
        self._began = time.monotonic_ns()
        around = open_in(outer)
        if around is not None and around.is_same_as(self):
            self._around = around
            return
        self._alone = not parent.get_span_context().is_valid
        self._parent_tally = rollup.tally_of(parent)
        self._who = attribution.current(outer, running.attribution, self._parent_tally)
        self._foreign = bool(self.seen_by) and foreign_tool(parent) == self.name
        inner = outer
        if self._foreign:
            getattr(parent, MARK).call = self
            self._span = parent
        elif self._spans:
            self._span = self._started(running)
            inner = trace.set_span_in_context(self._span, outer)
        self._written = self._read(running)  # now: the tool may change what it was called with
        self._inner = context.set_value(_HERE, weakref.ref(self), inner)
        context.attach(self._inner)

    def _started(self, running: Instrumentation, at: int | None = None) -> Span:
        name = f"{semconv.EXECUTE_TOOL} {self.name}"
        return running.tracer.start_span(name, self._outer, SpanKind.INTERNAL, self._said(), start_time=at)

    def is_same_as(self, inner: ToolCall) -> bool:
        """Whether `inner`, which is made while this one is open, is this very call, seen again.

        Who sees both knows them for one by the id of the model's call; else it is a tool that calls itself.
        """
        again = self._call_id is not None and self._call_id == inner._call_id
        if self._running is None or (self.seen_by == inner.seen_by and not again):
            return False
        if not again and None not in (self._call_id, inner._call_id):
            return False  # the model has called it again, within
        mine, its = _plain_name(self.name), _plain_name(inner.name)
        before = mine.removesuffix(its)  # names of MCP tools may have that of their server before them
        return mine == its or (before != mine and not before[-1:].isalnum())

    def _said(self) -> dict[str, str]:
        said = {
            semconv.OPERATION: semconv.EXECUTE_TOOL,
            semconv.TOOL: self.name,
            semconv.TOOL_TYPE: "function",
            **self._who,
        }
        if self._call_id is not None:
            said[semconv.TOOL_CALL_ID] = self._call_id
        return said

    def adopt(self, span: Span) -> Callable[[], None] | None:
        """`span` has been started by somebody else, of this call. Returns what is to be done when it ends; None where
        the call has a span already.
        """
        running = self._running
        if running is None or self._spans or self._around is not None or self._span is not trace.INVALID_SPAN:
            return None
        self._span = span
        span.set_attributes(self._said())

        def ending() -> None:
            if not self._settled:
                self._settle(running, time.monotonic_ns() - self._began, None)

        return ending

    def _read(self, running: Instrumentation) -> Plain | None:
        """The arguments, where somebody wants to know them."""
        shown = _shows_content(running, self._span) if self._spans else running.content
        if running.loops is None and not shown:
            return None
        try:
            return plain(self._asked())
        except Exception as bug:
            report("reading the arguments of a tool", bug)
            return None

    def _asked(self) -> dict[str, Any]:
        if self._given is None:
            self._given = dict(self._arguments())
        return self._given

    def settle_on(self, span: Span, running: Instrumentation, ctx: Context) -> None:
        """`span`, which somebody else made in `ctx`, is the call's, and about to end: what is known is to be on it."""
        if self._settled:
            return
        self._span, self._outer = span, ctx
        span.set_attribute(semconv.OPERATION, semconv.EXECUTE_TOOL)
        there: Mapping[str, Any] = getattr(span, "attributes", None) or {}
        span.set_attributes({name: value for name, value in self._said().items() if name not in there})
        took = self._took if self._took is not None else time.monotonic_ns() - self._began
        self._settle(running, took, self._failure)

    # --- Its end ---

    def _end(self, running: Instrumentation, took: int, failure: BaseException | None) -> None:
        self._took = took
        if self._around is not None:
            self._around.learn(self)
            return
        try:
            raised = failure if failure is not None else self._answered
            if raised is not None and self._put_off is not None and self._put_off(raised):
                self._settled = True
                return
            if self._foreign:
                self._failure = failure
            elif not self._settled:
                if not self._spans:  # nobody has made a span of it after all
                    self._spans = True
                    self._span = self._started(running, time.time_ns() - took)
                self._settle(running, took, failure)
            self._report_to_loop_guard(running, failure)
        finally:
            if self._spans and not self._foreign:
                self._span.end()

    def note_failure(self, call_id: str, error: BaseException) -> None:
        """What is about to be returned stands for `error`, if this is the call of that id."""
        if self._call_id == call_id:
            self.failed = True
            self._answered = error

    def learn(self, inner: ToolCall) -> None:
        """`inner` has ended, which is this call seen from nearer by: what it costs may be known there only."""
        if self._nearer is None or not self._nearer.priced:
            self._nearer = inner

    def _settle(self, running: Instrumentation, took: int, failure: BaseException | None) -> None:
        self._settled = True
        error: str | None = None
        if failure is not None or self.failed:
            error = error_type(failure) if failure is not None else _TOOL_ERROR
            self._span.set_attribute(semconv.ERROR_TYPE, error)
            self._span.set_status(Status(StatusCode.ERROR))
        usd, gap = self.cost(running, took, failure)
        self._charge(running, usd, gap, error)
        if _shows_content(running, self._span):
            self._show()

    def cost(
        self, running: Instrumentation, took: int, failure: BaseException | None
    ) -> tuple[Decimal | None, str | None]:
        """The dollars, None without a price; and why there should be some and are none."""
        price, nearer = self._price, self._nearer
        if price is None and (nearer is None or not nearer.priced):
            price = running.tool_prices.find(self.name)
        if price is None:  # it may have another name there, without that of its server
            return nearer.cost(running, took, failure) if nearer is not None else (None, None)
        if isinstance(price, ToolPrice):
            return price.of(took), None
        if failure is not None and self.result is _NOT_SET:
            return None, "the tool failed, and its price depends on its result"
        try:
            said = price(self._asked(), None if self.result is _NOT_SET else self.result)
        except Exception as error:
            self._mispriced("raised", error_type(error), f" ({error!s:.300})")
            return None, f"the tool's price function raised {error_type(error)}"
        usd = money.reported(said)
        if usd is None:
            self._mispriced("returned", type(said).__name__, ", which is not an amount of dollars")
            return None, "the tool's price function returned no amount of dollars"
        return usd, None

    def _mispriced(self, did: str, what: str, more: str) -> None:
        """The application's own mistake, told once a cause: whoever reads of it can mend it."""
        cause = f"the price function of the tool {self.name:.120} {did} {what}"
        warn_once(cause, f"otel-agentcost: {cause}{more}. The tool is not affected; its calls are unpriced.")

    def _charge(self, running: Instrumentation, usd: Decimal | None, gap: str | None, error: str | None) -> None:
        span = self._span
        if usd is not None:
            span.set_attribute(semconv.COST, money.to_float(usd))
        if gap is not None:
            span.set_attribute(semconv.UNPRICED, gap)
        running.tool_used(self._somewhere, self._outer, usd)
        tally = rollup.tally_of(span) or self._parent_tally
        account = SpanAccount(self._who, self._outer, run_context.current(self._outer), tally)
        running.recorder.charge_tool_call(account, self.name, usd, gap, error)

    def _show(self) -> None:
        if self._written is not None:
            self._span.set_attribute(semconv.TOOL_ARGUMENTS, self._written.text)
        if self.result is not _NOT_SET:
            self._span.set_attribute(semconv.TOOL_RESULT, plain(self.result).text)

    def _report_to_loop_guard(self, running: Instrumentation, failure: BaseException | None) -> None:
        loops = running.loops
        if loops is None:
            return
        content: str | None = None
        if isinstance(failure, Exception):
            content = f"{error_type(failure)}: {_said_by(failure)}"[:_RESULT_READ]
        elif failure is None and self.result is not _NOT_SET and self.result is not None:
            # What brings nothing, or what cannot be read, does not tell whether there is progress.
            result = plain(self.result, _RESULT_READ)
            content = None if result.opaque else result.text
        written = self._written
        if content is None or written is None or written.opaque or written.cut:
            return
        failed = failure is not None or self.failed
        used = ToolUse(self._call_id, self.name, written.text, content, failed)
        loops.tool_used(self._somewhere, used, alone=self._alone)

    @property
    def _somewhere(self) -> Span:
        """A span of its trace: its own, or where somebody else was to make one and did not, the one that it ran in."""
        return self._span if self._span is not trace.INVALID_SPAN else trace.get_current_span(self._outer)


def open_in(ctx: Context | None) -> ToolCall | None:
    """The innermost call of ours that was open in `ctx`, in the current context where that is None."""
    reference = cast("weakref.ref[ToolCall] | None", context.get_value(_HERE, ctx))
    return reference() if reference is not None else None


def foreign_tool(span: Span) -> str | None:
    """The tool that `span`, made by somebody else, is the call of; None also where a span of ours counts that."""
    mark = getattr(span, MARK, None)
    return mark.tool if mark is not None and not mark.counted else None


def _said_by(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # the application's own, which cannot be shown
        return ""


def _plain_name(tool: str) -> str:
    """As frameworks write names for models that take no others: `getPages` and `get-pages` as `get_pages`."""
    return _NOT_PLAIN.sub("_", tool).lower()


def _shows_content(running: Instrumentation, span: Span) -> bool:
    return running.content and span.is_recording()
