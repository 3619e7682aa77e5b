"""Panels as Vega-Lite specifications: time series, heatmaps, bar gauges, gauges and stats. vl-convert renders them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import vl_convert

from grafana.preview import style
from grafana.preview.board import Panel, TimeRange
from grafana.preview.frames import Line, field_settings
from grafana.preview.json_parts import nested

Chart = dict[str, Any]
"""A Vega-Lite specification without its size."""
_POWERS: Final = [10.0**power for power in range(-6, 7)]
_THEME: Final[Chart] = {
    "background": "transparent",
    "font": style.FONT,
    "view": {"stroke": None},
    "axis": {"domain": False, "ticks": False, "title": None, "gridColor": style.GRID, "labelColor": style.MUTED,
             "labelFontSize": 11, "labelPadding": 6},
    "legend": {"labelColor": style.TEXT, "labelFontSize": 12, "labelLimit": 380, "symbolType": "stroke",
               "symbolStrokeWidth": 4, "columnPadding": 14, "title": None, "orient": "bottom"},
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One number of a panel."""

    name: str
    value: float | None
    text: str
    color: str


def values(panel: Panel, lines: Sequence[Line]) -> list[Value]:
    """Return the last number of each series, or one `Value` without a number if there is no series."""
    numbers: list[Value] = []
    for name, value in [(line.name, line.last) for line in lines] or [(panel.title, None)]:
        field = field_settings(panel, name)
        text = field["noValue"] if value is None else style.number(value, field["unit"])
        numbers.append(Value(name=name, value=value, text=text, color=style.color(field, value, style.PALETTE[0])))
    return numbers


def line_color(panel: Panel, line: Line, index: int) -> str:
    """Return the color of the series at `index` in a time series panel."""
    return style.color(field_settings(panel, line.name), line.last, style.PALETTE[index % len(style.PALETTE)])


def render(chart: Chart, width: float, height: float) -> str:
    """Return a chart as SVG of that size in pixels."""
    size = {"width": round(width), "height": round(height), "autosize": {"type": "fit", "contains": "padding"}}
    return vl_convert.vegalite_to_svg({**chart, **size, "padding": 2}, config=_THEME)


def time_series(panel: Panel, lines: Sequence[Line], time: TimeRange, legend_width: float = 0) -> Chart:
    """Return lines over time or stacked areas, with a legend below if `legend_width` is not 0, in pixels.

    Fields whose axis is on the right have a scale of their own.
    """
    fields = {line.name: field_settings(panel, line.name) for line in lines}
    widths = [7 * len(name) + 36 for name in fields]
    columns = len(widths) if sum(widths) < legend_width else max(1, int(legend_width / max(widths)))
    colors = [line_color(panel, line, index) for index, line in enumerate(lines)]
    color: Chart = {
        "field": "name",
        "type": "nominal",
        "scale": {"domain": list(fields), "range": colors},
        "legend": {"columns": columns} if legend_width else None,
    }
    sides: dict[str, list[Line]] = {}
    for line in lines:
        sides.setdefault(fields[line.name]["custom"].get("axisPlacement", "left"), []).append(line)
    layers = [_lines(some, fields[some[0].name], time, color, side) for side, some in sides.items()]
    return {"layer": layers, "resolve": {"scale": {"y": "independent"}}}


def _lines(lines: Sequence[Line], field: Mapping[str, Any], time: TimeRange, color: Chart, side: str) -> Chart:
    custom = field["custom"]
    stacked = nested(custom, "stacking").get("mode") == "normal"
    logarithmic = nested(custom, "scaleDistribution").get("type") == "log"
    missing = 0 if stacked else None
    rows = [
        {"time": 1000 * at, "name": line.name, "value": line.points.get(at, missing)}
        for line in lines
        for at in time.points()
    ]
    axis = {"orient": side, "labelExpr": style.AXIS_LABEL[field["unit"]], "grid": side == "left"}
    y: Chart = {
        "field": "value",
        "type": "quantitative",
        "stack": "zero" if stacked else None,
        "axis": axis | ({"values": _POWERS} if logarithmic else {"tickCount": 5}),
        "scale": {"type": "log"} if logarithmic else {"domainMax": field["max"]} if field.get("max") else {},
    }
    stroke = {"strokeWidth": custom["lineWidth"], "strokeCap": "round"}  # a round cap shows a point without neighbors
    area = {"type": "area", "fillOpacity": custom["fillOpacity"] / 100, "line": stroke}
    drawn = {
        "data": {"values": rows},
        "mark": {"type": "line", **stroke} if logarithmic else area,
        "encoding": {"x": _time_axis(time), "y": y, "color": color},
    }
    bounds = style.thresholds(field) if nested(custom, "thresholdsStyle").get("mode") == "dashed" else []
    rules: list[Chart] = [
        {"data": {"values": [{}]}, "mark": {"type": "rule", "color": shade, "strokeDash": [8, 6]},
         "encoding": {"y": {"datum": bound}}}
        for bound, shade in bounds
        if math.isfinite(bound)
    ]  # fmt: skip
    return {"layer": [drawn, *rules]}


def _time_axis(time: TimeRange, field: str = "time") -> Chart:
    form = "%H:%M" if time.seconds <= 2 * 86400 else "%m/%d"
    scale = {"type": "utc", "domain": [1000 * time.start, 1000 * time.end]}
    return {"field": field, "type": "temporal", "scale": scale, "axis": {"format": form, "tickCount": 6}}


