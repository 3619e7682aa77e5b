"""The tables of one run: what was spent by agent, model and tool, the budgets, what happened, and what has no price.

`agentcost run` writes them as text, and a run in a notebook as HTML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import Final, NamedTuple

from otel_agentcost.core import money
from otel_agentcost.core.spend import Spend, Table, shown, table_html, table_of

VIEWS: Final = ("agent", "model", "tool")
"""The groupings of the tables."""

BUDGET_HEADS: Final = ("budget", "whose", "unit", "spent", "reserved", "left", "limit", "resets at")
BUDGET_WORDS: Final = 3

_HAPPENED: Final = (("refusal", "refused calls"), ("loop", "loops"), ("adjustment", "adjustments"))

Amount = Decimal | int
"""US dollars, or a whole number of the unit."""


class Happened(NamedTuple):
    """Something that happened and is no call: a loop, a refusal, an adjustment."""

    kind: str
    what: str
    agent: str
    nusd: int | None


def tables(
    views: Mapping[str, Spend], budgets: Sequence[Sequence[str]], events: Sequence[Happened], reasons: Mapping[str, int]
) -> list[Table]:
    """Return the tables of a run that have something in them.

    Args:
        views: What was spent, by each of `VIEWS`.
        budgets: Rows from `budget_row`.
        events: What happened.
        reasons: Why calls are unpriced, and how many.
    """
    found = [
        table_of(spend, f"by {name}") for name, spend in views.items() if any(line.keys[0] for line in spend.lines)
    ]
    if budgets:
        found.append(Table("budgets", BUDGET_HEADS, budgets, BUDGET_WORDS))
    for kind, title in _HAPPENED:
        sentences = _sentences(event for event in events if event.kind == kind)
        if sentences:
            found.append(Table(title, (), sentences, 1))
    if reasons:
        found.append(Table("unpriced", (), [(sentence,) for sentence in unpriced(reasons)], 1))
    return found


def budget_row(
    budget: str,
    value: str,
    unit: str,
    spent: Amount,
    reserved: Amount | None,
    left: Amount,
    limit: Amount,
    renewed: str,
) -> tuple[str, ...]:
    """Return the row of a budget; `reserved` is None where it is not known."""
    return (budget, shown(value), unit, *map(_amount, (spent, reserved, left, limit)), renewed)


def resets(at: datetime | None, *, rolling: bool) -> str:
    """Return when a budget begins anew, for its row."""
    if at is not None:
        return at.strftime("%Y-%m-%d %H:%M %Z")
    return "as it gets older" if rolling else "never"


def unpriced(reasons: Mapping[str, int]) -> list[str]:
    """Return why calls are unpriced, the most frequent reason first."""
    return [
        f"{calls:,} {'call' if calls == 1 else 'calls'}: {shown(reason)}"
        for reason, calls in sorted(reasons.items(), key=lambda each: -each[1])
    ]


def usd(nusd: int) -> str:
    """Write billionths of a dollar: `$0.012000`, `-$0.012000`."""
    return f"{'-' if nusd < 0 else ''}${money.from_nano(abs(nusd)):.6f}"


def to_html(title: str, found: Iterable[Table]) -> str:
    """Return the tables of a run for a notebook, without styles that it would not have."""
    return f"<p><strong>{escape(title)}</strong></p>{''.join(map(table_html, found))}"


def _sentences(events: Iterable[Happened]) -> list[tuple[str]]:
    counted = Counter((event.what, event.agent, event.nusd) for event in events)
    found: list[tuple[str]] = []
    for (what, agent, nusd), times in counted.items():
        who = f", agent {shown(agent)}" if agent else ""
        cost = f", {usd(nusd)}" if nusd else ""
        found.append((f"{shown(what)}{who}{cost}" + (f" ({times} times)" if times > 1 else ""),))
    return found


def _amount(amount: Amount | None) -> str:
    if amount is None:
        return "-"
    return f"${amount:.6f}" if isinstance(amount, Decimal) else f"{amount:,}"
