"""Calls of real SDKs that are changed at their seam: what reaches the server, and that the application sees no change.

The seams alone are tried here, without a budget: each is put round the SDK's own method, asks for a lower limit and
another model, and lets the SDK go on with what it gave back.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import pytest
from anthropic import Anthropic
from google import genai
from google.genai import types
from openai import AsyncAzureOpenAI, AzureOpenAI, OpenAI

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.integrations.sdks import Sdk, discover
from otel_agentcost.wire import CannotRewrite, ModelRequest
from tests.integrations.sdks import (
    anthropic_clouds,
    anthropic_shapes,
    gemini_shapes,
    openai_other_shapes,
    openai_shapes,
)
from tests.integrations.sdks.hosts import led, led_async
from tests.support.call_shapes import Shape, names, observe
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import chat_reply, content, message

# The SDK says so of every model in its turn.
pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")

LIMIT = 60
SDKS = {sdk.name: sdk for sdk in discover()}


@dataclass
class Changes:
    """What is to be changed, and what came of it."""

    model: str | None = None
    most: int | None = None
    made: list[ModelRequest] = field(default_factory=list)
    """Each call as it was read again after the change."""


def changing(seam: Any, original: Callable[..., Any], changes: Changes) -> Any:
    """`original`, called with what `seam` makes of the arguments."""

    def changed(client: Any, *args: Any, **kwargs: Any) -> Any:
        asked = seam.read(client, args, kwargs)
        if asked is not None:
            asked, args, kwargs = seam.rewrite(asked, args, kwargs, model=changes.model, max_output_tokens=changes.most)
            changes.made.append(asked)
        return original(client, *args, **kwargs)

    async def changed_async(client: Any, *args: Any, **kwargs: Any) -> Any:
        return await changed(client, *args, **kwargs)

    return changed_async if inspect.iscoroutinefunction(original) else changed


@contextmanager
def rewriting(sdk: Sdk, *, model: str | None = None, most: int | None = None) -> Generator[Changes]:
    """Every call of the SDK asks for `model`, and for `most` tokens of output, within the block."""
    changes = Changes(model, most)
    with pytest.MonkeyPatch.context() as patch:
        for patched in sdk.patches:
            if patched.through in (Pipeline.call, Pipeline.call_async, Pipeline.generate):
                owner = getattr(import_module(patched.target.module), patched.target.owner)
                method = patched.target.method
                name = method if isinstance(method, str) else method(owner)
                patch.setattr(owner, name, changing(patched.seam, getattr(owner, name), changes))
        yield changes


def check(sdk: str, shape: Shape, server: ModelServer, model: str, limits: Sequence[str]) -> None:
    """The application sees the same, and every request asks for `model` and has the limit in one of `limits`."""
    before = observe(shape.run, server, shape.replies, loose=False)
    with rewriting(SDKS[sdk], model=model, most=LIMIT) as changes:
        after = observe(shape.run, server, shape.replies, loose=False)
    assert before.raised is None, before.raised
    assert after.saw == before.saw
    assert before.requests
    assert len(after.requests) == len(before.requests) == len(changes.made)
    for asked, request in zip(changes.made, server.requests, strict=True):
        sent = request.json
        settings = sent.get("generationConfig", sent)
        assert [settings[name] for name in limits if name in settings] == [LIMIT], sent
        assert sent.get("model", model) == model
        assert "model" in sent or model in request.path
        assert (asked.call.model, asked.call.max_output_tokens) == (model, LIMIT)
        assert {name: sent[name] for name in sent if name in asked.call.body} == {
            name: value for name, value in asked.call.body.items() if name in sent
        }


CHAT = [shape for shape in openai_shapes.SHAPES if not shape.raises]
RESPONSES = [
    shape
    for shape in openai_other_shapes.RESPONSES
    if "retrieve" not in shape.name and shape.name not in ("decisions.create", "responses.compact")
]
MESSAGES = [shape for shape in anthropic_shapes.SHAPES if "batch" not in shape.name and shape.spends]
GENERATIONS = [shape for shape in gemini_shapes.SHAPES if shape.spends and "embed" not in shape.name]


@pytest.mark.parametrize("shape", CHAT, ids=names(CHAT))
def test_chats(shape: Shape, model_server: ModelServer) -> None:
    """Whole, streamed, raw, parsed and with helpers, sync and async: one seam sees them all."""
    check("openai", shape, model_server, "cheaper", ["max_tokens"])


@pytest.mark.parametrize("shape", RESPONSES, ids=names(RESPONSES))
def test_responses(shape: Shape, model_server: ModelServer) -> None:
    """The same for the responses API."""
    check("openai", shape, model_server, "cheaper", ["max_output_tokens"])


@pytest.mark.parametrize("shape", MESSAGES, ids=names(MESSAGES))
def test_messages(shape: Shape, model_server: ModelServer) -> None:
    """The same for Anthropic's messages, and its runner of tools, each of whose calls is changed."""
    check("anthropic", shape, model_server, "claude-cheaper", ["max_tokens"])


