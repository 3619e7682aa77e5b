"""OpenAI's responses."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from otel_agentcost.testing.answers import BadRequest, ModelRequest, ToolCall, Turn
from otel_agentcost.testing.dialects._base import Json, definitions, get, model_name, pieces, prompt
from otel_agentcost.testing.dialects.openai_chat import OpenAIChat

_ITEMS_OF_MODEL = frozenset({"function_call", "reasoning"})


def response(usage: Any, *, model: str, text: str, tools: Sequence[ToolCall] = (), key: str = "1", **more: Any) -> Json:
    """Return a completed `response` with the `usage` object as it is; `more` are further fields, or replace fields."""
    return {
        "id": f"resp_{key}",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": model,
        "service_tier": "default",
        "output": _output(text, tools, key),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
        **more,
    }


def events(
    usage: Any, *, model: str, words: Iterable[str], tools: Sequence[ToolCall] = (), key: str = "1"
) -> list[Json]:
    """Return the events of a response, numbered: created, each item with its parts, completed."""
    words = list(words)
    whole = response(usage, model=model, text="".join(words), tools=tools, key=key)
    opened: Json = {**whole, "status": "in_progress", "output": [], "usage": None}
    found: list[Json] = [
        {"type": "response.created", "response": opened},
        {"type": "response.in_progress", "response": opened},
    ]
    for index, item in enumerate(whole["output"]):
        of_item = _events_of_message(index, item, words) if item["type"] == "message" else _events_of_call(index, item)
        found += of_item
        found.append({"type": "response.output_item.done", "output_index": index, "item": item})
    found.append({"type": "response.completed", "response": whole})
    return [{**event, "sequence_number": number} for number, event in enumerate(found)]


def _events_of_message(index: int, item: Json, words: Sequence[str]) -> Iterator[Json]:
    part = item["content"][0]
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    opened: Json = {**item, "status": "in_progress", "content": []}
    yield {"type": "response.output_item.added", "output_index": index, "item": opened}
    yield {"type": "response.content_part.added", **where, "part": {**part, "text": ""}}
    for word in words:
        yield {"type": "response.output_text.delta", **where, "delta": word, "logprobs": []}
    yield {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **where, "part": part}


def _events_of_call(index: int, item: Json) -> Iterator[Json]:
    where, name, arguments = {"item_id": item["id"], "output_index": index}, item["name"], item["arguments"]
    opened = {**item, "status": "in_progress", "arguments": ""}
    yield {"type": "response.output_item.added", "output_index": index, "item": opened}
    for piece in pieces(arguments):
        yield {"type": "response.function_call_arguments.delta", **where, "delta": piece}
    yield {"type": "response.function_call_arguments.done", **where, "name": name, "arguments": arguments}


class OpenAIResponses(OpenAIChat):
    """POST /v1/responses. Errors look as in chat completions."""

    named = True
    done = False

    def read(self, body: Json, path: str) -> ModelRequest:  # noqa: ARG002 (the path says nothing here)
        """Read a request. The whole conversation must be in it: the fake model stores none."""
        given = body.get("input")
        if body.get("previous_response_id"):
            raise BadRequest("This server stores no responses: send the whole conversation as 'input'.")
        if not (isinstance(given, (str, list)) and given):
            raise BadRequest("'input' is required, and must be a non-empty string or array.")
        items = [given] if isinstance(given, str) else cast("list[object]", given)
        return ModelRequest(
            model=model_name(body),
            prompt=prompt(definitions(body.get("tools")), body.get("instructions"), *items),
            # One turn of the model is any number of items in a row: reasoning, a message, several function calls.
            turn=sum(by_model for by_model, _ in itertools.groupby(items, key=_is_of_model)),
            body=body,
            stream=body.get("stream") is True,
            cache_block=128,
        )

    def whole(self, turn: Turn) -> Json:
        """Return a completed `response`."""
        return response(_usage(turn), model=turn.model, text=turn.text, tools=turn.tools, key=turn.id)

    def events(self, request: ModelRequest, turn: Turn) -> list[Json]:  # noqa: ARG002 (usage is always sent)
        """Return the events of a response."""
        return events(_usage(turn), model=turn.model, words=pieces(turn.text), tools=turn.tools, key=turn.id)


def _is_of_model(item: object) -> bool:
    return get(item, "type") in _ITEMS_OF_MODEL or get(item, "role") == "assistant"


def _output(text: str, tools: Sequence[ToolCall], key: str) -> list[Json]:
    message: Json = {
        "id": f"msg_{key}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }
    calls = [
        {
            "id": f"fc_{tool.id}",
            "type": "function_call",
            "status": "completed",
            "call_id": tool.id,
            "name": tool.name,
            "arguments": json.dumps(tool.arguments),
        }
        for tool in tools
    ]
    return calls if tools and not text else [message, *calls]


def _usage(turn: Turn) -> Json:
    tokens = turn.tokens
    return {
        "input_tokens": tokens.prompt,
        "input_tokens_details": {"cached_tokens": tokens.cache_read},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.prompt + tokens.output,
    }


DIALECT = OpenAIResponses()
