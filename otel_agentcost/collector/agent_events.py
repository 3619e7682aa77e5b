"""The statements that turn the events of coding agents (log records) into priced model calls.

An event is normalized to the attributes of the GenAI conventions, and then priced by the statements for spans, with
paths of log records instead. Dollars that the agent computed are used as they are; without them, the price book
applies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import Any, Final, cast

from otel_agentcost.collector import transform
from otel_agentcost.collector.agents_table import (
    AGENTS,
    COST_USD,
    DURATION_MS,
    EVENT_NAME,
    MODEL,
    PROVIDER,
    USERS,
    CodingAgent,
    by_metrics,
)
from otel_agentcost.collector.metrics import call_metrics
from otel_agentcost.collector.ottl import (
    BASIS,
    COST,
    NIL,
    SAID,
    UNPRICED,
    attribute,
    cache,
    drop,
    matches,
    put,
    scratch,
    text,
)
from otel_agentcost.collector.tables import ANY, tables
from otel_agentcost.core import semconv
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.telemetry import signals

PROVIDERS: Final = ("anthropic", "google", "openai", "deepseek", "github-copilot", "groq", "mistral", "x-ai", ANY)
"""The providers whose prices the file has: those of agents that send no dollars, and usual ones of opencode."""

_MAX_TOKENS = "1000000000000000.0"
_BAD = cache("bad count")
_FOUND = scratch("coding agent")
"""Set on the events that the first blocks found: other records have the conventions' attributes, too."""
_NAME = attribute(EVENT_NAME)
_DURATION = attribute(DURATION_MS)
_COST_USD = attribute(COST_USD)
_WHOSE = (semconv.TEAM, semconv.TENANT, semconv.FEATURE)


def event_blocks(book: PriceBook) -> list[transform.Block]:
    """Return the blocks of `log_statements`."""
    at = datetime.fromisoformat(book.book.date).replace(tzinfo=timezone.utc).timestamp()
    own = book.finder.overrides.providers
    listed = {name: table for name, table in tables(book, at).items() if name in PROVIDERS or name in own}
    fresh = f"{_FOUND}{SAID} and {BASIS}{NIL}"
    blocks = [(is_event(agent), list(_normalize(agent))) for agent in AGENTS]
    blocks += transform.pricing_blocks(book, listed, fresh)
    return [(for_logs(condition), [for_logs(one) for one in statements]) for condition, statements in blocks]


def is_event(agent: CodingAgent) -> str:
    """Return the condition that a record is the event of a model call, and that the agent's events are counted.

    Newer versions of Claude Code have the event's name in a field of the record, older ones in its body.
    """
    whole = agent.event.replace(")?", ")")  # with the agent's prefix, the name alone identifies the agent
    plain = f"({agent.sent()} and {matches(_NAME, agent.event)})"
    fields = " or ".join(matches(path, whole) for path in ("log.event_name", "log.body", _NAME))
    further = f" and {agent.event_is}" if agent.event_is else ""
    return for_logs(f"({plain} or {fields}){further} and not {by_metrics(agent.name)}")


def event_metrics() -> list[dict[str, Any]]:
    """Return the metrics that the connector derives from the events: those that it derives from spans."""
    made: list[dict[str, Any]] = [_translated(metric) for metric in call_metrics()]
    for metric in made:
        if metric["name"] == signals.DURATION.name:
            duration = for_logs(_DURATION)
            metric["conditions"] = [f"{one} and {duration}{SAID}" for one in metric["conditions"]]
            metric["histogram"] = {**metric["histogram"], "value": f"Double({duration}) / 1000.0"}
    return made


def for_logs(statement: str) -> str:
    """Translate a statement or condition for spans into one for log records."""
    statement = re.sub(r'(?<![\w."])span\.', "log.", statement).replace("log.start_time", "log.time")
    statement = statement.replace("log.status.code == STATUS_CODE_ERROR", "false")
    return statement.replace("the span", "the event")


def _translated(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _translated(inner) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_translated(inner) for inner in cast("Iterable[Any]", value)]
    return for_logs(value) if isinstance(value, str) else value


