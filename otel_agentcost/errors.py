"""The exceptions that this package raises on purpose.

    AgentCostError              base of them all
    ├── BudgetExceeded          a model call does not fit into a budget: it was not sent, or its stream was closed
    ├── LoopDetected            the agent repeats itself, and its next model call was not sent
    ├── SettingsError           a setting cannot be parsed; the text quotes it and says what to do
    ├── PriceFileError          a price file cannot be used (defined beside its reader, in `pricebook`)
    └── LedgerError             a ledger cannot be opened, reached or read (defined beside its users, in `ledger`)

Only `BudgetExceeded` and `LoopDetected` are ever raised into a model call. Settings, price files and the ledger's
address are read at start-up, and the instrumentor turns a mistake in them into one log record. An error while a call
is measured is caught and logged, not raised.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Literal

__all__ = ["AgentCostError", "BudgetExceeded", "LoopDetected", "SettingsError"]


class AgentCostError(Exception):
    """Base of this package's exceptions. The text is one or more full sentences for the operator of the program."""


class _Figured(AgentCostError):
    """Base for exceptions whose message is built from keyword fields."""

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
    """A setting cannot be parsed."""


class BudgetExceeded(_Figured):
    """A model call does not fit into a budget. It was refused before anything was sent or spent. If `cut_off` is
    true, the call was sent, its stream was closed before the end, and the received part is charged.

    Amounts are exact dollars (`Decimal`) if `unit` is "usd", else whole numbers. Unknown amounts are None: all but the
    limit if the ledger did not answer or the price is unknown (see `reason`).
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
        """The rule as configured."""
        self.scope = scope
        self.value = value
        """The user, agent, trace, ... that the budget belongs to."""
        self.unit = unit
        self.limit = limit
        self.spent = spent
        """Spent when the call was decided upon, without this call."""
        self.held = held
        """Reserved by other in-flight calls, which may still turn out cheaper."""
        self.requested = requested
        """The most that this call could cost; for a closed stream, the most that it could have cost so far."""
        self.trace_id = trace_id
        self.cut_off = cut_off
        """True if the call was sent and its stream was closed because the rest would have exceeded the budget."""
        self.unpriced = unpriced
        """Why the model has no known price, if the setting `UNPRICED` refuses such calls."""
        self.ledger = ledger
        """Why the ledger does not answer, if the setting `LEDGER_DOWN` refuses calls meanwhile."""
        self.circuit = circuit
        """What opened the circuit breaker, if a breaker and not a budget refused the call; `budget` is its rule."""
        super().__init__(self._sentence())

    @property
    def reason(self) -> Literal["spent", "held", "seconds", "cut_off", "unpriced", "ledger", "circuit"]:
        """The cause of the refusal.

        Returns:
            "spent": too little of the budget is left. "held": in-flight calls reserve the rest. "seconds": the time is
            over. "cut_off": the stream was closed. "unpriced": the model has no known price. "ledger": the ledger does
            not answer. "circuit": a circuit breaker is open.

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
            f"{budget} cannot be enforced, because the price of the model is unknown: "
            f"{str(self.unpriced).rstrip('. '):.500}. The call was not sent{trace}. Add a price to your price file "
            "(OTEL_AGENTCOST_PRICES), or set OTEL_AGENTCOST_UNPRICED=allow."
        )

    def _ledger_sentence(self) -> str:
        budget, trace = self._budget_and_trace()
        why = f" ({self.ledger.rstrip('. '):.300})" if self.ledger else ""
        return (
            f"{budget} cannot be checked, because its ledger does not answer{why}. The call was not sent{trace}. "
            "Start the ledger, or set OTEL_AGENTCOST_LEDGER_DOWN=allow."
        )

    def _seconds_sentence(self) -> str:
        budget, trace = self._budget_and_trace()
        return (
            f"{budget} is used up: {self.spent} of {self.limit} seconds have passed. The call was not "
            f"sent{trace}. Raise the limit, or start a new trace."
        )

    def _circuit_sentence(self) -> str:
        whose = f" of {self.scope} {self.value:.80}" if self.value else ""
        return (
            f"The circuit breaker {self.budget}{whose} is open after {self.circuit}. The call was not sent. When the "
            "open time is over, one trial call is admitted; if budgets admit it too, the breaker closes. The log has "
            "the causes."
        )

    def _spent_and_held(self) -> str:
        spent, limit = self.spent or 0, self.limit or 0
        held = f" and {written(self.held, self.unit)} reserved by in-flight calls" if self.held else ""
        if self.unit == "usd":
            return f"{written(spent, 'usd')} of {written(limit, 'usd')} is spent{held}"
        return f"{spent:,} of {written(limit, self.unit)} are {'spent' if self.unit == 'tokens' else 'made'}{held}"

    def _cut_off_sentence(self) -> str:
        budget, trace = self._budget_and_trace()
        verb = "cost" if self.unit == "usd" else "used"
        asked = f"; this call would have {verb} up to {written(self.requested, self.unit)}" if self.requested else ""
        return (
            f"{budget} has too little left for the rest of this answer, so the stream was closed{trace}. Without this "
            f"call, {self._spent_and_held()}{asked}. The received part is charged. Raise the limit, or set an output "
            "limit that fits."
        )

    def _usual_sentence(self) -> str:
        budget, trace = self._budget_and_trace()
        counted = "calls" in self.unit
        verb = "cost" if self.unit == "usd" else "use"
        asked = f"; this call could {verb} up to {written(self.requested, self.unit)}" if self.requested else ""
        less = "" if counted else ", or use a shorter prompt, a lower output limit or a cheaper model"
        remedy = f"Raise the limit{less}."
        if self.reason == "held":
            remedy = (
                "Retry when these calls have ended, make fewer calls at once, or set output limits: a call without one "
                "reserves the cost of the longest answer."
            )
        return (
            f"{budget} has too little left for this call, which was not sent{trace}. {self._spent_and_held()}"
            f"{'' if counted else asked}. {remedy}"
        )


