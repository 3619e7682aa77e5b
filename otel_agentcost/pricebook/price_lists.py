"""Read price lists, of the compiled book and of users' files alike, into the types of `core.prices`.

A list maps price keys to US dollars ("2.50", or a base price with tiers). Beside them stand the conditions under which
it applies: `start_date`, `start_time` with `end_time`, `days`, `except`; for a variant also `when`. A list that cannot
be read raises `PriceError`, whose text quotes the mistake. All scalars are texts as they were written: no float ever
holds a price.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any, cast

from otel_agentcost.core import money
from otel_agentcost.core.price_periods import ALWAYS, DAY, Period
from otel_agentcost.core.prices import PRICE_KEYS, ModelPrices, Price, PriceList, Tiered
from otel_agentcost.core.usage import Kind

CONDITIONS = ("start_date", "start_time", "end_time", "days", "except")
_EPOCH = date(1970, 1, 1).toordinal()
_LONGEST_HOLIDAY = 366
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class PriceError(ValueError):
    """A price list cannot be understood; the text quotes the mistake."""


def read_model(name: str, written: Mapping[str, Any]) -> ModelPrices:
    """Read the prices of one model.

    Args:
        name: The model's name, for error texts and spans: `provider/model`.
        written: Its fields: `prices` (one list, or several with conditions), `variants`, `minimum_seconds`.

    Raises:
        PriceError: A list cannot be understood.
    """
    minimum = written.get("minimum_seconds", "0")
    if not isinstance(minimum, str) or not minimum.isdecimal():
        raise PriceError(f"minimum_seconds is {minimum!r:.80}, which is not a whole number of seconds")
    lists = [read_list(entry) for entry in _entries(written["prices"], "prices")]
    variants: list[PriceList] = []
    if "variants" in written:
        variants = [read_list(entry, variant=True) for entry in _entries(written["variants"], "variants")]
    return ModelPrices(name, lists, variants, minimum_seconds=int(minimum))


def as_mapping(value: object) -> Mapping[str, Any] | None:
    """Return `value` if it is a mapping, else None."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None


def as_list(value: object) -> list[Any] | None:
    """Return `value` if it is a list, else None."""
    return value if isinstance(value, list) else None  # pyright: ignore[reportUnknownVariableType] (mypy bars the cast)


def _entries(written: object, name: str) -> list[Mapping[str, Any]]:
    one = as_mapping(written)
    entries = [as_mapping(entry) for entry in (as_list(written) or [] if one is None else [one])]
    lists = [entry for entry in entries if entry is not None]
    if not lists or len(lists) < len(entries):
        raise PriceError(f"{name} is {written!r:.80}, which is not a list of price lists")
    return lists


def read_list(written: Mapping[str, Any], *, variant: bool = False) -> PriceList:
    """Read one price list with its conditions.

    Raises:
        PriceError: The list cannot be understood.
    """
    prices: dict[Kind, Price] = {}
    for key, value in written.items():
        if key in CONDITIONS or (variant and key == "when"):
            continue
        unit = PRICE_KEYS.get(key)
        if unit is None:
            raise PriceError(f"{key!r:.80} is not a price key{_suggestion(key, PRICE_KEYS)}")
        prices[unit.kind] = _price(key, value)
    return PriceList(prices=prices, period=_period(written), terms=_terms(written) if variant else None)


def _suggestion(key: object, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 (imports for a mistake that few files have)

    close = get_close_matches(str(key)[:80], list(known), n=1)
    return (
        f" (did you mean {close[0]}?)"
        if close
        else " (the names are those of genai-prices: input_mtok, output_mtok, cache_read_mtok, ...)"
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
    amount = money.from_number(value)
    if amount is None:
        raise PriceError(f"{key} is {value!r:.80}, which is not an amount of dollars")
    return amount


def _terms(written: Mapping[str, Any]) -> Mapping[str, str]:
    when = written.get("when")
    terms = as_mapping(when) or {}
    if not terms or not all(isinstance(value, str) for value in terms.values()):
        raise PriceError(f"a variant's when is {when!r:.80}, which names no terms (like service_tier: flex)")
    return terms


def _period(written: Mapping[str, Any]) -> Period:
    if not any(key in written for key in CONDITIONS):
        return ALWAYS
    begin, end = written.get("start_time"), written.get("end_time")
    hours = None if begin is None and end is None else (_time("start_time", begin), _time("end_time", end))
    days, holidays = written.get("days"), written.get("except")
    return Period(
        start=None if written.get("start_date") is None else start_of(written["start_date"]),
        daily=hours,
        weekdays=None if days is None else _weekdays(days),
        holidays=frozenset() if holidays is None else _dates(holidays),
    )


def start_of(written: object) -> float:
    """Return the first second of a `start_date`.

    Raises:
        PriceError: It is not a date.
    """
    return _day("start_date", written) * DAY


def _weekdays(written: object) -> frozenset[int]:
    found: set[int] = set()
    for item in as_list(written) or [written]:
        first, dash, last = item.lower().partition("-") if isinstance(item, str) else ("", "", "")
        ends = (first.strip(), last.strip() if dash else first.strip())
        if not set(ends) <= set(WEEKDAYS):
            raise PriceError(f"days is {written!r:.80}, which names no days of the week (like mon-fri, or [sat, sun])")
        begin, end = map(WEEKDAYS.index, ends)
        found.update((begin + offset) % 7 for offset in range((end - begin) % 7 + 1))
    return frozenset(found)


def _dates(written: object) -> frozenset[int]:
    found: set[int] = set()
    for item in as_list(written) or [written]:
        first, _, last = item.partition("..") if isinstance(item, str) else (item, "", "")
        begin, end = _day("except", first), _day("except", last or first)
        if not begin <= end <= begin + _LONGEST_HOLIDAY:
            raise PriceError(f"except is {item!r:.80}, which is not a period of up to {_LONGEST_HOLIDAY} days")
        found.update(range(begin, end + 1))
    return frozenset(found)


def _day(key: str, written: object) -> int:
    try:
        return date.fromisoformat(cast("str", written)).toordinal() - _EPOCH
    except (TypeError, ValueError):
        raise PriceError(f"{key} is {written!r:.80}, which is not a date like 2026-01-31") from None


def _time(key: str, value: object) -> float:
    try:
        moment = time.fromisoformat(cast("str", value))
    except (TypeError, ValueError):
        raise PriceError(f"{key} is {value!r:.80}, which is not a time of day in UTC like 16:30") from None
    if moment.tzinfo is not None:
        raise PriceError(f"{key} is {value!r:.80}: write it in UTC, without an offset")
    return (moment.hour * 3600 + moment.minute * 60 + moment.second + moment.microsecond / 1e6) % DAY
