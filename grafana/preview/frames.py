"""What a panel shows: its queries run, and the answers made into lines, or into a table that is transformed.

Knows the transformations that the boards use; another one is an error, not a wrong picture.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana.preview.board import Moment, Panel, Query, replaced
from grafana.preview.prometheus import Client, Series
from grafana.preview.raw import inner, items

Row = dict[str, "float | str | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A series with the name that its legend has."""

    name: str
    ref: str
    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]

    def reduced(self, how: str) -> float | None:
        """One number for all points."""
        values = [value for _, value in self.points if not math.isnan(value)]
        if not values:
            return None
        return _REDUCERS.get(how, _REDUCERS["lastNotNull"])(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows and columns; columns keep their order."""

    columns: list[str]
    rows: list[Row]


def _last(values: Sequence[float]) -> float:
    return values[-1]


def _first(values: Sequence[float]) -> float:
    return values[0]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


_REDUCERS: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "lastNotNull": _last, "last": _last, "firstNotNull": _first, "first": _first, "mean": _mean, "sum": math.fsum,
    "max": max, "min": min, "count": lambda values: float(len(values)),
    "range": lambda values: max(values) - min(values), "diff": lambda values: values[-1] - values[0],
}  # fmt: skip


def asked(panel: Panel, values: Mapping[str, str]) -> list[tuple[Query, str]]:
    """The queries to Prometheus, each with its expression as it is sent."""
    return [
        (query, replaced(query.expression, values))
        for query in panel.queries
        if query.source == "prometheus" and query.expression
    ]


def run(query: Query, expression: str, client: Client, moment: Moment) -> list[Series]:
    """The answer to a query. Raises Refused."""
    if query.instant:
        return client.query(expression, moment.end)
    start = math.floor(moment.start / moment.step) * moment.step
    return client.query_range(expression, start, moment.end, moment.step)


def lines(panel: Panel, client: Client, moment: Moment, values: Mapping[str, str]) -> list[Line]:
    """All series of a panel."""
    found: list[Line] = []
    for query, expression in asked(panel, values):
        if query.hidden:
            continue
        legend = replaced(query.legend, values)
        for one in run(query, expression, client, moment):
            name = _named(legend, one.labels, expression)
            found.append(Line(name=name, ref=query.ref, labels=one.labels, points=one.points))
    for step in items(panel.raw, "transformations"):
        if step["id"] == "renameByRegex":
            found = [_renamed(line, step["options"]) for line in found]
    return found


def table(panel: Panel, client: Client, moment: Moment, values: Mapping[str, str]) -> Table:
    """The rows and columns of a panel, after its transformations."""
    tables: list[tuple[str, Table]] = []
    queries = [one for one in asked(panel, values) if not one[0].hidden]
    for query, expression in queries:
        answer = run(query, expression, client, moment)
        value = f"Value #{query.ref}" if len(queries) > 1 else "Value"
        labels = sorted({name for one in answer for name in one.labels if name != "__name__"})
        rows: list[Row] = [{"Time": one.points[-1][0] * 1000, **one.labels, value: one.last} for one in answer]
        tables.append((query.ref, Table(columns=["Time", *labels, value], rows=rows)))
    return transformed([one for _, one in tables], items(panel.raw, "transformations"))


def transformed(tables: list[Table], steps: Sequence[Mapping[str, Any]]) -> Table:
    """What transformations make of tables, as the one table that is shown."""
    for step in steps:
        if step.get("disabled"):
            continue
        kind, options = step["id"], inner(step, "options")
        if kind in ("merge", "joinByField"):
            tables = [_merged(tables, options.get("byField") if kind == "joinByField" else None)]
        elif kind in _STEPS:
            tables = [_STEPS[kind](one, options) for one in tables]
        else:
            raise ValueError(f"this transformation is not known here: {kind}")
    return tables[0] if tables else Table(columns=[], rows=[])


def _merged(tables: list[Table], by: str | None) -> Table:
    """Rows of all tables; those that agree in everything but their values become one."""
    columns = list(dict.fromkeys(name for one in tables for name in one.columns))
    labels = [by] if by else [name for name in columns if not name.startswith("Value")]
    rows: dict[tuple[Any, ...], Row] = {}
    for one in tables:
        for row in one.rows:
            rows.setdefault(tuple(row.get(name) for name in labels), {}).update(row)
    order = [*labels, *(name for name in columns if name not in labels)]
    return Table(columns=order, rows=list(rows.values()))


def _organized(given: Table, options: Mapping[str, Any]) -> Table:
    leave, names = inner(options, "excludeByName"), inner(options, "renameByName")
    place = inner(options, "indexByName")
    include = {name for name, yes in inner(options, "includeByName").items() if yes}
    kept = [name for name in given.columns if not leave.get(name) and (not include or name in include)]
    kept.sort(key=lambda name: place.get(name, 1000))
    rows: list[Row] = [{names.get(name) or name: row.get(name) for name in kept} for row in given.rows]
    return Table(columns=[names.get(name) or name for name in kept], rows=rows)


def _sorted(given: Table, options: Mapping[str, Any]) -> Table:
    for by in reversed(items(options, "sort")):
        rows = sorted(given.rows, key=_key(by["field"]), reverse=bool(by.get("desc")))
        given = Table(columns=given.columns, rows=rows)
    return given


def _key(name: str) -> Callable[[Row], tuple[bool, float, str]]:
    def key(row: Row) -> tuple[bool, float, str]:
        value = row.get(name)
        known = value is not None and value == value  # noqa: PLR0124 (NaN is not itself)
        return known, value if isinstance(value, float) and known else 0.0, str(value)

    return key


def _limited(given: Table, options: Mapping[str, Any]) -> Table:
    return Table(columns=given.columns, rows=given.rows[: int(options.get("limitField") or 10)])


def _filtered_columns(given: Table, options: Mapping[str, Any]) -> Table:
    include, exclude = inner(options, "include"), inner(options, "exclude")
    kept = [
        name for name in given.columns
        if (not include or name in (include.get("names") or ()) or _matches(include.get("pattern"), name))
        and name not in (exclude.get("names") or ()) and not _matches(exclude.get("pattern"), name)
    ]  # fmt: skip
    return Table(columns=kept, rows=given.rows)


def _matches(pattern: str | None, name: str) -> bool:
    return bool(pattern) and re.search(str(pattern).strip("/"), name) is not None


def _calculated(given: Table, options: Mapping[str, Any]) -> Table:
    name = options.get("alias") or "Total"
    if options.get("mode") == "binary":
        left, right = (_operand(options["binary"][side]) for side in ("left", "right"))
        work = _OPERATORS[options["binary"].get("operator", "+")]
        rows: list[Row] = [{**row, name: _worked(work, left(row), right(row))} for row in given.rows]
    else:
        fields = inner(options, "reduce").get("include") or [
            column for column in given.columns if column.startswith("Value")
        ]
        numbers = [[value for field in fields if isinstance(value := row.get(field), float)] for row in given.rows]
        rows = [{**row, name: math.fsum(found)} for row, found in zip(given.rows, numbers, strict=True)]
    columns = [name] if options.get("replaceFields") else [*given.columns, name]
    return Table(columns=columns, rows=rows)


def _operand(side: Any) -> Callable[[Row], float | None]:
    """A field's value, or a fixed number: Grafana 10 writes either as text, Grafana 11 in an object."""
    if not isinstance(side, str):
        side = side.get("fixed", inner(side, "matcher").get("options"))
    text = str(side)
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return lambda _row: float(text)
    return lambda row: value if isinstance(value := row.get(text), float) else None


def _worked(work: Callable[[float, float], float], left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else work(left, right)


_OPERATORS: Final[dict[str, Callable[[float, float], float]]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "/": lambda a, b: a / b if b else math.nan,
}  # fmt: skip


def _renamed_columns(given: Table, options: Mapping[str, Any]) -> Table:
    names = {name: _renaming(name, options) for name in given.columns}
    rows: list[Row] = [{names.get(name, name): value for name, value in row.items()} for row in given.rows]
    return Table(columns=list(names.values()), rows=rows)


def _renamed(line: Line, options: Mapping[str, Any]) -> Line:
    return Line(name=_renaming(line.name, options), ref=line.ref, labels=line.labels, points=line.points)


def _renaming(name: str, options: Mapping[str, Any]) -> str:
    by = re.sub(r"\$(\d)", r"\\\1", options.get("renamePattern") or "")
    return re.sub(str(options.get("regex") or "").strip("/"), by, name)


def _same(given: Table, _options: Mapping[str, Any]) -> Table:
    return given


_STEPS: Final[dict[str, Callable[[Table, Mapping[str, Any]], Table]]] = {
    "organize": _organized, "sortBy": _sorted, "limit": _limited, "filterFieldsByName": _filtered_columns,
    "calculateField": _calculated, "renameByRegex": _renamed_columns, "labelsToFields": _same,
    "convertFieldType": _same,
}  # fmt: skip


def _named(legend: str, labels: Mapping[str, str], expression: str) -> str:
    if legend and legend != "__auto":
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), legend)
    said = {name: value for name, value in labels.items() if name != "__name__"}
    if len(said) == 1:
        return next(iter(said.values()))
    return ", ".join(f"{name}={value}" for name, value in said.items()) or expression


def settings(panel: Panel, name: str, ref: str = "", *, number: bool = True) -> dict[str, Any]:
    """How the field of that name is to look: the panel's defaults, and the overrides that are for it."""
    found = dict(panel.defaults)
    found["custom"] = inner(found, "custom")
    for override in panel.overrides:
        matcher = inner(override, "matcher")
        kind, wanted = matcher.get("id"), matcher.get("options")
        if not (
            (kind == "byName" and wanted == name)
            or (kind == "byRegexp" and _matches(str(wanted), name))
            or (kind == "byFrameRefID" and wanted == ref)
            or (kind == "byType" and wanted == ("number" if number else "string"))
        ):
            continue
        for one in items(override, "properties"):
            if one["id"].startswith("custom."):
                found["custom"][one["id"].removeprefix("custom.")] = one.get("value")
            else:
                found[one["id"]] = one.get("value")
    return found
