"""Builds tables: several PromQL queries joined by their labels, and runs from Tempo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.models import dashboard, tempo

from grafana.boards import traces
from grafana.boards.panels import RED, TEMPO, USD, Query, override, panel
from otel_agentcost.core import semconv
from otel_agentcost.telemetry.signals import label

_OPTIONS: Final = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": ["sum"], "fields": ""}}
_TEMPO_OWN: Final = {
    "traceIdHidden": "Trace", "traceService": "Service", "traceName": "Root span", "time": "Start",
    "duration": "Duration",
}  # fmt: skip
"""Titles of Tempo's own columns of a table of spans."""
_TOTALS: Final = {
    semconv.AGENT: ("Agent", "string"),
    semconv.USER: ("User", "string"),
    semconv.TRACE_LLM_CALLS: ("Model calls", "short"),
    semconv.TRACE_INPUT_TOKENS: ("Input tokens", "short"),
    semconv.TRACE_OUTPUT_TOKENS: ("Output tokens", "short"),
    semconv.TRACE_LLM_COST: ("Models", USD),
    semconv.TRACE_TOOL_COST: ("Tools", USD),
    semconv.TRACE_COST: ("Total", USD),
}
"""Titles and units of the columns with attributes of a run's root span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of numbers and its query."""

    title: str
    query: str
    unit: str
    look: Mapping[str, Any] | None = None


def table(
    title: str,
    description: str,
    rows: Mapping[str, str],
    columns: Sequence[Column],
    *,
    sort: str,
    unit: str = USD,
) -> dashboard.Panel:
    """Return a table with one row for each combination of the attributes in `rows`, which maps them to titles."""
    targets = [Query(text=one.query, instant=True, format="table") for one in columns]
    values = ["Value"] if len(columns) == 1 else [f"Value #{chr(ord('A') + place)}" for place in range(len(columns))]
    titles = {label(name): text for name, text in rows.items()} | dict(
        zip(values, (one.title for one in columns), strict=True)
    )
    organized = {
        "excludeByName": {"Time": True},
        "indexByName": {name: place for place, name in enumerate(titles)},
        "renameByName": titles,
    }
    return panel(
        "table", title, description, targets, unit=unit, options=dict(_OPTIONS),
        overrides=[override(one.title, unit=one.unit, **(one.look or {})) for one in columns],
        transformations=[
            ("merge", {}), ("organize", organized), ("sortBy", {"fields": {}, "sort": [{"field": sort, "desc": True}]}),
        ],
        custom={"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}, no_value="-",
    )  # fmt: skip


def runs(title: str, description: str, red_from: str, *, where: str = "", attributes: Sequence[str]) -> dashboard.Panel:
    """Return a table of runs from Tempo with links to their traces; totals above `red_from` (PromQL) are red."""
    query = tempo.Dataquery(
        query_type="traceql",
        query=traces.runs(*attributes, where=where),
        table_type=tempo.SearchTableType("spans"),
        limit=200,
        spss=1,  # one span for each trace: its root
        datasource=TEMPO,
    )
    limit = Query(text=red_from, instant=True)
    titles = {**_TEMPO_OWN, **{name: _TOTALS[name][0] for name in attributes}}
    organized = {
        "excludeByName": {"spanID": True, "name": True},
        "indexByName": {name: place for place, name in enumerate(titles)},
        "renameByName": titles,
    }
    threshold = {
        "configRefId": "B",
        "applyTo": {"id": "byName", "options": semconv.TRACE_COST},
        "mappings": [
            {"fieldName": "Value", "handlerKey": "threshold1", "handlerArguments": {"threshold": {"color": RED}}},
            {"fieldName": "Time", "handlerKey": "__ignore"},
        ],
    }
    return panel(
        "table", title, description, [query, limit], unit="short", options=dict(_OPTIONS),
        overrides=[
            override("traceIdHidden", **_TRACE), override("Trace", **_TRACE),
            *(override(_TOTALS[name][0], unit=_TOTALS[name][1]) for name in attributes),
            override("Total", custom__cellOptions={"type": "color-background", "mode": "basic"},
                     color={"mode": "thresholds"}),
        ],
        transformations=[
            ("configFromData", threshold), ("organize", organized),
            ("sortBy", {"fields": {}, "sort": [{"field": "Total", "desc": True}]}),
        ],
        custom={"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False, "filterable": True},
        no_value="No runs in this range",
    )  # fmt: skip


def _explore() -> str:
    """Return the URL of a trace in Explore, in the form of Grafana 10.4 and later."""
    trace = '{"a":{"datasource":"${tempo}","queries":[{"refId":"A","queryType":"traceql","query":"${__value.raw}"}]}}'
    quoted = trace.replace('"', "%22").replace("{%22", "%7B%22").replace("}]}}", "%7D%5D%7D%7D").replace("[", "%5B")
    return f"/explore?schemaVersion=1&orgId=1&panes={quoted}"


_TRACE: Final[dict[str, Any]] = {
    "custom__hidden": False, "custom__width": 270,
    "links": [{"title": "Open the trace", "url": _explore(), "targetBlank": True}],
}  # fmt: skip
"""Tempo hides the full trace id; this shows it as the link to the trace."""
