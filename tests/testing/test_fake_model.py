"""The fake model: what real SDK clients get from it, whole and streamed, sync and async."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import anthropic
import openai
import pytest
from google.genai import errors

from otel_agentcost.testing import Answer, Failure, FakeModel, ModelRequest, ToolCall, recording

TEXT = "Forty-two, which is the answer to everything, and to this question too."
ANSWER = Answer(TEXT, input_tokens=1000, output_tokens=50, cache_read_tokens=400)
HELLO: Any = [{"role": "user", "content": "Hello"}]


def chat(model: FakeModel) -> str:
    return str(model.openai().chat.completions.create(model="gpt-4o-mini", messages=HELLO).choices[0].message.content)


def chat_streamed(model: FakeModel) -> str:
    options: Any = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = model.openai().chat.completions.create(model="gpt-4o-mini", messages=HELLO, **options)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def responses(model: FakeModel) -> str:
    return str(model.openai().responses.create(model="gpt-4o-mini", input="Hello").output_text)


def responses_streamed(model: FakeModel) -> str:
    with model.openai().responses.stream(model="gpt-4o-mini", input="Hello") as stream:
        return str(stream.get_final_response().output_text)


def messages(model: FakeModel) -> str:
    answer = model.anthropic().messages.create(model="claude-haiku-4-5", max_tokens=100, messages=HELLO)
    return str(answer.content[0].text)


def messages_streamed(model: FakeModel) -> str:
    with model.anthropic().messages.stream(model="claude-haiku-4-5", max_tokens=100, messages=HELLO) as stream:
        return str(stream.get_final_text())


def gemini(model: FakeModel) -> str:
    return str(model.google().models.generate_content(model="gemini-2.5-flash", contents="Hello").text)


def gemini_streamed(model: FakeModel) -> str:
    chunks = model.google().models.generate_content_stream(model="gemini-2.5-flash", contents="Hello")
    return "".join(chunk.text or "" for chunk in chunks)


async def chat_async(model: FakeModel) -> str:
    answer = await model.async_openai().chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    return str(answer.choices[0].message.content)


async def messages_async(model: FakeModel) -> str:
    options: Any = {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": HELLO}
    async with model.async_anthropic().messages.stream(**options) as stream:
        return str(await stream.get_final_text())


async def gemini_async(model: FakeModel) -> str:
    client = model.google().aio.models
    chunks: AsyncIterator[Any] = await client.generate_content_stream(model="gemini-2.5-flash", contents="Hello")
    return "".join([chunk.text or "" async for chunk in chunks])


OPENAI = Decimal("0.00015")  # gpt-4o-mini: 600 x 0.15 + 400 x 0.075 + 50 x 0.60 dollars per million
CLAUDE = Decimal("0.00089")  # claude-haiku-4-5: 600 x 1.00 + 400 x 0.10 + 50 x 5.00
GEMINI = Decimal("0.000317")  # gemini-2.5-flash: 600 x 0.30 + 400 x 0.03 + 50 x 2.50
CALLS: list[tuple[Callable[[FakeModel], Any], Decimal]] = [
    (chat, OPENAI),
    (chat_streamed, OPENAI),
    (responses, OPENAI),
    (responses_streamed, OPENAI),
    (chat_async, OPENAI),
    (messages, CLAUDE),
    (messages_streamed, CLAUDE),
    (messages_async, CLAUDE),
    (gemini, GEMINI),
    (gemini_streamed, GEMINI),
    (gemini_async, GEMINI),
]


@pytest.mark.parametrize(("call", "usd"), CALLS, ids=[call.__name__ for call, _ in CALLS])
def test_every_client_gets_text_and_usage(call: Callable[[FakeModel], Any], usd: Decimal) -> None:
    """The real SDK parses the text, and the call is recorded with the tokens of the answer and their exact price."""
    with recording() as made:
        made.model.answers(ANSWER)
        result = call(made.model)
        assert (asyncio.run(result) if asyncio.iscoroutine(result) else result) == TEXT
    (recorded,) = made.calls
    assert (recorded.input_tokens, recorded.output_tokens, recorded.cache_read_tokens) == (1000, 50, 400)
    assert (recorded.usd, recorded.unpriced, recorded.refused, recorded.error) == (usd, None, False, None)
    assert made.usd == usd


def test_answers_come_in_order_and_the_last_one_repeats() -> None:
    """A list of answers is a conversation; a function answers by what was requested."""
    model = FakeModel("One.", "Two.", lambda request: f"{request.model}, {request.body['messages'][0]['content']}")
    assert [chat(model) for _ in range(4)] == ["One.", "Two.", "gpt-4o-mini, Hello", "gpt-4o-mini, Hello"]
    assert [request.turn for request in model.requests] == [0, 0, 0, 0]
    assert isinstance(model.requests[0], ModelRequest)


def test_tools_are_called_through_every_sdk() -> None:
    """A tool call reaches the application as each SDK's own object."""
    model = FakeModel(Answer(tools=(ToolCall("search", {"query": "bees"}),)))
    (openai_call,) = model.openai().chat.completions.create(model="m", messages=HELLO).choices[0].message.tool_calls
    (response_call,) = model.openai().responses.create(model="m", input="Hello").output
    (anthropic_call,) = model.anthropic().messages.create(model="m", max_tokens=9, messages=HELLO).content
    (google_call,) = model.google().models.generate_content(model="m", contents="Hello").function_calls
    found = [
        (openai_call.function.name, json.loads(openai_call.function.arguments)),
        (response_call.name, json.loads(response_call.arguments)),
        (anthropic_call.name, anthropic_call.input),
        (google_call.name, google_call.args),
    ]
    assert found == [("search", {"query": "bees"})] * 4
    assert openai_call.id == "call_1_1"


