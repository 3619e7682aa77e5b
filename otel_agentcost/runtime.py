"""The composition root: creates and removes the objects and patches of one `instrument()`.

An invalid setting turns off what it concerns, not the application: one sentence is logged. Nothing here raises, but
with the setting `strict` an invalid setting ends the program.
"""

from __future__ import annotations

import atexit
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, NamedTuple, cast

from opentelemetry import metrics, trace

from otel_agentcost import diagnostics
from otel_agentcost._version import __version__
from otel_agentcost.calls import active
from otel_agentcost.calls.active import Instrumentation
from otel_agentcost.calls.admission import Gate, Gates
from otel_agentcost.calls.answer_cache import AnswerCache
from otel_agentcost.calls.batch_settlement import Books
from otel_agentcost.calls.batches import Batches
from otel_agentcost.calls.changes import Changes, RequestChange
from otel_agentcost.calls.circuit import Breaking
from otel_agentcost.calls.loop_guard import LoopGuard
from otel_agentcost.calls.named_rules import PricedTools
from otel_agentcost.calls.passage import Passages
from otel_agentcost.calls.pipeline import ContentCapture, Pipeline
from otel_agentcost.calls.prompt_caches import PromptCaches
from otel_agentcost.calls.scopes import new_id, process_name
from otel_agentcost.calls.tool_results import ToolCache
from otel_agentcost.calls.work import Work
from otel_agentcost.core.loops import Thresholds
from otel_agentcost.core.tool_cache import ToolCacheRules
from otel_agentcost.core.tool_prices import ToolPrices
from otel_agentcost.core.tool_results import ToolResults
from otel_agentcost.diagnostics import alarm, logger, report
from otel_agentcost.errors import AgentCostError
from otel_agentcost.guard import Breakers
from otel_agentcost.guard.ledger import Ledger
from otel_agentcost.guard.opening import open_guard, opened
from otel_agentcost.integrations import agents, child_processes, http, refusals, sdks, sockets, threads, tools, work
from otel_agentcost.integrations.agents._base import patches_of as agent_patches
from otel_agentcost.integrations.patching import Patch
from otel_agentcost.integrations.sdks._base import patches_of as sdk_patches
from otel_agentcost.integrations.spans.model_calls import ModelCallSpans
from otel_agentcost.integrations.spans.processor import AgentCostProcessor, SpanObservers
from otel_agentcost.integrations.spans.tool_calls import ToolCallSpans
from otel_agentcost.integrations.tools._base import patches_of as tool_patches
from otel_agentcost.pricebook import PriceBook, open_book
from otel_agentcost.savings.prompt_cache.health import PromptCacheHealth
from otel_agentcost.settings import NO_BUDGET, ROWS, Settings, from_environment, on_spans
from otel_agentcost.settings.on_context import NATIVE, OnContext
from otel_agentcost.settings.webhook import WebhookUrl
from otel_agentcost.store.opening import open_writer
from otel_agentcost.telemetry.breaker_events import BreakerReports
from otel_agentcost.telemetry.budget_events import BudgetReports
from otel_agentcost.telemetry.loop_events import LoopReports
from otel_agentcost.telemetry.metrics import Metrics
from otel_agentcost.telemetry.per_provider import PerProvider
from otel_agentcost.telemetry.prompt_cache_events import reports_of
from otel_agentcost.telemetry.receiver import Notify
from otel_agentcost.telemetry.recorder import Recorder
from otel_agentcost.telemetry.spans import Spans

SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"


class Clock(NamedTuple):
    """The clocks of one `instrument()`. Tests advance their own instead of waiting."""

    wall: Callable[[], float] = time.time
    """Returns seconds since the epoch."""
    monotonic: Callable[[], float] = time.monotonic
    """Returns seconds that only grow."""


_SYSTEM_CLOCK = Clock()


@dataclass(frozen=True, slots=True)
class Runtime:
    """The objects and patches of one `instrument()`."""

    settings: Settings
    instrumentation: Instrumentation
    pipeline: Pipeline
    processor: AgentCostProcessor
    patches: tuple[Patch, ...]
    notify: Notify | None

    def close(self) -> None:
        """Close the webhook, the spend store and the ledger. A call that settles later opens them again."""
        if self.notify is not None:
            self.notify.close()
        self.pipeline.close()
        self.instrumentation.recorder.close()
        self.instrumentation.tool_cache.close()
        try:
            if (gate := self.instrumentation.gates.gate) is not None:
                gate.guard.ledger.close()
        except Exception as error:
            report("closing the ledger", error)


