"""The statements that price spans in a Collector: what `foreign.py` does in an application, for every language.

A span is priced in one pass: `_read` what it says under whatever names, and write it under the conventions'; find out
whose prices apply (`_seller`); `_search` the tables; do the arithmetic (`_finish`). A name that is not found may stand
there in another way (without a prefix, with its date spelt out, as it was asked for): that is a second pass, for such
spans only. A span that has dollars, or a reason for none, is left as it is: what an application knows of its own call
is never written over.

Within a pass, values are kept in the span's cache, which is searched from its beginning: what is asked for most often
is put there first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from otel_agentcost import names
from otel_agentcost.collector import spellings
from otel_agentcost.collector.ottl import (
    attribute,
    cache,
    condition,
    drop,
    joined,
    matches,
    put,
    scratch,
    text,
    where,
)
from otel_agentcost.collector.tables import ANY, Table
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.pricebook.providers import ALIASES
from otel_agentcost.pricebook.served import STANDARD

_CHUNK = 3_000
"""Characters of a table in one statement: the Collector takes the square of their number to read it."""
_GROUP = 10
_NIL = " == nil"
_SAID = " != nil"
_NONE = ' == ""'
_SOME = ' != ""'
_DATE = "-(20[0-9][0-9])(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])(-|:|$)"
_STANDARD = "^(" + "|".join(sorted(STANDARD)) + ")$"
_MOST_TOKENS = "1000000000000000.0"

_BASIS = attribute(names.COST_BASIS)
_COST = attribute(names.COST)
_UNPRICED = attribute(names.UNPRICED)

_AGAIN = scratch("again")
"""`provider|model` under which the price may stand too."""

Block = tuple[str, list[str]]
"""Which spans, and what is done with them."""


def blocks(book: PriceBook, found: Mapping[str, Table]) -> list[Block]:
    """All statements, for the prices in `found`, the tables of `book`."""
    upstream = [put(_BASIS, text("upstream"))]
    first = [*_read(), *_seller(book), *_candidates(), *_search(found), *_finish()]
    again = [*_taken(), *_search(found), *_finish()]
    return [(f'{_BASIS} == "collector"', upstream), (_is_call(), first), (_AGAIN + _SAID, again)]


def _is_call() -> str:
    """Which spans are model calls that nobody has priced. Cheap for all others: most spans are none."""
    operation, kind = attribute(names.OPERATION), attribute("openinference.span.kind")
    older, vercel = attribute("llm.request.type"), attribute("ai.operationId")
    named = f"({matches(operation, spellings.CALLS)} or {operation}{_NIL} and ("
    named += f"{matches(older, spellings.CALLS)} or {matches(kind, spellings.CALL_KINDS)}"
    named += f" or {matches(vercel, '[.]do(Generate|Stream|Embed)$')}))"
    says = " or ".join(f"{path}{_SAID}" for path in (operation, kind, older, vercel))
    return f"({says}) and {named} and {_COST}{_NIL} and {_UNPRICED}{_NIL} and {_BASIS}{_NIL}"


def _read() -> Iterator[str]:
    """What the span says of the call."""
    yield from _begun()
    yield put(_BASIS, text("collector"))
    yield from _operation()
    yield from _tokens()
    yield from _reported()
    for to, found in ((names.REQUEST_MODEL, spellings.REQUEST_MODEL), (names.USER, spellings.USER)):
        yield from (put(attribute(to), attribute(n), attribute(to) + _NIL, attribute(n) + _SAID) for n in found[1:])


def _begun() -> Iterator[str]:
    """What stands at the beginning of the cache. Small numbers are compared without making garbage, texts are not."""
    yield put(cache("rules"), "0")
    yield put(cache("group"), "0")
    yield put(cache("guess"), "0")
    yield put(cache("pay"), "false")
    for short in ("p", "m", "k", "key"):
        yield put(cache(short), text(""))


def _operation() -> Iterator[str]:
    to = attribute(names.OPERATION)
    kind, older = attribute("openinference.span.kind"), attribute("llm.request.type")
    for value, calls in ((names.EMBEDDINGS, "embed"), (names.TEXT_COMPLETION, "completion"), ("rerank", "rerank")):
        for said in (older, attribute("ai.operationId")):
            yield put(to, text(value), to + _NIL, matches(said, calls + ("" if value == names.EMBEDDINGS else "$")))
        yield put(to, text(value), f'{to} == "{calls}"' if calls == "completion" else f'{to} == "{calls}ding"')
    yield put(to, text(names.EMBEDDINGS), to + _NIL, f'{kind} == "EMBEDDING"')
    yield put(to, text("rerank"), to + _NIL, f'{kind} == "RERANKER"')
    yield put(to, text(names.CHAT), to + _NIL)


def _tokens() -> Iterator[str]:
    """Counts under the conventions' names, as whole numbers; input tokens with the cached ones."""
    malformed = put(_UNPRICED, text("the span's token counts are malformed"), cache("bad") + _SAID)
    counts = (
        (names.INPUT_TOKENS, spellings.INPUT, "i"), (names.OUTPUT_TOKENS, spellings.OUTPUT, "o"),
        (names.CACHE_READ_TOKENS, spellings.CACHE_READ, "r"), (names.CACHE_WRITE_TOKENS, spellings.CACHE_WRITE, "w"),
        (names.REASONING_TOKENS, spellings.REASONING, "e"),
    )  # fmt: skip
    for to, found, short in counts:
        given, number, path = cache(short + "?"), cache(short), attribute(to)
        for name in reversed(found):
            yield put(given, attribute(name), attribute(name) + _SAID)
        yield put(number, f"Double({given})", f"IsInt({given}) or IsDouble({given})")
        yield put(number, f"Double({given})", f"IsString({given})", matches(given, "^[0-9]{1,15}$"))
        right = f"{number} >= 0.0 and {number} <= {_MOST_TOKENS} and Double(Int({number})) == {number}"
        yield put(cache("bad"), "true", given + _SAID, f"({number}{_NIL} or not ({right}))")
        yield put(path, f"Int({number})", given + _SAID, cache("bad") + _NIL)
    yield malformed
    for name in spellings.AUDIO:
        yield put(
            _UNPRICED,
            text("the span does not say how its audio tokens and its other tokens overlap"),
            attribute(name) + _SAID,
            f"{attribute(name)} != 0",
            _UNPRICED + _NIL,
        )
    total, read, written = (
        attribute(n) for n in (names.INPUT_TOKENS, names.CACHE_READ_TOKENS, names.CACHE_WRITE_TOKENS)
    )
    yield put(cache("cached"), "0")
    yield put(cache("cached"), f"{cache('cached')} + {read}", read + _SAID, cache("bad") + _NIL)
    yield put(cache("cached"), f"{cache('cached')} + {written}", written + _SAID, cache("bad") + _NIL)
    scopes = "^(" + "|".join(scope.replace(".", "[.]") for scope in spellings.EXCLUSIVE_SCOPES) + ")$"
    outside = f"({cache('cached')} > {total} or {matches('instrumentation_scope.name', scopes)})"
    yield put(
        total, f"{total} + {cache('cached')}", f"{cache('cached')} > 0", total + _SAID, outside, cache("bad") + _NIL
    )
    failed = "span.status.code == STATUS_CODE_ERROR"
    yield put(_UNPRICED, text("the span has no usage"), total + _NIL, _UNPRICED + _NIL, f"not ({failed})")


