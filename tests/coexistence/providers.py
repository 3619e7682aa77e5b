"""What the local server answers in these tests: one answer in each wire format, whole and streamed.

Every answer has the same figures in one wire format, so a test knows to the cent what a call must come to.
"""

from __future__ import annotations

import itertools
from typing import Any

from tests.support.model_server import Reply, Request, json_reply, sse_reply

OPENAI_MODEL = "gpt-4o-mini"
OPENAI_USD = 0.00021375
"""181 input tokens at $0.15, 1024 cached ones at $0.075 and 183 output tokens at $0.60 a million."""
ANTHROPIC_MODEL = "claude-sonnet-4-6"
ANTHROPIC_USD = 0.0045552
"""181 input tokens at $3, 1024 cached ones at $0.30, 256 written to the cache at $3.75, 183 output tokens at $15."""
EMBEDDING_MODEL = "text-embedding-3-small"
EMBEDDING_USD = 1.6e-07

_CHAT_USAGE = {
    "prompt_tokens": 1205,
    "completion_tokens": 183,
    "total_tokens": 1388,
    "prompt_tokens_details": {"cached_tokens": 1024},
}
_RESPONSES_USAGE = {
    "input_tokens": 1205,
    "input_tokens_details": {"cached_tokens": 1024},
    "output_tokens": 183,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 1388,
}
_MESSAGES_USAGE = {
    "input_tokens": 181,
    "cache_read_input_tokens": 1024,
    "cache_creation_input_tokens": 256,
    "output_tokens": 183,
}


def answer(request: Request) -> Reply:
    """The answer to a call of an SDK; a body that names the model `wrong` is refused."""
    body = request.json
    if body.get("model") == "wrong":
        return json_reply({"error": {"message": "no such model", "type": "invalid_request_error"}}, status=400)
    streamed = bool(body.get("stream"))
    if request.path.endswith("/chat/completions"):
        return sse_reply(_chat_chunks(body), done=True) if streamed else json_reply(_chat())
    if request.path.endswith("/responses"):
        number = next(_numbers)
        events = _response_events(number)
        return sse_reply(events, named=True) if streamed else json_reply(_response("completed", number))
    if request.path.endswith("/embeddings"):
        return json_reply(_embeddings())
    return sse_reply(_message_events(), named=True) if streamed else json_reply(_message())


def _chat() -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is four."}}],
        "usage": _CHAT_USAGE,
    }


def _chat_chunks(body: dict[str, Any]) -> list[dict[str, Any]]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
    choices: list[dict[str, Any]] = [{"index": 0, "delta": {"role": "assistant", "content": "It"}}]
    choices += [{"index": 0, "delta": {"content": word}} for word in (" is", " four", ".")]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    chunks: list[dict[str, Any]] = [{**head, "choices": [choice]} for choice in choices]
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**head, "choices": [], "usage": _CHAT_USAGE})
    return chunks


_numbers = itertools.count(1)  # OpenLLMetry remembers responses by their id
_TEXT = {"type": "output_text", "text": "It is four.", "annotations": []}
_ITEM = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [_TEXT]}


def _response(status: str, number: int) -> dict[str, Any]:
    done = status == "completed"
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": "gpt-4o-mini-2024-07-18",
        "output": [_ITEM] if done else [],
        "usage": _RESPONSES_USAGE if done else None,
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
    }


def _response_events(number: int) -> list[dict[str, Any]]:
    part = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": _response("in_progress", number)},
        {"type": "response.output_item.added", "output_index": 0, "item": {**_ITEM, "content": []}},
        {"type": "response.content_part.added", **part, "part": {**_TEXT, "text": ""}},
        *(
            {"type": "response.output_text.delta", **part, "delta": text, "logprobs": []}
            for text in ("It is", " four.")
        ),
        {"type": "response.completed", "response": _response("completed", number)},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _embeddings() -> dict[str, Any]:
    return {
        "object": "list",
        "model": EMBEDDING_MODEL,
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }


def _message() -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": ANTHROPIC_MODEL,
        "content": [{"type": "text", "text": "It is four."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": _MESSAGES_USAGE,
    }


def _message_events() -> list[dict[str, Any]]:
    start = {**_message(), "content": [], "stop_reason": None, "usage": {**_MESSAGES_USAGE, "output_tokens": 2}}
    deltas = ("It", " is", " four.")
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
            for text in deltas
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 183},
        },
        {"type": "message_stop"},
    ]
