"""`metrics.yaml`: how a Collector derives the metrics of `signals` from the spans that it priced itself.

Spans that this Collector priced, or found unpriced, say so (`agentcost.cost.basis`); those that the package in the
application, or another Collector, has counted are left alone. All values are made doubles or integers by hand: the
connector's sum ends the Collector when it meets both in one series.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from otel_agentcost.collector.ottl import BASIS, OURS, attribute
from otel_agentcost.collector.yaml_writer import document
from otel_agentcost.core import semconv
from otel_agentcost.telemetry import signals
from otel_agentcost.telemetry.signals import Signal

__all__ = ["LOWEST_VERSION", "RESOURCE", "described", "histogram", "metrics_yaml", "total"]

LOWEST_VERSION: Final = "0.161.0"
"""Of otelcol-contrib: the release that the tests run."""

RESOURCE: Final[tuple[dict[str, Any], ...]] = (
    {"key": "service.name", "default_value": "unknown_service"},
    {"key": "deployment.environment.name", "optional": True},
    {"key": "deployment.environment", "optional": True},
)
"""What a derived point keeps of its span's resource; the last is the older name of the one before it."""

_STREAMS = "${env:AGENTCOST_MAX_STREAMS:-50000}"
_LONGEST_VALUE = 256
_CONNECTOR = ("signaltometrics", "signal_to_metrics")
"""What the connector calls itself, before and since its renaming, where it says which Collector derived a point."""
_UNPRICED = f'({OURS} or {BASIS} == "unpriced")'
"""What is unpriced may also be of no other metric: counts that are none, frameworks' copies of calls."""
_CALL = f'{attribute(semconv.OPERATION)} != "{semconv.EXECUTE_TOOL}"'

_HEADING = f"""
Derives metrics from the spans that `transform/agentcost` (pricing.yaml) priced: dollars, tokens, durations, what is
unpriced, what caches saved. Use it with pricing.yaml and with agent.yaml or gateway.yaml.

Needs otelcol-contrib {LOWEST_VERSION} or newer; works in Grafana Alloy's `alloy otel` too. Written by `agentcost
collector-config` from the table of metrics: change that, not this file.

AGENTCOST_MAX_STREAMS (50000) bounds how many series are kept: points of further series are dropped, and counted in
the Collector's own otelcol_deltatocumulative_datapoints{{error="limit"}}.
"""


def metrics_yaml() -> str:
    """The file."""
    return document(
        _HEADING,
        {
            "connectors": {
                "signaltometrics/agentcost": {"error_mode": "ignore", "spans": _spans()},
                "forward/agentcost_priced": {},
                "forward/agentcost_traces": {},
                "forward/agentcost_metrics": {},
            },
            "processors": {
                "transform/agentcost_points": _points(),
                # A series that is idle for less than a day goes on where it was: born again, it would lose dollars.
                "deltatocumulative/agentcost": {"max_stale": "24h", "max_streams": _STREAMS},
            },
        },
    )


def described(signal: Signal) -> dict[str, Any]:
    """Name, unit and meaning."""
    return {"name": signal.name, "unit": signal.unit, "description": signal.description}


def histogram(signal: Signal, value: str) -> dict[str, Any]:
    """Into the buckets of `signal`."""
    return {"histogram": {"buckets": list(signal.buckets), "value": value}}


def total(value: str) -> dict[str, Any]:
    """A counter: without `monotonic` Prometheus would take it for a gauge, and drop it."""
    return {"sum": {"value": value, "monotonic": True}}


def _or_zero(name: str) -> str:
    return f"Double(Coalesce([{attribute(name)}, 0]))"


def _given(name: str) -> str:
    return f"{attribute(name)} != nil"


def _metric(
    signal: Signal, condition: str, value: dict[str, Any], whose: str = OURS, **constants: str
) -> dict[str, Any]:
    """One metric from one kind of span. `constants` are labels that spans do not have."""
    return {
        **described(signal),
        "conditions": [" and ".join(filter(None, (whose, condition)))],
        "include_resource_attributes": list(RESOURCE),
        "attributes": [_label(name, constants) for name in signal.attributes],
        **value,
    }


