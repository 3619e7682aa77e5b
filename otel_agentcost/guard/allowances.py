"""Allowances: spent, reserved and left of each budget, and when it begins anew, for people to look at.

Reads the ledger and changes nothing. A budget counts in each of its units by itself, so it has an allowance for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone, tzinfo
from typing import NamedTuple

from otel_agentcost.core import money
from otel_agentcost.core.budgets import WRITTEN, Budget, Period, Scope, overlapping, period, rolling_seconds
from otel_agentcost.core.ledger import UNITS, Ledger, Standing, Unit
from otel_agentcost.core.run_tables import Amount, budget_row, resets

_NAMELESS: frozenset[Scope] = frozenset({"total"})
"""Scopes with one value, which need no call to be known."""


class Allowance(NamedTuple):
    """One budget of one value in one unit, in its present window."""

    budget: str
    """The rule."""
    scope: Scope
    value: str
    """The user, agent or other value of the scope; empty for a budget of all calls."""
    unit: str
    """`usd`, `tokens`, `calls` or `tool_calls`."""
    limit: Amount
    spent: Amount
    reserved: Amount
    """Reserved by calls in flight."""
    left: Amount
    """The limit without what is spent and reserved; 0 if that is more than the limit."""
    resets_at: datetime | None
    """The end of the window; None for a budget without one, and for a rolling window, which has none."""
    rolling: int | None = None
    """The seconds of a rolling window, in which spend is freed as it gets older; None for others."""


def row(each: Allowance) -> tuple[str, ...]:
    """Return the row of an allowance, for people."""
    return budget_row(
        each.budget,
        each.value,
        each.unit,
        each.spent,
        each.reserved,
        each.left,
        each.limit,
        resets(each.resets_at, rolling=each.rolling is not None),
    )


def of(
    rules: Iterable[tuple[Budget, str]],
    standing: Callable[[str], Standing | None],
    now: float,
    zone: tzinfo,
    *,
    rolling: bool = True,
) -> list[Allowance]:
    """Return the allowances of budgets.

    Args:
        rules: The budgets, each with the value of its scope.
        standing: Returns what the ledger has under a key; None if it does not answer.
        now: The time in seconds since the epoch.
        zone: The time zone of windows.
        rolling: False if the ledger does not know rolling windows.
    """
    found: list[Allowance] = []
    for budget, value in rules:
        within = _period(budget, now, zone, rolling=rolling)
        stands = standing(budget.key(value, within))
        if stands is None:
            continue
        fixed = within.ends is not None and rolling_seconds(budget.window) is None
        ends = datetime.fromtimestamp(within.ends, zone) if fixed and within.ends is not None else None
        found += [_allowance(budget, value, unit, stands, ends) for unit in UNITS if unit in budget.limits]
    return found


def of_ledger(rules: Sequence[Budget], ledger: Ledger, now: float, zone: tzinfo) -> list[Allowance]:
    """Return the allowances of the budgets that a ledger has accounts for, and of those that need none to be known.

    Args:
        rules: The budgets.
        ledger: The ledger, which is asked as it is.
        now: The time in seconds since the epoch.
        zone: The time zone of windows.

    Raises:
        LedgerError: The ledger does not answer.
    """
    rolling = getattr(ledger, "rolling", False)
    known = in_ledger(rules, ledger.keys(now=now), now, zone, rolling=rolling)
    return of(known, lambda key: ledger.standing(key, now=now), now, zone, rolling=rolling)


def _period(budget: Budget, now: float, zone: tzinfo, *, rolling: bool) -> Period:
    if not rolling and budget.window is not None and rolling_seconds(budget.window) is not None:
        return overlapping(budget.window, now)[0]
    return period(budget.window, now, zone)


def applying(rules: Iterable[Budget], scopes: Mapping[Scope, str]) -> list[tuple[Budget, str]]:
    """Return the rules that apply to calls with the values `scopes`, each with its value."""
    values = ((budget, budget.value(scopes)) for budget in rules)
    return [(budget, value) for budget, value in values if value is not None]


def in_ledger(
    rules: Sequence[Budget], keys: Iterable[str], now: float, zone: tzinfo, *, rolling: bool = True
) -> list[tuple[Budget, str]]:
    """Return the budgets that have an account in their present window, and those that need none to be known."""
    accounts = [key.split("/", 2) for key in keys if key.count("/") >= 2]
    found: dict[tuple[str, str], tuple[Budget, str]] = {}
    for budget in rules:
        label = _period(budget, now, zone, rolling=rolling).label or "all"
        if budget.name is not None or budget.scope in _NAMELESS:
            found[budget.text, budget.name or ""] = budget, budget.name or ""
        for scope, window, value in accounts:
            if scope == budget.scope and window == label and budget.name in (None, value):
                found[budget.text, value] = budget, value
    return list(found.values())


def _allowance(budget: Budget, value: str, unit: Unit, stands: Standing, ends: datetime | None) -> Allowance:
    limit, spent, reserved = budget.limits[unit], stands.spent[unit], stands.held[unit]
    left = max(0, limit - spent - reserved)
    shown = money.from_nano if unit == "nano_usd" else int
    amounts: tuple[Amount, Amount, Amount, Amount] = (shown(limit), shown(spent), shown(reserved), shown(left))
    rolling = rolling_seconds(budget.window)
    return Allowance(budget.text, budget.scope, value, WRITTEN[unit], *amounts, ends, rolling)


def utc(ends: datetime | None) -> str | None:
    """Write the end of a window; None for a budget without one."""
    return ends.astimezone(timezone.utc).isoformat(timespec="seconds") if ends is not None else None
