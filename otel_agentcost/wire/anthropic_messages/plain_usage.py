"""The short way through the usage of an ordinary message, which nearly every message is."""

from __future__ import annotations

from typing import Any, Final

from otel_agentcost.core.usage import Kind, Tokens, Usage
from otel_agentcost.wire.fields import MAX_COUNT, fields
from otel_agentcost.wire.token_split import Counts

__all__ = ["plain_usage"]

_COUNTED: Final = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_SPLIT: Final = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
_KINDS: Final[tuple[Kind, ...]] = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
)
_UNSPLIT: Final[dict[str, Any]] = {}
_INTEGERS: Final = frozenset({int, type(None)})


def plain_usage(usage: Any) -> Usage | None:
    """Return a usage of tokens alone in one step: some may have been read from a cache or written to it.

    The result is the same as that of the rules for all usages.

    Returns:
        None for a usage that counts thoughts or searches, and for counts that make no sense.
    """
    if type(usage) is not dict:
        return None
    given: dict[str, Any] = usage  # pyright: ignore[reportUnknownVariableType] (no cast: hot)
    split = given.get("cache_creation")
    split = _UNSPLIT if split is None else fields(split)
    if (
        type(split) is not dict
        or given.get("output_tokens_details") is not None
        or given.get("server_tool_use") is not None
    ):
        return None
    numbers: list[Any] = [*map(given.get, _COUNTED), *map(split.get, _SPLIT)]  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    if numbers[0] is None or numbers[1] is None or not _INTEGERS.issuperset(map(type, numbers)):
        return None
    fresh, produced, read, written, short, long = [number or 0 for number in numbers]
    written = written or short + long
    unknown = written - short - long
    if min(fresh, produced, read, short, long, unknown) < 0 or max(fresh, produced, read, written) > MAX_COUNT:
        return None
    counts: Counts = {
        kind: number
        for kind, number in zip(_KINDS, (fresh, read, unknown, short, long, produced), strict=True)
        if number
    }
    silent = numbers[2] is None and numbers[3] is None
    return Usage.summed(counts, Tokens(fresh + read + written, produced, read, written), silent=silent)
