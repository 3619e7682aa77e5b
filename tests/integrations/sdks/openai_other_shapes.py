"""What else the openai SDK can be asked for: responses, completions, embeddings, images, sound, moderations, batches.

Prices in dollars per million tokens unless said otherwise: gpt-3.5-turbo-instruct 1.50/2.00, text-embedding-3-small
0.02, gpt-image-1 5.00 (text in) and 40.00 (images out), gpt-4o-transcribe 6.00 (audio in) and 10.00, whisper-1 0.006 a
minute, tts-1 15.00 a million characters.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

from openai import AsyncOpenAI, OpenAI

from tests.integrations.sdks.openai_shapes import Verdict, async_shape, raw, raw_stream, shape, whole, whole_async
from tests.support.call_shapes import Shape, Spend
from tests.support.model_server import Reply, json_reply
from tests.support.replies import CACHED_USD, MINI, PLAIN, chat, response, response_stream

RESPOND: dict[str, Any] = {"model": "gpt-4o-mini", "input": "What is the answer?"}
SPENT = Spend(
    name="chat gpt-4o-mini", served=MINI, input=1205, output=183, cache_read=1024, reasoning=64, usd=CACHED_USD
)


def helper(client: OpenAI) -> list[Any]:
    """The `.stream()` helper of the responses API."""
    with client.responses.stream(**RESPOND) as stream:
        return [[event.type for event in stream], stream.get_final_response()]


async def helper_async(client: AsyncOpenAI) -> list[Any]:
    """`helper` for an asynchronous client."""
    async with client.responses.stream(**RESPOND) as stream:
        return [[event.type async for event in stream], await stream.get_final_response()]


def streaming(client: OpenAI) -> list[Any]:
    """A stream of responses, read as lines."""
    with client.responses.with_streaming_response.create(**RESPOND, stream=True) as answer:
        return list(answer.iter_lines())


async def streamed_async(client: AsyncOpenAI) -> list[Any]:
    """A stream of responses, read as events."""
    return await whole_async(await client.responses.create(**RESPOND, stream=True))


COMPACTED = {
    "id": "cmp_1",
    "object": "response.compaction",
    "created_at": 1,
    "output": [{"id": "c_1", "type": "compaction", "encrypted_content": "x"}],
    "usage": response()["usage"],
}

DECIDED = {"object": "decision", "model": MINI, "answers": [], "usage": response()["usage"]}

RESPONSES = [
    shape(
        "decisions.create",
        lambda c: c.decisions.create(**RESPOND, questions=[]),
        [json_reply(DECIDED)],
        SPENT,
    ),
    shape("responses.create", lambda c: c.responses.create(**RESPOND), [json_reply(response())], SPENT),
    shape("responses stream", lambda c: whole(c.responses.create(**RESPOND, stream=True)), [response_stream()], SPENT),
    shape(
        "responses.parse",
        lambda c: c.responses.parse(**RESPOND, text_format=Verdict),
        [json_reply(response(text='{"answer": 42}'))],
        SPENT,
    ),
    shape("responses .stream() helper", helper, [response_stream()], SPENT),
    shape(
        "responses with_raw_response",
        lambda c: raw(c.responses.with_raw_response.create(**RESPOND)),
        [json_reply(response())],
        SPENT,
    ),
    shape(
        "responses with_raw_response stream",
        lambda c: raw_stream(c.responses.with_raw_response.create(**RESPOND, stream=True)),
        [response_stream()],
        SPENT,
    ),
    shape("responses with_streaming_response stream", streaming, [response_stream()], SPENT),
    shape(
        "responses.compact",
        lambda c: c.responses.compact(**RESPOND),
        [json_reply(COMPACTED)],
        Spend(name="chat gpt-4o-mini", input=1205, output=183, cache_read=1024, reasoning=64, usd=CACHED_USD),
    ),
    shape("responses.retrieve", lambda c: c.responses.retrieve("resp_1"), [json_reply(response())], None),
    shape(
        "responses.retrieve stream",
        lambda c: whole(c.responses.retrieve("resp_1", stream=True)),
        [response_stream()],
        None,
    ),
    shape(
        "responses in the background",
        lambda c: c.responses.create(**RESPOND, background=True),
        [json_reply(response(None, status="queued", output=[]))],
        Spend(name="chat gpt-4o-mini", served=MINI, unpriced="runs in the background"),
    ),
    async_shape("responses.create", lambda c: c.responses.create(**RESPOND), [json_reply(response())], SPENT),
    async_shape("responses stream", streamed_async, [response_stream()], SPENT),
    async_shape("responses .stream() helper", helper_async, [response_stream()], SPENT),
]

# --- Completions, embeddings, moderations, batches ---

_COMPLETION = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "gpt-3.5-turbo-instruct",
    "choices": [{"index": 0, "finish_reason": "stop", "text": "Forty-two.", "logprobs": None}],
    "usage": PLAIN,
}
_EMBEDDING = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
    "usage": {"prompt_tokens": 8, "total_tokens": 8},
}
_MODERATION = {"id": "modr-1", "model": "omni-moderation-latest", "results": []}
_BATCH = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "input_file_id": "file_1",
    "completion_window": "24h",
    "status": "validating",
    "created_at": 1,
}
_EMBED: dict[str, Any] = {"model": "text-embedding-3-small", "input": "eight tokens of text"}
EMBEDDED = Spend(
    name="embeddings text-embedding-3-small",
    operation="embeddings",
    served="text-embedding-3-small",
    input=8,
    output=0,
    usd=0.00000016,  # 8 x 0.02
)

TEXTS = [
    shape(
        "completions.create",
        lambda c: c.completions.create(model="gpt-3.5-turbo-instruct", prompt="What?"),
        [json_reply(_COMPLETION)],
        Spend(
            name="text_completion gpt-3.5-turbo-instruct",
            operation="text_completion",
            served="gpt-3.5-turbo-instruct",
            input=100,
            output=50,
            usd=0.00025,  # 100 x 1.50 + 50 x 2.00
        ),
    ),
    shape("embeddings.create", lambda c: c.embeddings.create(**_EMBED), [json_reply(_EMBEDDING)], EMBEDDED),
    async_shape("embeddings.create", lambda c: c.embeddings.create(**_EMBED), [json_reply(_EMBEDDING)], EMBEDDED),
    shape(
        "embeddings with_raw_response",
        lambda c: raw(c.embeddings.with_raw_response.create(**_EMBED)),
        [json_reply(_EMBEDDING)],
        EMBEDDED,
    ),
    shape(
        "moderations.create (free)",
        lambda c: c.moderations.create(input="text"),
        [json_reply(_MODERATION)],
        Spend(name="moderation", operation="moderation", model="", served="omni-moderation-latest", usd=0.0),
    ),
    shape(
        "batches.create",
        lambda c: c.batches.create(input_file_id="file_1", endpoint="/v1/chat/completions", completion_window="24h"),
        [json_reply(_BATCH)],
        Spend(name="create_batch", operation="create_batch", model="", unpriced="billed as it runs"),
    ),
    shape("batches.retrieve", lambda c: c.batches.retrieve("batch_1"), [json_reply(_BATCH)], None),
    shape(
        "files.content (a batch's results)",
        lambda c: c.files.content("file_1").read(),
        [Reply(content_type="application/octet-stream", body=json.dumps({"response": {"body": chat()}}).encode())],
        None,
    ),
    shape(
        "models.list",
        lambda c: c.models.list().data,
        [json_reply({"object": "list", "data": []})],
        None,
    ),
]

# --- Images and sound ---

_IMAGE = {
    "created": 1,
    "data": [{"b64_json": "AAAA"}],
    "usage": {
        "input_tokens": 100,
        "input_tokens_details": {"text_tokens": 100, "image_tokens": 0},
        "output_tokens": 1000,
        "total_tokens": 1100,
    },
}
PICTURE = Spend(
    name="generate_content gpt-image-1", operation="generate_content", input=100, output=1000, usd=0.0405
)  # 100 x 5.00 + 1000 x 40.00
_SOUND = ("sound.wav", b"RIFF....WAVE", "audio/wav")
_TRANSCRIPT = {
    "text": "Forty-two.",
    "usage": {
        "type": "tokens",
        "input_tokens": 100,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 100},
        "output_tokens": 20,
        "total_tokens": 120,
    },
}


def multipart(name: str, use: Any, reply: Reply, spend: Spend) -> Shape:
    """A shape with a file in it."""
    made = shape(name, use, [reply], spend)
    return Shape(name=made.name, run=made.run, replies=made.replies, spends=made.spends, loose_body=True)


def translate(client: OpenAI) -> Any:
    """A translation, which the SDK has called deprecated and still makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return client.audio.translations.create(  # pyright: ignore[reportDeprecated]
            model="whisper-1", file=_SOUND, response_format="verbose_json"
        )


