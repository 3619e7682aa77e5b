"""Every query of every board, and of its variables, is answered by a real Prometheus, and with something."""

from __future__ import annotations

import math
import re

from grafana.preview import board
from grafana.preview.board import Board, Panel
from grafana.preview.frames import asked, run
from tests.grafana.boards.conftest import Boards

EMPTY: dict[tuple[str, str], str] = {}
"""Panels that may say nothing on the sample, each with the reason."""


def test_every_query_of_every_panel_has_an_answer(boards: Boards) -> None:
    """Over a day and over a week: no error, something finite, and every label that the legend names."""
    wrong: list[str] = []
    number = 0
    for one in boards.preview.boards:
        for panel in one.panels:
            for stretch in (86400, 7 * 86400):
                count, found = _panel(boards, one, panel, stretch)
                number += count
                wrong.extend(found)
    print(f"{number} queries of {len(boards.preview.boards)} boards, over two ranges")
    assert not wrong
    assert number > 100


def _panel(boards: Boards, one: Board, panel: Panel, stretch: int) -> tuple[int, list[str]]:
    """How many queries a panel has, and what is wrong with them."""
    moment = boards.moment(stretch)
    values = board.chosen(one, moment, {})
    wrong: list[str] = []
    queries = asked(panel, values)
    for query, expression in queries:
        where = f"{one.uid}: {panel.title} {query.ref} over {stretch} s"
        assert "$" not in re.sub(r"\$$|\$\"", "", expression), f"{where}: a variable is not known: {expression}"
        answer = run(query, expression, boards.client, moment)
        if not any(math.isfinite(value) for series in answer for _, value in series.points):
            if (one.uid, panel.title) not in EMPTY:
                wrong.append(f"{where} says nothing: {expression}")
            continue
        wrong.extend(
            f"{where}: no series has the label {label} of the legend"
            for label in re.findall(r"\{\{\s*(\w+)\s*\}\}", board.replaced(query.legend, values))
            if not any(series.labels.get(label) for series in answer)
        )
    return len(queries), wrong


def test_variables_offer_values_and_choosing_them_keeps_panels_alive(boards: Boards) -> None:
    """Each query of a variable lists something; with one service chosen, the board's total is that service's."""
    number = 0
    for one in boards.preview.boards:
        moment = boards.moment()
        values = board.chosen(one, moment, {})
        for variable in one.variables:
            if variable["type"] == "query":
                number += 1
                assert board.choices(variable, boards.client, moment, values), (one.uid, variable["name"])
    print(f"{number} queries of variables")
    assert number > 0


def test_no_panel_is_drawn_as_an_error_or_as_nothing(boards: Boards) -> None:
    """The preview draws each: no kind of panel, transformation or query that it does not know."""
    for one in boards.preview.boards:
        page = boards.preview.page(one, {})
        assert 'class="wrong"' not in page, re.findall(r'class="wrong">([^<]*)', page)
        empty = sum(title == one.uid for title, _ in EMPTY)
        assert page.count('class="says"') <= empty, one.uid
        assert page.count('class="panel"') == sum(panel.kind != "row" for panel in one.panels)
