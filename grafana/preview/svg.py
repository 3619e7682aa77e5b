"""Pieces of pictures: elements, texts, scales and axes."""

from __future__ import annotations

import datetime as dt
import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

GRID = "rgba(204,204,220,0.09)"
MUTED = "rgba(204,204,220,0.65)"
TEXT = "#CCCCDC"


def tag(name: str, inner: str = "", **given: object) -> str:
    """An element; `stroke_width` is written as `stroke-width`."""
    said = "".join(f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"' for key, value in given.items())
    return f"<{name}{said}>{inner}</{name}>"


def picture(width: float, height: float, parts: Sequence[str]) -> str:
    """An SVG of that size."""
    return tag("svg", "".join(parts), width=round(width), height=round(height))


def words(x: float, y: float, text: str, **given: object) -> str:
    """A line of text."""
    return tag("text", html.escape(text), **{"x": f"{x:.1f}", "y": f"{y:.1f}", "fill": MUTED, "font_size": 12} | given)


def tip(text: str) -> str:
    """What is shown when the pointer rests on an element."""
    return tag("title", html.escape(text))


def wide(text: str, size: float = 12) -> float:
    """About how wide a text is."""
    return len(text) * size * 0.56


def cut(text: str, width: float, size: float = 12) -> str:
    """The text, or as much of it as fits."""
    most = max(3, int(width / (size * 0.56)))
    return text if len(text) <= most else text[: most - 1] + "…"


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from below `low` to above `high`."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first = math.floor(low / step + 1e-9)
    return [index * step for index in range(first, math.ceil(high / step - 1e-9) + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """The part of a picture where data is drawn, and its scales."""

    left: float
    top: float
    right: float
    bottom: float
    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        """Where a value of the horizontal axis is."""
        return self.left + (value - self.x_low) / (self.x_high - self.x_low or 1) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Where a value of the vertical axis is."""
        return self.bottom - (value - self.y_low) / (self.y_high - self.y_low or 1) * (self.bottom - self.top)


def plot(
    width: float, height: float, time: tuple[float, float], values: Sequence[float], written: Callable[[float], str]
) -> tuple[Plot, list[str]]:
    """A plot over time for values between the first and the last of `values` (ticks), and its axes."""
    left = max(wide(written(value), 11) for value in values) + 12
    area = Plot(left=left, top=8, right=width - 10, bottom=height - 22, x_low=time[0], x_high=time[1],
                y_low=values[0], y_high=values[-1])  # fmt: skip
    parts: list[str] = []
    for value in values:
        at = area.y(value)
        parts.append(tag("line", x1=area.left, x2=area.right, y1=f"{at:.1f}", y2=f"{at:.1f}", stroke=GRID))
        parts.append(words(area.left - 6, at + 4, written(value), text_anchor="end", font_size=11))
    parts.extend(times(area))
    return area, parts


def times(area: Plot) -> list[str]:
    """The axis of time."""
    stretch = area.x_high - area.x_low
    steps = (60, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 345600, 604800)
    room = max(2, (area.right - area.left) / 90)
    step = next((one for one in steps if stretch / one <= room), 1209600)
    parts: list[str] = []
    at = math.ceil(area.x_low / step) * step
    while at <= area.x_high:
        when = dt.datetime.fromtimestamp(at, dt.timezone.utc)
        text = f"{when:%m/%d}" if step >= 86400 else f"{when:%m/%d %H:%M}" if stretch > 172800 else f"{when:%H:%M}"
        x = area.x(at)
        if area.left + 12 <= x <= area.right - 12:
            parts.append(tag("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=area.top, y2=area.bottom, stroke=GRID))
            parts.append(words(x, area.bottom + 15, text, text_anchor="middle", font_size=11))
        at += step
    return parts
