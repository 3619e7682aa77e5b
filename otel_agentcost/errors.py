"""The exceptions that this package raises on purpose.

    AgentCostError              base of them all
    ├── BudgetExceeded          a budget refused a model call, or closed its stream
    ├── LoopDetected            a model call was refused because the agent is in a loop
    ├── SettingsError           a setting cannot be understood; the text quotes it and says what to do
    ├── PriceFileError          a price file cannot be used (defined beside its reader, in `pricebook`)
    └── LedgerError             a ledger cannot be opened, reached or read (defined in `guard.ledger`)

Only `BudgetExceeded` and `LoopDetected` are ever raised into a model call. Settings, price files and the ledger's
address are read at start-up, and the instrumentor logs what is wrong with them. Errors while a call is measured are
caught and logged, not raised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

__all__ = ["AgentCostError", "BudgetExceeded", "LoopDetected", "Reason", "SettingsError"]

Reason = Literal["spent", "held", "seconds", "cut_off", "unpriced", "ledger", "circuit"]
"""Why `BudgetExceeded` was raised.

- `spent`: the rest of the budget is too small for the call.
- `held`: the rest would do, but in-flight calls have reserved it.
- `seconds`: the trace has lasted longer than its limit.
- `cut_off`: the answer would have exceeded the budget, and its stream was closed.
- `unpriced`: the model has no price, and the setting `UNPRICED` is `refuse`.
- `ledger`: the ledger does not answer, and the setting `LEDGER_DOWN` is `refuse`.
- `circuit`: a circuit breaker is open. No budget refused the call.
"""


class AgentCostError(Exception):
    """Base of this package's exceptions. The text is one or more full sentences for the operator of the program."""


class SettingsError(AgentCostError):
    """A setting cannot be parsed."""


class _KeywordError(AgentCostError):
    """Base of exceptions with keyword-only arguments, which pickle cannot pass to the constructor."""

    def __reduce__(self) -> tuple[object, ...]:
        """Rebuild from the text and the attributes, so that worker processes can send the exception to each other."""
        return _rebuilt, (type(self), self.args, dict(self.__dict__))


def _rebuilt(kind: type[_KeywordError], args: tuple[object, ...], attributes: dict[str, object]) -> _KeywordError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class BudgetExceeded(_KeywordError):
    """A budget refused a model call before it was sent; or, with the reason `cut_off`, closed the call's stream.

    Nothing was spent on a call that was refused. The part of an answer that was received before its stream was closed
    is charged.

    Amounts are exact US dollars (`Decimal`) if `unit` is "usd", else whole numbers. Unknown amounts are None.

    Attributes:
        budget: The rule, as it is written in the settings: `user/day:usd=1`.
        scope: The scope of the rule: `trace`, `user`, `agent`, ...
        value: The value of the scope: the user, the agent, the trace, ... "" for the scope `total`.
        unit: The unit of the amounts.
        reason: Why the call was refused; see `Reason`.
        limit: The limit of the budget.
        spent: The amount that was spent when the call was refused, without this call.
        held: The amount that other in-flight calls had reserved.
        requested: The largest amount that this call could need; if its stream was closed, the amount that the answer
            would have come to.
        detail: The cause, for the reasons `unpriced`, `ledger` and `circuit`.
        trace_id: The trace of the call, as 32 hexadecimal digits.
        rolling: True if the budget has a rolling window, in which spend is freed as it gets older.
        free_at: When all budgets that refused the call have enough free again for the largest amount, if nothing else
            is spent. None if it is not known, or if one of them has no rolling window.
    """

    def __init__(  # noqa: PLR0913 (one keyword for each public attribute)
        self,
        *,
        budget: str,
        scope: str,
        value: str,
        unit: Literal["usd", "tokens", "calls", "tool_calls", "seconds"],
        reason: Reason,
        limit: Decimal | int | None = None,
        spent: Decimal | int | None = None,
        held: Decimal | int | None = None,
        requested: Decimal | int | None = None,
        detail: str | None = None,
        trace_id: str | None = None,
        rolling: bool = False,
        free_at: datetime | None = None,
    ) -> None:
        self.budget = budget
        self.scope = scope
        self.value = value
        self.unit = unit
        self.reason: Reason = reason
        self.limit = limit
        self.spent = spent
        self.held = held
        self.requested = requested
        self.detail = detail
        self.trace_id = trace_id
        self.rolling = rolling
        self.free_at = free_at
        super().__init__(_budget_text(self))

    @property
    def cut_off(self) -> bool:
        """True if the call was made, and its stream was closed because the answer would have exceeded the budget."""
        return self.reason == "cut_off"

    @property
    def unpriced(self) -> str | None:
        """The reason why the model has no price, if the call was refused for it."""
        return self.detail if self.reason == "unpriced" else None

    @property
    def ledger(self) -> str | None:
        """The reason why the ledger does not answer, if the call was refused for it."""
        return self.detail if self.reason == "ledger" else None

    @property
    def circuit(self) -> str | None:
        """The cause that opened the circuit breaker, if it refused the call; `budget` is then the breaker's rule."""
        return self.detail if self.reason == "circuit" else None


