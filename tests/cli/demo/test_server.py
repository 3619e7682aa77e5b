"""The model server, read by the providers' own SDKs: what they parse, streamed or not, is what the model said."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from google import genai

from otel_agentcost.cli.demo import chats
from otel_agentcost.cli.demo.model import Reply, Script, count_tokens
from otel_agentcost.cli.demo.server import ModelServer

QUESTION = "What is the weather in Paris and in Rome?"
LONG = "The quick brown fox jumps over the lazy dog. " * 150  # about 1,500 tokens
TEXT = "I will look that up, *both* cities:\n\n  - Paris, and naïvely —\n  - Rome 🐝.  "
TOOLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("weather", {"city": "Paris", "note": 'a "quoted" ünïcode — text of several words, to be cut in pieces'}),
    ("weather", {"city": "Rome"}),
)
SCRIPT = Script(replies=(Reply(text=TEXT, tools=TOOLS), Reply(text="Sunny in both.")))
WEATHER = chats.ToolSpec(name="weather", description="The weather.", parameters={"city": "Where", "note": "Any"})


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """The server, with a model that first calls two tools and then answers."""
    with ModelServer(SCRIPT) as running:
        yield running


@pytest.fixture
def openai_client(server: ModelServer) -> Iterator[openai.OpenAI]:
    """OpenAI's client of the server."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic_client(server: ModelServer) -> Iterator[anthropic.Anthropic]:
    """Anthropic's client of the server."""
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def google_client(server: ModelServer) -> Iterator[genai.Client]:
    """Google's client of the server."""
    client = genai.Client(vertexai=False, api_key="none", http_options={"base_url": server.url})
    yield client
    client.close()


CHATS: dict[str, Any] = {
    "openai_client": chats.OpenAIChat,
    "openai_client responses": chats.OpenAIResponses,
    "anthropic_client": chats.AnthropicMessages,
    "google_client": chats.Gemini,
}


@pytest.mark.parametrize("surface", CHATS)
def test_an_agents_conversation(surface: str, request: pytest.FixtureRequest) -> None:
    """On every surface the agent hears the text and the tool calls, hands in results, and hears the next turn."""
    client = request.getfixturevalue(surface.split(maxsplit=1)[0])
    chat: chats.Chat = CHATS[surface](client, "a-model", "Be brief.", [WEATHER])
    turn = chat.say(QUESTION)
    assert turn.text == TEXT
    assert [(call.name, call.arguments) for call in turn.tool_calls] == list(TOOLS)
    assert len({call.id for call in turn.tool_calls}) in (1, 2)  # Gemini's calls have no ids
    turn = chat.give([(call, "sunny") for call in turn.tool_calls])
    assert (turn.text, turn.tool_calls) == ("Sunny in both.", [])


def test_openai_chat_streams_what_it_answers_whole(openai_client: Any) -> None:
    """The SDK's stream helper puts the chunks together to the very answer that is not streamed, usage included."""
    ask: dict[str, Any] = {"model": "a-model", "messages": [{"role": "user", "content": QUESTION}]}
    whole = openai_client.chat.completions.create(**ask)
    with openai_client.chat.completions.stream(**ask, stream_options={"include_usage": True}) as stream:
        streamed = stream.get_final_completion()
    assert streamed.usage == whole.usage
    assert streamed.choices[0].finish_reason == whole.choices[0].finish_reason == "tool_calls"
    ours, theirs = whole.choices[0].message, streamed.choices[0].message
    assert theirs.content == ours.content == TEXT
    assert [call.to_dict() for call in ours.tool_calls or ()] == [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.function.name, "arguments": call.function.arguments},
        }
        for call in theirs.tool_calls or ()
    ]


def test_openai_chat_streams_no_usage_unless_asked(openai_client: Any) -> None:
    """Without `stream_options` no chunk carries usage, as at OpenAI."""
    stream = openai_client.chat.completions.create(
        model="a-model", messages=[{"role": "user", "content": QUESTION}], stream=True
    )
    chunks = list(stream)
    assert len(chunks) > 3
    assert all(chunk.usage is None for chunk in chunks)


def test_openai_responses_streams_what_it_answers_whole(openai_client: Any) -> None:
    """The SDK's stream helper checks the order of events, and arrives at the answer that is not streamed."""
    whole = openai_client.responses.create(model="a-model", input=QUESTION)
    with openai_client.responses.stream(model="a-model", input=QUESTION) as stream:
        numbers = [event.sequence_number for event in stream if hasattr(event, "sequence_number")]
        streamed = stream.get_final_response()
    assert numbers == sorted(numbers)
    assert streamed.usage == whole.usage
    assert streamed.output_text == whole.output_text == TEXT
    assert [item.type for item in streamed.output] == ["message", "function_call", "function_call"]
    calls = [item for item in streamed.output if item.type == "function_call"]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == list(TOOLS)
    assert [item.id for item in streamed.output] == [item.id for item in whole.output]


