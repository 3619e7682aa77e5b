"""`runs.yaml`: what whole runs (traces) cost, how many calls they made, and loops, without trace ids as labels.

The spans of a trace that are calls are held for a while, then added up by trace in a first connector; each sum is one
value for the histograms and counters of a second. Spans of agents and roots carry sums already, and are never added.
"""

from __future__ import annotations

from typing import Any, Final

from otel_agentcost.collector.metrics import LOWEST_VERSION, RESOURCE, described, histogram, total
from otel_agentcost.collector.ottl import OURS, attribute
from otel_agentcost.collector.yaml_writer import document
from otel_agentcost.core import aliases, semconv
from otel_agentcost.telemetry import signals

__all__ = ["BUDGET", "CALL", "GENAI", "REPEATS", "TOOL_CALL", "runs_yaml"]

BUDGET: Final = 'Double("${env:AGENTCOST_TRACE_BUDGET_USD:-1.0}")'
REPEATS: Final = 'Int("${env:AGENTCOST_LOOP_REPEATS:-5}")'

_TRACE: Final = "agentcost.by_trace.id"
_ARGUMENTS: Final = "agentcost.by_trace.arguments"
_COST: Final = "agentcost.by_trace.cost"
_CALLS: Final = "agentcost.by_trace.llm_calls"
_TOOLS: Final = "agentcost.by_trace.tool_calls"

TOOL_CALL: Final = (
    f'({attribute(semconv.OPERATION)} == "{semconv.EXECUTE_TOOL}" or {attribute(aliases.SPAN_KIND)} == "TOOL"'
    f' or {attribute(aliases.ENTITY_KIND)} == "tool")'
)
"""A tool call, as the GenAI conventions, OpenInference and OpenLLMetry say it."""

GENAI: Final = f"({attribute(semconv.OPERATION)} != nil or {attribute(semconv.COST)} != nil or {TOOL_CALL})"
"""A span that totals are made of."""

CALL: Final = f'not IsMatch({attribute(semconv.OPERATION)}, "^({"|".join(sorted(semconv.AGENT_OPERATIONS))})$$")'
"""Not of an agent: such a span's dollars are those of calls below it."""

_HEADING = f"""
What whole runs (traces) cost: the histograms {signals.TRACE_COST.name} and {signals.TRACE_LLM_CALLS.name}, and the
counters {signals.TRACES_OVER_BUDGET.name} and {signals.LOOPS.name}; and durations of calls with exemplars that lead
to their traces. Use it with pricing.yaml, metrics.yaml and agent.yaml, or with gateway.yaml, which needs it.

Needs otelcol-contrib {LOWEST_VERSION} or newer (Grafana Alloy lacks groupbytrace). All spans of a trace must reach
this one Collector: see gateway-loadbalancer.yaml. Written by `agentcost collector-config`: change that, not this file.

A trace is held for AGENTCOST_RUN_WINDOW (30s) from its first call; what comes later is a run of its own, so the
figures of longer runs are figures per window. The memory limit of the Collector bounds how many are held: above it,
senders are told to come again.

AGENTCOST_TRACE_BUDGET_USD (1.0): what a run may cost before it counts as over budget. AGENTCOST_LOOP_REPEATS (5): how
often one tool may be called with the same arguments in one run before that counts as a loop.
"""


def runs_yaml() -> str:
    """The file."""
    return document(
        _HEADING,
        {
            "connectors": {
                "forward/agentcost_runs": {},
                "signaltometrics/agentcost_by_trace": {"error_mode": "ignore", "spans": _sums()},
                "signaltometrics/agentcost_runs": {"error_mode": "ignore", "datapoints": _figures()},
                "spanmetrics/agentcost": _durations(),
            },
            "processors": {
                "filter/agentcost_calls": {
                    "error_mode": "ignore",
                    "traces": {"span": [f"not {GENAI}"]},
                },
                "groupbytrace/agentcost": {
                    "wait_duration": "${env:AGENTCOST_RUN_WINDOW:-30s}",
                    # More than the memory limit admits: a release that drops traces to make room stands still.
                    "num_traces": 2_000_000,
                },
                "batch/agentcost_runs": {"timeout": "200ms", "send_batch_size": 200, "send_batch_max_size": 0},
                "transform/agentcost_by_trace": {"error_mode": "ignore", "trace_statements": _marks()},
            },
            "service": {"pipelines": _pipelines()},
        },
    )