def test_failures_are_the_exceptions_of_each_sdk() -> None:
    """A failure raises the SDK's own exception, and is recorded with its name."""
    with recording() as made:
        made.model.answers(Failure(429, "Slow down.", {"retry-after": "0"}))
        with pytest.raises(openai.RateLimitError, match=r"Slow down\."):
            chat(made.model)
        with pytest.raises(anthropic.RateLimitError, match=r"Slow down\."):
            messages(made.model)
        with pytest.raises(errors.ClientError, match=r"Slow down\."):
            gemini(made.model)
    assert [call.error for call in made.calls] == [
        "openai.RateLimitError",
        "anthropic.RateLimitError",
        "google.genai.errors.ClientError",
    ]
    assert not any(call.refused for call in made.calls)


def test_an_sdk_retries_a_failure_as_in_production() -> None:
    """With the SDK's own retries on, the answer after a failure is the one that counts."""
    model = FakeModel(Failure(500, headers={"retry-after-ms": "1"}), "Fine now.")
    answer = model.openai(max_retries=1).chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    assert answer.choices[0].message.content == "Fine now."
    assert len(model.requests) == 2


def test_reasoning_counts_within_the_output() -> None:
    """Reasoning tokens are a part of the output tokens, in the count of every provider that reports them."""
    with recording() as made:
        made.model.answers(Answer(TEXT, input_tokens=100, output_tokens=90, reasoning_tokens=30))
        for call in (chat, responses, gemini):
            call(made.model)
    assert {(call.output_tokens, call.reasoning_tokens) for call in made.calls} == {(90, 30)}


def test_tokens_are_counted_where_the_test_does_not_care() -> None:
    """An answer without counts has some: those of its texts."""
    with recording() as made:
        chat(made.model)
    assert made.calls[0].input_tokens
    assert made.calls[0].output_tokens


def test_the_applications_own_client_can_take_the_transport() -> None:
    """Whatever makes the client, `http_client=` is enough."""
    model = FakeModel(ANSWER)
    azure = openai.AzureOpenAI(
        azure_endpoint="https://example.openai.azure.com",
        api_version="2024-10-21",
        api_key="none",
        http_client=model.http_client("openai"),
    )
    assert azure.chat.completions.create(model="gpt-4o-mini", messages=HELLO).choices[0].message.content == TEXT


def test_a_request_that_no_provider_accepts_is_refused() -> None:
    """A wrong body is a bad request, and a path of no known format is not found."""
    client = FakeModel().openai()
    with pytest.raises(openai.BadRequestError, match="'messages' is required"):
        client.chat.completions.create(model="m", messages=[])
    with pytest.raises(openai.NotFoundError, match="No such path here"):
        client.embeddings.create(model="m", input="Hello")


def test_the_model_answers_other_processes_from_a_server() -> None:
    """A local server gives the same answers over a real socket."""
    model = FakeModel("Over a socket.")
    with model.server() as server, openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    assert answer.choices[0].message.content == "Over a socket."
