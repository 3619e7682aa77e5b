"""Output limits of models whose providers document one well below the usual.

A call without an output limit reserves budget for an answer of this length. For a model that is not in
`output_limits.json` the guard reserves the setting `LONGEST_ANSWER`, which is more than any limit in the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import cast

from otel_agentcost.pricebook.data_files import read_table


@lru_cache(maxsize=1000)
def output_limit(model: str | None) -> int | None:
    """Return the number of output tokens that one answer of `model` cannot exceed.

    Args:
        model: The model's name in any case, with or without a vendor prefix (`openai/gpt-4o`).

    Returns:
        Tokens, or None if the table has no limit for the model.
    """
    if model is None:
        return None
    name = model.rpartition("/")[2].lower()
    limits = _limits()
    families = [family for family in limits if name.startswith(family) and _is_variant(name, family)]
    return limits[max(families, key=len)] if families else None


@cache
def _limits() -> Mapping[str, int]:
    return cast("Mapping[str, int]", read_table("output_limits.json")["output_tokens"])


def _is_variant(name: str, family: str) -> bool:
    """Return whether the rest of `name` is a variant or a date ("-mini", "-2024-08-06"), not part of another model's
    name ("gpt-4.1", "o10").
    """
    return len(name) == len(family) or name[len(family)] in "-:@"
