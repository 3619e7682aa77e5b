"""Use what the provider itself says of money, if a span has it: in the proposed attributes, or in its usage object.

The rules are those of `calls.reported_costs`, as far as a span allows: a cost of 0 is not believed, and a field of the
usage object counts at its own hosts only. Tools in the usage object that are not known to be free are named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from otel_agentcost.collector.ottl import (
    COST,
    FRAMEWORK,
    NIL,
    SAID,
    UNPRICED,
    attribute,
    cache,
    drop,
    matches,
    put,
    text,
)
from otel_agentcost.core import aliases, semconv
from otel_agentcost.core.reported_costs import ROWS
from otel_agentcost.core.tool_counters import COUNTERS, FREE_COUNTERS

_MAX_USD: Final = "1000000.0"
_USAGE: Final = tuple(row for row in ROWS if row.name.startswith("usage.") and not row.header)


def reported_costs() -> Iterator[str]:
    """Yield the statements that set the cost that the provider reported, and name the tools that it counts."""
    amount, source, currency = (attribute(n) for n in (semconv.COST_AMOUNT, semconv.COST_SOURCE, semconv.COST_CURRENCY))
    dollars = f'({currency}{NIL} or {currency} == "USD")'
    said = (
        FRAMEWORK + NIL,
        f'{source} == "provider"',
        f"(IsDouble({amount}) or IsInt({amount}))",
        dollars,
        f"Double({amount}) > 0.0",
        f"Double({amount}) < {_MAX_USD}",
    )
    yield put(COST, f"Double({amount})", *said)
    yield from _of_usage(amount, source, currency)
    yield drop(UNPRICED, COST + SAID)


def _of_usage(amount: str, source: str, currency: str) -> Iterator[str]:
    """Read the cost in the provider's usage object (`gen_ai.usage.raw`, JSON)."""
    bill, usage, server = cache("bill"), attribute(aliases.RAW_USAGE), attribute(semconv.SERVER_ADDRESS)
    names = "|".join(sorted({row.name.split(".")[1] for row in _USAGE}))
    yield put(bill, f"ParseJSON({usage})", FRAMEWORK + NIL, COST + NIL, matches(usage, f'^[{{].*"({names})".*[}}]$'))
    found = cache("billed")
    for row in _USAGE:
        first, *rest = row.name.split(".")[1:]
        value = f"{bill}[{text(first)}]"
        given = [bill + SAID, found + NIL]
        if rest:
            given.append(f"IsMap({value})")
            value += "".join(f"[{text(name)}]" for name in rest)
        hosts = "|".join(host.replace(".", "[.]") for host in row.hosts)
        usd = f"Double({value}) * {row.unit:f}" if row.unit != 1 else f"Double({value})"
        own_key = f'({bill}["is_byok"]{NIL} or {bill}["is_byok"] == false)'
        within = (f"{found} > 0.0", f"{found} < {_MAX_USD}")
        yield put(found, usd, *given, f"IsDouble({value})", own_key, matches(server, f"(^|[.])({hosts})$"))
        yield drop(found, found + SAID, f"not ({' and '.join(within)})")
    yield put(COST, found, found + SAID)
    yield put(amount, found, found + SAID)
    yield put(source, text("provider"), found + SAID)
    yield put(currency, text("USD"), found + SAID)


def tools() -> Iterator[str]:
    """Yield the statements that name tools of the usage object whose counters are neither zero nor free. Spans have no
    prices of tools.
    """
    usage, counted = attribute(aliases.RAW_USAGE), cache("tools")
    fields = "|".join(COUNTERS)
    yield put(counted, usage, COST + NIL, matches(usage, f'"({fields})": *[{{]'))
    free = "|".join(re.escape(name) for name in sorted(FREE_COUNTERS))
    pattern = text(f'"({free})": *[0-9]+')
    yield f"replace_pattern({counted}, {pattern}, {text('')}) where {counted}{SAID}"
    for field in COUNTERS:
        reason = text(f"the price of the tools in {field} is not known")
        yield put(cache("gap"), reason, counted + SAID, matches(counted, f'"{field}": *[{{][^}}]*[1-9]'))
