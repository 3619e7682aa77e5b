"""Anthropic's message batches, which say as little of their cost at their creation as OpenAI's."""

from __future__ import annotations

from otel_agentcost.wire.openai_batches import FORMAT

__all__ = ["FORMAT"]
