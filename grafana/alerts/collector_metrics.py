"""Names of the Collector's (0.161) internal metrics, at its port 8888, that the alerts use."""

from __future__ import annotations

from typing import Final

DELTA_POINTS: Final = "otelcol_deltatocumulative_datapoints"
"""Points received by the processor. Points with `error` were dropped: `limit` (too many series), or out of order."""
SPANS_NOT_SENT: Final = "otelcol_exporter_send_failed_spans"
POINTS_NOT_SENT: Final = "otelcol_exporter_send_failed_metric_points"
SPANS_NOT_QUEUED: Final = "otelcol_exporter_enqueue_failed_spans"
POINTS_NOT_QUEUED: Final = "otelcol_exporter_enqueue_failed_metric_points"
SPANS_REFUSED: Final = "otelcol_receiver_refused_spans"
POINTS_REFUSED: Final = "otelcol_receiver_refused_metric_points"
RUNS_EVICTED: Final = "otelcol_processor_groupbytrace_traces_evicted"
RUNS_INCOMPLETE: Final = "otelcol_processor_groupbytrace_incomplete_releases"

ALL: Final = (
    DELTA_POINTS, SPANS_NOT_SENT, POINTS_NOT_SENT, SPANS_NOT_QUEUED, POINTS_NOT_QUEUED, SPANS_REFUSED, POINTS_REFUSED,
    RUNS_EVICTED, RUNS_INCOMPLETE,
)  # fmt: skip


def counter(name: str, matchers: str = "") -> str:
    """Return a selector of a Collector counter: its name ends with `_total` by OTLP, but not when scraped."""
    more = f", {matchers}" if matchers else ""
    return f'{{__name__=~"{name}(_total)?"{more}}}'
