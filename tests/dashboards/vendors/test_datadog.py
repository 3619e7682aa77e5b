"""The dashboard and the monitors for Datadog: in its own published models, and over metrics and tags that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from datadog_api_client.configuration import Configuration
from datadog_api_client.model_utils import ModelComposed, ModelNormal, validate_and_convert_types
from datadog_api_client.v1.model.dashboard import Dashboard
from datadog_api_client.v1.model.monitor import Monitor

from grafana.alerts.thresholds import Thresholds
from grafana.vendors import datadog_files
from otel_agentcost.telemetry.signals import SIGNALS

FILES = {path: json.loads(text) for path, text in datadog_files.files(Thresholds()).items()}
MONITORS = [path for path in FILES if path.startswith("monitors/")]
BY_NAME = {signal.name: signal for signal in SIGNALS}
FROM_RESOURCE = {"service", "env"}
QUERY = re.compile(r"(?P<how>sum|max|avg|p90):(?P<metric>[\w.]+)\{(?P<scope>[^}]*)\}(?: by \{(?P<by>[^}]*)\})?")


def strictly(kind: type[ModelNormal], body: Any) -> Any:
    """`body` as Datadog's own model; its parts too, with nothing that the models do not know."""
    checked: Any = validate_and_convert_types
    configuration: Any = Configuration
    found = checked(body, (kind,), ["body"], True, True, configuration())
    unknown = sorted(unknown_in(found, kind.__name__))
    assert unknown == []
    return found


def unknown_in(value: Any, where: str) -> Iterator[str]:
    """What was kept of a body although no model has it."""
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from unknown_in(each, f"{where}[{number}]")
    elif type(value).__name__ == "UnparsedObject" or getattr(value, "_unparsed", False):
        yield where
    elif isinstance(value, ModelComposed):
        yield from unknown_in(value._composed_instances, where)
    elif isinstance(value, ModelNormal):
        yield from (f"{where}.{name}" for name in value._data_store if name not in value.openapi_types)
        for name, part in value._data_store.items():
            yield from unknown_in(part, f"{where}.{name}")


def queries(value: Any) -> Iterator[str]:
    """Every query of a body, wherever it is."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name == "query" and isinstance(part, str):
                yield part
            yield from queries(part)
    elif isinstance(value, list):
        for each in value:
            yield from queries(each)


def test_the_dashboard_is_one() -> None:
    """Datadog's published model of a dashboard takes it whole."""
    assert len(strictly(Dashboard, FILES["dashboard.json"]).widgets) == 3


@pytest.mark.parametrize("path", MONITORS)
def test_monitors_are_monitors(path: str) -> None:
    """Datadog's published model of a monitor takes it whole, and its threshold is that of its query."""
    body = FILES[path]
    strictly(Monitor, body)
    threshold = body["options"]["thresholds"]["critical"]
    assert re.findall(r">=? (\S+)$", body["query"]) == [f"{threshold:g}"]


def test_what_no_model_knows_is_found() -> None:
    """The check sees a wrong kind of widget, and a name that nothing has, however deep."""
    body = json.loads(json.dumps(FILES["dashboard.json"]))
    first = body["widgets"][0]["definition"]["widgets"][0]["definition"]
    first["no_such_thing"] = 1
    with pytest.raises(AssertionError, match="no_such_thing"):
        strictly(Dashboard, body)
    del first["no_such_thing"]
    first["type"] = "no_such_widget"
    with pytest.raises(AssertionError, match="Dashboard"):  # whatever holds what was not understood is marked
        strictly(Dashboard, body)


@pytest.mark.parametrize("path", FILES)
def test_queries_ask_for_what_is_there(path: str) -> None:
    """Each metric exists, has the tags that it is split or chosen by, and is added up exactly if it is a counter."""
    found = list(queries(FILES[path]))
    assert found
    for query in found:
        asked = QUERY.search(query)
        assert asked is not None, query
        signal = BY_NAME[asked["metric"]]
        tags = [tag for tag in (asked["by"] or "").split(",") if tag]
        chosen = [each.strip() for each in asked["scope"].split(",")]
        tags += [datadog_files.VARIABLES[each[1:]] for each in chosen if each.startswith("$")]
        tags += [each.split(":")[0] for each in chosen if ":" in each]
        assert set(tags) - FROM_RESOURCE <= set(signal.attributes), query
        assert (signal.kind == "counter") == (".as_count()" in query), query
        assert (signal.kind == "counter") == (asked["how"] == "sum"), query


def test_every_metric_of_money_is_on_the_dashboard() -> None:
    """Dollars, tokens, savings, runs, unpriced calls, loops and budgets: each is asked for."""
    asked = {name for query in queries(FILES["dashboard.json"]) for name in re.findall(r":([\w.]+)\{", query)}
    assert asked >= {name for name in BY_NAME if name.startswith("agentcost.")} - {
        "agentcost.trace.llm_calls",
        "agentcost.trace.over_budget",
        "agentcost.budget.warnings",
        "agentcost.budget.unenforced.calls",
        "agentcost.record.dropped",  # rows of the spend store, no money
        "agentcost.reconcile.billed",  # for an alert: the command itself says more
        "agentcost.reconcile.captured",
        "agentcost.reconcile.ratio",
    }
