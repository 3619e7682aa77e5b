"""Warnings about settings without effect, logged at start-up.

An unknown name, a name of a later version, a setting without the budget that it needs. They stop nothing. If a budget
was meant, the warning says in capitals that it is not enforced. Called by `load.py` only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import cast

from otel_agentcost._version import __version__
from otel_agentcost.settings.field import Row
from otel_agentcost.settings.parsers import quoted
from otel_agentcost.settings.sources import PREFIX, Layer, is_set
from otel_agentcost.settings.table import DEFAULTS, NO_BUDGET, Settings

NOT_ENFORCED = "NO SUCH BUDGET IS ENFORCED."
"""Ends a message about a limit that cannot be understood. The other budgets are enforced."""
FILE_IS_OFF = "None of its settings is in effect. If it sets a budget, NO SUCH BUDGET IS ENFORCED."

_PREFIXES = re.compile("^_*(?:OTEL|OPENTELEMETRY)?_*(?:PYTHON_)?AGENTS?_*COSTS?_*")
"""What people write for `OTEL_AGENTCOST_`."""

_LIMITS = re.compile("^trace_|budget|max|spen[dt]|usd|cost")
_OTHER_WORDS = {
    **dict.fromkeys(("redis_url", "ledger_url", "database", "storage"), "ledger"),
    **dict.fromkeys(("model_prices", "price_file", "prices_file", "price_book"), "prices"),
    **dict.fromkeys(("loops", "loop_detection", "max_repeats"), "loop_max_repeats"),
    **dict.fromkeys(("usd", "max_usd", "limit_usd", "max_cost", "max_spend", "cost_limit"), "trace_budget_usd"),
    **dict.fromkeys(("action", "on_exceeded", "exceed"), "on_exceed"),
}
"""Settings by names that people write for them."""

_OF_LOOPS = ("loop_action", "loop_rules", "loop_thresholds")
"""Settings that only change how loops are detected."""
_LOOPS = "loop_"
"""Prefix of the settings about loops, which are no budgets."""


def _has_budget(settings: Settings) -> bool:
    return bool(settings.rules)


def _has_ledger(settings: Settings) -> bool:
    return settings.ledger != DEFAULTS["ledger"]


def _has_dollars(settings: Settings) -> bool:
    return any("nano_usd" in rule.limits for rule in settings.rules)


_NEEDS: Mapping[str, tuple[Callable[[Settings], bool], str]] = {
    "unlimited_output": (_has_budget, "no budget is set: only budgets of runs use it"),
    "unpriced": (_has_dollars, "no budget in US dollars is set: only budgets of runs use it"),
    "ledger_down": (_has_ledger, "the ledger is in memory, which always answers: it has no effect"),
    "ledger_timeout": (_has_ledger, "the ledger is in memory, which always answers: it has no effect"),
}
"""What a setting needs to have an effect, and what is said where it is missing."""


def as_written(settings: Settings, spelled: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each text that has quotes, or a variable that nothing has replaced."""
    for name in ("user", "tenant", "team", "feature", "agent", "conversation"):
        value = getattr(settings, name)
        if isinstance(value, str) and name in spelled and _UNREPLACED.fullmatch(value):
            yield f"{spelled[name]} is {quoted(value)}, which is used as it is, with these signs: correct or remove it."


_UNREPLACED = re.compile(r"""(['"`]).*\1|\$\{?\w+\}?|\{\{?\s*\w+\s*\}?\}|<\w+>|%\w+%""")


def unknown(layer: Layer, name: str, fields: Collection[str]) -> str:
    """Word the notice for an unknown name: it is ignored, and the nearest known setting is suggested."""
    value = layer.written[name]
    written = f"{layer.spelling(name)} is {quoted(value, address=_is_address(value))}, but"
    if isinstance(value, Mapping):
        inner = [str(key).lower() for key in cast("Mapping[object, object]", value)]
        sentence = f"{written} settings stand at the top of the file, with their whole names; it is ignored."
        limits = any(is_limit(each, fields) for key in inner for each in (key, f"{name}_{key}"))
        return f"{sentence} {NOT_ENFORCED}" if limits else sentence
    meant = _meant(name, fields)
    hint = f" Did you mean {layer.spelling(meant)}?" if meant else " docs/settings.md lists the settings."
    sentence = f"{written} otel-agentcost {__version__} has no such setting; it is ignored.{hint}"
    return f"{sentence} {NOT_ENFORCED}" if is_limit(name, fields) else sentence


