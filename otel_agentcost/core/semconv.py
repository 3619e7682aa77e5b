"""Names of attributes and events, and bucket boundaries, each written once. `telemetry/signals.py` has the metrics.

First come the names of the OpenTelemetry GenAI conventions, then this package's own under `agentcost.`, for what the
conventions have no name for. Other instrumentations' names for the same things are in `aliases`; no other module
spells an attribute or metric name.

The conventions' names are literals because their Python constants are private (`opentelemetry.semconv._incubating`) and
lag behind the conventions' own repository. A test compares the literals with those constants.
"""

from __future__ import annotations

from typing import Final

# --- GenAI conventions: spans -------------------------------------------------------------------------------------

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_CHOICES: Final = "gen_ai.request.choice.count"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
REQUEST_TOP_K: Final = "gen_ai.request.top_k"
REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
REQUEST_ENCODING_FORMATS: Final = "gen_ai.request.encoding_formats"
REQUEST_REASONING_LEVEL: Final = "gen_ai.request.reasoning.level"
REQUEST_PREVIOUS_RESPONSE: Final = "gen_ai.request.previous_response.id"
OUTPUT_TYPE: Final = "gen_ai.output.type"
EMBEDDING_DIMENSIONS: Final = "gen_ai.embeddings.dimension.count"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
CONVERSATION: Final = "gen_ai.conversation.id"
AGENT: Final = "gen_ai.agent.name"
AGENT_ID: Final = "gen_ai.agent.id"
AGENT_DESCRIPTION: Final = "gen_ai.agent.description"
WORKFLOW: Final = "gen_ai.workflow.name"
TOOL: Final = "gen_ai.tool.name"
MCP_METHOD: Final = "mcp.method.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_RESULT: Final = "gen_ai.tool.call.result"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
OPENAI_REQUEST_TIER: Final = "openai.request.service_tier"
OPENAI_RESPONSE_TIER: Final = "openai.response.service_tier"
ANTHROPIC_RESPONSE_TIER: Final = "anthropic.response.service_tier"  # as the SDK's own spans call it
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"
USER: Final = "user.id"

# Proposed for the conventions (semantic-conventions-genai, pull request 443), not in a release yet.
COST_AMOUNT: Final = "gen_ai.usage.cost.amount"
COST_CURRENCY: Final = "gen_ai.usage.cost.currency"
COST_SOURCE: Final = "gen_ai.usage.cost.source"

E_DETAILS: Final = "gen_ai.client.inference.operation.details"
"""The event that carries message content when it is recorded apart from spans."""

# Values of gen_ai.operation.name.
CHAT: Final = "chat"
TEXT_COMPLETION: Final = "text_completion"
GENERATE_CONTENT: Final = "generate_content"
EMBEDDINGS: Final = "embeddings"
EXECUTE_TOOL: Final = "execute_tool"
INVOKE_AGENT: Final = "invoke_agent"
INVOKE_WORKFLOW: Final = "invoke_workflow"
AGENT_OPERATIONS: Final = frozenset({INVOKE_AGENT, INVOKE_WORKFLOW, "create_agent"})
"""Operations whose spans contain many calls: they get roll-ups and are never a model call themselves."""

# --- Ours: spans ---------------------------------------------------------------------------------------------------

