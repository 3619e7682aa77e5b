"""Kinds of tokens and tools as bills have them: coarser than the kinds that calls are counted in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache
from typing import Final, cast

from otel_agentcost.core.usage import DIMENSIONS, Kind

TOOLS: Final[Mapping[str, str]] = {
    "web_searches": "web search",
    "social_searches": "social search",
    "storage_searches": "file search",
    "code_executions": "code execution",
    "rerank_searches": "rerank search",
    "requests": "request",
    "compute_seconds": "compute",
}
"""What a provider runs beside a model, by kind."""


@cache
def bill_kind(kind: str) -> str:
    """Return the name of a kind in a bill: `input`, `audio input`, `cache read`, `cache write 1h`, `output`, ..."""
    if kind in TOOLS:
        return TOOLS[kind]
    dimensions = dict(DIMENSIONS[cast("Kind", kind)])
    if dimensions["family"] != "tokens":
        return kind.replace("_", " ")
    cached = {"cache_read": "cache read", "cache_write": "cache write"}.get(dimensions.get("token_type", ""))
    name = cached or dimensions.get("direction", "input")
    modality = dimensions.get("modality", "text")
    hour = " 1h" if dimensions.get("cache_ttl") == "1h" else ""
    return f"{'' if modality == 'text' else modality + ' '}{name}{hour}"


def is_tool(kind: str) -> bool:
    """Return True if a kind of counts is a tool."""
    return kind in TOOLS


def shares(total: int, weights: Iterable[Decimal]) -> list[int]:
    """Return whole numbers that stand to each other as `weights` and whose sum is `total`, exactly."""
    given = [max(Decimal(0), weight) for weight in weights]
    if not given:
        return []
    whole = sum(given, start=Decimal(0))
    if whole == 0:
        given, whole = [Decimal(1)] * len(given), Decimal(len(given))
    found: list[int] = []
    rest, left = total, whole
    for weight in given:  # each takes its share of what is left, so that nothing is left at the end
        part = 0 if left <= 0 else _rounded(rest * weight / left)
        found.append(part)
        rest, left = rest - part, left - weight
    found[-1] += rest
    return found


def _rounded(value: Decimal) -> int:
    return int(value.to_integral_value())
