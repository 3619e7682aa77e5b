"""The usage of OpenAI's formats and of compatible APIs: chat, responses, embeddings, images.

Their counts overlap: cached, audio and image tokens are within the input, reasoning within the output. Compatible APIs
deviate in known ways (reasoning besides the output, cached tokens under other names); each deviation is recognised by
the numbers or by a field that no other API sends, never by guessing the provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from otel_agentcost.core import money, semconv
from otel_agentcost.core.call import AttributeValue
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.wire.fields import count, get, measure, need, part, quote
from otel_agentcost.wire.token_split import Counts, input_counts, output_kind, put, rest

ERROR_TEXT = 120


def chat_usage(usage: Any, model: str | None) -> Usage:
    """Return the usage of a chat completion or a legacy completion. Raises `Malformed`."""
    prompt, completion = _both(usage, "prompt_tokens", "completion_tokens")
    inside = part(usage, "prompt_tokens_details")
    counts: Counts = {}
    cached = {"read": _cached(usage, inside), "write": _written(inside)}
    media = {"audio": count(inside, "audio_tokens"), "image": count(inside, "image_tokens")}
    unsplit = input_counts(counts, prompt, "prompt_tokens", cached, media)
    _chat_output(counts, usage, prompt, completion, model)
    put(counts, "web_searches", count(usage, "num_search_queries"))
    return Usage(counts=counts, unsplit=unsplit)


def _chat_output(counts: Counts, usage: Any, prompt: int, completion: int, model: str | None) -> None:
    inside = part(usage, "completion_tokens_details")
    reasoning = count(inside, "reasoning_tokens") or count(usage, "reasoning_tokens")
    beyond = count(usage, "total_tokens") - prompt - completion
    citations = count(usage, "citation_tokens")
    audio, image = count(inside, "audio_tokens"), count(inside, "image_tokens")
    if get(usage, "citation_tokens") is not None or get(usage, "num_search_queries") is not None:
        beyond = reasoning  # Perplexity bills reasoning and citations beside the completion
    elif reasoning == 0 and beyond > 0 and model is not None and "gemini" in model:
        reasoning = beyond  # Google's OpenAI-compatible endpoint counts thoughts in the total alone
    if reasoning and (beyond == reasoning or reasoning > completion):  # xAI: reasoning is beside the completion
        left = completion
    else:
        left = rest(completion, "completion_tokens", reasoning, "reasoning_tokens")
    left = rest(left, "what is not reasoning of completion_tokens", audio + image, "the number of audio tokens")
    put(counts, "output_tokens", left)
    put(counts, "output_audio_tokens", audio)
    put(counts, "output_image_tokens", image)
    put(counts, "output_reasoning_tokens", reasoning)
    put(counts, "output_citation_tokens", citations)


def responses_usage(usage: Any) -> tuple[Usage, str | None]:
    """Return the usage of a response, and why list prices do not apply, if so. Raises `Malformed`."""
    prompt, produced = _both(usage, "input_tokens", "output_tokens")
    inside = part(usage, "input_tokens_details")
    counts: Counts = {}
    # `cache_read_input_tokens` is Perplexity's name for cached tokens in this format.
    read = count(inside, "cached_tokens") or count(inside, "cache_read_input_tokens")
    media = {"audio": count(inside, "audio_tokens"), "image": 0}
    cached = {"read": read, "write": _written(inside)}
    unsplit = input_counts(counts, prompt, "input_tokens", cached, media)
    thought = count(part(usage, "output_tokens_details"), "reasoning_tokens")
    put(counts, "output_tokens", rest(produced, "output_tokens", thought, "reasoning_tokens"))
    put(counts, "output_reasoning_tokens", thought)
    # OpenAI publishes the price of writes to the 30-minute cache, and not to the 12-hour cache.
    long_lived = count(part(inside, "cache_write_tokens_details"), "ttl_12h_tokens")
    why = f"the price of writing {long_lived} tokens to the 12-hour cache is not known" if long_lived else None
    return Usage(counts=counts, unsplit=unsplit), why


def image_usage(usage: Any) -> Usage:
    """Return the usage of an image model (images API, or image tool of the responses API). Raises `Malformed`."""
    prompt, produced = _both(usage, "input_tokens", "output_tokens")
    inside, outside = part(usage, "input_tokens_details"), part(usage, "output_tokens_details")
    text, image = count(inside, "text_tokens"), count(inside, "image_tokens")
    rest(prompt, "input_tokens", text + image, "the number of text and image tokens")
    cached = part(usage, "cached_tokens_details") or part(inside, "cached_tokens_details")
    read = count(usage, "cached_tokens") or count(inside, "cached_tokens")
    counts: Counts = {}
    unsplit: tuple[Kind, ...] = ()
    read_text = count(cached, "cached_text_tokens") or count(cached, "text_tokens")
    read_image = count(cached, "cached_image_tokens") or count(cached, "image_tokens")
    if read == read_text + read_image:
        put(counts, "input_text_tokens", rest(text, "text_tokens", read_text, "the number of cached text tokens"))
        put(counts, "input_image_tokens", rest(image, "image_tokens", read_image, "the number of cached image tokens"))
        put(counts, "cache_text_read_tokens", read_text)
        put(counts, "cache_image_read_tokens", read_image)
        put(counts, "input_tokens", prompt - text - image)
    else:
        unsplit = input_counts(counts, prompt, "input_tokens", {"read": read}, {"text": text, "image": image})
    if outside is None:
        # Without details, the output of these models is images (openai: "the number of image tokens in the output").
        put(counts, "output_image_tokens", produced)
    else:
        media = {name: count(outside, f"{name}_tokens") for name in ("text", "image")}
        left = rest(produced, "output_tokens", sum(media.values()), "the number of text and image tokens")
        put(counts, "output_tokens", left)
        for name, number in media.items():
            put(counts, output_kind(name), number)
    return Usage(counts=counts, unsplit=unsplit)


def _both(usage: Any, prompt: str, produced: str) -> tuple[int, int]:
    """Return the two required counts. A total equal to the input can replace an output of 0 (completions)."""
    for name in (prompt, produced):
        if get(usage, name) is None and (name == prompt or get(usage, "total_tokens") != get(usage, prompt)):
            need(usage, name)
    return count(usage, prompt), count(usage, produced)


def _cached(usage: Any, inside: Any) -> int:
    """Return the tokens read from a cache, under any provider's name: all of them are within prompt_tokens."""
    if get(inside, "cached_tokens") is not None:
        return count(inside, "cached_tokens")
    for name in ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens", "cached_prompt_text_tokens"):
        if number := count(usage, name):  # DeepSeek; Moonshot and Anthropic; Databricks; xAI
            return number
    return 0