def _reported() -> Iterator[str]:
    """What the provider itself says that the call cost."""
    amount, source, currency = (attribute(n) for n in (names.COST_AMOUNT, names.COST_SOURCE, names.COST_CURRENCY))
    dollars = f'({currency}{_NIL} or {currency} == "USD")'
    said = (f'{source} == "provider"', f"(IsDouble({amount}) or IsInt({amount}))", dollars, f"Double({amount}) >= 0.0")
    yield put(_COST, f"Double({amount})", *said)
    yield drop(_UNPRICED, _COST + _SAID)


def _seller(book: PriceBook) -> Iterator[str]:
    """Whose prices: the address of the call goes before what the instrumentation calls the provider."""
    provider, host, at = cache("p"), cache("host"), cache("at")
    said = attribute(names.PROVIDER)
    for name in spellings.PROVIDER[1:]:
        yield put(said, attribute(name), said + _NIL, attribute(name) + _SAID)
    yield put(cache("said"), f'Trim(ConvertCase({said}, "lower"), " ")', f"IsString({said})")
    address = attribute(names.SERVER_ADDRESS)
    yield put(host, f'ConvertCase({address}, "lower")', f"IsString({address})", f'{address} != ""')
    known = _spelled(book)
    wide = max(map(len, known)) + 2
    yield put(cache("s"), text("\n" + "\n".join(known) + "\n" + " " * wide))

    def look(what: str, to: str, *conditions: str) -> Iterator[str]:
        yield put(
            at,
            f"Index({cache('s')}, {joined(chr(34) + chr(92) + 'n' + chr(34), what, chr(34) + '|' + chr(34))})",
            *conditions,
        )
        line = f'Split(Substring({cache("s")}, {at} + 1, {wide}), "\\n")[0]'
        yield put(to, f'Split({line}, "|")[1]', *conditions, f"{at} >= 0")

    yield from look(joined(text("https://"), host), provider, host + _SAID)
    url = cache("url")
    yield put(url, joined(text("https://"), host), host + _SAID, provider + _NONE)
    guess = cache("guess")
    yield put(guess, "1", url + _SAID, provider + _NONE)
    for one, rule in _urls(book):
        yield put(provider, text(one), f"{guess} == 1", provider + _NONE, condition(rule, url))
    yield put(cache("by url"), "true", provider + _SOME)
    litellm = f'{cache("said")} == "litellm"'
    yield from look(cache("said"), provider, provider + _NONE, cache("said") + _SAID, f"not ({litellm})")
    yield put(guess, "2", provider + _NONE, cache("said") + _SAID, f"not ({litellm})")
    for entry in book.book.providers.values():
        if entry.names is not None:
            rule = condition(entry.names, cache("said"))
            yield put(provider, text(entry.id), f"{guess} == 2", provider + _NONE, rule)
    yield from _names()
    slash = cache("slash")
    yield put(slash, f'Index({cache("n")}, "/")', cache("n") + _SAID)
    yield put(cache("prefix"), f"Substring({cache('n')}, 0, {slash})", f"{slash} > 0")
    yield from look(cache("prefix"), cache("other"), cache("prefix") + _SAID)
    yield put(
        cache("rest"),
        f"Substring({cache('n')}, {slash} + 1, Len({cache('n')}) - {slash} - 1)",
        cache("other") + _SAID,
        f"Len({cache('n')}) > {slash} + 1",
    )
    nobody = f"({cache('said')}{_NIL} or {litellm})"
    yield put(guess, "3", provider + _NONE, cache("other") + _NIL, host + _NIL, nobody, cache("n") + _SAID)
    for entry in book.book.providers.values():
        if entry.models is not None:
            rule = condition(entry.models, cache("n"))
            yield put(provider, text(entry.id), f"{guess} == 3", provider + _NONE, rule)


