"""Look up the price of a model in the tables: by exact name, by patterns, then by tier, time and size of the call.

The cache keys: `t` the table, `k` the key of the line, `row` its fields. See `tables` for the format of a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from otel_agentcost.collector.ottl import (
    NIL,
    NONE,
    SAID,
    SOME,
    UNPRICED,
    attribute,
    cache,
    condition,
    drop,
    find,
    joined,
    matches,
    put,
    text,
)
from otel_agentcost.collector.tables import Table
from otel_agentcost.core import aliases, semconv
from otel_agentcost.pricebook.service_tiers import standard_tiers, tiers_at_the_same_price

_CHUNK = 3_000
"""Characters of a table in one statement: the time in which the Collector parses it grows with their square."""
_GROUP = 10
_SAME_PRICE = tiers_at_the_same_price()


def _names(tiers: Iterable[str]) -> str:
    return "(?i)^(" + "|".join(sorted(tiers)) + ")$"


_STANDARD = _names(standard_tiers())


def look_up(found: Mapping[str, Table]) -> Iterator[str]:
    """Yield the statements that look up the price.

    Args:
        found: The tables, by provider.
    """
    p, m, t, k, key, row = (cache(name) for name in ("p", "m", "t", "k", "key", "row"))
    wide = max(len(line) for table in found.values() for lines in table.lines.values() for line in lines) + 2
    yield put(key, joined(p, text("/"), m), m + SOME)
    yield from _load(_chunks(found, wide, ruled=False))
    yield from find(t, m, row, wide, t + SAID)
    yield put(k, m, row + SAID)
    yield from _by_rules(found, row + NIL)
    ruled = (row + NIL, k + SOME)
    yield put(key, joined(p, text("/"), k), *ruled)
    yield drop(t, *ruled)
    yield put(cache("group"), "0", *ruled)
    yield from _load(_chunks(found, wide, ruled=True), *ruled)
    yield from find(t, k, row, wide, *ruled)
    yield from _served(t, k, row, wide)


def _chunks(found: Mapping[str, Table], wide: int, *, ruled: bool) -> list[tuple[str, str]]:
    """Return pieces of the tables, each with the first `provider/name` in it, in descending order: the pieces of exact
    names, or (`ruled`) those of the models that patterns match.
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
        if piece or not ruled:  # an empty one too: or else the name is looked up in the piece before it
            chunks.append((first, "\n".join(piece)))
    return [(first, f"\n{piece}\n{' ' * wide}") for first, piece in sorted(chunks, reverse=True)]


def _load(chunks: list[tuple[str, str]], *conditions: str) -> Iterator[str]:
    """Load the piece of the tables that can hold the key: first its group is found, then the piece."""
    group, key = cache("group"), cache("key")
    groups = [chunks[start : start + _GROUP] for start in range(0, len(chunks), _GROUP)]
    for number, pieces in enumerate(groups, 1):
        yield put(group, str(number), *conditions, f"{group} == 0", f"{key} >= {text(pieces[-1][0])}")
    for number, pieces in enumerate(groups, 1):
        for first, piece in pieces:
            yield put(cache("t"), text(piece), f"{group} == {number}", cache("t") + NIL, f"{key} >= {text(first)}")


def _by_rules(found: Mapping[str, Table], *conditions: str) -> Iterator[str]:
    """Find the key of the first pattern that matches. Providers that resell another's models share its patterns."""
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
        yield put(at, str(number), *conditions, f"({sold})", k + NONE, m + SOME)
        for name, rules in by_key[owner].items():
            yield put(k, text(name), f"{at} == {number}", k + NONE, f"({' or '.join(rules)})")