BudgetExceeded.__module__ = "otel_agentcost"
"""Where people import it from: tracebacks, logs and `error.type` name it so."""


_EXACT = Context(prec=60)
"""An application may have lowered its own precision, or made inexact sums an error."""

_WORDS = {"tokens": "tokens", "calls": "calls", "tool_calls": "tool calls"}


def whose_budget(scope: str, value: str) -> str:
    """The owner of a budget, for messages: ` of user u1`. A run's name is in its rule already."""
    if not value or scope in ("total", "run"):
        return ""
    if value.endswith("(calls under no span)"):
        return " of this process (calls outside a span)"
    return f" of {scope} {value:.80}"


def written(amount: Decimal | int, unit: str) -> str:
    """Format an amount of a budget for messages: `$1.50`, `1,000 tokens`."""
    if unit != "usd":
        return f"{amount:,} {_WORDS.get(unit, unit)}"
    dollars, _, cents = f"{amount:,f}".partition(".")
    return f"${dollars}.{cents.rstrip('0').ljust(2, '0')}"


class LoopDetected(_Figured):
    """The agent repeats itself, and its next model call was not sent: `LOOP_ACTION` is `block`."""

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
        """The kind of loop: repeat, cycle, near_repeat, error_storm, no_progress or stall."""
        self.repeats = repeats
        """The number of rounds."""
        self.tool = tool
        """The tool that is called again and again; None if no tool repeats."""
        self.arguments = arguments
        """The arguments of the tool's latest call, or the answer that the model repeats. Truncated."""
        self.result = result
        """The result of the latest call. Truncated."""
        self.wasted_usd = wasted_usd
        """US dollars spent by the trace since the loop began."""
        self.trace_id = trace_id
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        what = f"{self.tool:.120} was called" if self.tool else "the model answered"
        how = _LOOPS.get(self.rule, "in circles")
        trace = f" (trace {self.trace_id})" if self.trace_id else ""
        cost = f" {written(self.wasted_usd, 'usd')} was spent since the loop began." if self.wasted_usd else ""
        return (
            f"The agent repeats itself: {what} {self.repeats} times {how}. The next model call was not "
            f"sent{trace}.{cost} Change the agent, or set OTEL_AGENTCOST_LOOP_ACTION=warn."
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
