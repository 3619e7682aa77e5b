"""The metrics of model and tool calls, with the conventions' names and buckets.

Histograms are recorded per call. The counters are sums that are kept here and read when metrics are collected
(observable counters): adding to a dict costs a twentieth of a counter's `add`, and lets the number of attribute sets
be bounded by us. Attribute values that an application makes up without end (users, model names) are bounded too:
beyond the limit a call is counted under `otel.metric.overflow`, as the SDK itself does it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from otel_agentcost.core import money, semconv
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Tokens

Attributes = Mapping[str, str]

_MOST_SETS = 1900  # under the SDK's own limit of 2000 attribute sets an instrument
_ONE = Decimal(1)
Key = tuple[tuple[str, Any], ...]
_OVERFLOW: Key = (("otel.metric.overflow", True),)
_TOKEN_TYPES = ("input", "cache_read", "cache_write", "output", "reasoning")


class Sum:
    """An exact running sum for each attribute set, for one observable counter."""

    def __init__(self) -> None:
        self._sums: dict[Key, Decimal] = {}
        self._lock = threading.Lock()

    def add(self, amount: Decimal, attributes: Attributes) -> None:
        """Adds `amount` to the sum of this attribute set."""
        self.add_to(tuple(attributes.items()), amount)

    def add_to(self, key: Key, amount: Decimal) -> None:
        """The same for an attribute set that is written as a tuple."""
        with self._lock:
            if key not in self._sums and len(self._sums) >= _MOST_SETS:
                key = _OVERFLOW
            self._sums[key] = money.add(self._sums.get(key, money.ZERO), amount)

    def observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        """The sums so far, as the SDK asks for them at each collection."""
        with self._lock:
            sums = list(self._sums.items())
        return [Observation(money.to_float(total), dict(key)) for key, total in sums]


class TokenSums:
    """Running sums of tokens by their type: one look-up a call, where a `Sum` would need one for each type."""

    def __init__(self) -> None:
        self._sums: dict[Key, list[int]] = {}
        self._points = 0
        """How many sums are not 0: each of them is an attribute set."""
        self._lock = threading.Lock()

    def add_to(self, key: Key, tokens: Tokens) -> None:
        """Adds each token of a call once."""
        read, write, thought = tokens.cache_read, tokens.cache_write, tokens.reasoning
        counts = (max(0, tokens.input - read - write), read, write, max(0, tokens.output - thought), thought)
        with self._lock:
            sums = self._sums.get(key)
            if sums is None:
                if self._points > _MOST_SETS - len(_TOKEN_TYPES):
                    key = _OVERFLOW
                sums = self._sums.setdefault(key, [0, 0, 0, 0, 0])
            for position, count in enumerate(counts):
                if count:
                    if not sums[position] and key is not _OVERFLOW:
                        if self._points >= _MOST_SETS:
                            self._sums.setdefault(_OVERFLOW, [0, 0, 0, 0, 0])[position] += count
                            continue
                        self._points += 1
                    sums[position] += count

    def observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        """The sums so far. What overflowed has no type, as the SDK does it."""
        with self._lock:
            found = [(key, tuple(sums)) for key, sums in self._sums.items()]
        observations: list[Observation] = []
        for key, sums in found:
            if key == _OVERFLOW:
                observations.append(Observation(sum(sums), dict(key)))
                continue
            for kind, count in zip(_TOKEN_TYPES, sums, strict=True):
                if count:
                    observations.append(Observation(count, {**dict(key), semconv.TOKEN_TYPE: kind}))
        return observations


class Bounded:
    """Lets the first values of an attribute through and calls all later ones `other`."""

    def __init__(self, most: int = 200) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        known = self._known
        if value in known:
            return value
        if len(known) >= self._most or len(value) > 200:
            return "_OTHER"
        known.add(value)
        return value


def counted(meter: Meter, name: str, unit: str, description: str) -> Sum:
    """A running sum, and the counter that shows it."""
    total = Sum()
    meter.create_observable_counter(name, callbacks=[total.observe], unit=unit, description=description)
    return total


def whose_of(base: Attributes, who: Attributes) -> Key:
    """The attribute set of sums that are kept apart by whom and what they are for."""
    if not who:
        return tuple(base.items())
    return (*base.items(), *[item for item in who.items() if item[0] != semconv.CONVERSATION])


class Metrics:
    """The instruments of one meter."""

    def __init__(self, meter: Meter) -> None:
        self._tokens = meter.create_histogram(
            semconv.M_TOKEN_USAGE,
            unit=semconv.UNIT_TOKEN,
            description="Input and output tokens of a model call, including cached and reasoning tokens.",
            explicit_bucket_boundaries_advisory=semconv.TOKEN_BUCKETS,
        )
        self._duration = meter.create_histogram(
            semconv.M_DURATION,
            unit=semconv.UNIT_SECOND,
            description="Duration of a model call; for a stream, until its end.",
            explicit_bucket_boundaries_advisory=semconv.DURATION_BUCKETS,
        )
        self._operation_cost = meter.create_histogram(
            semconv.M_OPERATION_COST,
            unit=semconv.UNIT_USD,
            description="Cost of a model call.",
            explicit_bucket_boundaries_advisory=semconv.COST_BUCKETS,
        )
        self._trace_cost = meter.create_histogram(
            semconv.M_TRACE_COST,
            unit=semconv.UNIT_USD,
            description="Cost of a trace in this process, models and tools.",
            explicit_bucket_boundaries_advisory=semconv.COST_BUCKETS,
        )
        self._trace_llm_calls = meter.create_histogram(
            semconv.M_TRACE_LLM_CALLS,
            unit=semconv.UNIT_CALL,
            description="Model calls of a trace in this process.",
            explicit_bucket_boundaries_advisory=semconv.CALL_BUCKETS,
        )
        self._cost = counted(meter, semconv.M_COST, semconv.UNIT_USD, "Dollars spent on model and tool calls.")
        self._token_sums = TokenSums()
        meter.create_observable_counter(
            semconv.M_TOKENS,
            callbacks=[self._token_sums.observe],
            unit=semconv.UNIT_TOKEN,
            description="Tokens of model calls by type; each token counts once.",
        )
        self._savings = counted(
            meter,
            semconv.M_SAVINGS,
            semconv.UNIT_USD,
            "Dollars saved because a cheaper model answered, or because tokens were read from a cache.",
        )
        self._unpriced = counted(
            meter,
            semconv.M_UNPRICED,
            semconv.UNIT_CALL,
            "Model calls without a known price, or with only a partial one.",
        )
        self.bounded_model = Bounded()
        self._bounded_reason = Bounded(50)

    def tokens(self, input_tokens: int, output_tokens: int, base: Attributes, ctx: Context) -> None:
        """Tokens of one call."""
        self._tokens.record(input_tokens, {**base, semconv.TOKEN_TYPE: "input"}, ctx)
        if output_tokens:
            self._tokens.record(output_tokens, {**base, semconv.TOKEN_TYPE: "output"}, ctx)

    def duration(self, seconds: float, base: Attributes, ctx: Context) -> None:
        """How long one call took."""
        self._duration.record(seconds, base, ctx)

    def used(self, tokens: Tokens, whose: Key) -> None:
        """The same tokens by type, onto the running sums."""
        self._token_sums.add_to(whose, tokens)

    def cost(self, cost: Cost, base: Attributes, whose: Key, error: str | None, ctx: Context) -> None:
        """Dollars of one model call, which ended with `error`."""
        usd = cost.usd
        if usd is None:
            return
        self._operation_cost.record(money.to_float(usd), base, ctx)
        self._spend(usd, whose, error)
        if cost.cache_savings_usd:
            self.saved("cache", cost.cache_savings_usd, base)

    def spent(self, usd: Decimal, base: Attributes, who: Attributes, error: str | None = None) -> None:
        """Dollars of a tool call, onto the running sum."""
        self._spend(usd, whose_of(base, who), error)

    def _spend(self, usd: Decimal, whose: Key, error: str | None) -> None:
        self._cost.add_to(whose if error is None else (*whose, (semconv.ERROR_TYPE, error)), usd)

    def saved(self, kind: Literal["cache", "downgrade"], usd: Decimal, base: Attributes) -> None:
        """So many dollars less."""
        if usd > 0:
            self._savings.add(usd, {**base, semconv.SAVINGS_KIND: kind})

    def unpriced(self, reason: str, base: Attributes) -> None:
        """One call without a price, or without a whole one."""
        self._unpriced.add(_ONE, {**base, semconv.REASON: self._bounded_reason(reason)})

    def trace_ended(self, usd: Decimal | None, llm_calls: int, ctx: Context) -> None:
        """Totals of a trace whose local root has ended; `usd` is None where none of its calls has a price."""
        if usd is not None:
            self._trace_cost.record(money.to_float(usd), None, ctx)
        self._trace_llm_calls.record(llm_calls, None, ctx)
