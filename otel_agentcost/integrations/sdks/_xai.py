"""Reads the calls of xai-sdk, which go through the stubs of gRPC: a method of a stub is an attribute of the object.

A patch of a class cannot see such a method. So the methods of the stub's object are replaced when the SDK makes it, and
again before each call of the SDK's public methods: a client may be older than the instrumentation.
"""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any, Final, NamedTuple

from otel_agentcost.calls import finalize
from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import AnswerRead, Body, EventIterator, Reply, Seam
from otel_agentcost.core.call import Answer
from otel_agentcost.integrations.endpoints import endpoint
from otel_agentcost.wire import AnswerReader, Change, SoFar, load
from otel_agentcost.wire.format import ModelRequest

finalize.FINALIZERS.add(__name__)

_ADDRESS: Final = "https://api.x.ai/v1"
"""The address of the SDK's default. The stubs do not know theirs."""


class _Rpc(NamedTuple):
    """One method of a stub."""

    format: str = ""
    """The wire format: of the request, or of the answer that it retrieves."""
    request: Callable[[Any, Any], Any] | None = None
    """Returns the JSON of a request: called with the module `wire.xai_protos` and the message. None for a retrieval."""
    response: Callable[[Any, Any], Any] | None = None
    """Does the same for a response."""
    streamed: bool = False


