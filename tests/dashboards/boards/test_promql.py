"""The queries of the committed boards: their language, the names in them, and what no query may do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest

from otel_agentcost.core import semconv
from otel_agentcost.telemetry.signals import SIGNALS, WHERE, Signal, label
from tests.dashboards.boards.test_json import BOARDS, targets

GRAFANA = {"__range": "3600s", "__rate_interval": "60s", "__interval": "60s"}
LE = "le"


def values(uid: str) -> dict[str, str]:
    """A value for each variable: what the board begins with, all where it is a choice."""
    own = {one["name"]: one for one in BOARDS[uid]["templating"]["list"]}
    return GRAFANA | {
        name: ".*" if one.get("includeAll") else str((one.get("current") or {}).get("value") or "x")
        for name, one in own.items()
    }


def replaced(text: str, given: dict[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)(?::\w+)?\}?", lambda found: given[found[1]], text)


def expressions() -> Iterator[tuple[str, str]]:
    """Every query to Prometheus as it is sent, with where it stands; queries by a chosen label, once a choice."""
    for where, _, target in targets():
        if "expr" not in target:
            continue
        given = values(where.partition(":")[0])
        splits = choices(where) if "$by" in target["expr"] else [given.get("by", "")]
        for split in splits:
            yield where, replaced(target["expr"], given | {"by": split})


def choices(where: str) -> list[str]:
    (one,) = (one for one in BOARDS[where.partition(":")[0]]["templating"]["list"] if one["name"] == "by")
    return [option["value"] for option in one["options"]]


QUERIES = list(expressions())
EVERY = pytest.mark.parametrize(
    ("where", "query"), QUERIES, ids=[f"{at}-{where}" for at, (where, _) in enumerate(QUERIES)]
)


def parts(node: Any) -> Iterator[Any]:
    """A query and all that it is made of."""
    yield node
    for name in ("expr", "lhs", "rhs", "param", "vector_selector", "vs"):
        if (child := getattr(node, name, None)) is not None:
            yield from parts(child)
    for child in getattr(node, "args", None) or ():
        yield from parts(child)


def selectors(query: str) -> list[promql_parser.VectorSelector]:
    found = [one for one in parts(promql_parser.parse(query)) if isinstance(one, promql_parser.VectorSelector)]
    assert found
    return found


def signal_of(series: str) -> Signal:
    """The signal of a series; a KeyError where there is none."""
    known = {one.prometheus: one for one in SIGNALS if one.kind != "histogram"} | {
        f"{one.prometheus}_{part}": one
        for one in SIGNALS if one.kind == "histogram"
        for part in ("sum", "count", "bucket")
    }  # fmt: skip
    return known[series]


def labels_of(signal: Signal) -> set[str]:
    return {label(name) for name in (*WHERE, *signal.attributes)}


def test_there_are_queries_on_every_board() -> None:
    """The tests below look at something."""
    assert {where.partition(":")[0] for where, _ in QUERIES} == set(BOARDS)
    assert len(QUERIES) > 80


@EVERY
def test_openlit_731_every_metric_and_label_of_a_query_exists(where: str, query: str) -> None:
    """Boards that ask for names which nobody emits show nothing: each is in the table of signals."""
    for one in selectors(query):
        signal = signal_of(one.name or "")
        asked = {matcher.name for matcher in one.matchers.matchers}
        assert asked <= labels_of(signal) | {LE}, f"{where}: {signal.prometheus}"


@EVERY
def test_a_query_is_split_by_labels_that_its_signals_have(where: str, query: str) -> None:
    """A sum by a label that no series has is one sum, under no name."""
    known = set[str]().union(*(labels_of(signal_of(one.name or "")) for one in selectors(query))) | {LE}
    for one in parts(promql_parser.parse(query)):
        if isinstance(one, promql_parser.AggregateExpr) and one.modifier is not None:
            assert set(one.modifier.labels) <= known, where


def test_litellm_docs_712_no_query_is_for_one_library_or_one_process() -> None:
    """Which SDK sent a series, and from which process, is never asked: not job, not instance, no name of a library."""
    barred = {"job", "instance", "telemetry_sdk_name", "otel_scope_name", "exported_job", "service_instance_id"}
    for where, query in QUERIES:
        asked = {matcher.name for one in selectors(query) for matcher in one.matchers.matchers}
        assert not asked & barred, where
        assert not re.search(rf"by \([^)]*\b({'|'.join(barred)})\b", query), where


def test_litellm_26611_counters_are_summed_over_all_processes() -> None:
    """The figure of a board is the sum over all workers and replicas: every series stands below a sum or a maximum."""
    for where, query in QUERIES:
        outside = outside_of_aggregates(promql_parser.parse(query))
        assert [one for one in outside if isinstance(one, promql_parser.VectorSelector)] == [], where


def outside_of_aggregates(node: Any) -> Iterator[Any]:
    """What of a query does not stand below a sum or a maximum by labels."""
    if isinstance(node, promql_parser.AggregateExpr) and str(node.op) in {"sum", "max"}:
        return
    yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "vs"):
        if (child := getattr(node, name, None)) is not None:
            yield from outside_of_aggregates(child)
    for child in getattr(node, "args", None) or ():
        yield from outside_of_aggregates(child)


def test_counters_that_are_born_with_a_value_keep_it() -> None:
    """Each increase is for counters that began again alone, and no query takes a rate, which loses first values."""
    for where, query in QUERIES:
        assert not re.search(r"\b(rate|irate|delta)\(", query), where
        assert query.count("increase(") == query.count("unless resets("), where


def test_the_same_dollars_are_never_added() -> None:
    """The counter, the histogram of calls and that of runs hold the same dollars: no query has two of them."""
    same = {"agentcost_cost_total", "gen_ai_client_operation_cost_sum", "agentcost_trace_cost_sum"}
    for where, query in QUERIES:
        assert len({one.name for one in selectors(query)} & same) <= 1, where


def test_every_series_that_can_be_chosen_is_chosen() -> None:
    """A query of a signal with an agent's label asks for the chosen agents, and so on: no panel leaves a choice out."""
    variables = {
        "service": WHERE[0], "environment": WHERE[1], "provider": semconv.PROVIDER, "model": semconv.REQUEST_MODEL,
        "agent": semconv.AGENT, "team": semconv.TEAM, "user": semconv.USER,
    }  # fmt: skip
    for where, _, target in targets():
        for series, body in re.findall(r"(\w+)\{([^}]*)\}", target.get("expr", "")):
            known = labels_of(signal_of(series))
            for variable, attribute in variables.items():
                if label(attribute) in known:
                    assert f'{label(attribute)}=~"${variable}"' in body, f"{where}: {series}, {variable}"


def test_tables_of_runs_ask_for_attributes_that_spans_have() -> None:
    """TraceQL names attributes of the contract, and looks at the first span of a run alone."""
    found = [(where, target["query"]) for where, _, target in targets() if "query" in target]
    assert found
    contract = {value for name, value in vars(semconv).items() if name.isupper() and isinstance(value, str)}
    for where, query in found:
        assert set(re.findall(r"span\.([\w.]+)", query)) <= contract, where
        assert "nestedSetParent < 0" in query, where
