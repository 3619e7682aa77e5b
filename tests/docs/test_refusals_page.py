"""What docs/refusals.md says: its table is that of the tests with the real libraries, and its code runs."""

from __future__ import annotations

import re
from collections.abc import Callable

import otel_agentcost
from tests.integrations.refusals.libraries import ROWS
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.openai_call import ask
from tools import documents

PAGE = (documents.ROOT / "docs" / "refusals.md").read_text(encoding="utf-8")


def test_each_row_is_a_test() -> None:
    """The table has what the tests expect, in their order."""
    lines = ["| library | exception | attempts | where the refusal is |", "|---|---|---|---|"]
    for name, row in ROWS.items():
        where = "`error.__cause__`" if row.seen.wrapped else "the exception"
        lines.append(f"| {name} | `{row.seen.error}` | {row.seen.attempts} | {where} |")
    assert (documents.block(PAGE, "refusals") or "").strip().splitlines() == lines


def test_a_refusal_is_found_wherever_it_is(telemetry: Telemetry) -> None:
    """In itself, below another exception, and not in one that has nothing to do with it."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    defined: dict[str, Callable[[BaseException], BaseException | None]] = {}
    exec(code, {"otel_agentcost": otel_agentcost}, defined)
    find = defined["refusal_of"]
    refused: BaseException | None = None
    with budgeted(telemetry, budgets="process:usd=0.0000001"):
        try:
            ask()
        except otel_agentcost.BudgetExceeded as error:
            refused = error
    assert refused is not None
    outer = ValueError("of a library")
    outer.__cause__ = refused
    assert find(refused) is find(outer) is refused
    assert find(ValueError("of the application")) is None
