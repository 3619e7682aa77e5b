"""Anthropic's message batches: like OpenAI's, they do not show their cost when they are created."""

from __future__ import annotations

from otel_agentcost.wire.openai_batches import FORMAT

__all__ = ["FORMAT"]
