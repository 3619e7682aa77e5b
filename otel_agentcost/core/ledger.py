"""The contract of a ledger, which counts what each budget has spent and what in-flight calls have reserved of it.

The guard names the budgets that a call counts in (`Claim`) and reserves room before the call (`reserve`). Afterwards it
settles what the call really cost (`settle`), or gives the reservation back (`release`). Every verb is one atomic step
over all its claims and can be repeated with the same call id. No verb reads a clock: `now` is always an argument.

A ledger of your own is a subclass of `Ledger` with four verbs. `tests/guard/ledger/contract.py` states what they must
do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol, TypeGuard

Unit = Literal["nano_usd", "tokens", "calls", "tool_calls"]
Amounts = Mapping[Unit, int]
"""Whole numbers from 0 to `MOST`; a missing unit is 0. Money is in billionths of a dollar. Only settled amounts may be
negative, down to `-MOST`: a refund."""

UNITS: tuple[Unit, ...] = ("nano_usd", "tokens", "calls", "tool_calls")

_UNITS = frozenset(UNITS)
_WHOLE = frozenset({int})

MOST = 10**18
"""The largest amount of one call: a billion dollars. Sums then fit into the 64 bits of every store."""

GRACE = 60.0
"""Seconds for which a key is kept after its end. Clocks of two machines differ, and a window that one of them has
already dropped must not be spent again by another, for which it has not ended yet; and calls settle a little late."""

REMEMBER = 3600.0
"""Seconds for which a settled call is remembered, so that a settle that is repeated after a failure counts once."""

KEEP = 1e11
"""The end of a key that never ends, in epoch seconds: the year 5138."""

SLICES = 24
"""Parts of a rolling window in which its spend is counted (see `Claim.rolling`)."""

KEPT_SLICES = 2 * SLICES + 4
"""Slices up to which old ones are kept: those of two windows."""

VERBS = ("reserve", "settle", "release", "standing")
"""The methods that every ledger must have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One budget that a call counts in."""

    key: str
    """Identifies the budget, its owner and its window. Any text; the ledger does not interpret it."""
    limits: Mapping[Unit, int]
    """The maximum spend in the units that have a limit. All units are counted, limited or not."""
    until: float | None
    """Epoch seconds after which the key may be dropped: the end of its window, or an idle time that every call
    extends. A later one replaces an earlier one. None: never. Nothing is dropped before, nor before the last
    reservation expires."""
    passing: bool = False
    """True for keys that keep coming (traces, runs). A ledger in memory may drop the least recently used of them
    before `until`."""
    rolling: int | None = None
    """The whole seconds of a rolling window, in which spend stops counting as it gets older; None for others. It is
    the same in all claims on one key. Spend is counted by slices of time (`slice_end`), and a slice is freed one window
    after its end (`freed`): no window of this length ever has more than the limit, as long as clocks differ by at most
    `GRACE`. Where a clock has gone back, spend is counted in the newest slice, if that is less than a window ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The claim and the unit that have no room for a call."""

    key: str
    unit: Unit
    limit: int
    spent: int
    held: int
    """Reserved by in-flight calls."""
    requested: int
    free_at: float | None = None
    """Epoch seconds at which enough is free again in all windows without room, if nothing more is spent. None: not
    known, or one of them is no rolling window."""

    @property
    def only_held(self) -> bool:
        """True if there is room once the in-flight calls have settled for nothing, so that waiting may help."""
        return self.spent + self.requested <= self.limit


class Standing(NamedTuple):
    """The amounts that a key has spent, and those that are reserved in it; each with all units."""

    spent: Amounts
    held: Amounts


class Ledger(Protocol):
    """Counts spend. Called from any thread; every verb may raise `guard.ledger.LedgerError`.

    A subclass inherits the safe defaults of everything but `VERBS`. An object that is no subclass and lacks one of
    these members is treated as if it had the default.
    """

    shared: bool = True
    """True if other processes, and later ones, see what is counted. A ledger that is not shared learns of the end of
    each trace and run (`ended`), and runs do not pass their budgets on to other services."""
    blocking: bool = True
    """True if a verb may wait for a network or a disk. Such a ledger is called in a thread when an event loop runs,
    its own calls are hidden from other instrumentations, and the state of circuit breakers is cached for a second."""
    has_timeout: bool = True
    """True if a verb gives up after the `timeout` that the ledger was opened with."""
    rolling: bool = False
    """True if the ledger knows `Claim.rolling`. For one that does not, the guard claims fixed windows instead
    (`core.windows.overlapping`)."""

    def reserve(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float, lease: float
    ) -> Refusal | None:
        """Reserve `amounts` in every claim until `now + lease`, or in none.

        The call is admitted if in every claim, and in every unit with a limit, spent + held + amount stays within the
        limit. A call that has a reservation, or is settled, is admitted again and reserves nothing more. A call that
        was released, or whose reservation has expired, is checked anew.

        Args:
            call_id: Unique over all processes that share the ledger.
            claims: The budgets that the call counts in.
            amounts: The worst case of the call.
            now: Epoch seconds.
            lease: Seconds after which the reservation expires, for calls of processes that were killed.

        Returns:
            None if the call is admitted, else the claim that has no room. Of several, one that waiting cannot help.

        """
        ...

    def settle(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float
    ) -> Sequence[tuple[Claim, Standing]]:
        """Replace the reservation of the call by what it cost.

        The amounts may exceed the reservation and the limit. They count even without a reservation. A second settle of
        the same call counts nothing, for `REMEMBER` seconds. A negative amount is given back, in each claim at most
        what was spent there: no sum falls below 0. In a rolling window it is taken from what is the oldest there.

        Args:
            call_id: The id that the call was reserved with.
            claims: The budgets that the call counts in.
            amounts: The actual spend of the call.
            now: Epoch seconds.

        Returns:
            The standing of each claim afterwards.

        """
        ...

    def release(self, call_id: str, *, now: float) -> None:
        """Drop the reservation of the call. Nothing is spent, and nothing that was settled is taken back.

        Args:
            call_id: The id that the call was reserved with. An unknown one is ignored.
            now: Epoch seconds.

        """
        ...

    def standing(self, key: str, *, now: float) -> Standing:
        """Return the spent and the reserved amounts of a key.

        Args:
            key: The `Claim.key`.
            now: Epoch seconds.

        Returns:
            The standing; all zeros if the key is unknown or was dropped.

        """
        ...

    def keys(self, *, now: float) -> Sequence[str]:  # noqa: ARG002 (for those that can list them)
        """Return the keys that have spent or reserved something, for people to look at. The default knows none.

        Args:
            now: Epoch seconds.

        """
        return ()

    def ended(self, key: str) -> None:  # noqa: ARG002 (for those that need it)
        """Drop what is kept of a trace or run that has ended. The default does nothing.

        The guard calls this for ledgers that are not shared.

        Args:
            key: The `Claim.key` of the trace or run.

        """
        return

    def caution(self) -> str | None:
        """Return a sentence about a faulty setup of the store; None if there is none, or it cannot be found out."""
        return None

    def close(self) -> None:
        """Close files and connections. A later verb opens them again. Default: nothing."""
        return


def is_ledger(value: object) -> TypeGuard[Ledger]:
    """Return True if an object is usable as a ledger.

    Args:
        value: Any object.

    Returns:
        True if it has all `VERBS`; it need not be a subclass of `Ledger`.

    """
    return all(callable(getattr(value, verb, None)) for verb in VERBS)


# --- Shared by the implementations ---


def checked(amounts: Amounts, least: int = 0) -> Amounts:
    """Return `amounts` if all are valid: a negative reservation would make room where there is none.

    Args:
        amounts: The amounts by unit.
        least: The smallest valid amount; `-MOST` where a refund is valid.

    Returns:
        The same amounts.

    Raises:
        ValueError: A unit is unknown, or an amount is no `int` from `least` to `MOST`.

    """
    values = amounts.values()
    if (  # nearly always, and in a third of the steps
        _UNITS.issuperset(amounts)
        and _WHOLE.issuperset(map(type, values))
        and least <= min(values, default=0)
        and max(values, default=0) <= MOST
    ):
        return amounts
    for unit, amount in amounts.items():
        if unit not in _UNITS or amount.__class__ is not int or not least <= amount <= MOST:
            raise ValueError(f"{unit}={amount!r} is not an amount that a ledger counts")
    return amounts


def refusal(claim: Claim, spent: Amounts, held: Amounts, amounts: Amounts) -> Refusal | None:
    """Return the reason why a claim has no room for a call.

    Args:
        claim: The budget with its limits.
        spent: The settled amounts of its key; every unit is present.
        held: The reserved amounts of its key; every unit is present.
        amounts: The worst case of the call.

    Returns:
        None if there is room. Of several units without room, one that waiting cannot help.

    """
    return told(refusals(claim, spent, held, amounts))


def refusals(claim: Claim, spent: Amounts, held: Amounts, amounts: Amounts) -> list[Refusal]:
    """Return a refusal for each unit of a claim that has no room for a call.

    Args:
        claim: The claim.
        spent: What is spent of its budget.
        held: What calls in flight hold of it.
        amounts: What the call needs.

    """
    found: list[Refusal] = []
    for unit, limit in claim.limits.items():
        requested = amounts.get(unit, 0)
        if spent[unit] + held[unit] + requested > limit:
            figures = Refusal(
                key=claim.key, unit=unit, limit=limit, spent=spent[unit], held=held[unit], requested=requested
            )
            found.append(figures)
    return found


def told(refusals: Sequence[Refusal]) -> Refusal | None:
    """Return the refusal that the caller gets: one that waiting cannot help, if there is one.

    Its `free_at` is the latest of all: there is room when all budgets have room. It is None if that of one is.

    Args:
        refusals: Those of all claims and units.

    """
    if not refusals:
        return None
    times = [each.free_at for each in refusals if each.free_at is not None]
    found = next((each for each in refusals if not each.only_held), refusals[0])
    return replace(found, free_at=max(times) if len(times) == len(refusals) else None)


def ends(claim: Claim) -> float:
    """Return when a claim's key may be dropped, as a number that stores can compare.

    Args:
        claim: The budget.

    Returns:
        Epoch seconds; `KEEP` for a key that never ends.

    """
    return KEEP if claim.until is None or claim.until > KEEP else claim.until


def slice_seconds(rolling: int) -> int:
    """Return the length of the slices in which a rolling window is counted.

    Args:
        rolling: The seconds of the window.

    """
    return max(1, rolling // SLICES)


def slice_end(rolling: int, now: float) -> int:
    """Return the end of the slice of a rolling window that `now` is in.

    Args:
        rolling: The seconds of the window.
        now: Epoch seconds.

    Returns:
        Epoch seconds, at least `GRACE` from now. The slice counts until this is `rolling` seconds ago, also by a clock
        that is ahead of this one by `GRACE`.

    """
    width = slice_seconds(rolling)
    return (int((now + GRACE) // width) + 1) * width


def slice_to_spend(rolling: int, ends: Iterable[int], now: float) -> int:
    """Return the end of the slice in which spend is counted: of the newest one, or of one that `now` is in.

    Slices of a clock that is ahead by more than a window are left out: they are given up after a while (`freed`).

    Args:
        rolling: The seconds of the window.
        ends: The ends of the slices.
        now: Epoch seconds.

    """
    end = slice_end(rolling, now)
    return max((each for each in ends if end < each <= end + rolling), default=end)


def freed(
    rolling: int, ends: Collection[int], behind: float | None, now: float
) -> tuple[dict[int, float], float | None]:
    """Return which slices of a rolling window count, and until when.

    A slice that is more than a window ahead of `now` is of a clock that was wrong, or `now` is. Which one cannot be
    known. If the clock that wrote it is used on, it is as good as any other. If all calls are behind it for a window,
    its spend has counted for a window, and is freed.

    Args:
        rolling: The seconds of the window.
        ends: The ends of the slices.
        behind: Epoch seconds since which all calls are that far behind the newest slice, as returned for the last
            call; None if they are not.
        now: Epoch seconds.

    Returns:
        The slices that count, each with the time at which it is freed; and the new value of `behind`.

    """
    far = slice_end(rolling, now) + rolling
    if max(ends, default=far) <= far:
        behind = None
    elif behind is None:
        behind = now
    times = {end: float(end + rolling) if behind is None or end <= far else behind + rolling + GRACE for end in ends}
    return {end: at for end, at in times.items() if at > now}, behind


def outdated(ends: Collection[int], counted: Collection[int]) -> list[int]:
    """Return the slices of a rolling window to delete: those that do not count, but of old ones as few as possible.

    What is old for a clock that is ahead still counts for others, so some old slices are kept: those of a window
    before, at least.

    Args:
        ends: The ends of the slices.
        counted: The ends of those that count.

    """
    newest = max(counted, default=0)
    old = sorted(end for end in ends if end not in counted and end < newest)
    return old[: max(0, len(ends) - KEPT_SLICES)] + [end for end in ends if end not in counted and end > newest]


def free_again(refused: Refusal, slices: Iterable[tuple[float, int]]) -> float | None:
    """Return when enough of a rolling window is free again for a refused call, if nothing more is spent.

    Args:
        refused: The refusal.
        slices: When each slice is freed (`freed`), and what was spent in it, in the unit of the refusal.

    Returns:
        Epoch seconds; None if the call does not fit even then.

    """
    missing = refused.spent + refused.held + refused.requested - refused.limit
    for at, spent in sorted(slices):
        missing -= spent
        if missing <= 0:
            return at
    return None


def encoded(text: str) -> bytes:
    """Encode any text for a store.

    Args:
        text: Any text. Names of users can contain half of a surrogate pair, which is not UTF-8.

    Returns:
        UTF-8, with lone surrogates encoded like other characters.

    """
    return text.encode("utf-8", "surrogatepass")
