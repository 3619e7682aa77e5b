"""Rows of the store: a settled call as the values of `dims`, `call` and `hour`.

Tokens are kept by type beside the dollars, with the price key, the price book and the terms, so that a price that turns
out to be wrong can be applied again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from otel_agentcost.core import money, semconv
from otel_agentcost.core.call import Answer
from otel_agentcost.core.usage import NO_TOKENS, Tokens, Usage
from otel_agentcost.store import fingerprints, prompt_marks
from otel_agentcost.store.fingerprints import Fingerprints
from otel_agentcost.telemetry.receiver import EventKind, Settled

_LONGEST: Final = 500
"""Characters of a text that are kept."""

_SIMPLE: Final = frozenset(
    {"input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "output_reasoning_tokens"}
)
"""Kinds of tokens that the sums of a row stand for. A row with any other kind has all of them in `units`."""

_WHO: Final = (semconv.AGENT, semconv.USER, semconv.TENANT, semconv.TEAM, semconv.FEATURE)

Dims = tuple[str, ...]
"""The values of `questions.DIMS`."""


class Row(NamedTuple):
    """One call."""

    at: float
    dims: Dims
    calls: int
    tools: int
    resolves: int
    unpriced: int
    """1 if the cost is unknown in whole or in part."""
    nusd: int | None
    saved: int | None
    tokens: Tokens | None
    units: str | None
    ms: int | None
    stop: str | None
    conversation: str | None
    run: bytes | str | None
    trace: bytes | None
    span: bytes | None
    prints: Fingerprints | None
    root: bytes | str | None = None
    """The outermost run; None if that is `run`."""


class Event(NamedTuple):
    """Something that happened and is no call."""

    at: float
    kind: EventKind
    what: str
    agent: str
    nusd: int | None
    trace: bytes | None


def row_of(at: float, call: Settled, body: Any, book: str) -> Row:
    """Return the row of a call.

    Args:
        at: The time of the settlement, in seconds since the epoch.
        call: The call.
        body: The body of its request; None if there is none.
        book: The source and the date of the price book.
    """
    cost, answer, unpriced = call.cost, call.answer, call.cost.unpriced
    operation, provider, requested, served = call.names
    given = (*(call.call.terms if call.call is not None else ()), *(answer.terms if answer is not None else ()))
    who = call.who
    dims = (
        provider,
        requested or "",
        served or "",
        operation,
        cost.price or "",
        book if cost.price is not None else "",
        ",".join(f"{name}={value}" for name, value in sorted(dict(given).items())) if given else "",
        _source(call),
        unpriced or "",
        call.error or "",
        *(who.get(name, "") for name in _WHO),
        call.tool or "",
    )
    return Row(
        at=at,
        dims=tuple(map(_text, dims)),
        calls=call.calls,
        tools=int(call.tool is not None),
        resolves=call.resolves,
        unpriced=int(unpriced is not None),
        nusd=money.to_nano(cost.usd) if cost.usd is not None else None,
        saved=money.to_nano(cost.cache_savings_usd) if cost.cache_savings_usd else None,
        tokens=call.tokens,
        units=_units(answer, body),
        ms=round(call.seconds * 1000) if call.seconds is not None else None,
        stop=",".join(answer.finish_reasons)[:_LONGEST] or None if answer is not None else None,
        conversation=_text(who[semconv.CONVERSATION]) if semconv.CONVERSATION in who else None,
        run=_id(call.run),
        trace=call.trace_id.to_bytes(16, "big") if call.trace_id else None,
        span=call.span_id.to_bytes(8, "big") if call.span_id else None,
        prints=_prints(call, body, operation),
        root=_id(call.root) if call.root != call.run else None,
    )


def event_of(at: float, kind: EventKind, what: str, agent: str | None, usd: Decimal | None, trace_id: int) -> Event:
    """Return the row of an event. The arguments are those of `Receiver.event`."""
    nusd = money.to_nano(usd) if usd is not None else None
    return Event(at, kind, _text(what), _text(agent or ""), nusd, trace_id.to_bytes(16, "big") if trace_id else None)


def _prints(call: Settled, body: Any, operation: str) -> Fingerprints | None:
    if call.tool is not None:
        return fingerprints.of_tool(call.tool, call.arguments) if call.arguments is not None else None
    return fingerprints.of(body, operation) if body is not None else None


def sums_of(row: Row) -> tuple[int, ...]:
    """Return what a row adds to `schema.SUMS`."""
    tokens = row.tokens or NO_TOKENS
    return (
        row.calls,
        row.tools,
        int(row.nusd is not None),
        row.unpriced - row.resolves,
        row.nusd or 0,
        tokens.input,
        tokens.cache_read,
        tokens.cache_write,
        tokens.output,
        tokens.reasoning,
        row.saved or 0,
    )


def digest_of(dims: Dims) -> bytes:
    """Return the digest of values by which they are found. A name can have the character that parts them."""
    joined = "\0".join(dims)
    written = joined if joined.count("\0") == len(dims) - 1 else repr(dims)
    return blake2b(written.encode(), digest_size=12).digest()


def counts_of(tokens: Tokens, units: str | None) -> dict[str, int | Decimal]:
    """Return the disjoint counts of a row by kind, as they were when it was written. Other models' are not in it."""
    if units is not None:
        return {kind: _count(value) for kind, value in json.loads(units)["units"].items()}
    fresh = tokens.input - tokens.cache_read - tokens.cache_write
    counts = {
        "input_tokens": fresh,
        "cache_read_tokens": tokens.cache_read,
        "cache_write_tokens": tokens.cache_write,
        "output_tokens": tokens.output - tokens.reasoning,
        "output_reasoning_tokens": tokens.reasoning,
    }
    return {kind: count for kind, count in counts.items() if count}


