"""Numbers and colours as Grafana writes and names them: units, decimals, thresholds, the palette of the dark theme."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

PALETTE: Final = (
    "#73BF69", "#F2CC0C", "#8AB8FF", "#FF780A", "#F2495C", "#5794F2", "#B877D9", "#705DA0", "#37872D", "#FADE2A",
    "#447EBC", "#C15C17", "#890F02", "#0A437C", "#6D1F62", "#584477",
)  # fmt: skip
_COLOURS: Final = {
    "green": "#73BF69", "yellow": "#FADE2A", "orange": "#FF9830", "red": "#F2495C", "blue": "#5794F2",
    "purple": "#B877D9", "text": "#CCCCDC", "transparent": "transparent", "gray": "#808080", "grey": "#808080",
    "dark-green": "#37872D", "dark-yellow": "#E0B400", "dark-orange": "#FA6400", "dark-red": "#C4162A",
    "dark-blue": "#1F60C4", "dark-purple": "#8F3BB8", "semi-dark-green": "#56A64B", "semi-dark-yellow": "#F2CC0C",
    "semi-dark-orange": "#FF780A", "semi-dark-red": "#E02F44", "semi-dark-blue": "#3274D9",
    "semi-dark-purple": "#A352CC", "light-green": "#96D98D", "light-yellow": "#FFEE52", "light-orange": "#FFB357",
    "light-red": "#FF7383", "light-blue": "#8AB8FF", "light-purple": "#CA95E5", "super-light-green": "#C8F2C2",
    "super-light-yellow": "#FFF899", "super-light-orange": "#FFCB7D", "super-light-red": "#FFA6B0",
    "super-light-blue": "#C0D8FF", "super-light-purple": "#DEB6F2",
}  # fmt: skip
_SCALES: Final = {"continuous-GrYlRd": ("#73BF69", "#FADE2A", "#F2495C"), "continuous-blues": ("#16305C", "#8AB8FF")}
_SECONDS: Final = ((86400 * 7, "weeks"), (86400, "days"), (3600, "hours"), (60, "mins"), (1, "s"), (0.001, "ms"))
_RATES: Final = {"reqps": " req/s", "cps": " c/s", "ops": " ops/s", "rpm": " req/min", "cpm": " c/m", "opm": " ops/m"}


def write(value: float | str | None, unit: str | None, decimals: int | None = None) -> str:  # noqa: PLR0911 (a case each)
    """A value as a person reads it."""
    if isinstance(value, str):
        return value
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    unit = unit or "short"
    if unit == "currencyUSD":
        return f"-${_scaled(-value, decimals)}" if value < 0 else f"${_scaled(value, decimals)}"
    if unit in ("percentunit", "percent"):
        percent = value * 100 if unit == "percentunit" else value
        return f"{_rounded(percent, decimals)}%"
    if unit in ("s", "ms"):
        return _duration(value / (1000 if unit == "ms" else 1), decimals)
    if unit.startswith("dateTime"):
        return dt.datetime.fromtimestamp(value / 1000, dt.timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    return _with_affixes(value, unit, decimals)


def _with_affixes(value: float, unit: str, decimals: int | None) -> str:  # noqa: PLR0911 (a case each)
    if unit.startswith("prefix:"):
        return unit.removeprefix("prefix:") + _rounded(value, decimals)
    if unit.startswith("suffix:"):
        return f"{_rounded(value, decimals)} {unit.removeprefix('suffix:').strip()}"
    if unit.startswith("si:"):
        return f"{_scaled(value, decimals, ' ')}{unit.removeprefix('si:')}"
    if unit in ("none", "string"):
        return _rounded(value, decimals)
    if unit == "locale":
        return f"{value:,.{decimals or 0}f}"
    if unit in ("short", *_RATES):
        return _scaled(value, decimals, " ") + _RATES.get(unit, "")
    return f"{_rounded(value, decimals)} {unit}"


def _scaled(value: float, decimals: int | None, space: str = "") -> str:
    size = abs(value)
    for factor, letter in (1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"):
        if size >= factor:
            return f"{_rounded(value / factor, decimals)}{space}{letter}"
    return _rounded(value, decimals)


def _rounded(value: float, decimals: int | None) -> str:
    if decimals is None:
        size = abs(value)
        decimals = 0 if size >= 100 or value == round(value) else 1 if size >= 10 else 2
        if 0 < size < 0.1:
            decimals = min(6, 1 - math.floor(math.log10(size)))
        text = f"{value:.{decimals}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{decimals}f}"


def _duration(seconds: float, decimals: int | None) -> str:
    for size, name in _SECONDS:
        if abs(seconds) >= size:
            return f"{_rounded(seconds / size, decimals)} {name}"
    return f"{_rounded(seconds * 1000, decimals)} ms" if seconds else "0 s"


def colour(name: str | None, otherwise: str = PALETTE[0]) -> str:
    """The colour of a name, of one of Grafana's or of CSS's."""
    return otherwise if not name else _COLOURS.get(name, name)


def of_thresholds(value: float | None, thresholds: Mapping[str, Any] | None, low: float, high: float) -> str:
    """The colour of the highest step that `value` has come to."""
    found = _COLOURS["green"]
    for step in (thresholds or {}).get("steps") or ():
        bound = step.get("value")
        if bound is not None and (thresholds or {}).get("mode") == "percentage":
            bound = low + (high - low) * bound / 100
        if bound is None or (value is not None and value >= bound):
            found = colour(step.get("color"))
    return found


def of_scale(share: float, name: str | None) -> str:
    """A colour between the ends of a continuous scale."""
    stops = _SCALES.get(name or "", _SCALES["continuous-GrYlRd"])
    place = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    index = min(int(place), len(stops) - 2)
    return mixed(stops[index], stops[index + 1], place - index)


def mixed(one: str, other: str, share: float) -> str:
    """A colour between two."""
    pairs = zip(_parts(one), _parts(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _parts(text: str) -> Sequence[int]:
    return [int(text[at : at + 2], 16) for at in (1, 3, 5)]
