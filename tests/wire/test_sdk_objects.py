"""The objects of openai and anthropic are read like the JSON that they were made from, and quickly."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest
from anthropic.types import Message, RawContentBlockDeltaEvent, RawMessageStartEvent, TextDelta
from anthropic.types.beta import BetaMessage
from openai.types import CreateEmbeddingResponse, ImagesResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseTextDeltaEvent

from tests.wire import test_anthropic_messages, test_openai_chat, test_openai_other_formats
from tests.wire.reading import ask, chat, delta, load_reader, streamed, used, whole

CHAT = chat({**test_openai_chat.CACHED, "cost": 0.01}, service_tier="flex")


@pytest.mark.parametrize(
    ("form", "kind", "json"),
    [
        ("openai_chat", ChatCompletion, CHAT),
        ("openai_responses", Response, test_openai_other_formats.RESPONSE),
        ("openai_embeddings", CreateEmbeddingResponse, {"model": "m", "data": [], "usage": {"prompt_tokens": 8}}),
        ("openai_images", ImagesResponse, {"usage": test_openai_other_formats.IMAGE}),
        ("anthropic_messages", Message, test_anthropic_messages.message()),
        (
            "anthropic_messages",
            BetaMessage,
            test_anthropic_messages.message(
                iterations=[
                    test_anthropic_messages.iteration("compaction", 9000, 10),
                    test_anthropic_messages.iteration("message", 181, 183),
                ]
            ),
        ),
    ],
)
def test_an_sdk_object_is_read_like_its_json(form: str, kind: Any, json: dict[str, Any]) -> None:
    """Objects built as the SDKs build them (fields that are absent, fields that they do not know)."""
    assert whole(form, kind.construct(**json)) == whole(form, json)


class Slots:
    """An object that has its fields in slots; a subclass for each set of names."""

    __slots__ = ()


class Hidden:
    """An object that has its fields behind properties; a subclass for each set of names."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given


class Items(dict[str, Any]):
    """A dict of a library, with an empty `__dict__`."""


class Attributes(dict[str, Any]):
    """A dict whose items are attributes, and which has None for any other one."""

    def __getattr__(self, name: str) -> Any:
        return self.get(name)


def in_slots(value: Any) -> Any:
    if isinstance(value, list):
        return [in_slots(each) for each in value]
    if not isinstance(value, dict):
        return value
    made = type("Made", (Slots,), {"__slots__": tuple(value)})()
    for name, inside in value.items():
        setattr(made, name, in_slots(inside))
    return made


def _of(name: str, made: Any) -> Any:
    return hidden(made._given[name])


def hidden(value: Any) -> Any:
    if isinstance(value, list):
        return [hidden(each) for each in value]
    if not isinstance(value, dict):
        return value
    names = {name: property(partial(_of, name)) for name in value}
    return type("Made", (Hidden,), names)(value)


def in_items(value: Any) -> Any:
    if isinstance(value, list):
        return [in_items(each) for each in value]
    return Items({name: in_items(inside) for name, inside in value.items()}) if isinstance(value, dict) else value


def in_attributes(value: Any) -> Any:
    if isinstance(value, list):
        return [in_attributes(each) for each in value]
    return Attributes({name: in_attributes(each) for name, each in value.items()}) if isinstance(value, dict) else value


@pytest.mark.parametrize("shape", [in_slots, hidden, in_items, in_attributes])
@pytest.mark.parametrize(
    "last",
    [
        CHAT,
        {**delta(None), "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": CHAT["usage"]}]},
        {**CHAT, "usage": None, "x_groq": {"id": "r1", "usage": CHAT["usage"]}},
    ],
)
def test_fields_outside_an_object_s_dict_are_never_missed(shape: Any, last: dict[str, Any]) -> None:
    """Objects of other libraries have slots, properties, or the items of a dict."""
    chunks = [delta("Hello"), delta(" world"), last]
    answer = streamed("openai_chat", [shape(chunk) for chunk in chunks])
    assert used(answer).counts == used(streamed("openai_chat", chunks)).counts
    assert not used(answer).estimated
    assert used(whole("openai_chat", shape(last))) == used(whole("openai_chat", last))


def test_streams_of_sdk_objects_are_read_like_their_json() -> None:
    """The quick way through `feed` and the thorough one come to the same."""
    chunks = [delta(""), delta("Hello"), delta(" world"), delta(None), CHAT]
    parsed = [ChatCompletionChunk.construct(**chunk) for chunk in chunks]
    assert streamed("openai_chat", parsed) == streamed("openai_chat", chunks)
    body = {"model": "gpt-4o", "messages": []}
    cut = streamed("openai_chat", parsed[:-1], body, complete=False)
    assert cut == streamed("openai_chat", chunks[:-1], body, complete=False)
    assert used(cut).output_tokens == 2
    start = RawMessageStartEvent.construct(**test_anthropic_messages.START)
    words = [RawContentBlockDeltaEvent.construct(**word) for word in test_anthropic_messages.WORDS]
    both = (
        streamed("anthropic_messages", [start, *words]),
        streamed("anthropic_messages", [test_anthropic_messages.START, *test_anthropic_messages.WORDS]),
    )
    assert both[0] == both[1]


def fastest(function: Any, argument: Any) -> float:
    """Microseconds a call, at its best: what the machine does beside is not the reader's."""
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(1000):
            function(argument)
        best = min(best, time.perf_counter() - start)
    return best * 1000


def test_a_chunk_costs_next_to_nothing() -> None:
    """A text delta takes well under a microsecond (0.15 to 0.2 where nothing else runs)."""
    text = TextDelta(text="Hello", type="text_delta")
    word = ResponseTextDeltaEvent.construct(type="response.output_text.delta", delta="Hello")
    for form, event in (
        ("openai_chat", ChatCompletionChunk.construct(**delta("Hello"))),
        ("openai_responses", word),
        ("anthropic_messages", RawContentBlockDeltaEvent(delta=text, index=0, type="content_block_delta")),
    ):
        reader = load_reader(form)
        reader.feed(event)
        assert fastest(reader.feed, event) < 1.0, form


def test_a_request_costs_a_few_microseconds() -> None:
    """A typical request is read in about two microseconds; the bound leaves room for a busy machine."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.2, "max_tokens": 100}
    for form in ("openai_chat", "openai_responses", "anthropic_messages"):
        assert fastest(lambda given, form=form: ask(form, given), body) < 12, form
