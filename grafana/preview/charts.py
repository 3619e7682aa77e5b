"""Pictures of series over time: lines, areas, bars, heatmaps; and their legends."""

from __future__ import annotations

import datetime as dt
import html
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from grafana.preview import svg, units
from grafana.preview.board import Moment, Panel
from grafana.preview.frames import Line, settings
from grafana.preview.raw import inner, items

Styles = Sequence[Mapping[str, Any]]
Point = tuple[float, float, float]
"""A time, and the lower and the upper end of what is drawn there."""
Shape = Sequence[Point]


def coloured(panel: Panel, lines: Sequence[Line]) -> tuple[Styles, list[str]]:
    """How each line is to look, and its colour."""
    styles = [settings(panel, line.name, line.ref) for line in lines]
    colours: list[str] = []
    for index, (line, style) in enumerate(zip(lines, styles, strict=True)):
        told = inner(style, "color")
        mode = told.get("mode") or "palette-classic"
        if mode in ("fixed", "shades"):
            colours.append(units.colour(told.get("fixedColor")))
        elif mode == "thresholds":
            colours.append(units.of_thresholds(line.reduced("lastNotNull"), style.get("thresholds"), 0, 1))
        elif mode.startswith("continuous"):
            colours.append(units.of_scale(index / max(1, len(lines) - 1), mode))
        else:
            colours.append(units.PALETTE[index % len(units.PALETTE)])
    return styles, colours


def over_time(panel: Panel, lines: Sequence[Line], moment: Moment, width: float, height: float) -> str:
    """A time series panel: the picture and its legend."""
    styles, colours = coloured(panel, lines)
    names = [str(style.get("displayName") or line.name) for line, style in zip(lines, styles, strict=True)]
    told = inner(panel.options, "legend")
    aside = told.get("placement") == "right"
    below, taken = ("", 0.0)
    if told.get("showLegend", True) and told.get("displayMode") != "hidden":
        below, taken = _legend(told, lines, styles, names, colours, width, height)
    graph = _graph(lines, styles, names, colours, moment, width - (taken if aside else 0),
                   height - (0 if aside else taken))  # fmt: skip
    return f'<div class="{"aside" if aside else "under"}">{graph}{below}</div>'


def _graph(
    lines: Sequence[Line], styles: Styles, names: Sequence[str], colours: Sequence[str], moment: Moment,
    width: float, height: float,
) -> str:  # fmt: skip
    style = styles[0]
    stacked = (inner(style["custom"], "stacking").get("mode") or "none") != "none"
    shapes = _stacked(lines) if stacked else [[(at, 0.0, value) for at, value in line.points] for line in lines]
    right = [inner(one, "custom").get("axisPlacement") == "right" for one in styles]
    main = [shape for shape, aside in zip(shapes, right, strict=True) if not aside] or shapes
    bounds = _scale(main, style, height)
    unit, decimals = style.get("unit"), style.get("decimals")
    area, parts = svg.plot(
        width - 40 * any(right), height, (moment.start, moment.end), bounds,
        lambda value: units.write(value, unit, decimals),
    )  # fmt: skip
    other = area
    if any(right):
        aside = next(one for one, is_right in zip(styles, right, strict=True) if is_right)
        ticks = _scale([shape for shape, yes in zip(shapes, right, strict=True) if yes], aside, height)
        other = replace(area, y_low=ticks[0], y_high=ticks[-1])
        parts.extend(
            svg.words(area.right + 5, other.y(value) + 4, units.write(value, aside.get("unit")), font_size=11)
            for value in ticks
        )
    parts.extend(_bounds(style, area))
    for shape, one, name, colour, aside_ in zip(shapes, styles, names, colours, right, strict=True):
        draw = _bars if one["custom"].get("drawStyle") == "bars" else _line
        parts.append(draw(other if aside_ else area, shape, one, colour, moment, name))
    return svg.picture(width, height, parts)


def _scale(shapes: Sequence[Shape], style: Mapping[str, Any], height: float) -> list[float]:
    """The ticks of the vertical axis."""
    tops = [top for shape in shapes for _, _, top in shape if math.isfinite(top)] or [0.0, 1.0]
    low = min(0.0, *tops) if style.get("min") is None else float(style["min"])
    high = max(*tops, low) if style.get("max") is None else float(style["max"])
    return svg.ticks(low, high if high > low else low + 1, max(2, int(height / 45)))


def _stacked(lines: Sequence[Line]) -> list[list[Point]]:
    """Each point's lower and upper end, on top of the lines before."""
    ground: dict[float, float] = {}
    times = sorted({at for line in lines for at, _ in line.points})
    shapes: list[list[Point]] = []
    for line in lines:
        values = dict(line.points)
        shape: list[Point] = []
        for at in times:
            low = ground.get(at, 0.0)
            value = values.get(at, 0.0)
            ground[at] = low + (value if math.isfinite(value) else 0.0)
            shape.append((at, low, ground[at]))
        shapes.append(shape)
    return shapes


