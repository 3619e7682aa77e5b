"""Find rules that can never do what they are for, before the first call: a model that does not exist, a budget in the
shadow of a tighter one, a breaker of refusals where nothing is refused.

Used at start-up, whose log has the sentences, and by `agentcost doctor`. What only calls can tell (whether one is made
for `agent=researcher`) is watched by `calls/named_rules.py`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping

from otel_agentcost.core.breakers import Breaker
from otel_agentcost.core.budgets import Action, Budget, Unit, Window, rolling_seconds
from otel_agentcost.core.prices import InconsistentPrices
from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook import NoPrice, PriceBook, PriceMatch, suggestions
from otel_agentcost.pricebook.providers import is_local
from otel_agentcost.settings import Settings

_LONGER: Mapping[Window | None, frozenset[Window]] = {
    "hour": frozenset({"hour"}),
    "day": frozenset({"hour", "day"}),
    "week": frozenset({"hour", "day", "week"}),
    "month": frozenset({"hour", "day", "month"}),
}
"""The windows of the calendar, each with those that are a part of it: its budget is one of each of them, too. A week
may lie in two months."""
_AT_MOST: Mapping[Window, float] = {"hour": 1, "day": 25, "week": 169, "month": 31 * 24 + 1}
"""The hours that a window of the calendar has at most: a rolling one that is as long is a budget of it, too."""
_SAVERS: Mapping[Action, tuple[str, frozenset[Unit]]] = {
    "clamp": ("a lower output limit", frozenset({"nano_usd", "tokens"})),
    "downgrade": ("a cheaper model", frozenset({"nano_usd"})),
}
"""What an action changes, and the units of which that saves."""
_NO_NAME = re.compile(r"[*?|,]|\$\{?\w+\}?|[{<]\w+[}>]")
"""Wildcards, several names, and names that a shell or a template should have replaced."""
_CALL = Usage(counts={"input_tokens": 1000, "output_tokens": 1000})


def futile_rules(settings: Settings, book: PriceBook) -> Iterator[str]:
    """Yield a sentence for each rule of `settings` that can have no effect with the prices of `book`."""
    yield from _downgrades(settings.downgrade, book)
    for rule in settings.rules:
        yield from _budget(rule, rule.on_exceed or settings.on_exceed, settings, book)
    yield from _breakers(settings)
    yield from suggestions.unreachable_providers(book)
    yield from _hosts(settings, book)


def _hosts(settings: Settings, book: PriceBook) -> Iterator[str]:
    for rule in settings.hosts:
        if suggestions.is_provider(book, rule.provider) or is_local(rule.provider):
            continue
        near = suggestions.near_provider(book, rule.provider)
        meant = f" (did you mean {near}?)" if near else ""
        yield (
            f"OTEL_AGENTCOST_HOSTS has {rule}, but the price book has no provider {rule.provider}: calls to this host "
            f"are unpriced, unless your price file has the model{meant}."
        )


def _downgrades(chain: Mapping[str, str], book: PriceBook) -> Iterator[str]:
    for model, cheaper in chain.items():
        own, other = _found(book, model, cheaper)
        if isinstance(other, NoPrice):
            yield (
                f"OTEL_AGENTCOST_DOWNGRADE replaces {model} by {cheaper}, for which there is no price: a budget in US "
                f"dollars never does so, and refuses the call{_meant(book, cheaper)}."
            )
        elif isinstance(own, NoPrice):
            if near := _meant(book, model):
                yield f"OTEL_AGENTCOST_DOWNGRADE replaces {model}, which the price book does not have{near}."
        elif own.provider != other.provider and "/" not in model + cheaper:
            yield (
                f"OTEL_AGENTCOST_DOWNGRADE replaces {model} of {own.provider} by {cheaper} of {other.provider}: a call "
                "keeps its address, so only a gateway that has both can answer it."
            )
        elif (before := _dollars(own)) is not None and (after := _dollars(other)) is not None and after >= before > 0:
            yield f"OTEL_AGENTCOST_DOWNGRADE replaces {model} by {cheaper}, which does not cost less: it saves nothing."


def _found(book: PriceBook, *models: str) -> list[PriceMatch | NoPrice]:
    """Return the prices of `models` at the first seller that has all of them: any, or one of the user's price file."""
    found = [
        [book.find((model,), None, seller) for model in models] for seller in (None, *book.finder.overrides.providers)
    ]
    whole = (matches for matches in found if not any(isinstance(match, NoPrice) for match in matches))
    return next(whole, found[0])


