"""Runs: pieces of work that the application defines, with their totals and, optionally, a budget.

A run is a block (`blocks.py`): like the attribution, it follows tasks and threads. Runs nest: spend in an inner run
counts in the outer ones too. `otel_agentcost.run` opens runs, and every call reads them. The guard enforces their
budgets, not this module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, get_args

from opentelemetry import baggage
from opentelemetry.context import Context

from otel_agentcost.core import money
from otel_agentcost.core.budgets import MOST, WRITTEN, Budget, Unit
from otel_agentcost.core.run_tables import Amount, Happened, budget_row, tables, to_html
from otel_agentcost.telemetry import blocks
from otel_agentcost.telemetry.blocks import CARRIED_RUNS, Block
from otel_agentcost.telemetry.rollup import Tally
from otel_agentcost.telemetry.run_sums import RunSums

_UNITS: frozenset[Unit] = frozenset(get_args(Unit))


class Run:
    """An open run. Its totals contain all model and tool calls that have ended, those of inner runs too."""

    def __init__(self, name: str, value: str, budget: Budget | None, spent: Callable[[Run], int | None]) -> None:
        """Create a run. Applications use `otel_agentcost.run`.

        Args:
            name: The name of the run.
            value: Its id in ledgers, unique over all processes.
            budget: Its budget; None if it has no limits.
            spent: Returns the nano-dollars that a shared ledger has for the run; None if there is no such ledger.
        """
        self.name = name
        self.value = value
        """The id in ledgers, unique over all processes."""
        self.budget = budget
        """The budget; None if the run has no limits."""
        self.outer: tuple[Run, ...] = ()
        """The enclosing runs, innermost first."""
        self.tally = Tally()
        self.sums = RunSums()
        """What was spent by agent, model and tool, and what happened."""
        self._spent = spent
        self._adjusted = money.ZERO

    def __repr__(self) -> str:
        usd, unpriced = self.cost_usd, self.unpriced_calls
        spent = "cost unknown" if usd is None else f"{'at least ' if unpriced else ''}${usd} spent"
        calls = f"{self.llm_calls} model calls" + (f", {unpriced} unpriced" if unpriced else "")
        return f"<run {self.name!r}: {spent}, {calls}>"

    def _repr_html_(self) -> str:
        """Return the tables of `agentcost run` for a notebook."""
        usd, unpriced = self.cost_usd, self.unpriced_calls
        spent = "unpriced" if usd is None else f"{'>=' if unpriced else ''}${usd}"
        found = tables(self.sums.views(), self._budget_rows(), list(self.sums.events), self.sums.reasons())
        return to_html(f"{self.name}: {spent}", found)

    def _budget_rows(self) -> list[tuple[str, ...]]:
        """Return the budgets of this run and of the enclosing ones."""
        return [
            budget_row(run.budget.text, "", WRITTEN[unit], spent, None, left, limit, "never")
            for run in (self, *self.outer)
            if run.budget is not None
            for unit, spent, left, limit in run.allowances(run.budget)
        ]

    def allowances(self, budget: Budget) -> Iterator[tuple[Unit, Amount, Amount, Amount]]:
        """Yield what is spent, left and allowed of this run's budget in each unit that is counted."""
        tokens = self.input_tokens + self.output_tokens
        counted: dict[Unit, int] = {"tokens": tokens, "calls": self.llm_calls, "tool_calls": self.tool_calls}
        for unit, limit in budget.limits.items():
            if unit == "nano_usd":
                spent = self._spent_nano()
                yield unit, money.from_nano(spent), money.from_nano(max(0, limit - spent)), money.from_nano(limit)
            elif unit in counted:
                yield unit, counted[unit], max(0, limit - counted[unit]), limit

    @property
    def cost_usd(self) -> Decimal | None:
        """US dollars spent so far; None if the only amount to report is zero, and calls of unknown cost were made.

        With `unpriced_calls`, an amount is a lower bound: those calls are not in it, or only in part.
        """
        spent = self._spent_usd()
        return spent if spent or not self.unpriced_calls else None

    def _spent_usd(self) -> Decimal:
        return _plain(max(money.ZERO, money.add(self.tally.usd, self._adjusted)))

    def adjusted(self, usd: Decimal) -> None:
        """Add US dollars to the spent amount. It never falls below zero, as in the ledger."""
        self._adjusted = max(self.tally.usd.copy_negate(), money.add(self._adjusted, usd))

    @property
    def remaining_usd(self) -> Decimal | None:
        """US dollars that remain in the budget of this run or of an enclosing run: the smallest amount.

        Reservations of in-flight calls are not subtracted, nor are calls of unknown cost: no budget in dollars counts
        them, and `unpriced_calls` tells how many there were. None if no run limits dollars; 0 if a limit is reached.
        """
        remaining = [run.own_remaining_usd() for run in (self, *self.outer)]
        limited = [usd for usd in remaining if usd is not None]
        return _plain(min(limited)) if limited else None

    def own_remaining_usd(self) -> Decimal | None:
        """Return the US dollars that remain in the budget of this run alone; None if it limits no dollars."""
        limit = self.budget.limits.get("nano_usd") if self.budget is not None else None
        if limit is None:
            return None
        return money.from_nano(max(0, limit - self._spent_nano()))

    def _spent_nano(self) -> int:
        spent = self._spent(self)  # from the ledger, as other processes may count in the run
        return spent if spent is not None else money.to_nano(self._spent_usd())

    @property
    def llm_calls(self) -> int:
        """Model calls that have ended. Refused calls are not counted."""
        return self.tally.llm_calls

    @property
    def tool_calls(self) -> int:
        """Tool calls that have ended."""
        return self.tally.tool_calls

    @property
    def input_tokens(self) -> int:
        """Input tokens, with cached ones."""
        return self.tally.input_tokens

    @property
    def output_tokens(self) -> int:
        """Output tokens, with reasoning."""
        return self.tally.output_tokens

    @property
    def unpriced_calls(self) -> int:
        """Calls whose cost is unknown in whole or in part, so that `cost_usd` is a lower bound."""
        return self.tally.unpriced_calls