def test_anthropic_streams_what_it_answers_whole(anthropic_client: Any) -> None:
    """The SDK's stream helper puts the events together to the very answer that is not streamed."""
    ask: dict[str, Any] = {
        "model": "a-model",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": QUESTION}],
    }
    whole = anthropic_client.messages.create(**ask)
    with anthropic_client.messages.stream(**ask) as stream:
        assert "".join(stream.text_stream) == TEXT
        streamed = stream.get_final_message()
    assert streamed.usage == whole.usage
    assert streamed.stop_reason == whole.stop_reason == "tool_use"
    assert [block.input for block in streamed.content if block.type == "tool_use"] == [use for _, use in TOOLS]
    assert [block.type for block in streamed.content] == [block.type for block in whole.content]


def test_gemini_streams_what_it_answers_whole(google_client: Any) -> None:
    """The last chunk of a stream carries the usage of the answer that is not streamed, and the chunks its parts."""
    models = google_client.models
    whole = models.generate_content(model="a-model", contents=QUESTION)
    *chunks, last = list(models.generate_content_stream(model="a-model", contents=QUESTION))
    assert len(chunks) > 1
    assert last.usage_metadata == whole.usage_metadata
    parts: list[Any] = [part for chunk in chunks for part in chunk.parts or ()]
    assert "".join(part.text or "" for part in parts) == whole.text == TEXT
    assert last.function_calls == whole.function_calls
    assert [call.args for call in last.function_calls or ()] == [use for _, use in TOOLS]


def test_openai_counts_the_request(openai_client: Any) -> None:
    """The prompt's tokens are those of its messages; those read from the cache are among them, in blocks of 128."""

    def usage(*messages: str) -> openai.types.CompletionUsage:
        completion = openai_client.chat.completions.create(
            model="a-model", messages=[{"role": "user", "content": text} for text in messages]
        )
        found: openai.types.CompletionUsage = completion.usage
        return found

    first, second = usage(LONG), usage(LONG, QUESTION)
    assert first.prompt_tokens == count_tokens(LONG)
    assert second.prompt_tokens == count_tokens(LONG) + count_tokens(QUESTION)
    assert second.total_tokens == second.prompt_tokens + second.completion_tokens
    assert first.prompt_tokens_details is not None
    assert first.prompt_tokens_details.cached_tokens == 0
    assert second.prompt_tokens_details is not None
    assert second.prompt_tokens_details.cached_tokens == count_tokens(LONG) // 128 * 128


def test_anthropic_counts_cached_tokens_apart(anthropic_client: Any) -> None:
    """`input_tokens` leaves out what is read from the cache and what is written to it; without asking none is."""

    def usage(*messages: str, **more: Any) -> anthropic.types.Usage:
        message: anthropic.types.Message = anthropic_client.messages.create(
            model="a-model",
            max_tokens=100,
            messages=[{"role": "user", "content": text} for text in messages],
            extra_body=more,
        )
        return message.usage

    cached = {"cache_control": {"type": "ephemeral"}}
    plain, first, second = usage(LONG), usage(LONG, **cached), usage(LONG, QUESTION, **cached)
    size = count_tokens(LONG)
    assert (plain.input_tokens, plain.cache_creation_input_tokens, plain.cache_read_input_tokens) == (size, 0, 0)
    assert (first.input_tokens, first.cache_creation_input_tokens, first.cache_read_input_tokens) == (0, size, 0)
    assert (second.input_tokens, second.cache_creation_input_tokens, second.cache_read_input_tokens) == (
        0,
        count_tokens(QUESTION),
        size,
    )


def test_gemini_counts_system_instruction_and_contents(google_client: Any) -> None:
    """The prompt's tokens are those of the contents and the system instruction."""
    answer = google_client.models.generate_content(
        model="a-model", contents=QUESTION, config={"system_instruction": "Be brief."}
    )
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.prompt_token_count == count_tokens(QUESTION) + count_tokens("Be brief.")


def test_errors_are_the_sdks_own(openai_client: Any, anthropic_client: Any, google_client: Any) -> None:
    """What cannot be answered raises each SDK's own exception, with the provider's message."""
    with pytest.raises(openai.BadRequestError, match="'messages' is required"):
        openai_client.chat.completions.create(model="a-model", messages=[])
    with pytest.raises(openai.BadRequestError, match="stores no responses"):
        openai_client.responses.create(model="a-model", input="Hi", previous_response_id="resp_1")
    with pytest.raises(openai.NotFoundError):
        openai_client.embeddings.create(model="a-model", input="Hi")
    with pytest.raises(anthropic.BadRequestError, match="'messages' is required"):
        anthropic_client.messages.create(model="a-model", max_tokens=1, messages=[])
    with pytest.raises(genai.errors.ClientError, match="No such path here"):
        google_client.models.embed_content(model="a-model", contents="Hi")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b'{"model": 1}', b'{"model": "m", "messages": [1]}'])
@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/models/m:generateContent"]
)
def test_a_body_that_is_not_a_request_is_refused(server: ModelServer, path: str, body: bytes) -> None:
    """Anything that is no request gets status 400 and a JSON error, and the server goes on."""
    request = urllib.request.Request(server.url + path, data=body, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 400
    assert json.loads(refused.value.read())["error"]["message"]
