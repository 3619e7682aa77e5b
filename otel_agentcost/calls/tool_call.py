"""One tool call, from start to end: its span, its cost, and its place in totals, budgets and loop detection.

`decorators.py` makes tool calls for decorated functions and for `with tool_call(...)`, and `integrations/tools` makes
those of frameworks. A framework, an MCP client and a decorator may each see the same call. The outermost of them counts
it. An error in this module is logged and does not reach the application.
"""

from __future__ import annotations

import re
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from decimal import Decimal
from functools import partial
from typing import Any, Final, Literal, cast

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from otel_agentcost.calls import active, finalize
from otel_agentcost.calls.active import Instrumentation
from otel_agentcost.calls.jsonable import Plain, plain
from otel_agentcost.calls.loop_guard import ToolUse
from otel_agentcost.calls.scopes import new_id
from otel_agentcost.calls.tool_cost import NO_RESULT, Price, ToolCost, tool_cost
from otel_agentcost.calls.tool_results import is_empty
from otel_agentcost.core import money, semconv
from otel_agentcost.core.tool_cache import Keep
from otel_agentcost.core.tool_results import Kept, Origin, Place, Wanted
from otel_agentcost.diagnostics import complete, foreign, report, reraise_foreign
from otel_agentcost.telemetry import agent_spans, attribution, blocks, rollup, run_context
from otel_agentcost.telemetry.recorder import SpanAccount
from otel_agentcost.telemetry.rollup import InFlight
from otel_agentcost.telemetry.spans import end_started, error_type

finalize.FINALIZERS.add(__name__)

_OPEN_CALL: Final = context.create_key("agentcost-tool-call")
"""Context key of a weak reference to the open tool call. A background task that the tool started keeps its context, and
a strong reference there would keep the arguments and the result in memory.
"""

TOOL_MARK: Final = "_agentcost_tool"
"""Span attribute of Python, not of OpenTelemetry: the tool call that the span, or an enclosing span, represents."""

