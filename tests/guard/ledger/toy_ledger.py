"""A ledger of another distribution, in one file: a dictionary with no more than the four verbs that a ledger must have.

`test_plugins.py` installs a copy of this file outside the package.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from otel_agentcost.guard.ledger import UNITS, Amounts, Claim, Refusal, Standing, Unit, refusal

OPENED: dict[str, ToyLedger] = {}
"""The ledgers by URL."""


class ToyLedger:
    """Counts in dictionaries. It does not forget, and for the tests' sake it notes its verbs."""

    def __init__(self) -> None:
        self.verbs: list[str] = []
        self._spent: Counter[tuple[str, Unit]] = Counter()
        self._held: dict[str, tuple[Sequence[Claim], Amounts]] = {}

    def reserve(
        self,
        call_id: str,
        claims: Sequence[Claim],
        amounts: Amounts,
        *,
        now: float,
        lease: float,
    ) -> Refusal | None:
        """See `Ledger`."""
        self.verbs.append("reserve")
        for claim in claims:
            found = refusal(claim, *self.standing(claim.key, now=now), amounts)
            if found is not None:
                return found
        self._held[call_id] = claims, amounts
        return None

    def settle(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float
    ) -> Sequence[tuple[Claim, Standing]]:
        """See `Ledger`."""
        self.verbs.append("settle")
        self._held.pop(call_id, None)
        for claim in claims:
            for unit, amount in amounts.items():
                self._spent[claim.key, unit] += amount
        return [(claim, self.standing(claim.key, now=now)) for claim in claims]

    def release(self, call_id: str, *, now: float) -> None:
        """See `Ledger`."""
        self._held.pop(call_id, None)

    def standing(self, key: str, *, now: float) -> Standing:
        """See `Ledger`."""
        held: Counter[Unit] = Counter()
        for claims, amounts in self._held.values():
            held.update({unit: amount for claim in claims if claim.key == key for unit, amount in amounts.items()})
        return Standing({unit: self._spent[key, unit] for unit in UNITS}, {unit: held[unit] for unit in UNITS})


def open_ledger(url: str, *, timeout: float) -> ToyLedger:
    """Open the ledger of `url`: the same one for the same URL."""
    del timeout  # no server is asked
    return OPENED.setdefault(url, ToyLedger())
