"""Names of OpenAI in usages of the format of Anthropic, as some gateways write them."""

from __future__ import annotations

from typing import Any

from otel_agentcost.wire.fields import Malformed, entries, get
from otel_agentcost.wire.usage_names import found_in

__all__ = ["own_names"]


def own_names(usage: Any) -> Any:
    """Return a usage with Anthropic's names for OpenAI's; any other unchanged.

    OpenAI's input includes the tokens of caches, and Anthropic's does not.
    """
    if usage is None or get(usage, "input_tokens") is not None or get(usage, "prompt_tokens") is None:
        return usage
    try:
        given = found_in(usage).counts
    except Malformed:
        return usage
    read, written = given.get("cache_read", 0), given.get("cache_write", 0)
    counts = {"cache_read_input_tokens": read, "cache_creation_input_tokens": written}
    prompt = given["input"] - read - written if given["input"] >= read + written else given["input"]
    return {**entries(usage), **counts, "input_tokens": prompt, "output_tokens": given.get("output")}
