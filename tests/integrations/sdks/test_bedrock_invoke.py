"""Amazon Bedrock's InvokeModel through boto3: the bodies of every family of models, whole and streamed."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from botocore.response import StreamingBody

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.integrations.sdks.bedrock import (
    CLAUDE,
    CLAUDE_ANSWER,
    CLAUDE_BODY,
    HEADERS,
    WHOLE,
    bedrock,
    invoked,
    spent,
)
from tests.support.budgeted_calls import budgeted
from tests.support.event_frames import invoke_reply
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply


@pytest.mark.parametrize("how", ["read", "in pieces", "lines", "with", "whole in one piece"])
def test_a_body_stays_the_same_object(telemetry: Telemetry, model_server: ModelServer, how: str) -> None:
    """However the application reads the body of InvokeModel, it is counted when it was read."""
    model_server.replies(json_reply(CLAUDE_ANSWER))
    with bedrock(model_server) as client, budgeted(telemetry):
        body = invoked(client, CLAUDE_BODY)["body"]
        assert type(body) is StreamingBody
        assert telemetry.spans == ()
        if how == "read":
            read = body.read()
        elif how == "in pieces":
            read = b"".join(body.iter_chunks(7))
        elif how == "lines":
            read = b"".join(body.iter_lines())
        elif how == "with":
            with body as raw:
                read = raw.read()
        else:
            read = body.read(1_000_000)
            body.close()
        assert json.loads(read) == CLAUDE_ANSWER
        assert spent(telemetry) == (200, 20, 0.00099)


def test_a_streamed_body_is_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The events of Anthropic, in the frames of Amazon."""
    model_server.replies(
        invoke_reply(
            [
                {"type": "message_start", "message": {**CLAUDE_ANSWER, "usage": {"input_tokens": 200}}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Well."}},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 20}},
                {"type": "message_stop"},
            ]
        )
    )
    with bedrock(model_server) as client, budgeted(telemetry):
        response = client.invoke_model_with_response_stream(modelId=CLAUDE, body=json.dumps(CLAUDE_BODY))
        assert len(list(response["body"])) == 4
    assert spent(telemetry) == (200, 20, 0.00099)


FAMILIES: list[Any] = [
    pytest.param(
        "amazon.nova-lite-v1:0",
        {"messages": [{"role": "user", "content": [{"text": "Hi there"}]}], "inferenceConfig": {"max_new_tokens": 9}},
        {**WHOLE, "usage": {"inputTokens": 100, "outputTokens": 9, "totalTokens": 109}},
        {},
        (100, 9, (100 * 0.06 + 9 * 0.24) / 1e6),
        id="nova",
    ),
    pytest.param(
        "amazon.titan-text-express-v1",
        {"inputText": "Tell me a joke", "textGenerationConfig": {"maxTokenCount": 20}},
        {"inputTextTokenCount": 9.0, "results": [{"tokenCount": 17, "outputText": "Ha", "completionReason": "FINISH"}]},
        {},
        (9, 17, (9 * 0.2 + 17 * 0.6) / 1e6),
        id="titan",
    ),
    pytest.param(
        "amazon.titan-embed-text-v2:0",
        {"inputText": "some text"},
        {"embedding": [0.1, 0.2], "inputTextTokenCount": 500},
        {},
        (500, None, 500 * 0.02 / 1e6),
        id="titan embeddings",
    ),
    pytest.param(
        "meta.llama3-70b-instruct-v1:0",
        {"prompt": "Tell me a joke", "max_gen_len": 128},
        {"generation": "Ha", "prompt_token_count": 8, "generation_token_count": 35, "stop_reason": "stop"},
        {},
        (8, 35, (8 * 2.65 + 35 * 3.5) / 1e6),
        id="llama",
    ),
    pytest.param(
        "mistral.mistral-large-2402-v1:0",
        {"prompt": "<s>[INST] Hi [/INST]", "max_tokens": 60},
        {"outputs": [{"text": "Hello", "stop_reason": "stop"}]},
        HEADERS,
        (33, 44, (33 * 4 + 44 * 12) / 1e6),
        id="mistral",
    ),
    pytest.param(
        "cohere.command-r-v1:0",
        {"message": "Hi", "max_tokens": 60},
        {"text": "Hello", "finish_reason": "COMPLETE"},
        HEADERS,
        (33, 44, None),
        id="cohere, which the book has no price for",
    ),
    pytest.param(
        "ai21.jamba-1-5-mini-v1:0",
        {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 60},
        {
            "id": "chat-1",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 33, "completion_tokens": 44, "total_tokens": 77},
        },
        {},
        (33, 44, None),
        id="ai21, which the book has no price for",
    ),
    pytest.param(
        "ai21.j2-mid-v1",
        {"prompt": "Hi", "maxTokens": 60, "numResults": 2},
        {
            "id": 1,
            "prompt": {"text": "Hi", "tokens": [{}]},
            "completions": [{"data": {"text": "Hello", "tokens": [{}]}, "finishReason": {"reason": "endoftext"}}],
        },
        HEADERS,
        (33, 44, None),
        id="ai21 before jamba, which the book has no price for",
    ),
    pytest.param(
        "cohere.embed-english-v3",
        {"texts": ["some text"], "input_type": "search_query"},
        {"id": "e1", "embeddings": [[0.1]], "texts": ["some text"]},
        {"X-Amzn-Bedrock-Input-Token-Count": "33"},
        (33, None, None),
        id="cohere embeddings",
    ),
    pytest.param(
        "mistral.pixtral-large-2502-v1:0",
        {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 60},
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "stop_reason": "stop"}]},
        HEADERS,
        (33, 44, (33 * 2 + 44 * 6) / 1e6),
        id="mistral chat",
    ),
]


