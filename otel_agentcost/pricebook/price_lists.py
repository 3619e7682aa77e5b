"""Price lists as they are written, in the compiled book and in users' files alike, read into `core.prices`.

A list maps price keys to dollars ("2.50", or a base price with tiers), beside the conditions under which it applies:
`start_date`, or `start_time` and `end_time`, and for a variant `when`. What cannot be read raises `PriceError` with
a sentence that quotes it. All scalars come as text, as they were written, so that no float ever holds a price.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any, cast

from otel_agentcost.core import money
from otel_agentcost.core.prices import ALWAYS, DAY, PRICE_KEYS, ModelPrices, Period, Price, PriceList, Tiered
from otel_agentcost.core.usage import Kind

_CONDITIONS = frozenset({"start_date", "start_time", "end_time"})


class PriceError(ValueError):
    """A price list says something that cannot be understood; the text quotes it."""


def read_model(name: str, written: Mapping[str, Any]) -> ModelPrices:
    """The prices of the model `name`: `prices` (one list, or several with conditions) and `variants`."""
    minimum = written.get("minimum_seconds", "0")
    if not isinstance(minimum, str) or not minimum.isdecimal():
        raise PriceError(f"minimum_seconds is {minimum!r:.80}, which is not a whole number of seconds")
    lists = [read_list(entry) for entry in _entries(written["prices"], "prices")]
    variants: list[PriceList] = []
    if "variants" in written:
        variants = [read_list(entry, variant=True) for entry in _entries(written["variants"], "variants")]
    return ModelPrices(name, lists, variants, minimum_seconds=int(minimum))


def as_mapping(value: object) -> Mapping[str, Any] | None:
    """`value` where it is a mapping."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None


def as_list(value: object) -> list[Any] | None:
    """`value` where it is a list."""
    return value if isinstance(value, list) else None  # pyright: ignore[reportUnknownVariableType] (mypy bars the cast)


def _entries(written: object, name: str) -> list[Mapping[str, Any]]:
    one = as_mapping(written)
    entries = [as_mapping(entry) for entry in (as_list(written) or [] if one is None else [one])]
    found = [entry for entry in entries if entry is not None]
    if not found or len(found) < len(entries):
        raise PriceError(f"{name} is {written!r:.80}, which is not a list of price lists")
    return found


def read_list(written: Mapping[str, Any], *, variant: bool = False) -> PriceList:
    """One price list with its conditions."""
    prices: dict[Kind, Price] = {}
    for key, value in written.items():
        if key in _CONDITIONS or (variant and key == "when"):
            continue
        unit = PRICE_KEYS.get(key)
        if unit is None:
            raise PriceError(f"{key!r:.80} is not a price key{_meant(key, PRICE_KEYS)}")
        prices[unit.kind] = _price(key, value)
    return PriceList(prices=prices, period=_period(written), terms=_terms(written) if variant else None)


def _meant(key: object, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 (imports for a mistake that few files have)

    close = get_close_matches(str(key)[:80], list(known), n=1)
    return (
        f" (did you mean {close[0]}?)"
        if close
        else " (they are named as in genai-prices: input_mtok, output_mtok, cache_read_mtok, ...)"
    )


def _price(key: str, value: object) -> Price:
    tiered = as_mapping(value)
    if tiered is None:
        return _dollars(key, value)
    tiers = as_list(tiered.get("tiers"))
    if set(tiered) != {"base", "tiers"} or tiers is None:
        raise PriceError(f"{key} is {value!r:.80}, which is neither a number nor a base with tiers")
    steps: dict[int, Decimal] = {}
    for tier in tiers:
        fields = as_mapping(tier) or {}
        if set(fields) != {"start", "price"}:
            raise PriceError(f"a tier of {key} is {tier!r:.80}, which is not a start with a price")
        start = fields["start"]
        if not isinstance(start, str) or not start.isdecimal():
            raise PriceError(f"a tier of {key} starts at {start!r:.80}, which is not a number of tokens")
        steps[int(start)] = _dollars(key, fields["price"])
    return Tiered(_dollars(key, tiered["base"]), tuple(sorted(steps.items())))


def _dollars(key: str, value: object) -> Decimal:
    dollars = money.from_number(value)
    if dollars is None:
        raise PriceError(f"{key} is {value!r:.80}, which is not an amount of dollars")
    return dollars


def _terms(written: Mapping[str, Any]) -> Mapping[str, str]:
    when = written.get("when")
    terms = as_mapping(when) or {}
    if not terms or not all(isinstance(value, str) for value in terms.values()):
        raise PriceError(f"a variant's when is {when!r:.80}, which names no terms (like service_tier: flex)")
    return terms


def _period(written: Mapping[str, Any]) -> Period:
    start, begin, end = (written.get(key) for key in ("start_date", "start_time", "end_time"))
    if start is not None and (begin is not None or end is not None):
        raise PriceError("a price list has either a start_date or a start_time and an end_time")
    if start is not None:
        try:
            day = date.fromisoformat(start)
        except (TypeError, ValueError):
            raise PriceError(f"start_date is {start!r:.80}, which is not a date like 2026-01-31") from None
        return Period(start=datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp())
    if begin is None and end is None:
        return ALWAYS
    return Period(daily=(_time("start_time", begin), _time("end_time", end)))


def _time(key: str, value: object) -> float:
    try:
        found = time.fromisoformat(cast("str", value))
    except (TypeError, ValueError):
        raise PriceError(f"{key} is {value!r:.80}, which is not a time of day in UTC like 16:30") from None
    if found.tzinfo is not None:
        raise PriceError(f"{key} is {value!r:.80}: write it in UTC, without an offset")
    return (found.hour * 3600 + found.minute * 60 + found.second + found.microsecond / 1e6) % DAY
