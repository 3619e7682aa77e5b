"""llama-api-client, of Meta's Llama API: its chats have a format of their own. Moderations are unpriced."""

from __future__ import annotations

from otel_agentcost.integrations.sdks._stainless import stainless_sdk

FORMATS = {"/chat/completions": "llama_chat", "/moderations": "no_reader"}

SDK = stainless_sdk("llama-api-client", "llama_api_client", "meta_llama", FORMATS, oldest="0.1.2")
