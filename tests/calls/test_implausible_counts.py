"""Counts that contradict what was sent and received, through the real SDKs: no call is free by them, or unlimited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anthropic
import openai
import pytest
from google import genai

from otel_agentcost.core import semconv
from tests.support.budgeted_calls import ASK, budgeted, client, until_refused
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply, sse_reply
from tests.support.replies import (
    chat,
    chat_chunks,
    content,
    message,
    message_events,
    response,
    response_events,
)

WORDS = [f" word{number}" for number in range(200)]
ANSWER = "".join(WORDS)
PROMPT = "Say two hundred words about the sea, please."
ZEROS: dict[str, Any] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
NONE: dict[str, Any] = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
GEMINI_ZEROS = {"promptTokenCount": 0, "candidatesTokenCount": 0, "totalTokenCount": 0}
RIGHT: dict[str, Any] = {"prompt_tokens": 17, "completion_tokens": 400, "total_tokens": 417}

Call = Callable[[str], object]


def chat_call(url: str, **more: Any) -> object:
    made: Any
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as made:
        asked: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": PROMPT}], **more}
        result: Any = made.chat.completions.create(**asked)
        return list(result) if more.get("stream") else result


def chat_stream(url: str) -> object:
    return chat_call(url, stream=True)


def responses_call(url: str, **more: Any) -> object:
    made: Any
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as made:
        result: Any = made.responses.create(model="gpt-4o-mini", input=PROMPT, **more)
        return list(result) if more else result


def responses_stream(url: str) -> object:
    return responses_call(url, stream=True)


def embeddings_call(url: str) -> object:
    made: Any
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as made:
        return made.embeddings.create(model="text-embedding-3-small", input=[PROMPT, PROMPT])


def completions_call(url: str) -> object:
    made: Any
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as made:
        return made.completions.create(model="gpt-3.5-turbo-instruct", prompt=PROMPT)


def anthropic_call(url: str, **more: Any) -> object:
    with anthropic.Anthropic(base_url=url, api_key="none", max_retries=0) as made:
        asked: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 1000, **more}
        result: Any = made.messages.create(messages=[{"role": "user", "content": PROMPT}], **asked)
        return list(result) if more else result


def anthropic_stream(url: str) -> object:
    return anthropic_call(url, stream=True)


def gemini_call(url: str) -> object:
    made: Any = genai.Client(api_key="none", http_options={"base_url": url})
    return made.models.generate_content(model="gemini-2.5-flash", contents=PROMPT)


def gemini_stream(url: str) -> object:
    made: Any = genai.Client(api_key="none", http_options={"base_url": url})
    return list(made.models.generate_content_stream(model="gemini-2.5-flash", contents=PROMPT))


def gemini_embeddings(url: str) -> object:
    made: Any = genai.Client(api_key="none", http_options={"base_url": url})
    return made.models.embed_content(model="gemini-embedding-001", contents=PROMPT)


def chunks(*usages: Mapping[str, Any] | None) -> Reply:
    """Two hundred words, and these usages after them, one a chunk."""
    last: dict[str, Any] = {**chat_chunks(words=[])[-1], "choices": []}
    return sse_reply([*chat_chunks(words=WORDS), *({**last, "usage": usage} for usage in usages)], done=True)


def tool_chunks(usage: Mapping[str, Any]) -> Reply:
    """A stream of a tool call (LocalAI writes zeros after it)."""
    first, *_, end = chat_chunks(usage, words=["x"])
    function = {"name": "search", "arguments": '{"query": "a hundred words about the sea and the wind"}'}
    call = {"index": 0, "id": "c1", "type": "function", "function": function}
    delta = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}
    return sse_reply([first, {**first, "choices": [delta]}, end], done=True)


def spoken(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The events of a stream with two hundred words in place of its own."""
    at = next(place for place, event in enumerate(events) if event["type"] == kind)
    said = [{**events[at], "delta": _delta(events[at]["delta"], words)} for words in WORDS]
    return [*events[:at], *said, *(event for event in events[at:] if event["type"] != kind)]


def _delta(before: Any, words: str) -> Any:
    return words if isinstance(before, str) else {**before, "text": words}


def generated(usage: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> Reply:
    first = content(before, parts=[{"text": ANSWER}])
    del first["candidates"][0]["finishReason"]
    return sse_reply([first, content(usage, parts=[{"text": " end"}])])


EMBEDDED: dict[str, Any] = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}],
}
COMPLETED: dict[str, Any] = {
    "id": "c1",
    "object": "text_completion",
    "model": "gpt-3.5-turbo-instruct",
    "choices": [{"index": 0, "text": ANSWER, "finish_reason": "stop"}],
}

