"""The wire formats that the demo's server speaks: one module a format, each with an object called `DIALECT`.

A dialect reads a request's JSON into `Asked` and writes `Answered` as that provider's JSON, whole or as a stream of
events. It does no I/O and decides nothing about what is answered. Called by `server.py` alone; written against the
providers' documentation, and held to it by tests that read every answer with the provider's own SDK.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Protocol, cast

from otel_agentcost.cli.demo.model import Answered, Asked, BadRequest

Json = dict[str, Any]

# Fields that structure a message and are not part of its text.
_STRUCTURE = frozenset(
    {"role", "type", "id", "call_id", "tool_call_id", "tool_use_id", "status", "cache_control", "annotations"}
)


class Dialect(Protocol):
    """One wire format."""

    def read(self, body: Json, path: str) -> Asked:
        """What is asked; raises `BadRequest` where that cannot be told."""
        ...

    def whole(self, answered: Answered) -> Json:
        """The answer as one JSON object."""
        ...

    def events(self, asked: Asked, answered: Answered) -> Iterator[str]:
        """The answer as server-sent events, one string an event."""
        ...

    def error(self, status: int, message: str) -> Json:
        """The JSON of an error response."""
        ...


def prompt(*parts: object) -> tuple[str, ...]:
    """The texts of `parts` of a request, in order, without those that are absent."""
    texts = (part if isinstance(part, str) else " ".join(_leaves(part)) for part in parts if part)
    return tuple(text for text in texts if text)


def definitions(tools: object) -> str:
    """The tools of a request as the model gets to see them; empty where it has none."""
    return json.dumps(tools) if tools else ""


def get(value: object, name: str) -> object:
    """The field `name` of a JSON object; None where there is no such field, or no object."""
    return cast("Json", value).get(name) if isinstance(value, dict) else None


def model_name(body: Json) -> str:
    """The field `model` of `body`."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("'model' is required, and must be a non-empty string.")
    return model


def messages_with_roles(body: Json, name: str) -> list[Json]:
    """The conversation in the field `name` of `body`: a list of objects."""
    messages = body.get(name)
    if not isinstance(messages, list) or not messages:
        raise BadRequest(f"'{name}' is required, and must be a non-empty array.")
    if not all(isinstance(message, dict) for message in cast("list[object]", messages)):
        raise BadRequest(f"'{name}' must be an array of objects.")
    return cast("list[Json]", messages)


def data(value: Json) -> str:
    """One server-sent event that consists of `value`."""
    return f"data: {json.dumps(value)}\n\n"


def named(event: Json) -> str:
    """One server-sent event with a name: the `type` that it carries."""
    return f"event: {event['type']}\n{data(event)}"


def pieces(text: str, words: int = 6) -> list[str]:
    """`text` cut into what a streaming model would send at once; put together they are `text` again."""
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
