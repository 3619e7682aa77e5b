"""Query results of a panel: lines for graphs, or a table after Grafana's transformations.

An unsupported transformation is an error: the panel would show something else than Grafana does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana.preview.board import Panel, Query, TimeRange, interpolate
from grafana.preview.json_parts import items, nested
from grafana.preview.prometheus import Client, Series

Row = dict[str, "float | str | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A series with the name that the legend shows. `points` maps Unix times in seconds to finite numbers."""

    name: str
    points: Mapping[float, float]

    @property
    def last(self) -> float | None:
        """The newest number; None where there are no points."""
        return self.points[max(self.points)] if self.points else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows and the order of their columns."""

    columns: list[str]
    rows: list[Row]


def prometheus_queries(panel: Panel, values: Mapping[str, str]) -> list[tuple[Query, str]]:
    """Return a panel's queries to Prometheus, each with the expression to send."""
    queries = [query for query in panel.queries if query.source == "prometheus"]
    return [(query, interpolate(query.expression, values)) for query in queries]


def run_query(query: Query, expression: str, client: Client, time: TimeRange) -> list[Series]:
    """Run a query over the time range, or at its end. Raises QueryError."""
    if query.instant:
        return client.query(expression, time.end)
    return client.query_range(expression, time.points()[0], time.end, time.step)


def query_lines(panel: Panel, client: Client, time: TimeRange, values: Mapping[str, str]) -> list[Line]:
    """Return all series of a panel. Raises QueryError."""
    return [
        Line(
            name=_series_name(interpolate(query.legend, values), series.labels),
            points={at: value for at, value in series.points if math.isfinite(value)},
        )
        for query, expression in prometheus_queries(panel, values)
        for series in run_query(query, expression, client, time)
    ]


def _series_name(legend: str, labels: Mapping[str, str]) -> str:
    if not legend:
        return ", ".join(labels.values())
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), legend)


def query_table(panel: Panel, client: Client, time: TimeRange, values: Mapping[str, str]) -> Table:
    """Return the table of a panel, after its transformations. Raises QueryError, or ValueError for a transformation."""
    queries = prometheus_queries(panel, values)
    tables: list[Table] = []
    for query, expression in queries:
        value = f"Value #{query.ref}" if len(queries) > 1 else "Value"
        rows: list[Row] = [
            {"Time": series.points[-1][0], **series.labels, value: series.last}
            for series in run_query(query, expression, client, time)
        ]
        tables.append(Table(columns=list(dict.fromkeys(name for row in rows for name in row)), rows=rows))
    return transform(tables, items(panel.raw, "transformations"))


def transform(tables: Sequence[Table], steps: Sequence[Mapping[str, Any]]) -> Table:
    """Apply transformations to tables. Raises ValueError for an unsupported one."""
    table = _merged(tables)
    for step in steps:
        options = nested(step, "options")
        if step["id"] == "organize":
            table = _organized(table, options)
        elif step["id"] == "sortBy":
            (by,) = items(options, "sort")
            rows = sorted(table.rows, key=lambda row: _sort_key(row.get(by["field"])), reverse=by["desc"])
            table = Table(columns=table.columns, rows=rows)
        elif step["id"] != "merge":
            raise ValueError(f"unsupported transformation: {step['id']}")
    return table


def _merged(tables: Sequence[Table]) -> Table:
    """Merge rows that agree in all labels."""
    columns = list(dict.fromkeys(name for table in tables for name in table.columns))
    labels = [name for name in columns if not name.startswith("Value")]
    rows: dict[tuple[Any, ...], Row] = {}
    for row in (row for table in tables for row in table.rows):
        rows.setdefault(tuple(row.get(name) for name in labels), {}).update(row)
    return Table(columns=columns, rows=list(rows.values()))


def _organized(table: Table, options: Mapping[str, Any]) -> Table:
    excluded, place, names = (nested(options, f"{part}ByName") for part in ("exclude", "index", "rename"))
    kept = sorted((name for name in table.columns if not excluded.get(name)), key=lambda name: place.get(name, 1000))
    rows: list[Row] = [{names.get(name, name): row.get(name) for name in kept} for row in table.rows]
    return Table(columns=[names.get(name, name) for name in kept], rows=rows)


def _sort_key(value: float | str | None) -> tuple[bool, float, str]:
    known = value is not None and value == value  # noqa: PLR0124 (NaN differs from itself)
    return known, value if isinstance(value, float) and known else 0.0, str(value)


def field_settings(panel: Panel, name: str) -> dict[str, Any]:
    """Return the settings of the field `name`: the panel's defaults and the field's overrides."""
    settings = {**panel.defaults, "custom": nested(panel.defaults, "custom")}
    for override in panel.overrides:
        if override["matcher"] == {"id": "byName", "options": name}:
            for setting in items(override, "properties"):
                part, _, custom = setting["id"].partition("custom.")
                (settings["custom"] if custom else settings)[custom or part] = setting["value"]
    return settings
