"""Fingerprints of requests: equal only where everything that sets the answer is equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from otel_agentcost.core import semconv
from otel_agentcost.store import fingerprints
from tests.store.recorded import rows, url_of
from tests.support.budgeted_calls import answering, budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply

HI = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (semconv.GENERATE_CONTENT, {"model": "gpt-4o-transcribe"}),
        (semconv.GENERATE_CONTENT, {"model": "gpt-image-1", "prompt": "make it blue"}),
        ("create_run", {"assistant_id": "a"}),
        (semconv.CHAT, {"model": "m", "input": "continue", "conversation": "conv_1"}),
        (semconv.CHAT, {"model": "m", "input": "continue", "conversation": {"id": "conv_1"}}),
        (semconv.CHAT, {"model": "m", "input": "continue", "previous_response_id": "r1"}),
        (semconv.CHAT, {"model": "m", "input": "continue", "extra_body": {"conversation": "conv_1"}}),
        (semconv.CHAT, {"model": "m", "messages": HI, "container": "container_1"}),
        (semconv.CHAT, {"inputs": "continue"}),
    ],
)
def test_a_body_that_is_not_all_of_a_request_has_no_fingerprint(operation: str, body: dict[str, Any]) -> None:
    """Files and ids of the address are beside it, and a server's conversation changes from call to call."""
    found = fingerprints.of(body, operation)
    assert found is not None
    assert found.request is None


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (semconv.CHAT, {"model": "m", "messages": HI}),
        (semconv.CHAT, {"model": "m", "input": "Hi", "conversation": None, "previous_response_id": None}),
        (semconv.GENERATE_CONTENT, {"contents": HI}),
        (semconv.TEXT_COMPLETION, {"model": "m", "prompt": "Hi"}),
        (semconv.EMBEDDINGS, {"model": "m", "input": ["Hi"]}),
    ],
)
def test_a_body_with_its_prompt_has_one(operation: str, body: dict[str, Any]) -> None:
    """Any other parameter makes another one."""
    found, other = fingerprints.of(body, operation), fingerprints.of({**body, "extra_body": {"seed": 1}}, operation)
    assert found is not None
    assert other is not None
    assert found.request is not None
    assert found.request != other.request


def test_uploads_and_threads_are_not_taken_for_equal_requests(
    telemetry: Telemetry, model_server: ModelServer, tmp_path: Path
) -> None:
    """The SDK sends two recordings, two images and two threads with equal bodies."""

    def reply(request: Request) -> Reply:
        if "transcriptions" in request.path:
            return json_reply({"text": "Hi", "usage": {"type": "duration", "seconds": 1}})
        if "images" in request.path:
            return json_reply({"created": 1, "data": [{"b64_json": "aaaa"}]})
        return json_reply({"id": "run", "object": "thread.run", "status": "queued", "model": "gpt-4o"})

    with budgeted(telemetry, record=url_of(tmp_path / "spend.db")):
        answering(model_server, reply)
        asked = client(model_server)
        for number in range(2):
            content = bytes([number]) * 100
            asked.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", content))
            asked.images.edit(model="gpt-image-1", image=("a.png", content), prompt="make it blue")
            with pytest.warns(DeprecationWarning, match="Assistants"):
                asked.beta.threads.runs.create(thread_id=f"thread_{number}", assistant_id="a")  # pyright: ignore[reportDeprecated]
    found = [row["request"] for row in rows(tmp_path / "spend.db")]
    assert found == [None] * len(found)
    assert len(found) >= 4
