"""The fields in which providers count what their own tools did, and the counters of what is free, with sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

COUNTERS: Final = (
    "server_tool_use",  # Anthropic, also behind OpenRouter and LiteLLM
    "server_side_tool_usage_details",  # xAI: https://docs.x.ai/developers/tools/tool-usage-details
    "server_tool_use_details",  # OpenRouter: https://openrouter.ai/docs/guides/features/server-tools
    "tool_calls_details",  # Perplexity: https://docs.perplexity.ai/api-reference/responses-post
    "connectors",  # Mistral: https://docs.mistral.ai/agents/introduction
    "plugins",  # DashScope: https://help.aliyun.com/zh/model-studio/web-search
)
"""The fields of a usage that count what tools at the provider did."""

FREE_COUNTERS: Final[Mapping[str, str]] = {
    "web_fetch_requests": "https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/web-fetch-tool",
    "tool_search_requests": "https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/tool-search-tool",
    "mcp_calls": "https://docs.x.ai/developers/pricing, 'Tools pricing': only tokens",
    "view_image_calls": "https://docs.x.ai/developers/pricing, 'Tools pricing': only tokens",
    "view_x_video_calls": "https://docs.x.ai/developers/pricing, 'Tools pricing': only tokens",
    "tool_calls_requested": "https://openrouter.ai/docs/guides/features/server-tools: a total of the others",
    "tool_calls_executed": "https://openrouter.ai/docs/guides/features/server-tools: a total of the others",
}
"""Counters of what costs nothing besides its tokens, with the page that says so."""