def _source(call: Settled) -> str:
    """Return where the dollars come from: a list of prices, the provider, or estimated tokens at a list's prices."""
    if call.cost.usd is None:
        return ""
    if call.cost.source == "provider":
        return "provider"
    answer = call.answer
    estimated = answer is not None and answer.usage is not None and answer.usage.estimated
    return "estimated" if estimated else "list"


def _units(answer: Answer | None, body: Any = None) -> str | None:
    """Return the counts of a call as JSON, with those of other models within it, and with what its prompt says to
    prompt caches; None if its sums say it all.
    """
    if answer is None or answer.usage is None:
        return None
    marks = prompt_marks.of(body)
    if not answer.extra and answer.usage.counts.keys() <= _SIMPLE and marks is None:
        return None
    written: dict[str, object] = {"units": _plain(answer.usage)}
    if marks is not None:
        written["marks"] = [*marks]
    if answer.extra:
        written["extra"] = [[each.model, _plain(each.usage), dict(each.terms)] for each in answer.extra]
    return json.dumps(written, separators=(",", ":"))


def _plain(usage: Usage) -> Mapping[str, int | str]:
    return {kind: count if isinstance(count, int) else str(count) for kind, count in usage.counts.items()}


def _count(value: int | str) -> int | Decimal:
    return value if isinstance(value, int) else Decimal(value)


def _id(value: str | None) -> bytes | str | None:
    """Return the id of a run: in half the bytes, if it is hexadecimal."""
    if value is None or len(value) % 2:
        return value
    try:
        return bytes.fromhex(value) if bytes.fromhex(value).hex() == value else value
    except ValueError:
        return value


@lru_cache(maxsize=10_000)
def _text(text: str) -> str:
    """Return a text as a database can hold it: short, and without halves of surrogate pairs."""
    if len(text) <= _LONGEST and text.isascii():
        return text
    return text[:_LONGEST].encode("utf-8", "replace").decode("utf-8")
