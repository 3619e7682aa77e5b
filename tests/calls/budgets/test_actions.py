"""What happens to a call that does not fit: a cheaper model, a shorter answer, a warning, a wait."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

import otel_agentcost
from otel_agentcost import BudgetExceeded
from tests.support.budgeted_calls import answering, ask, async_client, budgeted, client, until_refused
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply
from tests.support.replies import chat


@pytest.fixture
def openai(model_server: ModelServer) -> Iterator[OpenAI]:
    """A client whose calls all succeed."""
    with client(answering(model_server)) as made:
        yield made


def test_a_cheaper_model_takes_the_place_of_a_dear_one(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """The request is changed, the span has both names, and what was saved is counted."""
    settings: Any = {"on_exceed": "downgrade", "downgrade": "gpt-4o=gpt-4o-mini", "budgets": "total:usd=0.0005"}
    with budgeted(telemetry, **settings):
        made, error = until_refused(lambda: ask(openai, model="gpt-4o"))
    assert {request.json["model"] for request in model_server.requests} == {"gpt-4o-mini"}
    assert made > 3
    assert error.limit == Decimal("0.0005")
    span = telemetry.spans[0]
    given = dict(span.attributes or {})
    assert span.name == "chat gpt-4o-mini"
    assert (given["gen_ai.request.model"], given["agentcost.downgraded_from"]) == ("gpt-4o-mini", "gpt-4o")
    assert given["agentcost.cost.usd"] == 0.000045
    dear = 100 * 0.0000025 + 50 * 0.00001
    saved = telemetry.total("agentcost.savings", agentcost__savings__kind="downgrade", gen_ai__request__model="gpt-4o")
    assert saved == pytest.approx(made * (dear - 0.000045))


def test_a_dear_model_is_asked_as_long_as_it_fits(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """Only the calls that do not fit are changed."""
    settings: Any = {"on_exceed": "downgrade", "downgrade": "gpt-4o=gpt-4o-mini", "budgets": "total:usd=0.003"}
    with budgeted(telemetry, **settings):
        until_refused(lambda: ask(openai, model="gpt-4o"))
    models = [request.json["model"] for request in model_server.requests]
    assert models[:2] == ["gpt-4o", "gpt-4o"]
    assert models[-1] == "gpt-4o-mini"
    assert models == sorted(models)


def test_the_output_limit_is_lowered_to_what_is_left(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """Never raised, blocked where nothing useful is left, and the span has both figures."""

    def reply(request: Request) -> Reply:
        return json_reply(
            chat({"prompt_tokens": 10, "completion_tokens": request.json["max_tokens"], "total_tokens": 0})
        )

    model_server.responder = reply
    with budgeted(telemetry, budgets="total:tokens=1500", on_exceed="clamp"):
        made, _ = until_refused(lambda: ask(openai, max_tokens=400))
    limits = [request.json["max_tokens"] for request in model_server.requests]
    assert limits[0] == 400
    assert all(64 <= later <= earlier for earlier, later in itertools.pairwise(limits))
    assert 64 <= limits[-1] < 400
    assert sum(limits) + 10 * made <= 1500
    given = dict(telemetry.spans[made - 1].attributes or {})
    assert (given["agentcost.clamped_from"], given["gen_ai.request.max_tokens"]) == (400, limits[-1])


def test_a_request_that_cannot_be_changed_is_blocked(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """A call that has no cheaper model, or no limit to lower, gets the refusal that the budget stands for."""
    with budgeted(telemetry, budgets="total:tokens=1", on_exceed="downgrade", downgrade="text-embedding-3-large=x"):
        with pytest.raises(BudgetExceeded):
            openai.embeddings.create(model="text-embedding-3-large", input="hi")
        with pytest.raises(BudgetExceeded):
            ask(openai)
    assert model_server.requests == []
    assert telemetry.total("agentcost.budget.refusals") == 2


def test_a_request_without_a_place_for_a_limit_is_blocked(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """Where answers are shortened to what is left, a picture that may cost more than that is not painted."""
    with budgeted(telemetry, budgets="total:usd=0.30,on_exceed=clamp"), pytest.raises(BudgetExceeded) as refused:
        openai.images.generate(model="gpt-image-1", prompt="bees")
    assert (refused.value.limit, refused.value.spent) == (Decimal("0.30"), 0)
    assert model_server.requests == []


def test_sound_of_unknown_length_is_heard_one_at_a_time(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Of ten transcriptions at once, which may cost anything, one passes the budget at most."""

    def reply(_request: Request) -> Reply:
        time.sleep(0.05)
        return json_reply({"text": "Hello.", "usage": {"type": "duration", "seconds": 60}})

    def transcribe(_number: int) -> int:
        try:
            made.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF"))
        except BudgetExceeded:
            return 0
        return 1

    with (
        client(answering(model_server, reply)) as made,
        budgeted(telemetry, budgets="total:usd=0.01", wait_seconds=2),
        ThreadPoolExecutor(10) as threads,
    ):
        assert sum(threads.map(transcribe, range(10))) == 2  # $0.006 each
    assert len(model_server.requests) == 2


