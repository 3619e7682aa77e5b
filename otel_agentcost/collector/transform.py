"""The statements with which a Collector prices spans of all languages, as `integrations.spans` does in an application.

A span is priced in one pass: `normalize` it, identify its provider (`identify_provider`), `look_up` the price, compute
the cost (`compute_cost`). A name that is not in the tables may be listed in another spelling (without a prefix, with
dashes in its date, as it was requested): a second pass, for such spans only, looks it up. A span that has a cost, or a
reason for none, is not changed: the application knows more of its call than a Collector does.

Within a pass, values are kept in the span's cache, which OTTL searches linearly: frequent keys are added first.
"""

from __future__ import annotations

from collections.abc import Mapping

from otel_agentcost.collector.arithmetic import compute_cost
from otel_agentcost.collector.model_lookup import look_up
from otel_agentcost.collector.normalize import normalize
from otel_agentcost.collector.ottl import (
    AGAIN,
    BASIS,
    COST,
    IGNORED_SCOPES,
    NIL,
    OURS,
    PRICED_FRAMEWORKS,
    SAID,
    UNPRICED,
    attribute,
    in_environment,
    matches,
    put,
    text,
)
from otel_agentcost.collector.provider_lookup import choose_names, identify_provider, use_second_name
from otel_agentcost.collector.tables import Table
from otel_agentcost.collector.uplifts import uplift
from otel_agentcost.core import aliases, semconv
from otel_agentcost.pricebook import PriceBook

Block = tuple[str, list[str]]
"""A condition on spans, and the statements for the spans that meet it."""


def blocks(book: PriceBook, tables: Mapping[str, Table]) -> list[Block]:
    """Return all statements.

    Args:
        book: The price book.
        tables: Its tables, by provider.
    """
    upstream = [put(BASIS, text("upstream"))]
    first, again = statements(book, tables)
    here = f'{BASIS}{SAID} and ({OURS} or {BASIS} == "unpriced")'
    counted_elsewhere = [put(attribute(semconv.WATCHED), "true")]
    return [
        (here, upstream),
        (_is_of_vendor(), counted_elsewhere),
        (_is_call(), first),
        (unfinished(), again),
    ]


def statements(book: PriceBook, tables: Mapping[str, Table]) -> tuple[list[str], list[str]]:
    """Return the statements of the first pass and those of the second, which runs for calls that are `unfinished`.

    Args:
        book: The price book.
        tables: The tables to search, by provider.
    """
    price = [*look_up(tables), *uplift(book), *compute_cost()]
    first = [*normalize(), *identify_provider(book), *choose_names(), *price]
    return first, [*use_second_name(), *price]


def unfinished() -> str:
    """Return the condition that the first pass found no price, and that there is a second name to look up."""
    return f"{AGAIN}{SAID} and {OURS} and {COST}{NIL} and {UNPRICED}{NIL}"


def _is_of_vendor() -> str:
    """Return the condition that a provider's server sent the span of a call that the application counts itself.

    The scope decides: the two spans come in different batches, in any order, perhaps to different Collectors.
    """
    scopes = " or ".join(f"instrumentation_scope.name == {text(scope)}" for scope in aliases.VENDOR_SCOPES)
    return f"({scopes}) and {attribute(semconv.OPERATION)}{SAID} and not {in_environment(PRICED_FRAMEWORKS)}"


def _is_call() -> str:
    """Return the condition that a span is a model call without a cost. It is cheap for other spans."""
    operation, kind = attribute(semconv.OPERATION), attribute(aliases.SPAN_KIND)
    older, vercel = attribute(aliases.REQUEST_TYPE), attribute(aliases.VERCEL_OPERATION)
    named = f"({matches(operation, aliases.CALLS)} or {operation}{NIL} and ("
    named += f"{matches(older, aliases.CALLS)} or {matches(kind, aliases.CALL_KINDS)}"
    named += f" or {matches(vercel, aliases.VERCEL_CALLS)}))"
    says = " or ".join(f"{path}{SAID}" for path in (operation, kind, older, vercel))
    fresh = " and ".join(path + NIL for path in (COST, UNPRICED, BASIS, attribute(semconv.WATCHED)))
    return f"({says}) and {named} and {fresh} and not {in_environment(IGNORED_SCOPES)}"