_running: list[Runtime] = []
_lock = threading.Lock()


def running() -> bool:
    """Return True between `start` and `stop`, if `start` succeeded."""
    return bool(_running)


def settings_in_use() -> Settings | None:
    """Return the settings that `start` was given, or has read; None if nothing is instrumented."""
    return _running[0].settings if _running else None


def start(
    *,
    tracer_provider: Any = None,
    meter_provider: Any = None,
    logger_provider: Any = None,
    settings: Settings | None = None,
    clock: Clock = _SYSTEM_CLOCK,
) -> None:
    """Instrument the process. Does nothing if it is instrumented already. Errors are logged.

    Args:
        tracer_provider: The tracer provider. Default: the global one.
        meter_provider: The meter provider. Default: the global one.
        logger_provider: The logger provider, for message content. Default: the global one.
        settings: The settings. Default: those of the environment.
        clock: The clocks of budgets, circuit breakers and prices.

    Raises:
        SystemExit: A setting cannot be understood, and the setting `strict` is set.
    """
    with _lock:
        if _running:
            _warn_of_ignored_settings(settings, _running[0].settings)
            return
        try:
            settings = settings if settings is not None else from_environment()
            for notice in settings.notices:
                log = alarm if re.search("BUDGET IS ENFORCED|NO SUCH", notice) else logger.warning
                log(f"otel-agentcost: {notice}")
            if settings.enabled:
                _running.append(_start(settings, tracer_provider, meter_provider, logger_provider, clock))
        except AgentCostError as error:  # the sentence suffices: no traceback
            alarm(f"otel-agentcost: {error}{_no_budget_notice(settings)}")
            if settings is None or settings.strict:
                raise SystemExit(1) from error
        except Exception as error:
            report("starting", error)
            if _no_budget_notice(settings):
                alarm(f"otel-agentcost: starting failed.{_no_budget_notice(settings)}")


def _warn_of_ignored_settings(settings: Settings | None, active: Settings) -> None:
    """Log the settings that are ignored because the process is instrumented already, as under the launcher."""
    if settings is None:
        return
    default = Settings()
    ignored = [
        row
        for row in ROWS
        if all(getattr(settings, row.field) != getattr(other, row.field) for other in (active, default))
    ]
    if not ignored:
        return
    sentence = (
        "otel-agentcost: settings of instrument(settings=...) are ignored, because an earlier call or "
        f"opentelemetry-instrument has already started otel-agentcost: {', '.join(row.field for row in ignored)}. Set "
        f"{', '.join(row.variable for row in ignored)} in the environment, or call uninstrument() first."
    )
    if any(row.budget for row in ignored):
        alarm(f"{sentence} NO SUCH BUDGET IS ENFORCED.")
    else:
        logger.warning("%s", sentence)


def _no_budget_notice(settings: Settings | None) -> str:
    """Return the sentence that no budget is enforced, if budgets were configured and starting failed."""
    configured = settings is not None and (settings.rules or settings.breakers)
    return f" {NO_BUDGET}" if configured else ""


def stop() -> None:
    """Undo `start`. Calls in flight are still settled."""
    with _lock:
        while _running:
            runtime = _running.pop()
            active.deactivate(runtime.instrumentation)
            child_processes.stop()
            runtime.pipeline.active = False
            runtime.processor.observers = None
            for patch in runtime.patches:
                patch.remove()
            runtime.close()


