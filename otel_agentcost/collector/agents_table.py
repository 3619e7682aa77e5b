"""The coding agents whose own telemetry the Collector turns into the metrics of `telemetry.signals`: one row each.

The names are those of the agents' documentation and sources:
- Claude Code: https://code.claude.com/docs/en/monitoring-usage
- Codex CLI: https://github.com/openai/codex, `codex-rs/otel/src/events/session_telemetry.rs` and `metrics/names.rs`
- Gemini CLI: https://github.com/google-gemini/gemini-cli, `packages/core/src/telemetry/loggers.ts` and `metrics.ts`
- opencode: https://github.com/DEVtheOPS/opencode-plugin-otel, `src/handlers/message.ts` and `src/otel.ts`
- GitHub Copilot: https://docs.github.com/en/copilot/reference/enterprise-administrators/opentelemetry-reference

All but Copilot send an event (a log record) for each model call, and metrics of the same calls. Copilot sends a span
for each model call, and metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from otel_agentcost.collector.ottl import AGENTS_BY_METRICS, matches, text

SERVICE: Final = 'resource.attributes["service.name"]'
SCOPE: Final = "instrumentation_scope.name"
COPILOT: Final = "copilot"
COPILOT_SERVICES: Final = "^(github-copilot|copilot-chat)$"
CREDIT_USD: Final = "0.01"
"""US dollars for one AI credit (https://docs.github.com/en/copilot/concepts/billing-and-usage)."""
NANO_CREDITS: Final = "github.copilot.nano_aiu"
"""The attribute of a Copilot span with what the call was billed at, in billionths of a credit."""

EVENT_NAME: Final = "event.name"
EVENT_KIND: Final = "event.kind"
MODEL: Final = "model"
PROVIDER: Final = "provider"
COST_USD: Final = "cost_usd"
DURATION_MS: Final = "duration_ms"
TOKEN_TYPES: Final = ("token_type", "type")
"""Attributes of a point of a token metric that say which tokens it counts."""
USERS: Final = ("user.account_id", "user.account_uuid", "user.email")
"""Attributes that say who uses the agent: a later one takes precedence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The attributes of an event with its token counts ("" if it has none), and how they overlap."""

    input: str
    output: str
    cache_read: str
    cache_write: str = ""
    reasoning: str = ""
    tool_prompt: str = ""
    """Input that `input` leaves out."""
    cached_in_input: bool
    reasoning_in_output: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CodingAgent:
    """One agent that sends events. `provider` is whose prices apply if the event does not name a provider."""

    name: str
    provider: str
    services: str
    """A pattern for its `service.name`, which users can change."""
    scopes: str
    """A pattern for its instrumentation scopes."""
    event: str
    """A pattern for the event's name."""
    token_metric: str
    token_types: dict[str, str]
    """By the type on a point of `token_metric`: the kind that it is counted as."""
    tokens: Tokens
    event_is: str = ""
    """A further condition for the event."""
    cost_metric: str = ""
    histogram: bool = False
    """Whether `token_metric` is a histogram."""

    def sent(self) -> str:
        """Return the condition that the agent sent a record, a span or a point."""
        return f"({matches(SERVICE, self.services)} or {matches(SCOPE, self.scopes)})"


AGENTS: Final = (
    CodingAgent(
        name="claude-code",
        provider="anthropic",
        services="^claude-code$",
        scopes="^com[.]anthropic[.]claude_code",
        event="^(claude_code[.])?api_request$",
        cost_metric="claude_code.cost.usage",
        token_metric="claude_code.token.usage",
        token_types={
            "input": "input",
            "output": "output",
            "cacheRead": "cache_read",
            "cacheCreation": "cache_write",
        },
        tokens=Tokens(
            input="input_tokens",
            output="output_tokens",
            cache_read="cache_read_tokens",
            cache_write="cache_creation_tokens",
            cached_in_input=False,
            reasoning_in_output=True,
        ),
    ),
    CodingAgent(
        name="codex",
        provider="openai",
        services="^(codex_cli_rs|codex_exec|codex_tui|codex_vscode|codex-cli|codex-app-server|Codex Desktop)$",
        scopes="^codex_",
        event="^codex[.]sse_event$",
        event_is=(
            f'log.attributes["{EVENT_KIND}"] == "response.completed"'
            ' and log.attributes["input_token_count"] != nil'  # an event of the same kind, without usage, goes before
        ),
        token_metric="codex.turn.token_usage",
        histogram=True,
        token_types={
            "input": "input",
            "cached_input": "cache_read of input",
            "cache_write_input": "cache_write of input",
            "output": "output",
            "reasoning_output": "reasoning of output",
        },
        tokens=Tokens(
            input="input_token_count",
            output="output_token_count",
            cache_read="cached_token_count",
            cache_write="cache_write_token_count",
            reasoning="reasoning_token_count",
            cached_in_input=True,
            reasoning_in_output=True,
        ),
    ),
    CodingAgent(
        name="gemini-cli",
        provider="gcp.gen_ai",
        services="^gemini-cli$",
        scopes="^gemini-cli$",
        event="^gemini_cli[.]api_response$",
        token_metric="gemini_cli.token.usage",
        token_types={
            "input": "input",
            "tool": "input",
            "cache": "cache_read of input",
            "output": "output",
            "thought": "reasoning",
        },
        tokens=Tokens(
            input="input_token_count",
            output="output_token_count",
            cache_read="cached_content_token_count",
            reasoning="thoughts_token_count",
            tool_prompt="tool_token_count",
            cached_in_input=True,
            reasoning_in_output=False,
        ),
    ),
    CodingAgent(
        name="opencode",
        provider="",
        services="^opencode$",
        scopes="^com[.]opencode$",
        event="^(opencode[.])?api_request$",
        cost_metric="opencode.cost.usage",
        token_metric="opencode.token.usage",
        token_types={
            "input": "input",
            "output": "output",
            "reasoning": "reasoning",
            "cacheRead": "cache_read",
            "cacheCreation": "cache_write",
        },
        tokens=Tokens(
            input="input_tokens",
            output="output_tokens",
            cache_read="cache_read_tokens",
            cache_write="cache_creation_tokens",
            reasoning="reasoning_tokens",
            cached_in_input=False,
            reasoning_in_output=False,
        ),
    ),
)


def by_metrics(name: str) -> str:
    """Return the condition that the metrics of an agent are counted, and not its events or spans."""
    return f"IsMatch({text(name)}, {text(f'^(?i:{AGENTS_BY_METRICS})$')})"
