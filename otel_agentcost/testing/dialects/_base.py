"""The dialects' common interface, and how they read a request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, cast

from otel_agentcost.testing.answers import BadRequest, ModelRequest, Turn

Json = dict[str, Any]

# Fields that structure a message and are not part of its text.
_STRUCTURE = frozenset(
    {"role", "type", "id", "call_id", "tool_call_id", "tool_use_id", "status", "cache_control", "annotations"}
)


class Dialect(Protocol):
    """One wire format."""

    named: bool
    """Whether each server-sent event has its `type` on a line of its own."""
    done: bool
    """Whether `[DONE]` ends a stream."""

    def read(self, body: Json, path: str) -> ModelRequest:
        """Read a request.

        Raises:
            BadRequest: The provider would refuse it.

        """
        ...

    def whole(self, turn: Turn) -> Json:
        """Return the answer as one JSON object."""
        ...

    def events(self, request: ModelRequest, turn: Turn) -> Sequence[Json]:
        """Return the answer as the JSON of server-sent events."""
        ...

    def error(self, status: int, message: str) -> Json:
        """Return the JSON of an error response."""
        ...


def prompt(*parts: object) -> tuple[str, ...]:
    """Return the texts of `parts` of a request, in order, without those that are absent."""
    texts = (part if isinstance(part, str) else " ".join(_leaves(part)) for part in parts if part)
    return tuple(text for text in texts if text)


def definitions(tools: object) -> str:
    """Return the tools of a request as the model sees them; empty where it has none."""
    return json.dumps(tools) if tools else ""


def get(value: object, name: str) -> object:
    """Return the field `name` of a JSON object; None where there is no such field, or no object."""
    return cast("Json", value).get(name) if isinstance(value, dict) else None


def model_name(body: Json) -> str:
    """Return the field `model` of `body`."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("'model' is required, and must be a non-empty string.")
    return model


def messages_with_roles(body: Json, name: str) -> list[Json]:
    """Return the conversation in the field `name` of `body`: a list of objects."""
    messages = body.get(name)
    if not isinstance(messages, list) or not messages:
        raise BadRequest(f"'{name}' is required, and must be a non-empty array.")
    if not all(isinstance(message, dict) for message in cast("list[object]", messages)):
        raise BadRequest(f"'{name}' must be an array of objects.")
    return cast("list[Json]", messages)


def pieces(text: str, words: int = 6) -> list[str]:
    """Cut `text` into what a streaming model would send at once; put together they are `text` again."""
    return re.findall(rf"(?:\s*\S+){{1,{words}}}\s*$|(?:\s*\S+){{1,{words}}}", text)


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in cast("Json", value).items():
            if name not in _STRUCTURE:
                yield from _leaves(item)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _leaves(item)
