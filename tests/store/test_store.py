"""The store under real SDKs: the same dollars as the ledger, the spans and the metrics."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

import otel_agentcost
from otel_agentcost import tool_call
from otel_agentcost.core import money, semconv
from otel_agentcost.core.run_tables import VIEWS, budget_row, tables
from otel_agentcost.core.spend import Line, Spend, Sums, table_html
from otel_agentcost.store.questions import Question
from otel_agentcost.store.sources.sqlite import SqliteSource
from otel_agentcost.telemetry.run_sums import OTHERS, RunSums
from tests.calls.test_loops import agent, in_a_trace, openai
from tests.store.recorded import nano, rows, spend, url_of
from tests.support.budgeted_calls import answering, ask, budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import CACHED, chat, chat_stream

__all__ = ["openai"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store that is not there yet."""
    return tmp_path / "spend.db"


@pytest.fixture
def made(model_server: ModelServer) -> Iterator[OpenAI]:
    """A client whose calls all succeed."""
    answering(model_server, lambda request: json_reply(chat(CACHED, model=request.json["model"])))
    with client(model_server) as found:
        yield found


def of_spans(telemetry: Telemetry) -> int:
    """The billionths of a dollar on the spans of calls, rounded up as the ledger does."""
    amounts = [money.from_number((span.attributes or {}).get(semconv.COST)) for span in telemetry.spans]
    return sum(money.to_nano(usd) for usd in amounts if usd is not None)


def of_metrics(telemetry: Telemetry) -> Decimal:
    """The dollars of the running sums."""
    points: Any = telemetry.points("agentcost.cost")
    return sum((Decimal(repr(point.value)) for point in points), start=Decimal(0))


def test_calls_and_tools_are_rows(telemetry: Telemetry, made: OpenAI, model_server: ModelServer, path: Path) -> None:
    """With attribution, ids, latency, and the reason where a price is not known; every grouping adds up the same."""
    with (
        budgeted(telemetry, record=url_of(path), tool_prices="fetch=0.01"),
        otel_agentcost.attribute(agent="bees", user="u1"),
        otel_agentcost.run("ticket") as run,
    ):
        ask(made)
        ask(made, model="inert-model-of-this-test")
        with tool_call("fetch"):
            pass
        with tool_call("free"):
            pass
        answering(model_server, lambda _request: chat_stream())
        list(ask(made, stream=True, stream_options={"include_usage": True}))
    found = rows(path)
    assert [row["operation"] for row in found] == ["chat", "chat", "execute_tool", "execute_tool", "chat"]
    assert {(row["agent"], row["user"]) for row in found} == {("bees", "u1")}
    assert "inert-model-of-this-test" in found[1]["unpriced"]
    assert (found[1]["nusd"], found[3]["nusd"], found[3]["unpriced"]) == (None, None, "")
    spans = {span.context.span_id.to_bytes(8, "big") for span in telemetry.spans if span.context is not None}
    assert {row["span"] for row in found} <= spans
    assert len({row["trace"] for row in found} | {row["run"] for row in found}) == 2
    assert all(row["ms"] is not None for row in found)
    assert nano(path) == of_spans(telemetry)
    for by in ("model", "agent", "tool", "day", "trace", "run", "price", "source"):
        total = spend(path, by).total
        assert (total.nusd, total.calls, total.tools, total.unpriced) == (nano(path), 3, 2, 1), by
    assert abs(money.from_nano(nano(path)) - of_metrics(telemetry)) < Decimal("5e-9")
    assert run.cost_usd is not None
    assert abs(money.from_nano(nano(path)) - run.cost_usd) < Decimal("5e-9")


def test_unsampled_calls_are_rows_too(telemetry: Telemetry, made: OpenAI, path: Path) -> None:
    """The store knows what sampling leaves out."""
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    unsampled = Telemetry(sampler=ALWAYS_OFF)
    with budgeted(unsampled, record=url_of(path)):
        ask(made)
    assert unsampled.spans == ()
    assert len(rows(path)) == 1
    del telemetry


