"""The reservation of a call: its worst case, and the minimum with which it may be sent.

If the output is limited, both are the same, and the call never costs more than it reserved. If it is not, the call
wants the price of the longest answer, and is sent with the rest of its tightest budget if at least its input fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timezone, tzinfo

from otel_agentcost.core.budgets import Action, Budget
from otel_agentcost.core.usage import DIMENSIONS, Usage
from otel_agentcost.guard.estimate import Estimate, input_count, output_bound, shape_of, worst_case, worst_case_of_text
from otel_agentcost.guard.ledger import MOST, Amounts, Claim, Unit
from otel_agentcost.guard.types import CallFacts, Reservation
from otel_agentcost.settings import Permission, Unlimited

NO_MODELS: Mapping[str, str] = {}


def _unknown(_model: str | None) -> int | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings of a guard besides its budgets: a field has the name of its setting, if there is one."""

    on_exceed: Action = "block"
    soft_limit: float = 0.8
    wait_seconds: float = 10.0
    ledger_down: Permission = "allow"
    unpriced: Permission = "allow"
    """The action for a call without a known price, if a dollar budget applies that does more than warn."""
    downgrade: Mapping[str, str] = field(default_factory=lambda: NO_MODELS)
    """The cheaper model of each model."""
    unlimited_output: Unlimited = "rest"
    longest_answer: int = 128_000
    """Output tokens of one choice that no model exceeds; with `unlimited_output="assume"`, the assumed ones."""
    max_output: Callable[[str | None], int | None] = _unknown
    """Returns the documented output limit of a model."""
    reserve_batches: bool = False
    """True if a batch reserves its worst case until it is settled."""
    useful_answer: int = 64
    """Output tokens below which no call is clamped: it is refused instead."""
    lease: float = 900.0
    """Seconds after which a reservation expires; longer than any call should take."""
    time_zone: tzinfo = timezone.utc
    """The time zone of hours, days and months."""

    def longest(self, model: str | None) -> int:
        """Return the output tokens of one choice that `model` is not expected to exceed."""
        return min(self.longest_answer, self.max_output(model) or self.longest_answer)

    def action(self, budget: Budget) -> Action:
        """Return the action for a call that does not fit into `budget`."""
        return budget.on_exceed or self.on_exceed


ONE_CALL = Reservation({"calls": 1}, {"calls": 1}, by_bound=False)


class Request:
    """One request for admission: the call and its reservations, each calculated once however often it is tried."""

    def __init__(self, facts: CallFacts, policy: Policy) -> None:
        self.facts = facts
        self.model = facts.call.model
        self._policy = policy
        self._known: dict[tuple[str | None, bool, bool], Reservation] = {}

    @property
    def unlimited(self) -> bool:
        """True if the request does not limit its output."""
        return output_bound(self.facts.call) is None

    def reservation(self, model: str | None, *, count: bool = False, clamp: bool = False) -> Reservation:
        """Return the reservation, by the bound of the input, or by its token count once that was asked for."""
        known = self._known
        key = (model, count or (model, True, clamp) in known, clamp)
        if key not in known:
            known[key] = reservation_for(self.facts, model, self._policy, count=key[1], clamp=clamp)
        return known[key]


def reservation_for(
    facts: CallFacts, model: str | None, policy: Policy, *, count: bool = False, clamp: bool = False
) -> Reservation:
    """Return what the call wants to reserve.

    Args:
        facts: The call.
        model: The model that answers it.
        policy: The settings.
        count: Count the tokens of the input instead of bounding them.
        clamp: Accept a lower output limit.

    """
    if facts.fixed is not None:
        return facts.fixed
    call = facts.call if model == facts.call.model else facts.call._replace(model=model)
    shape = shape_of(call, facts.format)
    bound = shape.bound
    limit = output_bound(call)
    if bound is not None and limit is not None and not count and not clamp:  # the usual case
        worst = worst_case_of_text(call, facts.rates, shape, limit) if facts.rates is not None else None
        if worst is None:
            worst = worst_case(call, facts.price, input_tokens=bound, output_tokens=limit, shape=shape)
        amounts = _amounts(worst)
        return Reservation(amounts, amounts, True, worst.unpriced, limit)
    into = input_count(call, facts.format) if bound is None or count else bound
    if bound is not None and into > bound:
        into = bound
    choices = max(1, call.choices)
    longest = policy.longest(model) * choices if limit is None else limit
    surplus = 0 if bound is not None else policy.longest_answer

    def with_output(tokens: int) -> dict[Unit, int]:
        return _amounts(worst_case(call, facts.price, input_tokens=into, output_tokens=tokens, shape=shape))

    worst = worst_case(call, facts.price, input_tokens=into + surplus, output_tokens=longest, shape=shape)
    amounts = _amounts(worst)
    minimum: Amounts = dict(amounts)
    if clamp:
        minimum = with_output(min(policy.useful_answer * choices, longest))
    elif (bound is None or limit is None) and policy.unlimited_output == "rest":
        minimum = with_output(limit or 0)
    if worst.untold:  # it reserves all that is left
        amounts["nano_usd"], minimum = MOST, {**minimum, **_ANYTHING}
    return Reservation(amounts, minimum, bound is not None and not count, worst.unpriced, longest, with_output)


_ANYTHING: Mapping[Unit, int] = {"nano_usd": 1}


def _amounts(estimate: Estimate) -> dict[Unit, int]:
    # At least one token: a call with an empty input must still be refused if nothing is left.
    usd = 0 if estimate.usd is None else min(MOST, estimate.usd)
    return {"nano_usd": usd, "tokens": min(MOST, max(1, estimate.tokens)), "calls": 1}


# --- Calls that cost nothing ------------------------------------------------------------------------------------------

_TEXT = Usage(counts={"input_tokens": 1, "output_tokens": 1})
_EVERYTHING = Usage(counts=dict.fromkeys(DIMENSIONS, 10_000_000))
"""So much of each kind that every price, fee and tier of a list shows in the cost."""


def is_free(facts: CallFacts, model: str | None) -> bool:
    """Return True if no answer of `model` can cost anything: its prices are known, and all of them are zero.

    A worst case of zero dollars does not tell: the price may be unknown, or be one for images or pages.
    """
    text = facts.price(_TEXT, model)
    return text.usd == 0 and text.unpriced is None and not facts.price(_EVERYTHING, model).usd


def without_dollars(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """Return the same claims, in which dollars are counted but not limited: a free call fits into any amount."""
    return tuple(
        replace(claim, limits={unit: limit for unit, limit in claim.limits.items() if unit != "nano_usd"})
        for claim in claims
    )
