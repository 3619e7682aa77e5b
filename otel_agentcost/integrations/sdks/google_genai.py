"""google-genai: the Gemini API and Vertex AI.

The HTTP client of the SDK is patched, below automatic function calling and automatic continuation: one public call can
make several billed calls, and the SDK returns the usage of the last one only.
"""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import BatchRead, Body, EventIterator, Reply, Seam
from otel_agentcost.core.call import Answer, Endpoint
from otel_agentcost.integrations.endpoints import BatchPaths, endpoint, match_path, with_location
from otel_agentcost.integrations.patching import Target, argument, optional_argument, with_argument
from otel_agentcost.integrations.sdks._base import Patchable, Sdk, Through
from otel_agentcost.integrations.sdks._httpx import speakeasy
from otel_agentcost.wire import AnswerReader, CannotRewrite, Change, Format, SoFar, load
from otel_agentcost.wire.fields import get, parsed
from otel_agentcost.wire.format import ModelRequest

PATHS = (":generateContent", ":streamGenerateContent", ":embedContent", ":batchEmbedContents", ":predict")
INTERACTIONS = {"/interactions": "gemini_interactions", "/triggers/*/executions": "billed_later"}
"""The paths of the part of the SDK that has a client of its own."""
FORMATS: dict[str, str] = {
    **INTERACTIONS,
    **dict.fromkeys(PATHS, "gemini"),
    ":batchGenerateContent": "gemini_batches",
    ":asyncBatchEmbedContent": "gemini_batches",
    ":predictLongRunning": "videos",
    "cachedContents": "gemini_caches",
    "batchPredictionJobs": "gemini_batches",
    "tuningJobs": "billed_later",
    "tunedModels": "billed_later",
}

_MAX_CHUNKS = 20_000


class _Chunks:
    """Read the chunks of a stream, which are JSON text. Each chunk, or the last one, has the usage so far.

    Parsing every chunk would take as long as the SDK's own parsing. So the text is kept, and at the end of a complete
    stream only the chunks that affect the price are parsed. `so_far`, for a stream that a budget may cut off, parses
    all chunks that have arrived.
    """

    lazy = True
    """`so_far` takes long: it is called only if a count is in doubt (`calls.pipeline`)."""

    def __init__(self, reader: AnswerReader) -> None:
        self._reader = reader
        self._bodies: list[str] = []
        self._headers: Any = None

    def feed(self, event: Any) -> None:
        if len(self._bodies) < _MAX_CHUNKS:
            self._bodies.append(event.body or "")
        else:
            self._bodies[-1] = event.body or ""
        self._headers = event.headers

    def so_far(self) -> SoFar:
        for body in self._bodies:
            self._parse(body)
        self._bodies.clear()
        return self._reader.so_far()

    def answer(self, *, complete: bool) -> Answer:
        bodies = self._bodies
        last = [n for n in (_last(_INPUT_COUNT, bodies), _last(_OUTPUT_COUNT, bodies)) if n is not None]
        first = min(last) if complete and last else 0
        for n, body in enumerate(bodies):
            if n >= first or '"groundingMetadata"' in body or '"toolCall"' in body:
                self._parse(body)
        self._bodies = bodies[:first]  # `so_far` reads the others
        return self._reader.answer(complete=complete)

    def _parse(self, body: str) -> None:
        event = _with_headers(body, self._headers)
        if event is not None:
            self._reader.feed(event)


_INPUT_COUNT: Final = re.compile(r'"promptTokenCount"\s*:\s*[1-9]')
_OUTPUT_COUNT: Final = re.compile(r'"(?:candidates|response)TokenCount"\s*:\s*[1-9]')
"""Match a chunk with token counts: the usage of the last chunk may have a traffic type only, zeros, or one of both."""


def _last(counts: re.Pattern[str], bodies: Sequence[str]) -> int | None:
    return next((n for n in range(len(bodies) - 1, -1, -1) if counts.search(bodies[n])), None)


def _with_headers(body: str | None, headers: Any) -> Any:
    """Return the parsed `body` with the headers under the key that the SDK uses. A header names the served tier."""
    event = parsed(body or "")
    return {**event, "sdkHttpResponse": {"headers": headers}} if isinstance(event, dict) and headers else event


async def _close(stream: Any) -> None:
    """Close the HTTP response of an asynchronous stream.

    Closing the stream does not close the response: both are in a reference cycle until a garbage collection.
    """
    segments = stream.ag_frame.f_locals["response"]
    response = segments.response_stream
    closed = response.aclose() if hasattr(response, "aclose") else response.close()  # `close` of aiohttp is synchronous
    if closed is not None:
        await closed
    await segments.segment_iterator.aclose()


