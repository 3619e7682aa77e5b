"""Identify the provider of a call and the names under which it may list the model: `pricebook.finder` as statements.

The cache keys: `p` provider, `m` model to look up, `n` name that served the call (or the requested one), `said` the
provider's name on the span, `other` and `rest` the provider that the prefix of the name identifies and the rest of the
name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from otel_agentcost.collector.hash_table import load
from otel_agentcost.collector.ottl import (
    ASSUMED,
    COST,
    NIL,
    NONE,
    SAID,
    SOME,
    UNPRICED,
    attribute,
    cache,
    condition,
    cut_off,
    find,
    joined,
    matches,
    put,
    text,
    where,
)
from otel_agentcost.collector.tables import ANY
from otel_agentcost.core import aliases, semconv
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.pricebook.hosts import HostRule, host_rules, private_pattern
from otel_agentcost.pricebook.providers import ALIASES, LOCAL

_PROVIDER, _SAID, _KNOWN, _GUESS = cache("p"), cache("said"), cache("s"), cache("guess")
_AGAIN = cache("again")
"""A second `provider|model` under which the price may be listed."""
SECOND: Final = cache("second name")
"""The same, once it is looked up."""
_LITELLM = f'{_SAID} == "litellm"'
_NO_NAME = r"[|\t\n]|^#"
"""Characters that a line of a table is made of: no name may have them."""
_DATE = "-(20[0-9][0-9])(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])(-|:|$)"


def read_provider() -> Iterator[str]:
    """Yield the statements that write the provider's name under the conventions' name."""
    said = attribute(semconv.PROVIDER)
    for name in aliases.PROVIDER[1:]:
        yield put(said, attribute(name), said + NIL, f"IsString({attribute(name)})")


def identify_listed(book: PriceBook) -> Iterator[str]:
    """Yield the statements that identify the provider of a call whose provider and model are listed by the very names
    that the span has, and choose the name to look up. For all other calls they find less than `identify_provider`.

    Args:
        book: The price book.
    """
    n, asked, by_url = cache("n"), cache("asked"), cache("by url")
    yield from _known(book)
    yield from _at_address(book)
    yield put(by_url, "true", _PROVIDER + SOME)
    at_unknown = f"({cache('url')}{NIL} or {by_url}{SAID})"
    yield from _by_exact_name(book, at_unknown)
    yield from _names()
    yield from _without_profile()
    # A gateway's answer may leave out the prefix that the request had.
    same = f'({asked}{NIL} or {asked} == {n} or {by_url}{SAID} or Index({asked}, "/") < 0)'
    yield put(cache("m"), n, _PROVIDER + SOME, *_to_be_priced(), f"not ({_LITELLM})", same)


def identify_provider(book: PriceBook) -> Iterator[str]:
    """Yield the statements that identify the provider of any call.

    The address of the call takes precedence over the provider's name on the span, and that over the model's name.

    Args:
        book: The price book.
    """
    yield from _known(book)
    yield from _at_address(book)
    yield from _by_address(book)
    yield from _by_name(book)
    yield from _names()
    yield from _prefix(book)
    yield from _by_model(book)


def _known(book: PriceBook) -> Iterator[str]:
    """Read the provider's name and the table of providers."""
    said = attribute(semconv.PROVIDER)
    yield put(_SAID, f'Trim(ConvertCase({said}, "lower"), " ")', f"IsString({said})")
    known = [f"{name}|{one}" for name, one in sorted(_exact_names(book).items())]
    yield put(_KNOWN, text("\n" + "\n".join(known) + "\n" + " " * _wide(book)))


def _wide(book: PriceBook) -> int:
    return max(len(name) + len(one) for name, one in _exact_names(book).items()) + 3


def _look_up(what: str, to: str, book: PriceBook, *conditions: str) -> Iterator[str]:
    """Look up a provider by its exact name."""
    yield from find(_KNOWN, what, to, *conditions, wide=_wide(book), field="[1]")