_TOOL_ERROR: Final = "tool_error"
"""`error.type` of a call that returned its error. The MCP convention defines it; other tools have no convention."""
_ITEMS_KEPT: Final = 64
"""The number of a generator's items that are kept as its result, unless a price function needs all of them."""
_WORD_BORDERS: Final = re.compile(r"\W+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_RESULT_CHARACTERS: Final = 4_096
"""The number of characters of a result that loop detection reads."""


class ToolCall(AbstractContextManager["ToolCall"], AbstractAsyncContextManager["ToolCall"]):
    """A tool call, open while its `with` block runs. Set `result` inside the block."""

    kept: Kept | None = None
    """The result that a cache had, so that the tool was not called."""
    is_cached = False
    """True if the result of this call is looked for in a cache, and may be kept there."""
    is_final = True
    """False for a result that must not be kept."""
    started_at = 0
    """The monotonic time of its start, in nanoseconds."""

    def __init__(
        self,
        name: str,
        arguments: Callable[[], Mapping[str, Any]],
        price: Price | None = None,
        call_id: str | None = None,
        *,
        source: str = "",
        create_span: bool = True,
        deferred: Callable[[BaseException], bool] | None = None,
    ) -> None:
        """Describe a tool call; entering it opens it.

        Args:
            name: The name of the tool.
            arguments: Returns the arguments by name. Called only if a price function, loop detection or content capture
                needs them.
            price: The price. Default: the price in the settings.
            call_id: The id that the model gave the call.
            source: The framework that makes the call; empty for hand-written code.
            create_span: False if the framework makes a span of the call. `adopt_span` then sets its attributes.
            deferred: Returns True if an exception means that the tool did not run. Such a call costs nothing and is not
                a failure.
        """
        self.name = name
        self.result: Any = NO_RESULT
        self.failed = False
        """True if the tool returned an error as its result instead of raising it."""
        self.source = source
        self.priced = price is not None
        """True if the price was passed to the constructor, so that it does not come from the settings."""
        self._arguments = arguments
        self._arguments_read: dict[str, Any] | None = None
        self._arguments_text: Plain | None = None
        self._price = price
        self._call_id = call_id
        self._create_span = create_span
        self._deferred = deferred
        self._handled: BaseException | None = None
        """The tool's exception, if the framework turned it into a response for the model."""
        self._outer_view: ToolCall | None = None
        """The open `ToolCall` of an outer layer for the same call: that one is counted."""
        self._inner_view: ToolCall | None = None
        """The `ToolCall` of an inner layer for the same call: its price may be more specific."""
        self._settled = False
        self._charge_id: str | None = None
        """Names the charge of this call in the ledger, which counts it once however often its settlement begins."""
        self._recorded = False
        """True if metrics and totals have the call, or are about to."""
        self._in_foreign_span = False
        """True if the enclosing span of another instrumentation represents the call, and settles it when it ends."""
        self._nanoseconds: int | None = None
        self._failure: BaseException | None = None
        self._running: Instrumentation | None = None
        self._in_flight: InFlight | None = None
        """Lets the totals above wait for this call."""
        self._span: Span = trace.INVALID_SPAN

    def __enter__(self) -> ToolCall:  # noqa: PYI034 (`Self` needs Python 3.11)
        try:
            self._running = active.active()
            if self._running is not None:
                self._begin(self._running)
        except BaseException as bug:
            self._running = None
            complete(self._leave)
            complete(self._end_span)
            complete(partial(end_started, bug, trace.get_current_span()))
            self._is_over()
            report("opening a tool call", bug)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, place: object) -> Literal[False]:
        running = self._running
        if running is None:
            return False
        # GeneratorExit means that the consumer stopped early, which is not an error of the tool.
        failure = None if kind is GeneratorExit else error
        try:
            self._leave()
            self._running = None
            self._end(running, failure)
        except BaseException as bug:
            self._running = None
            complete(self._leave)
            if foreign(bug) and not self._settled:
                complete(partial(self._end, running, failure))
            complete(self._end_span)
            report("settling a tool call", bug)
        finally:
            self._is_over()
        return False

    def __del__(self) -> None:
        # The exception of a signal handler can arrive where `__exit__` begins: then this is the end.
        running: Instrumentation | None = getattr(self, "_running", None)
        if running is not None and self.started_at:
            self._running = None
            self._nanoseconds = time.monotonic_ns() - self.started_at
            finalize.settle_when_safe(lambda: self._end(running, None))
        if getattr(self, "_in_flight", None) is not None:
            finalize.settle_when_safe(self._is_over)

    def _is_over(self) -> None:
        """Let the totals above know that the call is not in flight any more."""
        if self._in_flight is not None:
            self._in_flight.end()
            self._in_flight = None

    def _leave(self) -> None:
        # In another context than that of `__enter__`, there is nothing to restore. A span that the tool left current
        # is a child of the call's span, which ends here.
        if open_call(None) is self:
            context.attach(self._before)

    def _end_span(self) -> None:
        if self._create_span and not self._in_foreign_span and self._span.is_recording():
            self._span.end()

    async def __aenter__(self) -> ToolCall:  # noqa: PYI034
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: object
    ) -> Literal[False]:
        return self.__exit__(kind, error, place)

    @property
    def is_open(self) -> bool:
        """True until the call ends."""
        return self._running is not None

    @property
    def inside(self) -> Context:
        """The context of what the tool does, while the call is open."""
        return self._inner

    def has_arguments(self, arguments: Mapping[str, Any]) -> bool:
        """Return True if the call is made with these arguments."""
        return self._arguments_by_name() == arguments

    def add_item(self, item: Any) -> None:
        """Add an item that a generator yielded: the result of a generator is the list of its items."""
        if self._running is None:
            return
        if len(self.result) < _ITEMS_KEPT or callable(self._price):
            self.result.append(item)

    # --- Cached results ---

    def place(self, own: Keep | None, origin: Callable[[], Origin | None]) -> Place | None:
        """Return where the result of the call may be known, or kept; None if it is not cached.

        Args:
            own: The rule of the code; None for that of the settings.
            origin: Returns what the result depends on besides the arguments; None if that cannot be told.
        """
        running, outer = self._running, self._outer_view
        if running is None or not (running.tool_cache.on or own is not None) or (outer and outer.is_cached):
            return None
        try:
            found = running.tool_cache.keep(self.name, own, origin)
            results = running.tool_cache.results() if found is not None else None
            if found is None or results is None:
                return None
            whose = (outer or self)._attribution  # noqa: SLF001 (of this very class)
            run = next(iter(run_context.current(self._outer)), None)
            place = results.place(
                Wanted(
                    self.name,
                    self._arguments_by_name(),
                    found[0],
                    whose.get(semconv.TENANT),
                    whose.get(semconv.USER),
                    run.value if run is not None else None,
                    found[1],
                )
            )
        except Exception as bug:
            report("looking for the rule of a tool", bug)
            return None
        self.is_cached = place is not None
        return place

    def take(self, result: Any) -> None:
        """Set the result of the call."""
        self.result = result

    def answered_by(self, kept: Kept) -> None:
        """Take note that the tool is not called, because its result is known."""
        self.kept = kept

    @property
    def may_be_kept(self) -> bool:
        """True if the call has a result, which is no error, is not empty and was not kept before."""
        inner = self._inner_view
        empty = self.result is NO_RESULT or is_empty(self.result)
        return self.is_final and not (
            empty or self.failed or self._handled is not None or (inner is not None and inner.kept is not None)
        )

    # --- Start ---

    def _begin(self, running: Instrumentation) -> None:
        self._before = context.get_current()
        outer = blocks.here()
        parent = trace.get_current_span(outer)
        self._outer = self._inner = outer
        self.started_at = time.monotonic_ns()
        enclosing = open_call(outer)
        if enclosing is not None and enclosing.is_same_as(self):
            self._outer_view = enclosing
            return
        self._alone = not parent.get_span_context().is_valid
        self._parent_tally = rollup.tally_of(parent)
        self._attribution = attribution.current(outer, running.attribution, self._parent_tally)
        self._in_foreign_span = bool(self.source) and foreign_tool(parent) == self.name
        inner = outer
        if self._in_foreign_span:
            getattr(parent, TOOL_MARK).call = self
            self._span = parent
        elif self._create_span:
            self._span = self._start_span(running)
            inner = trace.set_span_in_context(self._span, outer)
        self._arguments_text = self._read_arguments(running)  # before the call: the tool may change its arguments
        self._inner = context.set_value(_OPEN_CALL, weakref.ref(self), inner)
        context.attach(self._inner)
        if self._parent_tally is not None:
            self._in_flight = InFlight(self._parent_tally)
            self._in_flight.begin()

    def _start_span(self, running: Instrumentation, at: int | None = None) -> Span:
        name = f"{semconv.EXECUTE_TOOL} {self.name}"
        return running.tracer.start_span(name, self._outer, SpanKind.INTERNAL, self._span_attributes(), start_time=at)

    def is_same_as(self, inner: ToolCall) -> bool:
        """Return whether `inner`, opened while this call is open, is the same call in an inner layer.

        Two calls from the same source are the same only if their ids are equal: else the tool calls itself.
        """
        same_id = self._call_id is not None and self._call_id == inner._call_id
        if self._running is None or (self.source == inner.source and not same_id):
            return False
        if not same_id and None not in (self._call_id, inner._call_id):
            return False  # two calls of the model, one inside the other
        return is_same_name(self.name, inner.name)

    def is_shown_by(self, tool: str, call_id: object) -> bool:
        """Return whether a span of another instrumentation that starts while this call is open is of the same call.

        Args:
            tool: The tool's name by the span.
            call_id: The id of the model's call by the span; None if it has none.
        """
        if self._running is None or (call_id is not None and self._call_id not in (None, call_id)):
            return False
        return is_same_name(self.name, tool) or is_same_name(tool, self.name)

    def _span_attributes(self) -> dict[str, str]:
        attributes = {
            semconv.OPERATION: semconv.EXECUTE_TOOL,
            semconv.TOOL: self.name,
            semconv.TOOL_TYPE: "function",
            **self._attribution,
        }
        if self._call_id is not None:
            attributes[semconv.TOOL_CALL_ID] = self._call_id
        return attributes

    def adopt_span(self, span: Span) -> Callable[[], None] | None:
        """Use `span`, which a framework has just started for this call, as the span of the call.

        Returns:
            A function to call before `span` ends; None if the call has a span already.
        """
        running = self._running
        if running is None or self._create_span or self._outer_view is not None or self._span is not trace.INVALID_SPAN:
            return None
        self._span = span
        span.set_attributes(self._span_attributes())

        def before_end() -> None:
            if not self._settled:
                self._settle(running, time.monotonic_ns() - self.started_at, None)

        return before_end

    def _read_arguments(self, running: Instrumentation) -> Plain | None:
        """Return the arguments as text; None if neither loop detection nor content capture needs them."""
        captured = _captures_content(running, self._span) if self._create_span else running.content
        if running.loops is None and not captured:
            return None
        try:
            return plain(self._arguments_by_name())
        except Exception as bug:
            report("reading the arguments of a tool", bug)
            return None

    def _arguments_by_name(self) -> dict[str, Any]:
        if self._arguments_read is None:
            self._arguments_read = dict(self._arguments())
        return self._arguments_read

    def settle_on(self, span: Span, running: Instrumentation, ctx: Context) -> None:
        """Settle the call on `span` of another instrumentation, which represents the call and is about to end.

        Args:
            span: The span; attributes that it has already stay as they are.
            running: The active instrumentation.
            ctx: The context that `span` started in.
        """
        if self._settled:
            return
        self._span, self._outer = span, ctx
        span.set_attribute(semconv.OPERATION, semconv.EXECUTE_TOOL)
        present: Mapping[str, Any] = getattr(span, "attributes", None) or {}
        span.set_attributes({name: value for name, value in self._span_attributes().items() if name not in present})
        nanoseconds = self._nanoseconds if self._nanoseconds is not None else time.monotonic_ns() - self.started_at
        self._settle(running, nanoseconds, self._failure)

    # --- End ---

    def _end(self, running: Instrumentation, failure: BaseException | None) -> None:
        if self._nanoseconds is None:
            self._nanoseconds = time.monotonic_ns() - self.started_at
        nanoseconds = self._nanoseconds
        if self._outer_view is not None:
            self._outer_view.add_inner_view(self)
            return
        try:
            self._count(running, nanoseconds, failure)
        except BaseException as error:  # of others too: then the caller repeats this
            if not foreign(error):
                self._end_span()
            raise
        self._end_span()

    def _count(self, running: Instrumentation, nanoseconds: int, failure: BaseException | None) -> None:
        """Settle the call and report it to loop detection, unless it did not run or another span counts it."""
        raised = failure if failure is not None else self._handled
        if raised is not None and self._deferred is not None and self._deferred(raised):
            self._settled = True
            return
        if self._in_foreign_span:
            self._failure = failure
        elif not self._settled:
            if not self._create_span:  # the framework made no span after all
                self._create_span = True
                self._span = self._start_span(running, time.time_ns() - nanoseconds)
            self._settle(running, nanoseconds, failure)
        self._report_to_loop_guard(running, failure)

    def note_failure(self, call_id: str, error: BaseException) -> None:
        """Record that the framework turned `error` into a response, if `call_id` is the id of this call."""
        if self._call_id == call_id:
            self.failed = True
            self._handled = error

    def add_inner_view(self, inner: ToolCall) -> None:
        """Keep `inner`, the same call in an inner layer, which has ended: only that layer may know the price."""
        if self._inner_view is None or not self._inner_view.priced:
            self._inner_view = inner

    def _settle(self, running: Instrumentation, nanoseconds: int, failure: BaseException | None) -> None:
        error: str | None = None
        if failure is not None or self.failed:
            error = error_type(failure) if failure is not None else _TOOL_ERROR
            self._span.set_attribute(semconv.ERROR_TYPE, error)
            self._span.set_status(Status(StatusCode.ERROR))
        inner = self._inner_view
        kept = self.kept or (inner.kept if inner is not None else None)
        usd, unpriced = self.cost(running, nanoseconds if kept is None else kept.nanoseconds, failure)
        if kept is not None:
            self._span.set_attributes({semconv.CACHE: semconv.HIT, semconv.CACHE_AGE: kept.age})
            if usd is not None and not self._recorded:
                running.recorder.saved_by_tool_cache(self.name, usd)
            usd = unpriced = None
        self._charge(running, usd, unpriced, error, nanoseconds)
        self._settled = True
        if _captures_content(running, self._span):
            self._capture_content()

    def cost(self, running: Instrumentation, nanoseconds: int, failure: BaseException | None) -> ToolCost:
        """Return the cost of the call, from its own price, that of its inner layer, or that of the settings."""
        price, inner = self._price, self._inner_view
        if price is None and (inner is None or not inner.priced):
            price = running.tool_prices.find(self.name)
        if price is None:  # the inner layer may know the tool by a name without the server's
            return inner.cost(running, nanoseconds, failure) if inner is not None else (None, None)
        failed = failure is not None
        return tool_cost(self.name, price, self._arguments_by_name, self.result, nanoseconds, failed=failed)

    def _charge(
        self,
        running: Instrumentation,
        usd: Decimal | None,
        unpriced: str | None,
        error: str | None,
        nanoseconds: int,
    ) -> None:
        span = self._span
        if usd is not None:
            span.set_attribute(semconv.COST, money.to_float(usd))
        if unpriced is not None:
            span.set_attribute(semconv.UNPRICED, unpriced)
        if self._charge_id is None:
            self._charge_id = new_id()
        running.tool_used(self._span_of_trace, self._outer, usd, self._charge_id)
        if self._recorded:  # telemetry rather misses a call than counts it twice
            return
        tally = rollup.tally_of(span) or self._parent_tally
        account = SpanAccount(self._attribution, self._outer, run_context.current(self._outer), tally, span)
        self._recorded = True
        text = self._arguments_text
        arguments = text.text if text is not None and not text.opaque and not text.cut else None
        running.recorder.charge_tool_call(
            account, self.name, usd, unpriced, error, seconds=nanoseconds / 1e9, arguments=arguments
        )

    def _capture_content(self) -> None:
        if self._arguments_text is not None:
            self._span.set_attribute(semconv.TOOL_ARGUMENTS, self._arguments_text.text)
        if self.result is not NO_RESULT:
            self._span.set_attribute(semconv.TOOL_RESULT, plain(self.result).text)

    def _report_to_loop_guard(self, running: Instrumentation, failure: BaseException | None) -> None:
        loops = running.loops
        if loops is None:
            return
        content: str | None = None
        if isinstance(failure, Exception):
            content = f"{error_type(failure)}: {_message_of(failure)}"[:_RESULT_CHARACTERS]
        elif failure is None and self.result is not NO_RESULT and self.result is not None:
            # An empty or opaque result is no evidence of progress or of its absence.
            result = plain(self.result, _RESULT_CHARACTERS)
            content = None if result.opaque else result.text
        arguments = self._arguments_text
        if content is None or arguments is None or arguments.opaque or arguments.cut:
            return
        failed = failure is not None or self.failed
        used = ToolUse(self._call_id, self.name, arguments.text, content, failed)
        loops.tool_used(self._span_of_trace, used, self._outer, alone=self._alone)

    @property
    def _span_of_trace(self) -> Span:
        """The span of the call; if the framework made none, the span that the call started in."""
        return self._span if self._span is not trace.INVALID_SPAN else trace.get_current_span(self._outer)


