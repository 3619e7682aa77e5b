"""Other names of the providers of the genai-prices data set, whose ids this package uses.

The names are those of the GenAI conventions (azure.ai.openai is Azure, although it contains "openai") and the prefixes
of model names at gateways (`vertex_ai/gemini-...`). Only exact names count; a similar name is a different name.
"""

from __future__ import annotations

import re
from typing import Final

ALIASES = {
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure-openai": "azure",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "azurechatopenai": "azure",
    "azureopenai": "azure",
    "bedrock": "aws",
    "fireworks_ai": "fireworks",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "mistral_ai": "mistral",
    "moonshot": "moonshotai",
    "moonshot_ai": "moonshotai",
    "together_ai": "together",
    "togetherai": "together",
    "vertex_ai": "google",
    "vertexai": "google",
    "voyage": "voyageai",
    "workers-ai": "cloudflare",
    "x_ai": "x-ai",
    "xai": "x-ai",
}


NAMES = {
    "aws": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google": "gcp.gen_ai",
    "mistral": "mistral_ai",
    "moonshotai": "moonshot_ai",
    "x-ai": "x_ai",
}
"""The providers' names in the GenAI conventions, by id, where they differ."""

LOCAL: Final = "^(ollama|vllm|lm[-_ ]?studio|llama[-_.]?cpp|llamafile|sglang|tgi|localai|self[-_ ]?hosted)$"
"""Self-hosted providers. The vendor prefix of a model's name does not name the provider there."""


def is_local(name: str | None) -> bool:
    """Return whether the provider `name` is self-hosted."""
    return name is not None and re.search(LOCAL, name.lower().strip()) is not None


def name_of(provider: str, said: str) -> str:
    """Return the name of the provider with the id `provider`: `said` if that is one of its names."""
    return said if canonical(said) == provider else NAMES.get(provider, provider)


def canonical(name: str) -> str:
    """Return the data set's id of the provider `name`, or `name` itself, in lower case."""
    lowered = name.lower().strip()
    return ALIASES.get(lowered, lowered)