def _line(
    area: svg.Plot, shape: Shape, style: Mapping[str, Any], colour: str,
    moment: Moment, name: str,
) -> str:  # fmt: skip
    custom = style["custom"]
    parts: list[str] = []
    for piece in _pieces(shape, moment.step * 1.5):
        top = " ".join(f"{area.x(at):.1f},{area.y(value):.1f}" for at, _, value in piece)
        fill = custom.get("fillOpacity") or 0
        if fill:
            ground = " ".join(f"{area.x(at):.1f},{area.y(low):.1f}" for at, low, _ in reversed(piece))
            parts.append(svg.tag("polygon", points=f"{top} {ground}", fill=colour, fill_opacity=fill / 100))
        dash = "6 4" if inner(custom, "lineStyle").get("fill") == "dash" else "none"
        if len(piece) == 1:
            at, _, value = piece[0]
            parts.append(svg.tag("circle", cx=f"{area.x(at):.1f}", cy=f"{area.y(value):.1f}", r=2, fill=colour))
        parts.append(svg.tag("polyline", svg.tip(name), points=top, fill="none", stroke=colour,
                             stroke_width=custom.get("lineWidth", 1) + 0.3, stroke_dasharray=dash))  # fmt: skip
    return "".join(parts)


def _pieces(shape: Shape, gap: float) -> list[list[Point]]:
    """The stretches without a hole."""
    found: list[list[Point]] = []
    before = -math.inf
    for point in shape:
        if not math.isfinite(point[2]):
            continue
        if point[0] - before > gap:
            found.append([])
        found[-1].append(point)
        before = point[0]
    return found


def _bars(
    area: svg.Plot, shape: Shape, style: Mapping[str, Any], colour: str,
    moment: Moment, name: str,
) -> str:  # fmt: skip
    times = [at for at, _, _ in shape]
    step = min((b - a for a, b in itertools.pairwise(times)), default=moment.step)
    thick = max(1.0, (area.x(area.x_low + step) - area.left) * 0.8)
    opacity = (style["custom"].get("fillOpacity") or 70) / 100
    parts: list[str] = []
    for at, low, top in shape:
        if top > low:
            x = max(area.left, min(area.x(at) - thick / 2, area.right - thick))
            said = f"{name}: {units.write(top - low, style.get('unit'))} ({_when(at)})"
            parts.append(svg.tag("rect", svg.tip(said), x=f"{x:.1f}", y=f"{area.y(top):.1f}", width=f"{thick:.1f}",
                                 height=f"{area.y(low) - area.y(top):.1f}", fill=colour,
                                 fill_opacity=opacity))  # fmt: skip
    return "".join(parts)


def _bounds(style: Mapping[str, Any], area: svg.Plot) -> list[str]:
    """The lines of thresholds, where they are to be drawn."""
    mode = inner(style["custom"], "thresholdsStyle").get("mode") or "off"
    parts: list[str] = []
    for step in items(inner(style, "thresholds"), "steps"):
        bound = step.get("value")
        if mode != "off" and bound is not None and area.y_low <= bound <= area.y_high:
            at = f"{area.y(bound):.1f}"
            parts.append(svg.tag("line", x1=area.left, x2=area.right, y1=at, y2=at, stroke_dasharray="8 6",
                                 stroke=units.colour(step.get("color"))))  # fmt: skip
    return parts


def _legend(
    told: Mapping[str, Any], lines: Sequence[Line], styles: Styles, names: Sequence[str], colours: Sequence[str],
    width: float, height: float,
) -> tuple[str, float]:  # fmt: skip
    """The legend, and how much room it takes: of the width where it is aside, otherwise of the height."""
    calcs = [str(calc) for calc in told.get("calcs") or ()]
    rows = [
        (name, colour, [units.write(line.reduced(calc), style.get("unit"), style.get("decimals")) for calc in calcs])
        for name, colour, line, style in zip(names, colours, lines, styles, strict=True)
    ]
    aside = told.get("placement") == "right"
    if told.get("displayMode") == "table" or aside:
        return _legend_table(rows, calcs, aside=aside, room=(width, height))
    items = [f"{name} {' '.join(values)}".strip() for name, _, values in rows]
    needed, used = 1, 0.0
    for item in items:
        used += svg.wide(item) + 34
        if used > width:
            needed, used = needed + 1, svg.wide(item) + 34
    shown = min(needed, 3 if height > 220 else 1)
    body = "".join(
        f'<span class="item"><i style="background:{colour}"></i>{html.escape(item)}</span>'
        for (_, colour, _), item in zip(rows, items, strict=True)
    )
    return f'<div class="legend" style="height:{shown * 20}px">{body}</div>', shown * 20 + 4


