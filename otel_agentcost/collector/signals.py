"""The one table of metrics: what exists, with which attributes, and what Prometheus calls it.

The Collector's configuration, the boards and the alerts are made from it, and a test holds what the package emits
against it, so that a board never cares which side made a metric.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from otel_agentcost import names

WHERE: Final = ("service.name", "deployment.environment.name")
"""Which service, and where it runs. An application has them on its resource; the Collector copies them onto points."""
MODEL: Final = (names.OPERATION, names.PROVIDER, names.REQUEST_MODEL, names.RESPONSE_MODEL)
WHO: Final = (names.AGENT, names.USER, names.TENANT, names.TEAM, names.FEATURE)

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
    name=names.M_TOKEN_USAGE,
    kind="histogram",
    unit=names.UNIT_TOKEN,
    means="Input and output tokens of a model call, cached and reasoning tokens included.",
    attributes=(*MODEL, names.TOKEN_TYPE),
    buckets=names.TOKEN_BUCKETS,
    collector=True,
)
DURATION: Final = Signal(
    name=names.M_DURATION,
    kind="histogram",
    unit=names.UNIT_SECOND,
    means="How long a model call took; a stream until it ended.",
    attributes=(*MODEL, names.ERROR_TYPE),
    buckets=names.DURATION_BUCKETS,
    collector=True,
)
OPERATION_COST: Final = Signal(
    name=names.M_OPERATION_COST,
    kind="histogram",
    unit=names.UNIT_USD,
    means="What a model call cost.",
    attributes=MODEL,
    buckets=names.COST_BUCKETS,
    collector=True,
)
COST: Final = Signal(
    name=names.M_COST,
    kind="counter",
    unit=names.UNIT_USD,
    means="Dollars spent on model and tool calls.",
    attributes=(*MODEL, *WHO, names.TOOL, names.ERROR_TYPE),
    collector=True,
)
TOKENS: Final = Signal(
    name=names.M_TOKENS,
    kind="counter",
    unit=names.UNIT_TOKEN,
    means="Tokens of model calls, each counted once: input (neither read from nor written to a cache), cache_read, "
    "cache_write, output (without reasoning), reasoning.",
    attributes=(*MODEL, *WHO, names.TOKEN_TYPE),
    collector=True,
)
SAVINGS: Final = Signal(
    name=names.M_SAVINGS,
    kind="counter",
    unit=names.UNIT_USD,
    means="Dollars that calls cost less: because a cheaper model answered them (downgrade), or because tokens were "
    "read from a cache (cache).",
    attributes=(*MODEL, names.SAVINGS_KIND),
    collector=True,  # what caches saved
)
TRACE_COST: Final = Signal(
    name=names.M_TRACE_COST,
    kind="histogram",
    unit=names.UNIT_USD,
    means="What a run (a trace) cost, models and tools.",
    buckets=names.COST_BUCKETS,
    collector=True,
)
TRACE_LLM_CALLS: Final = Signal(
    name=names.M_TRACE_LLM_CALLS,
    kind="histogram",
    unit=names.UNIT_CALL,
    means="How many model calls a run (a trace) made.",
    buckets=names.CALL_BUCKETS,
    collector=True,
)
TRACES_OVER_BUDGET: Final = Signal(
    name=names.M_TRACES_OVER_BUDGET,
    kind="counter",
    unit=names.UNIT_TRACE,
    means="Runs (traces) that cost more than the Collector was told one may cost.",
    collector=True,
    package=False,
)
UNPRICED: Final = Signal(
    name=names.M_UNPRICED,
    kind="counter",
    unit=names.UNIT_CALL,
    means="Model calls whose price is not, or not wholly, known.",
    attributes=(*MODEL, names.REASON),
    collector=True,
)
LOOPS: Final = Signal(
    name=names.M_LOOPS,
    kind="counter",
    unit=names.UNIT_LOOP,
    means="Loops that were found: each once, however long it goes on.",
    attributes=(names.LOOP_RULE, names.TOOL, names.AGENT),
    collector=True,
)
LOOP_WASTE: Final = Signal(
    name=names.M_LOOP_WASTE,
    kind="counter",
    unit=names.UNIT_USD,
    means="Dollars that loops have spent since their first round.",
    attributes=(names.LOOP_RULE, names.TOOL, names.AGENT),
)
UTILIZATION: Final = Signal(
    name=names.M_UTILIZATION,
    kind="gauge",
    unit=names.UNIT_RATIO,
    means="How far a budget is used: 1 is all of it.",
    attributes=(names.BUDGET, names.BUDGET_SCOPE, names.BUDGET_UNIT, names.BUDGET_VALUE),
)
REFUSALS: Final = Signal(
    name=names.M_REFUSALS,
    kind="counter",
    unit=names.UNIT_CALL,
    means="Model calls that a budget refused.",
    attributes=(names.BUDGET, names.BUDGET_SCOPE, names.BUDGET_UNIT, names.BUDGET_ACTION),
)
WARNINGS: Final = Signal(
    name=names.M_WARNINGS,
    kind="counter",
    unit=names.UNIT_WARNING,
    means="Budgets that came to their soft limit or to their limit.",
    attributes=(names.BUDGET, names.BUDGET_SCOPE, names.BUDGET_LEVEL),
)
UNENFORCED: Final = Signal(
    name=names.M_UNENFORCED,
    kind="counter",
    unit=names.UNIT_CALL,
    means="Model calls that budgets could not, or not wholly, look at.",
)
BREAKERS: Final = Signal(
    name=names.M_BREAKERS,
    kind="counter",
    unit=names.UNIT_TRANSITION,
    means="Circuit breakers that opened, half-opened or closed.",
    attributes=(names.BREAKER, names.BREAKER_SCOPE, names.BREAKER_VALUE, names.BREAKER_STATE),
)

SIGNALS: Final = (
    TOKEN_USAGE, DURATION, OPERATION_COST, COST, TOKENS, SAVINGS, TRACE_COST, TRACE_LLM_CALLS, TRACES_OVER_BUDGET,
    UNPRICED, LOOPS, LOOP_WASTE, UTILIZATION, REFUSALS, WARNINGS, UNENFORCED, BREAKERS,
)  # fmt: skip