def _normalize(agent: CodingAgent) -> Iterator[str]:
    """Yield the statements that write the data of an event under the conventions' names."""
    yield put(_FOUND, "true")
    yield put(attribute(semconv.OPERATION), text(semconv.CHAT))
    yield put(attribute(semconv.AGENT), text(agent.name))
    model, provider = attribute(MODEL), attribute(semconv.PROVIDER)
    yield put(attribute(semconv.REQUEST_MODEL), model, f"IsString({model})")
    if agent.provider:
        yield put(provider, text(agent.provider))
    else:
        yield put(provider, attribute(PROVIDER), provider + NIL, f"IsString({attribute(PROVIDER)})")
    for name in USERS:
        found = attribute(name)
        yield put(attribute(semconv.USER), found, f"IsString({found})", f'{found} != ""')
    for name in _WHOSE:
        found = f"resource.attributes[{text(name)}]"
        yield put(attribute(name), found, attribute(name) + NIL, found + SAID)
    # Some loggers set only the time of observation. The price depends on the time.
    yield put("log.time_unix_nano", "log.observed_time_unix_nano", "log.time_unix_nano == 0")
    yield from _seconds()
    yield from _tokens(agent)
    dollars = cache("dollars")
    yield put(dollars, f"Double({_COST_USD})", f"(IsInt({_COST_USD}) or IsDouble({_COST_USD}))")
    number = matches(_COST_USD, "^[0-9]+([.][0-9]+)?([eE]-?[0-9]{1,2})?$")
    yield put(dollars, f"Double({_COST_USD})", f"IsString({_COST_USD})", number)
    yield put(COST, dollars, dollars + SAID, f"{dollars} > 0.0", f"{dollars} < 1000000.0")
    malformed = text("the event's token counts are malformed")
    yield put(UNPRICED, malformed, _BAD + SAID, COST + NIL)


def _seconds() -> Iterator[str]:
    """Drop a duration that is no number: a metric of it would fail."""
    number = f"(IsInt({_DURATION}) or IsDouble({_DURATION}) or {matches(_DURATION, '^[0-9]{1,12}([.][0-9]+)?$')})"
    yield drop(_DURATION, _DURATION + SAID, f"not {number}")


def _tokens(agent: CodingAgent) -> Iterator[str]:
    """Write the counts: input including cached tokens, output including reasoning tokens."""
    tokens = agent.tokens
    names = {
        "i": tokens.input, "o": tokens.output, "r": tokens.cache_read, "w": tokens.cache_write,
        "e": tokens.reasoning, "t": tokens.tool_prompt,
    }  # fmt: skip
    for short, name in names.items():
        number, given = cache(short), attribute(name)
        yield put(number, "0.0")
        if name:
            yield put(number, "-1.0", given + SAID)
            yield put(number, f"Double({given})", f"(IsInt({given}) or IsDouble({given}))")
            yield put(number, f"Double({given})", f"IsString({given})", matches(given, "^[0-9]{1,15}$"))
            right = f"{number} >= 0.0 and {number} <= {_MAX_TOKENS} and Double(Int({number})) == {number}"
            yield put(_BAD, "true", f"not ({right})")
    i, o, r, w, e, t = (cache(short) for short in names)
    total_input = f"{i} + {t}" + ("" if tokens.cached_in_input else f" + {r} + {w}")
    total_output = o if tokens.reasoning_in_output else f"{o} + {e}"
    counts = (
        (semconv.INPUT_TOKENS, total_input, tokens.input), (semconv.OUTPUT_TOKENS, total_output, tokens.output),
        (semconv.CACHE_READ_TOKENS, r, tokens.cache_read), (semconv.CACHE_WRITE_TOKENS, w, tokens.cache_write),
        (semconv.REASONING_TOKENS, e, tokens.reasoning),
    )  # fmt: skip
    for to, value, name in counts:
        if name:
            yield put(attribute(to), f"Int({value})", attribute(name) + SAID, _BAD + NIL)
