"""The table of metrics: name, kind, unit, description, attributes, buckets and Prometheus name of each.

The package creates its instruments from this table (`telemetry/metrics.py`). The configuration of the Collector, the
boards and the alerts are generated from it, so a board works with the metrics of the package and of the Collector
alike. To add a metric, add a row here and record it where it happens. This module imports nothing but `core`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from otel_agentcost.core import semconv

WHERE: Final = ("service.name", "deployment.environment.name")
"""The service and its environment. They are resource attributes in an application; the Collector copies them to data
points."""
MODEL: Final = (semconv.OPERATION, semconv.PROVIDER, semconv.REQUEST_MODEL, semconv.RESPONSE_MODEL)
WHO: Final = (semconv.AGENT, semconv.USER, semconv.TENANT, semconv.TEAM, semconv.FEATURE)

_PROMETHEUS_UNITS = {"s": "_seconds"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One metric.

    `attributes` excludes `WHERE`, which all metrics have. `buckets` are the upper bounds of a histogram's buckets, in
    `unit`. `collector` is true if the Collector derives the metric from spans, `package` if the package records it in
    the application.
    """

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    collector: bool = False
    package: bool = True

    @property
    def prometheus(self) -> str:
        """Name of the series in Prometheus, without the suffix `_bucket`, `_sum` or `_count` of a histogram.

        The OTLP endpoint of Prometheus and the Prometheus exporters of the Collector give the same name at their
        defaults: translation strategy `UnderscoreEscapingWithSuffixes` of github.com/prometheus/otlptranslator.
        """
        if self.kind == "gauge":
            ending = "_ratio" if self.unit == "1" and not self.name.endswith(".ratio") else ""  # it is added once
        else:
            ending = _PROMETHEUS_UNITS.get(self.unit, "") + ("_total" if self.kind == "counter" else "")
        return label(self.name) + ending