# A stable name for the dollars of a call. The proposed one above may still change.
COST: Final = "agentcost.cost.usd"
COST_INPUT: Final = "agentcost.cost.input_usd"
COST_OUTPUT: Final = "agentcost.cost.output_usd"
COST_CACHE_READ: Final = "agentcost.cost.cache_read_usd"
COST_CACHE_WRITE: Final = "agentcost.cost.cache_write_usd"
COST_TOOL: Final = "agentcost.cost.tool_usd"
CACHE_SAVINGS: Final = "agentcost.cost.cache_savings_usd"
PRICE: Final = "agentcost.price"
PRICE_ASSUMED: Final = "agentcost.price.assumed"
"""True if the address of the call is not known, so that the price is that of the provider that the SDK or the name of
the model suggests."""
COST_BASIS: Final = "agentcost.cost.basis"
"""Where the cost of a span comes from. `span`: computed in the application from another instrumentation's span;
`collector`: computed by this Collector; `unpriced`: this Collector could not price the span, and only the counter of
unpriced calls includes it; `upstream`: an earlier Collector has counted it."""
WATCHED: Final = "agentcost.watched"
"""Set on a span of another instrumentation whose call is priced in the application: no Collector prices it."""
DUPLICATE: Final = "agentcost.duplicate"
"""Set on a span that another one represents, which is counted: of an agent or a tool call of another instrumentation,
and of the reading of an answer that is not finished, or was charged before."""
CHARGED_UPSTREAM: Final = "agentcost.charged_upstream"
"""Set on the span of a call that the service upstream charges: it has tokens, and no dollars."""
BATCH_LINES: Final = "agentcost.batch.lines"
"""Set on the span of a settlement: the number of results of the batch that it has."""
CALLS: Final = "agentcost.calls"
"""The number of model calls that a span is of, where nothing else shows it: 0 for a call that was not sent, and for
what is settled after its call; 1 for a failed call on the span of another instrumentation; more for a report of several
calls."""
RESOLVES: Final = "agentcost.resolves"
"""Set on the span of what is settled after its call: the number of unpriced calls whose cost is known now."""
CACHE_SAVED: Final = "agentcost.cache.saved_usd"
"""What the call would have cost at the prices of its own time."""
CACHED: Final = "agentcost.cache."
"""The beginning of the attributes with the tokens of the cached answer: `agentcost.cache.input_tokens`. They were not
used again."""
UNPRICED: Final = "agentcost.unpriced"
ESTIMATED: Final = "agentcost.usage.estimated"
USAGE_OF_KIND: Final = "agentcost.usage."
"""The beginning of the attributes with the tokens of one kind: `agentcost.usage.input_audio_tokens`."""
TENANT: Final = "agentcost.tenant"
TEAM: Final = "agentcost.team"
FEATURE: Final = "agentcost.feature"
SERVED_TIER: Final = "agentcost.served.tier"  # Gemini's tier; the conventions have a name for OpenAI's only

# Roll-ups, on agent spans and on the local root.
TRACE_COST: Final = "agentcost.trace.cost_usd"
TRACE_LLM_COST: Final = "agentcost.trace.llm_cost_usd"
TRACE_TOOL_COST: Final = "agentcost.trace.tool_cost_usd"
TRACE_LLM_CALLS: Final = "agentcost.trace.llm_calls"
TRACE_UNPRICED_CALLS: Final = "agentcost.trace.unpriced_calls"
TRACE_TOOL_CALLS: Final = "agentcost.trace.tool_calls"
TRACE_INPUT_TOKENS: Final = "agentcost.trace.input_tokens"
TRACE_OUTPUT_TOKENS: Final = "agentcost.trace.output_tokens"
TRACE_OVER_BUDGET: Final = "agentcost.trace.over_budget"  # set by the Collector only
TRACE_LOOPING: Final = "agentcost.trace.looping"  # so is this

