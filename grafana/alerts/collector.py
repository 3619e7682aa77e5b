"""Alerts about a Collector that loses telemetry, whose cost is then missing on all boards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from grafana.alerts import collector_metrics as metrics
from grafana.alerts.alert import Alert
from grafana.alerts.promql import total
from grafana.alerts.thresholds import Thresholds
from grafana.boards.queries import growth

_WINDOW: Final = "10m"


def collector_alerts(limits: Thresholds) -> Iterator[Alert]:
    """Yield the alerts with these thresholds."""
    yield Alert(
        name="AgentcostCollectorDropsPoints", group="agentcost-collector", severity="critical", unit="count",
        query=total("error", metrics.counter(metrics.DELTA_POINTS, 'error!=""'), _WINDOW), threshold=limits.lost,
        summary="A Collector dropped {value} metric points in 10 minutes ({error}): cost is missing",
        description="`limit`: there are more series than AGENTCOST_MAX_STREAMS. Raise it, or reduce the number of "
                    "users and agents. `delta.ErrOutOfOrder`: points were late. batch/agentcost must directly precede "
                    "the connector.",
    )  # fmt: skip
    failed = (metrics.SPANS_NOT_SENT, metrics.POINTS_NOT_SENT, metrics.SPANS_NOT_QUEUED, metrics.POINTS_NOT_QUEUED)
    yield Alert(
        name="AgentcostCollectorSendFails", group="agentcost-collector", severity="warning", pending="5m", unit="count",
        query=_sum("exporter", failed), threshold=limits.lost,
        summary="A Collector could not send {value} spans or points in 10 minutes (exporter {exporter})",
        description="They are lost after the retries. Check the backend, its key and the length of the queue.",
    )  # fmt: skip
    yield Alert(
        name="AgentcostCollectorRefuses", group="agentcost-collector", severity="warning", pending="5m", unit="count",
        query=_sum("receiver", (metrics.SPANS_REFUSED, metrics.POINTS_REFUSED)), threshold=limits.lost,
        summary="A Collector refused {value} spans or points in 10 minutes (receiver {receiver})",
        description="Its memory (AGENTCOST_MEMORY_MIB) or a queue is nearly full. Senders retry for a limited time.",
    )  # fmt: skip
    yield Alert(
        name="AgentcostCollectorCutsRuns", group="agentcost-collector", severity="warning", unit="count",
        query=_sum("", (metrics.RUNS_EVICTED, metrics.RUNS_INCOMPLETE)), threshold=limits.lost,
        summary="A Collector dropped {value} runs in 10 minutes before their window ended",
        description="These runs are missing in the totals of runs. Add gateways, or shorten AGENTCOST_RUN_WINDOW.",
    )  # fmt: skip


def _sum(labels: str, counters: tuple[str, ...]) -> str:
    """Return the sum of several counters; a label for each keeps `or` from dropping any."""
    parts = " or ".join(
        f'label_replace({growth(metrics.counter(counter), _WINDOW)}, "of", "{at}", "", "")'
        for at, counter in enumerate(counters)
    )
    return f"sum by ({labels}) ({parts})"
