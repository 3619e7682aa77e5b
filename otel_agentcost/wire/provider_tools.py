"""Tools that run at the provider: those that are counted, those that are free, and the names of all others.

The tables list what is known. A tool, an item of a response, or a counter that is in none of them may be billed, so
its name goes into `agentcost.unpriced`. To support another tool, add a row with its source.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from otel_agentcost.core.call import Call
from otel_agentcost.core.tool_counters import COUNTERS, FREE_COUNTERS
from otel_agentcost.core.usage import Kind
from otel_agentcost.wire.fields import MAX_COUNT, blank, entries, fields, get, items, text
from otel_agentcost.wire.token_split import Counts, put

_UNITS: Final[Mapping[str, str]] = {
    "num_sources_used": "live search sources",  # xAI: https://docs.x.ai/docs/guides/live-search
    "connector_tokens": "connector tokens",  # Mistral: https://docs.mistral.ai/agents/introduction
}
"""Units of a usage that have no price in the book, and their names for people."""
_TOOLS_USED: Final = "num_server_side_tools_used"
"""The number of all calls of xAI's tools (https://docs.x.ai/developers/tools/tool-usage-details)."""
_FIELDS: Final = frozenset({*COUNTERS, *_UNITS, _TOOLS_USED})

_COUNTED: Final[Mapping[str, Kind]] = {
    "web_search_requests": "web_searches",
    "web_search_calls": "web_searches",
    "web_search": "web_searches",
    "search_web": "web_searches",
    "x_search_calls": "social_searches",
    "code_interpreter_calls": "code_executions",
    "code_execution_requests": "code_executions",
    "code_interpreter": "code_executions",
    "file_search_calls": "storage_searches",
    "document_search_calls": "storage_searches",
}
"""Counters whose unit the price book knows. If a model has no price for it, the card names it."""

_OPENAI: Final = "https://platform.openai.com/docs/pricing, 'Built-in tools'"
_CLIENT: Final = "runs in the application: https://platform.openai.com/docs/guides/tools"
FREE_ITEMS: Final[Mapping[str, str]] = {
    "message": "tokens",
    "reasoning": "tokens",
    "compaction": "tokens",
    "compaction_summary": "tokens",
    "function_call": _CLIENT,
    "function_call_output": _CLIENT,
    "custom_tool_call": _CLIENT,
    "custom_tool_call_output": _CLIENT,
    "computer_call": _CLIENT,
    "computer_call_output": _CLIENT,
    "local_shell_call": _CLIENT,
    "local_shell_call_output": _CLIENT,
    "shell_call": "in a local environment, " + _CLIENT,
    "shell_call_output": _CLIENT,
    "apply_patch_call": _CLIENT,
    "apply_patch_call_output": _CLIENT,
    "mcp_call": _OPENAI,
    "mcp_list_tools": _OPENAI,
    "mcp_approval_request": _OPENAI,
    "mcp_approval_response": _OPENAI,
    "tool_search_call": "https://platform.openai.com/docs/guides/tools-tool-search: tokens",
    "tool_search_output": "https://platform.openai.com/docs/guides/tools-tool-search: tokens",
    "search_results": "https://docs.perplexity.ai/api-reference/responses-post: counted in tool_calls_details",
    "fetch_url_results": "https://docs.perplexity.ai/api-reference/responses-post: counted in tool_calls_details",
    "additional_tools": "https://platform.openai.com/docs/guides/tools-tool-search: tokens",
}
"""Items of a response of OpenAI's responses API that cost nothing besides their tokens, with the page that says so."""

COUNTED_ITEMS: Final[Mapping[str, Kind]] = {
    "web_search_call": "web_searches",
    "x_search_call": "social_searches",
    "file_search_call": "storage_searches",
    "collections_search_call": "storage_searches",
    "code_interpreter_call": "code_executions",
}
"""Items whose unit the price book knows. A hosted image model has counts of its own (`image_generation_call`)."""

_MARKS: Final[Mapping[str, str]] = {
    "web_search": "https://docs.bigmodel.cn/cn/guide/tools/web-search",
    "search_info": "https://help.aliyun.com/zh/model-studio/web-search",
}
"""Fields of a chat completion with the results of a search, at providers that bill the search."""

