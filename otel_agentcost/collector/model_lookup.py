"""Look up the price of a model in the tables: by exact name, by patterns, then by tier, time and size of the call.

The cache keys: `t` the piece of the table, `k` the key of the line (the provider, a tab, the name), `row` its fields,
`rule` the key of the pattern that matches. See `tables` for the format of a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from otel_agentcost.collector.dated_names import DATE, MARK, dated_stems
from otel_agentcost.collector.hash_table import load
from otel_agentcost.collector.ottl import (
    NIL,
    NONE,
    SAID,
    SOME,
    UNPRICED,
    attribute,
    cache,
    condition,
    find,
    joined,
    matches,
    put,
    text,
)
from otel_agentcost.collector.tables import Table
from otel_agentcost.core import aliases, semconv
from otel_agentcost.pricebook.service_tiers import standard_tiers, tiers_at_the_same_price

_SAME_PRICE = tiers_at_the_same_price()


def _names(tiers: Iterable[str]) -> str:
    return "(?i)^(" + "|".join(sorted(tiers)) + ")$"


_STANDARD = _names(standard_tiers())


def look_up(found: Mapping[str, Table], *conditions: str, dated: bool = True) -> Iterator[str]:
    """Yield the statements that look up the model's exact name, or the stem of a dated one.

    Args:
        found: The tables, by provider.
        conditions: The conditions of all statements.
        dated: Whether to look up stems, which `look_up_by_rules` finds, too, but more slowly.
    """
    p, m, row = cache("p"), cache("m"), cache("row")
    named = (*conditions, m + SOME)
    yield from _look_up_line(found, joined(p, text("\t"), m), *named)
    if dated:
        stem = f"Substring({m}, 0, Len({m}) - 9)"
        key = joined(p, text("\t"), stem, text(MARK))
        yield from _look_up_line(found, key, row + NIL, *named, matches(m, DATE))


def _look_up_line(found: Mapping[str, Table], key: str, *conditions: str, ruled: bool = False) -> Iterator[str]:
    t, k, row = cache("t"), cache("k"), cache("row")
    yield put(k, key, *conditions)
    yield from load(_lines(found, ruled=ruled), k, t, *conditions)
    yield from find(t, k, row, *conditions)


def look_up_by_rules(found: Mapping[str, Table], *conditions: str) -> Iterator[str]:
    """Yield the statements that look up the model by patterns of names, if `look_up` did not find it.

    Args:
        found: The tables, by provider.
        conditions: The conditions of all statements.
    """
    p, rule = cache("p"), cache("rule")
    yield from _by_rules(found, *conditions, cache("row") + NIL)
    yield from _look_up_line(found, joined(p, text("\t"), rule), *conditions, rule + SOME, ruled=True)


def _lines(found: Mapping[str, Table], *, ruled: bool) -> dict[str, str]:
    """Return the lines of exact names and stems of dated ones, or (`ruled`) of the models that patterns match."""
    lines = {
        f"{provider}\t{name}": "".join(f"\n{provider}\t{line}" for line in lines)
        for provider, table in found.items()
        for name, lines in sorted(table.lines.items())
        if name.startswith("#") is ruled
    }
    return lines if ruled else lines | dict(_dated(found))


def _dated(found: Mapping[str, Table]) -> Iterator[tuple[str, str]]:
    """Yield keys and lines of the stems of dated names."""
    users, rules = _owners(found)
    for provider, table in found.items():
        tried: dict[str, list[Any]] = {}
        for owner in users:
            if provider in users[owner]:
                for key, patterns in rules[owner].items():
                    tried.setdefault(key, []).extend(patterns)
        for stem, key in dated_stems(tried, list(table.lines)).items():
            name = f"{stem}{MARK}"
            renamed = (line.replace(key, name, 1) for line in table.lines[key])
            yield f"{provider}\t{name}", "".join(f"\n{provider}\t{line}" for line in renamed)


def _owners(found: Mapping[str, Table]) -> tuple[dict[str, list[str]], dict[str, dict[str, list[Any]]]]:
    """Return the providers that use the patterns of each owner, and those patterns by key, in the order of trial.

    A provider's own patterns go before those that it shares: owners that others use come last.
    """
    users: dict[str, list[str]] = {}
    rules: dict[str, dict[str, list[Any]]] = {}
    for provider, table in found.items():
        for one in table.rules:
            if provider not in users.setdefault(one.owner, []):
                users[one.owner].append(provider)
            if provider == users[one.owner][0]:
                rules.setdefault(one.owner, {}).setdefault(one.key, []).append(one.matches)
    order = sorted(users, key=lambda owner: (len(users[owner]) > 1, list(users).index(owner)))
    return {owner: users[owner] for owner in order}, rules


def _by_rules(found: Mapping[str, Table], *conditions: str) -> Iterator[str]:
    """Find the key of the first pattern that matches. Providers that resell another's models share its patterns."""
    p, m, rule, at = cache("p"), cache("m"), cache("rule"), cache("rules")
    users, by_key = _owners(found)
    for number, owner in enumerate(users, 1):
        sold = " or ".join(f"{p} == {text(provider)}" for provider in users[owner])
        yield put(at, str(number), *conditions, f"({sold})", rule + NONE, m + SOME)
        for name, rules in by_key[owner].items():
            alternatives = " or ".join(condition(one, m) for one in rules)
            yield put(rule, text(name), f"{at} == {number}", rule + NONE, f"({alternatives})")


