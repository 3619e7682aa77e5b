"""Alerts about a Collector that loses what it was sent: dollars that no board can show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from grafana.alerts import own
from grafana.alerts.kind import Alert
from grafana.alerts.promql import total
from grafana.alerts.thresholds import Thresholds
from grafana.boards.queries import grew

_WINDOW: Final = "10m"


def from_collector(limits: Thresholds) -> Iterator[Alert]:
    """The alerts, with these thresholds."""
    yield Alert(
        name="AgentcostCollectorDropsPoints", group="agentcost-collector", severity="critical", shown="count",
        query=total("error", own.either(own.DELTA_POINTS, 'error!=""'), _WINDOW), threshold=limits.lost,
        summary="A Collector dropped {value} metric points in 10 minutes ({error}): dollars are missing",
        means="`limit`: there are more series than AGENTCOST_MAX_STREAMS; raise it, or bound users and agents. "
              "`delta.ErrOutOfOrder`: points came late; batch/agentcost must stand directly before the connector.",
    )  # fmt: skip
    failed = (own.SPANS_NOT_SENT, own.POINTS_NOT_SENT, own.SPANS_NOT_QUEUED, own.POINTS_NOT_QUEUED)
    yield Alert(
        name="AgentcostCollectorSendFails", group="agentcost-collector", severity="warning", hold="5m", shown="count",
        query=_sum("exporter", failed), threshold=limits.lost,
        summary="A Collector could not send {value} spans or points in 10 minutes with {exporter}",
        means="They are lost after the retries. Does the backend answer, is the key right, is the queue too short?",
    )  # fmt: skip
    yield Alert(
        name="AgentcostCollectorRefuses", group="agentcost-collector", severity="warning", hold="5m", shown="count",
        query=_sum("receiver", (own.SPANS_REFUSED, own.POINTS_REFUSED)), threshold=limits.lost,
        summary="A Collector refused {value} spans or points in 10 minutes at its receiver {receiver}",
        means="Its memory is nearly full (AGENTCOST_MEMORY_MIB), or a queue behind it. Senders try again for a while.",
    )  # fmt: skip
    yield Alert(
        name="AgentcostCollectorCutsRuns", group="agentcost-collector", severity="warning", shown="count",
        query=_sum("", (own.RUNS_EVICTED, own.RUNS_INCOMPLETE)), threshold=limits.lost,
        summary="A Collector evicted {value} runs in 10 minutes before their window was over",
        means="Those runs are in no total of runs. Add gateways, or a shorter AGENTCOST_RUN_WINDOW.",
    )  # fmt: skip


def _sum(labels: str, counters: tuple[str, ...]) -> str:
    """All counters together; each gets a label of its own, so that none hides another."""
    parts = " or ".join(
        f'label_replace({grew(own.either(counter), _WINDOW)}, "of", "{at}", "", "")'
        for at, counter in enumerate(counters)
    )
    return f"sum by ({labels}) ({parts})"
