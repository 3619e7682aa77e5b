"""What must be true after a storm through an SDK: spans, the provider's record and the ledger agree to the nano-dollar.

`storm_line.py` says what a call costs that did not end well.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from opentelemetry.sdk.trace import ReadableSpan

from otel_agentcost.calls.finalize import settle_pending
from otel_agentcost.guard.ledger import Ledger
from tests.overspend import load
from tests.overspend.load import Figures, Limits, Spent
from tests.overspend.sdk_load import Ended, Provider
from tests.support.in_memory import Telemetry

REFUSED = "otel_agentcost.BudgetExceeded"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the span of a call says."""

    name: str
    nano: int | None
    """Its dollars, in billionths: a double has more digits than a call's dollars have."""
    tokens: int
    error: str | None
    unpriced: str | None
    estimated: bool

    @property
    def counted(self) -> bool:
        """Whether it was sent. One that was cancelled before that has no cost, and no reason why it has none."""
        waiting = self.error is not None and "Cancelled" in self.error and self.nano is None and self.unpriced is None
        return self.error != REFUSED and not waiting


def told(telemetry: Telemetry, calls: int) -> list[Told]:
    """What the spans of so many model calls say, when all have ended: a stream that was dropped is settled where it is
    collected, which may be any thread. Its budgets are charged before its span ends.
    """
    deadline = time.monotonic() + 10
    while True:
        gc.collect()
        settle_pending()
        found = _told(telemetry.spans)
        if len(found) >= calls or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def _told(spans: Iterable[ReadableSpan]) -> list[Told]:
    found: list[Told] = []
    for span in spans:
        given = dict(span.attributes or {})
        if given.get("gen_ai.operation.name") != "chat":
            continue
        usd = given.get("agentcost.cost.usd")
        tokens = (given.get(f"gen_ai.usage.{kind}_tokens", 0) for kind in ("input", "output"))
        found.append(
            Told(
                name=str(given["gen_ai.conversation.id"]),
                nano=None if usd is None else _nano(float(str(usd))),
                tokens=sum(int(str(count)) for count in tokens),
                error=str(given["error.type"]) if "error.type" in given else None,
                unpriced=str(given["agentcost.unpriced"]) if "agentcost.unpriced" in given else None,
                estimated=bool(given.get("agentcost.usage.estimated")),
            )
        )
    return found


def _nano(usd: float) -> int:
    nano = Decimal(repr(usd)) * 10**9
    assert nano == int(nano), f"{usd} dollars are no whole billionths"
    return int(nano)


def against_provider(ended: Iterable[Ended], said: Iterable[Told], provider: Provider) -> None:
    """Each call has one span; a whole answer costs what the provider bills; what was refused it never heard of."""
    spans = {each.name: each for each in said}
    calls = {each.name: each for each in ended}
    assert len(spans) == len(list(said))
    assert spans.keys() == calls.keys()
    heard = Counter(name for name, _ in provider.seen)
    assert len(set(provider.seen)) == len(provider.seen)
    for name, call in calls.items():
        span = spans[name]
        assert (call.how == "refused") == (span.error == REFUSED)
        if call.how == "refused":
            assert (heard[name], span.nano) == (0, None)
        elif call.how != "cancelled":  # one try, and what the SDK itself repeats: each attempt has its number
            assert {attempt for other, attempt in provider.seen if other == name} == set(range(heard[name]))
            assert 1 <= heard[name] <= 3
        if call.how == "whole":
            assert call.response_id is not None
            assert (span.nano, span.estimated) == (provider.billed[call.response_id], False)
        elif call.how == "partly":
            assert span.estimated
            assert span.nano is not None
        elif span.nano:  # the stream broke before its end, or its task was cancelled in the middle of it
            assert span.estimated or call.how == "cancelled"
        else:
            assert call.how in ("failed", "cancelled", "refused")


def _calls_of(key: str, runs: Mapping[str, str], ended: Iterable[Ended], said: Iterable[Told]) -> list[object]:
    """What led to the sum of a run: how each of its calls ended, and what its span says."""
    names = [name for name, value in runs.items() if key == f"run/all/{value}"]
    hows = {each.name: each.how for each in ended}
    return [(hows.get(each.name), each) for each in said if each.name.rpartition("-")[0] in names]


def against_ledger(
    ended: Iterable[Ended], said: Iterable[Told], runs: Mapping[str, str], ledger: Ledger, limits: Limits, now: float
) -> Spent:
    """What the ledger has is what the spans say, in every budget and unit, and it holds nothing any more."""
    users = {each.name: each.user for each in ended}
    spent: Spent = Counter()
    for span in said:
        if not span.counted:
            continue
        run = runs[span.name.rpartition("-")[0]]
        for key in ("total/all/", f"user/all/{users[span.name]}", "model/all/gpt-4o-mini", f"run/all/{run}"):
            spent[key, "nano_usd"] += span.nano or 0
            spent[key, "tokens"] += span.tokens
            spent[key, "calls"] += 1
    load.agrees(ledger, spent, now)
    for (key, unit), amount in spent.items():
        most = limits[key.partition("/")[0]].get(unit, amount)
        assert amount <= most, (key, unit, amount - most, _calls_of(key, runs, ended, said))
    return spent


def fill(figures: Figures, ended: list[Ended], said: list[Told], provider: Provider) -> None:
    """Counts, and whether the storm was one: enough of everything that can happen."""
    how = Counter(each.how for each in ended)
    figures.calls = len(ended)
    figures.admitted = sum(each.counted for each in said)
    figures.refused = how["refused"]
    figures.requests = len(provider.seen)
    assert figures.overshoot == 0
    assert min(how["whole"], how["partly"], how["failed"], how["refused"]) >= 3, how
    assert any(attempt for _, attempt in provider.seen)