@pytest.mark.parametrize("shape", anthropic_clouds.SHAPES, ids=names(anthropic_clouds.SHAPES))
def test_messages_in_clouds(shape: Shape, model_server: ModelServer) -> None:
    """Bedrock's and Vertex's clients take the model out of the body and into the path, below the seam."""
    check("anthropic", shape, model_server, "claude-cheaper", ["max_tokens"])


@pytest.mark.parametrize("shape", GENERATIONS, ids=names(GENERATIONS))
def test_generations(shape: Shape, model_server: ModelServer) -> None:
    """The same for google-genai: chats and automatic function calls make several requests, and all are changed."""
    check("google_genai", shape, model_server, "gemini-cheaper", ["maxOutputTokens"])


def test_what_the_application_gave_stays_as_it_is(model_server: ModelServer) -> None:
    """Its settings are used for the next call too: they must not have a limit of ours then."""
    ask: dict[str, Any] = {**openai_shapes.ASK, "max_tokens": 500, "extra_body": {"max_tokens": 400, "top_k": 1}}
    given = copy.deepcopy(ask)
    model_server.replies(chat_reply(), chat_reply())
    with OpenAI(base_url=f"{model_server.url}/v1", api_key="none", max_retries=0) as client:
        with rewriting(SDKS["openai"], model="cheaper", most=LIMIT):
            client.chat.completions.create(**ask)
        client.chat.completions.create(**ask)
    assert ask == given
    first, second = (request.json for request in model_server.requests)
    assert (first["model"], first["max_tokens"], first["top_k"]) == ("cheaper", LIMIT, 1)
    assert (second["model"], second["max_tokens"], second["top_k"]) == ("gpt-4o-mini", 400, 1)


