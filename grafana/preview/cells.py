"""Panels of numbers: stats, gauges, bars, shares, tables, texts."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from grafana.preview import svg, units
from grafana.preview.board import Panel
from grafana.preview.frames import Line, Row, Table, settings
from grafana.preview.raw import inner, items


class Value:
    """One number of a panel, with how it is to be written and coloured."""

    def __init__(self, panel: Panel, name: str, value: float | None, line: Line | None, index: int) -> None:
        style = settings(panel, name, line.ref if line else "")
        self.name = str(style.get("displayName") or name)
        self.value, self.line, self.style = value, line, style
        if value is None:
            self.text = str(style.get("noValue") or "No data")
        else:
            self.text = units.write(value, style.get("unit"), style.get("decimals"))
        for mapping in items(style, "mappings"):
            self._mapped(mapping)
        self.low, self.high = style.get("min"), style.get("max")
        told = inner(style, "color")
        if told.get("mode") in ("fixed", "shades"):
            self.colour = units.colour(told.get("fixedColor"))
        elif (told.get("mode") or "thresholds") == "thresholds":
            high = 100.0 if self.high is None else float(self.high)
            self.colour = units.of_thresholds(value, style.get("thresholds"), float(self.low or 0), high)
        else:
            self.colour = units.PALETTE[index % len(units.PALETTE)]

    def _mapped(self, mapping: Mapping[str, Any]) -> None:
        options = inner(mapping, "options")
        if mapping.get("type") == "value" and self.value is not None:
            found = options.get(f"{self.value:g}")
        elif mapping.get("type") == "special" and options.get("match") in ("null", "nan", "null+nan"):
            found = options.get("result") if self.value is None or math.isnan(self.value) else None
        else:
            found = None
        self.text = str(found["text"] if found and found.get("text") else self.text)


def values(panel: Panel, lines: Sequence[Line], rows: Table | None = None) -> list[Value]:
    """The numbers of a panel: of each series one, or of each row of a table one."""
    told = inner(panel.options, "reduceOptions")
    how = (told.get("calcs") or ["lastNotNull"])[0]
    if rows is not None:
        name = next(
            (column for column in rows.columns if any(isinstance(row.get(column), str) for row in rows.rows)), ""
        )
        number = next((column for column in rows.columns if column not in ("Time", name)), "")
        pairs = [(str(row.get(name) or number), row.get(number)) for row in rows.rows]
        return [
            Value(panel, said, value if isinstance(value, float) else None, None, index)
            for index, (said, value) in enumerate(pairs)
        ]
    found = [Value(panel, line.name, line.reduced(how), line, index) for index, line in enumerate(lines)]
    return found or [Value(panel, panel.title, None, None, 0)]


def stat(panel: Panel, found: Sequence[Value], width: float, height: float) -> str:
    """Big numbers, each with its course where the panel asks for it."""
    side = panel.options.get("orientation") == "vertical" or (width > height * 1.6 and len(found) > 1)
    w, h = (width / len(found), height) if side or len(found) == 1 else (width, height / len(found))
    filled = (panel.options.get("colorMode") or "value").startswith("background")
    parts: list[str] = []
    for one in found:
        named = len(found) > 1 or panel.options.get("textMode") in ("value_and_name", "name")
        name = one.name if named and panel.options.get("textMode") != "value" else ""
        big = min(h * (0.42 if name else 0.52), w / max(2.2, 0.62 * len(one.text)), 52)
        plain = panel.options.get("colorMode") == "none"
        colour = "#fff" if filled else units.colour("text") if plain else one.colour
        graph = _course(one, w, h) if panel.options.get("graphMode", "area") == "area" and one.line else ""
        back = f"background:{one.colour}33;box-shadow:inset 0 0 0 2px {one.colour};" if filled else ""
        label = f'<div class="name">{html.escape(svg.cut(name, w, 13))}</div>' if name else ""
        parts.append(
            f'<div class="stat" style="width:{w:.0f}px;height:{h:.0f}px;{back}">{graph}{label}'
            f'<div style="color:{colour};font-size:{big:.0f}px">{html.escape(one.text)}</div></div>'
        )
    return f'<div class="stats">{"".join(parts)}</div>'


def _course(one: Value, width: float, height: float) -> str:
    points = [(at, value) for at, value in one.line.points if math.isfinite(value)] if one.line else []
    if len(points) < 3:
        return ""
    low, high = min(value for _, value in points), max(value for _, value in points)
    area = svg.Plot(left=0, right=width, top=height * 0.72, bottom=height - 2, x_low=points[0][0],
                    x_high=points[-1][0], y_low=min(0.0, low), y_high=high or 1)  # fmt: skip
    top = " ".join(f"{area.x(at):.1f},{area.y(value):.1f}" for at, value in points)
    ground = f"{width:.0f},{height:.0f} 0,{height:.0f}"
    drawn = [
        svg.tag("polygon", points=f"{top} {ground}", fill=one.colour, fill_opacity=0.15),
        svg.tag("polyline", points=top, fill="none", stroke=one.colour, stroke_width=1.2),
    ]
    return f'<div class="course">{svg.picture(width, height, drawn)}</div>'


def gauge(found: Sequence[Value], width: float, height: float) -> str:
    """A dial for each number."""
    columns = max(1, min(len(found), int(width / 130)))
    rows = math.ceil(len(found) / columns)
    w, h = width / columns, height / rows
    parts: list[str] = []
    for index, one in enumerate(found):
        x, y = (index % columns + 0.5) * w, (index // columns) * h
        radius = min(w * 0.42, h * 0.52)
        middle = y + radius + 8
        low, high = float(one.low or 0), float(one.high if one.high is not None else 1)
        share = min(max(((one.value or 0) - low) / (high - low or 1), 0.0), 1.0)
        parts.append(_arc(x, middle, radius, 1.0, "#2b2d33"))
        if share > 0:
            parts.append(_arc(x, middle, radius, share, one.colour))
        size = min(radius * 0.5, 30)
        parts.append(svg.words(x, middle + size * 0.2, one.text, text_anchor="middle", font_size=f"{size:.0f}",
                               fill=one.colour, font_weight=500))  # fmt: skip
        if len(found) > 1:
            parts.append(svg.words(x, min(y + h - 4, middle + radius * 0.55 + 6), svg.cut(one.name, w - 6),
                                   text_anchor="middle"))  # fmt: skip
    return svg.picture(width, height, parts)


def _arc(x: float, y: float, radius: float, share: float, colour: str) -> str:
    thick = radius * 0.24
    middle = radius - thick / 2
    points: list[str] = []
    for step in range(61):
        angle = math.radians(200 - 220 * share * step / 60)
        points.append(f"{x + middle * math.cos(angle):.1f},{y - middle * math.sin(angle):.1f}")
    return svg.tag("polyline", points=" ".join(points), fill="none", stroke=colour, stroke_width=f"{thick:.1f}")


def bars(panel: Panel, found: Sequence[Value], width: float, height: float) -> str:
    """A horizontal bar for each number, the same scale for all."""
    most = max((one.value or 0 for one in found), default=0) or 1
    thickest = float(panel.options.get("maxVizHeight") or 36)
    row = min(max(height / max(1, len(found)), 22.0), thickest + 8)
    shown = found[: max(1, int(height / row))]
    names = min(width * 0.5, max(svg.wide(one.name, 13) for one in shown) + 12)
    texts = max(svg.wide(one.text, 14) for one in shown) + 14
    parts: list[str] = []
    for index, one in enumerate(shown):
        y, tall = index * row + 2, row - 6
        high = float(one.high) if one.high is not None else most
        room = width - names - texts
        long = max(1.0, room * min(max((one.value or 0) / (high or 1), 0.0), 1.0))
        parts.append(svg.words(names - 8, y + tall / 2 + 4, svg.cut(one.name, names - 8, 12), text_anchor="end"))
        parts.append(svg.tag("rect", x=f"{names:.1f}", y=f"{y:.1f}", width=f"{room:.1f}", height=f"{tall:.1f}",
                             fill="#22252b"))  # fmt: skip
        parts.append(svg.tag("rect", svg.tip(f"{one.name}: {one.text}"), x=f"{names:.1f}", y=f"{y:.1f}",
                             width=f"{long:.1f}", height=f"{tall:.1f}", fill=one.colour,
                             fill_opacity=0.75))  # fmt: skip
        parts.append(svg.words(names + room + 8, y + tall / 2 + 5, one.text, font_size=14, fill=one.colour))
    return svg.picture(width, height, parts)


def shares(found: Sequence[Value], width: float, height: float) -> str:
    """A ring of shares, and their names."""
    kept = [one for one in found if (one.value or 0) > 0]
    total = math.fsum(one.value or 0 for one in kept) or 1
    radius = min(height / 2 - 8, width * 0.24)
    x, y, begin = radius + 12, height / 2, 0.0
    parts: list[str] = []
    for index, one in enumerate(kept):
        colour = units.PALETTE[index % len(units.PALETTE)]
        share = (one.value or 0) / total
        around = 2 * math.pi * radius * 0.78
        parts.append(svg.tag("circle", svg.tip(f"{one.name}: {one.text}"), cx=x, cy=y, r=f"{radius * 0.78:.1f}",
                             fill="none", stroke=colour, stroke_width=f"{radius * 0.4:.1f}",
                             stroke_dasharray=f"{max(0.5, around * share - 1.5):.1f} {around:.1f}",
                             stroke_dashoffset=f"{-around * begin:.1f}",
                             transform=f"rotate(-90 {x:.1f} {y:.1f})"))  # fmt: skip
        begin += share
        line = y - len(kept) * 10 + index * 20 + 14
        left = 2 * radius + 36
        parts.append(svg.tag("rect", x=f"{left:.0f}", y=f"{line - 8:.0f}", width=12, height=4, rx=1, fill=colour))
        said = f"{one.name}  {one.text} ({share:.0%})"
        parts.append(svg.words(left + 18, line, svg.cut(said, width - left - 20)))
    return svg.picture(width, height, parts)


def text(panel: Panel) -> str:
    """A panel of text: the little of Markdown that the boards use."""
    content = html.escape(str(panel.options.get("content") or ""))
    content = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", content)
    content = re.sub(r"`(.+?)`", r"<code>\1</code>", content)
    content = re.sub(r"\[(.+?)\]\((.+?)\)", r'<a href="\2">\1</a>', content)
    blocks: list[str] = []
    for block in re.split(r"\n\s*\n", content):
        if items := re.findall(r"^[-*] (.+)$", block, re.MULTILINE):
            blocks.append(f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>")
        elif head := re.match(r"#+ (.+)", block):
            blocks.append(f"<h3>{head[1]}</h3>")
        else:
            blocks.append(f"<p>{block}</p>")
    return f'<div class="text">{"".join(blocks)}</div>'


def table(panel: Panel, given: Table, height: float, *, red: float = math.inf) -> str:
    """Rows and columns, as many rows as fit. A total above `red` is."""
    texts = {column for row in given.rows for column, value in row.items() if isinstance(value, str)}
    numbers = {column: column not in texts for column in given.columns}
    styles = {column: settings(panel, column, number=numbers[column]) for column in given.columns}
    columns = [column for column in given.columns if not styles[column]["custom"].get("hidden")]
    most = {
        column: max((value for row in given.rows if isinstance(value := row.get(column), float)), default=0.0)
        for column in columns
    }
    titles = {column: html.escape(str(styles[column].get("displayName") or column)) for column in columns}
    head = "".join(f'<th class="{"number" if numbers[one] else ""}">{titles[one]}</th>' for one in columns)
    fitting = given.rows[: max(1, int((height - 30) / 29))]
    for column in {"Models", "Tools", "Total"} & styles.keys():
        styles[column]["unit"] = "currencyUSD"
    if "Total" in styles and red < math.inf:
        steps = [{"color": "transparent", "value": None}, {"color": "red", "value": red}]
        styles["Total"] = {**styles["Total"], "thresholds": {"steps": steps}}
    body = "".join(
        "<tr>" + "".join(_cell(row, column, styles[column], most[column]) for column in columns) + "</tr>"
        for row in fitting
    )
    return f'<table class="rows"><tr>{head}</tr>{body}</table>'


def _cell(row: Row, column: str, style: Mapping[str, Any], most: float) -> str:
    value = row.get(column)
    if not isinstance(value, float):
        return f"<td>{html.escape(str(value))}</td>" if value else '<td class="number">-</td>'
    said = units.write(value, style.get("unit"), style.get("decimals"))
    told = inner(style["custom"], "cellOptions")
    kind = told.get("type") or "auto"
    colour = units.of_thresholds(value, style.get("thresholds"), 0, most)
    if inner(style, "color").get("mode", "").startswith("continuous"):
        colour = units.of_scale(value / most if most else 0.0, style["color"]["mode"])
    if kind == "color-text":
        return f'<td class="number" style="color:{colour}">{said}</td>'
    if kind == "color-background":
        back = colour if colour == "transparent" else f"{colour}66"
        return f'<td class="number" style="background:{back}">{said}</td>'
    if kind == "gauge":
        long = 100 * max(0.0, value) / most if most else 0
        bar = f'<i class="bar" style="width:{long:.0f}%;background:{colour}"></i>'
        return f'<td class="number"><span class="gauge">{bar}</span><b>{said}</b></td>'
    return f'<td class="number">{said}</td>'


def columns(panel: Panel, given: Table, width: float, height: float) -> str:
    """A bar chart of a table: a group for each row, a bar for each column of numbers."""
    numbers = [name for name in given.columns if any(isinstance(row.get(name), float) for row in given.rows)]
    numbers = [name for name in numbers if name != "Time"]
    named = panel.options.get("xField") or next((name for name in given.columns if name not in (*numbers, "Time")), "")
    found: list[Value] = []
    for row in given.rows:
        for index, name in enumerate(numbers):
            value = row.get(name)
            said = str(row.get(named) or "-") if len(numbers) == 1 else f"{row.get(named) or '-'} · {name}"
            found.append(Value(panel, name, value if isinstance(value, float) else None, None, index))
            found[-1].name = said
    return bars(panel, found, width, height)
