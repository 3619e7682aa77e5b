"""What other instrumentations call the figures and names of a model call, the conventions' own names first.

What `otel_agentcost.spellings` knows, and what comes from elsewhere than Python: the Vercel AI SDK's (`ai.*`), and of
whom an application has no seam. Found by running them; tests/collector/foreign has what they send.
"""

from __future__ import annotations

from typing import Final

from otel_agentcost import names, spellings

NEW_CACHE_READ: Final = "ai.usage.inputTokenDetails.cacheReadTokens"
"""The AI SDK's since its sixth release, whose input contains what is read from caches."""
INPUT: Final = (*spellings.INPUT, "ai.usage.tokens")
OUTPUT: Final = spellings.OUTPUT
CACHE_READ: Final = (
    *spellings.CACHE_READ,
    NEW_CACHE_READ,
    "ai.usage.cachedInputTokens",
    "gen_ai.usage.input_tokens.cached",
    "gen_ai.usage.details.cache_read_tokens",
)
CACHE_WRITE: Final = (
    *spellings.CACHE_WRITE,
    "ai.usage.inputTokenDetails.cacheWriteTokens",
    "gen_ai.usage.cache_write_input_tokens",
    "gen_ai.usage.details.cache_write_tokens",
)
REASONING: Final = (*spellings.REASONING, "ai.usage.reasoningTokens", "gen_ai.usage.output_tokens.reasoning")
AUDIO: Final = spellings.AUDIO
PROVIDER: Final = (names.PROVIDER, "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider")
BASE_URL: Final = ("gen_ai.openai.api_base",)
"""Where the call went, as a whole address."""
REQUEST_MODEL: Final = (
    names.REQUEST_MODEL,
    "llm.request.model",
    "llm.request.model_name",
    "llm.model_name",
    "embedding.model_name",
    "ai.model.id",
)
RESPONSE_MODEL: Final = (names.RESPONSE_MODEL, "llm.response.model_name")
CACHE_WRITE_1H: Final = ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",)
"""Those of the cache writes that live for an hour; most do not say it."""
TIER: Final = (
    names.OPENAI_RESPONSE_TIER,
    "gen_ai.openai.response.service_tier",
    "gen_ai.response.service_tier",
    names.ANTHROPIC_RESPONSE_TIER,
)
USER: Final = (names.USER, "enduser.id", "langfuse.user.id")

CALLS: Final = "^(chat|text_completion|generate_content|embeddings|completion|embedding|rerank)$"
"""Operations that are model calls, by the conventions' names and OpenLLMetry's."""
CALL_KINDS: Final = "^(LLM|EMBEDDING|RERANKER)$"
"""OpenInference's."""
EXCLUSIVE_SCOPES: Final = (
    "opentelemetry.instrumentation.bedrock",
    "opentelemetry.instrumentation.botocore.bedrock-runtime",
    "opentelemetry.instrumentation.genai.bedrock",
)
"""Who leaves cached tokens out of the input tokens, other than the conventions have it."""

FRAMEWORKS: Final = (
    "langchain|langgraph|llama.?index|crewai|litellm|haystack|pydantic.ai|strands|autogen|[^a-z]agno|smolagents|dspy"
    "|vertex.agent|google.?adk|openai.?agents|agent.?framework|semantic.?kernel|mastra"
)
"""In the scopes of frameworks. Their spans can stand for a call that an SDK's own span stands for too, or for an answer
out of a cache."""
