"""Compute the cost from counts and rates, or set the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost.collector.ottl import (
    ASSUMED,
    COST,
    MORE,
    NIL,
    SAID,
    UNPRICED,
    attribute,
    cache,
    coalesce,
    cut_off,
    drop,
    matches,
    put,
    text,
)
from otel_agentcost.collector.tables import KINDS
from otel_agentcost.collector.uplifts import PER_TOKEN
from otel_agentcost.core import aliases, semconv

_FIRST = 6
"""The column of the first rate."""
_ROW, _GAP, _PAYS = cache("row"), cache("gap"), cache("pay")
_PAY = f"{_PAYS} == true"
_SHORT = ("i", "o", "r", "w", "h", "e")
_INPUT, _OUTPUT, _READ, _WRITTEN, _HOUR, _THOUGHT = _COUNTS = tuple(cache(short) for short in _SHORT)
_USD = dict(zip(_COUNTS, (cache(f"{short} usd") for short in _SHORT), strict=True))
"""The paths of US dollars for all tokens of each kind; nil for none."""
_HOURS = attribute(aliases.CACHE_WRITE_1H[0])


def compute_cost() -> Iterator[str]:
    """Yield the statements that compute the cost."""
    yield put(_PAYS, "true", _ROW + SAID, UNPRICED + NIL)
    yield from _counts()
    yield from _by_kind()
    yield from _dollars()
    yield from _open_details()
    missed = (attribute(semconv.INPUT_TOKENS) + SAID, COST + NIL, UNPRICED + NIL, MORE + NIL)
    yield put(UNPRICED, text("the price book has no price for the model"), *missed)
    yield drop(ASSUMED, ASSUMED + SAID, COST + NIL, UNPRICED + SAID)


def _counts() -> Iterator[str]:
    """Split the counts so that each token is counted once."""
    for path, name in (
        (_INPUT, semconv.INPUT_TOKENS), (_OUTPUT, semconv.OUTPUT_TOKENS), (_READ, semconv.CACHE_READ_TOKENS),
        (_WRITTEN, semconv.CACHE_WRITE_TOKENS), (_THOUGHT, semconv.REASONING_TOKENS),
    ):  # fmt: skip
        yield put(path, f"Double({coalesce(attribute(name), '0')})", _PAY)
    yield put(_INPUT, f"{_INPUT} - {_READ} - {_WRITTEN}", _PAY, f"{_READ} + {_WRITTEN} <= {_INPUT}")
    yield put(_THOUGHT, _OUTPUT, _PAY, f"{_THOUGHT} > {_OUTPUT}")
    yield put(_OUTPUT, f"{_OUTPUT} - {_THOUGHT}", _PAY)
    right = (f"IsInt({_HOURS})", f"{_HOURS} >= 0", f"Double({_HOURS}) <= {_WRITTEN}")
    yield put(_HOUR, f"Double({_HOURS})", _PAY, *right)
    yield put(_WRITTEN, f"{_WRITTEN} - {_HOUR}", _HOUR + SAID)


def _by_kind() -> Iterator[str]:
    """Compute US dollars by kind. A kind without a price is a reason beside the dollars of the others."""
    counts = (_INPUT, _READ, _WRITTEN, _HOUR, _OUTPUT, _THOUGHT)
    for column, (kind, count) in enumerate(zip(KINDS, counts, strict=True), _FIRST):
        some, price = (_PAY, f"{count} > 0.0"), f"{_ROW}[{column}]"
        yield put(_USD[count], f"{count} * ({_rate(column)})", *some, f'{price} != "-"')
        yield put(_GAP, text(f"no price for {kind}"), *some, f'{price} == "-"')
    fee, request = cache("fee"), f"{_ROW}[{_FIRST + len(KINDS)}]"
    yield put(fee, "0.0", _PAY)
    yield put(fee, f"Double({request}) * 0.001", _PAY, f'{request} != "0"', f'{request} != "-"')


def _rate(column: int) -> str:
    """Return US dollars for one token."""
    return f"Double({_ROW}[{column}]) * {PER_TOKEN}"


def _dollars() -> Iterator[str]:
    written, output, fee, saved = cache("written usd"), cache("output usd"), cache("fee"), cache("saved")
    for path, (one, other) in ((written, (_WRITTEN, _HOUR)), (output, (_OUTPUT, _THOUGHT))):
        yield put(path, f"{coalesce(_USD[one], '0.0')} + {coalesce(_USD[other], '0.0')}", _PAY)
    first, read = coalesce(_USD[_INPUT], "0.0"), coalesce(_USD[_READ], "0.0")
    yield put(COST, f"{first} + {read} + {written} + {output} + {fee}", _PAY)
    for name, part in (
        (semconv.COST_INPUT, _USD[_INPUT]), (semconv.COST_CACHE_READ, _USD[_READ]),
        (semconv.COST_CACHE_WRITE, written), (semconv.COST_OUTPUT, output), (semconv.COST_TOOL, fee),
    ):  # fmt: skip
        yield put(attribute(name), part, _PAY, f"{part} > 0.0")
    known = (f'{_ROW}[{_FIRST}] != "-"', f'{_ROW}[{_FIRST + 1}] != "-"')
    yield put(saved, f"{_READ} * ({_rate(_FIRST)} - {_rate(_FIRST + 1)})", _PAY, f"{_READ} > 0.0", *known)
    yield put(attribute(semconv.CACHE_SAVINGS), saved, saved + SAID, f"{saved} > 0.0")


def _open_details() -> Iterator[str]:
    """Set the reason if the span lacks a detail that could raise the cost."""
    reason = text("the span does not say for how long its cache writes live; the cheapest is counted")
    yield put(_GAP, reason, _PAY, _GAP + NIL, _HOURS + NIL, f"{_WRITTEN} > 0.0", matches(f"{_ROW}[3]", "h"))
    reason = text("the span does not say with which inference profile it was made; the cheapest is counted")
    yield put(_GAP, reason, _PAY, _GAP + NIL, cut_off("m"))
    reason = text("the span does not say which of its tokens are pictures or sound; the cheapest is counted")
    yield put(_GAP, reason, _PAY, _GAP + NIL, f"{_OUTPUT} > 0.0", matches(f"{_ROW}[3]", "m"))
    yield put(UNPRICED, _GAP, _GAP + SAID)
    yield drop(COST, _PAY, UNPRICED + SAID, f"{COST} == 0.0")  # a lower bound of zero tells nothing