def _label(name: str, constants: dict[str, str]) -> dict[str, Any]:
    """A label. The operation alone must be there: spans without it, which is most, are passed over at once."""
    if name == semconv.OPERATION:
        return {"key": name}
    for key, constant in constants.items():
        if name == key.replace("__", "."):
            return {"key": name, "default_value": constant}
    return {"key": semconv.UNPRICED if name == semconv.REASON else name, "optional": True}


def _spans() -> list[dict[str, Any]]:
    cost = f"Double({attribute(semconv.COST)})"
    priced = _given(semconv.COST)
    return [
        *_token_usage(),
        _metric(signals.DURATION, _CALL, histogram(signals.DURATION, "Seconds(span.end_time - span.start_time)")),
        _metric(signals.OPERATION_COST, f"{priced} and {_CALL}", histogram(signals.OPERATION_COST, cost)),
        _metric(signals.COST, priced, total(cost)),
        *_tokens(),
        _metric(
            signals.SAVINGS,
            f"{_given(semconv.CACHE_SAVINGS)} and {attribute(semconv.CACHE_SAVINGS)} > 0",
            total(f"Double({attribute(semconv.CACHE_SAVINGS)})"),
            agentcost__savings__kind="cache",
        ),
        _metric(signals.UNPRICED, _given(semconv.UNPRICED), total("1"), _UNPRICED),
    ]


def _token_usage() -> Sequence[dict[str, Any]]:
    kinds = {"input": semconv.INPUT_TOKENS, "output": semconv.OUTPUT_TOKENS}
    return [
        _metric(
            signals.TOKEN_USAGE,
            _given(name),
            histogram(signals.TOKEN_USAGE, f"Double({attribute(name)})"),
            gen_ai__token__type=kind,
        )
        for kind, name in kinds.items()
    ]


def _tokens() -> Sequence[dict[str, Any]]:
    """Each token once: the input without what caches read and wrote, the output without what was thought."""
    read, write, reasoning = map(
        _or_zero, (semconv.CACHE_READ_TOKENS, semconv.CACHE_WRITE_TOKENS, semconv.REASONING_TOKENS)
    )
    kinds = {
        "input": f"{_or_zero(semconv.INPUT_TOKENS)} - {read} - {write}",
        "cache_read": read,
        "cache_write": write,
        "output": f"{_or_zero(semconv.OUTPUT_TOKENS)} - {reasoning}",
        "reasoning": reasoning,
    }
    return [
        _metric(signals.TOKENS, f"{value} > 0", total(value), gen_ai__token__type=kind) for kind, value in kinds.items()
    ]


def _points() -> dict[str, Any]:
    """Where and of which service onto each point, the same for what applications send and what is derived here."""
    older, newer = (f'resource.attributes["{name}.service.instance.id"]' for name in _CONNECTOR)
    reason, unpriced = (f'datapoint.attributes["{name}"]' for name in (semconv.REASON, semconv.UNPRICED))
    return {
        "error_mode": "ignore",
        "metric_statements": [
            {
                # Two Collectors that derive the same series are two writers, and so need two names.
                "conditions": [f"{older} != nil", f"{newer} != nil"],
                "statements": [
                    f'set(resource.attributes["service.instance.id"], Coalesce([{older}, {newer}]))',
                    'delete_matching_keys(resource.attributes, "^signal_?to_?metrics[.]")',
                ],
            },
            {
                "conditions": ['IsMatch(metric.name, "^(agentcost|gen_ai)[.]")'],
                "statements": [
                    *_copied("service.name", "service.name"),
                    *_copied("deployment.environment.name", "deployment.environment.name"),
                    *_copied("deployment.environment", "deployment.environment.name"),
                    f"set({reason}, {unpriced}) where {unpriced} != nil",
                    f'delete_key(datapoint.attributes, "{semconv.UNPRICED}")',
                    f"truncate_all(datapoint.attributes, {_LONGEST_VALUE})",
                ],
            },
        ],
    }


def _copied(source: str, target: str) -> list[str]:
    point, found = f'datapoint.attributes["{target}"]', f'resource.attributes["{source}"]'
    return [f"set({point}, {found}) where {point} == nil and {found} != nil"]