class _Seam:
    """Reads calls of `request(http_method, path, request_dict, http_options)` and its async and streaming versions."""

    def __init__(self) -> None:
        self._formats: dict[str, Format] = {}

    def read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelRequest | None:
        method = argument(args, kwargs, 0, "http_method")
        path = argument(args, kwargs, 1, "path")
        name = match_path(path, FORMATS) if method.lower() == "post" else None
        if name is None:
            return None
        body = argument(args, kwargs, 2, "request_dict")
        options = optional_argument(args, kwargs, 3, "http_options")
        extra = _extra_body(instance, options)
        if extra:
            body = _merge(body, extra)
        target = _endpoint(instance, options)
        form = self._formats.get(name)
        if form is None:
            form = self._formats[name] = load(name)
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
        if request.call.body is not argument(args, kwargs, 2, "request_dict"):
            raise CannotRewrite("its extra_body overrides the body")
        path, target = argument(args, kwargs, 1, "path"), request.endpoint
        change = Change(model=model, max_output_tokens=max_output_tokens, provider=target.provider, known=target.known)
        body, path = request.format.rewrite(request.call, path, change)
        args, kwargs = with_argument(args, kwargs, 1, "path", path)
        args, kwargs = with_argument(args, kwargs, 2, "request_dict", body)
        return replace(request, call=request.format.read_request(body, path)), args, kwargs

    def batch_read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BatchRead | None:
        method, path = argument(args, kwargs, 0, "http_method"), argument(args, kwargs, 1, "path")
        return self.batch_at(instance, method, path, optional_argument(args, kwargs, 3, "http_options"))

    def batch_at(self, instance: Any, method: str, path: str, options: Any) -> BatchRead | None:
        """Return what a request reads of a batch; None for any other one."""
        found = _BATCHES.find(method, path)
        if found is None:
            return None
        form, kind, named = found
        if kind == "state":  # the name of a batch has its collection
            named = path.partition("?")[0]
        return BatchRead(form, _endpoint(instance, options), kind, named)

    def unwrap(self, result: Any) -> Reply:
        if hasattr(result, "__anext__"):
            return EventIterator(result, _Chunks, partial(_close, result))
        if hasattr(result, "__next__"):
            return EventIterator(result, _Chunks)
        return Body(_with_headers(result.body, result.headers))


def _endpoint(client: Any, options: Any) -> Endpoint:
    base_url = get(options, "base_url") or get(options, "baseUrl") or client._http_options.base_url or ""
    if client.vertexai:
        return endpoint(with_location(base_url, client.location), "gcp.vertex_ai")
    return endpoint(base_url, "gcp.gemini")


def _extra_body(client: Any, options: Any) -> Mapping[str, Any] | None:
    """Return the `extra_body` of the request's options, or else of the client's. The SDK merges it into the body."""
    for source in (options, client._http_options):
        extra = get(source, "extra_body") or get(source, "extraBody")
        if isinstance(extra, Mapping):
            return extra
    return None


def _merge(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return `body` merged with `extra` as the SDK does it: recursively, with snake case equal to camel case."""
    merged = dict(body)
    spellings = {name.replace("_", "").lower(): name for name in merged}
    for extra_name, value in extra.items():
        name = spellings.get(extra_name.replace("_", "").lower(), extra_name)
        inner = merged.get(name)
        both = isinstance(inner, dict) and isinstance(value, dict)
        merged[name] = _merge(cast("dict[str, Any]", inner), cast("dict[str, Any]", value)) if both else value
    return merged


class _Written:
    """Keeps what is written to a stream of the application, if it may be the results of a batch."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._kept: list[bytes] | None = []

    def write(self, chunk: bytes) -> Any:
        """Write to the stream of the application."""
        if self._kept == [] and not chunk.startswith(b"{"):
            self._kept = None
        if self._kept is not None:
            self._kept.append(chunk)
        return self._stream.write(chunk)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def content(self) -> bytes:
        """Return what was written."""
        return b"".join(self._kept or ())


class _Download:
    """Reads one download of `download_file(path, http_options, destination)`, which may be the results of a batch."""

    def __init__(self, destination: Any) -> None:
        self._destination = destination

    def read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Return None: a download is no model call."""

    def rewrite(self, *_: object, **__: object) -> Any:
        raise CannotRewrite("it is a download")

    def batch_read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BatchRead | None:
        return _SEAM.batch_at(instance, "get", argument(args, kwargs, 0, "path"), kwargs.get("http_options"))

    def unwrap(self, result: Any) -> Reply:
        if isinstance(self._destination, _Written):
            return Body(self._destination.content())
        if self._destination is None:
            return Body(result)
        with Path(self._destination).open("rb") as written:
            return Body(written.read() if written.peek(1)[:1] == b"{" else b"")


def _download(through: Through) -> Through:
    """Return what runs in place of `download_file`: the destination of its bytes decides how they are read."""

    def run(pipeline: Pipeline, _seam: Seam, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        destination = kwargs.get("destination")
        if hasattr(destination, "write") and pipeline.follows_batches:
            destination = _Written(destination)
            kwargs = {**kwargs, "destination": destination}
        return through(pipeline, _Download(destination), wrapped, instance, args, kwargs)

    return run


_BATCHES: Final = BatchPaths(FORMATS)
_SEAM = _Seam()


def _patch(method: str, through: Through) -> Patchable:
    reads = ("http_method", "path", "request_dict", "http_options")
    target = Target(module="google.genai._api_client", owner="BaseApiClient", method=method, reads=reads)
    return Patchable(target=target, seam=_SEAM, through=through)


def _patch_of_download(method: str, through: Through) -> Patchable:
    target = Target(module="google.genai._api_client", owner="BaseApiClient", method=method, optional=True)
    return Patchable(target=target, seam=_Download(None), through=_download(through))


SDK = Sdk(
    name="google_genai",
    distribution="google-genai",
    oldest="1.32",
    patches=(
        _patch("request", Pipeline.call),
        _patch("async_request", Pipeline.call_async),
        _patch("request_streamed", Pipeline.generate),
        _patch("async_request_streamed", Pipeline.call_async),
        _patch_of_download("download_file", Pipeline.call),
        _patch_of_download("async_download_file", Pipeline.call_async),
        *speakeasy(
            "google.genai._gaos.basesdk",
            "gcp.gemini",
            {**INTERACTIONS, "/decisions": "gemini_interactions"},
            optional=True,
            async_owner="AsyncBaseSDK",
        ),
    ),
)