def test_the_ledger_has_the_same(telemetry: Telemetry, made: OpenAI, path: Path, tmp_path: Path) -> None:
    """To the nano-dollar, for each user."""
    ledger = f"sqlite:///{tmp_path}/ledger.db"
    with budgeted(telemetry, record=url_of(path), ledger=ledger, budgets="user:usd=5"):
        for number in range(7):
            with otel_agentcost.attribute(user=f"u{number % 2}"):
                ask(made)
    accounts = rows(tmp_path / "ledger.db", "SELECT CAST(key AS TEXT) AS key, nano_usd FROM accounts")
    in_ledger = {row["key"].rpartition("/")[2]: row["nano_usd"] for row in accounts if row["key"][:4] == "user"}
    assert {line.keys[0]: line.sums.nusd for line in spend(path, "user")} == in_ledger
    assert len(in_ledger) == 2


def test_refusals_and_loops_are_events(telemetry: Telemetry, made: OpenAI, openai: Any, path: Path) -> None:
    """Without their content."""
    with budgeted(telemetry, record=url_of(path), budgets="user:calls=2"), otel_agentcost.attribute(user="u1"):
        for _ in range(2):
            ask(made)
        with pytest.raises(otel_agentcost.BudgetExceeded):
            ask(made)
        otel_agentcost.adjust("0.5", reason="an image")
    with budgeted(telemetry, record=url_of(path)), in_a_trace(telemetry):
        agent(openai, ["Nothing found."])
    found = [(row["kind"], row["what"], row["nusd"]) for row in rows(path, "SELECT * FROM event")]
    assert ("refusal", "user:calls=2 of user u1: block", None) in found
    assert ("adjustment", "an image", 500_000_000) in found
    assert found[-1][0] == "loop"


def test_adjustments_are_events_without_any_budget(telemetry: Telemetry, made: OpenAI, path: Path) -> None:
    """In the store, on the span, and in the tables of the run, whose total has them; so without `instrument()`."""
    with budgeted(telemetry, record=url_of(path)), otel_agentcost.run("a", user="u1") as run:
        ask(made)
        before = run.cost_usd
        otel_agentcost.adjust("0.5", reason="an image")
        otel_agentcost.refund("0.2", reason="a credit")
        html = run._repr_html_()
    found = [(row["kind"], row["what"], row["nusd"]) for row in rows(path, "SELECT * FROM event")]
    assert found == [("adjustment", "an image", 500_000_000), ("adjustment", "a credit", -200_000_000)]
    assert before is not None
    assert run.cost_usd == before + Decimal("0.3")
    assert f"<strong>a: ${run.cost_usd}</strong>" in html
    assert "an image, $0.500000" in html
    assert "a credit, -$0.200000" in html
    events = [event.name for span in telemetry.spans for event in span.events]
    assert events.count(semconv.E_ADJUSTED) == 2
    with otel_agentcost.run("bare") as bare:
        otel_agentcost.adjust("0.5", reason="an image")
    assert "an image, $0.500000" in bare._repr_html_()