class LoopDetected(_KeywordError):
    """A model call was refused because the agent is in a loop, and the setting `LOOP_ACTION` is `block`.

    Attributes:
        rule: The kind of loop: `repeat`, `cycle`, `near_repeat`, `error_storm`, `no_progress` or `stall`.
        repeats: The number of rounds.
        tool: The tool that is called again and again; None if the model repeats itself without a tool.
        arguments: The start of the arguments of its latest call, or of the answer that the model repeats.
        result: The start of the result of its latest call.
        wasted_usd: US dollars that the trace has spent since the loop began; None if calls were made whose cost is
            unknown, and no other.
        trace_id: The trace of the call, as 32 hexadecimal digits.
    """

    def __init__(
        self,
        *,
        rule: str,
        repeats: int,
        tool: str | None = None,
        arguments: str = "",
        result: str = "",
        wasted_usd: Decimal | None = Decimal(0),
        trace_id: str | None = None,
    ) -> None:
        self.rule = rule
        self.repeats = repeats
        self.tool = tool
        self.arguments = arguments
        self.result = result
        self.wasted_usd = wasted_usd
        self.trace_id = trace_id
        super().__init__(_loop_text(self))


# Users import both from the package: tracebacks, logs and `error.type` show that name.
BudgetExceeded.__module__ = "otel_agentcost"
LoopDetected.__module__ = "otel_agentcost"


# --- Texts -----------------------------------------------------------------------------------------------------------

_BUDGET_TEXTS: Final[Mapping[Reason, str]] = {
    "spent": (
        "The budget {budget} has too little left for this call, which was not sent{trace}. {used}{needed}. "
        "Raise the limit{or_smaller}."
    ),
    "held": (
        "The budget {budget} has too little left for this call, which was not sent{trace}. {used}{needed}. Retry when "
        "the in-flight calls have ended, make fewer calls at once, or set an output limit on each call: without one, a "
        "call reserves the cost of the longest possible answer."
    ),
    "seconds": (
        "The budget {budget} is used up: {spent} of {limit} seconds have passed. The call was not sent{trace}. "
        "Raise the limit, or start a new trace."
    ),
    "cut_off": (
        "The budget {budget} has too little left for the rest of this answer, so the stream was closed{trace}. Without "
        "this call, {used}{needed}. The received part is charged. Raise the limit, or set an output limit that fits."
    ),
    "unpriced": (
        "The budget {budget} cannot be enforced, because the price of the model is unknown: {detail}. The call was not "
        "sent{trace}. Add the price to your price file (OTEL_AGENTCOST_PRICES), or set OTEL_AGENTCOST_UNPRICED=allow."
    ),
    "ledger": (
        "The budget {budget} cannot be checked, because its ledger does not answer{cause}. The call was not "
        "sent{trace}. Start the ledger, or set OTEL_AGENTCOST_LEDGER_DOWN=allow."
    ),
    "circuit": (
        "The circuit breaker {rule}{owner} is open after {detail}. The call was not sent. When the open time is over, "
        "one trial call is admitted; if budgets admit it too, the breaker closes. The log names the refusals and loops "
        "that opened it."
    ),
}

_LOOP_TEXTS: Final[Mapping[str, str]] = {
    "repeat": "with the same arguments and the same result",
    "cycle": "in the same round of calls",
    "near_repeat": "with nearly the same arguments and nearly the same result",
    "error_storm": "and failed in the same way",
    "no_progress": "with the same answer",
    "stall": "without anything new",
}

_UNIT_NAMES: Final[Mapping[str, str]] = {"tokens": "tokens", "calls": "calls", "tool_calls": "tool calls"}


