"""A real Prometheus returns data for every query of every board and variable."""

from __future__ import annotations

import math
import re

from grafana.preview import board
from grafana.preview.board import Board, Panel
from grafana.preview.frames import prometheus_queries, run_query
from tests.dashboards.boards.conftest import Boards

EMPTY: dict[tuple[str, str], str] = {}
"""Panels without data on the sample, each with the reason."""


def test_every_query_of_every_panel_has_an_answer(boards: Boards) -> None:
    """Over a day and a week: no error, at least one finite value, and every label that the legend names."""
    wrong: list[str] = []
    number = 0
    for one in boards.preview.boards:
        for panel in one.panels:
            for seconds in (86400, 7 * 86400):
                count, found = _panel(boards, one, panel, seconds)
                number += count
                wrong.extend(found)
    print(f"{number} queries of {len(boards.preview.boards)} boards, over two ranges")
    assert not wrong
    assert number > 100


def _panel(boards: Boards, one: Board, panel: Panel, seconds: int) -> tuple[int, list[str]]:
    """Return the number of queries of a panel, and their faults."""
    time = boards.time_range(seconds)
    values = board.variable_values(one, time, {})
    wrong: list[str] = []
    queries = prometheus_queries(panel, values)
    for query, expression in queries:
        where = f"{one.uid}: {panel.title} {query.ref} over {seconds} s"
        assert "$" not in re.sub(r"\$$|\$\"", "", expression), f"{where}: unknown variable: {expression}"
        answer = run_query(query, expression, boards.client, time)
        if not any(math.isfinite(value) for series in answer for _, value in series.points):
            if (one.uid, panel.title) not in EMPTY:
                wrong.append(f"{where} has no data: {expression}")
            continue
        wrong.extend(
            f"{where}: no series has the label {label} of the legend"
            for label in re.findall(r"\{\{\s*(\w+)\s*\}\}", board.interpolate(query.legend, values))
            if not any(series.labels.get(label) for series in answer)
        )
    return len(queries), wrong


def test_every_variable_has_values(boards: Boards) -> None:
    """Every query of a variable returns at least one value."""
    number = 0
    for one in boards.preview.boards:
        time = boards.time_range()
        values = board.variable_values(one, time, {})
        for variable in one.variables:
            if variable["type"] == "query":
                number += 1
                assert board.variable_options(variable, boards.client, time, values), (one.uid, variable["name"])
    print(f"{number} queries of variables")
    assert number > 0


def test_no_panel_is_drawn_as_an_error_or_as_nothing(boards: Boards) -> None:
    """The preview supports every kind of panel, transformation and query of the boards."""
    for one in boards.preview.boards:
        page = boards.preview.page(one, {})
        assert 'class="error"' not in page, re.findall(r'class="error"><text[^>]*>([^<]*)', page)
        empty = sum(title == one.uid for title, _ in EMPTY)
        assert page.count('class="no-data"') <= empty, one.uid
        assert page.count('class="panel"') == len(one.panels)


def test_a_range_with_little_data_is_drawn_without_an_error(boards: Boards) -> None:
    """In the last hour many panels have no data or a single point; the heatmap has no complete column."""
    for one in boards.preview.boards:
        page = boards.preview.page(one, {"range": "1h"})
        assert 'class="error"' not in page, re.findall(r'class="error"><text[^>]*>([^<]*)', page)