def test_a_run_in_a_notebook_shows_the_tables_of_agentcost_run(
    telemetry: Telemetry, made: OpenAI, openai: Any, path: Path
) -> None:
    """The same rows as from the store: by agent, model and tool; budgets, refusals, loops, and what has no price."""
    with (
        budgeted(telemetry, record=url_of(path), tool_prices="search=0.01", budgets="user:calls=3"),
        otel_agentcost.run("a <ticket>", usd=2, llm_calls=50) as run,
    ):
        with otel_agentcost.attribute(agent="writer", user="u1"):
            for model in ("gpt-4o-mini", "gpt-4o-mini", "no-such-model"):
                ask(made, model=model)
            with pytest.raises(otel_agentcost.BudgetExceeded):
                ask(made)
        with otel_agentcost.run("within"), otel_agentcost.tool_call("search"):
            pass
        agent(openai, ["Nothing found."])
        otel_agentcost.adjust("0.5", reason="an <image>")
        html = run._repr_html_()
    assert f"<strong>a &lt;ticket&gt;: &gt;=${run.cost_usd}</strong>" in html
    source = SqliteSource(path)
    try:
        views = {name: source.spend(Question(by=(name,))) for name in VIEWS}
        events = source.events(Question())
    finally:
        source.close()
    spent = run.cost_usd
    assert spent is not None
    views["tool"] = Spend(("tool",), tuple(line for line in views["tool"] if line.keys[0]))
    budgets = [
        budget_row("run=a <ticket>:usd=2,calls=50", "", "usd", spent, None, 2 - spent, Decimal(2), "never"),
        budget_row("run=a <ticket>:usd=2,calls=50", "", "calls", run.llm_calls, None, 50 - run.llm_calls, 50, "never"),
    ]
    expected = tables(views, budgets, events, views["model"].reasons)
    assert [table.title for table in expected] == [
        "by agent", "by model", "by tool", "budgets", "refused calls", "loops", "adjustments", "unpriced"
    ]  # fmt: skip
    for table in expected:
        assert table_html(table) in html


def test_the_tables_of_a_run_are_bounded() -> None:
    """A thousand agents; the others are one line, and nothing is lost."""
    sums = RunSums()
    for number in range(1500):
        sums.add((f"agent {number}", "m", ""), Sums(calls=1, nusd=2, unpriced=1), f"reason {number}")
    by_agent = sums.views()["agent"]
    assert len(by_agent) == 1001
    assert by_agent.lines[0] == Line((OTHERS,), Sums(calls=500, nusd=1000, unpriced=500))
    assert sums.views()["model"].total == Sums(calls=1500, nusd=3000, unpriced=1500)
    assert sum(sums.reasons().values()) == 1500


def test_a_run_costs_what_the_runs_within_it_cost(telemetry: Telemetry, made: OpenAI, path: Path) -> None:
    """By run, the outermost one has it all, so that the lines add up; nested runs are a grouping of their own."""
    with budgeted(telemetry, record=url_of(path), tool_prices="search=0.01"):
        with otel_agentcost.run("outer") as outer:
            ask(made)
            with otel_agentcost.run("middle") as middle, otel_agentcost.run("inner") as inner:
                ask(made)
                with tool_call("search"):
                    pass
        with otel_agentcost.run("other") as other:
            ask(made)
        ask(made)
    by_run = {line.keys[0]: line.usd for line in spend(path, "run")}
    assert by_run.keys() == {outer.value, other.value, ""}
    assert (by_run[outer.value], by_run[other.value]) == (outer.cost_usd, other.cost_usd)
    assert spend(path, "run").total == spend(path).total
    both = {line.keys: line.usd for line in spend(path, "run", "nested_run")}
    assert both[outer.value, inner.value] == inner.cost_usd == middle.cost_usd
    assert len(both) == 4
    source = SqliteSource(path)
    dearest = source.dearest(Question(), 2)[0]
    assert (dearest.run, dearest.sums.usd) == (outer.value, outer.cost_usd)
    source.close()


def test_a_tool_call_has_a_fingerprint_of_its_arguments(telemetry: Telemetry, path: Path) -> None:
    """As the function gets them: by name or by place, it is one call. An object without content has none."""

    @otel_agentcost.tool(usd="0.01")
    def search(q: str, n: object = 3) -> str:
        return f"{q}: nothing"

    with budgeted(telemetry, record=url_of(path)), otel_agentcost.run("a run"):
        search("bees", 3)
        search(n=3, q="bees")
        search("ants", 3)
        search("bees", object())
    found = [row["request"] for row in rows(path)]
    assert found[0] == found[1] != found[2]
    assert [print_ if print_ is None else len(print_) for print_ in found] == [8, 8, 8, None]
    assert b"bees" not in path.read_bytes()
