"""The sample's runs as the rows that Tempo returns for the boards' TraceQL."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from grafana.preview.board import Panel
from grafana.preview.frames import Row, Table
from grafana.preview.json_parts import items
from grafana.preview.sample import Run, Sample
from otel_agentcost.core import semconv

_MIN_CALLS: Final = re.compile(rf"span\.{re.escape(semconv.TRACE_LLM_CALLS)} >= (\d+)")


def runs_of(sample: Sample, since: float, panel: Panel) -> Table:
    """Return the most expensive runs that ended after `since`, with the columns of `panel`."""
    (query,) = (query.expression for query in panel.queries if query.source == "tempo")
    (organize,) = (step for step in items(panel.raw, "transformations") if step["id"] == "organize")
    match = _MIN_CALLS.search(query)
    min_calls = int(match[1]) if match else 1
    runs = [run for run in sample.runs if run.ended > since and len(run.allowed_calls) >= min_calls]
    runs.sort(key=lambda run: -run.usd)
    return Table(columns=list(organize["options"]["renameByName"].values()), rows=[_row(run) for run in runs[:200]])


def _row(run: Run) -> Row:
    return {
        "Trace": run.trace,
        "Service": run.agent.service,
        "Root span": f"invoke_agent {run.agent.name}",
        "Start": f"{dt.datetime.fromtimestamp(run.started, dt.timezone.utc):%Y-%m-%d %H:%M:%S}",
        "Duration": f"{run.ended - run.started:.0f} s",
        "Agent": run.agent.name,
        "User": run.user,
        "Model calls": float(len(run.allowed_calls)),
        "Input tokens": float(sum(call.usage.input_tokens for call in run.allowed_calls)),
        "Output tokens": float(sum(call.usage.output_tokens for call in run.allowed_calls)),
        "Models": run.model_usd,
        "Tools": run.tool_usd,
        "Total": run.usd,
    }