def heatmap(panel: Panel, lines: Sequence[Line], time: TimeRange) -> Chart:
    """Return the buckets of a histogram over time. Each line is a cumulative bucket, named by its upper bound."""
    buckets = sorted(lines, key=lambda line: float(line.name))
    rows: list[dict[str, float]] = []
    below: Mapping[float, float] = {}
    for place, bucket in enumerate(buckets):
        for at, count in bucket.points.items():
            if at - time.step >= time.start and count > below.get(at, 0.0):
                span = {"from": 1000 * (at - time.step), "to": 1000 * at}
                rows.append({**span, "bucket": place, "value": count - below.get(at, 0.0)})
        below = bucket.points
    places = [int(row["bucket"]) for row in rows] or range(len(buckets))
    shown = range(max(places), min(places) - 1, -1)
    unit = nested(panel.options, "yAxis")["unit"]
    bounds = [float(bucket.name) for bucket in buckets]
    labels = ["more" if math.isinf(bound) else style.number(bound, unit) for bound in bounds]
    axis = {"labelExpr": f"{labels}[datum.value]", "labelOverlap": True}
    return {
        "data": {"values": rows},
        "mark": {"type": "rect", "stroke": style.PANEL, "strokeWidth": 0.5},
        "encoding": {
            "x": _time_axis(time, "from"),
            "x2": {"field": "to"},
            "y": {"field": "bucket", "type": "ordinal", "scale": {"domain": list(shown)}, "axis": axis},
            "color": {"field": "value", "type": "quantitative", "legend": None,
                      "scale": {"type": "sqrt", "range": ["#1b2a4a", "#8ab8ff"]}},
        },
    }  # fmt: skip


def bar_gauge(panel: Panel, numbers: Sequence[Value], width: float, height: float) -> Chart:
    """Return a horizontal bar for each number, as many as fit into `height` pixels, with the number beside it."""
    most = float(panel.defaults.get("max") or max(number.value or 0 for number in numbers) or 1)
    rows = [
        {"name": one.name, "value": min(max(one.value or 0, 0), most), "text": one.text, "color": one.color}
        for one in numbers[: max(1, int(height / 18))]
    ]
    room = {"type": "quantitative", "axis": None, "scale": {"domain": [0, 1.22 * most], "nice": False}}
    color = {"color": {"field": "color", "type": "nominal", "scale": None}}
    names = {"field": "name", "type": "nominal", "sort": None,
             "scale": {"paddingInner": 0.25, "paddingOuter": 0.1},
             "axis": {"labelLimit": width * 0.45, "labelFontSize": 12}}  # fmt: skip
    return {
        "data": {"values": rows},
        "encoding": {"y": names},
        "layer": [
            {"mark": {"type": "bar", "color": style.GRID}, "encoding": {"x": {"datum": most, **room}}},
            {"mark": {"type": "bar", "opacity": 0.8}, "encoding": {"x": {"field": "value", **room}, **color}},
            {"mark": {"type": "text", "align": "left", "dx": 8, "fontSize": 13},
             "encoding": {"x": {"datum": most, **room}, "text": {"field": "text"}, **color}},
        ],
    }  # fmt: skip


def gauge(panel: Panel, number: Value, width: float, height: float) -> Chart:
    """Return a dial that `number` fills, with the number in its middle."""
    low, high = (float(panel.defaults[name]) for name in ("min", "max"))
    share = min(max(((number.value or 0) - low) / (high - low), 0.0), 1.0)
    radius, middle = min(width / 2, height / 1.5) - 4, height * 0.6
    scale = {"domain": [0, 1], "range": [-1.9, 1.9]}  # radians from the top
    arcs = [
        {"mark": {"type": "arc", "outerRadius": radius, "innerRadius": 0.76 * radius, "color": color, "y": middle},
         "encoding": {"theta": {"datum": until, "type": "quantitative", "scale": scale}, "theta2": {"datum": 0}}}
        for until, color in ((1, style.GRID), (share, number.color))
    ]  # fmt: skip
    text = {"type": "text", "text": number.text, "color": number.color, "fontSize": radius * 0.4, "y": middle}
    return {"data": {"values": [{}]}, "layer": [*arcs, {"mark": text}]}


def stat(number: Value, line: Line | None, width: float, height: float) -> Chart:
    """Return a large number, above the course of `line` if there is one."""
    size = min(height * 0.5, width / max(2.2, 0.62 * len(number.text)), 52)
    text = {"type": "text", "text": number.text, "color": number.color, "fontSize": size,
            "x": width / 2, "y": height / 2}  # fmt: skip
    course: Chart = {
        "data": {"values": [{"time": 1000 * at, "value": value} for at, value in line.points.items()] if line else []},
        "mark": {"type": "area", "color": number.color, "fillOpacity": 0.15,
                 "line": {"color": number.color, "strokeWidth": 1.2}},
        "encoding": {
            "x": {"field": "time", "type": "temporal", "axis": None},
            "y": {"field": "value", "type": "quantitative", "axis": None,
                  "scale": {"range": [height - 3, height * 0.72]}},
        },
    }  # fmt: skip
    return {"layer": [*([course] if line else []), {"data": {"values": [{}]}, "mark": text}]}