def _at_address(book: PriceBook) -> Iterator[str]:
    """Read the address of the call, and identify the provider by it, if the address is listed or the user's own."""
    url, address = cache("url"), attribute(semconv.SERVER_ADDRESS)
    host = f'ConvertCase({address}, "lower")'
    yield put(url, joined(text("https://"), host), f"IsString({address})", address + SOME)
    for name in aliases.BASE_URL:
        base = attribute(name)
        host = f'Split(Split(Split(ConvertCase({base}, "lower"), "://")[1], "/")[0], ":")[0]'
        yield put(
            url,
            joined(text("https://"), host),
            base + SAID,
            url + NIL,
            f"IsString({base})",
            matches(base, "^(?i:https?)://[^/:]"),
        )
    for one, host_of, port in _user_hosts(book):
        rule = condition({"wild": f"https://{host_of}"}, url)
        served = attribute(semconv.SERVER_PORT)
        there = [f"({served}{NIL} or {served} == {port})"] if port else []
        yield put(_PROVIDER, text(one), url + SAID, _PROVIDER + NONE, *there, rule)
    listed = {known: f"\n{known}|{one}" for known, one in sorted(_exact_addresses(book).items())}
    unknown, piece = (url + SAID, _PROVIDER + NONE), cache("addresses")
    yield from load(listed, url, piece, *unknown)
    yield from find(piece, url, _PROVIDER, *unknown, field="[1]")


def _by_address(book: PriceBook) -> Iterator[str]:
    """Identify the provider by the patterns of addresses."""
    url = cache("url")
    yield put(_GUESS, "1", url + SAID, _PROVIDER + NONE)
    patterns: dict[str, list[str]] = {}
    for row in host_rules():
        if not row.paths:
            patterns.setdefault(_priced(row, book), []).append(row.pattern())
    for one, hosts in patterns.items():
        pattern = matches(url, f"^https://(?:{'|'.join(hosts)})$")
        yield put(_PROVIDER, text(one), f"{_GUESS} == 1", _PROVIDER + NONE, pattern)
    for one, known in _urls(book):
        yield put(_PROVIDER, text(one), f"{_GUESS} == 1", _PROVIDER + NONE, condition(known, url))
    yield put(cache("by url"), "true", _PROVIDER + SOME)
    yield from _at_unknown_address(book, url)


def _at_unknown_address(book: PriceBook, url: str) -> Iterator[str]:
    """Mark the price at an address that identifies no provider as assumed, and apply the setting for private ones."""
    unknown = (url + SAID, cache("by url") + NIL, COST + NIL, UNPRICED + NIL)
    if book.finder.private != "priced":
        private = matches(url, f"^https://(?:{private_pattern()})$")
        if book.finder.private == "free":
            yield put(COST, "0.0", *unknown, attribute(semconv.INPUT_TOKENS) + SAID, private)
        else:
            reason = "the address is private, and OTEL_AGENTCOST_PRIVATE_ADDRESSES=unpriced"
            yield put(UNPRICED, text(reason), *unknown, private)
    yield put(ASSUMED, "true", *unknown)


def _by_exact_name(book: PriceBook, *conditions: str) -> Iterator[str]:
    given = (_PROVIDER + NONE, *conditions)
    yield from _look_up(_SAID, _PROVIDER, book, *given, _SAID + SAID, f"not ({_LITELLM})")
    vendor = cache("vendor")
    yield put(vendor, f'Split({_SAID}, ".")[0]', *given, _SAID + SAID, f"not ({_LITELLM})")
    yield from _look_up(vendor, _PROVIDER, book, *given, vendor + SAID)


def _by_name(book: PriceBook) -> Iterator[str]:
    yield from _by_exact_name(book)
    yield put(_GUESS, "2", _PROVIDER + NONE, _SAID + SAID, f"not ({_LITELLM})")
    for entry in book.book.providers.values():
        if entry.names is not None:
            rule = condition(entry.names, _SAID)
            yield put(_PROVIDER, text(entry.id), f"{_GUESS} == 2", _PROVIDER + NONE, rule)