def label(attribute: str) -> str:
    """Return the Prometheus label name of an attribute: every character but letters, digits and `_` becomes `_`."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", attribute)


TOKEN_USAGE: Final = Signal(
    name="gen_ai.client.token.usage",
    kind="histogram",
    unit="{token}",
    description="Input and output tokens of a model call, including cached and reasoning tokens.",
    attributes=(*MODEL, semconv.TOKEN_TYPE),
    buckets=semconv.TOKEN_BUCKETS,
    collector=True,
)
DURATION: Final = Signal(
    name="gen_ai.client.operation.duration",
    kind="histogram",
    unit="s",
    description="Duration of a model call. A streamed call lasts until its stream ends.",
    attributes=(*MODEL, semconv.ERROR_TYPE),
    buckets=semconv.DURATION_BUCKETS,
    collector=True,
)
OPERATION_COST: Final = Signal(
    name="gen_ai.client.operation.cost",
    kind="histogram",
    unit="{USD}",
    description="Cost of a model call.",
    attributes=MODEL,
    buckets=semconv.COST_BUCKETS,
    collector=True,
)
COST: Final = Signal(
    name="agentcost.cost",
    kind="counter",
    unit="{USD}",
    description="US dollars spent on model and tool calls.",
    attributes=(*MODEL, *WHO, semconv.TOOL, semconv.ERROR_TYPE),
    collector=True,
)
TOKENS: Final = Signal(
    name="agentcost.tokens",
    kind="counter",
    unit="{token}",
    description="Tokens of model calls, each counted once: input (without cached tokens), cache_read, cache_write, "
    "output (without reasoning tokens), reasoning.",
    attributes=(*MODEL, *WHO, semconv.TOKEN_TYPE),
    collector=True,
)
SAVINGS: Final = Signal(
    name="agentcost.savings",
    kind="counter",
    unit="{USD}",
    description="US dollars saved because a cheaper model answered (downgrade), tokens were read from a provider's "
    "cache (cache), the answer was known (response_cache), or a tool's result was known (tool_cache).",
    attributes=(*MODEL, semconv.TOOL, semconv.SAVINGS_KIND),
    collector=True,  # only what caches saved
)
TRACE_COST: Final = Signal(
    name="agentcost.trace.cost",
    kind="histogram",
    unit="{USD}",
    description="Cost of a run (a trace): model and tool calls. An application counts the calls of its own process.",
    buckets=semconv.COST_BUCKETS,
    collector=True,
)
TRACE_LLM_CALLS: Final = Signal(
    name="agentcost.trace.llm_calls",
    kind="histogram",
    unit="{call}",
    description="Number of model calls in a run (a trace). An application counts the calls of its own process.",
    buckets=semconv.CALL_BUCKETS,
    collector=True,
)
TRACES_OVER_BUDGET: Final = Signal(
    name="agentcost.trace.over_budget",
    kind="counter",
    unit="{trace}",
    description="Runs (traces) that cost more than the limit that is configured in the Collector.",
    collector=True,
    package=False,
)
UNPRICED: Final = Signal(
    name="agentcost.unpriced.calls",
    kind="counter",
    unit="{call}",
    description="Calls whose cost is unknown, or only partly known.",
    attributes=(*MODEL, semconv.REASON),
    collector=True,
)
LOOPS: Final = Signal(
    name="agentcost.loop.detections",
    kind="counter",
    unit="{loop}",
    description="Detected loops. A loop counts once, however long it continues.",
    attributes=(semconv.LOOP_RULE, semconv.TOOL, semconv.AGENT),
    collector=True,
)
LOOP_WASTE: Final = Signal(
    name="agentcost.loop.wasted",
    kind="counter",
    unit="{USD}",
    description="US dollars spent in loops since their first round.",
    attributes=(semconv.LOOP_RULE, semconv.TOOL, semconv.AGENT),
)
PROMPT_CACHE_BREAKS: Final = Signal(
    name="agentcost.prompt_cache.breaks",
    kind="counter",
    unit="{break}",
    description="Calls that paid again for a prompt that the provider had cached, because its beginning had changed or "
    "the provider had dropped it.",
    attributes=(*MODEL, *WHO, semconv.PROMPT_CACHE_REASON),
)
PROMPT_CACHE_LOST: Final = Signal(
    name="agentcost.prompt_cache.lost",
    kind="counter",
    unit="{USD}",
    description="US dollars paid again for cached prompts: the tokens of broken prompt caches x (price paid - price of "
    "a cached token).",
    attributes=(*MODEL, *WHO, semconv.PROMPT_CACHE_REASON),
)
PROMPT_CACHE_SAVED: Final = Signal(
    name="agentcost.prompt_cache.saved",
    kind="counter",
    unit="{USD}",
    description="US dollars that the marks of OTEL_AGENTCOST_PROMPT_CACHE have saved, net of what cache writes have "
    "cost more. agentcost.savings has the reads of these calls too: do not add the two.",
    attributes=MODEL,
)
UTILIZATION: Final = Signal(
    name="agentcost.budget.utilization",
    kind="gauge",
    unit="1",
    description="Used share of a budget: 1 means that all of it is used.",
    attributes=(semconv.BUDGET, semconv.BUDGET_SCOPE, semconv.BUDGET_UNIT, semconv.BUDGET_VALUE),
)
REFUSALS: Final = Signal(
    name="agentcost.budget.refusals",
    kind="counter",
    unit="{call}",
    description="Model calls refused by a budget.",
    attributes=(semconv.BUDGET, semconv.BUDGET_SCOPE, semconv.BUDGET_UNIT, semconv.BUDGET_ACTION),
)
WARNINGS: Final = Signal(
    name="agentcost.budget.warnings",
    kind="counter",
    unit="{warning}",
    description="Budgets that reached their soft limit or their limit.",
    attributes=(semconv.BUDGET, semconv.BUDGET_SCOPE, semconv.BUDGET_LEVEL),
)
UNENFORCED: Final = Signal(
    name="agentcost.budget.unenforced.calls",
    kind="counter",
    unit="{call}",
    description="Model calls that were made without a budget check, or with an incomplete one.",
)
BREAKERS: Final = Signal(
    name="agentcost.breaker.transitions",
    kind="counter",
    unit="{transition}",
    description="Circuit breakers that opened, half-opened or closed.",
    attributes=(semconv.BREAKER, semconv.BREAKER_SCOPE, semconv.BREAKER_VALUE, semconv.BREAKER_STATE),
)
RECORD_DROPPED: Final = Signal(
    name="agentcost.record.dropped",
    kind="counter",
    unit="{row}",
    description="Rows that the spend store could not take: calls whose spend it does not know.",
)
RECONCILE_BILLED: Final = Signal(
    name="agentcost.reconcile.billed",
    kind="gauge",
    unit="{USD}",
    description="US dollars that a provider billed for one UTC day (`agentcost reconcile --otlp`).",
    attributes=(semconv.PROVIDER, semconv.BILL_DAY),
    package=False,
)
RECONCILE_CAPTURED: Final = Signal(
    name="agentcost.reconcile.captured",
    kind="gauge",
    unit="{USD}",
    description="US dollars that were recorded for one UTC day of a bill (`agentcost reconcile --otlp`).",
    attributes=(semconv.PROVIDER, semconv.BILL_DAY),
    package=False,
)
RECONCILE_RATIO: Final = Signal(
    name="agentcost.reconcile.ratio",
    kind="gauge",
    unit="1",
    description="Recorded dollars as a share of the billed ones: 1 means that both are equal.",
    attributes=(semconv.PROVIDER, semconv.BILL_DAY),
    package=False,
)

SIGNALS: Final = tuple(value for value in tuple(globals().values()) if isinstance(value, Signal))
"""All rows of this table, in their order."""
