"""The worst case of a call: the bound is never below what providers count, and the count is near it."""

from __future__ import annotations

import json
import statistics
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.prices import TextRates
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.guard.estimate import (
    Price,
    Rates,
    Shape,
    input_bound,
    input_count,
    output_bound,
    shape_of,
    worst_case,
    worst_case_of_text,
)
from otel_agentcost.pricebook import PriceBook, open_book
from otel_agentcost.wire import Format, load, tokenizers
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS
from tests.wire import genai_prices_usage

CHAT = load("openai_chat")
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def chat(*content: Any, model: str = "gpt-4o", **body: Any) -> Call:
    return Call(
        operation="chat",
        model=model,
        body={"model": model, "messages": [{"role": "user", "content": [*content]}], **body},
    )


def answered(line: dict[str, Any], call: Call) -> Answer:
    reader = genai_prices_usage.reader_of(line)
    if not genai_prices_usage.is_stream(line):
        return reader.read_response(call, json.loads(line["response"]))
    stream = reader.open_stream(call)
    for event in genai_prices_usage.events(line["response"]):
        stream.feed(event)
    return stream.answer(complete=True)


def measured() -> list[tuple[Call, Format, int, int]]:
    """Recorded calls and their formats, with the input and output tokens that the provider counted."""
    found: list[tuple[Call, Format, int, int]] = []
    for line in genai_prices_usage.recordings():
        request = genai_prices_usage.request_of(line)
        if request is None or line["status"] != 200:
            continue
        form = genai_prices_usage.reader_of(line)
        call = form.read_request(request, line["path"])
        usage = answered(line, call).usage
        if usage is not None and not usage.estimated and usage.input_tokens:
            found.append((call, form, usage.input_tokens, usage.output_tokens))
    return found


@pytest.fixture(scope="module")
def recorded() -> list[tuple[Call, Format, int, int]]:
    found = measured()
    if not found:
        pytest.skip("AGENTCOST_CORPORA names no folder of recordings")
    assert len(found) > 150
    return found


def test_no_provider_ever_counted_more_than_the_bound(recorded: list[tuple[Call, Format, int, int]]) -> None:
    """Over every recorded exchange, input and output; and the bound is there for nearly all of them."""
    bounds = [(input_bound(call, form), output_bound(call)) for call, form, _, _ in recorded]
    pairs = list(zip(bounds, recorded, strict=True))
    assert [call.body for (bound, _), (call, _, truth, _) in pairs if bound is not None and bound < truth] == []
    assert [call.body for (_, bound), (call, _, _, truth) in pairs if bound is not None and bound < truth] == []
    assert sum(bound is not None for bound, _ in bounds) > 0.95 * len(recorded)


def test_the_count_is_near_the_truth_and_its_margin_above_it(recorded: list[tuple[Call, Format, int, int]]) -> None:
    """With a vocabulary: the median and the 95th percentile of its error; with its margin it is above the truth."""
    if not (tokenizers.ready("o200k_base") and tokenizers.ready("cl100k_base")):
        pytest.skip("no vocabulary is installed")
    errors: list[float] = []
    below: list[object] = []
    for call, form, truth, _ in recorded:
        raw = call.operation in ("embeddings", "text_completion")
        errors.append(abs(PROMPT_TOKENS.count(call.body, call.model, raw=raw) - truth) / truth)
        if input_count(call, form) < truth and input_bound(call, form) is not None:
            below.append((truth, input_count(call, form), call.body))
    errors.sort()
    median, p95 = statistics.median(errors), errors[int(0.95 * len(errors))]
    print(f"input tokens, counted: off by {median:.1%} (median), {p95:.1%} (95th percentile) of {len(errors)}")
    assert median < 0.08
    assert p95 < 0.35
    assert below == []


