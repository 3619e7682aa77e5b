"""What one `instrument()` puts in force, and `uninstrument()` takes back: prices, telemetry, patches.

A setting that cannot be understood stops us, not the application: it is logged in one sentence and the application
runs on uninstrumented. Nothing here raises.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, Tracer

from otel_agentcost import diagnostics
from otel_agentcost._version import __version__
from otel_agentcost.calls import active
from otel_agentcost.calls.admission import Gate
from otel_agentcost.calls.circuit import Breaking
from otel_agentcost.calls.loop_guard import Watch
from otel_agentcost.calls.pipeline import Line
from otel_agentcost.calls.scopes import new_id
from otel_agentcost.core.budgets import Scope
from otel_agentcost.core.loops import Thresholds
from otel_agentcost.core.tool_prices import ToolPrices
from otel_agentcost.diagnostics import alarm, logger, report
from otel_agentcost.errors import AgentCostError
from otel_agentcost.guard import Breakers, Guard
from otel_agentcost.guard.ledger.opening import open_guard
from otel_agentcost.integrations import sdks, tools
from otel_agentcost.integrations.patching import Patch, Wrapper
from otel_agentcost.integrations.sdks._base import Patchable
from otel_agentcost.integrations.spans.model_calls import Foreign
from otel_agentcost.integrations.spans.processor import AgentCostProcessor
from otel_agentcost.integrations.spans.tool_calls import ForeignTools
from otel_agentcost.integrations.tools._base import patches_of
from otel_agentcost.pricebook import open_book
from otel_agentcost.settings.parsers import on_spans
from otel_agentcost.settings.table import NO_BUDGET, ROWS, Settings
from otel_agentcost.telemetry.breaker_events import BreakerReports
from otel_agentcost.telemetry.budget_events import BudgetReports
from otel_agentcost.telemetry.loop_events import LoopReports
from otel_agentcost.telemetry.metrics import Metrics
from otel_agentcost.telemetry.spans import Spans

if TYPE_CHECKING:
    from otel_agentcost.calls.content import Capture

SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Everything that one `instrument()` put in force."""

    settings: Settings
    attribution: Mapping[str, str]
    """For whom and for what calls are made where the code does not say."""
    tracer: Tracer
    metrics: Metrics
    line: Line
    processor: AgentCostProcessor
    patches: tuple[Patch, ...]
    reports: Callable[[], BudgetReports]
    breaking: Callable[[Guard], Breaking | None]

    def gate(self) -> Gate:
        """Where calls are admitted. Opened at start-up where there are budgets, else by the first run that has one."""
        with _opening:
            gate = self.line.gate
            if gate is None:
                guard = open_guard(self.settings)
                gate = self.line.gate = Gate(
                    guard, self.line.book, self.reports(), self.attribution, self.settings.breakers
                )
                gate.breaking = self.breaking(guard)
                if self.line.watch is not None and gate.breaking is not None:
                    self.line.watch.looping = gate.breaking.looping
                if any("seconds" in rule.limits for rule in self.settings.rules):
                    self.processor.began = lambda scope, value: guard.begin(scope, value, time.time())
            return gate

    @property
    def prices_of_tools(self) -> ToolPrices:
        """What tools cost by their names."""
        return cast("ToolPrices", self.settings.tool_prices)

    def ended(self, scope: Scope, value: str) -> None:
        """A trace has ended: nothing of it need be kept."""
        if self.line.gate is not None:
            self.line.gate.guard.ended(scope, value)
        if self.line.watch is not None:
            self.line.watch.ended(value)

    def close(self) -> None:
        """Lets go of the ledger; calls that settle later open it again."""
        try:
            if self.line.gate is not None:
                self.line.gate.guard.keeper.close()
        except Exception as error:
            report("closing the ledger", error)

    def tool_used(self, span: Span, ctx: Context, usd: Decimal | None) -> None:
        """A tool was called: it counts in budgets, and what it cost in what a loop has."""
        if self.line.gate is not None:
            self.line.gate.tool_used(span, ctx, usd)
        if self.line.watch is not None and usd:
            alone = not trace.get_current_span(ctx).get_span_context().is_valid
            self.line.watch.spent(span, usd, alone=alone)