def _names() -> Iterator[str]:
    """The name that served the call, then the one asked for, in lower case; Bedrock's profile is in the request."""
    served, asked = attribute(names.RESPONSE_MODEL), attribute(names.REQUEST_MODEL)
    for to, path in ((cache("n"), served), (cache("asked"), asked)):
        yield put(to, f'ConvertCase({path}, "lower")', f"IsString({path})", f'{path} != ""')
    yield put(cache("n"), cache("asked"), f'({cache("n")}{_NIL} or {cache("p")} == "aws")', cache("asked") + _SAID)
    yield put(cache("asked"), f'ConvertCase({served}, "lower")', f'{cache("p")} == "aws"', f"IsString({served})")


def _candidates() -> Iterator[str]:
    """Under which name the price is looked for, and under which other one, should it not be there."""
    p, m, n, asked, other, rest = (cache(name) for name in ("p", "m", "n", "asked", "other", "rest"))
    total = attribute(names.INPUT_TOKENS)
    on = (total + _SAID, _COST + _NIL, _UNPRICED + _NIL, n + _SAID)
    found = m + _SOME

    def again(provider: str, model: str, *conditions: str) -> str:
        return put(_AGAIN, joined(provider, text("|"), model), found, _AGAIN + _NIL, *conditions)

    yield put(m, n, *on, p + _SOME)
    yield put(m, rest, *on, p + _NONE, rest + _SAID)
    yield put(p, other, found, p + _NONE)
    yield put(m, n, *on, p + _NONE)
    yield put(p, text(ANY), found, p + _NONE)
    # A gateway's answer may leave out the prefix that the request had: `openai/gpt-4o` of a reseller is its own.
    differs = f"{asked}{_SAID} and {asked} != {n}"
    bare = (found, cache("by url") + _NIL, f'Index({n}, "/") < 0', differs, f'Index({asked}, "/") > 0')
    yield again(p, n, *bare)
    yield put(m, asked, *bare)
    yield again(other, rest, rest + _SAID, f"{m} != {rest}")
    google = f'Index({n}, "models/")'
    bare_name = f"Substring({n}, {google} + 7, Len({n}) - {google} - 7)"
    yield again(p, bare_name, f'{p} == "google"', f"{google} >= 0", f"Len({n}) > {google} + 7")
    dashed = cache("dashed")
    yield put(dashed, n, found, _AGAIN + _NIL)
    yield f"replace_pattern({dashed}, {text(_DATE)}, {text('-$1-$2-$3$4')})" + where(dashed + _SAID)
    yield again(p, dashed, dashed + _SAID, f"{dashed} != {n}")
    yield again(p, asked, differs)