IMPOSSIBLE: list[tuple[str, Call, Reply]] = [
    ("zeros", chat_call, json_reply(chat(ZEROS, text=ANSWER))),
    ("zeros streamed", chat_stream, chunks(ZEROS)),
    ("zeros after a tool call", chat_stream, tool_chunks(ZEROS)),
    ("one token for two hundred words", chat_stream, chunks({**RIGHT, "completion_tokens": 1, "total_tokens": 18})),
    ("no input", chat_call, json_reply(chat({**RIGHT, "prompt_tokens": 0, "total_tokens": 400}, text=ANSWER))),
    ("no output", chat_call, json_reply(chat({**RIGHT, "completion_tokens": 0, "total_tokens": 17}, text=ANSWER))),
    ("negative", chat_call, json_reply(chat({**RIGHT, "completion_tokens": -1}, text=ANSWER))),
    ("cached above input", chat_call, json_reply(chat({**RIGHT, "cached_tokens": 5000}, text=ANSWER))),
    ("a total alone", chat_call, json_reply(chat({"total_tokens": 417}, text=ANSWER))),
    ("zeros and a total", chat_call, json_reply(chat({**ZEROS, "total_tokens": 417}, text=ANSWER))),
    ("no count at all", chat_call, json_reply(chat({}, text=ANSWER))),
    ("no count at all, streamed", chat_stream, chunks({})),
    ("no usage", chat_call, json_reply(chat(None, text=ANSWER))),
    ("completion, no usage", completions_call, json_reply(COMPLETED)),
    ("response, no usage", responses_call, json_reply(response(None, text=ANSWER))),
    ("message, no usage", anthropic_call, json_reply(message(None, text=ANSWER))),
    ("gemini, no usage", gemini_call, json_reply(content(None, parts=[{"text": ANSWER}]))),
    ("embeddings, no usage", embeddings_call, json_reply(EMBEDDED)),
    ("gemini embeddings, no usage", gemini_embeddings, json_reply({"embeddings": [{"values": [0.1]}]})),
    ("counts that are null", chat_call, json_reply(chat(dict.fromkeys(RIGHT), text=ANSWER))),
    ("message, no count at all", anthropic_call, json_reply(message({}, text=ANSWER))),
    (
        "gemini, no count at all",
        gemini_call,
        json_reply(content({"trafficType": "ON_DEMAND"}, parts=[{"text": ANSWER}])),
    ),
    ("a placeholder alone", chat_call, json_reply(chat({"completion_tokens": 1}, text=ANSWER))),
    (
        "more tokens than a call can have",
        chat_call,
        json_reply(chat({**RIGHT, "prompt_tokens": 193_000_000, "total_tokens": 193_000_400}, text=ANSWER)),
    ),
    (
        "more cached tokens than a call can have",
        anthropic_call,
        json_reply(message({"input_tokens": 10, "cache_read_input_tokens": 10**10, "output_tokens": 400}, text=ANSWER)),
    ),
    ("completion", completions_call, json_reply({**COMPLETED, "usage": ZEROS})),
    ("response", responses_call, json_reply(response(NONE, text=ANSWER))),
    ("response streamed", responses_stream, sse_reply(spoken(response_events(NONE), "response.output_text.delta"))),
    ("embeddings", embeddings_call, json_reply({**EMBEDDED, "usage": {"prompt_tokens": 0, "total_tokens": 0}})),
    ("message", anthropic_call, json_reply(message(NONE, text=ANSWER))),
    (
        "message streamed",
        anthropic_stream,
        sse_reply(spoken(message_events(NONE), "content_block_delta"), named=True),
    ),
    ("message, negative", anthropic_call, json_reply(message({"input_tokens": -1, "output_tokens": 9}, text=ANSWER))),
    ("gemini", gemini_call, json_reply(content(GEMINI_ZEROS, parts=[{"text": ANSWER}]))),
    ("gemini streamed", gemini_stream, generated(GEMINI_ZEROS)),
    ("gemini, a total alone", gemini_call, json_reply(content({"totalTokenCount": 417}, parts=[{"text": ANSWER}]))),
    (
        "gemini, cached above input",
        gemini_call,
        json_reply(
            content(
                {"promptTokenCount": 10, "cachedContentTokenCount": 20, "candidatesTokenCount": 1},
                parts=[{"text": ANSWER}],
            )
        ),
    ),
    (
        "gemini embeddings",
        gemini_embeddings,
        json_reply({"embeddings": [{"values": [0.1]}], "usageMetadata": {"promptTokenCount": 0}}),
    ),
]


