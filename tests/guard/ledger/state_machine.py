"""A ledger against a model of it: dictionaries, no locks, no store, and the rules in as few words as possible."""

from __future__ import annotations

import uuid
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from otel_agentcost.guard.ledger import GRACE, KEEP, REMEMBER, UNITS, Amounts, Claim, Ledger, Refusal, Standing, Unit

KEYS = ("total", "user=ü\x00\ud800", "trace {agentcost}:holds:total")

amount = st.integers(min_value=0, max_value=6)
amounts_of_a_call = st.dictionaries(st.sampled_from(UNITS), amount, max_size=3)
amounts_with_refunds = st.dictionaries(st.sampled_from(UNITS), st.integers(min_value=-6, max_value=6), max_size=3)
limits = st.dictionaries(st.sampled_from(UNITS), st.integers(min_value=0, max_value=15), max_size=2)
call_ids = st.sampled_from(["a", "b", "c", "d", "e"])
leases = st.sampled_from([1.0, 30.0, 500.0])
claims_of_a_call = st.lists(
    st.tuples(st.sampled_from(KEYS), limits, st.sampled_from([None, -100.0, 0.0, 20.0, 400.0])), max_size=4
)


class Model:
    """What a ledger is to do."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.5
        self.spent: dict[str, dict[Unit, int]] = {}
        self.until: dict[str, float] = {}
        self.holds: dict[str, tuple[float, set[str], Amounts]] = {}
        self.settled: dict[str, float] = {}

    def tidy(self) -> None:
        self.holds = {call_id: hold for call_id, hold in self.holds.items() if hold[0] > self.now}
        self.settled = {call_id: until for call_id, until in self.settled.items() if until > self.now}
        for key in [key for key, until in self.until.items() if until + GRACE <= self.now]:
            del self.until[key], self.spent[key]

    def standing(self, key: str) -> Standing:
        held = [hold[2] for hold in self.holds.values() if key in hold[1]]
        spent: dict[Unit, int] = {unit: self.spent.get(key, {}).get(unit, 0) for unit in UNITS}
        return Standing(spent=spent, held={unit: sum(each.get(unit, 0) for each in held) for unit in UNITS})

    def touch(self, claim: Claim, until: float) -> None:
        until = max(until, KEEP if claim.until is None else claim.until)
        self.until[claim.key] = max(self.until.get(claim.key, 0), until)
        self.spent.setdefault(claim.key, dict.fromkeys(UNITS, 0))

    def reserve(self, call_id: str, claims: list[Claim], amounts: Amounts, lease: float) -> list[Refusal]:
        """All refusals, as any of the unhelpable ones, or of the others where there is none, may be told."""
        if call_id in self.holds or call_id in self.settled:
            return []
        refused: list[Refusal] = []
        for claim in claims:
            standing = self.standing(claim.key)
            for unit, limit in claim.limits.items():
                spent, held, requested = standing.spent[unit], standing.held[unit], amounts.get(unit, 0)
                if spent + held + requested > limit:
                    figures: dict[str, Any] = {"limit": limit, "spent": spent, "held": held, "requested": requested}
                    refused.append(Refusal(key=claim.key, unit=unit, **figures))
        if not refused:
            for claim in claims:
                self.touch(claim, self.now + lease)
            self.holds[call_id] = (self.now + lease, {claim.key for claim in claims}, amounts)
        return [each for each in refused if not each.only_held] or refused

    def settle(self, call_id: str, claims: list[Claim], amounts: Amounts) -> list[tuple[Claim, Standing]]:
        if call_id not in self.settled:
            self.holds.pop(call_id, None)
            for claim in claims:
                self.touch(claim, 0)
            for key in {claim.key for claim in claims}:
                for unit, taken in amounts.items():
                    self.spent[key][unit] = max(0, self.spent[key][unit] + taken)
            self.settled[call_id] = self.now + REMEMBER
        return [(claim, self.standing(claim.key)) for claim in claims]


class Machine(RuleBasedStateMachine):
    """Drives a ledger and its model with the same verbs. Each run has keys and ids of its own."""

    ledger: Ledger

    def __init__(self) -> None:
        super().__init__()
        self.run = uuid.uuid4().hex
        self.model = Model()

    def claims(self, drawn: list[tuple[str, dict[Unit, int], float | None]]) -> list[Claim]:
        return [
            Claim(key=self.run + key, limits=limits, until=None if after is None else self.model.now + after)
            for key, limits, after in drawn
        ]

    @rule(call_id=call_ids, drawn=claims_of_a_call.filter(bool), amounts=amounts_of_a_call, lease=leases)
    def reserve(self, call_id: str, drawn: Any, amounts: dict[Unit, int], lease: float) -> None:
        self.model.tidy()
        claims = self.claims(drawn)
        told = self.ledger.reserve(self.run + call_id, claims, amounts, now=self.model.now, lease=lease)
        refusals = self.model.reserve(call_id, claims, amounts, lease)
        assert told in refusals if refusals else told is None

    @rule(call_id=call_ids, drawn=claims_of_a_call, amounts=amounts_with_refunds)
    def settle(self, call_id: str, drawn: Any, amounts: dict[Unit, int]) -> None:
        self.model.tidy()
        claims = self.claims(drawn)
        told = self.ledger.settle(self.run + call_id, claims, amounts, now=self.model.now)
        assert list(told) == self.model.settle(call_id, claims, amounts)

    @rule(call_id=call_ids)
    def release(self, call_id: str) -> None:
        self.model.tidy()
        self.ledger.release(self.run + call_id, now=self.model.now)
        self.model.holds.pop(call_id, None)

    @rule(seconds=st.sampled_from([0.5, 1.0, 29.0, 61.0, 450.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.model.now += seconds

    @invariant()
    def every_key_stands_as_it_should(self) -> None:
        self.model.tidy()
        for key in KEYS:
            assert self.ledger.standing(self.run + key, now=self.model.now) == self.model.standing(self.run + key)


def check_against_a_model(ledger: Ledger) -> None:
    """Runs random sequences of verbs on `ledger`; an AssertionError shows the shortest one that differs."""
    machine = type("MachineOfALedger", (Machine,), {"ledger": ledger})
    slow = [HealthCheck.too_slow]
    run_state_machine_as_test(
        machine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=slow)
    )
