"""Reads calls of LiteLLM's functions, whose arguments are the fields of OpenAI's requests, and watches its streams."""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping
from contextvars import ContextVar, Token
from dataclasses import replace
from functools import partial
from importlib import import_module
from itertools import chain, islice
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Final

from otel_agentcost.calls import finalize, streams
from otel_agentcost.calls.call import ActiveCall
from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import Body, EventIterator, Reply, Seam, Watched
from otel_agentcost.core.call import Endpoint
from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.errors import BudgetExceeded, LoopDetected
from otel_agentcost.integrations.endpoints import endpoint
from otel_agentcost.integrations.sdks._next_events import watch_next
from otel_agentcost.wire import Change, Format
from otel_agentcost.wire.format import ModelRequest

finalize.FINALIZERS.add(__name__)

_PROVIDERS: Final = {
    "azure": "azure.ai.openai",
    "azure_text": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "sagemaker": "aws.sagemaker",
    "sagemaker_chat": "aws.sagemaker",
    "gemini": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
    "vertex_ai_beta": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "codestral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "text-completion-openai": "openai",
    "custom_openai": "openai",
    "cohere_chat": "cohere",
    "ollama_chat": "ollama",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""LiteLLM's names of providers (https://docs.litellm.ai/docs/providers), and those of the GenAI conventions. Others are
the same, or their names in the price book."""

_INNER: Final = (
    *(
        "acompletion",
        "aembedding",
        "aresponses",
        "arerank",
        "aimg_generation",
        "async_call",
        "atranscription",
        "aspeech",
        "aocr",
        "avideo_generation",
        "avideo_remix",
    ),
    *("fallbacks", "mock_response", "mock_tool_calls"),
)
"""Arguments of a call that is no call of a model itself: LiteLLM's own, one that tries several models, or a mock."""
_OTHERS: Final = frozenset({"api_key", "api_base", "base_url", "timeout", "extra_headers", "headers", "metadata"})
"""Arguments that are no fields of the request."""
_POSITIONS: Final = {
    "chat": ("model", "messages"),
    "embeddings": ("model", "input"),
    "responses": ("input", "model"),
    "completions": ("prompt", "model"),
    "rerank": ("model", "query", "documents"),
    "images": ("prompt", "model"),
    "edits": ("image", "prompt", "model"),
    "variations": ("image", "model"),
    "ocr": ("model", "document"),
    "videos": ("prompt", "model"),
    "remixes": ("video_id", "prompt"),
    "transcriptions": ("model", "file"),
    "speech": ("model", "input"),
    "moderations": ("input", "model"),
}
"""The names of the first positional arguments."""


class LiteLLMSeam:
    """The seam of one kind of LiteLLM's functions."""

    covers = True
    """Calls inside these are theirs."""

    def __init__(self, kind: str) -> None:
        """Create the seam.

        Args:
            kind: The name of its format in `wire.litellm`.
        """
        self._kind = kind
        self._names = _POSITIONS[kind]

    def read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelRequest | None:
        """Read the request; None if the call of a model is another one."""
        del instance  # every seam has the same arguments
        if any(kwargs.get(name) for name in _INNER):
            return None
        body = {name: value for name, value in kwargs.items() if value is not None and name not in _OTHERS}
        body.update(zip(self._names, args, strict=False))
        form = _form_of(self._kind)
        return ModelRequest(
            call=form.read_request(body, ""), endpoint=_endpoint(body.get("model"), kwargs), format=form
        )

    def rewrite(
        self,
        request: ModelRequest,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        model: str | None,
        max_output_tokens: int | None,
    ) -> tuple[ModelRequest, tuple[Any, ...], dict[str, Any]]:
        """Return the same call with another model or a lower output limit."""
        target, before = request.endpoint, request.call.body
        change = Change(model=model, max_output_tokens=max_output_tokens, provider=target.provider, known=target.known)
        body, path = request.format.rewrite(request.call, "", change)
        changed = {name: value for name, value in body.items() if name not in before or before[name] is not value}
        places = self._names[: len(args)]
        args = tuple(changed.pop(name, value) for name, value in zip(places, args, strict=False)) + args[len(places) :]
        kwargs = {**kwargs, **changed}
        other = _endpoint(body.get("model"), kwargs)
        return replace(request, call=request.format.read_request(body, path), endpoint=other), args, kwargs

    def unwrap(self, result: Any) -> Reply:
        """Return what came back: a response, or a stream."""
        if not hasattr(type(result), "__next__") and not hasattr(type(result), "__anext__"):
            return Body(result)
        if type(result).__name__ == "TextCompletionStreamWrapper":
            return Watched(partial(_watch_text, result))
        # Of the streams of openai's completions, LiteLLM makes a plain generator.
        return Watched(partial(_watch, result)) if hasattr(result, "__dict__") else EventIterator(result)


def _form_of(kind: str) -> Format:
    """Return the format. Its module is loaded with the first call, as those of others are."""
    form: Format = import_module("otel_agentcost.wire.litellm").form_of(kind)
    return form


_ASKING = threading.Lock()


def _provider_of(model: Any, named: Any, address: Any) -> tuple[Any, Any]:
    """Ask LiteLLM for the provider and the address of a model, without what it prints if it knows none."""
    known: Any = sys.modules["litellm"]
    with _ASKING:
        prints = getattr(known, "suppress_debug_info", True) is False
        try:
            if prints:
                known.suppress_debug_info = True
            _, provider, _, default = known.get_llm_provider(model=model, custom_llm_provider=named, api_base=address)
        finally:
            if prints:
                known.suppress_debug_info = False
    return provider, default


def _endpoint(model: Any, kwargs: Mapping[str, Any]) -> Endpoint:
    """Return the provider of a model, and the address if the caller names one: LiteLLM knows both."""
    address, named = kwargs.get("api_base") or kwargs.get("base_url"), kwargs.get("custom_llm_provider")
    provider = named
    try:
        provider, default = _provider_of(model, named, address)
        address = address or default
    except Exception as error:  # LiteLLM does not know the model's provider
        reraise_foreign(error)
    location = kwargs.get("vertex_location") or kwargs.get("vertex_ai_location")
    if not address and location and str(provider).startswith("vertex_ai"):
        host = "aiplatform" if location == "global" else f"{location}-aiplatform"
        address = f"https://{host}.googleapis.com/v1/locations/{location}"
    name = str(provider or named or "litellm")
    return endpoint(address if isinstance(address, str) else "", _PROVIDERS.get(name, name))


# --- refusals ---------------------------------------------------------------------------------------------------------

_Refusals = list[Exception]
_REFUSALS: ContextVar[_Refusals | None] = ContextVar("agentcost_litellm_refusals", default=None)
"""The refusals within the outermost call of LiteLLM, which swallows them if it has `fallbacks`, and raises another."""


def call(pipeline: Pipeline, seam: Seam, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """Make one synchronous call. A refusal comes out as itself."""
    refusals, token = _noted()
    try:
        return pipeline.call(seam, _sent(wrapped), instance, args, kwargs)
    except Exception as error:  # of LiteLLM: it may stand for a refusal
        if (refusal := _refusal(error, refusals, outermost=token is not None)) is None:
            raise
        raise refusal from None
    finally:
        if token is not None:
            _REFUSALS.set(None)


async def call_async(pipeline: Pipeline, seam: Seam, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """Do the same as `call`, for an asynchronous function."""
    refusals, token = _noted()
    try:
        return await pipeline.call_async(seam, _sent_async(wrapped), instance, args, kwargs)
    except Exception as error:  # of LiteLLM: it may stand for a refusal
        if (refusal := _refusal(error, refusals, outermost=token is not None)) is None:
            raise
        raise refusal from None
    finally:
        if token is not None:
            _REFUSALS.set(None)


def _noted() -> tuple[_Refusals, Token[_Refusals | None] | None]:
    """Return the refusals of the outermost call, and a token if this is that call."""
    refusals = _REFUSALS.get()
    if refusals is not None:
        return refusals, None
    refusals = []
    return refusals, _REFUSALS.set(refusals)


def _refusal(error: Exception, refusals: _Refusals, *, outermost: bool) -> Exception | None:
    """Note a refusal. Return the last one if `error` hides it from the application; None to raise `error` itself."""
    if isinstance(error, (BudgetExceeded, LoopDetected)):
        refusals.append(error)
        return None
    return refusals[-1] if outermost and refusals else None


# --- streams ----------------------------------------------------------------------------------------------------------


def _watch(stream: Any, call: ActiveCall) -> None:
    """Let `call` see the chunks of a stream: the methods that return them find it in the stream."""
    reader: Any = call.reader
    reader.cached = getattr(stream, "custom_llm_provider", None) == "cached_response"
    reader.received = partial(_chunks, weakref.ref(stream))
    watch_next(stream, call)


def _chunks(stream: weakref.ref[Any]) -> list[Any] | None:
    """Return the chunks that a stream has got from the provider; None if it does not keep them, or is gone."""
    chunks = getattr(stream(), "chunks", None)
    return chunks if isinstance(chunks, list) else None


def _watch_text(stream: Any, call: ActiveCall) -> None:
    """Let `call` see the chunks of the stream in a stream of text, whose own chunks leave out the usage."""
    inner = stream.completion_stream
    if hasattr(inner, "__dict__"):
        _watch(inner, call)
    elif hasattr(inner, "__anext__"):
        stream.completion_stream = streams.tapped(_begun_async(inner, call), call)
    else:
        stream.completion_stream = streams.tapped(_begun(inner, call), call)


def _begun(events: Iterator[Any], call: ActiveCall) -> Iterator[Any]:
    """Yield the events of a generator, which sends its request with the first one: that request is the call's."""
    with call.active():
        first = list(islice(events, 1))
    yield from first
    yield from events


async def _begun_async(events: AsyncIterator[Any], call: ActiveCall) -> AsyncIterator[Any]:
    """Do the same as `_begun`, for an asynchronous generator."""
    with call.active():
        first = await anext(events, None)
    async for event in _chained(first, events):
        yield event


def _sent(wrapped: Any) -> Any:
    """Return `wrapped`, which sends the request at once if it returns a plain generator: a call has no place in one."""

    def send(*args: Any, **kwargs: Any) -> Any:
        result = wrapped(*args, **kwargs)
        return chain(list(islice(result, 1)), result) if isinstance(result, GeneratorType) else result

    return send


def _sent_async(wrapped: Any) -> Any:
    """Do the same as `_sent`, for an asynchronous function."""

    async def send(*args: Any, **kwargs: Any) -> Any:
        result = await wrapped(*args, **kwargs)
        if not isinstance(result, AsyncGeneratorType):
            return result
        first = await anext(result, None)
        return _chained(first, result)

    return send


async def _chained(first: Any, events: AsyncIterator[Any]) -> AsyncIterator[Any]:
    if first is None:
        return
    yield first
    async for event in events:
        yield event
