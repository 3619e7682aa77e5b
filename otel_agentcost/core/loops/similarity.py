"""Compare the arguments of two calls, two results, or two answers: do they differ only in wording?

A call about another subject is never similar, however similar its text. Names, numbers, codes, paths and short values
are the subject of a call; the other words of a sentence are its wording.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, cast

from otel_agentcost.core.loops.repetition import Similarity

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MARKS: Final = ".,;:!?()[]{}<>\"'`*…"
_FILLER: Final = _words(
    """
    a an the of to in on at for from by with and or is are was be been do does did please again now all any me
    my our we i you your it its this that these those there here some just also only about into as not if so
    can could would show find get search list look lookup fetch give tell check see retrieve display query info
    information details data result results
    """
)
_GENERAL: Final = _words(
    """
    latest newest recent current new updated upcoming today currently existing available
    problem problems issue issues error errors failure failures trouble troubles bug bugs fault faults defect defects
    cause causes reason reasons explanation why how what when where which who
    document documents documentation docs page pages file files article articles guide guides manual report reports
    text texts content contents material source sources overview summary description detail list full complete entire
    whole every each total overall general main key important relevant related exact precise possible good best better
    top common typical regarding concerning including include includes once more
    """
)
"""Generic words, which name no particular thing: they can replace each other."""
_NEGATIONS: Final = _words(
    """
    not no never without except none fail failed error success succeeded done
    """
)


_COURTESY: Final = _words(
    """
    a an the i i'm am is are was were it's sorry unfortunately apologies apologize apologise afraid regret regrettably
    but however please thank thanks well so okay ok sure now again still just very really
    """
)
"""Words that do not change the content of an answer."""

_NO_DIGITS: Final = bytes(sorted(set(range(256)) - set(b"0123456789")))


def subject_key(arguments: str) -> int:
    """Return a key that similar arguments share: a hash of their digits, or of the whole text if it has no sentence but
    only names and codes.
    """
    if arguments.count(" ") < 2:  # canonical JSON has spaces in its texts alone
        return hash(arguments.casefold())
    digits = arguments.encode(errors="replace").translate(None, _NO_DIGITS)
    return hash(bytes(sorted(digits)))


OTHER: Final = 0
EXCHANGED: Final = 1
REWORDED: Final = 2


def compare_arguments(one: str, other: str, similarity: Similarity, least: float, *, loose: bool) -> int:
    """Classify the difference of two canonical arguments.

    Args:
        one: The earlier arguments.
        other: The later ones.
        similarity: Compares two texts.
        least: The similarity (0 to 1, words in any order) that their texts must have.
        loose: True if half of the subject words may differ, not only two fifths.

    Returns:
        `OTHER` (another subject), `EXCHANGED` (a few words are replaced, by a synonym or by another thing), or
        `REWORDED` (another wording).
    """
    before, after = _leaves(one), _leaves(other)
    differing = [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
    if len(differing) > 3:
        return OTHER
    ways = (_near_values(before.get(path), after.get(path), similarity, least, loose=loose) for path in differing)
    return min(ways, default=REWORDED)


def _leaves(arguments: str) -> dict[str, Any]:
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):  # plain text, or JSON that was cut
        return {"": arguments}
    return dict(_walk(value, ""))


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in cast("dict[str, Any]", value).items():
            yield from _walk(item, f"{path}.{name}")
    elif isinstance(value, list):
        for at, item in enumerate(value):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] (mypy bars the cast)
            yield from _walk(item, f"{path}.{at}")
    else:
        yield path, value


def _near_values(one: Any, other: Any, similarity: Similarity, least: float, *, loose: bool) -> int:
    if not isinstance(one, str) or not isinstance(other, str):
        return OTHER
    before, after = _WORD.findall(one), _WORD.findall(other)
    plain, plainer = [word.casefold() for word in before], [word.casefold() for word in after]
    if plain == plainer:
        return REWORDED
    if min(one.count(" "), other.count(" ")) < 2 or _particulars(one) != _particulars(other):
        return OTHER
    if similarity(_gist(plain), _gist(plainer)) < least:
        return OTHER
    if not _same_subject(set(plain), set(plainer), similarity, loose=loose):
        return OTHER
    return EXCHANGED if _exchanged(plain, plainer, similarity) else REWORDED


def _gist(words: list[str]) -> str:
    return " ".join(sorted(word for word in words if word not in _FILLER and word not in _GENERAL))


def _exchanged(one: list[str], other: list[str], similarity: Similarity) -> bool:
    """Return whether one sentence is the other with some words replaced, like a form that is filled in repeatedly."""
    start, end = 0, 0
    most = min(len(one), len(other))
    while start < most and one[start] == other[start]:
        start += 1
    while end < most - start and one[-1 - end] == other[-1 - end]:
        end += 1
    before, after = one[start : len(one) - end], other[start : len(other) - end]
    if len(before) == len(after):
        pairs = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
        return all(_names(old) and _names(new) and similarity(old, new) < _TWIN for old, new in pairs)
    names = [{word for word in words if _names(word)} for words in (before, after)]
    return all(names) and not names[0] & names[1]


def _names(word: str) -> bool:
    return word not in _FILLER and word not in _GENERAL


_TWIN: Final = 0.75
"""The similarity of two forms of one word: client, clients."""


_CALENDAR: Final = _words(
    """
    monday tuesday wednesday thursday friday saturday sunday
    january february march april june july august september october november december
    """
)
_QUOTED: Final = re.compile(r"""(?<!\w)(?:'[^'\n]{1,80}'|"[^"\n]{1,80}"|`[^`\n]{1,80}`)(?!\w)""")


