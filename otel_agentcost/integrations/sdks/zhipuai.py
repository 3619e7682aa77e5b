"""zhipuai, the SDK of Zhipu before zai-sdk: the same requests."""

from __future__ import annotations

from otel_agentcost.integrations.sdks._zai import zai_sdk
from otel_agentcost.integrations.sdks.zai import FORMATS as ZAI

FORMATS = ZAI

SDK = zai_sdk("zhipuai", "zhipuai", "zhipuai", FORMATS, oldest="2.1")