def _dollars(match: PriceMatch) -> float | None:
    try:
        usd = match.prices.quote(time.time(), {}).card.cost(_CALL).usd
    except InconsistentPrices:
        return None
    return None if usd is None else float(usd)


def _meant(book: PriceBook, model: str) -> str:
    near = [name for name in suggestions.near_models(book, model, None) if name != model.lower()]
    return f" (did you mean {near[0]}?)" if near else ""


def _budget(rule: Budget, action: Action, settings: Settings, book: PriceBook) -> Iterator[str]:
    if rule.scope == "model" and rule.name is not None and isinstance(_found(book, rule.name)[0], NoPrice):
        what = ": its calls have no price, so no dollar of them counts" if "nano_usd" in rule.limits else ""
        near = _meant(book, rule.name)
        if what or near:
            yield f"The budget {rule.text} names a model that the price book does not have{what}{near}."
    if (saver := _SAVERS.get(action)) is not None and rule.limits.keys().isdisjoint(saver[1]):
        yield (
            f"The budget {rule.text} has the action {action}, but {saver[0]} saves no {_units(rule)}: a call over it "
            "is refused."
        )
    if rule.name is not None and (sign := _NO_NAME.search(rule.name)) is not None:
        yield (
            f"The budget {rule.text} is for the {rule.scope} {rule.name!r} alone: {sign[0]} has no meaning in a name. "
            f"Write {rule.scope} without a name for each {rule.scope}, or one rule for each name."
        )
    if action == "warn":
        return
    for other in settings.rules:
        around = other.scope == "total" or (other.scope == rule.scope and other.name in (None, rule.name))
        around = around and _around(other.window, rule.window)
        enforced = other is not rule and (other.on_exceed or settings.on_exceed) == action
        if around and enforced and _within(other, rule):
            yield f"The budget {rule.text} never refuses a call, because {other.text} is tighter."
            return


def _around(longer: Window | None, shorter: Window | None) -> bool:
    """Return True if the spend of each `shorter` window is in one `longer` window."""
    if longer is None or longer == shorter:
        return True
    if shorter is None:
        return False
    if (rolling := rolling_seconds(longer)) is None:
        return shorter in _LONGER[longer]
    inner = rolling_seconds(shorter)
    return rolling >= (inner if inner is not None else _AT_MOST[shorter] * 3600)


def _units(rule: Budget) -> str:
    return " and no ".join({"calls": "calls", "tool_calls": "tool calls"}.get(unit, unit) for unit in rule.limits)


def _within(tight: Budget, loose: Budget) -> bool:
    """Return True if every limit of `loose` is above one of `tight`."""
    return all(unit in tight.limits and tight.limits[unit] < limit for unit, limit in loose.limits.items())


def _breakers(settings: Settings) -> Iterator[str]:
    refusing = any((rule.on_exceed or settings.on_exceed) != "warn" for rule in settings.rules)
    for breaker in settings.breakers:
        if breaker.counts("refusals") and not refusing and not _counts_loops(breaker, settings):
            yield (
                f"The circuit breaker {breaker.text} never opens, because no budget of the settings refuses a call: "
                "only budgets of runs in code do."
            )


def _counts_loops(breaker: Breaker, settings: Settings) -> bool:
    return breaker.counts("loops") and settings.loop_max_repeats > 0
