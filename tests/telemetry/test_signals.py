"""What the package emits is what the table of metrics says, which boards, alerts and the Collector are made from."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from openai import APIConnectionError, OpenAI
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics.export import Gauge, Histogram, HistogramDataPoint, Sum

import otel_agentcost
from otel_agentcost import BudgetExceeded, LoopDetected, tool_call
from otel_agentcost.core import semconv
from otel_agentcost.telemetry import signals
from otel_agentcost.telemetry.metrics import create_counter, create_histogram, create_observable
from otel_agentcost.telemetry.signals import MODEL, SIGNALS, WHO, Signal
from otel_agentcost.testing import Answer, FakeModel
from tests.calls.test_loops import agent, in_a_trace, openai
from tests.savings.prompt_cache.test_markers import ask as ask_in_turn
from tests.support.budgeted_calls import answering, ask, budgeted, client, until_refused
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import CACHED, chat, chat_stream

__all__ = ["openai"]

EMITTED = [signal for signal in SIGNALS if signal.package]
KINDS = {"counter": Sum, "histogram": Histogram, "gauge": Gauge}


@pytest.fixture
def made(model_server: ModelServer) -> Iterator[OpenAI]:
    """A client whose calls all succeed, with some of their input read from a cache."""
    answering(model_server, lambda request: json_reply(chat(CACHED, model=request.json["model"])))
    with client(model_server) as found:
        yield found


def calls(telemetry: Telemetry, made: OpenAI, server: ModelServer) -> None:
    """For everybody: a call, one of an unknown model, one that is broken off, and a tool that fails."""
    everybody = {"agent": "bees", "user": "u1", "tenant": "t1", "team": "search", "feature": "faq"}
    with budgeted(telemetry, tool_prices="fetch=0.01"), otel_agentcost.attribute(**everybody), in_a_trace(telemetry):
        ask(made)
        ask(made, model="inert-model-of-this-test")
        with pytest.raises(ZeroDivisionError), tool_call("fetch"):
            raise ZeroDivisionError
        answering(server, lambda _request: chat_stream(drop=True))
        with pytest.raises(APIConnectionError):
            list(ask(made, stream=True))


def budgets(telemetry: Telemetry, made: OpenAI, server: ModelServer) -> None:
    """Budgets that are warned of, refuse, cannot look, send calls to a cheaper model, and open a breaker."""
    answering(server)
    settings: Any = {"budgets": "user=greedy:calls=2", "breakers": "agent:trips=1/10m,open=1s"}
    with budgeted(telemetry, **settings), otel_agentcost.attribute(agent="researcher", user="greedy"):
        until_refused(lambda: ask(made))
        with pytest.raises(BudgetExceeded):
            ask(made)
    settings = {"on_exceed": "downgrade", "downgrade": "gpt-4o=gpt-4o-mini", "budgets": "total:usd=0.0005"}
    with budgeted(telemetry, **settings):
        until_refused(lambda: ask(made, model="gpt-4o"))
    with budgeted(telemetry, budgets="total:usd=1"):
        ask(made, model="inert-model-of-this-test")


def looped(telemetry: Telemetry, openai: OpenAI) -> None:
    """An agent that goes round in circles until it is stopped."""
    whose = otel_agentcost.attribute(agent="bees")
    with budgeted(telemetry, loop_action="block"), in_a_trace(telemetry), whose, pytest.raises(LoopDetected):
        agent(openai, ["Nothing found."])


@otel_agentcost.tool(cache="10m")
def look() -> str:
    """A tool whose result is kept."""
    return "seen"


def broken_cache(telemetry: Telemetry, made: OpenAI, server: ModelServer) -> None:
    """A prompt that was cached, and that another system prompt has made new."""
    everybody = {"agent": "bees", "user": "u1", "tenant": "t1", "team": "search", "feature": "faq"}
    usage = {"prompt_tokens": 9000, "completion_tokens": 9, "total_tokens": 9009}
    with budgeted(telemetry), otel_agentcost.attribute(**everybody):
        for cached, system in ((8960, "one"), (0, "two")):
            reply = json_reply(chat({**usage, "prompt_tokens_details": {"cached_tokens": cached}}, model="gpt-4o"))
            server.responder = partial(lambda reply, _request: reply, reply)
            said = ("Hi", "Hello", "A question", "An answer", "Another question")
            turns: Any = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)]
            history = turns[: 3 if cached else 5]
            ask(made, model="gpt-4o", messages=[{"role": "system", "content": system}, *history])


def marked(telemetry: Telemetry) -> None:
    """A conversation whose prompts this package marks, and whose later calls read the cache."""
    fresh, read = (Answer("Fine.", input_tokens=5_000, cache_read_tokens=cached) for cached in (0, 4_900))
    with budgeted(telemetry, prompt_cache="auto"), FakeModel(fresh, fresh, read, read).anthropic() as client:
        for turns in range(4):
            ask_in_turn(client, turns)


def attributes_of(telemetry: Telemetry, signal: Signal) -> set[str]:
    return {name for point in telemetry.points(signal.name) for name in (point.attributes or {})}


def test_the_package_emits_what_the_table_says(
    telemetry: Telemetry, made: OpenAI, openai: OpenAI, model_server: ModelServer
) -> None:
    """Every metric has the kind, unit, description, buckets and attributes of its row, and there is no other metric."""
    looped(telemetry, openai)
    answering(model_server, lambda request: json_reply(chat(CACHED, model=request.json["model"])))
    calls(telemetry, made, model_server)
    broken_cache(telemetry, made, model_server)
    marked(telemetry)
    budgets(telemetry, made, model_server)
    with budgeted(telemetry, tool_prices="look=0.01"):
        assert [look(), look()] == ["seen", "seen"]
    with budgeted(telemetry, record="sqlite:////dev/null/spend.db"):
        ask(made)
    emitted = telemetry.metrics()
    assert set(emitted) == {signal.name for signal in EMITTED}
    for signal in EMITTED:
        metric = emitted[signal.name]
        assert (metric.unit, type(metric.data)) == (signal.unit, KINDS[signal.kind]), signal.name
        assert metric.description == signal.description, signal.name
        assert attributes_of(telemetry, signal) == set(signal.attributes), signal.name
        if isinstance(metric.data, Sum):
            assert metric.data.is_monotonic
        for point in metric.data.data_points:
            if isinstance(point, HistogramDataPoint):
                assert tuple(point.explicit_bounds) == signal.buckets


@pytest.mark.parametrize("kind", ["counter", "histogram", "gauge"])
def test_a_new_row_is_all_that_an_instrument_needs(
    telemetry: Telemetry, kind: Literal["counter", "histogram", "gauge"]
) -> None:
    """An instrument takes its name, kind, unit, description and buckets from the row that it is created from."""
    buckets = (1.0, 8.0) if kind == "histogram" else ()
    row = Signal(name=f"toy.{kind}", kind=kind, unit="{toy}", description="A toy.", buckets=buckets)
    meter = telemetry.meter_provider.get_meter("toy")
    if kind == "histogram":
        create_histogram(meter, row).record(3)
    elif kind == "counter":
        create_counter(meter, row).add(Decimal(3), {})
    else:
        create_observable(meter, row, lambda _options: [Observation(3)])
    metric = telemetry.metrics()[row.name]
    assert (metric.unit, metric.description, type(metric.data)) == (row.unit, row.description, KINDS[kind])
    (point,) = metric.data.data_points
    if isinstance(point, HistogramDataPoint):
        assert tuple(point.explicit_bounds) == buckets


def test_the_table_imports_only_the_core() -> None:
    """The Collector's generator and the boards read the table without the OpenTelemetry API."""
    tree = ast.parse(Path(signals.__file__).read_text(encoding="utf-8"))
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    others = {module for module in modules if module.split(".")[0] not in sys.stdlib_module_names}
    assert {module for module in others if not module.startswith("otel_agentcost.core")} == set()


def test_points_of_money_and_tokens_have_the_same_whereabouts(
    telemetry: Telemetry, made: OpenAI, model_server: ModelServer
) -> None:
    """Dollars and tokens can be divided by each other: whatever one is split by, the other is."""
    calls(telemetry, made, model_server)

    def shared(name: str) -> list[dict[str, Any]]:
        found = [dict(point.attributes or {}) for point in telemetry.points(name)]
        found = [said for said in found if semconv.TOOL not in said]
        return [{key: said[key] for key in (*MODEL, *WHO) if key in said} for said in found]

    priced = shared("agentcost.cost")
    assert priced
    assert all(said in shared("agentcost.tokens") for said in priced)
