"""The runs of the sample as the rows that Tempo would give for the same question."""

from __future__ import annotations

from grafana.preview import units
from grafana.preview.board import Panel
from grafana.preview.frames import Row, Table
from grafana.preview.sample import Sample

_COLUMNS = ("Run", "Began", "Service", "Agent", "User", "Steps", "Tokens", "Models", "Tools", "Total")


def runs_of(known: Sample, since: float, _panel: Panel) -> Table:
    """The dearest runs since a time."""
    found = [run for run in known.runs if run.ended > since and run.made]
    found.sort(key=lambda run: -run.usd)
    rows: list[Row] = [
        {
            "Run": run.trace[:16],
            "Began": units.write(run.began * 1000, "dateTimeAsIso"),
            "Service": run.agent.service,
            "Agent": run.agent.name,
            "User": run.user,
            "Steps": float(len(run.made)),
            "Tokens": float(sum(call.usage.input_tokens + call.usage.output_tokens for call in run.made)),
            "Models": run.model_usd,
            "Tools": run.tool_usd,
            "Total": run.usd,
        }
        for run in found[:100]
    ]
    return Table(columns=list(_COLUMNS), rows=rows)
