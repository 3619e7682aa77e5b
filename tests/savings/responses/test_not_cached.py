"""What is not cached: requests, answers, and stores that are of no use."""

from __future__ import annotations

import time
from typing import Any

import openai
import pytest

import otel_agentcost
from otel_agentcost.savings.responses import eligibility
from tests.savings.responses.asked import ASK, STREAM, ask, caching
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply, sse_reply
from tests.support.replies import PLAIN, chat, chat_chunks, chat_stream

REQUESTS: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 0.7},
    "no temperature": {"temperature": openai.NOT_GIVEN},
    "n": {"n": 2},
    "stored": {"store": True},
    "search": {"web_search_options": {}, "model": "gpt-4o-search-preview"},
    "file": {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
    "url": {
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}
        ]
    },
    "conversation": {"extra_body": {"previous_response_id": "resp_1"}},
    "provider's tool": {"extra_body": {"tools": [{"type": "web_search"}]}},
    "preset": {"model": "@preset/email"},
    "model that searches": {"extra_body": {"models": ["x:online"]}},
    "search by a field": {"extra_body": {"web_search": True}},
    "named preset": {"extra_body": {"preset": "email"}},
    "files": {"extra_body": {"files": [{"type": "collection", "id": "k1"}]}},
    "attachments": {"extra_body": {"attachments": ["a1"]}},
    "any id": {"extra_body": {"knowledge_base_id": "kb1"}},
    "any ids": {"extra_body": {"dataset_ids": ["d1"]}},
    "arn": {"extra_body": {"source": "arn:aws:s3:::bucket/key"}},
    "address in a list": {"messages": [{"role": "user", "content": [{"type": "video", "video": ["https://x/a.jpg"]}]}]},
    "address as audio": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "input_audio", "input_audio": {"data": "s3://x/a.mp3", "format": "mp3"}}],
            }
        ]
    },
    "audio by its id": {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}, ASK["messages"][0]]},
    "draft": {"extra_body": {"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "DRAFT"}}},
    "audio": {"modalities": ["text", "audio"]},
}


@pytest.mark.parametrize("more", REQUESTS.values(), ids=list(REQUESTS))
def test_a_request(more: dict[str, Any], model_server: ModelServer, telemetry: Telemetry) -> None:
    """The second call is made, too."""
    with caching(model_server, telemetry) as made:
        for _ in range(2):
            ask(made, **more)
    assert len(model_server.requests) == 2


@pytest.mark.parametrize("sampling", ["unset", "any"])
def test_sampling_is_asked_for(sampling: str, model_server: ModelServer, telemetry: Telemetry) -> None:
    """The setting says which temperatures are cached."""
    with caching(model_server, telemetry, cache_sampling=sampling) as made:
        for _ in range(2):
            ask(made, temperature=openai.NOT_GIVEN)
            ask(made, temperature=0.7)
    assert len(model_server.requests) == {"unset": 3, "any": 2}[sampling]


def test_an_image_that_the_request_contains_is_cached(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Data in a request cannot change."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with caching(model_server, telemetry) as made:
        for _ in range(2):
            ask(made, messages=[{"role": "user", "content": [image]}])
    assert len(model_server.requests) == 1


CACHED: dict[str, dict[str, Any]] = {
    "address in a text": {"messages": [{"role": "user", "content": "What is at https://example.com/a ?"}]},
    "quoted address": {"messages": [{"role": "user", "content": 'Is "https://example.com" an "a_id": 1?'}]},
    "tool call": {
        "messages": [
            {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": '{"order_id": "https://x"}'},
        ]
    },
    "schema": {
        "extra_body": {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "parameters": {
                            "$schema": "https://json-schema.org/draft/2020-12/schema",
                            "properties": {"order_id": {"type": "string"}, "file": {"type": "string"}},
                            "required": ["order_id"],
                        },
                    },
                }
            ]
        }
    },
    "file in the request": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"}}
                ],
            }
        ]
    },
}


@pytest.mark.parametrize("more", CACHED.values(), ids=list(CACHED))
def test_what_refers_to_nothing_is_cached(
    more: dict[str, Any], model_server: ModelServer, telemetry: Telemetry
) -> None:
    """Texts, ids of tool calls, schemas and data in a request are no references."""
    with caching(model_server, telemetry) as made:
        for _ in range(2):
            ask(made, **more)
    assert len(model_server.requests) == 1


def test_a_name_of_amazon_as_a_model() -> None:
    """What is behind it may be a prompt, and another model later."""
    assert eligibility._SEARCHING.search("arn:aws:bedrock:us-east-1:123456789012:prompt/PROMPT12345")


def choice(reason: str = "stop", **message: Any) -> dict[str, Any]:
    return {
        "choices": [{"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": "x", **message}}]
    }


CALLED = {"id": "1", "type": "function", "function": {"name": "pay", "arguments": "{}"}}
ANSWERS: dict[str, dict[str, Any]] = {
    "cut off": choice("length"),
    "filtered": choice("content_filter"),
    "refusal": choice(refusal="I can't.", content=None),
    "tool call": choice("tool_calls", tool_calls=[CALLED], content=None),
    "tool call that ends with stop": choice(tool_calls=[CALLED]),
    "no reason": choice(""),
}


