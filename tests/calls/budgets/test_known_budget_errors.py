"""What users of other tools complain about: budgets that do not hold, or that refuse what would fit.

Each test is named after one kind of complaint, and is made of the real SDK against a local model server. That holds
are given back however a call ends is in `test_complaints_leaks.py`, that children have no allowance beside their
parent's in `test_complaints_children.py`, and what frameworks make of a refusal in `frameworks/`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import openai
import pytest
from opentelemetry import baggage, context

import otel_agentcost
from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from otel_agentcost.guard.ledger import open_ledger
from otel_agentcost.wire import tokenizers
from tests.calls.budgets.frameworks.endless_agent import standing
from tests.support.budgeted_calls import ASK, USD, answering, ask, async_client, budgeted, client, until_refused
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply
from tests.support.replies import CACHED, CACHED_USD, PLAIN, chat, chat_stream

CALL = Decimal(str(USD))
NANO = int(CALL * 10**9)


@pytest.fixture
def sdk(model_server: ModelServer) -> Iterator[openai.OpenAI]:
    """A client whose calls all succeed."""
    with client(answering(model_server)) as made:
        yield made


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a ledger of each kind that needs no server."""
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/ledger.db"


def at_once(count: int, call: Callable[[], object]) -> list[object]:
    """What `count` threads got that all call at the same moment: the result, or the refusal."""
    ready = threading.Barrier(count)

    def one() -> object:
        ready.wait()
        try:
            return call()
        except BudgetExceeded as error:
            return error

    with ThreadPoolExecutor(count) as threads:
        return [future.result() for future in [threads.submit(one) for _ in range(count)]]


# --- Budgets that are passed ---


def test_concurrent_requests_do_not_bypass_a_sessions_budget(
    telemetry: Telemetry, sdk: openai.OpenAI, model_server: ModelServer, ledger: str
) -> None:
    """Forty threads in one conversation, none of which has been recorded yet when the next asks: ten are made."""

    def call() -> None:
        with otel_agentcost.attribute(conversation="c1"):
            ask(sdk)

    with budgeted(telemetry, budgets=f"conversation:usd={10 * CALL}", ledger=ledger):
        refused = [each for each in at_once(40, call) if each is not None]
        stands = standing("conversation/all/c1")
    assert len(refused) == 40 - len(model_server.requests)
    assert 8 <= len(model_server.requests) <= 10
    assert stands.spent["nano_usd"] == len(model_server.requests) * NANO
    assert stands.held["nano_usd"] == 0


async def test_concurrent_tasks_do_not_bypass_a_sessions_budget(
    telemetry: Telemetry, model_server: ModelServer, ledger: str
) -> None:
    """A fan-out of tasks overshoots as little, and each that is refused gets the refusal itself."""
    async with async_client(answering(model_server)) as made:
        with budgeted(telemetry, budgets=f"conversation:usd={10 * CALL}", ledger=ledger):
            with otel_agentcost.attribute(conversation="c1"):
                calls = [made.chat.completions.create(**ASK) for _ in range(40)]
                answers = await asyncio.gather(*calls, return_exceptions=True)
            assert standing("conversation/all/c1").held["nano_usd"] == 0
    refused = [answer for answer in answers if isinstance(answer, BudgetExceeded)]
    assert len(refused) == 40 - len(model_server.requests)
    assert 8 <= len(model_server.requests) <= 10


def _in_code(call: Callable[[], object]) -> None:
    with otel_agentcost.attribute(user="u1"):
        call()


def _in_a_run(call: Callable[[], object]) -> None:
    with otel_agentcost.run("ticket", user="u1"):
        call()


def _in_baggage(call: Callable[[], object]) -> None:
    token = context.attach(baggage.set_baggage("user.id", "u1"))
    try:
        call()
    finally:
        context.detach(token)


def _in_the_environment(call: Callable[[], object]) -> None:
    call()


@pytest.mark.parametrize("told", [_in_code, _in_a_run, _in_baggage, _in_the_environment])
def test_a_users_budget_is_enforced_however_the_user_is_told(
    telemetry: Telemetry,
    sdk: openai.OpenAI,
    model_server: ModelServer,
    told: Callable[[Callable[[], object]], None],
) -> None:
    """By the code, by a run, by baggage, by the environment; and the next user's is another one."""
    own = {"user": "u1"} if told is _in_the_environment else {}
    with budgeted(telemetry, budgets="user:calls=3;tenant:calls=4", **own):
        made, error = until_refused(lambda: told(lambda: ask(sdk)))
        assert (made, error.scope, error.value) == (3, "user", "u1")
        with otel_agentcost.attribute(user="u2", tenant="t1"):
            made, error = until_refused(lambda: ask(sdk))
        assert (made, error.scope, error.value) == (3, "user", "u2")
        with otel_agentcost.attribute(user="u3", tenant="t1"):
            made, error = until_refused(lambda: ask(sdk))
        assert (made, error.scope, error.value) == (1, "tenant", "t1")
    assert len(model_server.requests) == 7


