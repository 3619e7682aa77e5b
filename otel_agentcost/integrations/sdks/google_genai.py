"""google-genai: the Gemini API and Vertex AI.

The seam is the HTTP client of the SDK, below automatic function calling and automatic continuation: one public call
there can make several billed calls, of which the SDK returns the usage of the last one only.
"""

# Objects of SDKs, of which this package knows no types, enter here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, cast

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import Body, EventIterator, Reply
from otel_agentcost.core.call import Answer
from otel_agentcost.integrations.endpoints import endpoint, match_path
from otel_agentcost.integrations.patching import Target, argument, with_argument
from otel_agentcost.integrations.sdks._base import Patchable, Sdk, Through
from otel_agentcost.wire import AnswerReader, CannotRewrite, Change, Format, SoFar, load
from otel_agentcost.wire.fields import get, parsed
from otel_agentcost.wire.format import ModelRequest

PATHS = (":generateContent", ":streamGenerateContent", ":embedContent", ":batchEmbedContents", ":predict")
FORMATS: dict[str, str] = dict.fromkeys(PATHS, "gemini")


_MOST_CHUNKS = 20_000


class _Chunks:
    """Reads a stream's chunks, which come as JSON text, with the usage so far in each or in the last one.

    Parsing all of them costs as much again as the SDK's own parsing. So they are kept as they are, and of a stream
    that came to its end with its usage only those are parsed that say something about the price. A stream that may
    have to be cut off is read as it comes.
    """

    def __init__(self, reader: AnswerReader) -> None:
        self._reader = reader
        self._bodies: list[str] = []
        self._headers: Any = None

    def feed(self, event: Any) -> None:
        if len(self._bodies) < _MOST_CHUNKS:
            self._bodies.append(event.body or "")
        else:
            self._bodies[-1] = event.body or ""
        self._headers = event.headers

    def so_far(self) -> SoFar:
        for body in self._bodies:
            self._show(body)
        self._bodies.clear()
        return self._reader.so_far()

    def answer(self, *, complete: bool) -> Answer:
        bodies = self._bodies
        counted = next((n for n in range(len(bodies) - 1, -1, -1) if _has_counts(bodies[n])), None)
        since = counted if complete and counted is not None else 0  # what comes after the counts is at most a few
        for n, body in enumerate(bodies):
            if n >= since or '"groundingMetadata"' in body:
                self._show(body)
        return self._reader.answer(complete=complete)

    def _show(self, body: str) -> None:
        event = _with_headers(body, self._headers)
        if event is not None:
            self._reader.feed(event)


def _has_counts(body: str) -> bool:
    """Whether a chunk has a usage with counts: that of the last one may be a traffic type alone."""
    return '"promptTokenCount"' in body and '"usageMetadata"' in body


def _with_headers(body: str | None, headers: Any) -> Any:
    """The JSON value of `body`, with the headers where the SDK's own objects have them: one names the served tier."""
    event = parsed(body or "")
    return {**event, "sdkHttpResponse": {"headers": headers}} if isinstance(event, dict) and headers else event


async def _close(stream: Any) -> None:
    """Closes the HTTP response behind an asynchronous stream. Closing the stream does not: the SDK's response and its
    generator refer to each other, and only a garbage collection would find them.
    """
    segments = stream.ag_frame.f_locals["response"]
    response = segments.response_stream
    closed = response.aclose() if hasattr(response, "aclose") else response.close()  # aiohttp's closes at once
    if closed is not None:
        await closed
    await segments.segment_iterator.aclose()


class _Seam:
    """Reads calls of `request(http_method, path, request_dict, http_options)` and its three siblings."""

    _format: Format | None = None

    def read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelRequest | None:
        method = argument(args, kwargs, 0, "http_method")
        path = argument(args, kwargs, 1, "path")
        if method.lower() != "post" or match_path(path, FORMATS) is None:
            return None
        body = argument(args, kwargs, 2, "request_dict")
        extra = _extra_body(instance, args[3] if len(args) > 3 else kwargs.get("http_options"))
        if extra:
            body = _over(body, extra)
        base_url = instance._http_options.base_url or ""
        default = "gcp.vertex_ai" if instance.vertexai else "gcp.gemini"
        form = self._format = self._format or load("gemini")
        return ModelRequest(call=form.read_request(body, path), endpoint=endpoint(base_url, default), format=form)

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
            raise CannotRewrite("an extra_body goes over it")
        path, there = argument(args, kwargs, 1, "path"), request.endpoint
        change = Change(model=model, max_output_tokens=max_output_tokens, provider=there.provider, known=there.known)
        body, path = request.format.rewrite(request.call, path, change)
        args, kwargs = with_argument(args, kwargs, 1, "path", path)
        args, kwargs = with_argument(args, kwargs, 2, "request_dict", body)
        return replace(request, call=request.format.read_request(body, path)), args, kwargs

    def unwrap(self, result: Any) -> Reply:
        if hasattr(result, "__anext__"):
            return EventIterator(result, _Chunks, partial(_close, result))
        if hasattr(result, "__next__"):
            return EventIterator(result, _Chunks)
        return Body(_with_headers(result.body, result.headers))


def _extra_body(client: Any, options: Any) -> Mapping[str, Any] | None:
    """What the SDK writes over the body as it sends it: that of the request's options, or else the client's."""
    for given in (options, client._http_options):
        extra = get(given, "extra_body") or get(given, "extraBody")
        if isinstance(extra, Mapping):
            return extra
    return None


def _over(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """`body` with `extra` written over it as the SDK does: fields within fields, under either spelling of a name."""
    whole = dict(body)
    spelt = {name.replace("_", "").lower(): name for name in whole}
    for given, value in extra.items():
        name = spelt.get(given.replace("_", "").lower(), given)
        inner = whole.get(name)
        both = isinstance(inner, dict) and isinstance(value, dict)
        whole[name] = _over(cast("dict[str, Any]", inner), cast("dict[str, Any]", value)) if both else value
    return whole


_SEAM = _Seam()


def _patch(method: str, through: Through) -> Patchable:
    target = Target(module="google.genai._api_client", owner="BaseApiClient", method=method)
    return Patchable(target=target, seam=_SEAM, through=through)


SDK = Sdk(
    name="google_genai",
    distribution="google-genai",
    oldest="1.32",
    patches=(
        _patch("request", Pipeline.call),
        _patch("async_request", Pipeline.call_async),
        _patch("request_streamed", Pipeline.generate),
        _patch("async_request_streamed", Pipeline.call_async),
    ),
)