@pytest.mark.parametrize(("call", "reply"), [case[1:] for case in IMPOSSIBLE], ids=[case[0] for case in IMPOSSIBLE])
def test_impossible_counts_are_never_a_free_call(
    telemetry: Telemetry, model_server: ModelServer, call: Call, reply: Reply
) -> None:
    """The span has tokens that fit the texts, dollars, and the mark of an estimate."""
    model_server.replies(reply)
    with instrumented(telemetry):
        call(model_server.url)
    said: dict[str, Any] = dict(telemetry.attributes())
    assert said[semconv.ESTIMATED] is True
    assert 4 <= said[semconv.INPUT_TOKENS] <= 417
    assert said[semconv.COST] > 0
    if said[semconv.OPERATION] != semconv.EMBEDDINGS and reply is not IMPOSSIBLE[2][2]:
        assert 100 <= said[semconv.OUTPUT_TOKENS] <= 1200


@pytest.mark.parametrize(("call", "reply"), [case[1:] for case in IMPOSSIBLE], ids=[case[0] for case in IMPOSSIBLE])
def test_impossible_counts_never_pass_unlimited_calls(
    telemetry: Telemetry, model_server: ModelServer, call: Call, reply: Reply
) -> None:
    """A budget of a few calls refuses long before the fiftieth."""
    model_server.responder = lambda _request: reply
    usd: dict[Any, str] = {
        embeddings_call: "0.000003",
        gemini_embeddings: "0.00001",
        anthropic_call: "0.02",
        anthropic_stream: "0.02",
    }
    with budgeted(telemetry, budgets=f"process:usd={usd.get(call, '0.0003')}"):
        until_refused(lambda: call(model_server.url), most=50)