def test_concurrent_first_requests_of_an_unknown_user_have_one_default(
    telemetry: Telemetry, sdk: openai.OpenAI, model_server: ModelServer, ledger: str
) -> None:
    """Forty first calls of a user whom nobody has seen before share the one budget that the user is given."""

    def call() -> None:
        with otel_agentcost.attribute(user="never seen"):
            ask(sdk)

    with budgeted(telemetry, budgets="user/day:calls=5", ledger=ledger):
        refused = [each for each in at_once(40, call) if each is not None]
    assert len(model_server.requests) == 5
    assert len(refused) == 35


# --- Budgets that count wrongly ---


def test_one_mispriced_call_locks_nobody_else_out_and_can_be_taken_back(
    telemetry: Telemetry, sdk: openai.OpenAI, model_server: ModelServer
) -> None:
    """An answer that claims ten million tokens uses up its own user's budget, and no other; a refund makes it good."""
    absurd = {"prompt_tokens": 10**7, "completion_tokens": 20, "total_tokens": 10**7 + 20}
    with budgeted(telemetry, budgets="user:usd=0.01"):
        with otel_agentcost.attribute(user="u1"):
            model_server.replies(json_reply(chat(absurd)))
            ask(sdk)
            with pytest.raises(BudgetExceeded):
                ask(sdk)
            with otel_agentcost.attribute(user="u2"):
                ask(sdk)
            otel_agentcost.refund("1.500012", reason="the provider reported ten million tokens")
            ask(sdk)
        assert standing("user/all/u1").spent["nano_usd"] == NANO


def test_one_unpriced_call_locks_nobody_out(telemetry: Telemetry, sdk: openai.OpenAI) -> None:
    """What has no price takes no dollars, holds none, and where it is refused the priced ones are not."""
    with budgeted(telemetry, budgets="total:usd=0.001"):
        for _ in range(30):
            ask(sdk, model="no-such-model")
        assert standing().spent["nano_usd"] == standing().held["nano_usd"] == 0
        made, _ = until_refused(lambda: ask(sdk))
        assert made == 0.001 // USD
    with budgeted(telemetry, budgets="total:usd=0.001", unpriced="refuse"):
        with pytest.raises(BudgetExceeded, match="price of the model is unknown"):
            ask(sdk, model="no-such-model")
        ask(sdk)


def test_two_budgets_about_the_same_count_each_dollar_once(
    telemetry: Telemetry, sdk: openai.OpenAI, ledger: str
) -> None:
    """Every user has a dollar, this one half a cent, in dollars and in calls: three rules, and one count."""
    rules = "user:usd=1;user=u1:usd=0.005;user:calls=50"
    with budgeted(telemetry, budgets=rules, ledger=ledger), otel_agentcost.attribute(user="u1"):
        for number in range(1, 11):
            ask(sdk)
            stands = standing("user/all/u1")
            assert (stands.spent["nano_usd"], stands.spent["calls"]) == (number * NANO, number)
            assert not any(stands.held.values())
        made, error = until_refused(lambda: ask(sdk))
    assert (10 + made, error.budget) == (50, "user:calls=50")


def test_a_call_that_passes_its_limit_is_counted_in_full(
    telemetry: Telemetry, sdk: openai.OpenAI, model_server: ModelServer
) -> None:
    """An answer longer than its call allowed is recorded, not raised: the next call is refused by the true sum."""
    longer = {"prompt_tokens": 100, "completion_tokens": 50_000, "total_tokens": 50_100}
    with budgeted(telemetry, budgets="total:usd=0.001"):
        model_server.replies(json_reply(chat(longer)))
        assert ask(sdk).choices
        with pytest.raises(BudgetExceeded) as caught:
            ask(sdk)
        assert caught.value.spent == Decimal("0.030015")
        assert standing().spent["nano_usd"] == 30_015_000
    assert len(model_server.requests) == 1


def test_a_raised_limit_strands_no_hold(
    telemetry: Telemetry, sdk: openai.OpenAI, model_server: ModelServer, tmp_path: Path
) -> None:
    """A service that is restarted with more while a call is in flight counts that call once, and holds nothing."""
    file = f"sqlite:///{tmp_path}/ledger.db"
    model_server.replies(chat_stream(PLAIN))
    with budgeted(telemetry, budgets=f"total:usd={3 * CALL}", ledger=file, wait_seconds=0):
        in_flight = iter(ask(sdk, stream=True))
        assert standing().held["nano_usd"] > 0
        with pytest.raises(BudgetExceeded):
            [ask(sdk) for _ in range(3)]
        before = standing()
        assert before.spent["nano_usd"] == NANO
    with budgeted(telemetry, budgets="total:usd=0.01", ledger=file):
        assert standing() == before
        ask(sdk)
        assert len(list(in_flight)) > 1
        after = standing()
        assert not any(after.held.values())
        assert (after.spent["nano_usd"], after.spent["calls"]) == (3 * NANO, 3)
        made, error = until_refused(lambda: ask(sdk), most=300)
        assert made > 200
        assert error.limit == Decimal("0.01")
    store = open_ledger(file)
    assert not any(store.standing("total/all/", now=time.time()).held.values())
    store.close()


# --- Refusals that are taken for something else ---