def _start(
    settings: Settings, tracer_provider: Any, meter_provider: Any, logger_provider: Any, clock: Clock
) -> Runtime:
    diagnostics.forget_causes()
    book = _open_book(settings)  # first, because it may fail, and a failed start must leave nothing behind
    _warn_of_futile_rules(settings, book)
    tracer = trace.get_tracer("otel_agentcost", __version__, tracer_provider, SCHEMA_URL)
    telemetry = _Telemetry(meter_provider, settings, book, clock)
    provider = tracer_provider or trace.get_tracer_provider()
    processor = _PROCESSORS.get(provider, AgentCostProcessor)
    recorder = Recorder(telemetry.metrics, telemetry.store)
    ledger = opened(settings.ledger, settings.ledger_timeout, strict=settings.strict)  # connects when it is asked
    units = Work((unit.source for unit in work.discover() if unit.source is not None), clock.wall)
    gates = Gates(lambda: _open_gate(settings, ledger, book, telemetry, units, clock))
    loops = _loop_guard(settings, telemetry, units)
    instrumentation = Instrumentation(
        tracer=tracer,
        recorder=recorder,
        book=book,
        gates=gates,
        loops=loops,
        tool_prices=PricedTools(cast("ToolPrices", settings.tool_prices)),
        tool_cache=_tool_cache(settings, clock),
        attribution=settings.attribution,
        content=on_spans(settings.capture_content),
    )
    spans = Spans(tracer, settings.attribution, _adder(provider, processor))
    content, passages = _content(settings, logger_provider), Passages(book, settings.upstream)
    batches = _batches(settings, ledger, gates, book, spans, recorder, clock)
    parts = (book, spans, recorder, gates, loops, content, passages, batches, telemetry.caches)
    changes, cache = _changes(settings, book, recorder, clock), _answer_cache(settings, clock)
    pipeline = Pipeline(*parts, changes=changes, cache=cache, clock=clock.wall)
    patches = _patches(settings, pipeline)
    if settings.rules or settings.breakers or ledger.shared:
        gates.open()  # also without rules for a shared ledger: requests may carry runs of other services
    processor.observers = SpanObservers(
        metrics=telemetry.metrics,
        model_calls=ModelCallSpans(book, recorder, gates, settings.attribution, clock=clock.wall),
        tool_calls=ToolCallSpans(instrumentation),
        gates=gates,
        loops=loops,
        clock=clock.wall,
        timed=any("seconds" in rule.limits for rule in settings.rules),
    )
    active.activate(instrumentation)
    for patch in patches:
        patch.install()
    _close_at_exit()
    child_processes.flush_at_end(partial(_to_flush, telemetry, tracer_provider, meter_provider, logger_provider))
    return Runtime(settings, instrumentation, pipeline, processor, patches, telemetry.notify)


def _tool_cache(settings: Settings, clock: Clock) -> ToolCache:
    def make() -> ToolResults | None:
        from otel_agentcost.savings.tools.results import opened  # noqa: PLC0415 (off unless it is set)

        key = getattr(settings.cache_key, "written", None)
        return opened(settings.cache_store, key, clock.wall, process_name, settings.cache_version)

    return ToolCache(cast("ToolCacheRules", settings.tool_cache), settings.tool_cache_servers, make)


def _batches(
    settings: Settings, ledger: Ledger, gates: Gates, book: PriceBook, spans: Spans, recorder: Recorder, clock: Clock
) -> Batches:
    reserves = settings.reserve_batches and bool(settings.rules)
    return Batches(
        Books(
            ledger=ledger, gates=gates, book=book, spans=spans, recorder=recorder, clock=clock.wall, reserves=reserves
        )
    )


def _answer_cache(settings: Settings, clock: Clock) -> AnswerCache | None:
    if "exact" not in settings.cache:
        return None
    from otel_agentcost.savings.responses.opening import open_cache  # noqa: PLC0415 (off unless it is set)

    return open_cache(settings, process_name, clock.wall)


def _changes(settings: Settings, book: PriceBook, recorder: Recorder, clock: Clock) -> Changes | None:
    """Return what changes requests. Each part is imported only if a setting, or the application, asks for it."""
    first: list[RequestChange] = []
    last: RequestChange | None = None
    if (history := _history_change(settings, book)) is not None:
        first.append(history)
    if settings.prompt_cache == "auto":
        from otel_agentcost.savings.prompt_cache.markers import PromptCacheMarkers  # noqa: PLC0415 (off)

        watch = PromptCacheHealth(clock.wall, every=True)
        first.append(PromptCacheMarkers(watch, book, recorder.saved_by_markers))
    if settings.bill_labels:
        from otel_agentcost.calls.bill_labels import BillLabelling  # noqa: PLC0415 (off unless it is set)

        last = BillLabelling(settings.bill_labels)
    return Changes(tuple(first), last) if first or last is not None else None


def _history_change(settings: Settings, book: PriceBook) -> RequestChange | None:
    """Return the change for long histories: the hook of the application, or else that of the setting."""
    named = settings.on_context
    if not _context_hooks and not isinstance(named, OnContext):
        return None
    from otel_agentcost.savings.context.change import HistoryHook, NamedHook  # noqa: PLC0415 (off)
    from otel_agentcost.savings.context.native import NativeManagement  # noqa: PLC0415 (off)

    if _context_hooks or not isinstance(named, OnContext):
        (hook,) = _context_hooks
        return HistoryHook(lambda: hook, book)
    if named.target == NATIVE:
        least = dict(named.options).get("least")
        return NativeManagement(None if least is None else int(least))
    return HistoryHook(NamedHook(named.target, dict(named.options)), book)


