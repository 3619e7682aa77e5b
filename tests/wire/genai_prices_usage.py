"""The genai-prices library as the oracle: our disjoint counts in its overlapping terms, and recorded exchanges.

A recording is a line of `recordings.jsonl` in the folder that `AGENTCOST_CORPORA` names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from otel_agentcost.core.usage import DIMENSIONS, Kind, Usage
from otel_agentcost.wire import Format, load
from otel_agentcost.wire.fields import get

FORMATS = {
    "/chat/completions": ("openai_chat", "chat"),
    "/completions": ("openai_completions", "chat"),
    "/responses": ("openai_responses", "responses"),
    "/embeddings": ("openai_embeddings", "embeddings"),
    "/images/generations": ("openai_images", "images"),
    "/v1/messages": ("anthropic_messages", "default"),
    ":generateContent": ("gemini", "default"),
    ":streamGenerateContent": ("gemini", "default"),
    ":embedContent": ("gemini", "default"),
}
"""The format that serves a path, and the oracle's name for it."""

PROVIDERS = {
    "openai.azure.com": "azure",
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "googleapis.com": "google",
    "api.groq.com": "groq",
    "api.deepseek.com": "deepseek",
    "api.together.xyz": "together",
}


def all_recordings() -> list[dict[str, Any]]:
    """All recordings; none where there is no folder of them."""
    folder = os.environ.get("AGENTCOST_CORPORA")
    if not folder:
        return []
    return [json.loads(line) for line in (Path(folder) / "recordings.jsonl").read_text(encoding="utf-8").splitlines()]


def recordings() -> list[dict[str, Any]]:
    """The recordings of the providers above."""
    return [line for line in all_recordings() if provider_of(line) and format_of(line)]


def provider_of(line: Mapping[str, Any]) -> str | None:
    return next((name for host, name in PROVIDERS.items() if line["host"].endswith(host)), None)


def format_of(line: Mapping[str, Any]) -> tuple[str, str] | None:
    path = line["path"].partition("?")[0]
    return next((known for end, known in FORMATS.items() if path.endswith(end)), None)


def reader_of(line: Mapping[str, Any]) -> Format:
    known = format_of(line)
    assert known is not None
    return load(known[0])


def flavor_of(line: Mapping[str, Any]) -> str:
    known = format_of(line)
    assert known is not None
    return known[1]


def is_stream(line: Mapping[str, Any]) -> bool:
    return "event-stream" in (line["content_type"] or "")


def request_of(line: Mapping[str, Any]) -> Any:
    try:
        return json.loads(line["request"])
    except ValueError:
        return None


def events(text: str) -> Iterator[Any]:
    """The JSON values of the events in a text of server-sent events."""
    for block in text.replace("\r\n", "\n").split("\n\n"):
        data = "\n".join(row[5:].strip() for row in block.split("\n") if row.startswith("data:"))
        if data and data != "[DONE]":
            yield json.loads(data)


def merged(seen: list[Any]) -> Any:
    """What a stream amounts to, as one response such as the oracle reads; None where it carries no usage."""
    whole: dict[str, Any] | None = None
    for event in seen:
        if get(get(event, "response"), "usage"):
            return event["response"]
        if event.get("type") == "message_start":
            whole = {"model": event["message"]["model"], "usage": dict(event["message"]["usage"])}
        elif event.get("type") == "message_delta" and whole is not None:
            whole["usage"].update({name: value for name, value in event["usage"].items() if value is not None})
        elif event.get("usage") or event.get("usageMetadata"):
            whole = event
        elif get(get(event, "x_groq"), "usage"):
            whole = {"model": event["model"], "usage": event["x_groq"]["usage"]}
    return whole


def expected(provider: str, flavor: str, response: Any) -> dict[str, int]:
    """What the oracle extracts, without zeros. Raises `ValueError` where it extracts nothing."""
    from genai_prices.data import providers

    known = {"groq": "default", "deepseek": "chat"}.get(provider, flavor)
    if provider == "together":  # the oracle has no extractor for it: its format is OpenAI's
        provider, known = "openai", flavor
    library = next(each for each in providers if each.id == provider)
    _, usage = library.extract_usage(response, api_flavor=known)
    return {key: value for key, value in vars(usage).items() if value}


def overlapping(usage: Usage, keys: set[str]) -> dict[str, Any]:
    """Our counts under the oracle's `keys`: each is the sum of all kinds that are special cases of it."""
    found: dict[str, Any] = {}
    for key in keys | {"input_tokens", "output_tokens"}:
        of_key = DIMENSIONS[cast(Kind, key)]
        total = sum(number for kind, number in usage.counts.items() if DIMENSIONS[kind] >= of_key)
        if total:
            found[key] = total
    return found


# --- providers whose requests are read by the formats of their own SDKs -----------------------------------------------

MORE = {
    "api.cohere.com": ("cohere", "default"),
    "api.mistral.ai": ("mistral", "default"),
    "amazonaws.com": ("aws", "default"),
}
"""The oracle's name of a provider, and of the usual shape of its usage."""


def more_recordings() -> list[dict[str, Any]]:
    """The recordings of these providers."""
    return [line for line in all_recordings() if any(line["host"].endswith(host) for host in MORE)]
