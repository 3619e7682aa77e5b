"""The change that sets the provider's own context management, where the application has set none.

Anthropic clears the results of old tools (`context_management.edits`, a beta of its own API). OpenAI compacts responses
that it stores (`context_management`): an application that resends its history by itself would lose what was compacted,
and pay for it again with each request, so only requests that continue a stored response get it.
"""

from __future__ import annotations

import re
from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.savings.context.running import WITHIN
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire.edit import Edit
from otel_agentcost.wire.fields import entries
from otel_agentcost.wire.format import ModelRequest

_BETA: Final = {"anthropic-beta": "context-management-2025-06-27"}
_FIELD: Final = "context_management"
_CLAUDE: Final = re.compile(r"claude-(?:opus|sonnet|haiku|fable|mythos)-(?:[4-9]|\d\d)")
"""Models from Claude 4 on (https://platform.claude.com/docs/en/build-with-claude/context-editing)."""
_GPT: Final = re.compile(r"gpt-5\.[6-9]|gpt-[6-9]")
"""Models that compact (https://developers.openai.com/api/docs/guides/compaction)."""
_THRESHOLD: Final = 200_000
"""The input tokens at which OpenAI compacts, as its guide sets them."""


class NativeManagement:
    """Sets the provider's own context management."""

    name = "the provider's own context management"

    def __init__(self, least: int | None = None) -> None:
        """Create the change.

        Args:
            least: The input tokens from which it acts. Default: those of the provider.
        """
        self._least = least

    def edit(self, request: ModelRequest, record: Record, at: float, takes: object) -> Edit | None:
        """Return the change of one request; None where the provider or the model has no context management."""
        del at, takes
        target, call = request.endpoint, request.call
        body = entries(call.body)
        if not target.known or _FIELD in body or not call.model or WITHIN.get():
            return None

        def applied() -> None:
            record.span.set_attribute(semconv.CONTEXT_NATIVE, True)

        if target.provider == "anthropic" and _CLAUDE.match(call.model) and body.get("tools"):
            return Edit(self._cleared, _BETA, applied)
        continues = body.get("previous_response_id") or body.get("conversation")
        dated = target.provider == "azure.ai.openai" and "/openai/v1" not in target.base_url  # its versions lack it
        if target.provider in ("openai", "azure.ai.openai") and not dated and continues and _GPT.match(call.model):
            return Edit(self._compacted, applied=applied)
        return None

    def _cleared(self, body: dict[str, Any], path: str) -> dict[str, Any] | None:
        if not path.partition("?")[0].rstrip("/").endswith("/messages"):
            return None
        edit: dict[str, Any] = {"type": "clear_tool_uses_20250919"}
        if self._least is not None:
            edit["trigger"] = {"type": "input_tokens", "value": self._least}
        return {**body, _FIELD: {"edits": [edit]}}

    def _compacted(self, body: dict[str, Any], path: str) -> dict[str, Any] | None:
        if not path.partition("?")[0].rstrip("/").endswith("/responses"):
            return None
        threshold = _THRESHOLD if self._least is None else self._least
        return {**body, _FIELD: [{"type": "compaction", "compact_threshold": threshold}]}
