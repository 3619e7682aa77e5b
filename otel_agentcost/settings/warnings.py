"""Warnings about settings without effect, logged at start-up.

An unknown name, a name of a later version, a setting without the budget that it needs. They stop nothing. If a budget
was meant, the warning says in capitals that it is not enforced. Called by `load.py` only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from otel_agentcost._version import __version__
from otel_agentcost.settings.parsers import quoted
from otel_agentcost.settings.sources import PREFIX, Layer
from otel_agentcost.settings.table import DEFAULTS, NO_BUDGET, Settings

_LIMITS = re.compile("^trace_|budget|max|spen[dt]|usd|cost")
_LOOPS = "loop_"
"""Prefix of the settings about loops, which are no budgets."""


def unknown(layer: Layer, name: str, fields: Collection[str]) -> str:
    """Word the notice for an unknown name: it is ignored, and the nearest known setting is suggested."""
    written = f"{layer.spelling(name)} is {quoted(layer.written[name])}, but"
    meant = _meant(name, fields)
    hint = f" Did you mean {layer.spelling(meant)}?" if meant else " docs/settings.md lists the settings."
    sentence = f"{written} otel-agentcost {__version__} has no such setting; it is ignored.{hint}"
    return f"{sentence} NO SUCH BUDGET IS ENFORCED." if is_limit(name, fields) else sentence


def is_limit(name: str, fields: Collection[str]) -> bool:
    """Return True if an unknown name looks like a limit."""
    meant = _meant(name, fields)
    if meant is None and "limit" in name:
        return True
    about_loops = (meant or "").startswith(_LOOPS)
    return not about_loops and any(_LIMITS.search(words) for words in (name, meant or ""))


def _meant(name: str, fields: Collection[str]) -> str | None:
    import difflib  # noqa: PLC0415 (only a misspelt name needs it)

    return next(iter(difflib.get_close_matches(name, sorted(fields), n=1)), None)


def without_effect(settings: Settings, spelled: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each valid setting without effect. `spelled` has each set field as its source spells it."""
    rules, breakers = settings.rules, settings.breakers
    if (rules or breakers) and not settings.enabled:
        yield f"{spelled['enabled']} is false: {NO_BUDGET}"
    if not settings.loop_max_repeats and (deaf := [rule.text for rule in breakers if rule.counted == "loops"]):
        yield (
            f"{spelled['loop_max_repeats']} is 0, so loop detection is disabled, and circuit breakers that count loops "
            f"never open: {'; '.join(deaf):.200}."
        )
    if not rules and not breakers and "ledger" in spelled and settings.ledger != DEFAULTS["ledger"]:
        shown = quoted(settings.ledger)
        yield f"{spelled['ledger']} is {shown}, but no budget is set: only budgets of runs use it."
    actions = {rule.on_exceed or settings.on_exceed for rule in rules} or {settings.on_exceed}
    if settings.downgrade and "downgrade" not in actions:
        yield (
            f"{spelled['downgrade']} is set, but it is ignored: the budgets have "
            f"on_exceed={'/'.join(sorted(actions))}. Set on_exceed=downgrade, or remove it."
        )
    if "downgrade" in actions and not settings.downgrade:
        where = spelled.get("on_exceed") if settings.on_exceed == "downgrade" else None
        yield (
            f"{where or spelled.get('budgets', 'on_exceed')} uses downgrade, but no cheaper model is set, so "
            f"calls that do not fit are refused. Set {PREFIX}DOWNGRADE."
        )