def _taken() -> Iterator[str]:
    """The other name, for the second pass."""
    yield from _begun()
    yield put(cache("p"), f'Split({_AGAIN}, "|")[0]')
    yield put(cache("m"), f'Split({_AGAIN}, "|")[1]')
    yield drop(_AGAIN)


def _spelled(book: PriceBook) -> list[str]:
    """`name|id` for each exact name of a provider, `https://host|id` for the hosts that most calls go to."""
    ids = [*book.book.providers, *book.finder.own.providers]
    found = {one: one for one in ids} | {name: one for name, one in ALIASES.items() if one in ids}
    for provider, rule in _urls(book):
        start = rule.get("starts_with") if not isinstance(rule, str) else rule
        if (
            isinstance(start, str)
            and not start.endswith((".", "/"))
            and start.count("/") == 2
            and len(start) > len("https://")
        ):
            found.setdefault(start, provider)
    return [f"{name}|{one}" for name, one in sorted(found.items())]


def _urls(book: PriceBook) -> Iterator[tuple[str, Any]]:
    """The rules for addresses, the own ones first; without a path, which spans do not have."""
    for own in book.finder.own.providers.values():
        yield from ((own.id, url if "://" in url else f"https://{url}") for url in own.urls)
    for known in book.book.providers.values():
        if "https://router." not in str(known.url):
            yield known.id, known.url


def _search(found: Mapping[str, Table]) -> Iterator[str]:
    """Looks for the name in the tables: as it stands, by patterns, then its tier, its time, its size."""
    p, m, t, k, key, row = (cache(name) for name in ("p", "m", "t", "k", "key", "row"))
    wide = max(len(line) for table in found.values() for lines in table.lines.values() for line in lines) + 2
    yield put(key, joined(p, text("/"), m), m + _SOME)
    yield from _load(_chunks(found, wide, ruled=False))
    yield from _find(t, m, row, wide, t + _SAID)
    yield put(k, m, row + _SAID)
    yield from _by_rules(found, row + _NIL)
    ruled = (row + _NIL, k + _SOME)
    yield put(key, joined(p, text("/"), k), *ruled)
    yield drop(t, *ruled)
    yield put(cache("group"), "0", *ruled)
    yield from _load(_chunks(found, wide, ruled=True), *ruled)
    yield from _find(t, k, row, wide, *ruled)
    yield from _served(t, k, row, wide)


def _chunks(found: Mapping[str, Table], wide: int, *, ruled: bool) -> list[tuple[str, str]]:
    """Pieces of the tables, each with the first `provider/name` in it, the last one first: of exact names, or of what
    patterns stand for.
    """
    chunks: list[tuple[str, str]] = []
    for provider in found:
        first, piece, size = f"{provider}/", list[str](), 0
        for name, lines in sorted(found[provider].lines.items()):
            if name.startswith("#") is not ruled:
                continue
            written = "\n".join(lines)
            if piece and size + len(written) > _CHUNK:
                chunks.append((first, "\n".join(piece)))
                first, piece, size = f"{provider}/{name}", [], 0
            piece.append(written)
            size += len(written) + 1
        if piece:
            chunks.append((first, "\n".join(piece)))
    return [(first, f"\n{piece}\n{' ' * wide}") for first, piece in sorted(chunks, reverse=True)]


def _load(chunks: list[tuple[str, str]], *conditions: str) -> Iterator[str]:
    """The piece of the tables in which the key stands if it stands anywhere: first its group, then the piece."""
    group, key = cache("group"), cache("key")
    groups = [chunks[start : start + _GROUP] for start in range(0, len(chunks), _GROUP)]
    for number, pieces in enumerate(groups, 1):
        yield put(group, str(number), *conditions, f"{group} == 0", f"{key} >= {text(pieces[-1][0])}")
    for number, pieces in enumerate(groups, 1):
        for first, piece in pieces:
            yield put(cache("t"), text(piece), f"{group} == {number}", cache("t") + _NIL, f"{key} >= {text(first)}")


