"""Apply uplifts: the factor on the price of tokens at the address that served a call (`pricebook.uplifts`).

The notes of a line name the rows that concern its model: `u0` is the first uplift of the provider. The cache key `per`
holds the dollars that a rate of 1 is for one token.
"""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost.collector.ottl import NIL, SAID, UNPRICED, cache, condition, matches, put, text
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.pricebook.uplifts import known_uplifts

PER_TOKEN = cache("per")


def uplift(book: PriceBook) -> Iterator[str]:
    """Yield the statements that set the dollars for one token, or the reason why there is no price.

    Args:
        book: The price book, whose user's price file can have uplifts.
    """
    p, row, url, known = cache("p"), cache("row"), cache("url"), cache("uplift")
    for provider in dict.fromkeys((*book.finder.overrides.providers, *known_uplifts())):
        for number, one in enumerate(book.uplifts_of(provider)):
            hosts = [rule for address in one.addresses if (rule := _host(address)) is not None]
            if not hosts or one.when:
                continue
            there = " or ".join(condition({"wild": host}, url) for host in hosts)
            since = [] if one.start is None else [f"{cache('when')} >= {one.start:.0f}"]
            noted = matches(f"{row}[3]", f"u{number}([^0-9]|$)")
            on = (f"{p} == {text(provider)}", row + SAID, url + SAID, known + NIL, noted, *since, f"({there})")
            yield put(known, "0.0" if one.factor is None else str(float(one.factor)), *on)
    differs = text("the price at the address of the call differs from the standard price and is not known")
    yield put(UNPRICED, differs, f"{known} == 0.0", UNPRICED + NIL)
    yield put(PER_TOKEN, "0.000001")
    yield put(PER_TOKEN, f"0.000001 * {known}", known + SAID)


def _host(address: str) -> str | None:
    """Return the pattern of `https://host` for an address; None for one with a path, which spans do not have."""
    host, slash, _ = address.rpartition("://")[2].partition("/")
    return None if slash else f"https://{host.partition(':')[0]}"