def served() -> Iterator[str]:
    """Yield the statements that use a more special line, if there is one: for the service tier, the time, the size."""
    t, k, row = cache("t"), cache("k"), cache("row")
    tier, k2, row2, gap = cache("tier"), cache("k2"), cache("row2"), UNPRICED
    for name in reversed(aliases.TIER):
        yield put(tier, attribute(name), f"IsString({attribute(name)})")
    yield put(k2, joined(k, text("\t@"), f'ConvertCase({tier}, "lower")'), tier + SAID, row + SAID)
    yield from find(t, k2, row2, k2 + SAID)
    p = cache("p")
    same = [f"{p} == {text(one)} and {matches(tier, _names(tiers))}" for one, tiers in _SAME_PRICE.items()]
    standard = " or ".join([matches(tier, _STANDARD), *same])
    always, but_batches = matches(f"{row}[3]", "a"), matches(f"{row}[3]", "b")
    batch = f"({matches(tier, '(?i)^batch$')} and {but_batches})"
    refused = (k2 + SAID, row2 + NIL, f"not ({standard})", f"(not {always} or {batch})")
    yield put(gap, text("the price book has no price for the service tier"), *refused)
    yield put(k, k2, k2 + SAID, row2 + SAID)
    yield put(row, row2, k2 + SAID, row2 + SAID)
    yield from _by_time(t, k, row)
    yield from _by_hour(t, k, row)
    total, k4, row4 = attribute(semconv.INPUT_TOKENS), cache("k4"), cache("row4")
    for number in (1, 2):
        column = f"{row}[{3 + number}]"
        reached = (f'{column} != ""', f"not {matches(column, '-')}", f"{total} > Int({column})")
        yield put(k4, joined(k, text(f"\t>{number}")), row + SAID, *reached)
    yield from find(t, k4, row4, k4 + SAID)
    yield put(row, row4, k4 + SAID)
    yield put(gap, text("the prices of the model do not fit into a table"), row + SAID, f'{row}[3] == "x"')


def _by_time(t: str, k: str, row: str) -> Iterator[str]:
    """Use the line that was valid at the time of the call, if that is before or after the current one."""
    when, k3, row3 = cache("when"), cache("k3"), cache("row3")
    yield put(when, "UnixSeconds(span.start_time)", row + SAID)
    yield put(k3, joined(k, text("\t<")), row + SAID, f'{row}[1] != ""', f"{when} < Int({row}[1])")
    yield put(k3, joined(k, text("\t~")), row + SAID, f'{row}[2] != ""', f"{when} >= Int({row}[2])")
    yield from find(t, k3, row3, k3 + SAID)
    bounds = (f'{row3}[1] != "" and {when} < Int({row3}[1])', f'{row3}[2] != "" and {when} >= Int({row3}[2])')
    outside = f"({row3}{NIL} or {bounds[0]} or {bounds[1]})"
    reason = text("this configuration does not know the price at the time of the call")
    yield put(UNPRICED, reason, k3 + SAID, outside)
    yield put(k, k3, k3 + SAID, row3 + SAID)
    yield put(row, row3, k3 + SAID, row3 + SAID)


def _by_hour(t: str, k: str, row: str) -> Iterator[str]:
    """Use the line for the hours of the day, if the model has such prices and the day is one of theirs."""
    second, day, begin, end, k5, row5 = (cache(name) for name in ("second", "day", "begin", "end", "k5", "row5"))
    begun_on, weekday = cache("begun on"), cache("weekday")
    yield put(day, f"{cache('when')} / 86400", row + SAID, matches(f"{row}[3]", "d"))
    by_hour = day + SAID
    yield put(second, f"{cache('when')} - {day} * 86400", by_hour)
    for column in (4, 5):
        window = (by_hour, f'{row}[{column}] != ""')
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
    yield from find(t, k5, row5, k5 + SAID)
    yield put(row, row5, k5 + SAID)