def _particulars(text: str) -> set[str]:
    """Return the subjects of a text that its letters identify: numbers, codes, paths, names within sentences."""
    found: set[str] = set(_QUOTED.findall(text.casefold()))
    titled: set[str] = set()
    pieces = text.split()
    shouted = text.isupper()
    for at, piece in enumerate(pieces):
        word = piece.strip(_MARKS)
        if (
            word.casefold() in _CALENDAR
            or not word.replace("'", "").replace("’", "").isalpha()
            or (len(word) > 1 and word.isupper() and not shouted)
        ):
            found.add(word.casefold())
        elif at and word[:1].isupper():
            titled.add(word.casefold())
    if len(titled) * 2 <= len(pieces):  # else capitals are only a style
        found |= titled - _FILLER
    return found - {""}


def _same_subject(one: set[str], other: set[str], similarity: Similarity, *, loose: bool) -> bool:
    """Return whether enough subject words are shared. Filler words and inflections do not count."""
    less, more = one - other - _FILLER, other - one - _FILLER
    shared = len((one & other) - _FILLER)
    for word in sorted(less):  # in the same order in every process
        twin = next((candidate for candidate in sorted(more) if similarity(word, candidate) >= _TWIN), None)
        if twin is not None:
            less.discard(word)
            more.discard(twin)
            shared += 1
    others = min(len(less - _GENERAL), len(more - _GENERAL))
    if not others:
        return shared >= 2
    return shared >= 3 and others * (2 if loose else 3) <= shared * 2


def are_similar_results(one: str, other: str, similarity: Similarity, least: float) -> bool:
    """Return whether two results in prose (12 words or more) have the same content in other words: the same numbers,
    names and negations. Shorter results, and JSON, are never similar.
    """
    if one[:1] in "{[<" or other[:1] in "{[<":
        return False
    before, after = _WORD.findall(one), _WORD.findall(other)
    if min(len(before), len(after)) < 12 or _particulars(one) != _particulars(other):
        return False
    if _numbers(before) != _numbers(after):
        return False
    plain, plainer = {word.casefold() for word in before}, {word.casefold() for word in after}
    if (plain ^ plainer) & _NEGATIONS:
        return False
    return similarity(" ".join(sorted(plain)), " ".join(sorted(plainer))) >= least


def _numbers(words: list[str]) -> list[str]:
    """Return the numbers in their order: the same numbers in another order are another content."""
    return [word for word in words if word.isdigit()]


def are_similar_answers(one: str, other: str, similarity: Similarity, least: float) -> bool:
    """Return whether two answers of a model have the same content: similar words, equal numbers and names."""
    if _particulars(one) != _particulars(other):
        return False
    before, after = _spoken(one), _spoken(other)
    if (before ^ after) & _NEGATIONS:
        return False
    return any(
        similarity(" ".join(sorted(before - courtesy)), " ".join(sorted(after - courtesy))) >= least
        for courtesy in (_NO_WORDS, _COURTESY)
    )


_NO_WORDS: Final = frozenset[str]()


def _spoken(text: str) -> set[str]:
    """Return the words of an answer, with negative contractions replaced by `not`."""
    found = {word.casefold().replace("’", "'") for word in _WORD.findall(text)}
    denied = {word for word in found if word == "cannot" or word.endswith("n't")}
    return (found - denied) | {"not"} if denied else found


def have_same_subjects(one: str, other: str) -> bool:
    """Return whether two calls have the same subjects: numbers, codes, short values."""
    return _subjects(one) == _subjects(other)


def _subjects(arguments: str) -> set[str]:
    found: set[str] = set()
    for value in _leaves(arguments).values():
        text = str(value)
        found |= _particulars(text) if text.count(" ") >= 2 else {text.casefold()}
    return found
