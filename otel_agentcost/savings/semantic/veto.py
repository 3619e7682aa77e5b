"""A veto on questions that are alike and ask for different things: other numbers, names, negations or scopes.

Embeddings hardly see these: "order 48213" and "order 48231" are nearer to each other than a question and its
paraphrase. The rules are for English. What they do not know they let pass, so that they are no proof of equality.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from otel_agentcost.savings.semantic.words import ALTERNATIVES, NEGATIONS, NUMBERS, OPPOSITES, PLAIN, PREFIXES

Reason = Literal["numbers", "negation", "scope", "names", "order"]

_TOKEN: Final = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?")
_COMMA: Final = re.compile(r",(?=\d{3}\b)")


class Marks(NamedTuple):
    """The features of a question that the veto compares. They stand for the text, which need not be kept."""

    words: frozenset[str]
    """All words, in lower case, without plural endings."""
    numbers: frozenset[str]
    """Numbers, in digits, with `am` or `pm`."""
    negated: int
    """The number of negations."""
    names: frozenset[str]
    """Words with a capital that does not begin a sentence, in lower case."""
    order: tuple[str, ...]
    """The words that carry the meaning, in their order."""


def marks_of(text: str) -> Marks:
    """Return the marks of a question."""
    text = _COMMA.sub("", text)
    words: list[str] = []
    numbers: set[str] = set()
    names: set[str] = set()
    negated = end = 0
    begins, half = True, ""
    for found in _TOKEN.finditer(text):
        token, between = found[0], text[end : found.start()]
        begins = begins or any(mark in between for mark in ".!?:\n")
        end = found.end()
        word = token.lower().replace("’", "'")
        stem = _stem(word)
        if word[0].isdigit():
            half = word.lstrip("0") or "0"
            numbers.add(half)
        elif word in NUMBERS:
            numbers.add(NUMBERS[word])
        elif half and word in ("am", "pm"):
            numbers.add(word)
        elif (token[0].isupper() and not begins and word not in PLAIN) or not (token.islower() or token.istitle()):
            names.add(stem)
        negated += word in NEGATIONS or word.endswith("n't")
        words.append(stem)
        begins = False
    order = tuple(word for word in words if word not in PLAIN)
    return Marks(frozenset(words), frozenset(numbers), negated, frozenset(names), order)


def veto(one: Marks, other: Marks) -> Reason | None:
    """Return why two questions that are alike ask for different things; None if nothing says so."""
    if _differ(one.numbers, other.numbers):
        return "numbers"
    only, others = one.words - other.words, other.words - one.words
    if (one.negated + other.negated) % 2 or _is_opposite(only, others):
        return "negation"
    if _is_other_scope(only, others):
        return "scope"
    if one.names - other.words and other.names - one.words:
        return "names"
    return "order" if _is_swapped(one.order, other.order) else None


def _differ(one: frozenset[str], other: frozenset[str]) -> bool:
    """Return True if numbers differ. The half of the day matters where both name it: 7 can be 7 am."""
    halves = frozenset(("am", "pm"))
    if one - halves != other - halves:
        return True
    return bool(one & halves and other & halves and one != other)


def _is_opposite(only: frozenset[str], others: frozenset[str]) -> bool:
    """Return True if one side has a word whose opposite is on the other side."""
    if any(len(pair & only) == 1 and pair - only <= others for pair in OPPOSITES):
        return True
    return _is_prefixed(only, others) or _is_prefixed(others, only)


def _is_prefixed(words: Iterable[str], others: frozenset[str]) -> bool:
    return any(f"{prefix}{word}" in others for word in words if len(word) > 3 for prefix in PREFIXES)


def _is_other_scope(only: frozenset[str], others: frozenset[str]) -> bool:
    """Return True if both sides name a word of one group, with different meanings."""
    ours, theirs = ({place for word in side for place in ALTERNATIVES.get(word, ())} for side in (only, others))
    groups = {group for group, _ in ours - theirs} & {group for group, _ in theirs - ours}
    return any(all((group, at) not in theirs for number, at in ours if number == group) for group in groups)


def _is_swapped(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Return True if words have changed places. A part that has moved to the front is the same question."""
    if one == other or len(one) < 2 or sorted(one) != sorted(other):
        return False
    return not any(one[at:] + one[:at] == other for at in range(len(one)))


def _stem(word: str) -> str:
    """Return a word without its possessive and plural endings."""
    word = word.removesuffix("'s").removesuffix("'")
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
