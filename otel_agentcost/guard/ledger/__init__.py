"""Ledgers: what each budget has spent, and what calls in flight hold of it. One protocol, one module a kind.

The guard names the budgets that a call counts in (`Claim`), and asks for room before the call (`reserve`); afterwards
it says what the call really took (`settle`) or that it took nothing (`release`). Every verb is one atomic step over
all its claims, and may be repeated with the same call id. The clock is the caller's: `now` is always an argument.

A module of this folder is the kind of ledger that a URL names by its scheme; it has a function `open_ledger`. They
are found by listing the folder. No OpenTelemetry here, and nothing is connected before the first verb needs it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Literal, NamedTuple, Protocol

from otel_agentcost.errors import AgentCostError

__all__ = [
    "GRACE",
    "KEEP",
    "MOST",
    "REMEMBER",
    "UNITS",
    "Amounts",
    "Claim",
    "Ledger",
    "LedgerError",
    "Refusal",
    "Standing",
    "Unit",
    "checked",
    "encoded",
    "ends",
    "open_ledger",
    "refusal",
    "without_password",
]

Unit = Literal["nano_usd", "tokens", "calls", "tool_calls"]
Amounts = Mapping[Unit, int]
"""Whole numbers from 0 to `MOST`; a unit that is not named is 0. Money is in billionths of a dollar. Only what is
settled may be negative, down to `-MOST`: a refund."""

UNITS: tuple[Unit, ...] = ("nano_usd", "tokens", "calls", "tool_calls")

_UNITS = frozenset(UNITS)

MOST = 10**18
"""The largest amount of one call: a billion dollars. Sums then fit into the 64 bits of every store."""

GRACE = 60.0
"""Seconds for which a key is kept after its end. Clocks of two machines differ, and a window whose money one of them
has forgotten must not be spent again by another, for which it has not ended yet; and calls settle a little late."""

REMEMBER = 3600.0
"""Seconds for which a settled call is remembered, so that the same settle, sent again after a failure, counts once."""

KEEP = 1e11
"""The end of what never ends, in epoch seconds: the year 5138."""

_ALIASES = {"rediss": "redis", "valkey": "redis", "valkeys": "redis"}
"""Schemes that are another module's: the same protocol over TLS, and Redis' sibling."""


class LedgerError(AgentCostError):
    """The ledger cannot be opened, reached or read. Never raised for a budget that is used up: that is a `Refusal`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One budget that a call counts in."""

    key: str
    """Which budget, of whom, in which window. The ledger does not look into it: any text."""
    limits: Mapping[Unit, int]
    """What may be spent at most, in the units that have a limit. All units are counted, limited or not."""
    until: float | None
    """When the key may be forgotten: the end of its window, or, where every call puts it off, an idle time. A later
    one replaces an earlier one. None: never. Until then nothing is forgotten, and not before the last hold expires."""
    passing: bool = False
    """Whether keys like this come without end (traces, runs): where they are kept in memory, those that were not used
    for the longest time may be forgotten before `until`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The claim and the unit that have no room for a call."""

    key: str
    unit: Unit
    limit: int
    spent: int
    held: int
    requested: int

    @property
    def only_held(self) -> bool:
        """Whether there is room once the calls in flight have settled for nothing: waiting may help."""
        return self.spent + self.requested <= self.limit


class Standing(NamedTuple):
    """What a key has spent, and what is held of it; each with all units."""

    spent: Amounts
    held: Amounts


class Ledger(Protocol):
    """Counts what is spent. Used from any thread; `LedgerError` from any verb but `close`."""

    def reserve(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float, lease: float
    ) -> Refusal | None:
        """Holds `amounts` in every claim until `now + lease`, or nothing in any of them and says which has no room.

        Admitted if in every claim and every unit with a limit, spent + held + amount stays within it. Of several
        refusals, one that waiting cannot help is returned. A call that is held or settled already is admitted again
        and holds nothing more; one that was released, or whose hold has expired, is asked anew.
        """
        ...

    def settle(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float
    ) -> Sequence[tuple[Claim, Standing]]:
        """Spends `amounts` in every claim, in place of what the call held, and returns how each claim stands.

        It may be more than was held, and more than the limit: the money is gone. It counts where no hold is left, or
        never was, or was released; a second settle of the same call counts nothing, for `REMEMBER` seconds.

        A negative amount is given back, in each claim as much of it as was spent there: no sum falls below 0.
        """
        ...

    def release(self, call_id: str, *, now: float) -> None:
        """Drops what the call holds. Nothing is spent, and nothing that was settled is taken back."""
        ...

    def standing(self, key: str, *, now: float) -> Standing:
        """How a key stands; of a key that is not known, or forgotten, all is 0."""
        ...

    def caution(self) -> str | None:
        """What is wrong with how the store is set up, in a sentence; None where nothing is, or it does not tell."""
        ...

    def close(self) -> None:
        """Lets go of files and connections. What comes after it opens them again."""
        ...


def open_ledger(url: str, *, timeout: float = 1.0) -> Ledger:
    """The ledger that `url` names; a `LedgerError` with one sentence about it where there is none such.

    `timeout` is for how many seconds a call waits for the answer of a server. A file that other processes are writing
    to is not down: it is waited for longer.
    """
    scheme, marked, _ = url.partition("://")
    name = _ALIASES.get(scheme.lower(), scheme.lower())
    kinds = {module.name for module in iter_modules(__path__) if not module.name.startswith("_")}
    if not marked or name not in kinds:
        forms = "memory://, sqlite:///path/to/file or redis://host:port/db"
        raise LedgerError(f"The ledger {without_password(url)!r:.120} has an unknown scheme: use {forms}.")
    ledger: Ledger = import_module(f"{__name__}.{name}").open_ledger(url, timeout=timeout)
    return ledger


# --- What the kinds share ---


def checked(amounts: Amounts, least: int = 0) -> Amounts:
    """`amounts`, if all of them can be counted: a negative hold would make room where there is none."""
    for unit, amount in amounts.items():
        if unit not in _UNITS or amount.__class__ is not int or not least <= amount <= MOST:
            raise ValueError(f"{unit}={amount!r} is not an amount that a ledger counts")
    return amounts


def refusal(claim: Claim, spent: Amounts, held: Amounts, amounts: Amounts) -> Refusal | None:
    """Why `claim` has no room for `amounts`: a unit for which waiting cannot help, if there is one; None: it has."""
    found = None
    for unit, limit in claim.limits.items():
        requested = amounts.get(unit, 0)
        if spent[unit] + held[unit] + requested > limit and (found is None or found.only_held):
            found = Refusal(
                key=claim.key, unit=unit, limit=limit, spent=spent[unit], held=held[unit], requested=requested
            )
    return found


def ends(claim: Claim) -> float:
    """When the claim's key may be forgotten, as a number that stores can compare."""
    return KEEP if claim.until is None or claim.until > KEEP else claim.until


def encoded(text: str) -> bytes:
    """`text` for a store, whatever is in it: users' names can hold half of a surrogate pair, which is not UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def without_password(url: str) -> str:
    """`url` as it may be shown. A password may hold any character, also those that should have been escaped."""
    url = re.sub(r"//.*@", "//***@", url)
    return re.sub(r"([?&][^=&]*(?:pass|secret|token)[^=&]*=)[^&]*", r"\1***", url, flags=re.IGNORECASE)
