"""Every exception that this package raises on purpose.

    AgentCostError              base of them all
    ├── BudgetExceeded          a model call does not fit into a budget: it was not made, or its stream was closed
    ├── LoopDetected            the agent goes round in circles, and its next model call was not made
    ├── SettingsError           a setting cannot be understood; the text quotes it and says what to do
    ├── PriceFileError          a file of own prices cannot be used (defined beside its reader, in `pricebook`)
    └── LedgerError             a ledger cannot be opened, reached or read (defined beside its users, in `ledger`)

Only `BudgetExceeded` and `LoopDetected` are ever raised into a model call. Settings, price files and the ledger's
address are read at start-up, and the instrumentor turns what is wrong with them into one log record. What goes wrong
while a call is measured is caught and logged, not raised.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Literal

__all__ = ["AgentCostError", "BudgetExceeded", "LoopDetected", "SettingsError"]


class AgentCostError(Exception):
    """Base of this package's exceptions. Its text is one or more full sentences for the person who runs the program."""


class _Figured(AgentCostError):
    """One whose text is made from its fields, which are keyword-only."""

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments are not in `args`: without this, no worker process could send one to another.
        return _unpickled, (type(self), dict(self.__dict__))

    def _sentence(self) -> str:
        raise NotImplementedError  # each has its own


def _unpickled(kind: type[_Figured], fields: dict[str, object]) -> _Figured:
    error = kind.__new__(kind)
    error.__dict__.update(fields)
    error.args = (error._sentence(),)  # noqa: SLF001 (it is this module's own)
    return error


class SettingsError(AgentCostError):
    """A setting cannot be understood."""


class BudgetExceeded(_Figured):
    """A model call does not fit into a budget. It was refused before anything was sent or spent; or, where `cut_off`
    is true, its stream was closed on the way, and what was received is charged.

    Amounts are exact dollars (`Decimal`) where `unit` is "usd", else whole numbers. Those that are not known are None:
    all but the limit where the ledger did not answer, or where the price is not known (see `reason`).
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
        ledger: str | None = None,
        circuit: str | None = None,
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
        self.ledger = ledger
        """Why the ledger does not answer, where the setting `LEDGER_DOWN` says that calls are refused then."""
        self.circuit = circuit
        """What has opened the circuit breaker, where that and no budget has refused the call; `budget` is its rule."""
        super().__init__(self._sentence())

    @property
    def reason(self) -> Literal["spent", "held", "seconds", "cut_off", "unpriced", "ledger", "circuit"]:
        """Why: what is left is too little for the call ("spent"), calls in flight hold it ("held"), the time is over,
        the stream was closed; there is no price, or no ledger, to decide by; a circuit breaker is open.
        """
        if self.circuit is not None:
            return "circuit"
        if self.cut_off:
            return "cut_off"
        if self.unpriced is not None:
            return "unpriced"
        if self.limit is None or self.spent is None:
            return "ledger"
        if self.unit == "seconds":
            return "seconds"
        return "spent" if _EXACT.add(self.spent, self.requested or 0) > self.limit else "held"

    def _sentence(self) -> str:
        return {
            "unpriced": self._unpriced_sentence,
            "ledger": self._ledger_sentence,
            "seconds": self._seconds_sentence,
            "cut_off": self._cut_off_sentence,
            "circuit": self._circuit_sentence,
        }.get(self.reason, self._usual_sentence)()

    def _budget_and_trace(self) -> tuple[str, str]:
        trace = ""
        if self.trace_id and self.trace_id.strip("0") and self.scope != "trace":
            trace = f" (trace {self.trace_id})"
        return f"The budget {self.budget}{whose_budget(self.scope, self.value)}", trace

    def _unpriced_sentence(self) -> str:
        budget, trace = self._budget_and_trace()
        return (
            f"{budget} cannot be held to, because the price of the model is not known, and the call was not "
            f"made{trace}: {str(self.unpriced).rstrip('. '):.500}. Give it a price in a file of your own "
            "(OTEL_AGENTCOST_PRICES), or set OTEL_AGENTCOST_UNPRICED=allow."
        )

    def _ledger_sentence(self) -> str:
        budget, trace = self._budget_and_trace()
        why = f" ({self.ledger.rstrip('. '):.300})" if self.ledger else ""
        return (
            f"{budget} cannot be checked, because its ledger does not answer{why}, and the call was not made{trace}. "
            "Start the ledger, or set OTEL_AGENTCOST_LEDGER_DOWN=allow."
        )

    def _seconds_sentence(self) -> str:
        budget, trace = self._budget_and_trace()
        return (
            f"{budget} is used up: {self.spent} of {self.limit} seconds have passed, and the call was not "
            f"made{trace}. Raise the limit, or start a new trace."
        )

    def _circuit_sentence(self) -> str:
        whose = f" of {self.scope} {self.value:.80}" if self.value else ""
        return (
            f"The circuit breaker {self.budget}{whose} is open after {self.circuit}, and the call was not made. "
            "When its time is over, one call is tried, and if that is admitted it closes. The log says what they were."
        )

    def _spent_and_held(self) -> str:
        spent, limit = self.spent or 0, self.limit or 0
        held = f" and {written(self.held, self.unit)} held by calls in flight" if self.held else ""
        if self.unit == "usd":
            return f"{written(spent, 'usd')} of {written(limit, 'usd')} is spent{held}"
        return f"{spent:,} of {written(limit, self.unit)} are {'spent' if self.unit == 'tokens' else 'made'}{held}"

    def _cut_off_sentence(self) -> str:
        budget, trace = self._budget_and_trace()
        asked = (
            f"; this call would have come to as much as {written(self.requested, self.unit)}" if self.requested else ""
        )
        return (
            f"{budget} has no room for more of this call's answer, whose stream was closed{trace}: before it, "
            f"{self._spent_and_held()}{asked}. What was received is charged. Raise the limit, or give the call an "
            "output limit that fits."
        )

    def _usual_sentence(self) -> str:
        budget, trace = self._budget_and_trace()
        counted = "calls" in self.unit
        asked = f"; this call could take up to {written(self.requested or 0, self.unit)}" if self.requested else ""
        less = "" if counted else ", or ask for less: a shorter prompt, a lower output limit, a cheaper model"
        remedy = f"Raise the limit{less}."
        if self.reason == "held":
            remedy = (
                "Retry when they have ended, make fewer calls at once, or give them output limits: a call without one "
                "holds what the longest answer would take."
            )
        return (
            f"{budget} has no room for this call, which was not made{trace}: {self._spent_and_held()}"
            f"{'' if counted else asked}. {remedy}"
        )


BudgetExceeded.__module__ = "otel_agentcost"
"""Where people import it from: tracebacks, logs and `error.type` name it so."""


_EXACT = Context(prec=60)
"""An application may have lowered its own precision, or made inexact sums an error."""

_WORDS = {"tokens": "tokens", "calls": "calls", "tool_calls": "tool calls"}


def whose_budget(scope: str, value: str) -> str:
    """Whose budget it is, for people: ` of user u1`. A run's name is in its rule already."""
    if not value or scope in ("total", "run"):
        return ""
    if value.endswith("(calls under no span)"):
        return " of this process' calls under no span"
    return f" of {scope} {value:.80}"