_TOOLS: Final = ("tool_calls", "executed_tools")
"""Fields of a message of a chat with calls of tools."""
_CALLED: Final = frozenset({"function", "custom"})
"""Types of tool calls that the application executes."""
_MOST_NAMES: Final = 8
_LONGEST_NAME: Final = 60


def unknown(names: Collection[str]) -> str | None:
    """Return the reason that names what has no known price; None for no names."""
    if not names:
        return None
    found = sorted({name[:_LONGEST_NAME] for name in names})[:_MOST_NAMES]
    return f"the price of {', '.join(found)} is not known"


def both(*reasons: str | None) -> str | None:
    """Return the reasons as one text; None if there are none."""
    return "; ".join(reason for reason in reasons if reason) or None


def has_counters(usage: Any) -> bool:
    """Return False for a usage in which `in_usage` finds nothing, as it does in nearly every one."""
    return not blank(usage, _FIELDS)


def in_usage(usage: Any, counts: Counts) -> list[str]:
    """Add what the tool counters of a usage count to `counts`.

    Args:
        usage: The usage, as JSON or an SDK's object.
        counts: The disjoint counts, which are changed.

    Returns:
        The names of further counters and units that are not zero.
    """
    if not has_counters(usage):
        return []
    names = [name for field, name in _UNITS.items() if _number(get(usage, field))]
    if _number(get(usage, _TOOLS_USED)) and not any(entries(get(usage, field)) for field in COUNTERS):
        names.append("server-side tools (the response does not say which)")
    for field in COUNTERS:
        for name, entry in entries(get(usage, field)).items():
            number = _number(entry)
            if not number or name in FREE_COUNTERS:
                continue
            kind = _COUNTED.get(name)
            if kind is None:
                names.append(str(name))
            elif field != "server_tool_use_details" or kind not in counts:  # which repeats `server_tool_use`
                put(counts, kind, number)
    return names


def _number(entry: Any) -> int:
    """Return the count in an entry: a number, its text, the length of a list, or the number in `{"invocation": 2}`."""
    if type(entry) is int:
        return entry if 0 < entry <= MAX_COUNT else 0
    if type(entry) is float:
        return (int(entry) or 1) if 0 < entry <= MAX_COUNT else 0
    if type(entry) is str:
        return min(int(entry), MAX_COUNT) if entry.isdecimal() and len(entry) < _LONGEST_NAME else bool(entry)
    if type(entry) is list:
        return len(entry)  # pyright: ignore[reportUnknownArgumentType]
    inside = entries(entry).values()
    return max((number for number in inside if type(number) is int and 0 < number <= MAX_COUNT), default=0)


def any_count(entry: Any) -> bool:
    """Return True if an entry, or a part of it at any depth, is a count above zero."""
    if type(entry) in (int, float):
        return bool(entry > 0)
    return any(any_count(value) for value in entries(entry).values())


def in_message(message: Any) -> list[str]:
    """Return the names of tools in a message of a chat, or a part of one in a stream, that ran at the provider."""
    names: list[str] = []
    message = fields(message)
    if blank(message, _TOOLS):  # nearly every message
        return []
    for call in items(message, "tool_calls"):
        kind = text(call, "type")
        if kind is not None and kind not in _CALLED:
            names.append(text(get(call, "function"), "name") or kind)
    executed = items(message, "executed_tools")  # https://console.groq.com/docs/compound
    return [*names, *(text(tool, "type") or text(tool, "name") or "executed_tools" for tool in executed)]


_ONLINE: Final = ":online"
_PLUGINS: Final[Mapping[str, str]] = {"web": "web search (plugin)", "file-parser": "file parser (plugin)"}
"""OpenRouter's plugins that are billed (https://openrouter.ai/docs/features/web-search, .../features/multimodal/pdfs).
The suffix of a model's name stands for the first."""


def in_request(call: Call) -> list[str]:
    """Return the names of tools that the request of a chat turns on, and that no response reports."""
    names: list[str] = []
    if call.model is not None and call.model.endswith(_ONLINE):
        names.append(_PLUGINS["web"])
    for plugin in items(call.body, "plugins"):
        kind = text(plugin, "id")
        if kind is not None and kind in _PLUGINS and get(plugin, "enabled") is not False:
            names.append(_PLUGINS[kind])
    return names


def in_chat(completion: Any) -> list[str]:
    """Return the names of tools whose results stand beside the choices of a chat completion."""
    return [] if blank(completion, _MARKS) else [name for name in _MARKS if get(completion, name)]