_context_hooks: list[Any] = []
"""The hook for long histories that the application has given: at most one."""


def set_context_hook(function: Callable[..., Any] | None, **options: Any) -> None:
    """Ask this function about long histories from now on; None: no longer."""
    from otel_agentcost.savings.context.hook import Hook  # noqa: PLC0415 (off unless it is used)

    with _lock:
        _context_hooks[:] = [] if function is None else [Hook(function, **options)]
        for each in _running:
            _change_histories(each)


def _change_histories(runtime: Runtime) -> None:
    """Let a pipeline ask the hook that there is now. Its other changes stay as they are."""
    from otel_agentcost.savings.context.change import HistoryHook  # noqa: PLC0415 (off)
    from otel_agentcost.savings.context.native import NativeManagement  # noqa: PLC0415 (off)

    before, change = runtime.pipeline.changes, _history_change(runtime.settings, runtime.instrumentation.book)
    others = [each for each in before.first if not isinstance(each, (HistoryHook, NativeManagement))] if before else []
    first = [change, *others] if change is not None else others
    last = before.last if before is not None else None
    runtime.pipeline.changes = Changes(tuple(first), last) if first or last is not None else None


def _patches(settings: Settings, pipeline: Pipeline) -> tuple[Patch, ...]:
    patches = tuple(patch for sdk in sdks.discover() for patch in sdk_patches(sdk, pipeline))
    patches += tuple(patch for framework in tools.discover() for patch in tool_patches(framework))
    patches += tuple(patch for framework in agents.discover() for patch in agent_patches(framework))
    patches += (*threads.patches(), *child_processes.patches(), *refusals.patches(), *work.patches())
    places = sockets.Places(pipeline, settings.hosts)
    patches += tuple(patch for client in sockets.discover() for patch in sockets.patches_of(client, places))
    if settings.cache:
        from otel_agentcost.integrations import replays  # noqa: PLC0415 (off unless it is set)

        patches += tuple(replays.patches())
    if settings.http == "on":
        net = http.Net(pipeline, http.Addresses(settings.hosts))
        patches += tuple(patch for client in http.discover() for patch in http.patches_of(client, net))
    return patches


def _open_book(settings: Settings) -> PriceBook:
    """Return the price book with the readable rows of the user's price file; without them, if it cannot be read."""
    try:
        book = open_book(settings.prices, settings.private_addresses)
    except AgentCostError as error:
        if settings.strict:
            raise
        alarm(f"otel-agentcost: {error}")
        doubt = "list prices alone: the price file of OTEL_AGENTCOST_PRICES cannot be used"
        return open_book(private=settings.private_addresses, doubt=doubt)
    for problem in book.problems:
        if settings.strict:
            raise problem
        alarm(f"otel-agentcost: {problem}")
    return book


def _warn_of_futile_rules(settings: Settings, book: PriceBook) -> None:
    if not (settings.rules or settings.breakers or settings.downgrade or settings.prices or settings.hosts):
        return
    from otel_agentcost.guard.futile_rules import futile_rules  # noqa: PLC0415 (imports what suggestions need)

    try:
        for sentence in futile_rules(settings, book):
            logger.warning("otel-agentcost: %s", sentence)
    except Exception as error:
        report("checking the rules", error)


def _in_use(tracer_provider: Any, meter_provider: Any, logger_provider: Any) -> tuple[Any, ...]:
    """Return the given providers, each replaced by the global one if it is None."""
    from opentelemetry import _logs  # noqa: PLC0415 (imported only if content is captured, or a child ends)

    return (
        tracer_provider or trace.get_tracer_provider(),
        meter_provider or metrics.get_meter_provider(),
        logger_provider or _logs.get_logger_provider(),
    )


def _to_flush(telemetry: _Telemetry, *providers: Any) -> tuple[Any, ...]:
    """Return what a child process flushes at its end: the providers, the spend store and the webhook."""
    return (*_in_use(*providers), telemetry.store, telemetry.notify)


@cache
def _close_at_exit() -> None:
    """Close ledgers when the process exits, after open streams are settled: that hook is registered later."""

    def close() -> None:
        for runtime in _running:
            runtime.close()

    atexit.register(close)


