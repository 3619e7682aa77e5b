"""Responses, streams, clients and patched methods are copied, pickled and outlived as without this package.

Each operation runs on the same object without and with it: the same exception, or an equal result.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import inspect
import pickle
import typing
import weakref
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any

import anthropic
import openai
import pytest
from anthropic._base_client import SyncAPIClient as AnthropicClient
from google import genai
from google.genai._api_client import BaseApiClient
from openai._base_client import AsyncAPIClient, SyncAPIClient

from tests.support.budgeted_calls import ASK, budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply
from tests.support.replies import chat, chat_stream

OPENAI = openai.OpenAI(api_key="none")
METHODS: dict[str, Callable[[], Any]] = {
    "openai": lambda: SyncAPIClient.request,
    "openai, async": lambda: AsyncAPIClient.request,
    "openai, inherited": lambda: openai.OpenAI.request,
    "openai, in its class": lambda: SyncAPIClient.__dict__["request"],
    "openai, parsing": lambda: SyncAPIClient._process_response,
    "openai, bound": lambda: OPENAI.request,
    "anthropic": lambda: AnthropicClient.request,
    "anthropic, inner": lambda: AnthropicClient._request,
    "anthropic, bound": lambda: anthropic.Anthropic(api_key="none").request,
    "google-genai": lambda: BaseApiClient.request,
    "google-genai, async": lambda: BaseApiClient.async_request,
    "google-genai, streamed": lambda: BaseApiClient.request_streamed,
    "google-genai, bound": lambda: genai.Client(api_key="none")._api_client.request,
}


def pickled(value: Any, protocol: int | None = None) -> Any:
    return pickle.loads(pickle.dumps(value, protocol))


ON_METHODS: dict[str, Callable[[Any], object]] = {
    "pickle": lambda f: pickled(f) == f,
    "pickle, oldest protocol": lambda f: pickled(f, 0) == f,
    "pickle in Python": lambda f: pickle.loads(pickle._dumps(f)) == f,  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    "queue": lambda f: pickle.loads(ForkingPickler.dumps(f)) == f,
    "copy": lambda f: copy.copy(f) == f,
    "deepcopy": lambda f: copy.deepcopy(f) == f,
    "deepcopy in a dict": lambda f: copy.deepcopy({"f": f})["f"] == f,
    "partial": lambda f: pickled(functools.partial(f)).func == f,
    "deepcopy of a partial": lambda f: copy.deepcopy(functools.partial(f)).func == f,
    "wraps": lambda f: functools.wraps(f)(lambda: None).__qualname__,
    "signature": lambda f: str(inspect.signature(f)),
    "hints": lambda f: sorted(typing.get_type_hints(f)),
    "names": lambda f: (f.__name__, f.__qualname__, f.__module__, f.__doc__, f.__defaults__, f.__kwdefaults__),
    "kinds": lambda f: (inspect.isfunction(f), inspect.ismethod(f), inspect.isroutine(f)),
    "coroutine": lambda f: (inspect.iscoroutinefunction(f), inspect.isgeneratorfunction(f)),
    "source": inspect.getsource,
    "repr": lambda f: repr(f).split(" at ")[0].split(" of ")[0],
    "weak reference": lambda f: weakref.ref(f)() is f,
    "weak method": lambda f: weakref.WeakMethod(f)() == f,
    "equality": lambda f: f == f and hash(f) == hash(f),  # noqa: PLR0124 (compared with itself on purpose)
}


def outcome(operation: Callable[[Any], object], value: Any) -> object:
    try:
        return operation(value)
    except Exception as error:  # which one, is compared
        return type(error)


# The finalizer of a client that could not be copied whole fails, with and without this package.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("method", METHODS)
def test_patched_method_is_no_other_thing(method: str, telemetry: Telemetry) -> None:
    """Pickled, copied, inspected, referred to."""
    before = {name: outcome(operation, METHODS[method]()) for name, operation in ON_METHODS.items()}
    with budgeted(telemetry):
        assert {name: outcome(operation, METHODS[method]()) for name, operation in ON_METHODS.items()} == before


def test_patched_method_is_found_by_cloudpickle(telemetry: Telemetry) -> None:
    """By its name, as the bare one: not by value."""
    cloudpickle = pytest.importorskip("cloudpickle", reason="cloudpickle is not installed")
    with budgeted(telemetry):
        assert pickle.loads(cloudpickle.dumps(SyncAPIClient.request)) is SyncAPIClient.request


def answer(request: Request) -> Reply:
    return chat_stream() if request.json.get("stream") else json_reply(chat())


def streamed(made: openai.OpenAI, opened: contextlib.ExitStack, *, stream: bool, read: bool) -> Any:
    options: dict[str, Any] = {**ASK, "stream": True} if stream else {**ASK}
    raw = made.chat.completions.with_streaming_response.create(**options)
    response = opened.enter_context(raw)
    if read:
        response.read()
    return response.http_response


RESPONSES: dict[str, Callable[[openai.OpenAI, contextlib.ExitStack], Any]] = {
    "raw": lambda made, _: made.chat.completions.with_raw_response.create(**ASK).http_response,
    "streaming, read": lambda made, opened: streamed(made, opened, stream=False, read=True),
    "streaming, not read": lambda made, opened: streamed(made, opened, stream=False, read=False),
    "events, read": lambda made, opened: streamed(made, opened, stream=True, read=True),
    "events, not read": lambda made, opened: streamed(made, opened, stream=True, read=False),
    "of a stream": lambda made, _: made.chat.completions.create(**ASK, stream=True).response,
}
ON_RESPONSES: dict[str, Callable[[Any], object]] = {
    "pickle": lambda r: (type(pickled(r)), pickled(r).status_code),
    "pickled content": lambda r: len(pickled(r).content),
    "queue": lambda r: type(pickle.loads(ForkingPickler.dumps(r))),
    "copy": lambda r: sorted(vars(copy.copy(r))),
    "deepcopy": lambda r: sorted(vars(copy.deepcopy(r))),
    "read of a copy": lambda r: len(copy.copy(r).read()),
    "close of a copy": lambda r: copy.copy(r).close(),
    "attributes": lambda r: sorted(vars(r)),
    "bytes": lambda r: len(b"".join(r.iter_bytes())),
    "raw bytes": lambda r: len(b"".join(r.iter_raw())),
    "copied byte stream": lambda r: type(copy.copy(r.stream)).__name__,
    "copied and read": lambda r: len(b"".join(copy.copy(r).stream)),
    "deeply copied byte stream": lambda r: type(copy.deepcopy(r.stream)).__name__,
    "pickled byte stream": lambda r: type(pickled(r.stream)).__name__,
    "lines": lambda r: len(list(r.iter_lines())),
}


@pytest.mark.parametrize("shape", RESPONSES)
def test_response_is_no_other_thing(shape: str, model_server: ModelServer, telemetry: Telemetry) -> None:
    """Pickled, copied, sent through a queue, read by any of its iterators."""
    model_server.responder = answer
    made = openai.OpenAI(base_url=model_server.url + "/v1", api_key="none")

    def outcomes() -> dict[str, object]:
        found: dict[str, object] = {}
        for name, operation in ON_RESPONSES.items():
            with contextlib.ExitStack() as opened:
                found[name] = outcome(operation, RESPONSES[shape](made, opened))
        return found

    before = outcomes()
    with budgeted(telemetry):
        assert outcomes() == before
    assert telemetry.spans


def test_iterator_outlives_its_response(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The bound `iter_bytes` is kept while the response goes, and the call is counted."""
    model_server.responder = answer
    made = openai.OpenAI(base_url=model_server.url + "/v1", api_key="none")
    with budgeted(telemetry):
        read = made.chat.completions.with_raw_response.create(**ASK, stream=True).http_response.iter_bytes
        assert b"data:" in b"".join(read())
    assert telemetry.attributes()["gen_ai.usage.output_tokens"]


def test_async_response_is_no_other_thing(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The same for `AsyncOpenAI`: read, then pickled."""
    model_server.responder = answer

    async def size() -> int:
        made = openai.AsyncOpenAI(base_url=model_server.url + "/v1", api_key="none")
        async with made, made.chat.completions.with_streaming_response.create(**ASK) as response:
            await response.read()
            return len(pickled(response.http_response).content)

    before = asyncio.run(size())
    with budgeted(telemetry):
        assert asyncio.run(size()) == before
    assert telemetry.attributes()["gen_ai.usage.input_tokens"] == 100
