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


def test_a_run_in_a_notebook_shows_its_totals(telemetry: Telemetry, made: OpenAI) -> None:
    """The columns of the demo's table; what its name has, is no HTML."""
    with budgeted(telemetry), otel_agentcost.run("a <ticket>") as run:
        ask(made)
        html = run._repr_html_()
    assert "a &lt;ticket&gt;" in html
    assert "<td>1</td>" in html
    assert f"${run.cost_usd}" in html
