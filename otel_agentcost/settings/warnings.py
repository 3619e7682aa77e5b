"""What was set and does nothing: the sentences that are logged about it at start-up.

A name that no setting has, a name of a later version, a setting without the budget that it belongs to. They stop
nobody; but where a budget was meant, that none is enforced is said in capitals. Called by `settings.py` alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

from otel_agentcost._version import __version__
from otel_agentcost.core.breakers import Breaker
from otel_agentcost.core.budgets import Action, Budget
from otel_agentcost.settings.parsers import quoted
from otel_agentcost.settings.sources import PREFIX, Layer

NO_BUDGET = "NO BUDGET IS ENFORCED."
"""What is said, in capitals, wherever a budget was meant and nothing holds anybody to it."""

_LIMITS = re.compile("^trace_|budget|max|spen[dt]|usd|cost")
_LOOPS = "loop_"
"""What the names of settings begin with that are about loops, and so about no budget."""


class Meant(Protocol):
    """What is looked at of the settings."""

    @property
    def enabled(self) -> bool: ...
    @property
    def rules(self) -> tuple[Budget, ...]: ...
    @property
    def breakers(self) -> tuple[Breaker, ...]: ...
    @property
    def loop_max_repeats(self) -> int: ...
    @property
    def on_exceed(self) -> Action: ...
    @property
    def downgrade(self) -> Mapping[str, str]: ...
    @property
    def ledger(self) -> str: ...


def unknown(layer: Layer, name: str, fields: Collection[str]) -> str:
    """What is said of a name that no setting has: it is ignored, and what was meant by it, if that can be guessed."""
    written = f"{layer.spelling(name)} is {quoted(layer.written[name])}, but"
    meant = _meant(name, fields)
    hint = f"; did you mean {layer.spelling(meant)}?" if meant else ": the README lists the settings."
    sentence = f"{written} otel-agentcost {__version__} has no such setting, and ignores it{hint}"
    return f"{sentence} NO SUCH BUDGET IS ENFORCED." if is_limit(name, fields) else sentence


def is_limit(name: str, fields: Collection[str]) -> bool:
    """Whether whoever wrote this name, which no setting has, meant to limit something."""
    meant = _meant(name, fields)
    if meant is None and "limit" in name:
        return True
    about_loops = (meant or "").startswith(_LOOPS)
    return not about_loops and any(_LIMITS.search(words) for words in (name, meant or ""))


def _meant(name: str, fields: Collection[str]) -> str | None:
    import difflib  # noqa: PLC0415 (only a misspelt name needs it)

    return next(iter(difflib.get_close_matches(name, sorted(fields), n=1)), None)


def without_effect(settings: Meant, spelled: Mapping[str, str]) -> Iterator[str]:
    """Sentences on what was understood and does nothing, where `spelled` has what was set, as its place spells it."""
    rules, breakers = settings.rules, settings.breakers
    if (rules or breakers) and not settings.enabled:
        yield f"{spelled['enabled']} is false: {NO_BUDGET}"
    if not settings.loop_max_repeats and (deaf := [rule.text for rule in breakers if rule.counted == "loops"]):
        yield (
            f"{spelled['loop_max_repeats']} is 0, so no loop is looked for, and a circuit breaker that counts loops "
            f"never opens: {'; '.join(deaf):.200}."
        )
    if not rules and not breakers and "ledger" in spelled and settings.ledger != "memory://":
        shown = quoted(settings.ledger)
        yield f"{spelled['ledger']} is {shown}, but no budget is set: only those of runs would use it."
    actions = {rule.on_exceed or settings.on_exceed for rule in rules} or {settings.on_exceed}
    if settings.downgrade and "downgrade" not in actions:
        yield (
            f"{spelled['downgrade']} is set, but no budget downgrades: what does not fit meets "
            f"on_exceed={'/'.join(sorted(actions))}. Set on_exceed=downgrade, or remove it."
        )
    if "downgrade" in actions and not settings.downgrade:
        where = spelled.get("on_exceed") if settings.on_exceed == "downgrade" else None
        yield (
            f"{where or spelled.get('budgets', 'on_exceed')} says to downgrade, but no cheaper model is named, so "
            f"calls that do not fit are refused. Name them in {PREFIX}DOWNGRADE."
        )