def open_call(ctx: Context | None) -> ToolCall | None:
    """Return the innermost tool call that is open in `ctx`. None stands for the current context."""
    reference = cast("weakref.ref[ToolCall] | None", context.get_value(_OPEN_CALL, ctx))
    return reference() if reference is not None else None


def foreign_tool(span: Span) -> str | None:
    """Return the tool whose call `span` of another instrumentation represents.

    Returns:
        None for any other span, and if a span of this package counts the call.
    """
    mark = getattr(span, TOOL_MARK, None)
    return mark.tool if mark is not None and not mark.counted else None


def leave_out(span: Span, tool: str) -> None:
    """Do not count the call of `tool` with which a framework ends a run, if `span` of other code represents it."""
    mark = getattr(span, TOOL_MARK, None)
    if mark is not None and agent_spans.mentions(mark.tool, tool):
        mark.counted = True


def _message_of(error: Exception) -> str:
    try:
        return str(error)
    except Exception as failure:  # `__str__` of the application's exception failed
        reraise_foreign(failure)
        return ""


def is_same_name(outer: str, inner: str) -> bool:
    """Return whether two layers mean the same tool: the outer name may have the MCP server's name as a prefix."""
    outer, inner = _normalized_name(outer), _normalized_name(inner)
    prefix = outer.removesuffix(inner)
    return outer == inner or (prefix != outer and not prefix[-1:].isalnum())


def _normalized_name(tool: str) -> str:
    """Return `getPages` and `get-pages` as `get_pages`, as frameworks do for models that accept no other names."""
    return _WORD_BORDERS.sub("_", tool).lower()


def _captures_content(running: Instrumentation, span: Span) -> bool:
    return running.content and span.is_recording()