@pytest.mark.parametrize("more", ANSWERS.values(), ids=list(ANSWERS))
def test_an_answer(more: dict[str, Any], model_server: ModelServer, telemetry: Telemetry) -> None:
    """An answer that is cut off, filtered, refused, or that calls a tool is not kept."""
    model_server.responder = lambda _: json_reply({**chat(), **more})
    with caching(model_server, telemetry) as made:
        for _ in range(2):
            ask(made)
    assert len(model_server.requests) == 2


def test_a_tool_call_is_cached_if_that_is_set(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The setting allows it."""
    model_server.responder = lambda _: json_reply({**chat(), **ANSWERS["tool call"]})
    with caching(model_server, telemetry, cache_tool_calls=True) as made:
        assert ask(made) == ask(made)
    assert len(model_server.requests) == 1


def test_an_answer_without_usage(model_server: ModelServer, telemetry: Telemetry) -> None:
    """It is not known that it is complete."""
    body = {name: value for name, value in chat().items() if name != "usage"}
    model_server.responder = lambda _: json_reply(body)
    with caching(model_server, telemetry) as made:
        for _ in range(2):
            ask(made)
    assert len(model_server.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 503])
def test_an_error(status: int, model_server: ModelServer, telemetry: Telemetry) -> None:
    """No error of any status is kept."""
    model_server.replies(json_reply({"error": {"message": "no"}}, status=status))
    with caching(model_server, telemetry) as made:
        with pytest.raises(openai.APIStatusError):
            ask(made)
        assert ask(made) == ask(made)
    assert len(model_server.requests) == 2


def test_an_answer_that_is_no_json(model_server: ModelServer, telemetry: Telemetry) -> None:
    """A page of a proxy is no answer."""
    model_server.responder = lambda _: Reply(body=b"<html>", content_type="text/html")
    with caching(model_server, telemetry) as made:
        for _ in range(2):
            ask(made)
    assert len(model_server.requests) == 2


def test_a_retried_call_is_cached_once(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The failed attempt does not matter."""
    model_server.replies(json_reply({"error": {}}, status=500, headers={"retry-after-ms": "1"}))
    with caching(model_server, telemetry) as made:
        patient = made.with_options(max_retries=2)
        assert ask(patient) == ask(patient)
    assert len(model_server.requests) == 2


def test_a_stream_that_is_closed_early(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Half an answer is none."""
    with caching(model_server, telemetry) as made:
        for _ in range(2):
            with made.chat.completions.create(**STREAM) as stream:
                next(iter(stream))
    assert len(model_server.requests) == 2


def test_a_stream_that_breaks(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Half an answer is none."""
    model_server.responder = lambda _: chat_stream(PLAIN, drop=True)
    with caching(model_server, telemetry) as made:
        for _ in range(2):
            with pytest.raises(Exception):  # noqa: B017 (of the client that the SDK uses)
                list(made.chat.completions.create(**STREAM))
    assert len(model_server.requests) == 2


@pytest.mark.parametrize("at", [2, 99], ids=["within", "last"])
def test_a_stream_with_an_error_that_is_read_raw(at: int, model_server: ModelServer, telemetry: Telemetry) -> None:
    """Who reads bytes sees no exception, and an SDK would raise one of what is replayed."""
    events = chat_chunks(PLAIN, words=["a", "b"])
    events.insert(at, {"error": {"message": "overloaded", "code": 500}})
    model_server.responder = lambda _: sse_reply(events, done=True)
    with caching(model_server, telemetry) as made:
        for _ in range(2):
            with made.chat.completions.with_streaming_response.create(**STREAM) as response:
                response.read()
    assert len(model_server.requests) == 2


def test_only_the_named_features(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Other features make their calls."""
    with caching(model_server, telemetry, cache_only=frozenset({"triage"})) as made:
        for feature in ("triage", "other", "triage", "other"):
            with otel_agentcost.attribute(tenant="acme", feature=feature):
                ask(made)
    assert len(model_server.requests) == 3


def test_answers_expire(model_server: ModelServer, telemetry: Telemetry) -> None:
    """After the setting's time the call is made."""
    with caching(model_server, telemetry, cache_ttl=0.05) as made:
        ask(made)
        time.sleep(0.1)
        ask(made)
    assert len(model_server.requests) == 2


def test_another_version_of_the_code(model_server: ModelServer, telemetry: Telemetry, tmp_path: Any) -> None:
    """It begins anew, and the first version finds its own answers."""
    store = f"sqlite:///{tmp_path}/cache.db"
    for version in ("1", "2", "1"):
        settings = {"cache_store": store, "cache_version": version}
        with caching(model_server, telemetry, **settings) as made, otel_agentcost.attribute(tenant="acme"):
            ask(made)
    assert len(model_server.requests) == 2


def test_ask_is_cached(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The request that the others are variants of."""
    with caching(model_server, telemetry) as made:
        assert ask(made) == made.chat.completions.create(**ASK)
