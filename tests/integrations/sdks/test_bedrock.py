"""Amazon Bedrock's Converse API through boto3: priced, limited and left as it is, whole and streamed."""

from __future__ import annotations

import contextlib
import gc
from typing import Any

import pytest
from botocore.eventstream import EventStream
from botocore.exceptions import ClientError, EventStreamError, ParamValidationError

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.integrations.sdks.bedrock import (
    ASK,
    CLAUDE,
    CLAUDE_ANSWER,
    CLAUDE_BODY,
    END,
    EVENTS,
    PIECE,
    USD,
    WHOLE,
    bedrock,
    converse_output,
    invoked,
    spent,
)
from tests.support.budgeted_calls import budgeted
from tests.support.event_frames import CONTENT_TYPE, converse_reply, frame
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply


def test_converse_is_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The response is what botocore returned; tokens without cached ones are the input beside them."""
    model_server.replies(json_reply(WHOLE))
    with bedrock(model_server) as client, budgeted(telemetry):
        response = client.converse(**ASK, inferenceConfig={"maxTokens": 100})
    assert response["output"] == WHOLE["output"]
    assert spent(telemetry) == (3024, 183, USD)
    said = telemetry.attributes()
    assert said[semconv.PROVIDER] == "aws.bedrock"
    assert said[semconv.REQUEST_MODEL] == CLAUDE
    assert said[semconv.REQUEST_MAX_TOKENS] == 100


def test_cache_writes_are_not_priced_alike(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Writes that live an hour cost more than those of five minutes."""
    details = [{"ttl": "1h", "inputTokens": 100}, {"ttl": "5m", "inputTokens": 50}]
    usage = {"inputTokens": 10, "outputTokens": 1, "totalTokens": 161, "cacheWriteInputTokens": 150}
    model_server.replies(json_reply({**WHOLE, "usage": {**usage, "cacheDetails": details}}))
    point = {"role": "user", "content": [{"text": "Hi"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]}
    with bedrock(model_server) as client, budgeted(telemetry):
        if "cacheDetails" not in converse_output(client).members["usage"].members:
            with pytest.raises(ParamValidationError, match="ttl"):  # an old release reads none, and asks for none
                client.converse(**{**ASK, "messages": [point]})
            return
        client.converse(**{**ASK, "messages": [point]})
    assert spent(telemetry) == (160, 1, pytest.approx((10 * 3.3 + 100 * 6.6 + 50 * 4.125 + 16.5) / 1e6))


def test_a_stream_stays_the_same_object(telemetry: Telemetry, model_server: ModelServer) -> None:
    """An `EventStream` with the same events; the span ends with the last of them."""
    model_server.replies(converse_reply(EVENTS), converse_reply(EVENTS))
    with bedrock(model_server) as client:
        without = list(client.converse_stream(**ASK)["stream"])
        with budgeted(telemetry):
            stream = client.converse_stream(**ASK)["stream"]
            assert type(stream) is EventStream
            assert list(stream) == without
    assert spent(telemetry) == (3024, 183, USD)
    assert telemetry.attributes()[semconv.REQUEST_STREAM] is True


@pytest.mark.parametrize("end", ["closed", "dropped", "broken off"])
def test_a_stream_that_is_not_read_is_not_forgotten(telemetry: Telemetry, model_server: ModelServer, end: str) -> None:
    """Closed, dropped, or lost on the way: settled at once, with estimated tokens."""
    model_server.replies(converse_reply(EVENTS[:9], drop=end == "broken off"))
    gc.collect()
    with bedrock(model_server) as client, budgeted(telemetry):
        stream = client.converse_stream(**ASK)["stream"]
        events = iter(stream)
        for _ in range(5):
            next(events)
        if end == "closed":
            stream.close()
        elif end == "dropped":
            del stream, events
        else:
            with contextlib.suppress(Exception):
                list(events)
        assert telemetry.attributes()[semconv.ESTIMATED] is True
        input_tokens, output_tokens, _ = spent(telemetry)
    assert input_tokens
    assert output_tokens


def test_an_error_in_a_stream_is_not_swallowed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Botocore raises it to the application, and the span says so."""
    broken = frame("modelStreamErrorException", {"message": "too much"}, exception=True)
    model_server.replies(Reply(content_type=CONTENT_TYPE, chunks=[frame(*EVENTS[0]), frame(*PIECE), broken]))
    with bedrock(model_server) as client, budgeted(telemetry):
        with pytest.raises(EventStreamError):
            list(client.converse_stream(**ASK)["stream"])
        assert telemetry.attributes()[semconv.ERROR_TYPE] == "botocore.exceptions.EventStreamError"


ARN = "arn:aws:bedrock:us-east-1:012345678901:"


@pytest.mark.parametrize(
    ("model", "usd", "reason"),
    [
        (f"{ARN}inference-profile/{CLAUDE}", USD, None),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0", USD, None),
        (CLAUDE.replace("us.", "global."), 0.0090522, None),
        (f"{ARN}application-inference-profile/abc123", None, "no price for"),
        (f"{ARN}provisioned-model/abc123", None, "paid in advance"),
        (f"{ARN}imported-model/abc123", None, "by the minute"),
        (f"{ARN}prompt/ABCDEF1234", None, "no price for"),
    ],
)
def test_no_arn_is_priced_as_another_model(
    telemetry: Telemetry, model_server: ModelServer, model: str, usd: float | None, reason: str | None
) -> None:
    """A profile or an ARN that names its model has its price; another has none, and a reason."""
    model_server.replies(json_reply(WHOLE))
    with bedrock(model_server) as client, budgeted(telemetry):
        client.converse(**{**ASK, "modelId": model})
    said = telemetry.attributes()
    assert said.get(semconv.COST) == pytest.approx(usd)
    assert reason is None or reason in str(said[semconv.UNPRICED])


@pytest.mark.parametrize(
    "told",
    [
        {"serviceTier": {"type": "priority"}},
        {"serviceTier": {"type": "flex"}},
        {"performanceConfig": {"latency": "optimized"}},
    ],
    ids=["priority", "flex", "optimized latency"],
)
def test_no_tier_is_priced_as_the_standard_one(telemetry: Telemetry, model_server: ModelServer, told: Any) -> None:
    """The price of a tier that is not in the book is not guessed; the default tier has the price of the list."""
    model_server.replies(json_reply({**WHOLE, **told}), json_reply({**WHOLE, "serviceTier": {"type": "default"}}))
    with bedrock(model_server) as client, budgeted(telemetry):
        if not told.keys() <= converse_output(client).members.keys():
            with pytest.raises(ParamValidationError):  # an old release reads no tier, and asks for none
                client.converse(**ASK, **told)
            return
        client.converse(**ASK)
        client.converse(**ASK)
    first, second = (dict(span.attributes or {}) for span in telemetry.spans)
    assert semconv.COST not in first
    assert "priority" in str(first) or "flex" in str(first) or "optimized" in str(first)
    assert second[semconv.COST] == USD


def test_a_guardrail_is_not_free(telemetry: Telemetry, model_server: ModelServer) -> None:
    """It is billed beside the tokens, and its price is not known here."""
    model_server.replies(json_reply(WHOLE))
    with bedrock(model_server) as client, budgeted(telemetry):
        client.converse(**ASK, guardrailConfig={"guardrailIdentifier": "abc", "guardrailVersion": "1"})
    assert telemetry.attributes()[semconv.COST] == USD
    assert "guardrail" in str(telemetry.attributes()[semconv.UNPRICED])


def test_a_rejected_request_costs_nothing(telemetry: Telemetry, model_server: ModelServer) -> None:
    """An error of the service, and one of botocore itself: raised as they are."""
    model_server.replies(json_reply({"message": "no"}, status=400, headers={"x-amzn-errortype": "ValidationException"}))
    with bedrock(model_server) as client, budgeted(telemetry):
        with pytest.raises(ClientError):
            client.converse(**ASK)
        with pytest.raises(ParamValidationError):
            client.converse(modelId=CLAUDE, messages=3)
    for span in telemetry.spans:
        said = dict(span.attributes or {})
        assert semconv.ERROR_TYPE in said
        assert semconv.UNPRICED not in said
        assert semconv.COST not in said


def test_no_budget_is_overspent(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The worst case is reserved before: a call that does not fit is not sent."""
    with bedrock(model_server) as client, budgeted(telemetry, budgets="total:usd=0.001"):
        with pytest.raises(BudgetExceeded):
            client.converse(**ASK, inferenceConfig={"maxTokens": 1000})
        with pytest.raises(BudgetExceeded):
            client.converse_stream(**ASK, inferenceConfig={"maxTokens": 1000})
        with pytest.raises(BudgetExceeded):
            invoked(client, {**CLAUDE_BODY, "max_tokens": 1000})
    assert model_server.requests == []
    assert telemetry.total("agentcost.budget.refusals") == 3


def test_a_limit_is_not_lowered_in_the_caller_s_arguments(telemetry: Telemetry, model_server: ModelServer) -> None:
    """`clamp` lowers the limit in the request that is sent, in the field that the API has for it."""
    model_server.replies(json_reply(WHOLE), json_reply(CLAUDE_ANSWER))
    settings = {"inferenceConfig": {"maxTokens": 100_000}}
    with bedrock(model_server) as client, budgeted(telemetry, budgets="total:usd=0.5,on_exceed=clamp"):
        client.converse(**ASK, **settings)
        invoked(client, {**CLAUDE_BODY, "max_tokens": 100_000})["body"].read()
    assert settings == {"inferenceConfig": {"maxTokens": 100_000}}
    first, second = (request.json for request in model_server.requests)
    assert 0 < first["inferenceConfig"]["maxTokens"] < 40_000
    assert 0 < second["max_tokens"] < 40_000


def test_a_cheaper_model_is_not_forgotten_in_the_address(telemetry: Telemetry, model_server: ModelServer) -> None:
    """`downgrade` puts the other model where Bedrock reads it."""
    cheaper = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    model_server.replies(json_reply(WHOLE))
    budget: Any = {"budgets": "total:usd=0.02,on_exceed=downgrade", "downgrade": {CLAUDE: cheaper}}
    with bedrock(model_server) as client, budgeted(telemetry, **budget):
        client.converse(**ASK, inferenceConfig={"maxTokens": 2000})
    assert cheaper.partition(":")[0] in model_server.requests[0].path
    assert telemetry.attributes()[semconv.COST] == pytest.approx(0.00331914)


def test_a_stream_is_cut_off_where_its_money_ends(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Without an output limit, what was reserved may not be enough: the stream ends with the exception."""
    model_server.replies(converse_reply([EVENTS[0], *[PIECE] * 3000, *END]))
    with bedrock(model_server) as client, budgeted(telemetry, budgets="total:usd=0.002"):
        stream = client.converse_stream(**ASK)["stream"]
        with pytest.raises(BudgetExceeded):
            list(stream)
    assert 0 < float(str(telemetry.attributes()[semconv.COST])) < 0.0025


def test_an_agent_is_not_said_to_be_free(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Calls of knowledge bases are seen; what they cost is in no response."""
    model_server.replies(json_reply({"output": {"text": "Well."}, "sessionId": "1"}))
    with bedrock(model_server, "bedrock-agent-runtime") as client, budgeted(telemetry):
        client.retrieve_and_generate(input={"text": "How are you?"})
    assert "does not say which models ran" in str(telemetry.attributes()[semconv.UNPRICED])


def test_no_other_service_is_touched(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A call of S3 makes no span."""
    model_server.replies(Reply(content_type="application/xml", body=b"<ListAllMyBucketsResult/>"))
    with bedrock(model_server, "s3") as client, budgeted(telemetry):
        client.list_buckets()
    assert telemetry.spans == ()
