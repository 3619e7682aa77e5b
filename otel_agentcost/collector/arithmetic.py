"""Compute the cost from counts and rates, or set the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost.collector.ottl import (
    AGAIN,
    AGAIN_AT,
    ASSUMED,
    COST,
    NIL,
    SAID,
    UNPRICED,
    attribute,
    cache,
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
_ROW, _GAP, _PAY = cache("row"), cache("gap"), f"{cache('pay')} == true"
_SHORT = ("i", "o", "r", "w", "h", "e")
_INPUT, _OUTPUT, _READ, _WRITTEN, _HOUR, _THOUGHT = _COUNTS = tuple(cache(short) for short in _SHORT)
_RATES = dict(zip(_COUNTS, (cache(f"p{short}") for short in _SHORT), strict=True))
"""The paths of US dollars for one token of each kind."""
_HOURS = attribute(aliases.CACHE_WRITE_1H[0])


def compute_cost() -> Iterator[str]:
    """Yield the statements that compute the cost."""
    yield put(cache("pay"), "true", _ROW + SAID, UNPRICED + NIL)
    yield from _counts()
    yield from _rates()
    yield from _dollars()
    yield from _open_details()
    missed = (attribute(semconv.INPUT_TOKENS) + SAID, COST + NIL, UNPRICED + NIL, AGAIN + NIL)
    yield put(UNPRICED, text("the price book has no price for the model"), *missed)
    yield drop(ASSUMED, ASSUMED + SAID, COST + NIL, UNPRICED + SAID)
    for path in (AGAIN, AGAIN_AT):
        yield drop(path, f"({COST}{SAID} or {UNPRICED}{SAID})")


def _counts() -> Iterator[str]:
    """Split the counts so that each token is counted once."""
    for path, name in (
        (_INPUT, semconv.INPUT_TOKENS), (_OUTPUT, semconv.OUTPUT_TOKENS), (_READ, semconv.CACHE_READ_TOKENS),
        (_WRITTEN, semconv.CACHE_WRITE_TOKENS), (_THOUGHT, semconv.REASONING_TOKENS),
    ):  # fmt: skip
        yield put(path, "0.0")
        yield put(path, f"Double({attribute(name)})", _PAY, attribute(name) + SAID)
    yield put(_INPUT, f"{_INPUT} - {_READ} - {_WRITTEN}", f"{_READ} + {_WRITTEN} <= {_INPUT}")
    yield put(_THOUGHT, _OUTPUT, f"{_THOUGHT} > {_OUTPUT}")
    yield put(_OUTPUT, f"{_OUTPUT} - {_THOUGHT}")
    right = (f"IsInt({_HOURS})", f"{_HOURS} >= 0", f"Double({_HOURS}) <= {_WRITTEN}")
    yield put(_HOUR, "0.0")
    yield put(_HOUR, f"Double({_HOURS})", _PAY, *right)
    yield put(_WRITTEN, f"{_WRITTEN} - {_HOUR}", f"{_HOUR} > 0.0")


def _rates() -> Iterator[str]:
    """Read US dollars for one token. A kind without a price is a reason beside the dollars of the others."""
    counts = (_INPUT, _READ, _WRITTEN, _HOUR, _OUTPUT, _THOUGHT)
    for column, (kind, count) in enumerate(zip(KINDS, counts, strict=True), _FIRST):
        rate = _RATES[count]
        yield put(rate, "0.0")
        yield put(rate, f"Double({_ROW}[{column}]) * {PER_TOKEN}", _PAY, f'{_ROW}[{column}] != "-"')
        yield put(_GAP, text(f"no price for {kind}"), _PAY, f'{_ROW}[{column}] == "-"', f"{count} > 0.0")
    fee, request = cache("fee"), f"{_ROW}[{_FIRST + len(KINDS)}]"
    yield put(fee, "0.0")
    yield put(fee, f"Double({request}) * 0.001", _PAY, f'{request} != "0"', f'{request} != "-"')


def _dollars() -> Iterator[str]:
    parts = (
        (semconv.COST_INPUT, (_INPUT,)), (semconv.COST_CACHE_READ, (_READ,)),
        (semconv.COST_CACHE_WRITE, (_WRITTEN, _HOUR)), (semconv.COST_OUTPUT, (_OUTPUT, _THOUGHT)),
    )  # fmt: skip
    sums = [(name, " + ".join(f"{count} * {_RATES[count]}" for count in counts)) for name, counts in parts]
    yield put(COST, " + ".join(f"({part})" for _, part in sums) + f" + {cache('fee')}", _PAY)
    for name, part in sums:
        yield put(attribute(name), part, _PAY, f"{part} > 0.0")
    yield put(attribute(semconv.COST_TOOL), cache("fee"), _PAY, f"{cache('fee')} > 0.0")
    saved = f"{_READ} * ({_RATES[_INPUT]} - {_RATES[_READ]})"
    known = (f'{_ROW}[{_FIRST}] != "-"', f'{_ROW}[{_FIRST + 1}] != "-"')
    yield put(attribute(semconv.CACHE_SAVINGS), saved, _PAY, f"{saved} > 0.0", *known)


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
