"""Marks for the prompt cache that lose money, or that are refused: they stop, once and for all."""

from __future__ import annotations

import sys
import threading
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, ClassVar

import anthropic
import httpx2
import pytest
from opentelemetry.trace import INVALID_SPAN

import otel_agentcost
from otel_agentcost.core.call import Answer as Answered
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Usage
from otel_agentcost.diagnostics import forget_causes
from otel_agentcost.savings.prompt_cache import markers
from otel_agentcost.savings.prompt_cache.health import PromptCacheHealth
from otel_agentcost.savings.prompt_cache.markers import PromptCacheMarkers
from otel_agentcost.testing import Answer, FakeModel, ModelRequest
from tests.calls.test_bill_labels import Elsewhere
from tests.savings.prompt_cache.test_calls import history
from tests.savings.prompt_cache.test_markers import ask, marks
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import message

NO_BOOK: Any = None


@pytest.fixture(autouse=True)
def anew() -> None:
    """Each cause of a warning is new."""
    forget_causes()


def written(request: ModelRequest) -> Answer:
    return Answer("Fine.", input_tokens=5_000, cache_write_tokens=4_900 if "cache_control" in request.body else 0)


def test_losses_in_many_conversations_are_added_up(telemetry: Telemetry) -> None:
    """Where no agent is named; each conversation for itself is too short to be judged."""
    model = FakeModel(written)
    with budgeted(telemetry, prompt_cache="auto"), model.anthropic() as client:
        for n in range(30):
            for turns in range(4):
                with otel_agentcost.attribute(conversation=f"c{n}"):
                    ask(client, turns)
    assert sum(mark is not None for mark in marks(model)) == 20


def test_a_stop_is_not_forgotten(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many others there are; and where too many have stopped, nothing is marked."""
    monkeypatch.setattr(markers, "_AGENTS", 3)
    model = FakeModel(written)

    def run(agent: str, calls: int) -> int:
        before = len(model.requests)
        with otel_agentcost.attribute(agent=agent):
            for turns in range(calls):
                ask(client, 0, messages=[{"role": "user", "content": f"of {agent}"}, *history(turns)[1:]])
        return sum(mark is not None for mark in marks(model)[before:])

    with budgeted(telemetry, prompt_cache="auto"), model.anthropic() as client:
        assert run("loser", 25) == 20
        assert [run(f"a{n}", 3) for n in range(5)] == [1] * 5
        assert run("loser", 5) == 0
        assert [run(f"b{n}", 25) for n in range(3)] == [20, 20, 0]


def test_what_threads_save_is_counted_once() -> None:
    """All of it."""
    counted: list[Decimal] = []
    made = PromptCacheMarkers(PromptCacheHealth(every=True), NO_BOOK, lambda more, *_: counted.append(more))
    unchecked: Any = made
    unchecked._net_of = lambda *_: Decimal("0.01")
    request: Any = SimpleNamespace(
        format=SimpleNamespace(conversation=None),
        call=SimpleNamespace(model="m", body={}),
        endpoint=SimpleNamespace(provider="anthropic"),
    )

    class Call:
        attribution: ClassVar[dict[str, str]] = {}
        span = INVALID_SPAN

    def work() -> None:
        for _ in range(1_000):
            record: Any = Call()
            made._marked[record] = markers._Marked((("m", "a"),), ("m", ""), 1)
            made.settled(
                request, record, 0.0, Answered(usage=Usage(counts={"input_tokens": 5})), Cost.unknown(""), None
            )

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(before)
    assert sum(counted) == Decimal("80.00")


def test_marks_that_lose_money_stop_by_themselves(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """After twenty calls, for this agent alone, and one sentence says so."""

    def answer(request: ModelRequest) -> Answer:
        written = 4_900 if "cache_control" in request.body else 0
        return Answer("Fine.", input_tokens=5_000, cache_write_tokens=written)

    model = FakeModel(answer)
    with budgeted(telemetry, prompt_cache="auto", prompt_cache_health="off"), model.anthropic() as client:
        with otel_agentcost.attribute(agent="loser"):
            for turns in range(25):
                ask(client, turns)
        with otel_agentcost.attribute(agent="another"):
            for turns in range(3):
                ask(client, turns)
    made = [mark is not None for mark in marks(model)]
    assert made == [False] * 2 + [True] * 20 + [False] * 3 + [False] * 2 + [True]
    (sentence,) = [record.message for record in caplog.records if "no longer marked" in record.message]
    assert "loser" in sentence
    assert "over 20 calls, it cost 0.0735 US dollars more" in sentence
    assert telemetry.metrics().get("agentcost.savings") is None, "nothing was saved"


def test_marks_that_are_refused_stop(
    telemetry: Telemetry, model_server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be because of them: the first refusal is the last, for all conversations with this model."""
    refused = json_reply({"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}, status=400)
    big = message({"input_tokens": 5_000, "output_tokens": 5})
    model_server.responder = lambda request: refused if "cache_control" in request.json else json_reply(big)
    http: Any = httpx2.Client(transport=Elsewhere(model_server))
    failed = 0
    with (
        budgeted(telemetry, prompt_cache="auto"),
        anthropic.Anthropic(api_key="none", max_retries=0, http_client=http) as client,
    ):
        for turns in range(24):
            try:
                with otel_agentcost.attribute(conversation=f"c{turns // 8}"):
                    ask(client, turns % 8)
            except anthropic.BadRequestError:  # noqa: PERF203 (what happens is counted)
                failed += 1
    assert failed == 1
    assert caplog.text.count("was refused") == 1
