"""A dashboard as Grafana's classic JSON describes it: panels with their positions and queries, and variables."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from grafana.preview.json_parts import items, nested
from grafana.preview.prometheus import Client

DASHBOARDS: Final = Path(__file__).resolve().parent.parent / "dashboards"
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?:[:.][^}]*)?\}|\$(\w+)")
_ALL: Final = "$__all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query of a panel, before its variables are replaced."""

    ref: str
    expression: str
    legend: str
    instant: bool
    source: str
    """Type of the data source: `prometheus` or `tempo`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel. `x`, `y`, `w` and `h` are in units of Grafana's grid of 24 columns."""

    title: str
    kind: str
    description: str
    x: int
    y: int
    w: int
    h: int
    queries: tuple[Query, ...]
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def options(self) -> dict[str, Any]:
        """Options of this kind of panel."""
        return nested(self.raw, "options")

    @property
    def defaults(self) -> dict[str, Any]:
        """Default settings of the panel's fields."""
        return nested(self.raw, "fieldConfig", "defaults")

    @property
    def overrides(self) -> list[dict[str, Any]]:
        """Settings of single fields."""
        return items(nested(self.raw, "fieldConfig"), "overrides")


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A dashboard. `seconds` is the length of its default time range."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    variables: tuple[Mapping[str, Any], ...]
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """The time range that a board shows. All values are in seconds; `scrape` is Prometheus' scrape interval."""

    end: float
    seconds: int
    scrape: int
    min_step: int = 0
    """Smallest step that the panel allows."""

    @property
    def start(self) -> float:
        """Start of the range."""
        return self.end - self.seconds

    @property
    def step(self) -> int:
        """Seconds between two points of a graph."""
        return max(self.scrape, self.min_step, -(-self.seconds // 200 // 60) * 60)

    def points(self) -> range:
        """Return the times of a graph's points."""
        return range(int(self.start // self.step * self.step), int(self.end) + 1, self.step)

    def built_in(self) -> dict[str, str]:
        """Return Grafana's own variables."""
        rate = max(self.step + self.scrape, 4 * self.scrape)
        return {"__interval": f"{self.step}s", "__rate_interval": f"{rate}s", "__range": f"{self.seconds}s"}


def read(path: Path) -> Board:
    """Read a dashboard from a file."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    return Board(
        uid=raw["uid"],
        title=raw["title"],
        panels=tuple(_panel(panel) for panel in raw["panels"]),
        variables=tuple(items(raw["templating"], "list")),
        seconds=parse_duration(raw["time"]["from"]),
    )


def parse_duration(text: str) -> int:
    """Return `now-24h` or `24h` in seconds. Raises ValueError for anything else."""
    match = re.fullmatch(r"(?:now-)?(\d+)([smhdw])", text)
    if match is None:
        raise ValueError(f"not a duration: {text!r}")
    return int(match[1]) * _UNITS[match[2]]


def _panel(raw: Mapping[str, Any]) -> Panel:
    return Panel(
        title=raw["title"],
        kind=raw["type"],
        description=raw["description"],
        queries=tuple(_query(target) for target in raw["targets"]),
        raw=raw,
        **{name: raw["gridPos"][name] for name in "xywh"},
    )


def _query(target: Mapping[str, Any]) -> Query:
    return Query(
        ref=target["refId"],
        expression=target.get("expr") or target.get("query") or "",
        legend=target.get("legendFormat") or "",
        instant=bool(target.get("instant")),
        source=target["datasource"]["type"],
    )


def interpolate(text: str, values: Mapping[str, str]) -> str:
    """Replace the variables in `text`; unknown variables stay."""
    return _VARIABLE.sub(lambda match: values.get(match[1] or match[2], match[0]), text)


def variable_options(
    variable: Mapping[str, Any], client: Client, time: TimeRange, values: Mapping[str, str]
) -> dict[str, str]:
    """Return the values of a variable and their labels, without "All".

    Raises:
        QueryError: Prometheus rejects the query.
        ValueError: The query is not `label_values(series, label)`.

    """
    if variable["type"] == "custom":
        return {option["value"]: option["text"] for option in items(variable, "options")}
    text = interpolate(variable["query"]["query"], values)
    match = re.fullmatch(r"label_values\((.+), *(\w+)\)", text)
    if match is None:
        raise ValueError(f"unsupported query of a variable: {text}")
    return {value: value for value in client.label_values(match[2], match[1], time.start, time.end)}


def variable_values(board: Board, time: TimeRange, chosen: Mapping[str, str]) -> dict[str, str]:
    """Return the value of each variable as queries use it: the chosen one, or the board's default."""
    values = time.built_in()
    for variable in board.variables:
        name = variable["name"]
        value = chosen.get(name) or nested(variable, "current").get("value") or ""
        values[name] = variable["allValue"] if _ALL in value else str(value)
    return values
