"""Replayed answers: in every shape of a call, of every SDK that is claimed, the application sees what it saw live."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.integrations.sdks import anthropic_shapes, gemini_shapes, openai_other_shapes, openai_shapes
from tests.integrations.sdks.openai_other_shapes import RESPOND
from tests.integrations.sdks.openai_shapes import Verdict, asynchronous, shape, whole
from tests.support.budgeted_calls import budgeted
from tests.support.call_shapes import Shape, observe, warnings_of_ours
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import response, response_stream

pytestmark = pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")

UNSTORED: dict[str, Any] = {**RESPOND, "store": False}


async def _whole_async(client: Any) -> list[Any]:
    return [event async for event in await client.responses.create(**UNSTORED, stream=True)]


def _parsed(client: Any) -> Any:
    return client.responses.parse(**UNSTORED, text_format=Verdict)


UNSTORED_RESPONSES = [
    shape("create", lambda c: c.responses.create(**UNSTORED), [json_reply(response())], None),
    shape("parse", _parsed, [json_reply(response(text='{"answer": 42}'))], None),
    shape("stream", lambda c: whole(c.responses.create(**UNSTORED, stream=True)), [response_stream()], None),
    Shape(name="async stream", run=asynchronous(_whole_async), replies=[response_stream()], spends=[]),
]

SHAPES: dict[str, list[Shape]] = {
    "openai": openai_shapes.SHAPES,
    "openai others": openai_other_shapes.SHAPES,
    "openai unstored": UNSTORED_RESPONSES,
    "anthropic": anthropic_shapes.SHAPES,
    "gemini": gemini_shapes.SHAPES,
}

NOT_CACHED = re.compile(
    # what is not known to be complete, or whose usage is missing
    r"openai (async )?stream$|.* helper without usage|.* never read|gemini embed_content without usage"
    # what the provider stores, begins or looks up
    r"|openai others (async )?responses|openai others (decisions|batches|files|models)|.* (batches|models|count_tokens)"
    # media, and what costs nothing
    r"|openai others (moderations|images|audio)"
    # a transport of its own each
    r"|gemini real address"
)
"""The shapes whose second call is made, too."""

CONTINUED = "anthropic tool_runner"
"""Its second request names a message that the provider keeps."""


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        pytest.param(name, each, id=name)
        for sdk, shapes in SHAPES.items()
        for each in shapes
        for name in [f"{sdk} {each.name}"]
    ],
)
def test_a_replayed_answer_differs_in_nothing(
    name: str, shape: Shape, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """The second call gets the first one's answer: the same objects, no request, no cost, and the cost as savings."""
    without = observe(shape.run, model_server, shape.replies, loose=shape.loose_body)
    assert shape.raises or without.raised is None, without.raised
    settings: dict[str, Any] = {"cache": ("exact",), "cache_sampling": "any", "cache_tool_calls": True}
    with warnings_of_ours() as warned, budgeted(telemetry, **settings):
        first = observe(shape.run, model_server, shape.replies, loose=shape.loose_body)
        spent = telemetry.total("agentcost.cost") if shape.spends else 0.0
        cached = not NOT_CACHED.match(name)
        kept = 1 if name == CONTINUED else len(without.requests) if cached else 0
        second = observe(shape.run, model_server, shape.replies[kept:], loose=shape.loose_body)
    assert (first.saw, first.requests) == (without.saw, without.requests)
    assert second.saw == without.saw
    assert second.requests == without.requests[kept:]
    assert warned == []
    if cached and spent and name != CONTINUED:
        assert telemetry.total("agentcost.cost") == spent
        assert telemetry.total("agentcost.savings", **{"agentcost.savings.kind": "response_cache"}) == spent
