"""What providers are called elsewhere than in the genai-prices data set, whose ids are used here.

By the GenAI conventions (azure.ai.openai is Azure, although it contains "openai"), and as prefixes of the model names
that gateways use (`vertex_ai/gemini-...`). Exact names only: a name that resembles one is not one.
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


LOCAL: Final = "^(ollama|vllm|lm[-_ ]?studio|llama[-_.]?cpp|llamafile|sglang|tgi|localai|self[-_ ]?hosted)$"
"""Providers that are one's own machine: what the prefix of a name says of its maker is no seller there."""


def is_local(name: str | None) -> bool:
    """Whether the provider `name` is one's own machine."""
    return name is not None and re.search(LOCAL, name.lower().strip()) is not None


def canonical(name: str) -> str:
    """The data set's id of the provider `name`, or `name` itself, in lower case."""
    lowered = name.lower().strip()
    return ALIASES.get(lowered, lowered)