@given(st.text(max_size=300), st.lists(st.text(max_size=40), max_size=4))
def test_no_text_has_more_tokens_than_the_bound(text: str, parts: list[str]) -> None:
    """Whatever the characters: a token is at least one byte."""
    call = chat(*({"type": "text", "text": part} for part in (text, *parts)))
    bound = input_bound(call, CHAT)
    assert bound is not None
    assert bound >= PROMPT_TOKENS.count(call.body, "gpt-4o")


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6), st.booleans())
def test_messages_of_text_alone_are_bounded_where_they_stand(texts: list[str], tools: bool) -> None:
    """Alone, beside messages of another form, and with tools: never below the count, nor below their bytes."""
    plain: list[dict[str, Any]] = [{"role": "user", "content": text} for text in texts]
    for messages in (plain, [*plain, {"role": "user", "content": "", "name": "n"}]):
        body: dict[str, Any] = {"model": "gpt-4o", "messages": messages, "max_tokens": 5, "user": "ü", "stream": None}
        if tools:
            body["tools"] = [{"type": "function", "function": {"name": "f"}}]
        bound = input_bound(Call(operation="chat", model="gpt-4o", body=body), CHAT)
        assert bound is not None
        assert bound >= PROMPT_TOKENS.count(body, "gpt-4o")
        assert bound >= sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


@pytest.mark.parametrize(
    ("more", "bounded"),
    [
        ({"cache_control": {"type": "ephemeral"}}, True),
        ({"type": "file"}, False),
        ({"inlineData": {"data": "AA", "mimeType": "video/mp4"}}, False),
        ({"previous_response_id": "r1"}, False),
        ({"previous_response_id": None}, True),
        ({"thread": {"type": "create"}}, True),
        ({"thread": {"type": "continue", "previous_message_id": "msg_1"}}, False),
        ({"tools": [{"googleSearch": {}}]}, False),
        ({7: "a key that is no text"}, True),
    ],
)
def test_what_stands_beside_plain_messages_is_not_overlooked(more: dict[Any, Any], bounded: bool) -> None:
    """Media, history at the provider and its tools, and caching, at the top of the request too."""
    body = {"messages": [{"role": "user", "content": "hi"}], **more}
    shape = shape_of(Call(operation="chat", model="m", body=body), CHAT)
    assert (shape.bound is not None) == bounded
    assert shape.caches == ("cache_control" in more or 7 in more)


def test_lone_surrogates_and_deep_nesting_break_nothing() -> None:
    """What cannot be walked is not bounded. How deep a walk may go depends on the version of Python."""
    assert input_bound(chat({"type": "text", "text": "\ud800"}), CHAT) is not None
    deep: Any = "x"
    for _ in range(200_000):
        deep = [deep]
    assert input_bound(chat(deep), CHAT) is None


def test_images_and_tools_have_their_allowances() -> None:
    """A tile of gpt-4o-mini, and the instructions for tools, are in the bound."""
    plain, seen = input_bound(chat("hi"), CHAT), input_bound(chat("hi", IMAGE, IMAGE), CHAT)
    assert plain is not None
    assert seen is not None
    assert seen - plain > 2 * (2_833 + 8 * 5_667)
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    with_tool = input_bound(chat("hi", tools=[tool]), CHAT)
    assert with_tool is not None
    assert with_tool > plain + 804


