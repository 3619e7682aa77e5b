"""The step of a call that looks into the cache of answers, and what a cached answer means for its span.

An answer is replayed by calling the SDK as always: the HTTP client below it gets the recorded response
(`integrations/replays`), and the SDK makes of it what it makes of every response. Nothing is sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from otel_agentcost.calls.answer_cache import AnswerCache
from otel_agentcost.calls.call import ActiveCall
from otel_agentcost.core import money, semconv
from otel_agentcost.core.call import Answer, AttributeValue
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.recorded import NotReplayed
from otel_agentcost.core.usage import NO_TOKENS, Tokens
from otel_agentcost.diagnostics import report
from otel_agentcost.telemetry import spans

Wrapped = Callable[..., Any]
"""The method of the SDK."""

MADE: Final = object()
"""Stands for the answer of a call that is to be made."""


def replayed(cache: AnswerCache, call: ActiveCall, wrapped: Wrapped, instance: Any, args: Any, kwargs: Any) -> Any:
    """Return what the SDK makes of a cached answer. `MADE` if there is none, and the call is to be made."""
    try:
        limit = limit_of(instance, args, kwargs)
        call.exchange = cache.look(call.request, call.record.attribution, instance, limit)
        if call.exchange is None or not call.exchange.has_answer:
            return MADE
    except Exception as error:
        report("looking for a cached answer", error)
        return MADE
    try:
        with call.active():
            result = wrapped(*args, **kwargs)
    except BaseException as error:  # what ends the attempt is no Exception, so that no SDK repeats it
        if not _is_not_replayed(error):
            raise
        return _missed(call)
    _check(call)
    return result


async def replayed_async(
    cache: AnswerCache, call: ActiveCall, wrapped: Wrapped, instance: Any, args: Any, kwargs: Any
) -> Any:
    """Do the same as `replayed`, for an asynchronous call."""
    try:
        limit = limit_of(instance, args, kwargs)
        call.exchange = await cache.look_async(call.request, call.record.attribution, instance, limit)
        if call.exchange is None or not call.exchange.has_answer:
            return MADE
    except Exception as error:
        report("looking for a cached answer", error)
        return MADE
    try:
        with call.active():
            result = await wrapped(*args, **kwargs)
    except BaseException as error:  # what ends the attempt is no Exception, so that no SDK repeats it
        if not _is_not_replayed(error):
            raise
        return _missed(call)
    _check(call)
    return result


def _is_not_replayed(error: BaseException) -> bool:
    """Return True for `NotReplayed`, also out of a group of tasks (Python 3.11 and later)."""
    if isinstance(error, NotReplayed):
        return True
    parts: object = getattr(error, "exceptions", None) if type(error).__name__ == "BaseExceptionGroup" else None
    return isinstance(parts, tuple) and all(map(_is_not_replayed, cast("tuple[BaseException, ...]", parts)))


def _missed(call: ActiveCall) -> object:
    if call.exchange is not None:
        call.exchange.missed()
    call.sent = False
    return MADE


def _check(call: ActiveCall) -> None:
    """Let the budgets count a call that was made after all: the SDK has sent its request in a way of its own."""
    if call.exchange is not None and not call.exchange.served:
        call.exchange.missed()
        call.unadmitted = threading.Lock()


def attributes_of(call: ActiveCall, answer: Answer, tokens: Tokens, cost: Cost) -> dict[str, AttributeValue]:
    """Return the span attributes of a cached answer. Its tokens have other names, so that no backend prices them."""
    described = spans.answer_attributes(answer._replace(usage=None), NO_TOKENS, Cost())
    attributes: dict[str, AttributeValue] = {**described, semconv.CACHE: semconv.HIT, semconv.CALLS: 0}
    if call.exchange is not None:
        attributes[semconv.CACHE_AGE] = round(call.exchange.age, 3)
    attributes[semconv.WATCHED] = True  # no Collector takes it for a call whose usage is missing
    counts = {
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "cache_read_tokens": tokens.cache_read,
        "cache_write_tokens": tokens.cache_write,
        "reasoning_tokens": tokens.reasoning,
    }
    attributes |= {f"{semconv.CACHED}{name}": count for name, count in counts.items() if count}
    if cost.usd is not None:
        attributes[semconv.CACHE_SAVED] = money.to_float(cost.usd)
    return attributes


def limit_of(client: Any, args: Any, kwargs: Mapping[str, Any]) -> float | None:
    """Return the time limit of a call in seconds; None if it is not known for sure."""
    for holder in (*args, *kwargs.values(), client):
        limit: Any = getattr(holder, "timeout", None)
        if hasattr(limit, "read"):  # of the `httpx` family, in seconds
            limit = limit.read
        elif type(holder).__module__.partition(".")[0] not in _IN_SECONDS:
            continue
        if isinstance(limit, (int, float)) and not isinstance(limit, bool):
            return float(limit)
    return None


_IN_SECONDS: Final = frozenset({"anthropic", "groq", "openai"})
"""SDKs whose plain numbers are seconds. Those of Google are milliseconds, for example."""
