"""OTLP as coding agents send it: events (log records), counters and histograms, spans."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

DELTA, CUMULATIVE = 1, 2
"""Aggregation temporalities of OTLP."""


def value_of(value: Any) -> dict[str, Any]:
    """An attribute's value in OTLP/JSON."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": value}


def pairs(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Attributes in OTLP/JSON."""
    return [{"key": key, "value": value_of(value)} for key, value in attributes.items()]


def logs(service: str, scope: str, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Records of one logger: `@body`, `@event` and `@at` (0: only observed) are no attributes."""
    now = str(time.time_ns())
    made: list[dict[str, Any]] = []
    for one in records:
        record: dict[str, Any] = {
            "timeUnixNano": str(one.get("@at", now)),
            "observedTimeUnixNano": now,
            "attributes": pairs({key: value for key, value in one.items() if not key.startswith("@")}),
        }
        if "@body" in one:
            record["body"] = {"stringValue": one["@body"]}
        if "@event" in one:
            record["eventName"] = one["@event"]
        made.append(record)
    resource = {"attributes": pairs({"service.name": service} if service else {})}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": {"name": scope}, "logRecords": made}]}]}


def counter(name: str, temporality: int, points: Sequence[tuple[float, Mapping[str, Any]]]) -> dict[str, Any]:
    """A counter with points of (value, attributes), since just now."""
    return {
        "name": name,
        "sum": {
            "aggregationTemporality": temporality,
            "isMonotonic": True,
            "dataPoints": [
                {**_times(), ("asInt" if isinstance(value, int) else "asDouble"): value, "attributes": pairs(said)}
                for value, said in points
            ],
        },
    }


def histogram(name: str, temporality: int, points: Sequence[tuple[int, float, Mapping[str, Any]]]) -> dict[str, Any]:
    """A histogram with points of (count, sum, attributes)."""
    return {
        "name": name,
        "histogram": {
            "aggregationTemporality": temporality,
            "dataPoints": [
                {
                    **_times(),
                    "count": str(count),
                    "sum": total,
                    "bucketCounts": [str(count)],
                    "explicitBounds": [],
                    "attributes": pairs(said),
                }
                for count, total, said in points
            ],
        },
    }


def metrics(service: str, scope: str, *made: dict[str, Any]) -> dict[str, Any]:
    """Metrics of one meter."""
    resource = {"attributes": pairs({"service.name": service})}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"scope": {"name": scope}, "metrics": made}]}]}


_started = [time.time_ns()]


def _times() -> dict[str, str]:
    return {"startTimeUnixNano": str(_started[0]), "timeUnixNano": str(time.time_ns())}


def process_starts() -> None:
    """The agent's process starts now, after the Collector: cumulative points count from here."""
    _started[0] = time.time_ns()