def _legend_table(
    rows: Sequence[tuple[str, str, list[str]]], calcs: Sequence[str], *, aside: bool, room: tuple[float, float]
) -> tuple[str, float]:
    titles = {"lastNotNull": "Last", "sum": "Total", "mean": "Mean", "max": "Max", "min": "Min"}
    head = "".join(f"<th>{titles.get(calc, calc.capitalize())}</th>" for calc in calcs)
    wide = min(room[0] * 0.5, 44 + max(svg.wide(name) for name, _, _ in rows) + 56 * len(calcs)) if aside else room[0]
    body = "".join(
        f'<tr><td><i style="background:{colour}"></i>{html.escape(svg.cut(name, wide - 30 - 54 * len(calcs)))}</td>'
        + "".join(f"<td>{html.escape(value)}</td>" for value in values) + "</tr>"
        for name, colour, values in rows
    )  # fmt: skip
    taken = wide if aside else min(room[1] * 0.42, 22 * (len(rows) + bool(calcs)) + 4)
    size = f"width:{wide:.0f}px;height:{room[1]:.0f}px" if aside else f"height:{taken:.0f}px"
    top = f"<tr><th></th>{head}</tr>" if calcs else ""
    return f'<div class="legend" style="{size}"><table>{top}{body}</table></div>', taken


def heatmap(panel: Panel, lines: Sequence[Line], moment: Moment, width: float, height: float) -> str:
    """Buckets over time: the fuller, the brighter. Each line is one bucket, named by its upper bound."""
    rows = sorted(lines, key=lambda line: _bound(line.name))
    cells = [dict(line.points) for line in rows]
    if panel.options.get("calculate") is not True and _cumulative(cells):
        cells = _differences(cells)
    used = [index for index, cell in enumerate(cells) if any(value > 0 for value in cell.values())] or [0]
    rows, cells = rows[used[0] : used[-1] + 1], cells[used[0] : used[-1] + 1]
    most = max((value for cell in cells for value in cell.values() if math.isfinite(value)), default=0) or 1
    unit = inner(panel.options, "yAxis").get("unit") or panel.defaults.get("unit")
    labels = [units.write(_bound(line.name), unit) if math.isfinite(_bound(line.name)) else "more" for line in rows]
    left = max(svg.wide(label, 11) for label in labels) + 12
    area, parts = svg.plot(width, height, (moment.start, moment.end), [0, 1], lambda _value: "")
    area = svg.Plot(left=left, top=8, right=area.right, bottom=area.bottom, x_low=moment.start, x_high=moment.end,
                    y_low=0, y_high=len(rows))  # fmt: skip
    parts, tall = svg.times(area), (area.bottom - area.top) / len(rows)
    for index, (cell, label) in enumerate(zip(cells, labels, strict=True)):
        top = area.bottom - (index + 1) * tall
        parts.append(svg.words(left - 6, top + 4, label, text_anchor="end", font_size=11))
        for at, value in cell.items():
            if value > 0:
                thick = area.x(area.x_low + moment.step) - area.left
                x = max(area.left, area.x(at) - thick)
                colour = units.mixed("#3A2A5C", "#FADE2A", math.sqrt(value / most))
                parts.append(svg.tag("rect", svg.tip(f"up to {label}: {value:.3g} ({_when(at)})"), x=f"{x:.1f}",
                                     y=f"{top:.1f}", width=f"{max(1.0, thick - 0.5):.1f}", height=f"{tall - 1:.1f}",
                                     fill=colour))  # fmt: skip
    return svg.picture(width, height, parts)


def _cumulative(cells: Sequence[Mapping[float, float]]) -> bool:
    """Whether each bucket holds what those below it hold."""
    pairs = itertools.pairwise(cells)
    return all(value <= above.get(at, value) + 1e-9 for below, above in pairs for at, value in below.items())


def _differences(cells: Sequence[Mapping[float, float]]) -> list[dict[float, float]]:
    below: Mapping[float, float] = {}
    found: list[dict[float, float]] = []
    for cell in cells:
        found.append({at: value - below.get(at, 0.0) for at, value in cell.items()})
        below = cell
    return found


def _bound(name: str) -> float:
    try:
        return float(name.replace("+Inf", "inf"))
    except ValueError:
        return math.inf


def _when(at: float) -> str:
    return f"{dt.datetime.fromtimestamp(at, dt.timezone.utc):%m-%d %H:%M}"
