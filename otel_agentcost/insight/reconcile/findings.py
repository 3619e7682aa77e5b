"""The causes of a difference in sentences, the largest first, and the recorded calls to suspect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from otel_agentcost.core import money
from otel_agentcost.insight.reconcile.counted import Counted
from otel_agentcost.insight.reconcile.split import CAUSES, Cause, Difference


class Finding(NamedTuple):
    """One cause of one model and tier."""

    cause: Cause
    model: str
    tier: str
    nusd: int
    """What it adds to the difference, in billionths of a dollar."""
    moved: int
    """For `time`: what is on another day in the bill. The two days cancel each other out."""
    first: str
    last: str
    tokens: int
    requests: int | None
    text: str
    """A sentence, with what to do."""

    @property
    def size(self) -> int:
        """The billionths of a dollar that it explains."""
        return max(abs(self.nusd), self.moved)


class Suspect(NamedTuple):
    """Recorded calls of a model whose tokens are no count of the provider, or that have no price."""

    model: str
    tier: str
    calls: int
    of: int
    """All recorded calls of the model and tier."""
    nusd: int
    why: str


@dataclass(slots=True)
class _Sum:
    nusd: int = 0
    more: int = 0
    less: int = 0
    tokens: int = 0
    at_our_price: int = 0
    days: set[str] = field(default_factory=set[str])
    unseen: dict[str, int] = field(default_factory=dict[str, int])
    kinds: set[str] = field(default_factory=set[str])

    @property
    def moved(self) -> int:
        """The dollars that are on another day, or not in the bill yet: those that one of the sides lacks."""
        return max(self.more, self.less)


def findings(differences: Iterable[Difference], spelled: Callable[[str], str]) -> tuple[Finding, ...]:
    """Return the causes by model and tier, the largest first. Their sum is the difference, exactly.

    Args:
        differences: The split cells.
        spelled: Returns a model's name for people.
    """
    sums: dict[tuple[Cause, str, str, str], _Sum] = {}
    for cell in differences:
        for cause, amount in cell.causes.items():
            tool = cell.kind if cause in ("tools", "other") else ""
            each = sums.setdefault((cause, cell.model, cell.tier, tool), _Sum())
            each.nusd += amount
            each.more += max(0, amount) if cause == "time" else 0
            each.less += max(0, -amount) if cause == "time" else 0
            each.days.add(cell.day)
            each.kinds.add(cell.kind)
            each.tokens += (cell.billed_tokens or 0) - cell.counted_tokens
            each.at_our_price += cell.at_our_price
            if cell.unseen is not None:
                each.unseen[cell.day] = cell.unseen
    found = [_finding(*key, each, spelled) for key, each in sums.items()]
    return tuple(sorted(found, key=lambda one: (-one.size, CAUSES.index(one.cause), one.model, one.tier)))


def _finding(cause: Cause, model: str, tier: str, tool: str, sums: _Sum, spelled: Callable[[str], str]) -> Finding:
    days = sorted(sums.days)
    requests = sum(number for number in sums.unseen.values() if number > 0) if sums.unseen else None
    name = f"{spelled(model) or 'no model'}{f' ({tier})' if tier else ''}"
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    text = _TEXTS[cause](name, when, sums, requests, tool)
    return Finding(cause, model, tier, sums.nusd, sums.moved, days[0], days[-1], sums.tokens, requests, text)


def _coverage(name: str, when: str, _sums: _Sum, requests: int | None, _tool: str) -> str:
    number = f"{requests:,} requests" if requests else "Requests"
    return (
        f"{number} of {name} were billed and never recorded ({when}): look for programs, keys or batches that run "
        "without otel-agentcost."
    )


def _usage(name: str, when: str, sums: _Sum, _requests: int | None, _tool: str) -> str:
    more = "more" if sums.nusd >= 0 else "fewer"
    return (
        f"The provider counted {abs(sums.tokens):,} tokens {more} than the recorded calls of {name} ({when}): streams "
        "that were abandoned, and calls whose tokens were estimated, are the first to suspect."
    )


def _price(name: str, when: str, sums: _Sum, _requests: int | None, _tool: str) -> str:
    share = abs(sums.nusd) * 1000 // abs(sums.at_our_price) / 10 if sums.at_our_price else 0.0
    side = "above" if sums.nusd > 0 else "below"
    return (
        f"{name} was billed {share:g} % {side} the price at which its calls were recorded ({when}): a contract, a tier "
        "or a long context that the price book does not know."
    )


def _time(name: str, when: str, sums: _Sum, _requests: int | None, _tool: str) -> str:
    return (
        f"${money.from_nano(sums.moved):.6f} of {name} is on another day in the bill, or not in it yet ({when}, UTC)."
    )


def _tools(_name: str, when: str, sums: _Sum, _requests: int | None, tool: str) -> str:
    more = "more" if sums.nusd >= 0 else "less"
    return f"The bill has {more} for {tool} than was recorded ({when}): a tool that is not counted, or not all of it."


def _unknown(name: str, when: str, _sums: _Sum, _requests: int | None, _tool: str) -> str:
    return f"{name} has no price in the price book ({when}): add one to the file that OTEL_AGENTCOST_PRICES names."


def _other(_name: str, when: str, _sums: _Sum, _requests: int | None, tool: str) -> str:
    return f"The bill has an amount for {tool} ({when}), which is no usage of a model."


_TEXTS: dict[Cause, Callable[[str, str, _Sum, int | None, str], str]] = {
    "coverage": _coverage,
    "usage": _usage,
    "price": _price,
    "time": _time,
    "tools": _tools,
    "unknown model": _unknown,
    "other": _other,
}


def suspects(counted: Counted, days: frozenset[str]) -> tuple[Suspect, ...]:
    """Return the calls to suspect first: those with estimated tokens, and those without a price."""
    found: list[Suspect] = []
    resolved: dict[str, int] = {}
    """Calls by model that got their cost later. Only the answer names the tier."""
    for (model, _), of_days in counted.calls.items():
        unpriced = sum(calls.unpriced for day, calls in of_days.items() if day in days)
        resolved[model] = resolved.get(model, 0) + max(0, -unpriced)
    for (model, tier), of_days in sorted(counted.calls.items(), key=lambda each: (not each[0][0], each[0])):
        if not model:  # a batch of OpenAI is created without one: the costs that are left can be its own
            resolved[model] = sum(resolved.values())
        mine = [calls for day, calls in of_days.items() if day in days]
        whole = sum(calls.calls for calls in mine)
        estimated, unpriced = sum(calls.estimated for calls in mine), sum(calls.unpriced for calls in mine)
        later = min(resolved[model], max(0, unpriced))
        resolved[model] -= later
        nusd = sum(calls.estimated_nusd for calls in mine)
        name = counted.spellings.get(model, model)
        if estimated:
            found.append(Suspect(name, tier, estimated, whole, nusd, "their tokens were estimated"))
        if unpriced > later:
            found.append(Suspect(name, tier, unpriced - later, whole, 0, "they have no price, or only for a part"))
    return tuple(found)


def causes(differences: Sequence[Difference]) -> dict[Cause, int]:
    """Return the billionths of a dollar of each cause. Their sum is the difference, exactly."""
    found = dict.fromkeys(CAUSES, 0)
    for cell in differences:
        for cause, amount in cell.causes.items():
            found[cause] += amount
    return found
