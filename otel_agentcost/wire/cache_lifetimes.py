"""The time for which a prompt cache keeps what a call has written, where only the request says it.

A write for an hour costs more than one for five minutes. Anthropic and Bedrock count both in the response. Gateways
that translate it (https://docs.litellm.ai/docs/completion/prompt_caching) have one count for both. The marks of the
request then say which it is, if all of them say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from otel_agentcost.core.call import Answer, Call

_MARKS: Final = ("cache_control", "cachePoint")
"""The names of marks (docs.claude.com/en/docs/build-with-claude/prompt-caching, Bedrock's `CachePointBlock`)."""
_SHORT: Final = "5m"
_LONG: Final = "1h"
_DEPTH: Final = 8


def with_lifetime(answer: Answer, call: Call) -> Answer:
    """Return `answer` with writes for an hour, if it does not say how long, and every mark of its request says an hour.

    If the marks differ, the cost is a lower bound, and a reason says so.
    """
    usage = answer.usage
    if usage is None or not (written := usage.counts.get("cache_write_tokens", 0)):
        return answer
    lifetimes = set(_lifetimes(call.body, _DEPTH))
    if _LONG not in lifetimes:
        return answer
    if _SHORT in lifetimes:
        unknown = f"the response does not say how many of {written} tokens were written to the cache for an hour"
        both = unknown if answer.uncounted is None else f"{answer.uncounted}; {unknown}"
        return answer._replace(uncounted=both)
    counts = dict(usage.counts)
    counts["cache_write_1h_tokens"] = counts.get("cache_write_1h_tokens", 0) + counts.pop("cache_write_tokens")
    return answer._replace(usage=replace(usage, counts=counts))


def _lifetimes(part: object, depth: int) -> Iterator[str]:
    """Yield the lifetime of each mark in a request, or a part of one."""
    if depth < 0 or isinstance(part, (str, bytes)):
        return
    if isinstance(part, Mapping):
        known = cast("Mapping[str, Any]", part)
        for name in _MARKS:
            if isinstance(mark := known.get(name), Mapping):
                yield _LONG if cast("Mapping[str, Any]", mark).get("ttl") == _LONG else _SHORT
        for value in known.values():
            if not isinstance(value, (str, int, float)):
                yield from _lifetimes(value, depth - 1)
    elif isinstance(part, Sequence):
        values = cast("Any", part)
        for value in values:
            yield from _lifetimes(value, depth - 1)
