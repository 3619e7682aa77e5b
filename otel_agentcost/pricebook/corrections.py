"""Correct price lists of the genai-prices data set in what it cannot say: on which days prices by the hour hold.

The rows are in `corrections.json`. They apply to the bundled book and to newer ones, and only to price lists for the
very hours that a row names. `uplifts.py` has the other half of that file.
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


def corrected(provider: str, entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return the models of a provider with the days that its price lists by the hour hold on.

    Args:
        provider: The id of the provider.
        entries: Its models, as the compiled book has them.
    """
    rows = _rows().get(provider)
    if rows is None:
        return entries
    return [_with_days(entry, rows) for entry in entries]


def _with_days(entry: Entry, rows: Mapping[tuple[str, str], Entry]) -> Entry:
    changed = dict(entry)
    for field in ("prices", "variants"):
        if field in entry:
            changed[field] = [_corrected(one, rows) for one in entry[field]]
    return changed


def _corrected(written: Entry, rows: Mapping[tuple[str, str], Entry]) -> Entry:
    return {**rows.get((written.get("start_time", ""), written.get("end_time", "")), {}), **written}
