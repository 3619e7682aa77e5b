"""Metrics of model and tool calls, and the functions that create instruments from the table in `signals.py`.

A histogram records each call. A counter is an observable counter: this module keeps the sum, and the SDK reads it at
each collection. Adding to a dict costs a twentieth of a counter's `add`, and this module can limit the number of
attribute sets. An application may generate users or model names without limit. Beyond the limit, a call counts under
the attribute `otel.metric.overflow`, as the OpenTelemetry specification of metrics prescribes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import cached_property
from itertools import compress
from operator import add, not_
from typing import Any, TypeAlias

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation

from otel_agentcost.core import money, semconv
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Tokens
from otel_agentcost.telemetry import signals
from otel_agentcost.telemetry.series import Series, record_all
from otel_agentcost.telemetry.signals import Signal

Attributes = Mapping[str, str]
Names = tuple[str, str, str | None, str | None]
"""Operation, provider, requested model and served model of a call."""
_Callback: TypeAlias = "Callable[[CallbackOptions], Iterable[Observation]]"

_MAX_SETS = 1900  # below the SDK's own limit of 2000 attribute sets for each instrument
_ONE = Decimal(1)
Key = tuple[tuple[str, Any], ...]
_OVERFLOW: Key = (("otel.metric.overflow", True),)
OTHER = "_OTHER"
"""A value beyond the limit of an attribute."""
_TOKEN_TYPES = ("input", "cache_read", "cache_write", "output", "reasoning")


class Sum:
    """An exact running sum for each attribute set, for one observable counter."""

    def __init__(self) -> None:
        self._sums: dict[Key, Decimal] = {}
        self._lock = threading.Lock()

    def add(self, amount: Decimal, attributes: Attributes) -> None:
        """Add `amount` to the sum of this attribute set."""
        self.add_to(tuple(attributes.items()), amount)

    def add_to(self, key: Key, amount: Decimal) -> None:
        """Add `amount` to the sum of an attribute set that is a tuple of pairs."""
        with self._lock:
            if key not in self._sums and len(self._sums) >= _MAX_SETS:
                key = _OVERFLOW
            self._sums[key] = money.add(self._sums.get(key, money.ZERO), amount)

    def observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        """Return one point for each sum. The SDK calls this at each collection."""
        with self._lock:
            sums = list(self._sums.items())
        return [Observation(money.to_float(total), dict(key)) for key, total in sums]


class TokenSums:
    """Running sums of tokens by type: one dict look-up for each call, where a `Sum` needs one for each type."""

    def __init__(self) -> None:
        self._sums: dict[Key, list[int]] = {}
        self._points = 0
        """Number of sums that are not 0. Each of them is one attribute set."""
        self._lock = threading.Lock()

    def add_to(self, key: Key, tokens: Tokens) -> None:
        """Add the tokens of a call, each counted once."""
        read, write, reasoning = tokens.cache_read, tokens.cache_write, tokens.reasoning
        counts = (max(0, tokens.input - read - write), read, write, max(0, tokens.output - reasoning), reasoning)
        with self._lock:
            sums = self._sums.get(key)
            if sums is None:
                if self._points > _MAX_SETS - len(_TOKEN_TYPES):
                    key = _OVERFLOW
                sums = self._sums.setdefault(key, [0, 0, 0, 0, 0])
            if not any(compress(map(not_, sums), counts)):  # no new point, as nearly always: no loop in Python
                sums[:] = map(add, sums, counts)
                return
            for position, count in enumerate(counts):
                if count:
                    if not sums[position] and key is not _OVERFLOW:
                        if self._points >= _MAX_SETS:
                            self._sums.setdefault(_OVERFLOW, [0, 0, 0, 0, 0])[position] += count
                            continue
                        self._points += 1
                    sums[position] += count

    def observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        """Return one point for each type that has tokens. The overflow point has no type, as in the SDK."""
        with self._lock:
            snapshot = [(key, tuple(sums)) for key, sums in self._sums.items()]
        observations: list[Observation] = []
        for key, sums in snapshot:
            if key == _OVERFLOW:
                observations.append(Observation(sum(sums), dict(key)))
                continue
            for kind, count in zip(_TOKEN_TYPES, sums, strict=True):
                if count:
                    observations.append(Observation(count, {**dict(key), semconv.TOKEN_TYPE: kind}))
        return observations


class Bounded:
    """Limits the distinct values of an attribute: the first ones pass, and all later ones become `OTHER`."""

    def __init__(self, limit: int = 200) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        known = self._known
        if value in known:
            return value
        if len(known) >= self._limit or len(value) > 200:
            return OTHER
        known.add(value)
        return value


def create_histogram(meter: Meter, signal: Signal) -> Histogram:
    """Create the histogram of one row of the table of metrics."""
    return meter.create_histogram(
        signal.name,
        unit=signal.unit,
        description=signal.description,
        explicit_bucket_boundaries_advisory=signal.buckets,
    )


def create_observable(meter: Meter, signal: Signal, observe: _Callback) -> None:
    """Create the observable counter or gauge of one row.

    Args:
        meter: The meter that owns the instrument.
        signal: The row of the table of metrics; its kind is `counter` or `gauge`.
        observe: Returns the current points. The SDK calls it at each collection.
    """
    create = meter.create_observable_gauge if signal.kind == "gauge" else meter.create_observable_counter
    create(signal.name, callbacks=[observe], unit=signal.unit, description=signal.description)


def create_counter(meter: Meter, signal: Signal) -> Sum:
    """Create the observable counter of one row. Return the running sum that it reports."""
    total = Sum()
    create_observable(meter, signal, total.observe)
    return total


def whose_of(base: Attributes, who: Attributes) -> Key:
    """Return the attribute set of a sum that is split by attribution.

    The conversation is left out: each conversation would be a time series of its own.

    Args:
        base: Attributes of the call: operation, provider, models.
        who: Attribution of the call, as span attributes.
    """
    if not who:
        return tuple(base.items())
    return (*base.items(), *[item for item in who.items() if item[0] != semconv.CONVERSATION])


class ModelLabels:
    """The metric attributes of model calls, with the histogram series that have them."""

    __slots__ = ("attributes", "cost", "duration", "input", "names", "output", "saved_by_cache", "whose")

    def __init__(
        self, attributes: Attributes, names: Names, tokens: Histogram, duration: Histogram, cost: Histogram
    ) -> None:
        """Create the object.

        Args:
            attributes: Operation, provider and models. They must not change.
            names: The same, without a limit on their number.
            tokens: The histogram of tokens by type.
            duration: The histogram of seconds.
            cost: The histogram of US dollars.
        """
        self.attributes = attributes
        self.whose: Key = tuple(attributes.items())
        """The attribute set of the running sums, for calls without an attribution."""
        self.saved_by_cache: Key = (*self.whose, (semconv.SAVINGS_KIND, "cache"))
        self.names = names
        self.input = Series(tokens, {**attributes, semconv.TOKEN_TYPE: "input"})
        self.output = Series(tokens, {**attributes, semconv.TOKEN_TYPE: "output"})
        self.duration = Series(duration, attributes)
        self.cost = Series(cost, attributes)


class Metrics:
    """The instruments of one meter for model calls, tool calls and traces. Thread-safe."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._tokens = create_histogram(meter, signals.TOKEN_USAGE)
        self._duration = create_histogram(meter, signals.DURATION)
        self._operation_cost = create_histogram(meter, signals.OPERATION_COST)
        self._trace_cost = create_histogram(meter, signals.TRACE_COST)
        self._trace_llm_calls = create_histogram(meter, signals.TRACE_LLM_CALLS)
        self._cost = create_counter(meter, signals.COST)
        self._savings = create_counter(meter, signals.SAVINGS)
        self._saved_by_marks: Sum | None = None
        self._unpriced = create_counter(meter, signals.UNPRICED)
        self._token_sums = TokenSums()
        create_observable(meter, signals.TOKENS, self._token_sums.observe)
        self.bounded_model = Bounded()
        self._bounded_reason = Bounded(50)

    def labelled(self, attributes: Attributes, names: Names) -> ModelLabels:
        """Return `attributes`, those of a model call, with the histogram series that have them.

        Args:
            attributes: Operation, provider and models, as metrics have them.
            names: The same, without a limit on their number.
        """
        return ModelLabels(attributes, names, self._tokens, self._duration, self._operation_cost)

    def call(
        self,
        labels: ModelLabels,
        tokens: Tokens | None,
        cost: Cost,
        seconds: float | None,
        error: str | None,
        ctx: Context,
    ) -> None:
        """Record one model call in the histograms.

        Args:
            labels: Attributes of the call.
            tokens: Its tokens, for the histogram of the conventions. None if they are not known, or if another
                instrumentation records them. No point is recorded for an output of 0.
            cost: Its cost, in US dollars. A cost without a price records nothing.
            seconds: Its duration. None if another instrumentation records it.
            error: The `error.type` with which it ended, or None.
            ctx: Context of the call, for exemplars.
        """
        records: list[tuple[Series, float]] = []
        if tokens is not None:
            records.append((labels.input, tokens.input))
            if tokens.output:
                records.append((labels.output, tokens.output))
        if cost.usd is not None:
            records.append((labels.cost, money.to_float(cost.usd)))
        if seconds is not None and error is None:
            records.append((labels.duration, seconds))
        record_all(records, ctx)
        if seconds is not None and error is not None:
            self._duration.record(seconds, {**labels.attributes, semconv.ERROR_TYPE: error}, ctx)

    def used(self, tokens: Tokens, whose: Key) -> None:
        """Add the tokens of one model call to the running sums by type; `whose` is from `whose_of`."""
        self._token_sums.add_to(whose, tokens)

    def cost(self, cost: Cost, labels: ModelLabels, whose: Key, error: str | None) -> None:
        """Add the cost of one model call to the running sums. A cost without a price adds nothing.

        Args:
            cost: The cost, in US dollars, with the savings of the provider's prompt cache.
            labels: Attributes of the call.
            whose: Attribute set of the running sum, from `whose_of`.
            error: The `error.type` with which the call ended, or None.
        """
        if cost.usd is None:
            return
        self._spend(cost.usd, whose, error)
        if cost.cache_savings_usd > 0:
            self._savings.add_to(labels.saved_by_cache, cost.cache_savings_usd)

    def spent(self, usd: Decimal, base: Attributes, who: Attributes, error: str | None = None) -> None:
        """Add the cost of one tool call, in US dollars; `error` is the `error.type` of a failed call."""
        self._spend(usd, whose_of(base, who), error)

    def _spend(self, usd: Decimal, whose: Key, error: str | None) -> None:
        self._cost.add_to(whose if error is None else (*whose, (semconv.ERROR_TYPE, error)), usd)

    def saved(self, usd: Decimal, base: Attributes, kind: str = "downgrade") -> None:
        """Add US dollars that a cheaper model saved, or what `kind` names. Amounts of 0 or less are ignored."""
        if usd > 0:
            self._savings.add(usd, {**base, semconv.SAVINGS_KIND: kind})

    def saved_by_marks(self, usd: Decimal, base: Attributes) -> None:
        """Add US dollars that marks for the provider's prompt cache saved. Amounts of 0 or less are ignored."""
        if self._saved_by_marks is None:  # off unless it is set
            self._saved_by_marks = create_counter(self._meter, signals.PROMPT_CACHE_SAVED)
        if usd > 0:
            self._saved_by_marks.add(usd, base)

    def unpriced(self, reason: str, base: Attributes) -> None:
        """Count one call whose cost is unknown or only partly known."""
        self._unpriced.add(_ONE, {**base, semconv.REASON: self._bounded_reason(reason)})

    def dropped(self, rows: int) -> None:
        """Count rows of the spend store that are lost. The instrument is made when the first one is."""
        self._dropped.add(Decimal(rows), {})

    @cached_property
    def _dropped(self) -> Sum:
        return create_counter(self._meter, signals.RECORD_DROPPED)

    def trace_ended(self, usd: Decimal | None, llm_calls: int, ctx: Context) -> None:
        """Record the totals of a trace whose local root span has ended.

        Args:
            usd: Cost in US dollars, or None if no call of the trace has a price.
            llm_calls: Number of model calls.
            ctx: Context of the root span, for exemplars.
        """
        trace_cost, trace_llm_calls = self._of_traces
        calls: tuple[Series, float] = (trace_llm_calls, llm_calls)
        record_all(((trace_cost, money.to_float(usd)), calls) if usd is not None else (calls,), ctx)

    @cached_property
    def _of_traces(self) -> tuple[Series, Series]:
        """The series of traces. They are made when the first trace ends, because that takes longer than a start may."""
        return Series(self._trace_cost, {}), Series(self._trace_llm_calls, {})