def _pipelines() -> dict[str, Any]:
    return {
        "traces/agentcost_calls": {
            "receivers": ["forward/agentcost_priced"],
            "processors": ["filter/agentcost_calls", "groupbytrace/agentcost", "batch/agentcost_runs"],
            "exporters": ["spanmetrics/agentcost", "forward/agentcost_runs"],
        },
        "traces/agentcost_by_trace": {
            "receivers": ["forward/agentcost_runs"],
            "processors": ["transform/agentcost_by_trace"],
            "exporters": ["signaltometrics/agentcost_by_trace"],
        },
        "metrics/agentcost_by_trace": {
            "receivers": ["signaltometrics/agentcost_by_trace"],
            "exporters": ["signaltometrics/agentcost_runs"],
        },
        "metrics/agentcost_runs": {
            "receivers": ["signaltometrics/agentcost_runs", "spanmetrics/agentcost"],
            "processors": ["transform/agentcost_points"],
            "exporters": ["forward/agentcost_metrics"],
        },
    }


def _marks() -> list[dict[str, Any]]:
    """What the sums are made by, onto the copy of a span that goes no further."""
    arguments = [_first(_ARGUMENTS, name) for name in aliases.TOOL_ARGUMENTS]
    tools = [_first(semconv.TOOL, name) for name in aliases.TOOL_NAME[1:]]
    return [
        {
            "conditions": [OURS],
            "statements": [f"set({attribute(_TRACE)}, span.trace_id.string)"],
        },
        {
            # The package in the application looks for loops itself, among the tool calls that it makes spans of.
            "conditions": [f'{TOOL_CALL} and not IsMatch(instrumentation_scope.name, "^otel_agentcost")'],
            "statements": [f"set({attribute(_TRACE)}, span.trace_id.string)", *arguments, *tools],
        },
    ]


def _first(target: str, source: str) -> str:
    """Takes `source` where nothing was found before: setting what is absent would make an empty attribute."""
    found = attribute(source)
    return f"set({attribute(target)}, {found}) where {attribute(target)} == nil and {found} != nil"


def _sums() -> list[dict[str, Any]]:
    common = {"include_resource_attributes": list(RESOURCE)}
    trace: dict[str, Any] = {"key": _TRACE}
    tool = [{"key": _ARGUMENTS}, {"key": semconv.TOOL}, {"key": semconv.AGENT, "optional": True}]
    return [
        {
            "name": _COST,
            "conditions": [f"{OURS} and {attribute(semconv.COST)} != nil"],
            "attributes": [trace],
            **common,
            **total(f"Double({attribute(semconv.COST)})"),
        },
        {
            "name": _CALLS,
            "conditions": [f'{OURS} and {attribute(semconv.OPERATION)} != "{semconv.EXECUTE_TOOL}"'],
            "attributes": [trace],
            **common,
            **total("1"),
        },
        {"name": _TOOLS, "attributes": [trace, *tool], **common, **total("1")},
    ]


def _figures() -> list[dict[str, Any]]:
    def figure(signal: signals.Signal, condition: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
        resource = {"include_resource_attributes": list(RESOURCE)}
        return {**described(signal), "conditions": [condition], **resource, **more, **value}

    dollars, spent = "datapoint.value_double", f'metric.name == "{_COST}"'
    repeated = f'metric.name == "{_TOOLS}" and datapoint.value_int >= {REPEATS}'
    loop = [
        {"key": semconv.LOOP_RULE, "default_value": "repeat"},
        {"key": semconv.TOOL, "optional": True},
        {"key": semconv.AGENT, "optional": True},
    ]
    return [
        figure(signals.TRACE_COST, spent, histogram(signals.TRACE_COST, dollars)),
        figure(signals.TRACES_OVER_BUDGET, f"{spent} and {dollars} > {BUDGET}", total("1")),
        figure(
            signals.TRACE_LLM_CALLS,
            f'metric.name == "{_CALLS}"',
            histogram(signals.TRACE_LLM_CALLS, "Double(datapoint.value_int)"),
        ),
        figure(signals.LOOPS, repeated, total("1"), attributes=loop),
    ]


def _durations() -> dict[str, Any]:
    """`agentcost_span_duration_seconds`: for exemplars, which the other connector cannot make.

    It says them once, with each flush (a minute): a scrape that comes as often as that sees each.
    """
    labels = (semconv.OPERATION, semconv.PROVIDER, semconv.REQUEST_MODEL, semconv.TOOL)
    return {
        "namespace": "agentcost.span",
        "histogram": {"unit": "s", "explicit": {"buckets": [f"{edge}s" for edge in signals.DURATION.buckets]}},
        "dimensions": [{"name": name} for name in labels],
        "exclude_dimensions": ["span.name"],
        "exemplars": {"enabled": True, "max_per_data_point": 5},
        "aggregation_cardinality_limit": 2000,
        "metrics_expiration": "24h",
    }
