"""The messages of xAI's gRPC API as the JSON of its REST API, which `openai_chat` and `xai_media` read.

They are objects of protobuf: `HasField` tells a field that is set from one with its default value. Numbers of enums are
those of https://github.com/xai-org/xai-proto/tree/main/proto/xai/api/v1 (`chat.proto`, `usage.proto`).
"""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any, Final

__all__ = ["chat_chunk", "chat_request", "chat_response", "compaction_request", "media_request", "media_response"]

_ROLES: Final = {1: "user", 2: "assistant", 3: "system", 4: "function", 5: "tool", 6: "developer"}
_REASONS: Final = {1: "length", 2: "length", 3: "stop", 4: "tool_calls", 5: "time_limit"}
_EFFORTS: Final = {1: "low", 2: "medium", 3: "high", 4: "none", 5: "xhigh"}
_FORMATS: Final = {1: "text", 2: "json_object", 3: "json_schema"}
_AGENTS: Final = {1: 4, 2: 16}
_PRIORITY: Final = 2
_CLIENT_SIDE: Final = 1
"""The type of a tool call that the application makes. Others ran at xAI, and the usage counts them."""
_TOOLS: Final = {
    1: "web_search_calls",
    2: "x_search_calls",
    3: "code_interpreter_calls",
    4: "view_image_calls",
    5: "view_x_video_calls",
    6: "file_search_calls",
    7: "mcp_calls",
    8: "document_search_calls",
    10: "image_search_calls",
    11: "image_generation_calls",
}
"""Tools that ran at xAI, under the names of the REST API (https://docs.x.ai/developers/tools/tool-usage-details)."""
_NUMBERS: Final = ("max_tokens", "temperature", "top_p", "frequency_penalty", "presence_penalty", "seed")
_INPUT_ELSEWHERE: Final = ("previous_response_id", "search_parameters")
"""Fields that add input which the request does not have."""


def chat_request(request: Any, *, stream: bool = False, deferred: bool = False) -> dict[str, Any]:
    """Return a `GetCompletionsRequest` as the body of a chat.

    Args:
        request: The message.
        stream: True if the answer is streamed.
        deferred: True if the answer is retrieved later.
    """
    body: dict[str, Any] = {"model": request.model, "messages": [_message(each) for each in request.messages]}
    body |= {name: getattr(request, name) for name in _NUMBERS if request.HasField(name)}
    agents = _AGENTS.get(getattr(request, "agent_count", 0), 1)
    if request.n * agents > 1:
        body["n"] = request.n * agents  # each agent writes an answer of its own
    if request.stop:
        body["stop"] = list(request.stop)
    if request.tools:
        body["tools"] = [_tool(each) for each in request.tools]
    if request.HasField("reasoning_effort"):
        body["reasoning_effort"] = _EFFORTS.get(request.reasoning_effort)
    if request.HasField("response_format"):
        asked = request.response_format
        body["response_format"] = {"type": _FORMATS.get(asked.format_type), "json_schema": asked.schema}
    for name in _INPUT_ELSEWHERE:
        if request.HasField(name):
            body["previous_response_id"] = getattr(request, name) if name == "previous_response_id" else name
    if getattr(request, "service_tier", 0) == _PRIORITY:
        body["service_tier"] = "priority"
    return {**body, **({"stream": True} if stream else {}), **({"deferred": True} if deferred else {})}


def compaction_request(request: Any) -> dict[str, Any]:
    """Return a `CompactContextRequest` as the body of a chat."""
    return {"model": request.model, "messages": [_message(each) for each in request.input]}


def _message(message: Any) -> dict[str, Any]:
    content = message.content
    if len(content) == 1 and content[0].text:
        words: Any = content[0].text
    else:
        words = [_part(each) for each in content]
    body: dict[str, Any] = {"role": _ROLES.get(message.role, "user"), "content": words}
    for name in ("reasoning_content", "encrypted_content", "tool_call_id", "name"):
        if value := getattr(message, name, ""):
            body[name] = value
    if message.tool_calls:
        body["tool_calls"] = [_tool_call(each) for each in message.tool_calls]
    return body


def _part(part: Any) -> dict[str, Any]:
    if part.HasField("image_url"):
        return {"type": "image_url", "image_url": {"url": part.image_url.image_url}}
    if part.HasField("file"):
        return {"type": "file", "file": {"file_id": part.file.file_id}}
    return {"type": "text", "text": part.text}


def _tool_call(call: Any) -> dict[str, Any]:
    function = {"name": call.function.name, "arguments": call.function.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _tool(tool: Any) -> dict[str, Any]:
    """Return a tool: a function of the application, or one that runs at xAI and adds input of its own."""
    if not tool.HasField("function"):
        return {"type": tool.WhichOneof("tool") or "server_side_tool"}
    declared = tool.function
    function = {"name": declared.name, "description": declared.description, "parameters": declared.parameters}
    return {"type": "function", "function": function}


def chat_response(response: Any) -> dict[str, Any]:
    """Return a `GetChatCompletionResponse`, or a `CompactContextResponse`, as a chat completion."""
    choices = [
        {"index": each.index, "message": _said(each.message), "finish_reason": _REASONS.get(each.finish_reason)}
        for each in getattr(response, "outputs", ())
    ]
    return {**_head(response), "choices": choices}


def chat_chunk(chunk: Any) -> dict[str, Any]:
    """Return a `GetChatCompletionChunk` as a chunk of a chat completion."""
    choices = [
        {"index": each.index, "delta": _said(each.delta), "finish_reason": _REASONS.get(each.finish_reason)}
        for each in chunk.outputs
    ]
    return {**_head(chunk), "choices": choices}


def _head(response: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"id": response.id or None, "model": getattr(response, "model", "") or None}
    if response.HasField("usage"):
        body["usage"] = _usage(response.usage)
    if getattr(response, "service_tier", 0) == _PRIORITY:
        body["service_tier"] = "priority"
    return body


def _said(message: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"role": "assistant", "content": message.content}
    if message.reasoning_content:
        said["reasoning_content"] = message.reasoning_content
    if calls := [_tool_call(each) for each in message.tool_calls if each.type in (0, _CLIENT_SIDE)]:
        said["tool_calls"] = calls
    return said


def _usage(usage: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_prompt_text_tokens,
            "image_tokens": usage.prompt_image_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "num_sources_used": usage.num_sources_used,
    }
    tools: dict[str, int] = {}
    for number in usage.server_side_tools_used:
        name = _TOOLS.get(number, f"server-side tool {number}")
        tools[name] = tools.get(name, 0) + 1
    if tools:
        body["server_side_tool_usage_details"] = tools
    if _has(usage, "cost_in_usd_ticks"):
        body["cost_in_usd_ticks"] = usage.cost_in_usd_ticks
    return body


def _has(message: Any, name: str) -> bool:
    """Return True if a field is set. Older releases of the SDK do not know every field."""
    return name in message.DESCRIPTOR.fields_by_name and message.HasField(name)


def media_request(request: Any) -> dict[str, Any]:
    """Return a request for images or a video as JSON."""
    return {"model": request.model, "prompt": request.prompt, "n": max(getattr(request, "n", 1), 1)}


def media_response(response: Any) -> dict[str, Any]:
    """Return the response to such a request as JSON: with the id of a video that is not made yet, or with the usage."""
    if "request_id" in response.DESCRIPTOR.fields_by_name:
        return {"request_id": response.request_id}
    body: dict[str, Any] = {"model": response.model or None}
    if response.HasField("usage"):
        body["usage"] = _usage(response.usage)
    return body