def test_a_refusal_is_not_taken_for_a_rate_limit(
    telemetry: Telemetry, sdk: openai.OpenAI, model_server: ModelServer
) -> None:
    """It is no error of the SDK's, has no status, wraps nothing, and the SDK's own retries never see it."""
    often = sdk.with_options(max_retries=50)
    asks: list[Callable[[], object]] = [
        lambda: often.chat.completions.create(**ASK),
        lambda: often.chat.completions.create(**ASK, stream=True),
        lambda: often.chat.completions.with_raw_response.create(**ASK),
        lambda: often.chat.completions.parse(**ASK),
        lambda: often.responses.create(model="gpt-4o-mini", input="Hi", max_output_tokens=50),
    ]
    with budgeted(telemetry, budgets="total:calls=1"):
        ask(sdk)
        for call in asks:
            began = time.monotonic()
            with pytest.raises(BudgetExceeded) as caught:
                call()
            error = caught.value
            assert time.monotonic() - began < 5  # fifty retries pause for minutes
            assert not isinstance(error, openai.OpenAIError)
            assert not [name for name in ("status_code", "code", "response", "request", "body") if hasattr(error, name)]
            assert error.__cause__ is None
            assert error.__context__ is None
    assert len(model_server.requests) == 1


def test_the_sdks_own_retries_are_one_call(telemetry: Telemetry, model_server: ModelServer, sdk: openai.OpenAI) -> None:
    """Attempts that the provider turned away with 429 and 500 take nothing from the budget, in dollars or calls."""
    with budgeted(telemetry, budgets="total:usd=0.01,calls=2"):
        for _ in range(2):
            headers = {"retry-after-ms": "1"}
            model_server.replies(*(json_reply({}, status=status, headers=headers) for status in (429, 500)))
            ask(sdk)
        assert (standing().spent["calls"], standing().spent["nano_usd"]) == (2, 2 * NANO)
        with pytest.raises(BudgetExceeded):
            ask(sdk)
    assert len(model_server.requests) == 6


def test_a_framework_that_swallows_every_exception_cannot_spend(
    telemetry: Telemetry, sdk: openai.OpenAI, model_server: ModelServer
) -> None:
    """The refusal stands at the call, not in a callback: a loop that ignores it a thousand times sends nothing."""
    with budgeted(telemetry, budgets="total:calls=3"):
        for _ in range(1000):
            try:
                ask(sdk)
            except Exception:  # noqa: PERF203 (what such frameworks do)
                continue
        assert standing().spent["calls"] == 3
    assert len(model_server.requests) == 3


# --- Limits that are inert, or trip falsely ---


def test_a_limit_holds_without_any_vocabulary(
    telemetry: Telemetry, sdk: openai.OpenAI, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where tokens cannot be counted they are bounded by bytes: the limit holds, and most of it can be used."""
    monkeypatch.setattr(tokenizers, "_counters", {"o200k_base": None, "cl100k_base": None})
    with budgeted(telemetry, budgets="total:usd=0.005"):
        made, _ = until_refused(lambda: ask(sdk), most=200)
    assert 0.9 <= made * USD / 0.005 <= 1
    assert len(model_server.requests) == made


def test_a_model_without_a_price_is_said_loudly(
    telemetry: Telemetry, sdk: openai.OpenAI, model_server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning, an event on the span and a metric of each call say that no dollars hold it; limits of calls do."""
    model = "inert-model-of-this-test"
    with budgeted(telemetry, budgets="total:usd=0.000001;model:calls=3"):
        made, error = until_refused(lambda: ask(sdk, model=model))
    assert (made, error.budget) == (3, "model:calls=3")
    warned = [
        each
        for each in caplog.records
        if model in each.getMessage() and "budgets in US dollars do not limit" in each.getMessage()
    ]
    assert [each.levelno >= logging.WARNING for each in warned] == [True]
    for span in telemetry.spans[:3]:
        assert semconv.E_UNENFORCED in [event.name for event in span.events]
        assert semconv.UNPRICED in dict(span.attributes or {})
    assert telemetry.total("agentcost.budget.unenforced.calls") == 3
    assert telemetry.total("agentcost.unpriced.calls") == 3


def test_a_loop_that_reads_from_the_cache_lasts_as_long_as_its_dollars(
    telemetry: Telemetry, sdk: openai.OpenAI, model_server: ModelServer
) -> None:
    """Cached tokens are charged at their own price: a hundred calls' dollars last for a hundred calls."""
    limit = 100 * Decimal(str(CACHED_USD))
    flat = Decimal(CACHED["prompt_tokens"] * 15 + CACHED["completion_tokens"] * 60) / 10**8

    def reply(_request: Request) -> Reply:
        return json_reply(chat(CACHED))

    model_server.responder = reply
    question = [{"role": "user", "content": "word " * 1190}]
    with budgeted(telemetry, budgets=f"total:usd={limit}"):
        made, error = until_refused(lambda: ask(sdk, messages=question, max_tokens=183), most=200)
    assert error.spent == made * Decimal(str(CACHED_USD))
    assert limit // flat < 75
    assert 98 <= made <= 100
