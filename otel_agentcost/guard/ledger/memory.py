"""The ledger of one process (`memory://`, the default): dictionaries under one lock.

Memory is bounded: accounts that have ended are dropped a few at a time, as calls come in. A forked child keeps the
spend of its parent, so that it cannot spend it again, and drops the reservations: those calls are its parent's. From
then on both count separately; budgets over several processes need another ledger.

The exception of a signal handler can interrupt a verb, after a function call or at the end of a loop's round. So each
account is changed together with the note of how many are, without a call in between, and the same verb for the same
call then continues where it stopped.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Sequence

from otel_agentcost.diagnostics import without_password
from otel_agentcost.guard.fork_safe import ForkSafe
from otel_agentcost.guard.ledger import (
    GRACE,
    MOST,
    REMEMBER,
    Amounts,
    Claim,
    LedgerError,
    Refusal,
    Standing,
    checked,
    ends,
    told,
)
from otel_agentcost.guard.ledger._memory_accounts import (
    FIELD,
    NEW,
    SHIFTS,
    Account,
    Hold,
    RollingAccount,
    Settlement,
    pack,
    unpack,
)
from otel_agentcost.guard.ledger._memory_batches import MemoryBatches

__all__ = ["MemoryLedger", "open_ledger"]

SETTLED_AT_MOST = 5_000
"""Maximum of settled calls that are remembered. A process repeats a settlement soon, if at all, and data that every
call walks through should fit into the processor's cache."""

PASSING_AT_MOST = 20_000
"""Maximum of traces and runs that are kept, about 20 MB. It matters for those whose end is not seen, because they are
not recorded or belong to another service."""

ENDED_AT_MOST = 1_000
"""Maximum of traces and runs that are kept after their end."""


def open_ledger(url: str, *, timeout: float) -> MemoryLedger:
    """Make an empty ledger."""
    del timeout  # there is no server
    if url.partition("://")[2]:
        raise LedgerError(f"The ledger {without_password(url)!r:.120} has a path, but memory:// takes none.")
    return MemoryLedger()


