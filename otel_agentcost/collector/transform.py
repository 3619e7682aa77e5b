"""The statements that price spans in a Collector: what `foreign.py` does in an application, for every language.

A span is priced in one pass: `read` what it says under whatever names, and write it under the conventions'; find out
whose prices apply (`seller`); `search` the tables; do the arithmetic (`finish`). A name that is not found may stand
there in another way (without a prefix, with its date spelt out, as it was asked for): that is a second pass, for such
spans only. A span that has dollars, or a reason for none, is left as it is: what an application knows of its own call
is never written over.

Within a pass, values are kept in the span's cache, which is searched from its beginning: what is asked for most often
is put there first.
"""

from __future__ import annotations

from collections.abc import Mapping

from otel_agentcost.collector.arithmetic import finish
from otel_agentcost.collector.model_lookup import search
from otel_agentcost.collector.normalize import read
from otel_agentcost.collector.ottl import (
    AGAIN,
    BASIS,
    COST,
    IGNORED_SCOPES,
    NIL,
    OURS,
    SAID,
    UNPRICED,
    attribute,
    in_environment,
    matches,
    put,
    text,
)
from otel_agentcost.collector.provider_lookup import candidates, seller, taken
from otel_agentcost.collector.tables import Table
from otel_agentcost.core import aliases, semconv
from otel_agentcost.pricebook import PriceBook

Block = tuple[str, list[str]]
"""Which spans, and what is done with them."""


def blocks(book: PriceBook, found: Mapping[str, Table]) -> list[Block]:
    """All statements, for the prices in `found`, the tables of `book`."""
    upstream = [put(BASIS, text("upstream"))]
    price = [*search(found), *finish()]
    first = [*read(), *seller(book), *candidates(), *price]
    again = [*taken(), *price]
    here = f'{BASIS}{SAID} and ({OURS} or {BASIS} == "unpriced")'
    return [(here, upstream), (_is_call(), first), (_unfinished(), again)]


def _unfinished() -> str:
    return f"{AGAIN}{SAID} and {OURS} and {COST}{NIL} and {UNPRICED}{NIL}"


def _is_call() -> str:
    """Which spans are model calls that nobody has priced. Cheap for all others: most spans are none."""
    operation, kind = attribute(semconv.OPERATION), attribute(aliases.SPAN_KIND)
    older, vercel = attribute(aliases.REQUEST_TYPE), attribute(aliases.VERCEL_OPERATION)
    named = f"({matches(operation, aliases.CALLS)} or {operation}{NIL} and ("
    named += f"{matches(older, aliases.CALLS)} or {matches(kind, aliases.CALL_KINDS)}"
    named += f" or {matches(vercel, '[.]do(Generate|Stream|Embed)$')}))"
    says = " or ".join(f"{path}{SAID}" for path in (operation, kind, older, vercel))
    fresh = " and ".join(path + NIL for path in (COST, UNPRICED, BASIS, attribute(semconv.WATCHED)))
    return f"({says}) and {named} and {fresh} and not {in_environment(IGNORED_SCOPES)}"
