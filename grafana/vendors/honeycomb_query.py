"""A query of Honeycomb: which columns of which spans, by what; as its API writes it, and as a link without a key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from grafana.vendors.limits import Limit

DAY: Final = 86_400
HOUR: Final = 3_600
EVERYWHERE: Final = "__all__"
"""The name of a dataset that means all datasets of an environment: each service has one of its own."""
METRICS_DATASET: Final = "agentcost-metrics"
"""Where `collector_config/backends/honeycomb.yaml` puts metrics."""
UI: Final = "https://ui.honeycomb.io"


@dataclass(frozen=True, slots=True)
class Calculation:
    """What is worked out of a column; COUNT has none."""

    op: str
    column: str | None = None

    def json(self) -> dict[str, Any]:
        return {"op": self.op} if self.column is None else {"op": self.op, "column": self.column}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which spans or events are looked at."""

    column: str
    op: str = "exists"
    value: str | None = None

    def json(self) -> dict[str, Any]:
        said = {"column": self.column, "op": self.op}
        return said if self.value is None else {**said, "value": self.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Groups come in the order of the first calculation, where there are groups and a limit."""

    calculations: tuple[Calculation, ...]
    filters: tuple[Filter, ...] = ()
    by: tuple[str, ...] = ()
    limit: int | None = None
    seconds: int = DAY

    @property
    def orders(self) -> tuple[Calculation, ...]:
        return self.calculations[:1] if self.by and self.limit else ()

    def json(self) -> dict[str, Any]:
        """Its query specification."""
        said: dict[str, Any] = {"time_range": self.seconds}
        if self.by:
            said["breakdowns"] = list(self.by)
        said["calculations"] = [one.json() for one in self.calculations]
        if self.filters:
            said["filters"] = [one.json() for one in self.filters]
        if self.orders:
            said["orders"] = [{**one.json(), "order": "descending"} for one in self.orders]
        if self.limit is not None:
            said["limit"] = self.limit
        return said

    def columns(self) -> set[str]:
        """Every column that it names."""
        return {*self.by, *(one.column for one in self.filters), *(one.column for one in self.calculations if one.column)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A query on the board."""

    name: str
    title: str
    means: str
    query: Query
    style: str = "graph"
    chart: str | None = None
    width: int = 6
    metrics: bool = False
    """Whether it reads the dataset of metrics, and not spans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """An alert. Its query has one calculation, and looks back at most four times as far as it is asked often."""

    name: str
    title: str
    means: str
    query: Query
    limit: Limit
    op: str = ">"
    every: int = 900
    metrics: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column that Honeycomb works out of others, for each event."""

    name: str
    alias: str
    expression: str
    means: str


def link(query: Query | Mapping[str, Any], *, team: str, environment: str, dataset: str | None = None) -> str:
    """A link that runs the query for whoever may see the environment: no key, nothing is stored.

    Without a dataset it asks all of them. Slugs are as they stand in Honeycomb's addresses.
    """
    where = f"{UI}/{quote(team, safe='')}/environments/{quote(environment, safe='')}"
    if dataset is not None and dataset != EVERYWHERE:
        where += f"/datasets/{quote(dataset, safe='')}"
    asked = query.json() if isinstance(query, Query) else query
    return f"{where}?query={quote(json.dumps(asked, separators=(',', ':')), safe='')}"
