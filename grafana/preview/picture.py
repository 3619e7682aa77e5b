"""A board as one SVG: each panel's frame where `gridPos` puts it, and in it a chart, a stat or a table."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import vl_convert

from grafana.preview import charts, style, svg
from grafana.preview.board import Board, Panel, TimeRange, interpolate, parse_duration
from grafana.preview.frames import Line, Row, Table, field_settings, prometheus_queries, query_lines, query_table
from grafana.preview.json_parts import nested
from grafana.preview.prometheus import Client, QueryError

WIDTH: Final = 1600
_GAP, _GRID_ROW, _MARGIN, _TITLE, _HEADER = 8, 38, 16, 34, 44


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where panels get their data."""

    client: Client
    time: TimeRange
    values: Mapping[str, str]
    """Values of the board's variables."""
    runs: Callable[[Panel], Table] | None
    """Returns the rows of a panel whose data is in Tempo; None where there is no such data."""


def draw(board: Board, source: Source, caption: str = "") -> str:
    """Return the SVG of a board; a `caption` adds a line with the board's title above it."""
    top = _HEADER if caption else _GAP
    height = top + _MARGIN + _GRID_ROW * max(panel.y + panel.h for panel in board.panels)
    parts = [svg.box(0, 0, WIDTH, height, fill=style.BACKGROUND)]
    if caption:
        parts.append(svg.text(_MARGIN, 28, board.title, 18))
        parts.append(svg.text(WIDTH - _MARGIN, 28, caption, 12, "#ff9830", "end"))
    parts.append(svg.at(_MARGIN, top, *(_panel(panel, source) for panel in board.panels)))
    size = {"width": WIDTH, "height": height, "viewBox": f"0 0 {WIDTH} {height}"}
    return svg.tag("svg", "".join(parts), xmlns="http://www.w3.org/2000/svg", font_family=style.FONT, **size)


def png(drawing: str) -> bytes:
    """Return the picture of an SVG as PNG."""
    return bytes(vl_convert.svg_to_png(drawing))


def _panel(panel: Panel, source: Source) -> str:
    column = (WIDTH - 2 * _MARGIN + _GAP) / 24
    width, height = panel.w * column - _GAP, panel.h * _GRID_ROW - _GAP
    try:
        content = _content(panel, source, width - 20, height - _TITLE - 8)
    except (QueryError, ValueError, KeyError, TypeError) as error:
        content = svg.tag("g", svg.text(0, 20, f"{type(error).__name__}: {error}", 12, "#f2495c"), **{"class": "error"})
    frame = svg.box(0, 0, width, height, rx=2, fill=style.PANEL, stroke=style.BORDER)
    title = svg.text(10, 22, interpolate(panel.title, source.values), 14)
    head = svg.tag("g", svg.tag("title", html.escape(panel.description)) + frame + title)
    return svg.tag("g", head + svg.at(10, _TITLE, content), transform=f"translate({panel.x * column:.1f},"
                   f"{panel.y * _GRID_ROW})", **{"class": "panel"})  # fmt: skip


def _content(panel: Panel, source: Source, width: float, height: float) -> str:
    if panel.kind == "table":
        return _table(panel, source, width, height)
    time, values = source.time, source.values
    if interval := panel.raw.get("interval"):
        time = replace(time, min_step=parse_duration(interval))
        values = {**values, **time.built_in()}
    lines = query_lines(panel, source.client, time, values)
    if panel.kind == "timeseries":
        return _time_series(panel, lines, time, width, height) if lines else _note(panel.defaults["noValue"])
    if panel.kind == "heatmap":
        return charts.render(charts.heatmap(panel, lines, time), width, height) if lines else _note("No data")
    chart, used = _numbers(panel, lines, width, height)
    return charts.render(chart, width, used)


def _numbers(panel: Panel, lines: Sequence[Line], width: float, height: float) -> tuple[charts.Chart, float]:
    """Return a panel of numbers and the height that it uses. Raises ValueError for an unsupported kind."""
    numbers = charts.values(panel, lines)
    if panel.kind == "bargauge":
        return charts.bar_gauge(panel, numbers, width, height), min(height, 34 * len(numbers))
    if panel.kind == "gauge":
        return charts.gauge(panel, numbers[0], width, height), height
    if panel.kind == "stat":
        course = lines[0] if lines and panel.options["graphMode"] == "area" else None
        return charts.stat(numbers[0], course, width, height), height
    raise ValueError(f"unsupported kind of panel: {panel.kind}")


def _note(text: str) -> str:
    return svg.tag("g", svg.text(4, 20, text, color=style.MUTED), **{"class": "no-data"})


def _time_series(panel: Panel, lines: Sequence[Line], time: TimeRange, width: float, height: float) -> str:
    if nested(panel.options, "legend").get("placement") != "right":
        return charts.render(charts.time_series(panel, lines, time, width), width, height)
    rows: list[dict[str, svg.Cell]] = []
    for index, line in enumerate(lines):
        unit = field_settings(panel, line.name)["unit"]
        last, most = (style.number(value, unit) for value in (line.last, max(line.points.values(), default=None)))
        name = svg.Cell(text=line.name, swatch=charts.line_color(panel, line, index))
        rows.append({"": name, "Last": svg.Cell(text=last, number=True), "Max": svg.Cell(text=most, number=True)})
    aside = min(width / 2, 190 + 7 * max(len(line.name) for line in lines))
    graph = charts.render(charts.time_series(panel, lines, time), width - aside - 10, height)
    return graph + svg.at(width - aside, 0, svg.table(("", "Last", "Max"), rows, aside, height))


def _table(panel: Panel, source: Source, width: float, height: float) -> str:
    red = math.inf
    if any(query.source == "tempo" for query in panel.queries):
        if source.runs is None:
            return _note("This panel needs Tempo: the preview has only Prometheus.")
        table = source.runs(panel)
        (limit,) = (expression for _, expression in prometheus_queries(panel, source.values))
        red = source.client.value(limit, source.time.end)
    else:
        table = query_table(panel, source.client, source.time, source.values)
    if not table.rows:
        return _note(panel.defaults["noValue"])
    fields = {name: field_settings(panel, name) for name in table.columns}
    most = {name: max((value for row in table.rows if isinstance(value := row[name], float)), default=0.0)
            for name in table.columns}  # fmt: skip
    rows = [{name: _cell(row, name, fields[name], most[name], red) for name in table.columns} for row in table.rows]
    return svg.table(table.columns, rows, width, height)


def _cell(row: Row, name: str, field: Mapping[str, object], most: float, red: float) -> svg.Cell:
    value = row.get(name)
    if isinstance(value, str):
        return svg.Cell(text=value)
    text = style.number(value, str(field["unit"]))
    kind = nested(nested(field, "custom"), "cellOptions").get("type")
    color = style.color(field, value, style.TEXT)
    if value is None or kind == "auto":
        return svg.Cell(text=text, number=True)
    if kind == "color-background":
        return svg.Cell(text=text, number=True, background="#f2495c" if value >= red else "none")
    if kind == "gauge":
        return svg.Cell(text=text, number=True, color=color, share=max(0.0, value) / most if most else 0.0)
    return svg.Cell(text=text, number=True, color=color)
