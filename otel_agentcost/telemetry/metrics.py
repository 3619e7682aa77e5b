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
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from otel_agentcost import names
from otel_agentcost.core import money

Attributes = Mapping[str, str]

_MOST_SETS = 1900  # under the SDK's own limit of 2000 attribute sets an instrument
_ONE = Decimal(1)
_OVERFLOW: tuple[tuple[str, Any], ...] = (("otel.metric.overflow", True),)


class Sum:
    """An exact running sum for each attribute set, for one observable counter."""

    def __init__(self) -> None:
        self._sums: dict[tuple[tuple[str, Any], ...], Decimal] = {}
        self._lock = threading.Lock()

    def add(self, amount: Decimal, attributes: Attributes) -> None:
        """Adds `amount` to the sum of this attribute set."""
        key = tuple(attributes.items())
        with self._lock:
            if key not in self._sums and len(self._sums) >= _MOST_SETS:
                key = _OVERFLOW
            self._sums[key] = money.add(self._sums.get(key, money.ZERO), amount)

    def observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        """The sums so far, as the SDK asks for them at each collection."""
        with self._lock:
            sums = list(self._sums.items())
        return [Observation(money.to_float(total), dict(key)) for key, total in sums]


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


class Metrics:
    """The instruments of one meter."""

    def __init__(self, meter: Meter) -> None:
        self._tokens = meter.create_histogram(
            names.M_TOKEN_USAGE,
            unit=names.UNIT_TOKEN,
            description="Input and output tokens of a model call, cached and reasoning tokens included.",
            explicit_bucket_boundaries_advisory=names.TOKEN_BUCKETS,
        )
        self._duration = meter.create_histogram(
            names.M_DURATION,
            unit=names.UNIT_SECOND,
            description="How long a model call took; a stream until it ended.",
            explicit_bucket_boundaries_advisory=names.DURATION_BUCKETS,
        )
        self._operation_cost = meter.create_histogram(
            names.M_OPERATION_COST,
            unit=names.UNIT_USD,
            description="What a model call cost.",
            explicit_bucket_boundaries_advisory=names.COST_BUCKETS,
        )
        self._trace_cost = meter.create_histogram(
            names.M_TRACE_COST,
            unit=names.UNIT_USD,
            description="What a trace cost in this process, models and tools.",
            explicit_bucket_boundaries_advisory=names.COST_BUCKETS,
        )
        self._trace_llm_calls = meter.create_histogram(
            names.M_TRACE_LLM_CALLS,
            unit=names.UNIT_CALL,
            description="How many model calls a trace made in this process.",
            explicit_bucket_boundaries_advisory=names.CALL_BUCKETS,
        )
        self._cost = Sum()
        meter.create_observable_counter(
            names.M_COST,
            callbacks=[self._cost.observe],
            unit=names.UNIT_USD,
            description="Dollars spent on model and tool calls.",
        )
        self._unpriced = Sum()
        meter.create_observable_counter(
            names.M_UNPRICED,
            callbacks=[self._unpriced.observe],
            unit=names.UNIT_CALL,
            description="Model calls whose price is not, or not wholly, known.",
        )
        self.bounded_model = Bounded()
        self._bounded_reason = Bounded(50)

    def tokens(self, input_tokens: int, output_tokens: int, base: Attributes, ctx: Context) -> None:
        """Tokens of one call."""
        self._tokens.record(input_tokens, {**base, names.TOKEN_TYPE: "input"}, ctx)
        if output_tokens:
            self._tokens.record(output_tokens, {**base, names.TOKEN_TYPE: "output"}, ctx)

    def duration(self, seconds: float, base: Attributes, ctx: Context) -> None:
        """How long one call took."""
        self._duration.record(seconds, base, ctx)

    def cost(self, usd: Decimal, base: Attributes, who: Attributes, ctx: Context) -> None:
        """Dollars of one model call; `who` are the attributes to whom and what they go."""
        self._operation_cost.record(money.to_float(usd), base, ctx)
        self.spent(usd, base, who)

    def spent(self, usd: Decimal, base: Attributes, who: Attributes) -> None:
        """Dollars of a model or tool call, onto the running sum."""
        if who:
            base = {**base, **{key: value for key, value in who.items() if key != names.CONVERSATION}}
        self._cost.add(usd, base)

    def unpriced(self, reason: str, base: Attributes) -> None:
        """One call without a price, or without a whole one."""
        self._unpriced.add(_ONE, {**base, names.REASON: self._bounded_reason(reason)})

    def trace_ended(self, usd: Decimal | None, llm_calls: int, ctx: Context) -> None:
        """Totals of a trace whose local root has ended; `usd` is None where none of its calls has a price."""
        if usd is not None:
            self._trace_cost.record(money.to_float(usd), None, ctx)
        self._trace_llm_calls.record(llm_calls, None, ctx)
