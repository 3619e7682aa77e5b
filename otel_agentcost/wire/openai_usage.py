"""The usage of OpenAI's formats and of compatible APIs: chat, responses, embeddings, images.

Their counts overlap: cached, audio and image tokens are within the input, reasoning within the output. Compatible APIs
deviate in known ways (reasoning besides the output, cached tokens under other names); each deviation is recognised by
the numbers or by a field that no other API sends, never by guessing the provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from otel_agentcost.core import semconv
from otel_agentcost.core.call import AttributeValue, Partial
from otel_agentcost.core.usage import Kind, Tokens, Usage
from otel_agentcost.wire.fields import (
    MAX_COUNT,
    Malformed,
    count,
    fields,
    get,
    lacks_fields,
    measure,
    need,
    part,
    quote,
    text,
)
from otel_agentcost.wire.token_split import Counts, input_counts, output_kind, put, rest
from otel_agentcost.wire.traffic_types import PREPAID, PREPAID_REASON, TIERS
from otel_agentcost.wire.usage_names import Given, Meaning, found_in

ERROR_TEXT = 120


def chat_usage(usage: Any, model: str | None) -> tuple[Usage, str | None]:
    """Return the usage of a chat completion or a legacy completion, and what it counts besides. Raises `Malformed`."""
    if (plain := plain_usage(usage, CHAT)) is not None:
        return plain, None
    given, others = found_in(usage)
    prompt, completion = _sides(usage, given, "prompt_tokens", "completion_tokens")
    counts: Counts = {}
    unsplit = _input(counts, given, prompt, "prompt_tokens")
    _chat_output(counts, given, prompt, completion, model)
    _units(counts, given)
    return Usage(counts=counts, unsplit=unsplit), _unknown(others)


class Spelling(NamedTuple):
    """The names of the fields of a usage as OpenAI writes it."""

    input: str
    output: str
    total: str
    input_details: str
    output_details: str


CHAT: Final = Spelling(
    "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"
)
RESPONSES: Final = Spelling(
    "input_tokens", "output_tokens", "total_tokens", "input_tokens_details", "output_tokens_details"
)
_NO_DETAILS: Final[dict[str, Any]] = {}
_INTEGERS: Final = frozenset({int, type(None)})


def plain_usage(usage: Any, names: Spelling) -> Usage | None:
    """Return a usage as OpenAI writes it, in one step: tokens that add up, of which some were cached or reasoning.

    Nearly every usage is one. The result is the same as that of the rules below, which know all names and deviations.

    Returns:
        None for any other usage.
    """
    found: Any = fields(usage)
    if type(found) is not dict:
        return None
    given: dict[str, Any] = found  # pyright: ignore[reportUnknownVariableType] (no cast: hot)
    if not given.keys() <= {*names}:
        return None
    values: list[Any] = [*map(given.get, names)]
    prompt, produced, total, within, without = values
    within = _NO_DETAILS if within is None else fields(within)
    without = _NO_DETAILS if without is None else fields(without)
    if not (type(prompt) is type(produced) is type(total) is int and type(within) is type(without) is dict):
        return None
    details = (*within.values(), *without.values())
    read, thought = within.get("cached_tokens") or 0, without.get("reasoning_tokens") or 0
    if (
        not 0 < prompt <= prompt + produced == total <= MAX_COUNT
        or not _INTEGERS.issuperset(map(type, details))
        or sum(map(bool, details)) != bool(read) + bool(thought)  # else there is another count
        or not 0 <= read <= prompt
        or not 0 <= thought <= produced
    ):
        return None
    counts: Counts = {}
    if prompt > read:
        counts["input_tokens"] = prompt - read
    if read:
        counts["cache_read_tokens"] = read
    if produced > thought:
        counts["output_tokens"] = produced - thought
    if thought:
        counts["output_reasoning_tokens"] = thought
    silent = "cached_tokens" not in within
    return Usage.summed(counts, Tokens(prompt, produced, read, 0, thought), silent=silent)


def _chat_output(counts: Counts, given: Given, prompt: int, completion: int, model: str | None) -> None:
    reasoning = given.get("reasoning", 0)
    beyond = given.get("total", 0) - prompt - completion
    audio, image, video = given.get("output_audio", 0), given.get("output_image", 0), given.get("output_video", 0)
    if "citations" in given or "web_searches" in given:
        beyond = reasoning  # Perplexity bills reasoning and citations beside the completion
    elif reasoning == 0 and beyond > 0 and model is not None and "gemini" in model:
        reasoning = beyond  # Google's OpenAI-compatible endpoint counts thoughts in the total alone
    if reasoning and (beyond == reasoning or reasoning > completion):  # xAI: reasoning is beside the completion
        left = completion
    else:
        left = rest(completion, "completion_tokens", reasoning, "reasoning_tokens")
    media = audio + image + video
    left = rest(left, "what is not reasoning of completion_tokens", media, "the number of audio tokens")
    put(counts, "output_tokens", left)
    put(counts, "output_audio_tokens", audio)
    put(counts, "output_image_tokens", image)
    put(counts, "output_video_tokens", video)
    put(counts, "output_reasoning_tokens", reasoning)
    put(counts, "output_citation_tokens", given.get("citations", 0))


def responses_usage(usage: Any) -> tuple[Usage, str | None, str | None]:
    """Return the usage of a response, why list prices do not apply, and what it counts besides. Raises `Malformed`."""
    if (plain := plain_usage(usage, RESPONSES)) is not None:
        return plain, None, None
    given, others = found_in(usage)
    prompt, produced = _sides(usage, given, "input_tokens", "output_tokens")
    counts: Counts = {}
    unsplit = _input(counts, given, prompt, "input_tokens")
    thought = given.get("reasoning", 0)
    put(counts, "output_tokens", rest(produced, "output_tokens", thought, "reasoning_tokens"))
    put(counts, "output_reasoning_tokens", thought)
    _units(counts, given)
    # OpenAI publishes the price of writes to the 30-minute cache, and not to the 12-hour cache.
    long_lived = given.get("cache_write_12h", 0)
    why = f"the price of writing {long_lived} tokens to the 12-hour cache is not known" if long_lived else None
    return Usage(counts=counts, unsplit=unsplit), why, _unknown(others)


def embedding_usage(usage: Any) -> tuple[Usage, str | None]:
    """Return the usage of embeddings, and what it counts besides. All of their tokens are input. Raises `Malformed`."""
    given, others = found_in(usage)
    if "total" not in given and "input" not in given:
        need(usage, "prompt_tokens")
    counts: Counts = {}
    put(counts, "input_tokens", given.get("input", 0) or given.get("total", 0))
    _units(counts, given)
    return Usage(counts=counts), _unknown(others)


def partly_counted(usage: Any, unpriced: str | None, response: Any) -> Partial | None:
    """Return the counts of a usage that has not all of them, or impossible ones; None for no usage, and for an error.

    Args:
        usage: The usage.
        unpriced: Why list prices do not apply to the call, if so.
        response: The response that contains it.
    """
    try:
        given = found_in(usage).counts
    except Malformed:
        return Partial(unpriced=unpriced)
    if not any(given.values()):
        return (
            None if lacks_fields(usage) or error_text(response) is not None else Partial(unpriced=unpriced, empty=True)
        )
    prompt, completion = given.get("input"), given.get("output")
    if prompt is not None and completion is not None and (prompt or completion):
        return Partial(unpriced=unpriced)
    return Partial(prompt or None, completion or None, given.get("total"), unpriced)


def without_usage(response: Any, unpriced: str | None) -> tuple[str, Partial | None]:
    """Return why a response without a usage has no counts, and that its tokens can be estimated unless it is an error.

    Args:
        response: The response.
        unpriced: Why list prices do not apply to the call, if so.
    """
    error = error_text(response)
    return error or "the response has no usage", Partial(
        unpriced=unpriced, empty=True, absent=True
    ) if error is None else None


def _sides(usage: Any, given: Given, input_name: str, output_name: str) -> tuple[int, int]:
    """Return all tokens of the input and of the output.

    A total equal to the input can replace an output of 0 (completions). Cached tokens that the total has beside the
    input are added to it (Portkey), and so are more of Anthropic's than there is input. Raises `Malformed`.
    """
    prompt, produced, total = given.get("input", 0), given.get("output", 0), given.get("total", 0)
    if not prompt and "cache_miss" in given:
        prompt = given.get("cache_miss", 0) + given.get("cache_read", 0)
    elif "input" not in given:
        need(usage, input_name)
    if "output" not in given and ("total" not in given or total != prompt):
        need(usage, output_name)
    cached = 0 if _PARTS_OF_INPUT.isdisjoint(given) else given.get("cache_read", 0) + _written(given)
    if cached > prompt and any(get(usage, name) for name in _BESIDE):
        return prompt + cached, produced
    beyond, reasoning = total - prompt - produced, given.get("reasoning", 0)
    if beyond <= 0 or (beyond == reasoning and prompt):
        return prompt, produced
    if not prompt and not produced:
        raise Malformed(f"{input_name} and {output_name} are 0, and total_tokens is {total}")
    if cached and beyond in (cached, cached + reasoning):
        return prompt + cached, produced
    heard = "input_audio_seconds" in given or "audio_seconds" in given  # Mistral counts its tokens in the total alone
    return prompt or (0 if heard else beyond), produced


_BESIDE: Final = ("cache_read_input_tokens", "cache_creation_input_tokens", "cache_write_input_tokens")
"""Anthropic's names. There they count tokens besides the input, and some gateways leave them so (everfir/one-api): more
of them than input cannot be within it.
"""
_PARTS_OF_INPUT: Final[frozenset[Meaning]] = frozenset(
    {"cache_read", "cache_write", "cache_write_5m", "cache_write_1h", "input_audio", "input_image", "input_video"}
)


def _input(counts: Counts, given: Given, prompt: int, name: str) -> tuple[Kind, ...]:
    if _PARTS_OF_INPUT.isdisjoint(given):
        put(counts, "input_tokens", prompt)
        return ()
    short, long = given.get("cache_write_5m", 0), given.get("cache_write_1h", 0)
    cached = {"read": given.get("cache_read", 0), "write": _written(given) - short - long}
    if short or long:
        cached |= {"write_5m": short, "write_1h": long}
    media = {"audio": given.get("input_audio", 0), "image": given.get("input_image", 0)}
    if video := given.get("input_video", 0):
        media["video"] = video
    return input_counts(counts, prompt, name, cached, media)


def _written(given: Given) -> int:
    written: int = max(given.get("cache_write", 0), given.get("cache_write_5m", 0) + given.get("cache_write_1h", 0))
    return written


_UNITS: Final[frozenset[Kind]] = frozenset(
    {
        "web_searches",
        "input_audio_seconds",
        "audio_seconds",
        "input_characters",
        "input_document_pages",
        "input_text_messages",
    }
)
"""Meanings that are kinds of usage themselves: nothing overlaps them."""


def _units(counts: Counts, given: Given) -> None:
    for kind in _UNITS & given.keys():
        put(counts, kind, given[kind])


def _unknown(others: tuple[str, ...]) -> str | None:
    return f"the price of {', '.join(others)} is not known" if others else None


def image_usage(usage: Any) -> Usage:
    """Return the usage of an image model (images API, or image tool of the responses API). Raises `Malformed`."""
    prompt, produced = _both(usage, "input_tokens", "output_tokens")
    inside, outside = part(usage, "input_tokens_details"), part(usage, "output_tokens_details")
    words, image = count(inside, "text_tokens"), count(inside, "image_tokens")
    rest(prompt, "input_tokens", words + image, "the number of text and image tokens")
    cached = part(usage, "cached_tokens_details") or part(inside, "cached_tokens_details")
    read = count(usage, "cached_tokens") or count(inside, "cached_tokens")
    counts: Counts = {}
    unsplit: tuple[Kind, ...] = ()
    read_text = count(cached, "cached_text_tokens") or count(cached, "text_tokens")
    read_image = count(cached, "cached_image_tokens") or count(cached, "image_tokens")
    if read == read_text + read_image:
        put(counts, "input_text_tokens", rest(words, "text_tokens", read_text, "the number of cached text tokens"))
        put(counts, "input_image_tokens", rest(image, "image_tokens", read_image, "the number of cached image tokens"))
        put(counts, "cache_text_read_tokens", read_text)
        put(counts, "cache_image_read_tokens", read_image)
        put(counts, "input_tokens", prompt - words - image)
    else:
        unsplit = input_counts(counts, prompt, "input_tokens", {"read": read}, {"text": words, "image": image})
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


def served_terms(tier: str | None) -> tuple[tuple[tuple[str, str], ...], str | None]:
    """Return the terms of the tier that served a call, and why there is no price, if so.

    The requested tier never counts. "auto" is no tier; "scale" is capacity paid in advance.
    """
    if tier is None or tier == "auto":
        return (), None
    if tier == "scale":
        return (), "the tokens were served from capacity paid in advance (service_tier scale)"
    if tier == PREPAID:
        return (), PREPAID_REASON
    return (("service_tier", tier),), None


def google_tier(usage: Any) -> str | None:
    """Return the tier in a usage of Google's OpenAI-compatible API (`extra_properties.google.traffic_type`), if any."""
    traffic = text(get(get(usage, "extra_properties"), "google"), "traffic_type")
    return None if traffic is None else TIERS.get(traffic, traffic.lower())


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


_SECONDS: Final = ("seconds", "prompt_audio_seconds", "audio_seconds", "duration")
"""Seconds of audio in the usage: OpenAI's name, Mistral's, and others'."""


def duration(usage: Any, response: Any) -> Decimal | None:
    """Return the seconds of audio, from the usage or from a verbose response; None if neither has them."""
    if usage is None:
        return measure(response, "duration")
    found = [measure(usage, name) for name in _SECONDS if get(usage, name) not in (None, {})]
    return max((seconds for seconds in found if seconds is not None), default=None)