_running: list[Runtime] = []
_lock = threading.Lock()
_opening = threading.Lock()


def running() -> bool:
    """Whether `start` put something in force that `stop` has not taken back."""
    return bool(_running)


def start(
    *,
    tracer_provider: Any = None,
    meter_provider: Any = None,
    logger_provider: Any = None,
    settings: Settings | None = None,
) -> None:
    """Puts everything in force. Harmless where that has been done already, and it never raises."""
    with _lock:
        if _running:
            _tell_vain(settings, _running[0].settings)
            return
        try:
            settings = settings if settings is not None else Settings.load()
            for notice in settings.notices:
                tell = alarm if "BUDGET IS ENFORCED" in notice else logger.warning
                tell(f"otel-agentcost: {notice}")
            if settings.enabled:
                _running.append(_start(settings, tracer_provider, meter_provider, logger_provider))
        except AgentCostError as error:  # for people: a traceback would not help them
            alarm(f"otel-agentcost: {error}{_unheld(settings)}")
        except Exception as error:
            report("starting", error)
            if _unheld(settings):
                alarm(f"otel-agentcost: starting failed.{_unheld(settings)}")


def _tell_vain(given: Settings | None, running: Settings) -> None:
    """Settings that come when others are in force change nothing: under the launcher, those of code always do."""
    if given is None:
        return
    unset = Settings()
    vain = [row for row in ROWS if all(getattr(given, row.field) != getattr(of, row.field) for of in (running, unset))]
    if not vain:
        return
    sentence = (
        "otel-agentcost: settings of instrument(settings=...) are ignored, because an earlier call or "
        f"opentelemetry-instrument has already started otel-agentcost: {', '.join(row.field for row in vain)}. Set "
        f"{', '.join(row.variable for row in vain)} in the environment, or call uninstrument() first."
    )
    if any(row.budget for row in vain):
        alarm(f"{sentence} NO SUCH BUDGET IS ENFORCED.")
    else:
        logger.warning("%s", sentence)


def _unheld(settings: Settings | None) -> str:
    """What must be said loudly where nothing could be started; unclear settings have said it themselves."""
    meant = settings is not None and (settings.rules or settings.breakers)
    return f" {NO_BUDGET}" if meant else ""


def stop() -> None:
    """Takes everything back; calls under way are still settled."""
    with _lock:
        while _running:
            runtime = _running.pop()
            active.deactivate(runtime)
            runtime.line.active = False
            runtime.processor.active = False
            for patch in runtime.patches:
                patch.remove()
            runtime.close()


def _start(settings: Settings, tracer_provider: Any, meter_provider: Any, logger_provider: Any) -> Runtime:
    diagnostics.forget_causes()
    book = open_book(settings.prices)  # first of all: what cannot start must leave nothing behind
    attribution = settings.attribution
    tracer = trace.get_tracer("otel_agentcost", __version__, tracer_provider, SCHEMA_URL)
    meter = metrics.get_meter("otel_agentcost", __version__, meter_provider, SCHEMA_URL)
    figures = _once_for(meter_provider or metrics.get_meter_provider(), _METRICS, lambda: Metrics(meter))
    provider = tracer_provider or trace.get_tracer_provider()
    processor = _once_for(provider, _PROCESSORS, lambda: AgentCostProcessor(figures))
    processor.begin(figures)
    spans = Spans(tracer, attribution, _watcher(provider, processor))
    line = Line(book, spans, figures, _capture(settings, logger_provider))
    line.watch = _watch(settings, meter, meter_provider)
    processor.foreign = Foreign(line, attribution)
    patches = tuple(_patch(patchable, line) for sdk in sdks.discover() for patchable in sdk.patches)
    patches += tuple(patch for framework in tools.discover() for patch in patches_of(framework))
    runtime = Runtime(
        settings=settings,
        attribution=attribution,
        tracer=tracer,
        metrics=figures,
        line=line,
        processor=processor,
        patches=patches,
        reports=lambda: _reports(meter, meter_provider, settings),
        breaking=lambda guard: _breaking(guard, meter, meter_provider, settings),
    )
    if (
        settings.rules or settings.breakers or not settings.ledger.startswith("memory:")
    ):  # runs of other services come with their requests
        runtime.gate()
    processor.tools = ForeignTools(runtime)
    processor.ended = runtime.ended
    active.activate(runtime)
    for patch in patches:
        patch.install()
    _close_at_exit()
    return runtime


