"""Overlapping counts, split into disjoint ones: cached within input, audio within input, reasoning within output.

Pure arithmetic that all formats share. It knows no field names: a format reads its fields and calls this. What
cannot be (a part that is larger than its whole) raises `Malformed` with both numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import cast

from otel_agentcost.core.usage import KINDS, Count, Kind
from otel_agentcost.wire.fields import Malformed

Counts = dict[Kind, Count]


def put(counts: Counts, kind: Kind, number: Count) -> None:
    """Adds `number` of `kind`; a zero leaves no trace."""
    if number:
        counts[kind] = counts.get(kind, 0) + number


def rest(whole: int, whole_name: str, inside: int, inside_name: str) -> int:
    """What is left of `whole` without what is inside it."""
    if inside > whole:
        raise Malformed(f"{inside_name} is {inside}, more than {whole_name}, which is {whole}")
    return whole - inside


def input_counts(
    counts: Counts, total: int, total_name: str, cached: Mapping[str, int], media: Mapping[str, int]
) -> tuple[Kind, ...]:
    """Splits `total` input tokens by cache (`{"read": 1, "write": 2}`) and by modality (`{"audio": 3}`) at once.

    Each of the two says how many tokens are of a kind, but not how many are of both kinds (cached audio). Unless
    that follows from the numbers, one possible split is made and the kinds in doubt are returned.
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
    # A part that is all of the whole is no doubt: whatever else is counted lies within it.
    rows = [row for row, number in cached.items() if 0 < number < total]
    modalities = [modality for modality, number in media.items() if 0 < number < total]
    return tuple(input_kind(modality, row) for row in rows for modality in modalities)


@cache
def input_kind(modality: str, row: str) -> Kind:
    """The kind of input tokens of a modality ("" for text or unknown) in a cache row ("", "read", "write_1h")."""
    if row:
        return _kind("cache", modality, row, "tokens")
    return _kind("input", modality, "tokens")


@cache
def output_kind(modality: str) -> Kind:
    """The kind of output tokens of a modality ("" for text or unknown)."""
    return _kind("output", modality, "tokens")


@cache
def tool_kind(modality: str) -> Kind:
    """The kind of input tokens that a tool at the provider put into the prompt."""
    return _kind("input", modality, "tool", "tokens")


def _kind(*words: str) -> Kind:
    name = "_".join(word for word in words if word)
    if name not in KINDS:  # a modality or time to live that has no kind of its own
        raise Malformed(f"{name} are not known")
    return cast(Kind, name)