_PROCESSORS: PerProvider[AgentCostProcessor] = PerProvider()
_METRICS: PerProvider[Metrics] = PerProvider()
_LOOP_REPORTS: PerProvider[LoopReports] = PerProvider()
_BREAKER_REPORTS: PerProvider[BreakerReports] = PerProvider()
_BUDGET_REPORTS: PerProvider[BudgetReports] = PerProvider()


class _Telemetry:
    """The instruments of one meter provider, each created when it is first needed; the spend store and the webhook."""

    def __init__(self, meter_provider: Any, settings: Settings, book: PriceBook, clock: Clock) -> None:
        self._provider = meter_provider or metrics.get_meter_provider()
        self._meter = metrics.get_meter("otel_agentcost", __version__, meter_provider, SCHEMA_URL)
        self.metrics = _METRICS.get(self._provider, lambda: Metrics(self._meter))
        days, dropped = settings.record_days, self.metrics.dropped
        self.store = open_writer(settings.record, book.source, dropped, days=days, clock=clock.wall)
        self.notify = _webhook(settings)
        self.caches = self._prompt_caches(settings, book, clock)

    def budgets(self, settings: Settings) -> BudgetReports:
        reports = _BUDGET_REPORTS.get(self._provider, lambda: BudgetReports(self._meter))
        reports.zone = settings.time_zone
        reports.receiver, reports.notify = self.store, self.notify
        return reports

    def breakers(self) -> BreakerReports:
        reports = _BREAKER_REPORTS.get(self._provider, lambda: BreakerReports(self._meter))
        reports.notify = self.notify
        return reports

    def loops(self) -> LoopReports:
        reports = _LOOP_REPORTS.get(self._provider, lambda: LoopReports(self._meter))
        reports.receiver, reports.notify = self.store, self.notify
        return reports

    def _prompt_caches(self, settings: Settings, book: PriceBook, clock: Clock) -> PromptCaches | None:
        if settings.prompt_cache_health == "off":
            return None
        return PromptCaches(PromptCacheHealth(clock.wall), book, reports_of(self._provider, self._meter, self.store))


def _webhook(settings: Settings) -> Notify | None:
    address = settings.webhook
    if not isinstance(address, WebhookUrl):
        return None
    from otel_agentcost.telemetry.webhook import Webhook  # noqa: PLC0415 (off unless it is set)

    return Webhook(address.url, address.host, slack=address.slack)


def _open_gate(
    settings: Settings, ledger: Ledger, book: PriceBook, telemetry: _Telemetry, units: Work, clock: Clock
) -> Gate:
    guard = open_guard(settings, ledger, monotonic=clock.monotonic, clock=clock.wall)
    circuit: Breaking | None = None
    if settings.breakers:
        breakers = Breakers(settings.breakers, guard.ledger, new_id, clock.monotonic)
        circuit = Breaking(guard, breakers, telemetry.breakers(), clock=clock.wall)
    reports = telemetry.budgets(settings)
    return Gate(guard, book, reports, settings.attribution, settings.breakers, circuit, work=units, clock=clock.wall)


def _loop_guard(settings: Settings, telemetry: _Telemetry, units: Work) -> LoopGuard | None:
    if not settings.loop_max_repeats:
        return None
    # `to_thresholds` has converted each value to the type of its field, which mypy cannot know
    thresholds = replace(Thresholds(repeats=settings.loop_max_repeats), **settings.loop_thresholds)  # type: ignore[arg-type]
    content = on_spans(settings.capture_content)
    return LoopGuard(thresholds, settings.loop_rules, settings.loop_action, telemetry.loops(), units, content=content)


def _content(settings: Settings, logger_provider: Any) -> ContentCapture | None:
    if settings.capture_content == "NO_CONTENT":
        return None
    from opentelemetry import _logs  # noqa: PLC0415 (both are imported only if content is captured)

    from otel_agentcost.calls.content import Capture  # noqa: PLC0415

    logger = _logs.get_logger("otel_agentcost", __version__, logger_provider, SCHEMA_URL)
    return Capture(settings.capture_content, logger)


def _adder(provider: Any, processor: AgentCostProcessor) -> Callable[[], None]:
    """Add the processor to the tracer provider, now or as soon as there is one.

    An application may set its provider later; until then the API has a proxy that takes no processors. The returned
    function tries again: call it for a recorded span that the processor has not seen start.
    """

    def try_to_add(candidate: Any = None) -> None:
        candidate = candidate or trace.get_tracer_provider()
        add = getattr(candidate, "add_span_processor", None)
        if add is not None and not processor.added:
            processor.added = True
            add(processor)

    try_to_add(provider)
    return try_to_add
