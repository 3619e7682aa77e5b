"""The boards over sample data in a real Prometheus, shared by all tests of this folder."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from grafana.preview.__main__ import Preview
from grafana.preview.board import DASHBOARDS, Board, Panel, TimeRange, variable_values
from grafana.preview.frames import prometheus_queries
from grafana.preview.history import prometheus_with_sample
from grafana.preview.prometheus import Client, Series
from grafana.preview.sample import STEP, Sample
from tests.support import prometheus

END = dt.datetime(2026, 11, 20, 16, tzinfo=dt.timezone.utc).timestamp()
"""A Friday afternoon: fixed, so that prices and sample are the same whenever the tests run."""
DAY = 86400


@dataclass(frozen=True)
class Boards:
    """All boards and the Prometheus that answers their queries."""

    client: Client
    sample: Sample
    preview: Preview

    def time_range(self, seconds: int = DAY) -> TimeRange:
        """Return the last `seconds` of the sample."""
        return TimeRange(end=self.sample.end, seconds=seconds, scrape=STEP)

    def panel(self, board: str, title: str, kind: str | None = None) -> tuple[Board, Panel]:
        """Return the only panel of that title (and kind), with its board."""
        (one,) = (one for one in self.preview.boards if one.uid == board)
        (panel,) = (panel for panel in one.panels if panel.title == title and kind in (None, panel.kind))
        return one, panel

    def series(self, board: str, title: str, seconds: int = DAY, **variables: str) -> list[Series]:
        """Return the result of a panel's first query at the end of the sample."""
        one, panel = self.panel(board, title, None if title != "Runs" else "stat")
        time = self.time_range(seconds)
        _, expression = prometheus_queries(panel, variable_values(one, time, variables))[0]
        return self.client.query(expression, time.end)

    def value(self, board: str, title: str, seconds: int = DAY, **variables: str) -> float:
        """Return the only number of a panel."""
        (only,) = self.series(board, title, seconds, **variables)
        return only.last


@pytest.fixture(scope="session")
def boards() -> Iterator[Boards]:
    """Two weeks of a fictional company in a Prometheus."""
    prometheus.needed()
    with prometheus_with_sample(END) as (client, sample):
        yield Boards(client, sample, Preview(DASHBOARDS, client, sample, STEP))