def test_a_budget_that_only_warns_tells_it_once(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The calls go on; one event and one log record say that the budget is used up."""
    with budgeted(telemetry, budgets="total:calls=3,on_exceed=warn"):
        for _ in range(6):
            ask(openai)
    assert len(model_server.requests) == 6
    events = [event.name for span in telemetry.spans for event in span.events]
    assert events.count("agentcost.budget.exceeded") == 1
    assert [record.getMessage() for record in caplog.records if "used up" in record.getMessage()] == [
        "otel-agentcost: the budget total:calls=3,on_exceed=warn is used up: 3 of 3 calls."
    ]
    assert telemetry.total("agentcost.budget.refusals") == 0
    assert telemetry.total("agentcost.budget.utilization") == 2


def test_a_call_waits_for_money_that_is_only_held(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """The second call does not fit beside the first one's worst case, and does beside what that has cost."""
    arrived = threading.Event()

    def slow(request: Request) -> Reply:
        arrived.set()
        time.sleep(0.3)
        return json_reply(chat(model=request.json["model"]))

    model_server.responder = slow
    with budgeted(telemetry, budgets="total:tokens=1000"):
        first = threading.Thread(target=lambda: ask(openai, max_tokens=600))
        first.start()
        arrived.wait()
        ask(openai, max_tokens=600)
        first.join()
    waited = [dict(span.attributes or {}).get("agentcost.budget.waited_s") for span in telemetry.spans]
    assert waited[0] is None
    assert isinstance(waited[1], float)
    assert 0.05 < waited[1] < 5


async def test_a_waiting_task_does_not_block_its_loop(telemetry: Telemetry, model_server: ModelServer) -> None:
    """While one task waits for another one's money, the loop goes on."""

    def slow(request: Request) -> Reply:
        time.sleep(0.2)
        return json_reply(chat(model=request.json["model"]))

    model_server.responder = slow
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    async with async_client(model_server) as openai:
        with budgeted(telemetry, budgets="total:tokens=1100"):
            ticking = asyncio.create_task(tick())
            question: Any = {"model": "gpt-4o-mini", "messages": [], "max_tokens": 600}
            await asyncio.gather(*(openai.chat.completions.create(**question) for _ in range(3)))
            ticking.cancel()
    assert ticks > 20


def test_a_free_model_is_not_refused_once_the_budget_is_overrun(
    telemetry: Telemetry, openai: OpenAI, tmp_path: Path
) -> None:
    """$0.0012 of $0.00025 are spent: a model priced `free` is still answered and adds nothing, another is refused."""
    prices = tmp_path / "prices.json"
    prices.write_text('{"models": {"llama-at-home": "free", "llama-zero": {"input_mtok": 0, "output_mtok": 0}}}')
    with budgeted(telemetry, prices=prices, budgets="total:usd=0.00025", wait_seconds=0):
        with otel_agentcost.run("all") as run:
            otel_agentcost.adjust("0.0012", reason="what was spent before")
            for model in ("llama-at-home", "llama-zero"):
                for limit in (50, None):
                    ask(openai, model=model, max_tokens=limit)
            with pytest.raises(BudgetExceeded):
                ask(openai)
        assert (run.cost_usd, run.llm_calls) == (Decimal("0.0012"), 4)


def test_a_downgrade_is_not_silent_and_is_told_once(
    telemetry: Telemetry, openai: OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    """The first call of a pair of models is logged, with the budget that made it."""
    settings: Any = {"on_exceed": "downgrade", "downgrade": "gpt-4o=gpt-4o-mini", "budgets": "total:usd=0.0005"}
    with budgeted(telemetry, **settings), caplog.at_level("WARNING", "otel_agentcost"):
        until_refused(lambda: ask(openai, model="gpt-4o"))
    said = [record.getMessage() for record in caplog.records if "was sent to" in record.getMessage()]
    assert len(said) == 1
    assert "a call of 'gpt-4o' was sent to 'gpt-4o-mini', because the budget total:usd=0.0005 has too little" in said[0]


def test_a_name_that_no_call_has_is_told_after_a_hundred_calls(
    telemetry: Telemetry, openai: OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    """Once for each rule, with the names that there were; a rule that a call had is not told of."""
    rules = "agent=reseacher:usd=5;agent=writer:usd=5;user=bob:usd=1;model=gpt-4o:usd=1;model=gpt-4o-mini:usd=9"
    settings: Any = {"budgets": rules, "breakers": "agent=reseacher:trips=5/1m,open=1m"}
    with budgeted(telemetry, **settings), caplog.at_level("WARNING", "otel_agentcost"):
        for number in range(130):
            with otel_agentcost.attribute(agent="writer" if number % 2 else "researcher"):
                ask(openai)
            assert (number < 99) == (not [r for r in caplog.records if "has matched none" in r.getMessage()])
    said = sorted(
        r.getMessage().partition("the rule ")[2] for r in caplog.records if "has matched none" in r.getMessage()
    )
    assert [each.partition(" has ")[0] for each in said] == [
        "agent=reseacher:trips=5/1m,open=1m",
        "agent=reseacher:usd=5",
        "model=gpt-4o:usd=1",
        "user=bob:usd=1",
    ]
    assert "none had the agent 'reseacher'. They were made for agent researcher, writer." in said[1]
    assert "None had a user." in said[3]


def told(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if words in record.getMessage()]


def test_a_rule_about_tools_is_not_silent_where_only_tools_are_called(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """A name that no tool call has, and tool calls without a user where each user has a limit of them."""

    @otel_agentcost.tool
    def search() -> None:
        pass

    rules = "agent=reseacher:tool_calls=3;agent=researcher:tool_calls=900;user:tool_calls=3;team:usd=1;model=m:usd=1"
    with budgeted(telemetry, budgets=rules), caplog.at_level("WARNING", "otel_agentcost"):
        for number in range(130):
            with otel_agentcost.attribute(agent="researcher"):
                search()
            assert (number < 99) == (not told(caplog, "has matched none"))
    (said,) = told(caplog, "has matched none")
    assert "the rule agent=reseacher:tool_calls=3 has matched none of the first 100 tool calls" in said
    assert "They were made for agent researcher." in said
    (said,) = told(caplog, "calls without a")
    assert "calls without a user are not covered by a budget per user (user:tool_calls=3)" in said


@pytest.mark.parametrize("used", [False, True])
def test_a_limit_of_tool_calls_that_counts_nothing_is_told(
    telemetry: Telemetry, openai: OpenAI, caplog: pytest.LogCaptureFixture, used: bool
) -> None:
    """A loop of one's own calls its tools unseen."""
    with budgeted(telemetry, trace_max_tool_calls=3, budgets="total:calls=900"), caplog.at_level("WARNING"):
        if used:
            with otel_agentcost.tool_call("search"):
                pass
        for _ in range(130):
            ask(openai)
    said = told(caplog, "has counted nothing")
    assert len(said) == (0 if used else 1)
    assert used or "the limit of tool calls in trace:tool_calls=3 has counted nothing: the first 100 model" in said[0]


def test_a_model_to_downgrade_that_no_call_has_is_told(
    telemetry: Telemetry, openai: OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, with the models that there were. The steps between two models need no call of their own."""
    models = "openai/gpt-4o=openai/gpt-4o-mini,gpt-4.1=gpt-4.1-mini,gpt-4.1-mini=gpt-4.1-nano"
    settings: Any = {"on_exceed": "downgrade", "downgrade": models, "budgets": "total:usd=9"}
    with budgeted(telemetry, **settings), caplog.at_level("WARNING", "otel_agentcost"):
        for _ in range(130):
            ask(openai, model="gpt-4.1")
    (said,) = told(caplog, "OTEL_AGENTCOST_DOWNGRADE replaces")
    assert (
        "replaces openai/gpt-4o, but none of the first 100 calls had such a model. They were made for gpt-4.1." in said
    )