def test_zeros_after_a_right_usage_take_nothing_back(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Totals never shrink: the right usage stays, and it is no estimate."""
    stream = [*message_events({"input_tokens": 17, "output_tokens": 400})]
    zero = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 0}}
    model_server.replies(
        chunks(RIGHT, ZEROS),
        sse_reply([*stream[:-1], zero, stream[-1]], named=True),
        generated(GEMINI_ZEROS, {"promptTokenCount": 17, "candidatesTokenCount": 400, "totalTokenCount": 417}),
    )
    with instrumented(telemetry):
        for call in (chat_stream, anthropic_stream, gemini_stream):
            call(model_server.url)
    for span in telemetry.spans:
        said = dict(span.attributes or {})
        assert (said[semconv.INPUT_TOKENS], said[semconv.OUTPUT_TOKENS]) == (17, 400)
        assert semconv.ESTIMATED not in said


def test_a_poorer_usage_after_a_right_one_takes_nothing_back(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Gateways send the usage twice, the second time without its details or without the output."""
    detailed = {**RIGHT, "prompt_tokens_details": {"cached_tokens": 10}}
    prompt = {"prompt_tokens": 17, "total_tokens": 17}
    counted = {"promptTokenCount": 17, "candidatesTokenCount": 400, "totalTokenCount": 417}
    model_server.replies(
        chunks(detailed, RIGHT),
        chunks(detailed, prompt),
        generated({"promptTokenCount": 17, "totalTokenCount": 17}, {**counted, "cachedContentTokenCount": 10}),
    )
    with instrumented(telemetry):
        for call in (chat_stream, chat_stream, gemini_stream):
            call(model_server.url)
    for span in telemetry.spans:
        said = dict(span.attributes or {})
        assert (said[semconv.INPUT_TOKENS], said[semconv.OUTPUT_TOKENS]) == (17, 400)
        assert said[semconv.CACHE_READ_TOKENS] == 10
        assert semconv.ESTIMATED not in said


def test_output_that_the_start_of_a_message_counts_is_not_erased_by_its_end(
    telemetry: Telemetry, model_server: ModelServer
) -> None:
    """Gateways write the whole usage into `message_start`, and zeros into `message_delta`."""
    stream = [*message_events({"input_tokens": 17, "output_tokens": 0})]
    stream[0]["message"]["usage"] = {"input_tokens": 17, "output_tokens": 400}
    model_server.replies(sse_reply(stream, named=True))
    with instrumented(telemetry):
        anthropic_stream(model_server.url)
    said = dict(telemetry.attributes())
    assert (said[semconv.INPUT_TOKENS], said[semconv.OUTPUT_TOKENS]) == (17, 400)
    assert semconv.ESTIMATED not in said


def test_a_total_completes_the_counts_without_an_estimate(telemetry: Telemetry, model_server: ModelServer) -> None:
    """If one side is missing beside a total, the other is what remains."""
    model_server.replies(
        json_reply(chat({"completion_tokens": 400, "total_tokens": 417}, text=ANSWER)),
        json_reply(chat({"prompt_tokens": 17, "total_tokens": 417}, text=ANSWER)),
        json_reply(chat({"prompt_tokens": 0, "completion_tokens": 400, "total_tokens": 417}, text=ANSWER)),
        json_reply(content({"promptTokenCount": 17, "totalTokenCount": 417}, parts=[{"text": ANSWER}])),
    )
    with instrumented(telemetry):
        for call in (chat_call, chat_call, chat_call, gemini_call):
            call(model_server.url)
    for span in telemetry.spans:
        said = dict(span.attributes or {})
        assert (said[semconv.INPUT_TOKENS], said[semconv.OUTPUT_TOKENS]) == (17, 400)
        assert semconv.ESTIMATED not in said


def test_zeros_that_are_right_stay_zeros(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A refusal without words, a withheld answer, an answer of a gateway's cache: nothing is estimated."""
    refused = message({"input_tokens": 17, "output_tokens": 0}, text="", stop_reason="refusal")
    withheld = chat(ZEROS, text="")
    withheld["choices"][0]["finish_reason"] = "content_filter"
    model_server.replies(
        json_reply(refused),
        json_reply(withheld),
        json_reply(chat(ZEROS, text=ANSWER), headers={"x-litellm-cache-hit": "True"}),
        json_reply(chat({"prompt_tokens": 17, "completion_tokens": 1, "total_tokens": 18}, text="Yes")),
    )
    with instrumented(telemetry):
        for call in (anthropic_call, chat_call, chat_call, chat_call):
            call(model_server.url)
    assert [dict(span.attributes or {})[semconv.INPUT_TOKENS] for span in telemetry.spans] == [17, 0, 0, 17]
    assert all(semconv.ESTIMATED not in (span.attributes or {}) for span in telemetry.spans)


def test_counts_in_headers_are_read_before_anything_is_estimated(
    telemetry: Telemetry, model_server: ModelServer
) -> None:
    """Bedrock and text-generation-inference count in headers what a body does not."""
    bedrock = {
        "x-amzn-bedrock-input-token-count": "17",
        "x-amzn-bedrock-output-token-count": "400",
        "x-amzn-bedrock-cache-read-input-token-count": "1000",
    }
    model_server.replies(
        json_reply(message(NONE, text=ANSWER), headers=bedrock),
        json_reply(chat(ZEROS, text=ANSWER), headers={"x-prompt-tokens": "17", "x-generated-tokens": "400"}),
    )
    with instrumented(telemetry):
        anthropic_call(model_server.url)
        chat_call(model_server.url)
    first, second = (dict(span.attributes or {}) for span in telemetry.spans)
    assert (first[semconv.INPUT_TOKENS], first[semconv.CACHE_READ_TOKENS]) == (1017, 1000)
    assert (second[semconv.INPUT_TOKENS], second[semconv.OUTPUT_TOKENS]) == (17, 400)
    assert semconv.ESTIMATED not in first
    assert semconv.ESTIMATED not in second


def test_images_that_count_nothing_never_pass_unlimited_calls(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Nothing can be estimated of a picture: it has no price, and budgets keep what they had reserved."""
    drawn = {"created": 1, "data": [{"b64_json": "AA=="}], "usage": {**NONE, "input_tokens_details": None}}
    model_server.responder = lambda _request: json_reply(drawn)
    with budgeted(telemetry, budgets="process:usd=20"), client(model_server) as sdk:
        made, _ = until_refused(lambda: sdk.images.generate(model="gpt-image-1", prompt=PROMPT), most=50)
    assert made >= 1
    assert "counts nothing" in str(dict(telemetry.spans[0].attributes or {})[semconv.UNPRICED])


def test_an_estimate_keeps_within_the_output_limit(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The limit of the request holds for the estimate, as for every other one."""
    model_server.replies(json_reply(chat(ZEROS, text=ANSWER)))
    with instrumented(telemetry), client(model_server) as sdk:
        sdk.chat.completions.create(**ASK)
    assert telemetry.attributes()[semconv.OUTPUT_TOKENS] == ASK["max_tokens"]
