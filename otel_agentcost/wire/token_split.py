"""Splits overlapping counts into disjoint ones: cached within input, audio within input, reasoning within output.

Pure arithmetic that all formats share. It knows no field names: a format reads its fields and calls this. Impossible
counts (a part larger than its whole) raise `Malformed` with both numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import cast

from otel_agentcost.core.usage import KINDS, Count, Kind
from otel_agentcost.wire.fields import Malformed

Counts = dict[Kind, Count]


def put(counts: Counts, kind: Kind, number: Count) -> None:
    """Add `number` of `kind`; a zero adds no entry."""
    if number:
        counts[kind] = counts.get(kind, 0) + number


def rest(whole: int, whole_name: str, inside: int, inside_name: str) -> int:
    """Return `whole` minus its part `inside`. Raises `Malformed` with the names if the part is larger."""
    if inside > whole:
        raise Malformed(f"{inside_name} is {inside}, more than {whole_name}, which is {whole}")
    return whole - inside


def input_counts(
    counts: Counts, total: int, total_name: str, cached: Mapping[str, int], media: Mapping[str, int]
) -> tuple[Kind, ...]:
    """Split input tokens by cache and by modality at once, and add them to `counts`.

    Each of the two breakdowns counts tokens of one kind, but not tokens of both kinds (cached audio). Unless those
    follow from the numbers, one possible split is made.

    Args:
        counts: The disjoint counts, which are changed.
        total: All input tokens.
        total_name: The name of the field with the total, for errors.
        cached: Tokens by cache row (`{"read": 1, "write": 2}`).
        media: Tokens by modality (`{"audio": 3}`).

    Returns:
        The kinds whose counts are in doubt.

    Raises:
        Malformed: The parts are larger than the total.
    """
    rows = {"": rest(total, total_name, sum(cached.values()), "the number of cached tokens")}
    rows.update((row, number) for row, number in cached.items() if number)
    spoken = [(modality, number) for modality, number in media.items() if number]
    doubtful: tuple[Kind, ...] = ()
    if spoken:
        rest(total, total_name, sum(media.values()), "the number of audio, image and text tokens")
        doubtful = _in_doubt(total, cached, media)
        for modality, number in spoken:
            left = number
            for row, room in rows.items():
                taken = min(left, room)
                put(counts, input_kind(modality, row), taken)
                rows[row] = room - taken
                left -= taken
    for row, number in rows.items():
        if number:
            put(counts, input_kind("", row), number)
    return doubtful


def _in_doubt(total: int, cached: Mapping[str, int], media: Mapping[str, int]) -> tuple[Kind, ...]:
    # A part that is all of the whole leaves no doubt: every other count lies within it.
    rows = [row for row, number in cached.items() if 0 < number < total]
    modalities = [modality for modality, number in media.items() if 0 < number < total]
    return tuple(input_kind(modality, row) for row in rows for modality in modalities)


@cache
def input_kind(modality: str, row: str) -> Kind:
    """Return the kind of input tokens of a modality ("" for text or unknown) in a cache row ("", "read", ...)."""
    if row:
        return _kind("cache", modality, row, "tokens")
    return _kind("input", modality, "tokens")


@cache
def output_kind(modality: str) -> Kind:
    """Return the kind of output tokens of a modality ("" for text or unknown)."""
    return _kind("output", modality, "tokens")


@cache
def tool_kind(modality: str) -> Kind:
    """Return the kind of input tokens that a tool at the provider put into the prompt."""
    return _kind("input", modality, "tool", "tokens")


def _kind(*words: str) -> Kind:
    name = "_".join(word for word in words if word)
    if name not in KINDS:  # a modality or time to live that has no kind of its own
        raise Malformed(f"{name} are not known")
    return cast(Kind, name)