def test_thinking_in_the_application_s_own_dict_stays_as_it_is(model_server: ModelServer) -> None:
    """The budget is lowered in what is sent, and there alone."""
    thinking: Any = {"type": "enabled", "budget_tokens": 4000}
    ask: dict[str, Any] = {**anthropic_shapes.ASK, "max_tokens": 8000, "thinking": thinking}
    model_server.replies(json_reply(message()))
    with (
        rewriting(SDKS["anthropic"], most=4000),
        Anthropic(base_url=model_server.url, api_key="none", max_retries=0) as client,
    ):
        client.messages.create(**ask)
    assert thinking == {"type": "enabled", "budget_tokens": 4000}
    assert model_server.requests[0].json["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert model_server.requests[0].json["max_tokens"] == 4000


def test_a_retry_sends_the_changed_request_again(model_server: ModelServer) -> None:
    """The SDK retries with the options that the seam gave it."""
    busy = json_reply({"error": {"message": "busy"}}, status=500, headers={"retry-after-ms": "1"})
    model_server.replies(busy, busy, chat_reply())
    with (
        rewriting(SDKS["openai"], model="cheaper", most=LIMIT),
        OpenAI(base_url=f"{model_server.url}/v1", api_key="none", max_retries=2) as client,
    ):
        client.chat.completions.create(**openai_shapes.ASK)
    sent = [request.json for request in model_server.requests]
    assert [(body["model"], body["max_tokens"]) for body in sent] == [("cheaper", LIMIT)] * 3


def test_a_file_is_sent_to_another_model(model_server: ModelServer) -> None:
    """A form with a file in it has its model beside the file; it has no output limit, and says so before it is sent."""
    sound: dict[str, Any] = {"model": "whisper-1", "file": ("sound.wav", b"RIFF....WAVE", "audio/wav")}
    model_server.replies(json_reply({"text": "Forty-two."}))
    with OpenAI(base_url=f"{model_server.url}/v1", api_key="none", max_retries=0) as client:
        with rewriting(SDKS["openai"], most=LIMIT), pytest.raises(CannotRewrite, match="no output limit"):
            client.audio.transcriptions.create(**sound)
        with rewriting(SDKS["openai"], model="cheaper"):
            client.audio.transcriptions.create(**sound)
    (request,) = model_server.requests
    assert b"cheaper" in request.body
    assert b"whisper-1" not in request.body
    assert b"RIFF....WAVE" in request.body


AZURE: dict[str, Any] = {
    "api_key": "none",
    "api_version": "2024-10-21",
    "max_retries": 0,
    "azure_endpoint": "https://acme.openai.azure.com",
}
DEPLOYED: dict[str, Any] = {"model": "dear", "messages": openai_shapes.QUESTION}


def azure(url: str) -> None:
    """A chat with the deployment called "dear"."""
    with AzureOpenAI(**AZURE, http_client=led(url)) as client:
        client.chat.completions.create(**DEPLOYED)


def azure_async(url: str) -> None:
    """The same, asynchronous."""

    async def run() -> None:
        async with AsyncAzureOpenAI(**AZURE, http_client=led_async(url)) as client:
            await client.chat.completions.create(**DEPLOYED)

    asyncio.run(run())


def azure_path(url: str) -> None:
    """The deployment in a path of the application's own."""
    with AzureOpenAI(**AZURE, http_client=led(url)) as client:
        client.post("/deployments/dear/chat/completions", body={"messages": openai_shapes.QUESTION}, cast_to=object)


@pytest.mark.parametrize("use", [azure, azure_async, azure_path])
def test_azure_is_asked_for_another_deployment(use: Callable[[str], None], model_server: ModelServer) -> None:
    """The SDK makes the address out of the model below the seam; Azure's field for a limit is OpenAI's own."""
    model_server.replies(chat_reply())
    with rewriting(SDKS["openai"], model="cheaper", most=LIMIT) as changes:
        use(model_server.url)
    (request,) = model_server.requests
    assert request.path.startswith("/openai/deployments/cheaper/chat/completions")
    assert request.json["max_completion_tokens"] == LIMIT
    assert request.json.get("model", "cheaper") == "cheaper"
    assert changes.made[0].call.model == "cheaper"


def test_a_client_of_one_azure_deployment_is_not_asked_for_another(model_server: ModelServer) -> None:
    """Its address names the deployment: another model in the body would change nothing but our opinion of the price."""
    with AzureOpenAI(**AZURE, azure_deployment="dear", http_client=led(model_server.url)) as client:
        with rewriting(SDKS["openai"], model="cheaper"), pytest.raises(CannotRewrite, match="one deployment"):
            client.chat.completions.create(**DEPLOYED)
        assert model_server.requests == []
        model_server.replies(chat_reply())
        with rewriting(SDKS["openai"], most=LIMIT):
            client.chat.completions.create(**DEPLOYED)
    assert model_server.requests[0].json["max_completion_tokens"] == LIMIT


def test_openai_at_its_own_address_gets_its_own_field(model_server: ModelServer) -> None:
    """Where the address tells that it is OpenAI, the limit is in the field that all of its models take."""
    model_server.replies(chat_reply())
    with (
        rewriting(SDKS["openai"], most=LIMIT),
        OpenAI(api_key="none", max_retries=0, http_client=led(model_server.url)) as client,
    ):
        client.chat.completions.create(**openai_shapes.ASK)
    assert model_server.requests[0].json["max_completion_tokens"] == LIMIT


# --- google-genai's extra_body, which the SDK writes over the request below the seam ---


@pytest.mark.parametrize("config", ["generationConfig", "generation_config"])
@pytest.mark.parametrize("of_client", [True, False])
def test_an_extra_body_is_read_as_it_is_sent(config: str, of_client: bool, model_server: ModelServer) -> None:
    """A limit in an `extra_body` goes over the one in the settings, in either spelling, and is the one that counts."""
    extra: dict[str, Any] = {"extra_body": {config: {"maxOutputTokens": 900}}}
    here: dict[str, Any] = extra if of_client else {}
    settings = types.GenerateContentConfig(
        max_output_tokens=50, seed=7, http_options=None if of_client else types.HttpOptions(**extra)
    )
    model_server.replies(json_reply(content()))
    options = types.HttpOptions(base_url=model_server.url, **here)
    with genai.Client(api_key="none", http_options=options) as client:
        with rewriting(SDKS["google_genai"]) as changes, pytest.raises(CannotRewrite, match="extra_body"):
            client.models.generate_content(**gemini_shapes.ASK, config=settings)
        client.models.generate_content(**gemini_shapes.ASK, config=settings)
    assert changes.made == []
    sent = model_server.requests[0].json["generationConfig"]
    assert sent == {"maxOutputTokens": 900, "seed": 7}
    read = gemini_reading(options, settings)
    assert read.call.max_output_tokens == 900
    assert read.call.body["generationConfig"] == sent


def gemini_reading(options: types.HttpOptions, settings: types.GenerateContentConfig) -> ModelRequest:
    """What the seam reads of a request with these options."""
    with genai.Client(api_key="none", http_options=options) as client:
        seam = SDKS["google_genai"].patches[0].seam
        body = {"contents": [], "generationConfig": {"maxOutputTokens": 50, "seed": 7}}
        given = copy.deepcopy(body)
        args = ("post", "models/gemini-2.5-flash:generateContent", body, settings.http_options)
        asked = seam.read(client._api_client, args, {})
    assert body == given
    assert asked is not None
    return asked
