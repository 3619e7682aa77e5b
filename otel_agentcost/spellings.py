"""What other instrumentations call the token counts of a model call, the conventions' own names first.

The conventions' names of today and earlier ones, OpenLLMetry's (`llm.usage.*`), OpenInference's (`llm.token_count.*`).
Read from spans in an application, and, with some more, in a Collector (`collector.spellings`).
"""

from __future__ import annotations

from typing import Final

from otel_agentcost import names

INPUT: Final = (names.INPUT_TOKENS, "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens", "llm.token_count.prompt")
OUTPUT: Final = (
    names.OUTPUT_TOKENS,
    "gen_ai.usage.completion_tokens",
    "llm.usage.completion_tokens",
    "llm.token_count.completion",
)
CACHE_READ: Final = (
    names.CACHE_READ_TOKENS,
    "gen_ai.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
)
CACHE_WRITE: Final = (
    names.CACHE_WRITE_TOKENS,
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "llm.token_count.prompt_details.cache_write",
)
REASONING: Final = (
    names.REASONING_TOKENS,
    "gen_ai.usage.reasoning_tokens",
    "llm.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
)
AUDIO: Final = (
    "gen_ai.usage.audio.input_tokens",
    "gen_ai.usage.audio.output_tokens",
    "llm.token_count.prompt_details.audio",
    "llm.token_count.completion_details.audio",
)
