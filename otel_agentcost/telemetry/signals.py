"""The one table of metrics: what exists, with which attributes, and what Prometheus calls it.

The Collector's configuration, the boards and the alerts are made from it, and a test holds what the package emits
against it, so that a board never cares which side made a metric.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from otel_agentcost.core import semconv

WHERE: Final = ("service.name", "deployment.environment.name")
"""Which service, and where it runs. An application has them on its resource; the Collector copies them onto points."""
MODEL: Final = (semconv.OPERATION, semconv.PROVIDER, semconv.REQUEST_MODEL, semconv.RESPONSE_MODEL)
WHO: Final = (semconv.AGENT, semconv.USER, semconv.TENANT, semconv.TEAM, semconv.FEATURE)

_UNITS = {"s": "_seconds"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One metric."""

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    unit: str
    means: str
    attributes: tuple[str, ...] = ()
    """Beside `WHERE`, which all have."""
    buckets: tuple[float, ...] = ()
    collector: bool = False
    """Whether the Collector derives it from spans; otherwise only the package in the application knows it."""
    package: bool = True
    """Whether the package in the application emits it."""

    @property
    def prometheus(self) -> str:
        """The name of the series on both paths to Prometheus, at their defaults: of a histogram without `_bucket`,
        `_sum` and `_count`. Rule: `UnderscoreEscapingWithSuffixes` of Prometheus's own translator.
        """
        if self.kind == "gauge":
            ending = "_ratio" if self.unit == "1" else ""
        else:
            ending = _UNITS.get(self.unit, "") + ("_total" if self.kind == "counter" else "")
        return label(self.name) + ending


def label(attribute: str) -> str:
    """What Prometheus calls an attribute."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", attribute)


TOKEN_USAGE: Final = Signal(
    name=semconv.M_TOKEN_USAGE,
    kind="histogram",
    unit=semconv.UNIT_TOKEN,
    means="Input and output tokens of a model call, including cached and reasoning tokens.",
    attributes=(*MODEL, semconv.TOKEN_TYPE),
    buckets=semconv.TOKEN_BUCKETS,
    collector=True,
)
DURATION: Final = Signal(
    name=semconv.M_DURATION,
    kind="histogram",
    unit=semconv.UNIT_SECOND,
    means="Duration of a model call; for a stream, until its end.",
    attributes=(*MODEL, semconv.ERROR_TYPE),
    buckets=semconv.DURATION_BUCKETS,
    collector=True,
)
OPERATION_COST: Final = Signal(
    name=semconv.M_OPERATION_COST,
    kind="histogram",
    unit=semconv.UNIT_USD,
    means="Cost of a model call.",
    attributes=MODEL,
    buckets=semconv.COST_BUCKETS,
    collector=True,
)
COST: Final = Signal(
    name=semconv.M_COST,
    kind="counter",
    unit=semconv.UNIT_USD,
    means="Dollars spent on model and tool calls.",
    attributes=(*MODEL, *WHO, semconv.TOOL, semconv.ERROR_TYPE),
    collector=True,
)
TOKENS: Final = Signal(
    name=semconv.M_TOKENS,
    kind="counter",
    unit=semconv.UNIT_TOKEN,
    means="Tokens of model calls, each counted once: input (neither read from nor written to a cache), cache_read, "
    "cache_write, output (without reasoning), reasoning.",
    attributes=(*MODEL, *WHO, semconv.TOKEN_TYPE),
    collector=True,
)
SAVINGS: Final = Signal(
    name=semconv.M_SAVINGS,
    kind="counter",
    unit=semconv.UNIT_USD,
    means="Dollars saved because a cheaper model answered (downgrade), or because tokens were read from a cache "
    "(cache).",
    attributes=(*MODEL, semconv.SAVINGS_KIND),
    collector=True,  # what caches saved
)
TRACE_COST: Final = Signal(
    name=semconv.M_TRACE_COST,
    kind="histogram",
    unit=semconv.UNIT_USD,
    means="Cost of a run (a trace), models and tools.",
    buckets=semconv.COST_BUCKETS,
    collector=True,
)
TRACE_LLM_CALLS: Final = Signal(
    name=semconv.M_TRACE_LLM_CALLS,
    kind="histogram",
    unit=semconv.UNIT_CALL,
    means="Model calls of a run (a trace).",
    buckets=semconv.CALL_BUCKETS,
    collector=True,
)
TRACES_OVER_BUDGET: Final = Signal(
    name=semconv.M_TRACES_OVER_BUDGET,
    kind="counter",
    unit=semconv.UNIT_TRACE,
    means="Runs (traces) that cost more than the budget set at the Collector.",
    collector=True,
    package=False,
)
UNPRICED: Final = Signal(
    name=semconv.M_UNPRICED,
    kind="counter",
    unit=semconv.UNIT_CALL,
    means="Model calls without a known price, or with only a partial one.",
    attributes=(*MODEL, semconv.REASON),
    collector=True,
)
LOOPS: Final = Signal(
    name=semconv.M_LOOPS,
    kind="counter",
    unit=semconv.UNIT_LOOP,
    means="Detected loops; each loop counts once, however long it lasts.",
    attributes=(semconv.LOOP_RULE, semconv.TOOL, semconv.AGENT),
    collector=True,
)
LOOP_WASTE: Final = Signal(
    name=semconv.M_LOOP_WASTE,
    kind="counter",
    unit=semconv.UNIT_USD,
    means="Dollars spent in loops since their first round.",
    attributes=(semconv.LOOP_RULE, semconv.TOOL, semconv.AGENT),
)
UTILIZATION: Final = Signal(
    name=semconv.M_UTILIZATION,
    kind="gauge",
    unit=semconv.UNIT_RATIO,
    means="Used share of a budget; 1 is all of it.",
    attributes=(semconv.BUDGET, semconv.BUDGET_SCOPE, semconv.BUDGET_UNIT, semconv.BUDGET_VALUE),
)
REFUSALS: Final = Signal(
    name=semconv.M_REFUSALS,
    kind="counter",
    unit=semconv.UNIT_CALL,
    means="Model calls refused by a budget.",
    attributes=(semconv.BUDGET, semconv.BUDGET_SCOPE, semconv.BUDGET_UNIT, semconv.BUDGET_ACTION),
)
WARNINGS: Final = Signal(
    name=semconv.M_WARNINGS,
    kind="counter",
    unit=semconv.UNIT_WARNING,
    means="Budgets that reached their soft limit or their limit.",
    attributes=(semconv.BUDGET, semconv.BUDGET_SCOPE, semconv.BUDGET_LEVEL),
)
UNENFORCED: Final = Signal(
    name=semconv.M_UNENFORCED,
    kind="counter",
    unit=semconv.UNIT_CALL,
    means="Model calls that budgets did not check, or checked only partly.",
)
BREAKERS: Final = Signal(
    name=semconv.M_BREAKERS,
    kind="counter",
    unit=semconv.UNIT_TRANSITION,
    means="Circuit breakers that opened, half-opened or closed.",
    attributes=(semconv.BREAKER, semconv.BREAKER_SCOPE, semconv.BREAKER_VALUE, semconv.BREAKER_STATE),
)

SIGNALS: Final = (
    TOKEN_USAGE, DURATION, OPERATION_COST, COST, TOKENS, SAVINGS, TRACE_COST, TRACE_LLM_CALLS, TRACES_OVER_BUDGET,
    UNPRICED, LOOPS, LOOP_WASTE, UTILIZATION, REFUSALS, WARNINGS, UNENFORCED, BREAKERS,
)  # fmt: skip
