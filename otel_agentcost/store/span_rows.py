"""Rows of the store from spans, as any backend has them: which spans are counted calls, and what each adds to a sum.

The spans are those of this package, those of other instrumentations that it has priced, and those that a Collector has
priced. A model call without a price counts as unpriced: its dollars are not known, and not zero.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple, cast

from otel_agentcost.core import aliases, money, semconv
from otel_agentcost.core.usage import Tokens
from otel_agentcost.store.questions import DIMS, Sums, UnclearQuestion
from otel_agentcost.store.rows import Event, Row

ABSENT: Final = ("book", "terms", "run", "nested_run")
"""Groupings that spans do not have."""

CALLS: Final = (semconv.CHAT, semconv.TEXT_COMPLETION, semconv.GENERATE_CONTENT, semconv.EMBEDDINGS)
"""Operations of model calls that count even without a price."""

OWN: Final = "otel_agentcost"
"""What the scopes of this package's spans, and the names of its exceptions, begin with."""

NOT_PRICED: Final = "neither the application nor a Collector has priced it"
NO_AMOUNT: Final = "its dollars are no amount"

TOOL_KINDS: Final = ((aliases.SPAN_KIND, "TOOL"), (aliases.ENTITY_KIND, "tool"))
"""Attributes that mark tool calls of other instrumentations, and their values."""

Attribute = str | int | float | bool | list[str] | None


class SpanRow(NamedTuple):
    """The figures of one span, and what they are grouped by."""

    keys: Mapping[str, str]
    """The values of the groupings, without those of time."""
    sums: Sums


def check(by: Sequence[str], session: str | None) -> None:
    """Raise `UnclearQuestion` if spans cannot answer a question by these groupings, or for one `agentcost run`."""
    wanted = [name for name in by if name in ABSENT]
    if session is not None:
        wanted.append("session")
    if wanted:
        raise UnclearQuestion(
            f"Spans do not say the {' or the '.join(wanted)} of a call: leave it out, or ask the store of "
            "OTEL_AGENTCOST_RECORD."
        )


def row_of(span: Mapping[str, Attribute], scope: str, trace: str, link: str) -> SpanRow | None:
    """Return what a span adds; None if it is no call, or if another span stands for the call.

    Args:
        span: The attributes.
        scope: The name of its instrumentation scope.
        trace: The trace id, in hexadecimal digits.
        link: The trace id of its first link; empty without one.
    """
    if not _is_counted(span, scope):
        return None
    tool = _tool_of(span)
    nusd, unpriced = _cost_of(span, scope)
    calls = 0 if tool else _number(span, semconv.CALLS, 1)
    later = not calls and not tool and semconv.BATCH_LINES not in span
    keys = {name: _text(span, attribute) for name, attribute in WHO.items()}
    keys |= {name: "" if tool else _text(span, attribute) for name, attribute in MODEL.items()}
    keys |= {
        "operation": semconv.EXECUTE_TOOL if tool else _text(span, semconv.OPERATION),
        "model": "" if tool else _text(span, semconv.RESPONSE_MODEL) or _text(span, semconv.REQUEST_MODEL),
        "tool": tool,
        "price": _text(span, semconv.PRICE),
        "source": _source_of(span) if nusd is not None else "",
        "unpriced": unpriced,
        "error": _text(span, semconv.ERROR_TYPE),
        "trace": link if later and link else trace,
    }
    savings = _amount(span.get(semconv.CACHE_SAVINGS))
    sums = Sums(
        calls=calls,
        tools=int(bool(tool)),
        priced=int(nusd is not None),
        unpriced=int(bool(unpriced)) - _number(span, semconv.RESOLVES, 0),
        nusd=nusd or 0,
        saved=money.to_nano(savings) if savings else 0,
        **{name: 0 if tool else _number(span, attribute, 0) for name, attribute in TOKENS.items()},
    )
    return SpanRow(keys, sums)


def call_of(row: SpanRow, at: float, span_id: str, seconds: float | None, span: Mapping[str, Attribute]) -> Row:
    """Return the row of the store for a span.

    Args:
        row: Its figures.
        at: The time of its end, in seconds since the epoch.
        span_id: Its id, in hexadecimal digits.
        seconds: Its duration; None if it is not known.
        span: Attributes: the finish reasons (as a list, or as a text in JSON), the tier, the calls that it resolves.
    """
    keys, sums = row
    tier = _text(span, semconv.OPENAI_RESPONSE_TIER)
    terms = ["processing=batch"] if semconv.BATCH_LINES in span else []
    terms += [f"service_tier={tier}"] if tier in TIERS else []
    dims = {**dict.fromkeys(DIMS, ""), **keys, "terms": ",".join(terms)}
    tokens = Tokens(sums.input, sums.output, sums.cache_read, sums.cache_write, sums.reasoning)
    return Row(
        at=at,
        dims=tuple(dims[name] for name in DIMS),
        calls=sums.calls,
        tools=sums.tools,
        resolves=_number(span, semconv.RESOLVES, 0),
        unpriced=int(bool(keys["unpriced"])),
        nusd=sums.nusd if sums.priced else None,
        saved=sums.saved or None,
        tokens=tokens if tokens.input or tokens.output else None,
        units=None,
        ms=round(seconds * 1000) if seconds is not None else None,
        stop=_joined(span.get(semconv.FINISH_REASONS)) or None,
        conversation=keys["conversation"] or None,
        run=None,
        trace=_bytes(keys["trace"]),
        span=_bytes(span_id),
        prints=None,
    )


