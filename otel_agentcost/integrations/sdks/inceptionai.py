"""inceptionai, of Inception's Mercury models: chats, edits, completions of code, and decisions."""

from __future__ import annotations

from otel_agentcost.integrations.sdks._stainless import stainless_sdk

FORMATS = {
    "/chat/completions": "openai_chat",
    "/edit/completions": "openai_chat",
    "/fim/completions": "openai_completions",
    "/decisions": "openai_responses",
}

SDK = stainless_sdk("inceptionai", "inceptionai", "inception", FORMATS, oldest="0.2")