@cache
def _close_at_exit() -> None:
    """Has ledgers closed when the process exits: after open streams are settled, whose hook is registered later."""

    def close() -> None:
        for runtime in _running:
            runtime.close()

    atexit.register(close)


# A provider can neither let go of an instrument nor of a processor: whoever instruments, uninstruments and instruments
# again with the same provider gets the same ones.
# Told apart by identity: Logfire's providers cannot be hashed.
_METRICS: dict[int, tuple[weakref.ref[Any], Metrics]] = {}
_PROCESSORS: dict[int, tuple[weakref.ref[Any], AgentCostProcessor]] = {}

_LOOPS: dict[int, tuple[weakref.ref[Any], LoopReports]] = {}
_BREAKERS: dict[int, tuple[weakref.ref[Any], BreakerReports]] = {}
_REPORTS: dict[int, tuple[weakref.ref[Any], BudgetReports]] = {}

_T = TypeVar("_T")


def _reports(meter: Meter, meter_provider: Any, settings: Settings) -> BudgetReports:
    found = _once_for(meter_provider or metrics.get_meter_provider(), _REPORTS, lambda: BudgetReports(meter))
    found.zone = settings.time_zone
    return found


def _breaking(guard: Guard, meter: Meter, meter_provider: Any, settings: Settings) -> Breaking | None:
    if not settings.breakers:
        return None
    provider = meter_provider or metrics.get_meter_provider()
    reports = _once_for(provider, _BREAKERS, lambda: BreakerReports(meter))
    return Breaking(guard, Breakers(settings.breakers, guard.keeper, new_id, time.monotonic), reports)


def _once_for(provider: Any, known: dict[int, tuple[weakref.ref[Any], _T]], make: Callable[[], _T]) -> _T:
    reference, found = known.get(id(provider), (None, None))
    if found is None or reference is None or reference() is not provider:
        found = make()
        known[id(provider)] = weakref.ref(provider), found
    return found


def _watch(settings: Settings, meter: Meter, meter_provider: Any) -> Watch | None:
    if not settings.loop_max_repeats:
        return None
    provider = meter_provider or metrics.get_meter_provider()
    reports = _once_for(provider, _LOOPS, lambda: LoopReports(meter))
    content = on_spans(settings.capture_content)
    # whole numbers and shares, as each field wants it: `to_thresholds` has seen to that, which mypy cannot know
    thresholds = replace(Thresholds(repeats=settings.loop_max_repeats), **settings.loop_thresholds)  # type: ignore[arg-type]
    return Watch(thresholds, settings.loop_rules, settings.loop_action, reports, content=content)


def _capture(settings: Settings, logger_provider: Any) -> Capture | None:
    if settings.capture_content == "NO_CONTENT":
        return None
    from opentelemetry import _logs  # noqa: PLC0415 (both are imported for nobody who does not ask for content)

    from otel_agentcost.calls.content import Capture  # noqa: PLC0415

    logger = _logs.get_logger("otel_agentcost", __version__, logger_provider, SCHEMA_URL)
    return Capture(settings.capture_content, logger)


def _watcher(provider: Any, processor: AgentCostProcessor) -> Callable[[], None]:
    """Adds the processor to the tracer provider, now or as soon as there is one.

    An application may set its provider after us; until then the API has a stand-in that takes no processors. The
    function that comes back looks again, and is called for a recorded span that the processor has not seen start.
    """

    def look(found: Any = None) -> None:
        found = found or trace.get_tracer_provider()
        add = getattr(found, "add_span_processor", None)
        if add is not None and not processor.added:
            processor.added = True
            add(processor)

    look(provider)
    return look


def _patch(patchable: Patchable, line: Line) -> Patch:
    take = getattr(line, patchable.kind)

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return take(patchable.seam, wrapped, instance, args, kwargs)

    typed: Wrapper = wrapper
    return Patch(patchable.target, typed)