def is_off(row: Row, *, rest: bool, alone: bool) -> str:
    """Word what happens with a value that cannot be parsed: it is ignored, and nothing else is.

    Args:
        row: The setting.
        rest: True if the other items of the list are in effect.
        alone: True if no budget at all is left.
    """
    if row.field == "cache_key":
        return "Nothing is cached on disk or on a server."
    said = "The rest of it is in effect." if rest else f"It is ignored{_instead(row)}."
    if row.field == "budgets" or row.field.startswith("trace_"):
        return f"{said} {NO_BUDGET if alone else NOT_ENFORCED}"
    if row.field == "breakers":
        return f"{said} NO SUCH CIRCUIT BREAKER OPENS."
    if row.field == "ledger":
        return f"{said} Each process counts for itself: NO BUDGET IS ENFORCED over several processes."
    return said


def _is_address(value: object) -> bool:
    """Return True if the value of an unknown setting may be the address of a webhook."""
    return isinstance(value, str) and re.match(r"\s*(?:slack\+)?https?:", value, re.IGNORECASE) is not None


def _instead(row: Row) -> str:
    if row.field == "capture_content":
        return ": no content is recorded"
    return f", and the default applies: {row.default.strip('`')}" if row.default else ""


def misspelt(environ: Mapping[str, str], fields: Mapping[str, str]) -> Iterator[str]:
    """Yield a notice for each variable whose prefix is nearly ours.

    Args:
        environ: The environment.
        fields: The setting of each variable of this package.
    """
    for name, value in environ.items():
        if name in fields or name.startswith(PREFIX) or not is_set(value) or "COST" not in name.upper():
            continue
        prefix = _PREFIXES.match(name.upper())
        rest = name.upper()[prefix.end() :] if prefix is not None else ""
        meant = PREFIX + rest.replace("-", "_")
        if meant not in fields and name.upper().startswith("OTEL_"):
            meant = next(iter(_close(name.upper(), fields, 0.85)), "")
        if meant in fields:
            shown = quoted(value, address=_is_address(value))
            told = f"{name} is {shown}, but the variables of otel-agentcost begin with {PREFIX}; it is ignored."
            limit = f" {NOT_ENFORCED}" if is_limit(fields[meant], frozenset(fields.values())) else ""
            yield f"{told} Did you mean {meant}?{limit}"


def _close(name: str, names: Iterable[str], cutoff: float) -> list[str]:
    import difflib  # noqa: PLC0415 (only a misspelt name needs it)

    return difflib.get_close_matches(name, sorted(names), n=1, cutoff=cutoff)


def is_limit(name: str, fields: Collection[str]) -> bool:
    """Return True if an unknown name looks like a limit."""
    meant = _meant(name, fields)
    if meant is None and "limit" in name:
        return True
    about_loops = (meant or "").startswith(_LOOPS)
    return not about_loops and any(_LIMITS.search(words) for words in (name, meant or ""))


def _meant(name: str, fields: Collection[str]) -> str | None:
    bare = name.strip("_")
    if bare in _OTHER_WORDS:
        return _OTHER_WORDS[bare]
    return next(iter([bare] if bare in fields else _close(bare, fields, 0.6)), None)


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
    if not settings.loop_max_repeats and (unused := [name for name in _OF_LOOPS if name in spelled]):
        names = ", ".join(spelled[name] for name in unused)
        yield f"{spelled['loop_max_repeats']} is 0, so loop detection is disabled, and {names} has no effect."
    if not rules and not breakers and "ledger" in spelled and settings.ledger != DEFAULTS["ledger"]:
        shown = quoted(settings.ledger)
        yield f"{spelled['ledger']} is {shown}, but no budget is set: only budgets of runs use it."
    for name, (needed, what) in _NEEDS.items():
        if name in spelled and getattr(settings, name) != DEFAULTS[name] and not needed(settings):
            yield f"{spelled[name]} is {quoted(getattr(settings, name))}, but {what}."
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
