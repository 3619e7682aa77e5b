"""Correct price lists of the genai-prices data set: the days of prices by the hour, and prices that it does not have.

The rows are in `corrections.json`. They apply to the bundled book and to newer ones: days only to price lists for the
very hours that a row names, and prices only to lists without a price of that kind. `uplifts.py` has the rest of that
file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from otel_agentcost.pricebook.data_files import read_table

Entry = Mapping[str, Any]


@cache
def _rows() -> Mapping[str, Mapping[tuple[str, str], Entry]]:
    """Return the conditions to add, by provider and hours."""
    found: dict[str, dict[tuple[str, str], Entry]] = {}
    for row in read_table("corrections.json")["hours"]:
        conditions = {key: row[key] for key in ("start_date", "days", "except") if key in row}
        for begin, end in row["hours"]:
            found.setdefault(row["provider"], {})[begin, end] = conditions
    return found


@cache
def _added() -> Mapping[str, Mapping[str, Entry]]:
    """Return the prices to add, by provider and by the model's id in the book."""
    found: dict[str, dict[str, Entry]] = {}
    for row in read_table("corrections.json")["prices"]:
        for model in row["models"]:
            found.setdefault(row["provider"], {})[model] = row["add"]
    return found


def corrected(provider: str, entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return the models of a provider with the days that price lists by the hour hold on, and with the added prices.

    Args:
        provider: The id of the provider.
        entries: Its models, as the compiled book has them.
    """
    days, added = _rows().get(provider), _added().get(provider)
    if days is None and added is None:
        return entries
    return [_with(entry, days or {}, (added or {}).get(entry["id"], {})) for entry in entries]


def _with(entry: Entry, days: Mapping[tuple[str, str], Entry], added: Entry) -> Entry:
    changed = dict(entry)
    for field in ("prices", "variants"):
        if field in entry:
            changed[field] = [{**added, **_corrected(one, days)} for one in entry[field]]
    return changed


def _corrected(written: Entry, rows: Mapping[tuple[str, str], Entry]) -> Entry:
    return {**rows.get((written.get("start_time", ""), written.get("end_time", "")), {}), **written}