def _by_rules(found: Mapping[str, Table], *conditions: str) -> Iterator[str]:
    """The key of the first pattern that fits. Providers that sell another's models share its patterns."""
    p, m, k, at = cache("p"), cache("m"), cache("k"), cache("rules")
    users: dict[str, list[str]] = {}
    by_key: dict[str, dict[str, list[str]]] = {}
    for provider, table in found.items():
        for rule in table.rules:
            if provider not in users.setdefault(rule.owner, []):
                users[rule.owner].append(provider)
            if provider == users[rule.owner][0]:
                by_key.setdefault(rule.owner, {}).setdefault(rule.key, []).append(condition(rule.matches, m))
    # A provider's own patterns go before those that it shares: owners that others use come last.
    order = sorted(users, key=lambda owner: (len(users[owner]) > 1, list(users).index(owner)))
    for number, owner in enumerate(order, 1):
        sold = " or ".join(f"{p} == {text(provider)}" for provider in users[owner])
        yield put(at, str(number), *conditions, f"({sold})", k + _NONE)
        for name, rules in by_key[owner].items():
            yield put(k, text(name), f"{at} == {number}", k + _NONE, f"({' or '.join(rules)})")


def _find(table: str, key: str, to: str, wide: int, *conditions: str) -> Iterator[str]:
    """The fields of the line of `key`."""
    at = cache("at")
    newline = text("\n")
    yield put(at, f"Index({table}, {joined(newline, key, text('|'))})", *conditions)
    line = f"Split(Substring({table}, {at} + 1, {wide}), {newline})[0]"
    yield put(to, f'Split({line}, "|")', *conditions, f"{at} >= 0")


def _served(t: str, k: str, row: str, wide: int) -> Iterator[str]:
    """What served the call may have a line of its own: its service tier, then its time, then its size."""
    tier, k2, row2, gap = cache("tier"), cache("k2"), cache("row2"), _UNPRICED
    for name in reversed(spellings.TIER):
        yield put(tier, attribute(name), f"IsString({attribute(name)})")
    yield put(k2, joined(k, text("@"), f'ConvertCase({tier}, "lower")'), row + _SAID, tier + _SAID)
    yield from _find(t, k2, row2, wide, k2 + _SAID)
    yield put(k, k2, row2 + _SAID)
    refused = (row + _SAID, k2 + _SAID, row2 + _NIL, f"not {matches(tier, _STANDARD)}")
    batch = f'{tier} == "batch"'
    apart = f"({batch} and {matches(f'{row}[3]', 'b')} or not ({batch}) and {matches(f'{row}[3]', 't')})"
    yield put(gap, joined(text("the price book has no price for service tier "), tier), *refused, apart)
    yield put(row, row2, row2 + _SAID)
    yield from _then(t, k, row, wide)
    yield from _at_that_hour(t, k, row, wide)
    total, k4, row4 = attribute(names.INPUT_TOKENS), cache("k4"), cache("row4")
    for number in (1, 2):
        column = f"{row}[{3 + number}]"
        reached = (f'{column} != ""', f"not {matches(column, '-')}", f"{total} > Int({column})")
        yield put(k4, joined(k, text(f">{number}")), row + _SAID, *reached)
    yield from _find(t, k4, row4, wide, k4 + _SAID)
    yield put(row, row4, k4 + _SAID)
    yield put(gap, text("the prices of the model cannot be said in a table"), row + _SAID, f'{row}[3] == "x"')


def _then(t: str, k: str, row: str, wide: int) -> Iterator[str]:
    """What held at the time of the call, which may be before or after the prices of now."""
    when, k3, row3 = cache("when"), cache("k3"), cache("row3")
    yield put(when, "UnixSeconds(span.start_time)", row + _SAID)
    yield put(k3, joined(k, text("<")), row + _SAID, f'{row}[1] != ""', f"{when} < Int({row}[1])")
    yield put(k3, joined(k, text("~")), row + _SAID, f'{row}[2] != ""', f"{when} >= Int({row}[2])")
    yield from _find(t, k3, row3, wide, k3 + _SAID)
    bounds = (f'{row3}[1] != "" and {when} < Int({row3}[1])', f'{row3}[2] != "" and {when} >= Int({row3}[2])')
    outside = f"({row3}{_NIL} or {bounds[0]} or {bounds[1]})"
    reason = text("this configuration does not know the price at the time of the call")
    yield put(_UNPRICED, reason, k3 + _SAID, outside)
    yield put(k, k3, row3 + _SAID)
    yield put(row, row3, row3 + _SAID)