def _plain(usd: Decimal) -> Decimal:
    """Return the same amount without trailing zeros."""
    written = f"{usd:f}"
    return Decimal(written.rstrip("0").rstrip(".")) if "." in written else usd


def current(ctx: Context) -> tuple[Run, ...]:
    """Return the open runs of `ctx`, innermost first."""
    block = blocks.of(ctx)
    return block.runs if block is not None else ()


def happened(kind: str, what: str, *, agent: str | None = None, usd: Decimal | None = None) -> None:
    """Let the open runs of the running code know what happened in them, without content."""
    nusd = None if usd is None else money.to_nano(usd)
    for run in current(blocks.here()):
        run.sums.events.append(Happened(kind, what, agent or "", nusd))


def entered(run: Run, ctx: Context, *, carry: bool = False) -> Context:
    """Return a context in which `run` is the innermost run.

    Args:
        run: The run.
        ctx: The enclosing context.
        carry: True to write the budget of the run to the baggage of outgoing requests.
    """
    outer = blocks.of(ctx)
    run.outer = current(ctx)
    written = outer.carried if outer is not None else None
    if carry and run.budget is not None:
        carried_runs = [*_carried(ctx), {"run": run.value, "name": run.name, "limits": dict(run.budget.limits)}]
        written = json.dumps(carried_runs[-_MAX_CARRIED:], separators=(",", ":"))
        ctx = baggage.set_baggage(CARRIED_RUNS, written, ctx)
    attributes: Mapping[str, str] = outer.attributes if outer is not None else {}
    return blocks.within(ctx, Block(attributes, (run, *run.outer), outer, written))


# --- From one service to the next ---

_MAX_CARRIED = 4


def carried(ctx: Context, own: tuple[Run, ...]) -> list[tuple[Budget, str]]:
    """Return the budgets of runs of other services, from the baggage of the incoming request.

    Args:
        ctx: The context of the call.
        own: The open runs of this service, which are left out.

    Returns:
        Each budget with the id of its run.
    """
    known = {run.value for run in own}
    budgets: list[tuple[Budget, str]] = []
    for each in _carried(ctx):
        limits: dict[Unit, int] = {
            unit: limit for unit, limit in each["limits"].items() if unit in _UNITS and type(limit) is int
        }
        if each["run"] not in known and limits and all(0 < limit <= MOST for limit in limits.values()):
            budgets.append((Budget(scope="run", name=str(each["name"]), limits=limits), str(each["run"])))
    return budgets


def _carried(ctx: Context) -> list[Any]:
    written = baggage.get_baggage(CARRIED_RUNS, ctx)
    if not isinstance(written, str):
        return []
    try:
        runs = json.loads(written)
        valid = all(each["limits"].items() is not None and each["run"] and "name" in each for each in runs)
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
    ):  # other services write it
        return []
    return list(runs)[:_MAX_CARRIED] if valid else []