class MemoryLedger(ForkSafe, MemoryBatches):
    """Implements `Ledger` and `BatchVerbs`."""

    shared = False
    blocking = False
    has_timeout = False
    rolling = True

    def __init__(self) -> None:
        self._accounts: OrderedDict[str, Account] = OrderedDict()
        self._holds: dict[str, Hold] = {}
        self._expiries: list[tuple[float, str]] = []
        """A heap of the times at which reservations expire. Entries of reservations that are gone are ignored."""
        self._unswept = 0
        """Accounts to check: two of the oldest for each new one, so that ended ones never outnumber the others."""
        self._settling: dict[str, Settlement] = {}
        """Settlements in progress."""
        self._settled: OrderedDict[str, float] = OrderedDict()
        self._passing: OrderedDict[str, None] = OrderedDict()
        """Keys of traces and runs, the least recently used first."""
        self._ended: OrderedDict[str, None] = OrderedDict()
        """Keys of those that have ended, the first one first."""
        self._without_batches()
        super().__init__()

    def reserve(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float, lease: float
    ) -> Refusal | None:
        """See `Ledger`."""
        checked(amounts)
        with self._lock:
            self._expire(now)
            if call_id in self._holds or self._settled.get(call_id, now) > now:
                return None
            packed = pack(amounts)
            if (found := self._refusal(claims, amounts, packed, now)) is not None:
                return found
            expires = now + lease
            accounts = self._open(claims, now, expires)
            heapq.heappush(self._expiries, (expires, call_id))
            hold = self._holds[call_id] = Hold(tuple(claims), accounts, packed, expires)
            hold.take()
            return None

    def settle(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float
    ) -> Sequence[tuple[Claim, Standing]]:
        """See `Ledger`."""
        checked(amounts, -MOST)
        with self._lock:
            self._expire(now)
            if self._settled.get(call_id, now) <= now:
                hold = self._holds.get(call_id)
                # Nearly always the claims are those of the hold, and while there is one its accounts are there.
                if hold and hold.whole and hold.claims == tuple(claims) and min(amounts.values(), default=0) >= 0:
                    hold.settle(pack(amounts), now)
                else:
                    self._settle_without_hold(call_id, claims, amounts, now)
                self._remember(call_id, now)
            else:
                for claim in claims:
                    if claim.rolling is None:
                        self._forget_if_ended(claim.key, now)
            self._holds.pop(call_id, None)
            self._settling.pop(call_id, None)
            return [(claim, self._standing(claim.key, now)) for claim in claims]

    def release(self, call_id: str, *, now: float) -> None:
        """See `Ledger`."""
        with self._lock:
            self._expire(now)
            self._drop(call_id)

    def standing(self, key: str, *, now: float) -> Standing:
        """See `Ledger`. Nothing is dropped: the clock of the process that looks may be ahead."""
        with self._lock:
            account = self._accounts.get(key)
            if account is None:
                return NEW.standing(NEW.all_spent, ())
            if isinstance(account, RollingAccount):
                spent = account.view(account.slices, account.seen.behind, now).spent
            else:
                spent = account.all_spent if account.until + GRACE > now else 0
            expired = self._expiries and self._expiries[0][0] <= now
            holds = self._holds.values() if expired else ()
            return account.standing(
                spent, [hold.amounts for hold in holds if hold.expires <= now and account in hold.accounts]
            )

    def keys(self, *, now: float) -> Sequence[str]:
        """See `Ledger`."""
        with self._lock:
            return sorted(key for key, account in self._accounts.items() if account.until + GRACE > now)

    def ended(self, key: str) -> None:
        """See `Ledger`. Tasks that outlive the trace may still spend in it, so its account is kept for a while."""
        with self._lock:
            if key in self._passing:
                del self._passing[key]
                self._ended[key] = None
                if len(self._ended) > ENDED_AT_MOST:
                    self._forget_one_of(self._ended)

    def caution(self) -> str | None:
        """See `Ledger`."""
        return None

    def close(self) -> None:
        """See `Ledger`. There is nothing to close."""

    def after_fork(self) -> None:
        """Drop the reservations of the parent's calls, and its batches."""
        for call_id in list(self._holds):
            self._drop(call_id)
        self._expiries.clear()
        self._without_batches()

    # --- under the lock ---

    def _refusal(self, claims: Sequence[Claim], amounts: Amounts, packed: int, now: float) -> Refusal | None:
        refused: list[Refusal] = []
        for claim in claims:
            account = self._accounts.get(claim.key)
            if account is None:
                account = NEW
            elif isinstance(account, RollingAccount):
                account.age(now)
            elif account.until + GRACE <= now:
                account = NEW
            after = account.all_spent + account.all_held + packed
            for unit, limit in claim.limits.items():
                if after >> SHIFTS[unit] & FIELD > limit:
                    refused += account.refusals(claim, amounts, now)
                    break
        return told(refused) if refused else None

    def _settle_without_hold(self, call_id: str, claims: Sequence[Claim], amounts: Amounts, now: float) -> None:
        settlement = self._settling.get(call_id)
        if settlement is None:
            self._drop(call_id)
            settlement = self._settling[call_id] = self._spending(claims, amounts, now)
        settlement.spend()

    def _spending(self, claims: Sequence[Claim], amounts: Amounts, now: float) -> Settlement:
        return Settlement(self._open(claims, now, 0.0), amounts, now)

    def _standing(self, key: str, now: float) -> Standing:
        account = self._accounts.get(key) or NEW
        if isinstance(account, RollingAccount):
            account.age(now)
        return Standing(unpack(account.all_spent), unpack(account.all_held))

    def _open(self, claims: Sequence[Claim], now: float, until: float) -> list[Account]:
        """Return the accounts of `claims`, created if missing, each once: two rules can have limits on one key."""
        opened: list[Account] = []
        for claim in claims:
            account = self._accounts.get(claim.key)
            if account is None or (claim.rolling is None and account.until + GRACE <= now and account not in opened):
                account = Account() if claim.rolling is None else RollingAccount(claim.rolling)
                self._accounts[claim.key] = account
                self._unswept += 2
            account.until = max(account.until, ends(claim), until)
            if account not in opened:
                opened.append(account)
            if claim.passing:
                self._passing[claim.key] = None
                self._passing.move_to_end(claim.key)
                self._ended.pop(claim.key, None)
        if len(self._passing) > PASSING_AT_MOST:
            self._forget_one_of(self._passing)
        return opened

    def _forget_one_of(self, keys: OrderedDict[str, None]) -> None:
        for _ in range(3):
            key, _ = keys.popitem(last=False)
            account = self._accounts.get(key)
            if account is None or not account.all_held:
                self._accounts.pop(key, None)
                return
            self._passing[key] = None  # in use after all

    def _forget_if_ended(self, key: str, now: float) -> bool:
        account = self._accounts.get(key)
        if account is None or account.until + GRACE > now:
            return False
        del self._accounts[key]
        self._passing.pop(key, None)
        self._ended.pop(key, None)
        return True

    def _expire(self, now: float) -> None:
        """Drop the reservations whose lease has expired, and a few accounts that have ended."""
        expiries = self._expiries
        while expiries and expiries[0][0] <= now:
            call_id = expiries[0][1]
            hold = self._holds.get(call_id)
            if hold is not None and hold.expires <= now:
                self._drop(call_id)
            heapq.heappop(expiries)
        if len(expiries) > 64 + 2 * len(self._holds):
            self._expiries = [(hold.expires, call_id) for call_id, hold in self._holds.items()]
            heapq.heapify(self._expiries)
        while self._unswept:
            self._unswept -= 1
            oldest = next(iter(self._accounts), None)
            if oldest is not None and not self._forget_if_ended(oldest, now):
                self._accounts.move_to_end(oldest)

    def _drop(self, call_id: str) -> Hold | None:
        hold = self._holds.get(call_id)
        if hold is not None:
            hold.give_back()
            self._holds.pop(call_id, None)
        return hold

    def _remember(self, call_id: str, now: float) -> None:
        settled = self._settled
        settled[call_id] = now + REMEMBER
        settled.move_to_end(call_id)
        oldest = next(iter(settled))
        while len(settled) > SETTLED_AT_MOST or settled[oldest] <= now:
            del settled[oldest]
            oldest = next(iter(settled))