def written(amount: Decimal | int, unit: str) -> str:
    """An amount of a budget for people: `$1.50`, `1,000 tokens`."""
    if unit != "usd":
        return f"{amount:,} {_WORDS.get(unit, unit)}"
    dollars, _, cents = f"{amount:,f}".partition(".")
    return f"${dollars}.{cents.rstrip('0').ljust(2, '0')}"


class LoopDetected(_Figured):
    """The agent goes round in circles, and its next model call was not made: `LOOP_ACTION` is `block`."""

    def __init__(
        self,
        *,
        rule: str,
        repeats: int,
        tool: str | None = None,
        arguments: str = "",
        result: str = "",
        wasted_usd: Decimal = Decimal(0),
        trace_id: str | None = None,
    ) -> None:
        self.rule = rule
        """What kind of loop: repeat, cycle, near_repeat, error_storm, no_progress, stall."""
        self.repeats = repeats
        """How often it went round."""
        self.tool = tool
        """The tool that is called again and again; None where it is no tool that repeats."""
        self.arguments = arguments
        """Of its latest call, or the answer that the model gives again and again. Cut off."""
        self.result = result
        """What the latest call brought. Cut off."""
        self.wasted_usd = wasted_usd
        """US dollars that the trace has spent since the loop began."""
        self.trace_id = trace_id
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        what = f"{self.tool:.120} was called" if self.tool else "the model has gone on"
        how = _LOOPS.get(self.rule, "in circles")
        trace = f" (trace {self.trace_id})" if self.trace_id else ""
        cost = f" {written(self.wasted_usd, 'usd')} was spent since it began." if self.wasted_usd else ""
        return (
            f"The agent goes round in circles: {what} {self.repeats} times {how}, and the next model call was not "
            f"made{trace}.{cost} Let it do something else, or set OTEL_AGENTCOST_LOOP_ACTION=warn."
        )


LoopDetected.__module__ = "otel_agentcost"

_LOOPS = {
    "repeat": "with the same arguments and the same result",
    "cycle": "in the same round of calls",
    "near_repeat": "with nearly the same arguments and nearly the same result",
    "error_storm": "and failed in the same way",
    "no_progress": "with the same answer",
    "stall": "without anything new",
}