@pytest.mark.parametrize(
    "call",
    [
        chat("hi", previous_response_id="r1"),
        Call(operation="chat", model="gpt-4o", body={"model": "gpt-4o", "prompt": {"id": "pmpt_1"}}),
        chat("hi", messages=[{"role": "assistant", "audio": {"id": "audio_1"}}]),
        chat("hi", conversation="c1"),
        chat("hi", model="gpt-4o-mini-search-preview"),
        chat("hi", model="sonar-pro"),
        chat("hi", cachedContent="c/1"),
        chat("hi", web_search_options={"search_context_size": "low"}),
        chat("hi", tools=[{"type": "web_search_preview"}]),
        chat("hi", tools=[{"type": "web_search_20250305", "name": "web_search"}]),
        chat("hi", tools=[{"googleSearch": {}}]),
        chat({"type": "file", "file": {"file_id": "f1"}}),
        chat({"type": "document", "source": {"type": "base64", "data": "AAAA"}}),
        chat({"type": "input_audio", "input_audio": {"id": "a1"}}),
        chat({"fileData": {"fileUri": "gs://x", "mimeType": "audio/mp3"}}),
        chat({"inlineData": {"data": "AAAA", "mimeType": "video/mp4"}}),
        chat(b"bytes"),
        Call(operation="chat", model="m"),
    ],
)
def test_what_says_nothing_of_its_size_is_not_bounded(call: Call) -> None:
    """History at the provider, its own tools, documents, links, video and unknown bytes."""
    assert input_bound(call, CHAT) is None
    assert input_count(call, CHAT) >= 0


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "A" * 500, "format": "wav"}},
        {"type": "document", "source": {"type": "text", "data": "x" * 500}},
        {"inlineData": {"data": b"x" * 500, "mimeType": "audio/mp3"}},
        {"type": "tool_result", "content": [{"type": "text", "text": "x" * 500}]},
    ],
)
def test_what_is_sent_along_is_bounded_by_its_bytes(part: Any) -> None:
    """Text in documents and tool results, and sound."""
    bound = input_bound(chat(part), CHAT)
    assert bound is not None
    assert bound > 500


def test_vectors_are_no_output() -> None:
    """A budget of tokens has room for embeddings, whatever the longest answer may be."""
    assert output_bound(Call(operation="embeddings", model="text-embedding-3-large")) == 0


def test_output_is_bounded_by_its_limit_for_each_choice() -> None:
    """Or by the model's own maximum; without either it is not."""
    call = Call(operation="chat", model="m", max_output_tokens=10, choices=3)
    assert output_bound(call) == 30
    assert output_bound(Call(operation="chat", model="m", choices=2, max_output_tokens=100)) == 200
    assert output_bound(Call(operation="chat", model="m")) is None
    assert output_bound(Call(operation="embeddings", model="m", max_output_tokens=0)) == 0


def usd(call: Call, provider: str) -> int | None:
    book = open_book()

    def price(usage: Usage, _model: str | None = None) -> Cost:
        return book.price(usage, provider=provider, base_url=None, models=(call.model,), at=1.79e9)

    return worst_case(call, price, input_tokens=1000, output_tokens=100, shape=shape_of(call, CHAT)).usd


