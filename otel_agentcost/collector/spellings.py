"""What other instrumentations call the figures and names of a model call, the conventions' own names first.

The conventions' earlier names, OpenLLMetry's (`gen_ai.usage.cache_read_input_tokens`, `llm.*`), OpenInference's
(`llm.token_count.*`), the Vercel AI SDK's (`ai.*`). Found by running them; tests/collector/foreign has what they send.
"""

from __future__ import annotations

from typing import Final

from otel_agentcost import names

INPUT: Final = (
    names.INPUT_TOKENS,
    "gen_ai.usage.prompt_tokens",
    "llm.usage.prompt_tokens",
    "llm.token_count.prompt",
    "ai.usage.tokens",
)
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
    "ai.usage.inputTokenDetails.cacheReadTokens",
    "ai.usage.cachedInputTokens",
    "gen_ai.usage.input_tokens.cached",
    "gen_ai.usage.details.cache_read_tokens",
)
CACHE_WRITE: Final = (
    names.CACHE_WRITE_TOKENS,
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "llm.token_count.prompt_details.cache_write",
    "ai.usage.inputTokenDetails.cacheWriteTokens",
    "gen_ai.usage.cache_write_input_tokens",
    "gen_ai.usage.details.cache_write_tokens",
)
REASONING: Final = (
    names.REASONING_TOKENS,
    "gen_ai.usage.reasoning_tokens",
    "llm.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
    "ai.usage.reasoningTokens",
    "gen_ai.usage.output_tokens.reasoning",
)
AUDIO: Final = (
    "gen_ai.usage.audio.input_tokens",
    "gen_ai.usage.audio.output_tokens",
    "llm.token_count.prompt_details.audio",
    "llm.token_count.completion_details.audio",
)
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
