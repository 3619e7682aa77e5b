"""DSPy 3.4 sends its requests by a client of its own: they are seen, priced and limited, and a refusal is itself."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from otel_agentcost.settings.hosts import to_hosts
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply, sse_reply

dspy: Any = pytest.importorskip("dspy", reason="dspy is not here: `make frameworks ARGS=dspy`")

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # DSPy's own
    pytest.mark.skipif(not hasattr(dspy, "lm15"), reason="DSPy before 3.4 has no client of its own"),
]

USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
USD = (1000 * 0.15 + 200 * 0.6) / 1e6
HEAD = {"id": "c1", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
SAID = "[[ ## answer ## ]]\nFour.\n\n[[ ## completed ## ]]"
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": SAID}}
WHOLE = {**HEAD, "object": "chat.completion", "choices": [CHOICE], "usage": USAGE}
OURS = {"hosts": to_hosts("127.0.0.1=openai")}


def model(server: ModelServer, **more: Any) -> Any:
    settings = {"api_base": f"{server.url}/v1", "api_key": "none", "cache": False, "num_retries": 0, **more}
    return dspy.LM("openai/gpt-4o-mini", **settings)


def judge(telemetry: Telemetry) -> None:
    said = telemetry.attributes()
    assert (said[semconv.INPUT_TOKENS], said[semconv.OUTPUT_TOKENS]) == (1000, 200)
    assert said[semconv.COST] == pytest.approx(USD)
    telemetry.clear()


async def test_calls_are_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Each is one span, sync and async."""
    model_server.replies(json_reply(WHOLE), json_reply(WHOLE))
    with budgeted(telemetry, **OURS):
        model(model_server)("How are you?")
        judge(telemetry)
        await model(model_server).acall("How are you?")
        judge(telemetry)


async def test_streams_are_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Of a program that streams its answer."""
    pieces = [{**HEAD, "choices": [{"index": 0, "delta": {"content": SAID[at : at + 5]}}]} for at in range(0, 50, 5)]
    last = {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    model_server.replies(sse_reply([*pieces, last, {**HEAD, "choices": [], "usage": USAGE}], done=True))
    with budgeted(telemetry, **OURS), dspy.context(lm=model(model_server)):
        program = dspy.streamify(dspy.Predict("question -> answer"))
        assert [each async for each in program(question="How are you?")]
        judge(telemetry)
    assert model_server.requests[0].json["stream"] is True


def test_an_error_is_not_charged(telemetry: Telemetry, model_server: ModelServer) -> None:
    """DSPy raises its own exception."""
    model_server.replies(json_reply({"error": {"message": "no"}}, status=400))
    with budgeted(telemetry, **OURS), pytest.raises(Exception, match="no"):
        model(model_server)("How are you?")
    said = telemetry.attributes()
    assert said[semconv.ERROR_TYPE] == "400"
    assert semconv.COST not in said


async def test_no_budget_is_overspent(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A call that does not fit is not sent, is not retried, and the refusal comes out of a program as itself."""
    with budgeted(telemetry, budgets="total:usd=0.0001", **OURS):
        asked = model(model_server, max_tokens=10_000, num_retries=3)
        with pytest.raises(BudgetExceeded):
            asked("How are you?")
        with pytest.raises(BudgetExceeded):
            await asked.acall("How are you?")
        with dspy.context(lm=asked), pytest.raises(BudgetExceeded):
            dspy.Predict("question -> answer")(question="How are you?")
    assert model_server.requests == []


def test_a_limit_that_is_too_high_is_lowered(telemetry: Telemetry, model_server: ModelServer) -> None:
    """In a copy of the request."""
    model_server.replies(json_reply(WHOLE))
    with budgeted(telemetry, budgets="total:usd=0.001,on_exceed=clamp", **OURS):
        model(model_server, max_tokens=100_000)("How are you?")
    sent = model_server.requests[0].json
    assert 0 < (sent.get("max_tokens") or sent["max_completion_tokens"]) < 5_000
