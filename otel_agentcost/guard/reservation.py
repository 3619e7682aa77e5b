"""What a call asks a ledger to hold: its worst case, and the least with which it may run.

Where the output is limited the two are the same, and the call can never take more than it holds. Where it is not,
the call asks for the longest answer there is, and runs with the rest of its tightest budget if only its input fits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timezone, tzinfo

from otel_agentcost.core.budgets import Action, Budget
from otel_agentcost.guard.estimate import Estimate, input_count, output_bound, shape_of, worst_case
from otel_agentcost.guard.ledger import MOST, Amounts, Unit
from otel_agentcost.guard.types import Ask, CallFacts
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
    """What happens to a call whose price is not known, where a budget of dollars applies that does more than warn."""
    downgrade: Mapping[str, str] = field(default_factory=lambda: NO_MODELS)
    """Which model takes the place of which."""
    unlimited_output: Unlimited = "rest"
    longest_answer: int = 128_000
    """Output tokens of one choice that no model exceeds; with `unlimited_output="assume"`, those that are assumed."""
    max_output: Callable[[str | None], int | None] = _unknown
    """A model's own longest answer, where it is known."""
    useful_answer: int = 64
    """Output tokens below which no call is clamped: it is refused instead."""
    lease: float = 900.0
    """Seconds for which a call may hold what it holds; longer than any call should take."""
    time_zone: tzinfo = timezone.utc
    """Where days begin."""

    def longest(self, model: str | None) -> int:
        """Output tokens of one choice that `model` is not expected to exceed."""
        return min(self.longest_answer, self.max_output(model) or self.longest_answer)

    def action(self, budget: Budget) -> Action:
        """What happens to a call for which `budget` has no room."""
        return budget.on_exceed or self.on_exceed


JUST_A_CALL = Ask({"calls": 1}, {"calls": 1}, by_bound=False)


class Request:
    """One request for admission: the call, and what it asks for, worked out once however often the ledger is asked."""

    def __init__(self, facts: CallFacts, policy: Policy) -> None:
        self.facts = facts
        self.model = facts.call.model
        self._policy = policy
        self._asks: dict[tuple[str | None, bool, bool], Ask] = {}

    @property
    def unlimited(self) -> bool:
        """Whether the request does not limit its output."""
        return output_bound(self.facts.call) is None

    def ask(self, model: str | None, *, count: bool = False, clamp: bool = False) -> Ask:
        """By the bound of the input first; once it was counted, by its count."""
        known = self._asks
        key = (model, count or (model, True, clamp) in known, clamp)
        if key not in known:
            known[key] = ask_for(self.facts, model, self._policy, count=key[1], clamp=clamp)
        return known[key]


def ask_for(facts: CallFacts, model: str | None, policy: Policy, *, count: bool = False, clamp: bool = False) -> Ask:
    """What the call asks for if `model` answers it. `count`: its input is counted, not only bounded."""
    call = facts.call if model == facts.call.model else replace(facts.call, model=model)
    shape = shape_of(call, facts.format)
    bound = shape.bound
    limit = output_bound(call)
    if bound is not None and limit is not None and not count and not clamp:  # the usual case
        worst = worst_case(call, facts.price, input_tokens=bound, output_tokens=limit, shape=shape)
        wanted = _amounts(worst)
        return Ask(wanted, wanted, True, worst.unpriced, limit)
    into = input_count(call, facts.format) if bound is None or count else bound
    if bound is not None and into > bound:
        into = bound
    choices = max(1, call.choices)
    longest = policy.longest(model) * choices if limit is None else limit
    surplus = 0 if bound is not None else policy.longest_answer

    def dearest(out: int) -> dict[Unit, int]:
        return _amounts(worst_case(call, facts.price, input_tokens=into, output_tokens=out, shape=shape))

    worst = worst_case(call, facts.price, input_tokens=into + surplus, output_tokens=longest, shape=shape)
    wanted = _amounts(worst)
    least: Amounts = dict(wanted)
    if clamp:
        least = dearest(min(policy.useful_answer * choices, longest))
    elif (bound is None or limit is None) and policy.unlimited_output == "rest":
        least = dearest(limit or 0)
    if worst.untold:  # it holds all that is left
        wanted["nano_usd"], least = MOST, {**least, **_ANYTHING}
    return Ask(wanted, least, bound is not None and not count, worst.unpriced, longest, dearest)


_ANYTHING: Mapping[Unit, int] = {"nano_usd": 1}


def _amounts(estimate: Estimate) -> dict[Unit, int]:
    # At least one of each: a call whose input is nothing must still find that nothing is left.
    usd = 0 if estimate.usd is None else min(MOST, estimate.usd)
    return {"nano_usd": usd, "tokens": min(MOST, max(1, estimate.tokens)), "calls": 1}
