"""writer-sdk: chats and completions. Applications, vision and questions to graphs are not seen."""

from __future__ import annotations

from otel_agentcost.integrations.sdks._stainless import stainless_sdk

FORMATS = {"/v1/chat": "openai_chat", "/v1/completions": "openai_completions"}

SDK = stainless_sdk("writer-sdk", "writerai", "writer", FORMATS, oldest="2.0")
