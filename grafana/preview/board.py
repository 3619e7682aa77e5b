"""A dashboard as Grafana's classic JSON has it: panels and where they are, queries, variables and their values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from grafana.preview.prometheus import Client
from grafana.preview.raw import inner, items

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000}
_PLACE: Final = re.compile(r"\$\{(\w+)(?:[:.][^}]*)?\}|\$(\w+)|\[\[(\w+)\]\]")
_ALL: Final = "$__all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query of a panel, its variables not yet replaced."""

    ref: str
    expression: str
    legend: str
    instant: bool
    table: bool
    """Whether it is to be rows and columns rather than series."""
    source: str
    """What kind of data source answers it: `prometheus` or `tempo`."""
    hidden: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel, or the head of a row of panels."""

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
        """How this kind of panel is to look."""
        return inner(self.raw, "options")

    @property
    def defaults(self) -> dict[str, Any]:
        """How its fields are to look."""
        return inner(self.raw, "fieldConfig", "defaults")

    @property
    def overrides(self) -> list[dict[str, Any]]:
        """How some of its fields are to look otherwise."""
        return list(items(inner(self.raw, "fieldConfig"), "overrides"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A dashboard."""

    uid: str
    title: str
    description: str
    panels: tuple[Panel, ...]
    variables: tuple[Mapping[str, Any], ...]
    stretch: int
    """How many seconds back it looks where nobody says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What part of time is looked at, and how closely: `scrape` is the seconds between two samples."""

    end: float
    stretch: int
    scrape: int
    least: int = 0
    """The least number of seconds between two points that a panel asks for."""

    @property
    def start(self) -> float:
        """When it begins."""
        return self.end - self.stretch

    @property
    def step(self) -> int:
        """Seconds between two points of a graph."""
        return max(self.scrape, self.least, -(-self.stretch // 200 // 60) * 60)

    def built_in(self) -> dict[str, str]:
        """Grafana's own variables."""
        rate = max(self.step + self.scrape, 4 * self.scrape)
        return {
            "__interval": f"{self.step}s", "__interval_ms": str(self.step * 1000), "__rate_interval": f"{rate}s",
            "__range": f"{self.stretch}s", "__range_s": str(self.stretch), "__range_ms": str(self.stretch * 1000),
            "__from": str(int(self.start * 1000)), "__to": str(int(self.end * 1000)),
        }  # fmt: skip


def read(path: Path) -> Board:
    """The dashboard in a file."""
    raw = json.loads(path.read_text())
    return Board(
        uid=raw.get("uid") or path.stem,
        title=raw.get("title", path.stem),
        description=raw.get("description", ""),
        panels=tuple(_panels(raw.get("panels", []))),
        variables=tuple(items(inner(raw, "templating"), "list")),
        stretch=seconds(inner(raw, "time").get("from", "now-24h")),
    )


def seconds(text: str) -> int:
    """`now-24h`, or `24h`, in seconds."""
    found = re.search(r"(\d+)([smhdwMy])", text)
    return int(found[1]) * _UNITS[found[2]] if found else 86400


def _panels(raws: list[dict[str, Any]]) -> Iterator[Panel]:
    for raw in raws:
        place = inner(raw, "gridPos")
        yield Panel(
            title=raw.get("title") or "",
            kind=raw.get("type", ""),
            description=raw.get("description") or "",
            x=place.get("x", 0), y=place.get("y", 0), w=place.get("w", 24), h=place.get("h", 1),
            queries=tuple(_query(one, raw) for one in items(raw, "targets")),
            raw=raw,
        )  # fmt: skip
        yield from _panels(items(raw, "panels"))  # those of a row that is folded


def _query(raw: dict[str, Any], panel: dict[str, Any]) -> Query:
    source = raw.get("datasource") or inner(panel, "datasource")
    return Query(
        ref=raw.get("refId", "A"),
        expression=raw.get("expr") or raw.get("query") or "",
        legend=raw.get("legendFormat") or "",
        instant=bool(raw.get("instant")),
        table=raw.get("format") == "table",
        source=source.get("type") or "prometheus",
        hidden=bool(raw.get("hide")),
    )


def replaced(text: str, values: Mapping[str, str]) -> str:
    """`text` with its variables replaced; those that are not known stay."""
    return _PLACE.sub(lambda found: values.get(found[1] or found[2] or found[3], found[0]), text)


def choices(variable: Mapping[str, Any], client: Client, moment: Moment, values: Mapping[str, str]) -> list[str]:
    """What a variable can be, apart from all. Raises Refused."""
    query: Any = variable.get("query") or ""
    text = str(query if isinstance(query, str) else query.get("query", ""))
    if variable.get("type") == "custom":
        return [part.split(" : ")[-1].strip() for part in text.split(",") if part.strip()]
    if variable.get("type") != "query":
        return []
    text = replaced(text, values)
    if found := re.fullmatch(r"\s*label_values\((?:(.+),)?\s*(\w+)\s*\)\s*", text, re.DOTALL):
        return client.label_values(found[2], found[1], moment.start, moment.end)
    if found := re.fullmatch(r"\s*query_result\((.+)\)\s*", text, re.DOTALL):
        return [str(one.last) for one in client.query(found[1], moment.end)]
    raise ValueError(f"this query of a variable is not known here: {text}")


def words(variable: Mapping[str, Any]) -> dict[str, str]:
    """What people read for the values of a variable, where that is something else."""
    pairs = (part.strip().split(" : ") for part in str(variable.get("query") or "").split(","))
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2} if variable.get("type") == "custom" else {}


def chosen(board: Board, moment: Moment, given: Mapping[str, str]) -> dict[str, str]:
    """The value of each variable, as it goes into queries: what is `given`, or what the board begins with."""
    values = moment.built_in()
    for variable in board.variables:
        name = variable["name"]
        value: Any = given.get(name) or inner(variable, "current").get("value")
        if not isinstance(value, (str, type(None))):
            value = _ALL if _ALL in value or not value else f"({'|'.join(value)})" if len(value) > 1 else value[0]
        if value in (None, "", _ALL, "All"):
            value = variable.get("allValue") or (".*" if variable.get("includeAll") else "")
        if not value and variable.get("type") in ("textbox", "constant", "custom"):
            value = str(variable.get("query") or "").split(",")[0].split(" : ")[-1].strip()
        values[name] = str(value)
    return values
