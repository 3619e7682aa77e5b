"""Google: Gemini and Vertex AI, from an export of Cloud Billing (the BigQuery table `gcp_billing_export_...`)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final, cast

from otel_agentcost.store.bills import _api, _table
from otel_agentcost.store.bills._table import Row
from otel_agentcost.store.bills.bill import Ask, Bill, BillError, BillLine, nano, whole

SUMMARY: Final = (
    "Gemini and Vertex AI, from a Cloud Billing export with --file: JSON lines or CSV of the BigQuery table"
)
NAMES: Final = frozenset({"gcp.gemini", "gcp.vertex_ai"})

_WHAT: Final = "rows of the BigQuery table gcp_billing_export_v1_..., such as bill.jsonl"
_COLUMNS: Final = ("service.description", "sku.description", "usage_start_time", "cost", "currency")
_SERVICES: Final = ("vertex ai", "gemini", "generative language")
_MODEL: Final = re.compile(
    r"gemini[ -]\d+(?:\.\d+)?(?:[ -](?:pro|flash[ -]lite|flash|nano|ultra))?"
    r"|claude[ -](?:opus|sonnet|haiku|\d)[ -]?[\d.]*(?:[ -](?:opus|sonnet|haiku))?",
    re.IGNORECASE,
)
_ALONE: Final = ("credits.", "credits_")
_TO_JSON: Final = "export them as TO_JSON_STRING(credits) AS credits, or all rows as JSON lines"
_TIERS: Final = ("batch", "flex", "priority")


def fetch(ask: Ask) -> Bill:
    """Return the bill. Raises `BillError`."""
    path = _table.file_of(ask, _WHAT)
    lines: list[BillLine] = []
    anything, credited = False, True
    for written in _table.rows(path):
        anything = True
        row = _named(written)
        if not _table.has(row, _COLUMNS):
            missing = next(name for name in _COLUMNS if name not in row)
            raise BillError(f"{path} is no export of Cloud Billing: it has no column {missing}.")
        if any(name in str(row["service.description"]).lower() for name in _SERVICES):
            lines += _lines(row, path)
            credited = credited and "credits" in row
    if not lines:
        said = "has no line of Gemini or Vertex AI" if anything else "is empty"
        raise BillError(f"{path} {said}: name {_WHAT}.")
    note = "An export of Google has no number of requests: tokens that are missing count as coverage, unless calls of "
    note += "the same day were estimated."
    notes = (note,) if credited else (note, "The export has no column credits: if there were any, they are not in it.")
    return Bill(provider="google", names=NAMES, origin=str(path), lines=lines, notes=notes)


def _named(row: Row) -> Row:
    """Return a row whose nested columns have points: a CSV may have `service_description`."""
    pairs = ("service", "sku", "usage")
    names = {f"{first}_{last}": f"{first}.{last}" for first in pairs for last in ("description", "amount", "unit")}
    return {names.get(name, name): value for name, value in row.items()}


def _lines(row: Row, path: Path) -> Iterator[BillLine]:
    _api.dollars(row["currency"], f"Google in {path.name}")
    day, sku = _table.day_in(row, "usage_start_time", path), str(row["sku.description"])
    nusd = nano(row["cost"])
    if nusd is None:
        raise BillError(f"{path} has a cost of {day} that is no number: {str(row['cost'])[:40]!r}.")
    if str(row.get("cost_type") or "regular") != "regular":
        yield BillLine(day, "", "", str(row["cost_type"]), "other", nusd)
        return
    for credit in _credits(row, day, path):
        amount = nano(credit.get("amount"))
        if amount is None:
            raise BillError(f"{path} has a credit of {day} that is no number.")
        yield BillLine(day, "", "", f"credit {credit.get('name') or ''}".strip(), "other", amount)
    model, kind = _MODEL.search(sku), _kind(sku)
    if model is None or kind is None:
        yield BillLine(day, "", "", sku[:80], "tool", nusd)
        return
    tier = next((name for name in _TIERS if name in sku.lower()), "")
    tokens = whole(row.get("usage.amount"))
    yield BillLine(day, model[0], tier, kind, "tokens", nusd, None, tokens)


def _credits(row: Row, day: str, path: Path) -> list[Row]:
    """Return the credits of a row: a list, or its JSON in a cell of a CSV.

    Raises:
        BillError: They are written in another way: dollars must not be lost.
    """
    if alone := next((name for name in row if str(name).startswith(_ALONE) and row[name]), None):
        raise BillError(f"{path} has credits in a column {alone}: {_TO_JSON}.")
    written: object = row.get("credits")
    if isinstance(written, str):
        written = _parsed(written.strip(), day, path)
    if written is None:
        return []
    listed = cast("list[object]", written) if isinstance(written, list) else [None]
    given = [each for each in listed if _table.is_row(each)]
    if len(given) < len(listed):
        raise BillError(f"{path} has credits of {day} that are no list of objects: {_TO_JSON}.")
    return given


def _parsed(text: str, day: str, path: Path) -> object:
    try:
        return json.loads(text, parse_float=Decimal) if text else None
    except ValueError:
        raise BillError(f"{path} has credits of {day} that are no JSON ({text[:40]!r}): {_TO_JSON}.") from None


def _kind(sku: str) -> str | None:
    text = sku.lower()
    about = next((f"{name} " for name in ("audio", "image", "video") if name in text), "")
    if "storage" in text or "grounding" in text:
        return None
    if "cach" in text:
        return f"{about}cache {'write' if 'write' in text else 'read'}"
    if "output" in text:
        return f"{about}output"
    return f"{about}input" if "input" in text else None
