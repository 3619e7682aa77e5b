"""Requests that start work which is billed later: each is one span without a price, and says why."""

# Some of these APIs are deprecated by their SDK:
# pyright: reportDeprecated=false

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import anthropic
import httpx2
import pytest
from google import genai
from google.oauth2.credentials import Credentials
from openai import OpenAI

from otel_agentcost.core import semconv
from otel_agentcost.integrations.sdks import discover, match_path
from otel_agentcost.integrations.sdks._bedrock import LATER
from otel_agentcost.wire import load
from otel_agentcost.wire.billed_later import WORK
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry

# The SDKs say of some of these APIs that they are new, and of others that they are old.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*experimental.*"),
]


def http(body: dict[str, Any]) -> httpx2.Client:
    return httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json=body)))


def gemini(use: Callable[[genai.Client], Any], body: dict[str, Any]) -> None:
    options: Any = {"base_url": "https://generativelanguage.googleapis.com", "httpx_client": http(body)}
    use(genai.Client(api_key="none", http_options=options))


def vertex(use: Callable[[genai.Client], Any], body: dict[str, Any]) -> None:
    options: Any = {"httpx_client": http(body)}
    credentials: Any = Credentials("token")  # type: ignore[no-untyped-call]
    use(genai.Client(vertexai=True, project="p", location="l", credentials=credentials, http_options=options))


def openai(use: Callable[[OpenAI], Any], body: dict[str, Any]) -> None:
    use(OpenAI(api_key="none", max_retries=0, http_client=http(body)))


def claude(use: Callable[[anthropic.Anthropic], Any], body: dict[str, Any]) -> None:
    use(anthropic.Anthropic(api_key="none", max_retries=0, http_client=http(body)))


INLINED: Any = [{"contents": [{"parts": [{"text": "6 x 7"}], "role": "user"}]}]
EVENT: Any = {"type": "user.message", "content": [{"type": "text", "text": "6 x 7"}]}
NO_ENVIRONMENT: Any = {"type": "none"}
CALLS: list[tuple[str, Callable[[], None], str]] = [
    (
        "create_batch gemini-2.5-flash",
        lambda: gemini(lambda c: c.batches.create(model="gemini-2.5-flash", src=INLINED), {"name": "batches/1"}),
        "a batch is billed as it runs",
    ),
    (
        "create_batch gemini-embedding-001",
        lambda: gemini(
            lambda c: c.batches.create_embeddings(model="gemini-embedding-001", src={"file_name": "files/1"}),
            {"name": "batches/1"},
        ),
        "a batch is billed as it runs",
    ),
    (
        "generate_video veo-3.0-generate-001",
        lambda: vertex(
            lambda c: c.models.generate_videos(model="veo-3.0-generate-001", prompt="bees"), {"name": "operations/1"}
        ),
        "a video is billed by the second",
    ),
    (
        "create_batch gemini-2.5-flash",
        lambda: vertex(
            lambda c: c.batches.create(model="gemini-2.5-flash", src="gs://b/in", config={"dest": "gs://b/out"}),
            {"name": "projects/p/locations/l/batchPredictionJobs/1"},
        ),
        "a batch is billed as it runs",
    ),
    (
        "send_session_events",
        lambda: claude(
            lambda c: c.beta.sessions.events.send("sesn_1", events=[EVENT]), {"data": [{**EVENT, "id": "e"}]}
        ),
        "an agent's session is billed as it runs",
    ),
    (
        "send_session_events",
        lambda: claude(
            lambda c: c.beta.sessions.create(agent="agent_1", environment_id="env_1", initial_events=[EVENT]),
            {"id": "sesn_1"},
        ),
        "an agent's session is billed as it runs",
    ),
    (
        "send_session_events",
        lambda: openai(
            lambda c: c.beta.agents.sessions.create(environment=NO_ENVIRONMENT, agent_id="agent_1", input="Go."),
            {"id": "session_1"},
        ),
        "an agent's session is billed as it runs",
    ),
    (
        "create_run gpt-4o",
        lambda: openai(
            lambda c: c.beta.threads.runs.create("thread_1", assistant_id="a", model="gpt-4o"), {"id": "run_1"}
        ),
        "a run of an assistant is billed as it runs",
    ),
    (
        "generate_video sora-2",
        lambda: openai(lambda c: c.videos.create(prompt="bees", model="sora-2"), {"id": "video_1"}),
        "a video is billed by the second",
    ),
    (
        "tune_model gpt-4.1-mini",
        lambda: openai(
            lambda c: c.fine_tuning.jobs.create(model="gpt-4.1-mini", training_file="file_1"), {"id": "ftjob_1"}
        ),
        "tuning a model is billed as it runs",
    ),
]