def loop_of(at: float, attributes: Mapping[str, Attribute]) -> Event:
    """Return the row of a loop that a span has an event of."""
    wasted = _amount(attributes.get(semconv.LOOP_WASTED))
    what = f"{_text(attributes, semconv.LOOP_RULE)}, {_text(attributes, semconv.LOOP_REPEATS)} times"
    return Event(at, "loop", what, "", money.to_nano(wasted) if wasted is not None else None, None)


def _joined(value: object) -> str:
    """Return finish reasons as the store has them."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return ""
    return ",".join(map(str, cast("list[object]", value))) if isinstance(value, (list, tuple)) else str(value or "")


def _bytes(written: str) -> bytes | None:
    try:
        return bytes.fromhex(written) or None
    except ValueError:
        return None


TIERS: Final = frozenset({"flex", "priority", "scale"})
"""Service tiers of OpenAI that are terms of a price. Others are standard."""

WHO: Final = {
    "agent": semconv.AGENT,
    "user": semconv.USER,
    "tenant": semconv.TENANT,
    "team": semconv.TEAM,
    "feature": semconv.FEATURE,
    "conversation": semconv.CONVERSATION,
}
MODEL: Final = {
    "provider": semconv.PROVIDER,
    "requested": semconv.REQUEST_MODEL,
    "served": semconv.RESPONSE_MODEL,
}
TOKENS: Final = {
    "input": semconv.INPUT_TOKENS,
    "cache_read": semconv.CACHE_READ_TOKENS,
    "cache_write": semconv.CACHE_WRITE_TOKENS,
    "output": semconv.OUTPUT_TOKENS,
    "reasoning": semconv.REASONING_TOKENS,
}


def _is_counted(span: Mapping[str, Attribute], scope: str) -> bool:
    operation = span.get(semconv.OPERATION)
    if semconv.CHARGED_UPSTREAM in span or semconv.DUPLICATE in span or operation in semconv.AGENT_OPERATIONS:
        return False
    if _tool_of(span) or semconv.COST in span or semconv.UNPRICED in span or semconv.CALLS in span:
        return True
    error = _text(span, semconv.ERROR_TYPE)
    if scope.startswith(OWN):
        return operation is not None and bool(error) and not error.startswith(f"{OWN}.")  # not if it was refused
    return operation in CALLS and semconv.WATCHED not in span


def _tool_of(span: Mapping[str, Attribute]) -> str:
    """Return the name of the tool that a span is a call of; empty for any other span."""
    is_tool = span.get(semconv.OPERATION) == semconv.EXECUTE_TOOL
    if not is_tool and not any(span.get(kind) == value for kind, value in TOOL_KINDS):
        return ""
    return next((text for text in (_text(span, name) for name in aliases.TOOL_NAME) if text), "(no name)")


def _cost_of(span: Mapping[str, Attribute], scope: str) -> tuple[int | None, str]:
    """Return billionths of a dollar, and the reason if they are not known, or not all."""
    unpriced = _text(span, semconv.UNPRICED)
    if semconv.COST in span:
        usd = _amount(span[semconv.COST])
        return (None, unpriced or NO_AMOUNT) if usd is None else (money.to_nano(usd), unpriced)
    fails = semconv.ERROR_TYPE in span or semconv.CALLS in span
    if unpriced or fails or scope.startswith(OWN) or _tool_of(span):
        return None, unpriced
    return None, NOT_PRICED


def _source_of(span: Mapping[str, Attribute]) -> str:
    if span.get(semconv.COST_SOURCE) == "provider":
        return "provider"
    return "estimated" if span.get(semconv.ESTIMATED) in (True, "true") else "list"


def _amount(value: Attribute) -> Decimal | None:
    amount = money.from_number(value)
    return amount if amount is not None and amount < money.MOST else None


def _number(span: Mapping[str, Attribute], name: str, default: int) -> int:
    value = span.get(name)
    if isinstance(value, bool | list) or value is None:
        return default
    try:
        return int(value)
    except (ValueError, OverflowError):
        return default


def _text(span: Mapping[str, Attribute], name: str) -> str:
    value = span.get(name)
    return "" if value is None else str(value)