def heard(model: str, **more: Any) -> Spend:
    """What was spent on sound."""
    return Spend(name=f"generate_content {model}", operation="generate_content", **more)


MEDIA = [
    shape(
        "images.generate",
        lambda c: c.images.generate(model="gpt-image-1", prompt="a cat"),
        [json_reply(_IMAGE)],
        PICTURE,
    ),
    multipart(
        "images.edit",
        lambda c: c.images.edit(model="gpt-image-1", prompt="a cat", image=("a.png", b"PNG", "image/png")),
        json_reply(_IMAGE),
        PICTURE,
    ),
    multipart(
        "audio.transcriptions.create by tokens",
        lambda c: c.audio.transcriptions.create(model="gpt-4o-transcribe", file=_SOUND),
        json_reply(_TRANSCRIPT),
        heard("gpt-4o-transcribe", input=100, output=20, usd=0.0008),  # 100 x 6.00 + 20 x 10.00
    ),
    multipart(
        "audio.transcriptions.create by the minute",
        lambda c: c.audio.transcriptions.create(model="whisper-1", file=_SOUND),
        json_reply({"text": "Forty-two.", "usage": {"type": "duration", "seconds": 60}}),
        heard("whisper-1", input=0, output=0, usd=0.006),
    ),
    multipart(
        "audio.transcriptions.create as text",
        lambda c: c.audio.transcriptions.create(model="whisper-1", file=_SOUND, response_format="text"),
        Reply(content_type="text/plain", body=b"Forty-two."),
        heard("whisper-1", unpriced="has no usage"),
    ),
    multipart(
        "audio.translations.create",
        translate,
        json_reply({"task": "translate", "language": "en", "duration": 30.0, "text": "Forty-two.", "segments": []}),
        heard("whisper-1", input=0, output=0, usd=0.003),
    ),
    shape(
        "audio.speech.create",
        lambda c: c.audio.speech.create(model="tts-1", voice="alloy", input="x" * 1000).read(),
        [Reply(content_type="audio/mpeg", body=b"ID3...")],
        heard("tts-1", input=0, output=0, usd=0.015),
    ),
    shape(
        "audio.speech.create by tokens",
        lambda c: c.audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input="Forty-two.").read(),
        [Reply(content_type="audio/mpeg", body=b"ID3...")],
        heard("gpt-4o-mini-tts", unpriced="does not say how many tokens"),
    ),
]

SHAPES = [*RESPONSES, *TEXTS, *MEDIA]