def _served(t: str, k: str, row: str, wide: int) -> Iterator[str]:
    """Use a more special line, if there is one: for the service tier, the time, then the size of the call."""
    tier, k2, row2, gap = cache("tier"), cache("k2"), cache("row2"), UNPRICED
    for name in reversed(aliases.TIER):
        yield put(tier, attribute(name), f"IsString({attribute(name)})")
    yield put(k2, joined(k, text("\t@"), f'ConvertCase({tier}, "lower")'), row + SAID, tier + SAID)
    yield from find(t, k2, row2, wide, k2 + SAID)
    yield put(k, k2, row2 + SAID)
    p = cache("p")
    same = [f"{p} == {text(one)} and {matches(tier, _names(tiers))}" for one, tiers in _SAME_PRICE.items()]
    standard = " or ".join([matches(tier, _STANDARD), *same])
    always, but_batches = matches(f"{row}[3]", "a"), matches(f"{row}[3]", "b")
    batch = f"({matches(tier, '(?i)^batch$')} and {but_batches})"
    refused = (row + SAID, k2 + SAID, row2 + NIL, f"not ({standard})", f"(not {always} or {batch})")
    yield put(gap, text("the price book has no price for the service tier"), *refused)
    yield put(row, row2, row2 + SAID)
    yield from _by_time(t, k, row, wide)
    yield from _by_hour(t, k, row, wide)
    total, k4, row4 = attribute(semconv.INPUT_TOKENS), cache("k4"), cache("row4")
    for number in (1, 2):
        column = f"{row}[{3 + number}]"
        reached = (f'{column} != ""', f"not {matches(column, '-')}", f"{total} > Int({column})")
        yield put(k4, joined(k, text(f"\t>{number}")), row + SAID, *reached)
    yield from find(t, k4, row4, wide, k4 + SAID)
    yield put(row, row4, k4 + SAID)
    yield put(gap, text("the prices of the model do not fit into a table"), row + SAID, f'{row}[3] == "x"')


def _by_time(t: str, k: str, row: str, wide: int) -> Iterator[str]:
    """Use the line that was valid at the time of the call, if that is before or after the current one."""
    when, k3, row3 = cache("when"), cache("k3"), cache("row3")
    yield put(when, "UnixSeconds(span.start_time)", row + SAID)
    yield put(k3, joined(k, text("\t<")), row + SAID, f'{row}[1] != ""', f"{when} < Int({row}[1])")
    yield put(k3, joined(k, text("\t~")), row + SAID, f'{row}[2] != ""', f"{when} >= Int({row}[2])")
    yield from find(t, k3, row3, wide, k3 + SAID)
    bounds = (f'{row3}[1] != "" and {when} < Int({row3}[1])', f'{row3}[2] != "" and {when} >= Int({row3}[2])')
    outside = f"({row3}{NIL} or {bounds[0]} or {bounds[1]})"
    reason = text("this configuration does not know the price at the time of the call")
    yield put(UNPRICED, reason, k3 + SAID, outside)
    yield put(k, k3, row3 + SAID)
    yield put(row, row3, row3 + SAID)


def _by_hour(t: str, k: str, row: str, wide: int) -> Iterator[str]:
    """Use the line for the hours of the day, if the model has such prices and the day is one of theirs."""
    second, day, begin, end, k5, row5 = (cache(name) for name in ("second", "day", "begin", "end", "k5", "row5"))
    begun_on, weekday = cache("begun on"), cache("weekday")
    by_hour = (row + SAID, matches(f"{row}[3]", "d"))
    yield put(day, f"{cache('when')} / 86400", *by_hour)
    yield put(second, f"{cache('when')} - {day} * 86400", *by_hour)
    for column in (4, 5):
        window = (*by_hour, f'{row}[{column}] != ""')
        part = [f'Split({row}[{column}], "-")[{number}]' for number in range(4)]
        yield put(begin, f"Int({part[0]})", *window)
        yield put(end, f"Int({part[1]})", *window)
        yield put(begun_on, day, *window)
        yield put(begun_on, f"{day} - 1", *window, f"{begin} > {end}", f"{second} < {end}")
        yield put(weekday, f"{begun_on} + 4 - ({begun_on} + 4) / 7 * 7", *window)
        begun, over = f"{second} >= {begin}", f"{second} >= {end}"
        inside = f"({begin} < {end} and {begun} and not ({over}) or {begin} > {end} and ({begun} or not ({over})))"
        on_a_day = (f"Index({part[2]}, String({weekday})) >= 0", f"Index({part[3]}, String({begun_on})) < 0")
        yield put(k5, joined(k, text("\t%")), *window, inside, *on_a_day)
    yield from find(t, k5, row5, wide, k5 + SAID)
    yield put(row, row5, k5 + SAID)