def _budget_text(error: BudgetExceeded) -> str:
    trace = ""
    if error.trace_id and error.trace_id.strip("0") and error.scope != "trace":
        trace = f" (trace {error.trace_id})"
    detail = (error.detail or "").rstrip(". ")
    counts_calls = "calls" in error.unit
    needed = ""
    if error.requested and not (counts_calls and error.reason != "cut_off"):
        dollars = error.unit == "usd"
        verb = "could cost" if dollars else "could use"
        if error.reason == "cut_off":
            verb = "would have cost" if dollars else "would have used"
        needed = f"; this call {verb} up to {written(error.requested, error.unit)}"
    text = _BUDGET_TEXTS[error.reason].format(
        budget=f"{error.budget}{whose_budget(error.scope, error.value)}",
        rule=error.budget,
        owner=f" of {error.scope} {error.value:.80}" if error.value else "",
        trace=trace,
        used=_used(error),
        needed=needed,
        spent=error.spent,
        limit=error.limit,
        detail=f"{detail:.500}",
        cause=f" ({detail:.300})" if detail else "",
        or_smaller="" if counts_calls else ", or use a shorter prompt, a lower output limit or a cheaper model",
    )
    if error.reason not in _USED_UP:
        return text
    if error.rolling:
        return text + _freed(error.free_at)
    return text + (_renewal(error.value) if error.scope == "trace" else "")


_USED_UP: Final = frozenset({"spent", "held", "seconds", "cut_off"})

OF_AN_AGENT: Final = "run of agent"
"""How the name of a trace begins that is none for OpenTelemetry, but the run of an agent without a span."""

_UNDER_NO_SPAN: Final = re.compile(r"\(calls under no span until (.*)\)$")
"""The end of the name of a trace (`calls/work.py`) that is none for OpenTelemetry: an hour of a process."""


def _freed(free_at: datetime | None) -> str:
    """Return when there is room in a rolling window again."""
    if free_at is None:
        return " Its window is a rolling one: spend is freed as it gets older."
    seconds = ":%S" if free_at.second else ""
    return f" Enough is free again at {free_at:%Y-%m-%d %H:%M{seconds} %Z}, as spend gets older."


def _renewal(value: str) -> str:
    """Return when calls under no span get a new allowance; "" for a trace of OpenTelemetry."""
    if (found := _UNDER_NO_SPAN.search(value)) is not None:
        jobs = '`with otel_agentcost.run("job"):` or a span gives each job an allowance of its own'
        return f" The allowance is renewed at {found[1]}; {jobs}."
    unit, space, _ = value.rpartition(" ")
    if not space:
        return ""
    if unit.startswith("run ") and not unit.startswith(OF_AN_AGENT):
        unit = "run"
    return f" The next {unit} has a new allowance."


def _used(error: BudgetExceeded) -> str:
    """Return the used part of a budget: `$0.48 of $0.50 is spent and $0.01 is reserved by in-flight calls`."""
    spent, limit, unit = error.spent or 0, error.limit or 0, error.unit
    one = unit == "usd"
    shown = written(spent, unit) if one else f"{spent:,}"
    verb = "is spent" if one else "are spent" if unit == "tokens" else "are made"
    text = f"{shown} of {written(limit, unit)} {verb}"
    if not error.held:
        return text
    return f"{text} and {written(error.held, unit)} {'is' if one else 'are'} reserved by in-flight calls"


def _loop_text(error: LoopDetected) -> str:
    subject = f"{error.tool:.120} was called" if error.tool else "the model answered"
    manner = _LOOP_TEXTS.get(error.rule, "without progress")
    trace = f" (trace {error.trace_id})" if error.trace_id else ""
    cost = f" {written(error.wasted_usd, 'usd')} was spent since the loop began." if error.wasted_usd else ""
    return (
        f"The agent is in a loop: {subject} {error.repeats} times {manner}. The next model call was not sent{trace}."
        f"{cost} Change the prompt or the tools, or set OTEL_AGENTCOST_LOOP_ACTION=warn."
    )


def whose_budget(scope: str, value: str) -> str:
    """Return the owner of a budget for people: ` of user u1`.

    The text is empty for the scopes `total` and `run`: a run's name is part of its rule.
    """
    if not value or scope in ("total", "run"):
        return ""
    if scope == "trace" and _UNDER_NO_SPAN.search(value):
        return " of this process (calls outside a span)"
    if scope == "trace" and " " in value:
        return f" of {value:.80}"
    return f" of {scope} {value:.80}"


def written(amount: Decimal | int, unit: str) -> str:
    """Return an amount of a budget for people: `$1.50`, `1,000 tokens`.

    Args:
        amount: US dollars if `unit` is "usd", else a whole number.
        unit: The unit of a limit, as in `BudgetExceeded.unit`.
    """
    if unit != "usd":
        return f"{amount:,} {_UNIT_NAMES.get(unit, unit)}"
    dollars, _, cents = f"{amount:,f}".partition(".")
    return f"${dollars}.{cents.rstrip('0').ljust(2, '0')}"
