"""Every exception that this package raises on purpose.

    AgentCostError              base of them all
    ├── BudgetExceeded          a model call does not fit into a budget: it was not made, or its stream was closed
    ├── SettingsError           a setting cannot be understood; the text quotes it and says what to do
    ├── PriceFileError          a file of own prices cannot be used (defined beside its reader, in `pricebook`)
    └── LedgerError             a ledger cannot be opened, reached or read (defined beside its users, in `ledger`)

Only `BudgetExceeded` is ever raised into a model call. Settings, price files and the ledger's address are read at
start-up, and the instrumentor turns what is wrong with them into one log record. What goes wrong while a call is
measured is caught and logged, not raised.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Literal

__all__ = ["AgentCostError", "BudgetExceeded", "SettingsError"]


class AgentCostError(Exception):
    """Base of this package's exceptions. Its text is one or more full sentences for the person who runs the program."""


class SettingsError(AgentCostError):
    """A setting cannot be understood."""


class BudgetExceeded(AgentCostError):
    """A model call does not fit into a budget. It was refused before anything was sent or spent; or, where `cut_off`
    is true, its stream was closed on the way, and what was received is charged.

    Amounts are exact dollars (`Decimal`) where `unit` is "usd", else whole numbers. Those that are not known are None:
    all of them where the ledger did not answer, and the setting `LEDGER_DOWN` says that calls are refused then.
    """

    def __init__(  # noqa: PLR0913 (one keyword for each figure)
        self,
        *,
        budget: str,
        scope: str,
        value: str,
        unit: Literal["usd", "tokens", "calls", "tool_calls", "seconds"],
        limit: Decimal | int | None = None,
        spent: Decimal | int | None = None,
        held: Decimal | int | None = None,
        requested: Decimal | int | None = None,
        trace_id: str | None = None,
        cut_off: bool = False,
        unpriced: str | None = None,
    ) -> None:
        self.budget = budget
        """The rule, as it is written."""
        self.scope = scope
        self.value = value
        """Whose budget it is: the user, the agent, the trace, ..."""
        self.unit = unit
        self.limit = limit
        self.spent = spent
        """When the call was decided upon; this call's own part is not in it."""
        self.held = held
        """By other calls in flight, which may still turn out cheaper."""
        self.requested = requested
        """What this call could have taken at most; of a stream that was closed, what it could have taken by then."""
        self.trace_id = trace_id
        self.cut_off = cut_off
        """Whether the call was made, and its stream closed because going on would have passed the budget."""
        self.unpriced = unpriced
        """Why the price of the model is not known, where the setting `UNPRICED` says that such calls are refused."""
        super().__init__(self._sentence())

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments are not in `args`: without this, no worker process could send one to another.
        return _unpickled, (dict(self.__dict__),)

    def _sentence(self) -> str:
        # A run's own name is in its rule; what tells it from others of that name says nothing to people.
        whose = f" of {self.scope} {self.value:.80}" if self.value and self.scope not in ("total", "run") else ""
        budget = f"The budget {self.budget}{whose}"
        trace = f" (trace {self.trace_id})" if self.trace_id else ""
        if self.unpriced is not None:
            return (
                f"{budget} cannot be held to, because the price of the model is not known, and the call was not "
                f"made{trace}: {self.unpriced.rstrip('. '):.500}. Give it a price in a file of your own "
                "(OTEL_AGENTCOST_PRICES), or set OTEL_AGENTCOST_UNPRICED=allow."
            )
        if self.limit is None or self.spent is None:
            return (
                f"{budget} cannot be checked, because its ledger does not answer, and the call was not made{trace}. "
                "Start the ledger, or set OTEL_AGENTCOST_LEDGER_DOWN=allow."
            )
        if self.unit == "seconds":
            return (
                f"{budget} is used up: {self.spent} of {self.limit} seconds have passed, and the call was not "
                f"made{trace}. Raise the limit, or start a new trace."
            )
        spent, limit = written(self.spent, self.unit), written(self.limit, self.unit)
        holding = f" and {written(self.held, self.unit)} held by calls in flight" if self.held else ""
        requested = written(self.requested, self.unit) if self.requested else ""
        if self.cut_off:
            reached = f", and this call would have come to as much as {requested}" if requested else ""
            return (
                f"{budget} has no room for more of this call's answer, whose stream was closed{trace}: {spent} of "
                f"{limit} was spent{holding} before it{reached}. What was received is charged. Raise the limit, or "
                "give the call an output limit that fits."
            )
        request = f"; this call could take up to {requested}" if requested else ""
        over = _EXACT.add(self.spent, self.requested or 0) > self.limit
        less = (
            "" if "calls" in self.unit else ", or ask for less: a shorter prompt, a lower output limit, a cheaper model"
        )
        remedy = f"Raise the limit{less}."
        waiting = "Retry when they have ended, or make fewer calls at once."
        return (
            f"{budget} has no room for this call, which was not made{trace}: {spent} of {limit} is "
            f"spent{holding}{request}. {remedy if over else waiting}"
        )


BudgetExceeded.__module__ = "otel_agentcost"
"""Where people import it from: tracebacks, logs and `error.type` name it so."""


def _unpickled(fields: dict[str, object]) -> BudgetExceeded:
    error = BudgetExceeded.__new__(BudgetExceeded)
    error.__dict__.update(fields)
    error.args = (error._sentence(),)  # noqa: SLF001 (it is this module's own)
    return error


_EXACT = Context(prec=60)
"""An application may have lowered its own precision, or made inexact sums an error."""

_WORDS = {"tokens": "tokens", "calls": "calls", "tool_calls": "tool calls"}


def written(amount: Decimal | int, unit: str) -> str:
    """An amount of a budget for people: `$1.50`, `1,000 tokens`."""
    if unit != "usd":
        return f"{amount:,} {_WORDS.get(unit, unit)}"
    dollars, _, cents = f"{amount:,f}".partition(".")
    return f"${dollars}.{cents.rstrip('0').ljust(2, '0')}"
