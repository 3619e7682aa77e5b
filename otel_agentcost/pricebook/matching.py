"""Match the name of a model in a call against the rules of the genai-prices data set.

A rule is a text (the name must equal it) or a mapping with one key: `starts_with`, `ends_with`, `contains`, `regex`,
or `or` / `and` with a list of rules. Names are compared in lower case, models are tried in the order of the book,
and the first match counts. Nothing is guessed: a name that no rule matches has no price.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from fnmatch import translate
from typing import Any

Rule = str | Mapping[str, Any]

WILD = re.compile(r"[*?\[]")
"""Finds the wildcards of a user's pattern."""
_COMPACT_DATE = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


def matches(rule: Rule, text: str) -> bool:
    """Return whether `text`, in lower case, satisfies `rule`."""
    if isinstance(rule, str):
        return text == rule
    ((verb, wanted),) = rule.items()
    if verb in {"or", "and"}:
        results = (matches(part, text) for part in wanted)
        return any(results) if verb == "or" else all(results)
    return _TESTS[verb](text, wanted)


def _search(text: str, pattern: str) -> bool:
    return re.search(pattern, text) is not None


_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "contains": str.__contains__,
    "regex": _search,
}


def dashed_date(name: str) -> str:
    """Return `name` with dashes in its date: some gateways write gpt-5.2-20251211 for gpt-5.2-2025-12-11."""
    return _COMPACT_DATE.sub(_dashed, name)


def _dashed(compact: re.Match[str]) -> str:
    year, month, day = (int(part) for part in compact.groups())
    try:
        return f"-{date(year, month, day).isoformat()}"
    except ValueError:  # the 30th of February: not a date
        return compact[0]


class ModelIndex:
    """The rules of a provider's models, indexed so that the first match is found without trying all of them."""

    __slots__ = ("_names", "_rules")

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._names: dict[str, int] = {}
        self._rules: list[tuple[int, Rule]] = []
        for position, rule in enumerate(rules):
            alternatives: Sequence[Rule] = rule["or"] if not isinstance(rule, str) and "or" in rule else (rule,)
            for alternative in alternatives:
                if isinstance(alternative, str):
                    self._names.setdefault(alternative, position)
                else:
                    self._rules.append((position, alternative))

    def first(self, name: str) -> int | None:
        """Return the position of the first model whose rule matches `name` (in lower case); None if none does."""
        exact = self._names.get(name)
        for position, rule in self._rules:
            if exact is not None and position > exact:
                break
            if matches(rule, name):
                return position
        return exact


def below(url: str, pattern: str) -> bool:
    """Return whether `url` (in lower case) is the address `pattern` or below it.

    Args:
        url: The address of a call.
        pattern: An address of a price file, in lower case. It can have wildcards; without a scheme it covers all.
    """
    if "://" not in pattern:
        _, _, url = url.rpartition("://")
    if WILD.search(pattern):
        return re.match(translate(pattern.rstrip("*") + "*"), url) is not None
    return url.startswith(pattern) and url[len(pattern) : len(pattern) + 1] in {"", "/", "?", "#"}
