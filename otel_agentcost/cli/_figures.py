"""Figures as text, JSON and CSV, for the commands that read the spend store and the ledger."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from otel_agentcost.core import money
from otel_agentcost.core.run_tables import BUDGET_HEADS, BUDGET_WORDS, unpriced, usd
from otel_agentcost.core.spend import Table, table_of
from otel_agentcost.guard.allowances import Allowance, row, utc
from otel_agentcost.store.questions import Spend, Sums

__all__ = [
    "FORMATS",
    "allowance_json",
    "allowance_table",
    "as_float",
    "as_json",
    "csv_of",
    "lines_json",
    "shielded",
    "spend_csv",
    "spend_json",
    "spend_table",
    "table",
    "text_of",
    "usd",
]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What a terminal or a spreadsheet takes for more than text."""

FORMATS = ("text", "json", "csv")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> str:
    """Return rows below their heads; the first `words` columns are words, the others numbers."""
    whole = [tuple(heads), *map(tuple, rows)]
    widths = [max(len(row[column]) for row in whole) for column in range(len(heads))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in whole
    ]
    return "\n".join(lines)


def as_float(nusd: int) -> float:
    """Return billionths of a dollar as dollars, for a program."""
    return money.to_float(money.from_nano(nusd))


def text_of(found: Table) -> str:
    """Return a table, or a list of sentences, as text."""
    if not found.heads:
        return "\n".join(cell for row in found.rows for cell in row)
    return table(found.heads, found.rows, found.words)


def spend_table(spend: Spend) -> str:
    """Return the lines of an answer, their total, and why calls are unpriced."""
    return "\n".join([text_of(table_of(spend)), *(f"unpriced: {why}" for why in unpriced(spend.reasons))])


def as_json(sums: Sums) -> dict[str, Any]:
    """Return the figures of a line by name. Dollars that are not known are null."""
    usd = sums.usd
    return {
        "calls": sums.calls,
        "tool_calls": sums.tools,
        "input_tokens": sums.input,
        "cache_read_tokens": sums.cache_read,
        "cache_write_tokens": sums.cache_write,
        "output_tokens": sums.output,
        "reasoning_tokens": sums.reasoning,
        "usd": money.to_float(usd) if usd is not None else None,
        "nano_usd": sums.nusd if usd is not None else None,
        "unpriced_calls": max(0, sums.unpriced),
        "saved_by_cache_usd": as_float(sums.saved),
    }


def lines_json(spend: Spend) -> list[dict[str, Any]]:
    """Return the lines of an answer, each with its keys and figures by name."""
    return [{**dict(zip(spend.by, line.keys, strict=True)), **as_json(line.sums)} for line in spend]


def spend_json(spend: Spend) -> dict[str, Any]:
    """Return an answer for a program."""
    return {
        "by": list(spend.by),
        "lines": lines_json(spend),
        "total": as_json(spend.total),
        "unpriced": dict(spend.reasons),
    }


def spend_csv(spend: Spend) -> str:
    """Return the lines of an answer for a spreadsheet. Dollars that are not known are empty."""
    return csv_of(lines_json(spend))


def csv_of(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows with the names of their columns above them."""
    written = io.StringIO()
    writer = csv.DictWriter(written, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(shielded, rows))
    return written.getvalue().rstrip("\n")


def shielded(row: Mapping[str, object]) -> dict[str, object]:
    """Return a row whose texts no spreadsheet takes for formulas."""
    return {name: _shielded(value) for name, value in row.items()}


def _shielded(value: object) -> object:
    """Return a text that no spreadsheet takes for a formula, and no terminal for a command: names come from users."""
    if not isinstance(value, str):
        return value
    text = _CONTROL.sub(lambda found: repr(found[0])[1:-1], value)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


# --- budgets ---


def allowance_table(found: Sequence[Allowance]) -> str:
    """Return budgets as text."""
    return table(BUDGET_HEADS, list(map(row, found)), BUDGET_WORDS)


def allowance_json(each: Allowance) -> dict[str, Any]:
    """Return a budget for a program."""
    amounts = {"limit": each.limit, "spent": each.spent, "reserved": each.reserved, "left": each.left}
    return {
        "budget": each.budget,
        "scope": each.scope,
        "value": each.value,
        "unit": each.unit,
        **{name: money.to_float(value) if isinstance(value, Decimal) else value for name, value in amounts.items()},
        "resets_at": utc(each.resets_at),
        "rolling_seconds": each.rolling,
    }
