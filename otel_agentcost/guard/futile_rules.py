"""Find rules that can never do what they are for, before the first call: a model that does not exist, a budget in the
shadow of a tighter one, a breaker of refusals where nothing is refused.

Used at start-up, whose log has the sentences, and by `agentcost doctor`. What only calls can tell (whether one is made
for `agent=researcher`) is watched by `calls/named_rules.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from otel_agentcost.core.breakers import Breaker
from otel_agentcost.core.budgets import Action, Budget
from otel_agentcost.core.prices import InconsistentPrices
from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook import NoPrice, PriceBook, PriceMatch, suggestions
from otel_agentcost.settings import Settings

_CALL = Usage(counts={"input_tokens": 1000, "output_tokens": 1000})


def futile_rules(settings: Settings, book: PriceBook) -> Iterator[str]:
    """Yield a sentence for each rule of `settings` that can have no effect with the prices of `book`."""
    yield from _downgrades(settings.downgrade, book)
    for rule in settings.rules:
        yield from _budget(rule, rule.on_exceed or settings.on_exceed, settings, book)
    yield from _breakers(settings)
    yield from suggestions.unreachable_providers(book)


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
    if action == "clamp" and rule.limits.keys().isdisjoint({"nano_usd", "tokens"}):
        yield (
            f"The budget {rule.text} has the action clamp, but a lower output limit saves no {_units(rule)}: a call "
            "over it is refused."
        )
    if action == "warn":
        return
    for other in settings.rules:
        same = (other.scope, other.window) == (rule.scope, rule.window) and other.name in (None, rule.name)
        enforced = other is not rule and (other.on_exceed or settings.on_exceed) == action
        if same and enforced and _within(other, rule):
            yield f"The budget {rule.text} never refuses a call, because {other.text} is tighter."
            return


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