def _prefix(book: PriceBook) -> Iterator[str]:
    """Split the provider off the model's name (`anthropic/claude-...`); if it has none, off the requested name."""
    other, slash, prefix = cache("other"), cache("slash"), cache("prefix")
    for name, rest in ((cache("n"), cache("rest")), (cache("asked"), cache("asked rest"))):
        yield put(slash, f'Index({name}, "/")', name + SAID, other + NIL)
        yield put(prefix, f"Substring({name}, 0, {slash})", f"{slash} > 0", name + SAID, other + NIL)
        yield from _look_up(prefix, other, book, prefix + SAID, other + NIL)
        left = f"Len({name}) - {slash} - 1"
        known = (cache("rest") + NIL, name + SAID, other + SAID, f"{left} > 0")
        yield put(rest, f"Substring({name}, {slash} + 1, {left})", *known)


def _by_model(book: PriceBook) -> Iterator[str]:
    """Identify the provider by the naming scheme of the model, if nothing else identifies it."""
    n, nobody = cache("n"), f"({_SAID}{NIL} or {_LITELLM})"
    yield put(_GUESS, "3", _PROVIDER + NONE, cache("other") + NIL, cache("url") + NIL, nobody, n + SAID)
    for entry in book.book.providers.values():
        if entry.models is not None:
            rule = condition(entry.models, n)
            yield put(_PROVIDER, text(entry.id), f"{_GUESS} == 3", _PROVIDER + NONE, rule)


def _names() -> Iterator[str]:
    """Read the served and the requested name, in lower case. Only the requested one has Bedrock's inference profile."""
    served, asked = attribute(semconv.RESPONSE_MODEL), attribute(semconv.REQUEST_MODEL)
    for to, path in ((cache("n"), served), (cache("asked"), asked)):
        yield put(to, f'ConvertCase({path}, "lower")', f"IsString({path})", f'{path} != ""')
    yield put(cache("n"), cache("asked"), f'({cache("n")}{NIL} or {cache("p")} == "aws")', cache("asked") + SAID)
    yield put(cache("asked"), f'ConvertCase({served}, "lower")', f'{cache("p")} == "aws"', f"IsString({served})")


def choose_names() -> Iterator[str]:
    """Yield the statements that choose the name to look up, and a second one in case the first is not listed."""
    p, m, n, asked, other, rest = (cache(name) for name in ("p", "m", "n", "asked", "other", "rest"))
    on = _to_be_priced()
    found = m + SOME

    def again(provider: str, model: str, *conditions: str) -> str:
        return put(_AGAIN, joined(provider, text("|"), model), found, _AGAIN + NIL, *conditions)

    yield from _without_profile()
    yield put(p, other, _LITELLM, other + SAID)  # LiteLLM's model names identify the provider; its address does not
    yield put(m, rest, *on, _LITELLM, rest + SAID)
    yield put(m, n, *on, p + SOME, m + NONE)
    not_self_hosted = f"not {matches(_SAID, LOCAL)}"
    yield put(m, rest, *on, p + NONE, rest + SAID, not_self_hosted)
    yield put(m, n, *on, p + NONE, m + NONE)
    yield put(p, other, found, p + NONE, other + SAID, not_self_hosted)
    yield put(p, text(ANY), found, p + NONE)
    # A gateway's answer may leave out the prefix that the request had: `openai/gpt-4o` of a reseller is its own.
    differs = f"{asked}{SAID} and {asked} != {n}"
    asked_rest, by_name = cache("asked rest"), cache("by url") + NIL
    bare = (found, by_name, f'Index({n}, "/") < 0', differs, asked_rest + SAID, f"{other} != {p}")
    yield again(other, n, *bare)
    yield put(m, asked, *bare)
    # A provider that is identified by its address lists nothing under another's prefix.
    own_prefix = f"({by_name} or {other} == {p}) and {not_self_hosted}"
    yield again(other, rest, rest + SAID, f"{m} != {rest}", own_prefix)
    google = f'Index({n}, "models/")'
    bare_name = f"Substring({n}, {google} + 7, Len({n}) - {google} - 7)"
    yield again(p, bare_name, f'{p} == "google"', f"{_GUESS} != 3", f"{google} >= 0", f"Len({n}) > {google} + 7")
    yield again(other, asked_rest, asked_rest + SAID, own_prefix, f"{m} == {n}")
    dashed = cache("dashed")
    yield put(dashed, n, found, _AGAIN + NIL)
    yield f"replace_pattern({dashed}, {text(_DATE)}, {text('-$1-$2-$3$4')})" + where(dashed + SAID)
    yield again(p, dashed, dashed + SAID, f"{dashed} != {n}")
    yield again(p, asked, differs)


