"""The longest answers of models, in output tokens, where their providers document one that is well below the usual.

What a call without an output limit holds follows from it. A model that is not here is taken to answer as long as the
setting `LONGEST_ANSWER` says, which is more than any of them.
"""

from __future__ import annotations

from functools import lru_cache

# The providers' pages of models, "maximum output tokens", as of November 2026; the longest beginning that fits counts.
_LONGEST: dict[str, int] = {
    "gpt-3.5-turbo": 4_096,
    "gpt-4": 8_192,
    "gpt-4-turbo": 4_096,
    "gpt-4-32k": 32_768,
    "gpt-4o": 16_384,
    "gpt-4.1": 32_768,
    "gpt-4.5": 16_384,
    "chatgpt-4o": 16_384,
    "o1": 100_000,
    "o1-mini": 65_536,
    "o3": 100_000,
    "o4-mini": 100_000,
    "gemini-1.5": 8_192,
    "gemini-2.0-flash": 8_192,
    "gemini-2.5": 65_536,
}


@lru_cache(maxsize=1000)
def longest_answer(model: str | None) -> int | None:
    """Output tokens of one answer that `model` does not exceed; None where nothing is known of it."""
    if model is None:
        return None
    name = model.rpartition("/")[2].lower()
    fitting = [beginning for beginning in _LONGEST if name.startswith(beginning) and _goes_on(name, beginning)]
    return _LONGEST[max(fitting, key=len)] if fitting else None


def _goes_on(name: str, beginning: str) -> bool:
    """Whether what follows is a variant or a date ("-mini", "-2024-08-06"), not another model ("gpt-4.1", "o10")."""
    return len(name) == len(beginning) or name[len(beginning)] in "-:@"