def _written(inside: Any) -> int:
    return count(inside, "cache_write_tokens") or count(inside, "cache_creation_tokens")


def provider_cost(usage: Any) -> Decimal | None:
    """Return the cost in dollars that the response reports: OpenRouter's `cost`, Perplexity's `cost.total_cost`."""
    cost = get(usage, "cost")
    if cost is None:
        return None
    if isinstance(cost, (int, float, str)):
        usd = money.reported(cost)
        if usd is not None and get(usage, "is_byok") is True:
            # With the caller's own key, OpenRouter's cost is its fee; the provider bills the rest.
            upstream = money.reported(get(get(usage, "cost_details"), "upstream_inference_cost"))
            return None if upstream is None else money.add(usd, upstream)
        return usd
    return money.reported(get(cost, "total_cost"))


def served_terms(tier: str | None) -> tuple[tuple[tuple[str, str], ...], str | None]:
    """Return the terms of the tier that served a call, and why there is no price, if so.

    The requested tier never counts. "auto" is no tier; "scale" is capacity paid in advance.
    """
    if tier is None or tier == "auto":
        return (), None
    if tier == "scale":
        return (), "the tokens were served from capacity paid in advance (service_tier scale)"
    return (("service_tier", tier),), None


def requested_terms(parameters: Mapping[str, AttributeValue]) -> tuple[tuple[str, str], ...]:
    """Return the terms of the requested tier, which set the price if that tier serves the call."""
    tier = parameters.get(semconv.OPENAI_REQUEST_TIER)
    return served_terms(tier)[0] if isinstance(tier, str) and tier != "default" else ()


def error_text(response: Any) -> str | None:
    """Return the message of an error response; None if the response is no error."""
    error = get(response, "error")
    if error is None:
        return None
    message = error if isinstance(error, str) else get(error, "message") or get(error, "code") or get(error, "type")
    return f"the response is an error: {message if isinstance(message, str) else quote(error)}"[:ERROR_TEXT]


def duration(usage: Any, response: Any) -> Decimal | None:
    """Return the seconds of audio, from the usage or from a verbose response; None if neither has them."""
    return measure(usage, "seconds") if usage is not None else measure(response, "duration")