def _retrieved(read: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return the reader of a retrieval, whose response has an answer once it is ready."""
    pending = {"request_id": "pending"}
    return lambda protos, got: read(protos, got.response) if got.HasField("response") else pending


_CHAT = _Rpc(
    "openai_chat", lambda protos, sent: protos.chat_request(sent), lambda protos, got: protos.chat_response(got)
)
_MEDIA = _Rpc(
    "xai_media", lambda protos, sent: protos.media_request(sent), lambda protos, got: protos.media_response(got)
)
METHODS: Final = {
    "GetCompletion": _CHAT,
    "GetCompletionChunk": _CHAT._replace(
        request=lambda protos, sent: protos.chat_request(sent, stream=True), response=None, streamed=True
    ),
    "StartDeferredCompletion": _CHAT._replace(
        request=lambda protos, sent: protos.chat_request(sent, deferred=True),
        response=lambda _protos, got: {"request_id": got.request_id},
    ),
    "GetDeferredCompletion": _Rpc("openai_chat", response=_retrieved(lambda protos, got: protos.chat_response(got))),
    "CompactContext": _CHAT._replace(request=lambda protos, sent: protos.compaction_request(sent)),
    "GenerateImage": _MEDIA,
    "GenerateVideo": _MEDIA,
    "ExtendVideo": _MEDIA,
    "GetDeferredVideo": _Rpc("xai_media", response=_retrieved(lambda protos, got: protos.media_response(got))),
    "AddBatchRequests": _Rpc("billed_later", lambda _protos, _sent: {}, lambda _protos, _got: None),
}
"""The methods of the stubs that run a model, or retrieve what one has made."""


def _protos() -> Any:
    """Return the module that reads messages. It is loaded with the first call, as those of formats are."""
    return import_module("otel_agentcost.wire.xai_protos")


class _Chunks:
    """Reads the chunks of a stream as JSON."""

    def __init__(self, reader: AnswerReader) -> None:
        self._reader = reader
        self._chunk = _protos().chat_chunk

    def feed(self, event: Any) -> None:
        self._reader.feed(self._chunk(event))

    def so_far(self) -> SoFar:
        return self._reader.so_far()

    def answer(self, *, complete: bool) -> Answer:
        return self._reader.answer(complete=complete)


class _Seam:
    """Reads calls of one method of a stub: `method(request)`."""

    def __init__(self, rpc: _Rpc) -> None:
        self._rpc = rpc

    def read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelRequest | None:
        """Read the request; None if the method retrieves an answer."""
        del instance, kwargs  # every seam has the same arguments
        if self._rpc.request is None:
            return None
        form, body = load(self._rpc.format), self._rpc.request(_protos(), args[0])
        target = endpoint(_ADDRESS, "x_ai")
        path = "/batches" if self._rpc.format == "billed_later" else ""
        return ModelRequest(call=form.read_request(body, path), endpoint=target, format=form)

    def rewrite(
        self,
        request: ModelRequest,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        model: str | None,
        max_output_tokens: int | None,
    ) -> tuple[ModelRequest, tuple[Any, ...], dict[str, Any]]:
        """Return the same call with another model or a lower output limit, in a copy of the message."""
        change = Change(model=model, max_output_tokens=max_output_tokens, provider=request.endpoint.provider)
        body, path = request.format.rewrite(request.call, "", change)
        sent = type(args[0])()
        sent.CopyFrom(args[0])
        sent.model = body["model"]
        if "max_tokens" in body:
            sent.max_tokens = body["max_tokens"]
        return replace(request, call=request.format.read_request(body, path)), (sent, *args[1:]), kwargs

    def unwrap(self, result: Any) -> Reply:
        """Return what came back: chunks, or a message."""
        if self._rpc.streamed:
            return EventIterator(result, _Chunks)
        return Body(self._rpc.response(_protos(), result) if self._rpc.response is not None else None)

    def answer_read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AnswerRead | None:
        """Return which answer a call retrieves."""
        del instance, kwargs  # every seam has the same arguments
        found: str | None = getattr(args[0], "request_id", None) if args else None
        form = load(self._rpc.format) if self._rpc.request is None else None
        return AnswerRead(found, endpoint(_ADDRESS, "x_ai"), form) if found else None


_SEAMS: Final[dict[str, Seam]] = {name: _Seam(rpc) for name, rpc in METHODS.items()}


class _Method:
    """Stands for one method of a stub: an object that is called, and has more methods."""

    def __init__(self, pipeline: Pipeline, name: str, inner: Any) -> None:
        """Create the method.

        Args:
            pipeline: Makes the calls.
            name: The name of the method.
            inner: The object of gRPC.
        """
        self.pipeline = pipeline
        self._seam, self._inner = _SEAMS[name], inner
        self._streamed = METHODS[name].streamed
        self._asynchronous = ".aio." in type(inner).__module__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._asynchronous:
            make: Any = _events if self._streamed else Pipeline.call_async
        else:
            make = _stream if self._streamed else Pipeline.call
        return make(self.pipeline, self._seam, self._inner, self, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _stream(pipeline: Pipeline, seam: Seam, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """Make a call that is streamed."""

    def send(*args: Any, **kwargs: Any) -> Any:
        return _until_closed(wrapped(*args, **kwargs))

    return pipeline.call(seam, send, instance, args, kwargs)


def _until_closed(chunks: Any) -> Iterator[Any]:
    try:
        yield from chunks
    finally:  # gRPC's own iterator has no `close`
        chunks.cancel()


async def _events(
    pipeline: Pipeline, seam: Seam, wrapped: Any, instance: Any, args: Any, kwargs: Any
) -> AsyncIterator[Any]:
    """Make an asynchronous call that is streamed, when its chunks are first read."""
    calls: list[Any] = []

    async def send(*args: Any, **kwargs: Any) -> Any:
        chunks = wrapped(*args, **kwargs)
        calls.append(chunks)
        return aiter(chunks)

    tapped = await pipeline.call_async(seam, send, instance, args, kwargs)
    try:
        async for chunk in tapped:
            yield chunk
    finally:
        await tapped.aclose()
        for call in calls:
            call.cancel()


def _tap(stub: Any, pipeline: Pipeline) -> None:
    """Replace the methods of a stub, or let those that are replaced already use this pipeline."""
    for name in _SEAMS.keys() & vars(stub).keys():
        found = getattr(stub, name)
        if type(found) is _Method:
            found.pipeline = pipeline
        else:
            setattr(stub, name, _Method(pipeline, name, found))


def made(pipeline: Pipeline, _seam: Seam, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> None:
    """Run the `__init__` of a stub."""
    wrapped(*args, **kwargs)
    if pipeline.active:
        _tap(instance, pipeline)


def used(pipeline: Pipeline, _seam: Seam, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """Run a method of the SDK that calls a stub."""
    if pipeline.active and (stub := getattr(instance, "_stub", None)) is not None:
        _tap(stub, pipeline)
    return wrapped(*args, **kwargs)


SEAM: Final = _SEAMS["GetCompletion"]
"""Stands where a patch needs a seam and calls no model."""
