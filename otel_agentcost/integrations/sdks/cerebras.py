"""cerebras-cloud-sdk: chats and completions."""

from __future__ import annotations

from otel_agentcost.integrations.sdks._stainless import stainless_sdk

FORMATS = {"/chat/completions": "openai_chat", "/completions": "openai_completions"}

SDK = stainless_sdk("cerebras-cloud-sdk", "cerebras.cloud.sdk", "cerebras", FORMATS, oldest="1.23")
