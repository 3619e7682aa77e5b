"""fireworks-ai 1 and newer: chats, completions and messages; batches and tuning are billed later."""

from __future__ import annotations

from otel_agentcost.integrations.sdks._stainless import stainless_sdk

FORMATS = {
    "/chat/completions": "openai_chat",
    "/completions": "openai_completions",
    "/messages": "anthropic_messages",
    "/batchInferenceJobs": "billed_later",
    "/evaluationJobs": "billed_later",
    "/supervisedFineTuningJobs": "billed_later",
    "/reinforcementFineTuningJobs": "billed_later",
    "/dpoJobs": "billed_later",
}

SDK = stainless_sdk("fireworks-ai", "fireworks", "fireworks", FORMATS, oldest="1.2")
