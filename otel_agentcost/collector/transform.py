"""The statements with which a Collector prices spans of all languages, as `integrations.spans` does in an application.

Most spans are priced by one block: `normalize` them, identify the provider (`identify_listed`), `look_up` the price,
compute the cost (`compute_cost`). OTTL has no jumps: a block evaluates all its statements, but a block whose condition
does not hold costs one look-up. So what few spans need is in blocks of its own: patterns of addresses and names
(`identify_provider`), patterns of models, and a second name in another spelling (without a prefix, with dashes in its
date, as it was requested). A span that has a cost, or a reason for none, is not changed: the application knows more of
its call than a Collector does.

Within a block, values are kept in the span's cache, which OTTL searches linearly: frequent keys are added first. From
one block to the next, an attribute carries the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from otel_agentcost.collector.arithmetic import compute_cost
from otel_agentcost.collector.model_lookup import look_up, look_up_by_rules, served
from otel_agentcost.collector.normalize import normalize
from otel_agentcost.collector.ottl import (
    BASIS,
    CACHE,
    COST,
    IGNORED_SCOPES,
    MORE,
    NIL,
    OURS,
    PRICED_FRAMEWORKS,
    SAID,
    STATE,
    UNPRICED,
    attribute,
    cache,
    drop,
    in_environment,
    matches,
    put,
    text,
)
from otel_agentcost.collector.provider_lookup import (
    SECOND,
    choose_names,
    identify_listed,
    identify_provider,
    read_provider,
    use_second_name,
)
from otel_agentcost.collector.reported_costs import tools
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
    upstream = put(BASIS, text("upstream"), f'({OURS} or {BASIS} == "unpriced")')
    counted_elsewhere = put(attribute(semconv.WATCHED), "true", _is_of_vendor())
    counted = (f"{BASIS}{SAID} or {_is_of_vendor()}", [upstream, counted_elsewhere])
    return [counted, *pricing_blocks(book, tables, _is_call())]


def pricing_blocks(book: PriceBook, tables: Mapping[str, Table], condition: str) -> list[Block]:
    """Return the blocks that price spans.

    Args:
        book: The price book.
        tables: The tables to search, by provider.
        condition: The condition on spans to be priced.
    """
    row = cache("row")
    price = [*served(), *uplift(book), *compute_cost()]
    more = [put(MORE, "true", row + NIL, COST + NIL, UNPRICED + NIL), drop(cache("gap"), MORE + SAID)]
    empty = put(CACHE, "{}")  # what is written next is found first
    first = [
        *normalize(),
        *read_provider(),
        empty,
        put(cache("pay"), "false"),
        *_texts("p", "m"),
        *tools(),
        *identify_listed(book),
    ]
    first += [*look_up(tables), *more, *price]
    keep, go_on = put(STATE, CACHE), put(CACHE, STATE)
    numbers = [put(cache(key), "0") for key in ("rules", "guess")]
    identify = [*numbers, *_texts("p", "m", "rule"), drop(MORE), *tools(), *identify_provider(book), *choose_names()]
    identify += [*look_up(tables), keep]
    by_rules = [
        go_on,
        *look_up_by_rules(tables),
        *use_second_name(),
        *look_up(tables, SECOND + SAID, dated=False),
        keep,
    ]
    second = [go_on, *look_up_by_rules(tables), keep]
    unfinished = f"{STATE}{SAID} and {OURS}"  # no sender's attribute of that name does anything
    not_found = f'{unfinished} and {STATE}["row"]{NIL}'
    return [
        (condition, first),
        (f"{MORE}{SAID} and {OURS}", identify),
        (not_found, by_rules),
        (f'{not_found} and {STATE}["second name"]{SAID}', second),
        (unfinished, [go_on, drop(STATE), *price]),
    ]


def _texts(*keys: str) -> Iterator[str]:
    """Yield the statements that initialize texts."""
    yield from (put(cache(key), text("")) for key in keys)


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
