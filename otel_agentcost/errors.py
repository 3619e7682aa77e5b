"""Every exception that this package raises on purpose.

    AgentCostError              base of them all
    ├── BudgetExceeded          a model call does not fit into a budget, and was not made
    ├── SettingsError           a setting cannot be understood; the text quotes it and says what to do
    └── PriceFileError          a file of own prices cannot be used (defined beside its reader, in `pricebook`)

Only `BudgetExceeded` is ever raised into a model call, and nothing was sent then. Settings and price files are read
at start-up, and the instrumentor turns what is wrong with them into one log record. What goes wrong while a call is
measured is caught and logged, not raised.
"""

from __future__ import annotations

__all__ = ["AgentCostError", "BudgetExceeded", "SettingsError"]


class AgentCostError(Exception):
    """Base of this package's exceptions. Its text is one or more full sentences for the person who runs the program."""


class SettingsError(AgentCostError):
    """A setting cannot be understood."""


class BudgetExceeded(AgentCostError):
    """A model call was refused before it was made: it does not fit into a budget. Nothing was sent or spent.

    Amounts are in whole units, dollars in billionths (`unit` is then "nano_usd"). They are None where the ledger did
    not answer and the setting `LEDGER_DOWN` says that calls are refused then.
    """

    def __init__(  # noqa: PLR0913 (one keyword for each figure)
        self,
        *,
        budget: str,
        scope: str,
        value: str,
        unit: str,
        limit: int | None = None,
        spent: int | None = None,
        held: int | None = None,
        requested: int | None = None,
        trace_id: str | None = None,
    ) -> None:
        self.budget = budget
        """The rule, as it is written."""
        self.scope = scope
        self.value = value
        """Whose budget it is: the user, the agent, the trace, ..."""
        self.unit = unit
        self.limit = limit
        self.spent = spent
        self.held = held
        """By calls in flight, which may still turn out cheaper."""
        self.requested = requested
        """What this call could have taken at most."""
        self.trace_id = trace_id
        super().__init__(self._sentence())

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments are not in `args`: without this, no worker process could send one to another.
        return _unpickled, (dict(self.__dict__),)

    def _sentence(self) -> str:
        whose = f" of {self.scope} {self.value:.80}" if self.value and self.scope != "total" else ""
        trace = f" (trace {self.trace_id})" if self.trace_id else ""
        if self.limit is None or self.spent is None:
            return (
                f"The budget {self.budget}{whose} cannot be checked, because its ledger does not answer, and the call "
                f"was not made{trace}. Start the ledger, or set OTEL_AGENTCOST_LEDGER_DOWN=allow."
            )
        if self.unit == "seconds":
            return (
                f"The budget {self.budget}{whose} is used up: {self.spent} of {self.limit} seconds have passed, and "
                f"the call was not made{trace}. Raise the limit, or start a new trace."
            )
        limit, spent, held, requested = (
            _written(amount or 0, self.unit) for amount in (self.limit, self.spent, self.held, self.requested)
        )
        holding = f" and {held} held by calls in flight" if self.held else ""
        request = f"; this call could take up to {requested}" if self.requested else ""
        over = self.spent + (self.requested or 0) > self.limit
        remedy = "Raise the limit, or ask for less: a shorter prompt, a lower output limit, a cheaper model."
        waiting = "Retry when they have ended, or make fewer calls at once."
        return (
            f"The budget {self.budget}{whose} has no room for this call, which was not made{trace}: {spent} of {limit} "
            f"is spent{holding}{request}. {remedy if over else waiting}"
        )


def _unpickled(fields: dict[str, object]) -> BudgetExceeded:
    error = BudgetExceeded.__new__(BudgetExceeded)
    error.__dict__.update(fields)
    error.args = (error._sentence(),)  # noqa: SLF001 (it is this module's own)
    return error


_WORDS = {"tokens": "tokens", "calls": "calls", "tool_calls": "tool calls"}


def _written(amount: int, unit: str) -> str:
    if unit != "nano_usd":
        return f"{amount:,} {_WORDS.get(unit, unit)}"
    dollars, rest = divmod(amount, 10**9)
    cents = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"${dollars:,}.{cents}"
