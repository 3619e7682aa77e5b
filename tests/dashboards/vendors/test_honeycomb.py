"""The board, columns, triggers and links for Honeycomb: what its API and Terraform provider publish that they take."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from grafana import vendors
from grafana.alerts.thresholds import Thresholds
from grafana.vendors import honeycomb_files
from grafana.vendors.honeycomb_table import COLUMNS
from otel_agentcost.core import semconv

TEXTS = honeycomb_files.files(Thresholds())
FILES: dict[str, Any] = {path: json.loads(text) for path, text in TEXTS.items() if path.endswith(".json")}
FOLDER = Path(vendors.__file__).parent / "honeycomb"
QUERIES: dict[str, Any] = {key: each["query"] for key, each in FILES["queries.json"].items()}
TRIGGERS: dict[str, Any] = FILES["triggers.json"]
OURS = {value for name, value in vars(semconv).items() if name.isupper() and isinstance(value, str)}
KNOWN = OURS | {column.alias for column in COLUMNS} | {"trace.trace_id", "trace.parent_id", "name"}

# From the published client of Honeycomb's API (terraform-provider-honeycombio, client/): fields and their values.
QUERY = {
    "calculations", "filters", "filter_combination", "breakdowns", "orders", "havings", "limit", "time_range",
    "start_time", "end_time", "granularity",
}  # fmt: skip
OPS = {"COUNT", "SUM", "AVG", "COUNT_DISTINCT", "MAX", "MIN", "P50", "P90", "P95", "P99", "HEATMAP", "RATE_SUM"}
FILTERS = {"=", "!=", ">", ">=", "<", "<=", "starts-with", "exists", "does-not-exist", "contains", "in", "not-in"}
TRIGGER = {
    "name", "description", "disabled", "query", "alert_type", "threshold", "frequency", "recipients",
}  # fmt: skip
IN_TRIGGERS = {"calculations", "filters", "filter_combination", "breakdowns", "time_range"}
PANEL = {"query_id", "query_annotation_id", "visualization_settings", "query_style"}
FUNCTIONS = {"IF", "EXISTS", "COALESCE", "SUB", "DIV", "GT"}


def check_query(query: dict[str, Any]) -> None:
    """The rules of a query specification."""
    assert set(query) <= QUERY
    figures = [(each["op"], each.get("column")) for each in query["calculations"]]
    assert {op for op, _ in figures} <= OPS
    assert all((op == "COUNT") == (column is None) for op, column in figures)
    for each in query.get("filters", []):
        assert set(each) <= {"column", "op", "value"}
        assert each["op"] in FILTERS
        assert ("value" in each) == (not each["op"].endswith(("exists", "exist")))
    for order in query.get("orders", []):
        assert order["order"] in {"ascending", "descending"}
        assert (order["op"], order.get("column")) in figures
    assert 1 <= query.get("limit", 1) <= 1000


def columns_of(query: dict[str, Any]) -> Iterator[str]:
    yield from query.get("breakdowns", [])
    for each in (*query["calculations"], *query.get("filters", [])):
        if "column" in each:
            yield each["column"]


@pytest.mark.parametrize("key", QUERIES)
def test_queries_are_queries(key: str) -> None:
    """Each keeps the rules of a query, and asks for columns that spans have, or that are calculated."""
    check_query(QUERIES[key])
    assert set(columns_of(QUERIES[key])) <= KNOWN


@pytest.mark.parametrize("key", TRIGGERS)
def test_triggers_are_triggers(key: str) -> None:
    """One figure, no order, at most a day, and at most four times as long as the trigger waits."""
    trigger = TRIGGERS[key]
    query = trigger["query"]
    check_query(query)
    assert set(trigger) <= TRIGGER
    assert set(query) <= IN_TRIGGERS
    assert len(query["calculations"]) == 1
    assert query["calculations"][0]["op"] != "HEATMAP"
    assert query["time_range"] <= min(86_400, 4 * trigger["frequency"])
    assert trigger["frequency"] % 60 == 0
    assert 60 <= trigger["frequency"] <= 86_400
    assert trigger["threshold"]["op"] in {">", ">=", "<", "<="}
    assert trigger["alert_type"] in {"on_change", "on_true"}
    assert set(columns_of(query)) <= KNOWN


def test_the_board_shows_each_question_once() -> None:
    """It is a flexible board whose panels neither overlap nor leave its twelve columns."""
    board = FILES["board.json"]
    assert (board["type"], board["layout_generation"]) == ("flexible", "manual")
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        assert set(panel) == {"type", "position", "query_panel"}
        assert set(panel["query_panel"]) <= PANEL
        assert panel["query_panel"]["query_style"] in {"graph", "table", "combo"}
        x, y, width, height = (panel["position"][name] for name in ("x_coordinate", "y_coordinate", "width", "height"))
        cells = {(column, row) for column in range(x, x + width) for row in range(y, y + height)}
        assert x + width <= 12
        assert not cells & taken
        taken |= cells
    assert [panel["query_panel"]["query_id"] for panel in board["panels"]] == list(QUERIES)


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.alias)
def test_columns_are_calculated_from_columns_that_exist(column: Any) -> None:
    """Known functions over known attributes, with as many brackets closed as opened."""
    assert set(re.findall(r"\$([\w.]+)", column.expression)) <= OURS
    assert set(re.findall(r"([A-Z]+)\(", column.expression)) <= FUNCTIONS
    assert column.expression.count("(") == column.expression.count(")")


def test_links_carry_their_query_and_no_key() -> None:
    """What is in a link is the query, as it is on the board."""
    links = re.findall(r"\]\((https://\S+)\): ", TEXTS["links.md"])
    carried = [json.loads(parse_qs(urlsplit(link).query)["query"][0]) for link in links]
    assert carried == list(QUERIES.values())
    assert all(set(parse_qs(urlsplit(link).query)) == {"query"} for link in links)


def terraform(*arguments: str, folder: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    found = shutil.which("terraform")
    if found is None:
        pytest.skip("terraform is not installed here")
    return subprocess.run(
        [found, *arguments], cwd=folder, input=text, capture_output=True, text=True, check=False, timeout=60
    )


def test_terraform_files_are_formatted() -> None:
    """`terraform fmt` has nothing to change, and parses them."""
    done = terraform("fmt", "-check", "-diff", folder=FOLDER)
    assert (done.returncode, done.stdout) == (0, "")


def test_thresholds_can_be_set_in_terraform(tmp_path: Path) -> None:
    """A limit that is given takes the place of the file's; the others stay."""
    for path in (FOLDER / "variables.tf", *FOLDER.glob("*.json")):
        shutil.copy(path, tmp_path)
    asked = "jsonencode({ for key, trigger in local.triggers : key => trigger.threshold.value })\n"
    done = terraform("console", "-var=dataset=x", "-var=thresholds={day=42}", folder=tmp_path, text=asked)
    assert done.returncode == 0, done.stderr
    limits = {key: each["threshold"]["value"] for key, each in TRIGGERS.items()}
    assert json.loads(json.loads(done.stdout)) == {**limits, "day": 42}


def test_terraform_asks_for_what_the_files_have() -> None:
    """Every field that `main.tf` reads of a query, trigger, panel or column is in the files."""
    text = (FOLDER / "main.tf").read_text(encoding="utf-8")
    records = (*FILES["queries.json"].values(), *TRIGGERS.values(), *FILES["columns.json"])
    fields = {name for record in records for name in record}
    assert set(re.findall(r"each\.value\.(\w+)", text)) <= fields
    for path in re.findall(r"panel\.value\.([\w.]+)", text):
        for panel in FILES["board.json"]["panels"]:
            value = panel
            for name in path.split("."):
                value = value[name]
