"""Other instrumentations' attribute names for the data of a model call, and their scopes: the one list of both.

The first name of each tuple is the conventions' own; the others are earlier conventions, OpenLLMetry (`llm.usage.*`),
OpenInference (`llm.token_count.*`), Logfire, Pydantic AI and the Vercel AI SDK (`ai.*`). Applications read spans by
these names (`integrations/spans`), and so does the generated Collector configuration (`collector/`). The recordings in
tests/collector/foreign hold the spans that each of them really sends.
"""

from __future__ import annotations

from typing import Final

from otel_agentcost.core import semconv

NEW_CACHE_READ: Final = "ai.usage.inputTokenDetails.cacheReadTokens"
"""Vercel AI SDK, version 6 and newer, whose input tokens include those read from a cache."""
CACHED_INPUT: Final = "ai.usage.cachedInputTokens"
"""Vercel AI SDK before version 6, whose input tokens leave out cached tokens for some providers."""
SYSTEM: Final = "gen_ai.system"
"""The provider, in the GenAI conventions before `gen_ai.provider.name`."""
INPUT: Final = (
    semconv.INPUT_TOKENS,
    "gen_ai.usage.prompt_tokens",
    "llm.usage.prompt_tokens",
    "llm.token_count.prompt",
    "ai.usage.tokens",
)
OUTPUT: Final = (
    semconv.OUTPUT_TOKENS,
    "gen_ai.usage.completion_tokens",
    "llm.usage.completion_tokens",
    "llm.token_count.completion",
)
CACHE_READ: Final = (
    semconv.CACHE_READ_TOKENS,
    "gen_ai.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
    NEW_CACHE_READ,
    CACHED_INPUT,
    "gen_ai.usage.input_tokens.cached",
    "gen_ai.usage.details.cache_read_tokens",
)
CACHE_WRITE: Final = (
    semconv.CACHE_WRITE_TOKENS,
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "llm.token_count.prompt_details.cache_write",
    "ai.usage.inputTokenDetails.cacheWriteTokens",
    "gen_ai.usage.cache_write_input_tokens",
    "gen_ai.usage.details.cache_write_tokens",
)
REASONING: Final = (
    semconv.REASONING_TOKENS,
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
PROVIDER: Final = (semconv.PROVIDER, SYSTEM, "llm.provider", "llm.system", "ai.model.provider")
BASE_URL: Final = ("gen_ai.openai.api_base",)
"""The base URL that the call was sent to."""
REQUEST_MODEL: Final = (
    semconv.REQUEST_MODEL,
    "llm.request.model",
    "llm.request.model_name",
    "llm.model_name",
    "embedding.model_name",
    "ai.model.id",
)
RESPONSE_MODEL: Final = (semconv.RESPONSE_MODEL, "llm.response.model_name")
CACHE_WRITE_1H: Final = ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",)
"""Cache writes with a lifetime of one hour. Most instrumentations do not report them."""
TIER: Final = (
    semconv.OPENAI_RESPONSE_TIER,
    "gen_ai.openai.response.service_tier",
    "gen_ai.response.service_tier",
    semconv.ANTHROPIC_RESPONSE_TIER,
)
USER: Final = (semconv.USER, "enduser.id", "langfuse.user.id")

SPAN_KIND: Final = "openinference.span.kind"
"""OpenInference's kind of a span: LLM, EMBEDDING, TOOL, AGENT, ..."""
REQUEST_TYPE: Final = "llm.request.type"
"""OpenLLMetry's operation, before it adopted the conventions."""
VERCEL_OPERATION: Final = "ai.operationId"
ENTITY_KIND: Final = "traceloop.span.kind"
"""OpenLLMetry's kind of a span that is no model call: tool, task, agent, workflow."""
RAW_USAGE: Final = "gen_ai.usage.raw"
"""Logfire: the usage object of the provider's response, as JSON."""
TOOL_NAME: Final = (semconv.TOOL, "tool.name", "traceloop.entity.name")
TOOL_ARGUMENTS: Final = (semconv.TOOL_ARGUMENTS, "input.value", "traceloop.entity.input")
"""Present only where the instrumentation is set to record content."""

RERANK: Final = "rerank"
"""The operation of a call that ranks documents, for which the conventions have no name."""
OLDER_OPERATIONS: Final = {"completion": semconv.TEXT_COMPLETION, "embedding": semconv.EMBEDDINGS}
"""OpenLLMetry's names of operations, and the conventions'."""
VERCEL_OPERATIONS: Final = {
    "ai.generateText.doGenerate": semconv.CHAT,
    "ai.streamText.doStream": semconv.CHAT,
    "ai.generateObject.doGenerate": semconv.CHAT,
    "ai.streamObject.doStream": semconv.CHAT,
    "ai.embed.doEmbed": semconv.EMBEDDINGS,
    "ai.embedMany.doEmbed": semconv.EMBEDDINGS,
    "ai.rerank.doRerank": RERANK,
}
"""The model calls of the Vercel AI SDK (https://ai-sdk.dev/docs/ai-sdk-core/telemetry; its source has the last one)."""
KINDS: Final = {"LLM": semconv.CHAT, "EMBEDDING": semconv.EMBEDDINGS, "RERANKER": RERANK}
"""OpenInference's kinds of model calls."""
CALL_OPERATIONS: Final = (
    semconv.CHAT,
    semconv.TEXT_COMPLETION,
    semconv.GENERATE_CONTENT,
    semconv.EMBEDDINGS,
    *OLDER_OPERATIONS,
    RERANK,
)
"""Operations that are model calls: the conventions' names and OpenLLMetry's."""
CALLS: Final = f"^({'|'.join(CALL_OPERATIONS)})$"
"""A pattern for them."""
CALL_KINDS: Final = f"^({'|'.join(KINDS)})$"
VERCEL_CALLS: Final = "[.]do(Generate|Stream|Embed|Rerank)$"
"""A pattern for the operations of the Vercel AI SDK that are model calls: later ones, too."""
EXCLUSIVE_SCOPES: Final = (
    "opentelemetry.instrumentation.bedrock",
    "opentelemetry.instrumentation.botocore.bedrock-runtime",
    "opentelemetry.instrumentation.genai.bedrock",
)
"""Scopes whose input tokens leave out cached tokens. In the conventions, input tokens include them."""

NO_TOKENS: Final = "the span counts no tokens, neither of the input nor of the output"
"""The reason why a model call whose span has zeros is unpriced: servers without counts write them."""

FRAMEWORK_SCOPES: Final = (
    "langchain|langgraph|llama.?index|crewai|litellm|haystack|pydantic.ai|strands|autogen|[^a-z]agno|smolagents|dspy"
    "|vertex.agent|google.?adk|openai.?agents|agent.?framework|semantic.?kernel|mastra"
)
"""A pattern for the scopes of agent frameworks. A framework's span can duplicate the span of an SDK's instrumentation,
or stand for an answer from a cache.
"""

UNMARKED_CALLS: Final = {
    "openinference.instrumentation.bedrock": ("bedrock.converse", "bedrock.invoke_model"),
    "openinference.instrumentation.groq": ("Completions", "AsyncCompletions"),
    "openinference.instrumentation.mistralai": ("MistralClient.", "MistralAsyncClient."),
}
"""Scopes whose spans have the attribute that marks a model call only when they end, and how their names begin."""

PATCHED_SDK_SCOPES: Final = "openai|anthropic|google.?gen_?ai|bedrock|mistralai|cohere|ollama|groq|together|xai_sdk"
"""A pattern for the scopes of instrumentations of the SDKs that this package patches."""

VENDOR_SCOPES: Final = ("com.anthropic.claude-platform",)
"""Scopes of spans that a provider sends itself, from its servers, into the trace of the application that called it.

The application's instrumentation makes a span of the same call. Source of the name:
https://platform.claude.com/docs/en/api/opentelemetry/spans
"""
