"""AWS: what Bedrock costs, from an export of the bill: CUR 2.0, or FOCUS."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from otel_agentcost.store.bills import _api, _table
from otel_agentcost.store.bills._table import Row
from otel_agentcost.store.bills.bill import Ask, Bill, BillError, BillLine, nano, whole

SUMMARY: Final = "Bedrock, from an export with --file: CUR 2.0 or FOCUS, as CSV"
NAMES: Final = frozenset({"aws.bedrock"})

_WHAT: Final = "an export of CUR 2.0 or FOCUS, such as cur.csv.gz"
_CUR: Final = (
    "line_item_usage_start_date",
    "line_item_usage_type",
    "line_item_unblended_cost",
    "line_item_currency_code",
)
_FOCUS: Final = ("ChargePeriodStart", "BilledCost", "BillingCurrency", "ServiceName")

_TYPE: Final = re.compile(
    r"(?:[A-Z]{2,4}\d?-)?(?P<model>.+?)-(?:mantle-)?(?P<kind>cache-read|cache-write|input|output)"
    r"(?:-input)?-token(?:s|-count)(?P<rest>.*)",
    re.IGNORECASE,
)
"""`USE1-Claude4.6Sonnet-cache-read-input-token-count`, `USW2-zai.glm-4.7-mantle-output-tokens-flex`."""
_TIERS: Final = ("batch", "flex", "priority", "latency-optimized")
_USAGE: Final = ("Usage", "DiscountedUsage", "SavingsPlanCoveredUsage")
"""Sorts of lines that are no credits, taxes and fees."""


def fetch(ask: Ask) -> Bill:
    """Return the bill. Raises `BillError`."""
    path = _table.file_of(ask, _WHAT)
    lines: list[BillLine] = []
    anything = False
    for row in _table.rows(path):
        anything = True
        if _table.has(row, _CUR):
            line = _of_cur(row, path)
        elif _table.has(row, _FOCUS):
            line = _of_focus(row, path)
        else:
            raise BillError(f"{path} is no export of AWS: it has neither the columns of CUR 2.0 nor those of FOCUS.")
        if line is not None:
            lines.append(line)
    if not lines:
        said = "has no line of Amazon Bedrock" if anything else "is empty"
        raise BillError(f"{path} {said}: name {_WHAT}.")
    note = "An export of AWS has no number of requests: tokens that are missing count as coverage, unless calls of the "
    note += "same day were estimated. Its tags and days can be late by 24 hours."
    return Bill(provider="aws", names=NAMES, origin=str(path), lines=lines, notes=(note,))


def _of_cur(row: Row, path: Path) -> BillLine | None:
    words = ("line_item_product_code", "product_servicecode", "line_item_line_item_description", "line_item_usage_type")
    if "bedrock" not in " ".join(str(row.get(name) or "") for name in words).lower():
        return None
    _api.dollars(row["line_item_currency_code"], f"AWS in {path.name}")
    day = _table.day_in(row, "line_item_usage_start_date", path)
    sort = str(row.get("line_item_line_item_type") or "Usage")
    cost = row["line_item_unblended_cost"]
    unit = str(row.get("pricing_unit") or "")
    return _line(day, str(row["line_item_usage_type"]), cost, row.get("line_item_usage_amount"), unit, sort, path)


def _of_focus(row: Row, path: Path) -> BillLine | None:
    if "bedrock" not in f"{row['ServiceName']} {row.get('ChargeDescription') or ''}".lower():
        return None
    _api.dollars(row["BillingCurrency"], f"AWS in {path.name}")
    day = _table.day_in(row, "ChargePeriodStart", path)
    sort = str(row.get("ChargeCategory") or "Usage")
    usage = next((str(row[name]) for name in ("x_UsageType", "SkuMeter", "SkuId") if row.get(name)), "")
    unit = str(row.get("ConsumedUnit") or row.get("PricingUnit") or "")
    quantity = row.get("ConsumedQuantity") or row.get("PricingQuantity")
    return _line(day, usage, row["BilledCost"], quantity, unit, sort, path)


def _line(
    day: str,
    usage: str,
    cost: object,
    quantity: object,
    unit: str,
    sort: str,
    path: Path,
) -> BillLine:
    nusd = nano(cost)
    if nusd is None:
        raise BillError(f"{path} has an amount of {day} that is no number: {str(cost)[:40]!r}.")
    if sort not in _USAGE:
        return BillLine(day, "", "", sort.lower(), "other", nusd)
    found = _TYPE.fullmatch(usage)
    if found is None:
        return BillLine(day, "", "", usage or "an amount without a usage type", "tool", nusd)
    rest, kind = found["rest"].lower(), found["kind"].lower().replace("-", " ")
    tier = next((name for name in _TIERS if name in rest), "")
    if kind == "cache write" and "1-hour" in rest:
        kind = "cache write 1h"
    return BillLine(day, found["model"], tier, kind, "tokens", nusd, None, whole(quantity, times=_times(unit)))


def _times(unit: str) -> int:
    """Return the tokens of a unit. AWS counts thousands, unless it says otherwise."""
    text = unit.lower()
    if "1m" in text or "million" in text:
        return 1_000_000
    return 1 if text.strip() in ("tokens", "token", "count") else 1000