def _at_that_hour(t: str, k: str, row: str, wide: int) -> Iterator[str]:
    """What holds for some hours of the day."""
    second, begin, end, k5, row5 = (cache(name) for name in ("second", "begin", "end", "k5", "row5"))
    by_hour = (row + _SAID, matches(f"{row}[3]", "d"))
    clock = "Hour(span.start_time) * 3600 + Minute(span.start_time) * 60 + Second(span.start_time)"
    yield put(second, clock, *by_hour)
    for column in (4, 5):
        window = (*by_hour, f'{row}[{column}] != ""')
        yield put(begin, f'Int(Split({row}[{column}], "-")[0])', *window)
        yield put(end, f'Int(Split({row}[{column}], "-")[1])', *window)
        begun, over = f"{second} >= {begin}", f"{second} >= {end}"
        inside = f"({begin} < {end} and {begun} and not ({over}) or {begin} > {end} and ({begun} or not ({over})))"
        yield put(k5, joined(k, text("%")), *window, inside)
    yield from _find(t, k5, row5, wide, k5 + _SAID)
    yield put(row, row5, k5 + _SAID)


def _finish() -> Iterator[str]:
    """Dollars from counts and rates."""
    row, gap = cache("row"), cache("gap")
    counts = (
        ("i", names.INPUT_TOKENS), ("o", names.OUTPUT_TOKENS), ("r", names.CACHE_READ_TOKENS),
        ("w", names.CACHE_WRITE_TOKENS), ("e", names.REASONING_TOKENS),
    )  # fmt: skip
    priced = f"{cache('pay')} == true"
    yield put(cache("pay"), "true", row + _SAID, _UNPRICED + _NIL)
    for short, name in counts:
        yield put(cache(short), "0.0")
        yield put(cache(short), f"Double({attribute(name)})", attribute(name) + _SAID)
    i, o, r, w, e = (cache(short) for short, _ in counts)
    yield put(i, f"{i} - {r} - {w}", f"{r} + {w} <= {i}")
    yield put(e, o, f"{e} > {o}")
    yield put(o, f"{o} - {e}")
    for short, column, count, kind in (
        ("pi", 6, i, "input_tokens"), ("pr", 7, r, "cache_read_tokens"), ("pw", 8, w, "cache_write_tokens"),
        ("po", 9, o, "output_tokens"), ("pe", 10, e, "output_reasoning_tokens"),
    ):  # fmt: skip
        yield put(cache(short), "0.0")
        yield put(cache(short), f"Double({row}[{column}]) * 0.000001", priced, f'{row}[{column}] != "-"')
        yield put(gap, text(f"no price for {kind}"), priced, f'{row}[{column}] == "-"', f"{count} > 0.0")
    parts = (
        (names.COST_INPUT, f"{i} * {cache('pi')}"), (names.COST_CACHE_READ, f"{r} * {cache('pr')}"),
        (names.COST_CACHE_WRITE, f"{w} * {cache('pw')}"),
        (names.COST_OUTPUT, f"{o} * {cache('po')} + {e} * {cache('pe')}"),
    )  # fmt: skip
    fee = f"Double({row}[11]) * 0.001"
    yield put(cache("fee"), "0.0")
    yield put(cache("fee"), fee, priced, f'{row}[11] != "0"', f'{row}[11] != "-"')
    whole = " + ".join(f"({part})" for _, part in parts) + f" + {cache('fee')}"
    yield put(_COST, whole, priced)
    for name, part in parts:
        yield put(attribute(name), part, priced, f"{part} > 0.0")
    yield put(attribute(names.COST_TOOL), cache("fee"), priced, f"{cache('fee')} > 0.0")
    saved = f"{r} * ({cache('pi')} - {cache('pr')})"
    yield put(attribute(names.CACHE_SAVINGS), saved, priced, f"{saved} > 0.0", f'{row}[7] != "-"')
    hour = "the span does not say for how long its cache writes live; the cheapest is counted"
    yield put(gap, text(hour), priced, gap + _NIL, f"{w} > 0.0", matches(f"{row}[3]", "h"))
    yield put(_UNPRICED, gap, gap + _SAID)
    total = attribute(names.INPUT_TOKENS)
    missed = (total + _SAID, _COST + _NIL, _UNPRICED + _NIL, _AGAIN + _NIL)
    yield put(_UNPRICED, text("the price book has no price for the model"), *missed)
    yield drop(_AGAIN, f"({_COST}{_SAID} or {_UNPRICED}{_SAID})")