def _to_be_priced() -> tuple[str, ...]:
    """Return the conditions on which a model is looked up."""
    n = cache("n")
    total = attribute(semconv.INPUT_TOKENS)
    return (total + SAID, COST + NIL, UNPRICED + NIL, n + SAID, f"not {matches(n, _NO_NAME)}")


def _without_profile() -> Iterator[str]:
    """Put Bedrock's cheapest inference profile before a name that OpenLLMetry cut it off from."""
    n = cache("n")
    of_bedrock = (f'{_PROVIDER} == "aws"', cut_off("n"), f"not {matches(n, 'anthropic[.]')}")
    yield put(n, joined(text("global.anthropic."), n), *of_bedrock)


def use_second_name() -> Iterator[str]:
    """Yield the statements that take up the second name, if there is one and the first is not listed."""
    yield put(SECOND, _AGAIN, cache("row") + NIL, _AGAIN + SAID, cache("gap") + NIL)
    taken = SECOND + SAID
    yield put(cache("p"), f'Split({SECOND}, "|")[0]', taken)
    yield put(cache("m"), f'Split({SECOND}, "|")[1]', taken)
    yield put(cache("rules"), "0", taken)
    yield put(cache("rule"), text(""), taken)


def _exact_names(book: PriceBook) -> dict[str, str]:
    """Return the ids of providers by their exact names."""
    ids = [*book.book.providers, *book.finder.overrides.providers]
    return {one: one for one in ids} | {name: one for name, one in ALIASES.items() if one in ids}


def _exact_addresses(book: PriceBook) -> dict[str, str]:
    """Return the ids of providers by the addresses without a pattern, `https://host`."""
    found: dict[str, str] = {}
    for row in host_rules():
        if not row.paths:
            found |= {f"https://{host}": _priced(row, book) for host in row.hosts if "*" not in host}
    for provider, rule in _urls(book):
        start = rule.get("starts_with") if not isinstance(rule, str) else rule
        if (
            isinstance(start, str)
            and not start.endswith((".", "/"))
            and start.count("/") == 2
            and len(start) > len("https://")
        ):
            found.setdefault(start, provider)
    return found


def _priced(rule: HostRule, book: PriceBook) -> str:
    """Return the provider whose table has the prices at the hosts of `rule`."""
    owner = rule.owner
    return owner if owner in book.book.providers or owner in book.finder.overrides.providers else ANY


def _user_hosts(book: PriceBook) -> Iterator[tuple[str, str, str]]:
    """Yield the user-defined providers with the hosts and ports of their base URLs: spans have neither scheme nor path.
    A host that two of them share identifies none.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for own in book.finder.overrides.providers.values():
        for url in own.urls:
            host, _, port = url.rpartition("://")[2].partition("/")[0].partition(":")
            found.setdefault((host, port if port.isdecimal() else ""), set()).add(own.id)
    yield from ((ids.pop(), host, port) for (host, port), ids in found.items() if len(ids) == 1)


def _urls(book: PriceBook) -> Iterator[tuple[str, Any]]:
    """Yield the URL rules of the book, but those that need a path, which spans do not have."""
    for known in book.book.providers.values():
        if "https://router." not in str(known.url):
            yield known.id, known.url
