"""The boards on sample data in a real Prometheus, once for all tests here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from grafana.preview.__main__ import DASHBOARDS, Preview, with_sample
from grafana.preview.board import Board, Moment, Panel, chosen
from grafana.preview.frames import asked
from grafana.preview.prometheus import Client, Series
from grafana.preview.sample import STEP, Sample
from tests.support import prometheus

END = dt.datetime(2026, 11, 20, 16, tzinfo=dt.timezone.utc).timestamp()
"""A Friday afternoon: fixed, so that prices and sample are the same whenever the tests run."""
DAY = 86400


@dataclass(frozen=True)
class Boards:
    """All boards, and what their queries are answered from."""

    client: Client
    sample: Sample
    preview: Preview

    def moment(self, stretch: int = DAY) -> Moment:
        """The last `stretch` seconds of the sample."""
        return Moment(end=self.sample.end, stretch=stretch, scrape=STEP)

    def panel(self, board: str, title: str, kind: str | None = None) -> tuple[Board, Panel]:
        """The only panel of that title (and kind)."""
        (one,) = (one for one in self.preview.boards if one.uid == board)
        (panel,) = (panel for panel in one.panels if panel.title == title and kind in (None, panel.kind))
        return one, panel

    def answers(self, board: str, title: str, stretch: int = DAY, **given: str) -> list[Series]:
        """What the first query of a panel says at the end of the sample; `given` are values of variables."""
        one, panel = self.panel(board, title, None if title != "Runs" else "stat")
        moment = self.moment(stretch)
        _, expression = asked(panel, chosen(one, moment, given))[0]
        return self.client.query(expression, moment.end)

    def value(self, board: str, title: str, stretch: int = DAY, **given: str) -> float:
        """The one number that a panel says."""
        (only,) = self.answers(board, title, stretch, **given)
        return only.last


@pytest.fixture(scope="session")
def boards() -> Iterator[Boards]:
    """Weeks of a company that does not exist, in a Prometheus."""
    prometheus.needed()
    with with_sample(END) as (client, sample):
        yield Boards(client, sample, Preview(DASHBOARDS, client, sample, STEP))