@pytest.mark.parametrize(("model", "body", "answer", "headers", "wanted"), FAMILIES)
def test_no_family_is_unknown(
    telemetry: Telemetry, model_server: ModelServer, model: str, body: Any, answer: Any, headers: Any, wanted: Any
) -> None:
    """Each family counts under names of its own, or only in the headers of its response."""
    model_server.replies(json_reply(answer, headers=headers))
    with bedrock(model_server) as client, budgeted(telemetry):
        assert json.loads(invoked(client, body, model)["body"].read()) == answer
    input_tokens, output_tokens, usd = wanted
    assert spent(telemetry) == (input_tokens, output_tokens or telemetry.attributes().get(semconv.OUTPUT_TOKENS), usd)


def test_a_body_that_is_never_read_is_not_free(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The model has answered: the headers count it."""
    model_server.replies(json_reply({"outputs": [{"text": "Hello"}]}, headers=HEADERS))
    with bedrock(model_server) as client, budgeted(telemetry):
        invoked(client, {"prompt": "Hi", "max_tokens": 60}, "mistral.mistral-large-2402-v1:0")["body"].close()
    assert spent(telemetry) == (33, 44, (33 * 4 + 44 * 12) / 1e6)


def test_counts_of_amazon_are_not_overlooked_in_a_stream(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The last event has counts for every family."""
    counted = {"inputTokenCount": 33, "outputTokenCount": 44, "invocationLatency": 1}
    events = [{"outputs": [{"text": "Hello"}]}, {"outputs": [{"text": "", "stop_reason": "stop"}]}]
    model_server.replies(invoke_reply([*events, {"amazon-bedrock-invocationMetrics": counted}]))
    with bedrock(model_server) as client, budgeted(telemetry):
        model = "mistral.mistral-large-2402-v1:0"
        body = json.dumps({"prompt": "Hi", "max_tokens": 60})
        list(client.invoke_model_with_response_stream(modelId=model, body=body)["body"])
    assert spent(telemetry) == (33, 44, (33 * 4 + 44 * 12) / 1e6)


def test_a_file_is_not_read_away(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A body can be a file: it is sent whole."""
    model_server.replies(json_reply(CLAUDE_ANSWER))
    with bedrock(model_server) as client, budgeted(telemetry):
        file = BytesIO(json.dumps(CLAUDE_BODY).encode())
        client.invoke_model(modelId=CLAUDE, body=file)["body"].read()
    assert model_server.requests[0].json == CLAUDE_BODY
    assert spent(telemetry) == (200, 20, 0.00099)


def test_images_are_not_priced_as_text(telemetry: Telemetry, model_server: ModelServer) -> None:
    """They are billed by the image, which no field counts: those that are made, and those in a request for vectors."""
    drawn = {"taskType": "TEXT_IMAGE", "textToImageParams": {"text": "a cat"}}
    model_server.replies(
        json_reply({"images": ["aaaa"], "error": None}),
        json_reply({"images": ["aaaa"], "seeds": [1], "finish_reasons": [None]}),
        json_reply({"embedding": [0.1], "inputTextTokenCount": 3}),
    )
    with bedrock(model_server) as client, budgeted(telemetry):
        invoked(client, drawn, "amazon.nova-canvas-v1:0")["body"].read()
        invoked(client, {"prompt": "a cat"}, "stability.sd3-5-large-v1:0")["body"].read()
        body = {"inputText": "a cat", "inputImage": "aaaa"}
        invoked(client, body, "amazon.titan-embed-image-v1")["body"].read()
    first, second, third = (dict(span.attributes or {}) for span in telemetry.spans)
    for said in (first, second):
        assert semconv.COST not in said
        assert semconv.ESTIMATED not in said
        assert "billed by the image" in str(said[semconv.UNPRICED])
    assert "the images" in str(third[semconv.UNPRICED])


def test_the_answers_of_a_request_are_not_reserved_as_one(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Jurassic's `numResults`, as Cohere's `num_generations`: each has the whole limit."""
    with bedrock(model_server) as client, budgeted(telemetry, budgets="total:tokens=1000"):
        body = {"prompt": "Hi", "maxTokens": 300, "numResults": 4}
        with pytest.raises(BudgetExceeded):
            invoked(client, body, "ai21.j2-mid-v1")
    assert model_server.requests == []
