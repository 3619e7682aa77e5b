"""Runs: what the application itself calls one piece of work, with an allowance perhaps, and what it has spent so far.

A run lives in the OpenTelemetry context, as the current span does, so it follows tasks and, through the threading
instrumentation, threads. Runs nest: what is spent in the inner one is spent in the outer ones too. They are opened by
`otel_agentcost.run` and read on every call; whether an allowance is kept to is the guard's business, not theirs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast, get_args

from opentelemetry import baggage, context
from opentelemetry.context import Context

from otel_agentcost.core import money
from otel_agentcost.core.budgets import MOST, Budget, Unit
from otel_agentcost.telemetry.rollup import Tally

_UNITS: frozenset[Unit] = frozenset(get_args(Unit))

_KEY = context.create_key("agentcost-runs")


class Run:
    """One run. Its figures are those of its calls that have ended, model and tool calls, its inner runs' included."""

    def __init__(self, name: str, value: str, budget: Budget | None, spent: Callable[[Run], int | None]) -> None:
        self.name = name
        self.value = value
        """What ledgers call it: unique over all processes."""
        self.budget = budget
        """Its allowance; None where it has none."""
        self.outer: tuple[Run, ...] = ()
        """The runs round this one, the nearest first."""
        self.tally = Tally()
        self._spent = spent
        self._adjusted = money.ZERO

    def __repr__(self) -> str:
        return f"<run {self.name!r}: ${self.cost_usd} spent, {self.llm_calls} model calls>"

    @property
    def cost_usd(self) -> Decimal:
        """US dollars spent so far. Calls without a known price add nothing: see `unpriced_calls`."""
        return _plain(max(money.ZERO, money.add(self.tally.usd, self._adjusted)))

    def adjusted(self, usd: Decimal) -> None:
        """The application has corrected what was spent, which never falls below zero: as in the ledger."""
        self._adjusted = max(self.tally.usd.copy_negate(), money.add(self._adjusted, usd))

    @property
    def remaining_usd(self) -> Decimal | None:
        """US dollars that are left of this run's allowance, or of that of a run round it if that is less.

        What calls in flight hold is not subtracted. None where no dollars are limited; 0 where they are used up.
        """
        left = [run.left() for run in (self, *self.outer)]
        limited = [usd for usd in left if usd is not None]
        return _plain(min(limited)) if limited else None

    def left(self) -> Decimal | None:
        """What is left of this run's own dollars; None where it limits none."""
        limit = self.budget.limits.get("nano_usd") if self.budget is not None else None
        if limit is None:
            return None
        spent = self._spent(self)  # the ledger's word: other processes may count in the same run
        if spent is None:
            spent = money.to_nano(self.cost_usd)
        return money.from_nano(max(0, limit - spent))

    @property
    def llm_calls(self) -> int:
        """Model calls that have ended; refused ones are not made, and not counted."""
        return self.tally.llm_calls

    @property
    def tool_calls(self) -> int:
        """Tool calls that have ended."""
        return self.tally.tool_calls

    @property
    def input_tokens(self) -> int:
        """Input tokens, cached ones included."""
        return self.tally.input_tokens

    @property
    def output_tokens(self) -> int:
        """Output tokens, reasoning included."""
        return self.tally.output_tokens

    @property
    def unpriced_calls(self) -> int:
        """Model calls that `cost_usd` does not, or not wholly, contain."""
        return self.tally.unpriced_calls


def _plain(usd: Decimal) -> Decimal:
    """The same amount as people write it: without zeros at its end."""
    written = f"{usd:f}"
    return Decimal(written.rstrip("0").rstrip(".")) if "." in written else usd


def current(ctx: Context) -> tuple[Run, ...]:
    """The runs that `ctx` is in, the innermost first."""
    return cast("tuple[Run, ...]", context.get_value(_KEY, ctx) or ())


def entered(run: Run, ctx: Context, *, carry: bool = False) -> Context:
    """`ctx` within `run`. `carry` writes its allowance into the baggage that goes out with requests."""
    run.outer = current(ctx)
    ctx = context.set_value(_KEY, (run, *run.outer), ctx)
    if not carry or run.budget is None:
        return ctx
    all_of_them = [*_carried(ctx), {"run": run.value, "name": run.name, "limits": dict(run.budget.limits)}]
    return baggage.set_baggage(_BAGGAGE, json.dumps(all_of_them[-_MOST_CARRIED:], separators=(",", ":")), ctx)


# --- From one service to the next ---

_BAGGAGE = "agentcost.runs"
_MOST_CARRIED = 4


def carried(ctx: Context, own: tuple[Run, ...]) -> list[tuple[Budget, str]]:
    """The allowances of runs that were opened in other services, and came with the request that is being served."""
    known = {run.value for run in own}
    found: list[tuple[Budget, str]] = []
    for each in _carried(ctx):
        limits: dict[Unit, int] = {
            unit: limit for unit, limit in each["limits"].items() if unit in _UNITS and type(limit) is int
        }
        if each["run"] not in known and limits and all(0 < limit <= MOST for limit in limits.values()):
            found.append((Budget(scope="run", name=str(each["name"]), limits=limits), str(each["run"])))
    return found


def _carried(ctx: Context) -> list[Any]:
    written = baggage.get_baggage(_BAGGAGE, ctx)
    if not isinstance(written, str):
        return []
    try:
        found = json.loads(written)
        whole = all(each["limits"].items() is not None and each["run"] and "name" in each for each in found)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):  # it comes from outside
        return []
    return list(found)[:_MOST_CARRIED] if whole else []
