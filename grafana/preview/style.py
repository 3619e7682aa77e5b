"""Numbers and colours as Grafana's dark theme shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from grafana.preview.json_parts import items, nested

BACKGROUND: Final = "#111217"
PANEL: Final = "#181b1f"
BORDER: Final = "#2e3036"
GRID: Final = "#2a2c31"
TEXT: Final = "#ccccdc"
MUTED: Final = "#8e8e99"
LINK: Final = "#6e9fff"
FONT: Final = "Inter, 'Liberation Sans', Arial, sans-serif"
PALETTE: Final = (
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d", "#fade2a",
    "#447ebc", "#c15c17", "#890f02", "#0a437c", "#6d1f62", "#584477",
)  # fmt: skip
_COLORS: Final = {
    "green": "#73bf69", "yellow": "#fade2a", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2",
    "purple": "#b877d9", "text": TEXT,
}  # fmt: skip
AXIS_LABEL: Final = {
    "currencyUSD": "format(datum.value, '$,~f')",
    "percentunit": "format(datum.value, '~%')",
    "short": "format(datum.value, abs(datum.value) < 1 ? '~f' : '~s')",
}
"""Vega expressions that write the labels of an axis, by unit."""


def number(value: float | None, unit: str) -> str:
    """Write a number with three significant digits in one of the boards' units; `-` for None and NaN."""
    if value is None or not math.isfinite(value):
        return "-"
    if unit == "percentunit":
        return f"{_digits(100 * value)}%"
    size, letter = next(((size, letter) for size, letter in _SIZES if abs(value) >= size), (1.0, ""))
    if unit == "currencyUSD":
        return f"{'-' if value < 0 else ''}${_digits(abs(value) / size)}{letter}"
    return f"{_digits(value / size)} {letter}".rstrip()


_SIZES: Final = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


def _digits(value: float) -> str:
    if value == 0:
        return "0"
    text = f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def color(field: Mapping[str, Any], value: float | None, default: str) -> str:
    """Return the color of a field at a value: its fixed color, that of the threshold reached, or `default`."""
    given = nested(field, "color")
    if given.get("mode") == "thresholds":
        return [shade for bound, shade in thresholds(field) if bound <= (-math.inf if value is None else value)][-1]
    return _hex(given["fixedColor"]) if given.get("mode") == "fixed" else default


def thresholds(field: Mapping[str, Any]) -> list[tuple[float, str]]:
    """Return the lower bounds of a field's thresholds, in ascending order, with their colors."""
    steps = items(nested(field, "thresholds"), "steps")
    return [(-math.inf if step["value"] is None else step["value"], _hex(step["color"])) for step in steps]


def _hex(name: str) -> str:
    return _COLORS.get(name, name)
