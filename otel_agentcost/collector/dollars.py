"""The arithmetic: dollars from counts and rates, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost import names
from otel_agentcost.collector.ottl import (
    AGAIN,
    COST,
    NIL,
    SAID,
    UNPRICED,
    attribute,
    cache,
    drop,
    matches,
    put,
    text,
)


def finish() -> Iterator[str]:
    """Dollars from counts and rates."""
    row, gap = cache("row"), cache("gap")
    counts = (
        ("i", names.INPUT_TOKENS), ("o", names.OUTPUT_TOKENS), ("r", names.CACHE_READ_TOKENS),
        ("w", names.CACHE_WRITE_TOKENS), ("e", names.REASONING_TOKENS),
    )  # fmt: skip
    priced = f"{cache('pay')} == true"
    yield put(cache("pay"), "true", row + SAID, UNPRICED + NIL)
    for short, name in counts:
        yield put(cache(short), "0.0")
        yield put(cache(short), f"Double({attribute(name)})", priced, attribute(name) + SAID)
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
    yield put(COST, whole, priced)
    for name, part in parts:
        yield put(attribute(name), part, priced, f"{part} > 0.0")
    yield put(attribute(names.COST_TOOL), cache("fee"), priced, f"{cache('fee')} > 0.0")
    saved = f"{r} * ({cache('pi')} - {cache('pr')})"
    yield put(attribute(names.CACHE_SAVINGS), saved, priced, f"{saved} > 0.0", f'{row}[7] != "-"')
    hour = "the span does not say for how long its cache writes live; the cheapest is counted"
    yield put(gap, text(hour), priced, gap + NIL, f"{w} > 0.0", matches(f"{row}[3]", "h"))
    yield put(UNPRICED, gap, gap + SAID)
    total = attribute(names.INPUT_TOKENS)
    missed = (total + SAID, COST + NIL, UNPRICED + NIL, AGAIN + NIL)
    yield put(UNPRICED, text("the price book has no price for the model"), *missed)
    yield drop(AGAIN, f"({COST}{SAID} or {UNPRICED}{SAID})")