@pytest.mark.parametrize(
    ("name", "call", "reason"), CALLS, ids=[f"{number} {name}" for number, (name, _, _) in enumerate(CALLS)]
)
def test_work_that_is_billed_later_is_not_passed_over(
    telemetry: Telemetry, name: str, call: Callable[[], None], reason: str
) -> None:
    """One span, no dollars, and the reason; it counts among the unpriced calls."""
    with instrumented(telemetry):
        call()
    said = telemetry.attributes(name)
    assert reason in str(said[semconv.UNPRICED])
    assert semconv.COST not in said
    assert telemetry.total("agentcost.unpriced.calls") == 1


VIDEO: dict[str, Any] = {
    "id": "video_1", "object": "video", "model": "sora-2", "seconds": "4", "size": "720x1280", "status": "queued",
}  # fmt: skip
VEO: Any = {"duration_seconds": 8, "resolution": "1080p", "number_of_videos": 2}
VIDEOS: list[tuple[str, Callable[[], None], str]] = [
    ("OpenAI", lambda: openai(lambda c: c.videos.create(prompt="bees"), VIDEO), "a video of 4 seconds at 720x1280"),
    ("a remix", lambda: openai(lambda c: c.videos.remix("video_1", prompt="b"), VIDEO), "a video of 4 seconds at"),
    (
        "an extension, whose response has the seconds of the whole",
        lambda: openai(lambda c: c.videos.extend(prompt="more", seconds="8", video=b"mp4"), {**VIDEO, "seconds": "12"}),
        "a video of 8 seconds at 720x1280",
    ),
    (
        "Gemini",
        lambda: vertex(
            lambda c: c.models.generate_videos(model="veo-3.0-generate-001", prompt="bees", config=VEO), {"name": "o/1"}
        ),
        "each of 2 videos of 8 seconds at 1080p",
    ),
]


@pytest.mark.parametrize(("call", "reason"), [case[1:] for case in VIDEOS], ids=[case[0] for case in VIDEOS])
def test_what_a_video_will_be_is_named(telemetry: Telemetry, call: Callable[[], None], reason: str) -> None:
    """The price book has no price for seconds of video."""
    with instrumented(telemetry):
        call()
    (span,) = telemetry.spans
    assert str((span.attributes or {})[semconv.UNPRICED]).startswith(reason)


def test_reading_and_cancelling_such_work_is_not_a_call(telemetry: Telemetry) -> None:
    """Only what starts it is."""
    with instrumented(telemetry):
        gemini(lambda c: c.batches.get(name="batches/1"), {"name": "batches/1"})
        gemini(lambda c: c.batches.cancel(name="batches/1"), {})
        claude(lambda c: list(c.beta.sessions.events.list("sesn_1")), {"data": []})
        claude(lambda c: c.beta.sessions.create(agent="agent_1", environment_id="env_1"), {"id": "sesn_1"})
        openai(
            lambda c: c.beta.agents.sessions.create(environment=NO_ENVIRONMENT, agent_id="agent_1"), {"id": "session_1"}
        )
        claude(lambda c: c.beta.sessions.archive("sesn_1"), {"id": "sesn_1"})
        openai(lambda c: c.videos.retrieve("video_1"), {"id": "video_1"})
        openai(lambda c: c.fine_tuning.jobs.cancel("ftjob_1"), {"id": "ftjob_1"})
        openai(lambda c: c.beta.threads.runs.cancel("run_1", thread_id="thread_1"), {"id": "run_1"})
    assert telemetry.spans == ()


def test_no_row_of_the_table_is_dead() -> None:
    """Every row is a path of an SDK, and every such path has a reason of its own."""
    bedrock = {path: "billed_later" for path in LATER.values() if path in WORK}
    modules = (import_module(f"otel_agentcost.integrations.sdks.{sdk.name}") for sdk in discover())
    seen = set()
    for formats in (bedrock, *(getattr(module, "FORMATS", {}) for module in modules)):
        for ending, form in formats.items():
            if form == "billed_later":
                path = ending  # botocore names its operations, and has no paths
                if formats is not bedrock:
                    path = f"https://host/v1/{ending.lstrip('/').replace('*', 'id_1')}?beta=true"
                    assert match_path(path, formats) == "billed_later"
                call = load(form).read_request({}, path)
                assert call.operation != "start_work", ending
                seen.add(call.operation)
    assert seen == {work.operation for work in WORK.values()}
