"""OpenAI's responses."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import cast

from otel_agentcost.cli.demo.dialects import Json, definitions, get, model_name, named, pieces, prompt
from otel_agentcost.cli.demo.dialects.openai_chat import CREATED, OpenAIChat
from otel_agentcost.cli.demo.model import Answered, Asked, BadRequest

_SAID_BY_MODEL = frozenset({"function_call", "reasoning"})


class OpenAIResponses(OpenAIChat):
    """POST /v1/responses. Errors look as in chat completions."""

    def read(self, body: Json, path: str) -> Asked:  # noqa: ARG002 (the path says nothing here)
        """What is asked. The whole conversation must be in the request: the demo's server stores none."""
        given = body.get("input")
        if body.get("previous_response_id"):
            raise BadRequest("This server stores no responses: send the whole conversation as 'input'.")
        if not (isinstance(given, (str, list)) and given):
            raise BadRequest("'input' is required, and must be a non-empty string or array.")
        items = [given] if isinstance(given, str) else cast("list[object]", given)
        return Asked(
            model=model_name(body),
            prompt=prompt(definitions(body.get("tools")), body.get("instructions"), *items),
            # One turn of the model is any number of items in a row: reasoning, a message, several function calls.
            turn=sum(by_model for by_model, _ in itertools.groupby(items, key=_is_said_by_model)),
            stream=body.get("stream") is True,
            cache_block=128,
        )

    def whole(self, answered: Answered) -> Json:
        """A completed `response`."""
        return {**_envelope(answered), "status": "completed", "output": _output(answered), "usage": _usage(answered)}

    def events(self, asked: Asked, answered: Answered) -> Iterator[str]:  # noqa: ARG002 (usage is always sent)
        """The events of a response, numbered: opened, each item with its parts, completed."""
        numbers = itertools.count()

        def event(kind: str, **fields: object) -> str:
            return named({"type": f"response.{kind}", "sequence_number": next(numbers), **fields})

        opened: Json = {**_envelope(answered), "status": "in_progress", "output": [], "usage": None}
        yield event("created", response=opened)
        yield event("in_progress", response=opened)
        for index, item in enumerate(_output(answered)):
            where: Json = {"output_index": index, "item_id": item["id"]}
            empty: Json = {"content": []} if item["type"] == "message" else {"arguments": ""}
            yield event("output_item.added", output_index=index, item={**item, **empty, "status": "in_progress"})
            if item["type"] == "message":
                part = item["content"][0]
                where["content_index"] = 0
                yield event("content_part.added", **where, part={**part, "text": ""})
                for piece in pieces(part["text"]):
                    yield event("output_text.delta", **where, delta=piece, logprobs=[])
                yield event("output_text.done", **where, text=part["text"], logprobs=[])
                yield event("content_part.done", **where, part=part)
            else:
                for piece in pieces(item["arguments"]):
                    yield event("function_call_arguments.delta", **where, delta=piece)
                yield event("function_call_arguments.done", **where, name=item["name"], arguments=item["arguments"])
            yield event("output_item.done", output_index=index, item=item)
        yield event("completed", response=self.whole(answered))


def _is_said_by_model(item: object) -> bool:
    return get(item, "type") in _SAID_BY_MODEL or get(item, "role") == "assistant"


def _envelope(answered: Answered) -> Json:
    return {
        "id": f"resp_{answered.id}",
        "object": "response",
        "created_at": CREATED,
        "model": answered.model,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "service_tier": "default",
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
    }


def _output(answered: Answered) -> list[Json]:
    message: Json = {
        "id": f"msg_{answered.id}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": answered.text, "annotations": [], "logprobs": []}],
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
        for tool in answered.tools
    ]
    return [message, *calls] if answered.text else calls


def _usage(answered: Answered) -> Json:
    tokens = answered.tokens
    return {
        "input_tokens": tokens.prompt,
        "input_tokens_details": {"cached_tokens": tokens.cache_read},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens.prompt + tokens.output,
    }


DIALECT = OpenAIResponses()