# Budgets: the request before the guard changed it, and events on the call's span.
DOWNGRADED_FROM: Final = "agentcost.downgraded_from"
CLAMPED_FROM: Final = "agentcost.clamped_from"
WAITED: Final = "agentcost.budget.waited_s"
# Long histories, and what was done about them.
CONTEXT_TOKENS: Final = "agentcost.context.tokens"
CONTEXT_GROWTH: Final = "agentcost.context.growth"
CONTEXT_COMPACTED: Final = "agentcost.context.compacted_tokens"
CONTEXT_NATIVE: Final = "agentcost.context.native"
# What this package did for the provider's prompt cache.
CACHE_MARKER: Final = "agentcost.prompt_cache.marker"
CACHE_MARKER_NET: Final = "agentcost.prompt_cache.marker_net_usd"
E_BUDGET_EXCEEDED: Final = "agentcost.budget.exceeded"
E_SOFT_LIMIT: Final = "agentcost.budget.soft_limit"
E_UNENFORCED: Final = "agentcost.budget.unenforced"
E_ADJUSTED: Final = "agentcost.budget.adjusted"
# Circuit breakers.
E_BREAKER_OPENED: Final = "agentcost.breaker.opened"
E_BREAKER_TRIED: Final = "agentcost.breaker.half_opened"
E_BREAKER_CLOSED: Final = "agentcost.breaker.closed"
BREAKER: Final = "agentcost.breaker"
BREAKER_SCOPE: Final = "agentcost.breaker.scope"
BREAKER_VALUE: Final = "agentcost.breaker.value"
BREAKER_STATE: Final = "agentcost.breaker.state"
# Loops.
E_LOOP: Final = "agentcost.loop.detected"
LOOP_RULE: Final = "agentcost.loop.rule"
LOOP_REPEATS: Final = "agentcost.loop.repeats"
LOOP_PERIOD: Final = "agentcost.loop.period"
LOOP_WASTED: Final = "agentcost.loop.wasted_usd"
LOOP_ARGUMENTS: Final = "agentcost.loop.arguments"
LOOP_RESULT: Final = "agentcost.loop.result"
# Prompt caches.
E_PROMPT_CACHE: Final = "agentcost.prompt_cache.broken"
PROMPT_CACHE_REASON: Final = "agentcost.prompt_cache.reason"
PROMPT_CACHE_SEGMENT: Final = "agentcost.prompt_cache.segment"
PROMPT_CACHE_LOST_TOKENS: Final = "agentcost.prompt_cache.lost_tokens"
PROMPT_CACHE_LOST: Final = "agentcost.prompt_cache.lost_usd"
# Refusals and the figures of budgets.
REFUSED: Final = "otel_agentcost.BudgetExceeded"
"""The `error.type` of a call that was refused, or whose stream was closed."""
BUDGET: Final = "agentcost.budget"
BUDGET_SCOPE: Final = "agentcost.budget.scope"
BUDGET_VALUE: Final = "agentcost.budget.value"
BUDGET_UNIT: Final = "agentcost.budget.unit"
BUDGET_ACTION: Final = "agentcost.budget.action"
BUDGET_LIMIT: Final = "agentcost.budget.limit"
BUDGET_SPENT: Final = "agentcost.budget.spent"
BUDGET_HELD: Final = "agentcost.budget.held"
BUDGET_REQUESTED: Final = "agentcost.budget.requested"
BUDGET_REASON: Final = "agentcost.budget.reason"
BILL_DAY: Final = "agentcost.reconcile.day"
"""The UTC day of a provider's bill."""
BUDGET_LEVEL: Final = "agentcost.budget.level"
ADJUSTED: Final = "agentcost.budget.adjusted_usd"

# --- Metrics -------------------------------------------------------------------------------------------------------

TOKEN_TYPE: Final = "gen_ai.token.type"
REASON: Final = "agentcost.unpriced.reason"
CACHE: Final = "agentcost.cache"
"""`hit`: the call was answered from a cache of this package, and not made."""
CACHE_AGE: Final = "agentcost.cache.age_s"
"""The age of the cached answer or result, in seconds."""
HIT: Final = "hit"
SAVINGS_KIND: Final = "agentcost.savings.kind"

TOKEN_BUCKETS: Final = tuple(4**power for power in range(14))
"""1 to 67,108,864 tokens: the boundaries that the GenAI conventions recommend."""
DURATION_BUCKETS: Final = tuple(round(0.01 * 2**power, 2) for power in range(14))
"""0.01 to 81.92 seconds: the boundaries that the GenAI conventions recommend."""
COST_BUCKETS: Final = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 50.0, 100.0)
"""US dollars, from a hundredth of a cent to a hundred dollars. The conventions recommend no boundaries for cost."""
CALL_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