def test_the_dearest_split_is_taken() -> None:
    """A prompt that is to be cached may be written to the cache for an hour, at twice the price; sound costs more."""
    plain = chat("hi", model="claude-sonnet-4-5")
    cached = chat({"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}, model="claude-sonnet-4-5")
    assert usd(plain, "anthropic") == 3_000_000 + 1_500_000
    assert usd(cached, "anthropic") == 6_000_000 + 1_500_000
    spoken = chat({"inlineData": {"data": "AAAA", "mimeType": "audio/mp3"}}, model="gemini-2.5-flash")
    assert usd(spoken, "gcp.gemini") == 1_000_000 + 250_000
    assert usd(chat("hi", model="gemini-2.5-flash"), "gcp.gemini") == 300_000 + 250_000


def test_speech_is_billed_by_what_it_says() -> None:
    """By its characters; and how long somebody speaks in a recording, no request tells."""
    book = open_book(None)

    def price(usage: Usage, model: str | None) -> Cost:
        return book.price(usage, provider="openai", base_url=None, models=(model,), at=1_800_000_000.0)

    spoken = Call(operation="generate_content", model="tts-1", body={"model": "tts-1", "input": "Hello. " * 100})
    worst = worst_case(spoken, price, input_tokens=900, output_tokens=9, shape=shape_of(spoken, load("openai_audio")))
    assert (worst.usd, worst.untold) == (10_500_000, False)  # 700 characters at $15 a million
    heard = Call(operation="generate_content", model="whisper-1", body={"model": "whisper-1"})
    assert worst_case(heard, price, input_tokens=900, output_tokens=9).untold


def test_without_a_price_the_reason_is_given() -> None:
    """Tokens are known all the same."""
    found = worst_case(chat("hi"), lambda *_: Cost.unknown("no such model"), input_tokens=5, output_tokens=7)
    assert (found.usd, found.tokens, found.unpriced) == (None, 12, "no such model")


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_nothing_within_the_limits_costs_more(into: int, out: int) -> None:
    """Any split of no more tokens, cached or not, costs at most the worst case."""
    call = chat({"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}, model="claude-sonnet-4-5")
    book = open_book()

    def price(usage: Usage, _model: str | None = None) -> Cost:
        return book.price(usage, provider="anthropic", base_url=None, models=(call.model,), at=1.79e9)

    worst = worst_case(call, price, input_tokens=into, output_tokens=out, shape=shape_of(call, CHAT)).usd
    real = price(
        Usage(counts={"input_tokens": into // 3, "cache_write_5m_tokens": into // 3, "cache_read_tokens": into // 3})
        + Usage(counts={"output_tokens": out})
    ).usd
    assert worst is not None
    assert real is not None
    assert worst >= real * Decimal(10**9)


def prices(book: PriceBook, provider: str) -> tuple[Price, Rates]:
    """The long way and the short way to the price of a call."""

    def price(usage: Usage, model: str | None) -> Cost:
        return book.price(usage, provider=provider, base_url=None, models=(model,), at=1.79e9)

    def rates(model: str | None, inputs: tuple[Kind, ...]) -> TextRates | None:
        return book.text_rates(inputs, provider=provider, base_url=None, models=(model,), at=1.79e9)

    return price, rates


def every_model(book: PriceBook) -> dict[str, list[str]]:
    """The names of the models of each provider."""
    return {each: [entry["id"] for entry in book.book.models_of(each).entries] for each in book.book.providers}


@pytest.mark.parametrize("caches", [False, True])
def test_the_short_way_comes_to_the_same_for_every_model_of_the_book(caches: bool) -> None:
    """Below and above the first tier, with and without a cache, with nothing in the one or the other direction."""
    book, quick = open_book(), 0
    for provider, models in every_model(book).items():
        for model in models:
            call = Call(operation="chat", model=model)
            price, rates = prices(book, provider)
            for into, out in ((1, 1), (0, 9), (123_457, 4_097), (1_000_001, 0)):
                shape = Shape(bound=into, caches=caches)
                found = worst_case_of_text(call, rates, shape, out)
                if found is not None:
                    quick += 1
                    assert found == worst_case(call, price, input_tokens=into, output_tokens=out, shape=shape), model
    assert quick > 1_000


def test_the_short_way_leaves_all_else_to_the_long_one() -> None:
    """Sound, pictures, a model without a price, one that is free, and a request without a bound."""
    price, rates = prices(open_book(), "openai")
    text = Shape(bound=100)
    others = [text._replace(sounds=True), text._replace(outputs=frozenset({"audio"})), text._replace(bound=None)]
    assert worst_case_of_text(chat(model="gpt-4o"), rates, text, 9) is not None
    assert [worst_case_of_text(chat(model="gpt-4o"), rates, shape, 9) for shape in others] == [None] * 3
    assert worst_case_of_text(chat(model="gpt-image-1"), rates, text, 9) is None
    assert worst_case_of_text(chat(model="no such model"), rates, text, 9) is None
    assert worst_case_of_text(chat(model="omni-moderation-latest"), rates, text, 9) is None
    assert price(Usage(counts={"input_tokens": 100}), "no such model").usd is None


def test_the_formats_bodies_are_understood() -> None:
    """What a wire format reads from a request is what is bounded: Gemini's and Responses' forms too."""
    gemini = {"contents": [{"role": "user", "parts": [{"text": "x" * 99}]}], "generationConfig": {"maxOutputTokens": 7}}
    call = load("gemini").read_request(gemini, "/v1beta/models/gemini-2.5-flash:generateContent")
    assert (input_bound(call, load("gemini")) or 0) > 99
    assert output_bound(call) == 7
