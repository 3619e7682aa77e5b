"""The tokenizers of models, as far as their makers say which models share one.

A text has the same number of tokens for two models with the same tokenizer. A model that is not here has an unknown
tokenizer, and shares it with no other.
"""

from __future__ import annotations

import re
from typing import Final

_ROWS: Final[tuple[tuple[str, str], ...]] = (
    # OpenAI: tiktoken's own table of models (a test holds the two equal).
    (r"(ft:)?gpt-4o\b.*|chatgpt-4o\b.*|(ft:)?gpt-4\.[15]\b.*|gpt-5.*|o[13]\b.*|o4-mini\b.*", "o200k_base"),
    (r"(ft:)?gpt-4(-.*)?|(ft:)?gpt-3\.?5\b.*|text-embedding-(ada-002|3-.*)", "cl100k_base"),
    (r"gpt-oss\b.*", "o200k_harmony"),
    # Anthropic: platform.claude.com/docs/en/build-with-claude/token-counting says that Opus since 4.7, Sonnet 5, Fable
    # and Mythos have a newer tokenizer than the models before.
    (r"claude-(opus-4-[789]|opus-[5-9]|sonnet-5|fable|mythos)\b.*", "claude of Opus 4.7"),
    (r"claude-(3\b.*|(opus|sonnet|haiku)-(3|4)(-[0-6]|-\d{8})?(-\d{8})?|instant.*|2.*)", "claude before Opus 4.7"),
    # Google: the table of the tokenizers in its own SDK (google/genai/_local_tokenizer_loader.py).
    (r"gemini-(2\.[05]-(pro|flash)\b.*|live-2\.5-flash\b.*|3-(pro|flash)-preview)", "gemma3"),
    (r"gemini-3\.(5-flash|1-flash-lite|1-pro-preview)", "gemma4"),
)
_COMPILED: Final = tuple((re.compile(pattern), name) for pattern, name in _ROWS)


def tokenizer_of(model: str) -> str | None:
    """Return the tokenizer of a model; None if it is not known.

    Args:
        model: The name of the model, as in a request or a response. A prefix (`openai/`, `us.anthropic.`) is no part of
            it.
    """
    name = model.lower().rpartition("/")[2].rpartition("anthropic.")[2]
    name = re.sub(r"(-v\d+)?(:\d+)?(@.*)?$", "", name) if name.startswith("claude") else name
    name = name.replace(".", "-") if name.startswith("claude") else name
    return next((tokenizer for pattern, tokenizer in _COMPILED if pattern.fullmatch(name)), None)


def same_tokenizer(one: str, other: str) -> bool:
    """Return True if two models are known to share a tokenizer."""
    tokenizer = tokenizer_of(one)
    return one.lower() == other.lower() or (tokenizer is not None and tokenizer == tokenizer_of(other))
