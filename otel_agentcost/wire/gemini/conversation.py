"""The history in a request of Gemini's `generateContent`, for loop detection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_agentcost.core.loops import Item, TextMessage, ToolResult, make_tool_call
from otel_agentcost.wire.conversation_items import (
    MAX_CALLS,
    MessageList,
    are_blocks,
    content_text,
    identifier,
    mark_of,
    tool_name,
)
from otel_agentcost.wire.fields import fields, get, text
from otel_agentcost.wire.fields import items as items_of

__all__ = ["CONVERSATION"]


def _image(piece: Any) -> str:
    """Return the mark of a part that is a picture; empty for other parts."""
    blob = get(piece, "inlineData") or get(piece, "inline_data")
    data = get(blob, "data")
    if isinstance(data, bytes):
        return f"<image {hash(data)}>"
    return f"<image {mark_of(data)}>" if isinstance(data, str) else ""


class _GeminiConversation(MessageList):
    model_role = "model"

    def is_plain(self, message: Mapping[str, Any]) -> bool:
        """Return True if a content has a role and parts of text, and nothing else."""
        return set(message) == {"role", "parts"} and are_blocks(message.get("parts"), {"text": ""})

    def read(self, message: Any, items: list[Item]) -> None:
        """Append the items of one content to `items`."""
        message = fields(message)
        by_model = get(message, "role") == "model"
        for piece in items_of(message, "parts")[: 4 * MAX_CALLS]:
            if get(piece, "thought") is True:
                continue
            if words := text(piece, "text"):
                items.append(TextMessage(by_model, words))
                continue
            call = get(piece, "functionCall") or get(piece, "function_call")
            if call is not None:
                items.append(
                    make_tool_call(identifier(get(call, "id")), tool_name(get(call, "name")), get(call, "args"))
                )
                continue
            result = get(piece, "functionResponse") or get(piece, "function_response")
            if result is not None:
                items.append(_result(result))
            elif items and type(last := items[-1]) is ToolResult:  # a picture that the tool took
                items[-1] = last._replace(content=last.content + _image(piece))


def _result(result: Any) -> ToolResult:
    response = get(result, "response")
    failed = bool(get(response, "error"))
    only = get(response, "result") if get(response, "result") is not None else get(response, "output")
    content = content_text(only if isinstance(only, str) else response)
    content += "".join(map(_image, items_of(result, "parts")[:64]))
    return ToolResult(identifier(get(result, "id")), content, failed, identifier(get(result, "name")))


CONVERSATION: Final = _GeminiConversation("contents", user_first=True)
