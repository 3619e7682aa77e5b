"""SVG elements that panels are composed of: texts, boxes and tables."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana.preview import style

ROW_HEIGHT = 27
_CHARACTER = 0.56
"""Average width of a character, as a part of the font size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a table: a text, or a number, which is aligned to the right."""

    text: str
    number: bool = False
    color: str = style.TEXT
    background: str = "none"
    swatch: str = ""
    """Color of a legend symbol before the text."""
    share: float | None = None
    """Length of a bar before the number, between 0 and 1."""


def tag(name: str, content: str = "", /, **attributes: object) -> str:
    """Return an element; `stroke_width` becomes `stroke-width`."""
    given = "".join(f' {key.replace("_", "-")}="{html.escape(str(value))}"' for key, value in attributes.items())
    return f"<{name}{given}>{content}</{name}>"


def text(x: float, y: float, content: str, size: float = 13, color: str = style.TEXT, anchor: str = "start") -> str:
    """Return a line of text whose baseline is at `y`."""
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}"}
    return tag("text", html.escape(content), **place, fill=color, font_size=size, text_anchor=anchor)


def at(x: float, y: float, *parts: str) -> str:
    """Return a group of elements moved to a position."""
    return tag("g", "".join(parts), transform=f"translate({x:.1f},{y:.1f})")


def box(x: float, y: float, width: float, height: float, **attributes: object) -> str:
    """Return a rectangle."""
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{max(width, 0):.1f}", "height": f"{max(height, 0):.1f}"}
    return tag("rect", **place, **attributes)


def table(titles: Sequence[str], rows: Sequence[Mapping[str, Cell]], width: float, height: float) -> str:
    """Return a table with as many rows as fit. Columns share the width in proportion to their longest text."""
    shown = rows[: max(1, int(height / ROW_HEIGHT) - 1)]
    longest = {name: max(len(name), *(_length(row[name]) for row in shown)) + 3 for name in titles}
    total = sum(longest.values())
    parts: list[str] = []
    x = 0.0
    for name in titles:
        wide = width * longest[name] / total
        number = any(row[name].number for row in shown)
        parts.append(_cell(x, 0, wide, Cell(text=name, number=number, color=style.LINK)))
        parts.extend(_cell(x, ROW_HEIGHT * place, wide, row[name]) for place, row in enumerate(shown, 1))
        x += wide
    lines = (box(0, ROW_HEIGHT * place, width, 1, fill=style.GRID) for place in range(1, len(shown) + 2))
    return "".join([*lines, *parts])


def _length(cell: Cell) -> int:
    return len(cell.text) + (4 if cell.swatch else 0) + (14 if cell.share is not None else 0)


def _cell(x: float, y: float, width: float, cell: Cell) -> str:
    parts = [box(x, y + 1, width, ROW_HEIGHT - 1, fill=cell.background, fill_opacity=0.4)]
    indent = 8
    if cell.swatch:
        parts.append(box(x + 6, y + 12, 14, 4, rx=1, fill=cell.swatch))
        indent = 26
    if cell.share is not None:
        bar = width - 84
        parts.append(box(x + 8, y + 9, bar, 10, fill=style.GRID))
        parts.append(box(x + 8, y + 9, bar * cell.share, 10, fill=cell.color))
    fits = int((width - indent - 4) / (13 * _CHARACTER))
    shown = cell.text if len(cell.text) <= fits + 1 else f"{cell.text[: fits - 1]}…"
    color = style.TEXT if cell.share is not None else cell.color
    if cell.number:
        return "".join([*parts, text(x + width - 8, y + 19, shown, color=color, anchor="end")])
    return "".join([*parts, text(x + indent, y + 19, shown, color=color)])
