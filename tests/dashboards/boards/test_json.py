"""The committed boards as Grafana reads them: the form, the layout, and what every panel and variable has."""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:Prefer using dashboardv2")  # Grafana 10.4 does not know that form

FOLDER = Path(__file__).resolve().parents[3] / "grafana" / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))
BOARDS: dict[str, dict[str, Any]] = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in FILES}
EVERY = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())
NO_SDK = "grafana-foundation-sdk, which boards are built with, needs Python 3.11"
BUILDING = pytest.mark.skipif(sys.version_info < (3, 11), reason=NO_SDK)
KINDS = {"bargauge", "gauge", "heatmap", "stat", "table", "timeseries"}
"""Panels that Grafana 10.4 to 13 all bring along."""


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return list(board["panels"])


def targets() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for uid, board in BOARDS.items():
        for panel in panels(board):
            yield from ((f"{uid}: {panel['title']}", panel, target) for target in panel["targets"])


def test_there_are_four_boards() -> None:
    """Cost overview, runs, budgets and loops, opportunities: each under a uid that is its file's name."""
    assert set(BOARDS) == {"agentcost-overview", "agentcost-runs", "agentcost-budgets", "agentcost-opportunities"}
    assert all(board["uid"] == name for name, board in BOARDS.items())


@BUILDING
def test_the_committed_boards_are_what_the_generator_writes() -> None:
    """A changed signal, query or panel changes the committed files: `make boards` writes them."""
    from grafana.boards.__main__ import files

    made = files()
    assert made == {file.name: file.read_text(encoding="utf-8") for file in FILES}, "make boards"


@BUILDING
@EVERY
def test_the_schema_knows_every_field(board: dict[str, Any]) -> None:
    """Read with Grafana's own schema and written again, a board has all that it had: no field is misspelt."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models import dashboard, prometheus, tempo

    def again(model: Any, said: dict[str, Any]) -> Any:
        return json.loads(json.dumps(model.from_json(said), cls=JSONEncoder))

    register_default_plugins()
    kinds = {"prometheus": prometheus.Dataquery, "tempo": tempo.Dataquery}
    for target in (target for panel in panels(board) for target in panel["targets"]):
        assert lost(target, again(kinds[target["datasource"]["type"]], target)) == []
    # The schema reads queries by the panel's own source, which is no one where they go to two: those were read above.
    rest = {**board, "panels": [{**panel, "targets": []} for panel in panels(board)]}
    assert lost(rest, again(dashboard.Dashboard, rest)) == []


def lost(ours: Any, theirs: Any, at: str = "") -> list[str]:
    """What of `ours` is not in `theirs`, which may have defaults beside it."""
    if isinstance(ours, dict):
        there = theirs if isinstance(theirs, dict) else {}
        return [
            where
            for key, value in ours.items()
            for where in ([f"{at}/{key}"] if key not in there else lost(value, there[key], f"{at}/{key}"))
        ]
    if isinstance(ours, list):
        pairs = zip(ours, theirs, strict=True)
        return [where for place, (one, other) in enumerate(pairs) for where in lost(one, other, f"{at}/{place}")]
    return [] if ours == theirs else [at]


@EVERY
def test_a_board_is_the_classic_json_that_grafana_10_4_takes(board: dict[str, Any]) -> None:
    """Provisioned or uploaded: no id, the schema's version of 10.4, and panels of kinds that all versions have."""
    assert "id" not in board
    assert board["schemaVersion"] == 39
    assert {panel["type"] for panel in panels(board)} <= KINDS
    numbers = [panel["id"] for panel in panels(board)]
    assert len(set(numbers)) == len(numbers)


@EVERY
def test_panels_fill_the_grid(board: dict[str, Any]) -> None:
    """No panel covers another, and no place between the first and the last row is empty."""
    places = [panel["gridPos"] for panel in panels(board)]
    cells = [
        (x, y)
        for place in places
        for x, y in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert len(cells) == 24 * max(place["y"] + place["h"] for place in places), "there are holes"


@EVERY
def test_a_board_is_read_in_a_glance(board: dict[str, Any]) -> None:
    """At most twenty panels, and the first row says the most important as numbers."""
    assert len(panels(board)) <= 20
    assert {panel["type"] for panel in panels(board) if panel["gridPos"]["y"] == 0} <= {"stat", "gauge"}


@EVERY
def test_every_panel_says_what_it_shows(board: dict[str, Any]) -> None:
    """Each has a title of its own, a description that says how it is computed, a unit, and words for no data."""
    titles = [panel["title"] for panel in panels(board)]
    assert len(set(titles)) == len(titles)
    for panel in panels(board):
        defaults = panel["fieldConfig"]["defaults"]
        assert len(panel["description"]) > 60, panel["title"]
        assert "agentcost_" in panel["description"] or "gen_ai_" in panel["description"], panel["title"]
        assert defaults["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["type"] == "heatmap" or defaults["noValue"], panel["title"]


@EVERY
def test_every_series_has_a_name(board: dict[str, Any]) -> None:
    """In graphs and bars: a legend, not the text of a query."""
    for panel in panels(board):
        if panel["type"] in {"timeseries", "bargauge", "heatmap"}:
            assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


@EVERY
def test_a_board_has_the_variables_of_all_boards(board: dict[str, Any]) -> None:
    """Data sources first, then what is chosen; all is `.*`, and values are those of the range that is shown."""
    variables = {one["name"]: one for one in board["templating"]["list"]}
    choosing = ["service", "environment", "provider", "model", "agent", "team", "user"]
    assert list(variables)[:9] == ["datasource", "tempo", *choosing]
    assert [variables[name]["query"] for name in ("datasource", "tempo")] == ["prometheus", "tempo"]
    for name in choosing:
        one = variables[name]
        assert (one["multi"], one["includeAll"], one["allValue"], one["refresh"]) == (True, True, ".*", 2)
        assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@EVERY
def test_variables_that_are_used_exist(board: dict[str, Any]) -> None:
    """A query that asks for a variable that the board lacks would be sent as it stands."""
    known = {one["name"] for one in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps([panel["targets"] for panel in panels(board)])))
    assert {name for name in used if not name.startswith("__")} <= known


@EVERY
def test_boards_lead_to_each_other(board: dict[str, Any]) -> None:
    """A menu of the other boards keeps the time range and the choices; nobody edits a provisioned board by accident."""
    (link,) = board["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == (
        "dashboards",
        ["agentcost"],
        True,
        True,
    )
    assert "agentcost" in board["tags"]
    assert "placement" not in link, "Grafana 13 would hide it in a menu"
    assert board["editable"] is False


def test_queries_ask_the_sources_that_the_reader_chose() -> None:
    """No board names a data source of its own."""
    for where, panel, target in targets():
        uids = {target["datasource"]["uid"], panel["datasource"]["uid"]}
        assert uids <= {"${datasource}", "${tempo}", "-- Mixed --"}, where


def test_histograms_lead_to_traces() -> None:
    """Graphs of a histogram's quantiles, and its heatmap, ask for exemplars; the table of runs has a link to each."""
    for where, panel, target in targets():
        if panel["type"] == "heatmap" or (panel["type"] == "timeseries" and "histogram_quantile" in target["expr"]):
            assert target["exemplar"] or " offset 1w" in target["expr"], where
    (runs,) = (panel for panel in panels(BOARDS["agentcost-runs"]) if panel["type"] == "table")
    assert "${__value.raw}" in json.dumps(runs["fieldConfig"]["overrides"])
    assert "${tempo}" in json.dumps(runs["fieldConfig"]["overrides"])
