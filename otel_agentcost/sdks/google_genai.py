"""google-genai: the Gemini API and Vertex AI.

The seam is the HTTP client of the SDK, below automatic function calling and automatic continuation: one public call
there can make several billed calls, of which the SDK returns the usage of the last one only.
"""

# Objects of SDKs, of which this package knows no types, enter here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

from otel_agentcost import streams
from otel_agentcost.charging import Asked
from otel_agentcost.core.call import Answer
from otel_agentcost.inflight import InFlight
from otel_agentcost.patching import Target
from otel_agentcost.sdks._sdk import Patchable, Sdk, endpoint, match_path
from otel_agentcost.wire import AnswerReader, Format, SoFar, load

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
    event = streams.parsed(body or "")
    return {**event, "sdkHttpResponse": {"headers": headers}} if isinstance(event, dict) and headers else event


class _Seam:
    """Reads calls of `request(http_method, path, request_dict, http_options)` and its three siblings."""

    _format: Format | None = None

    def read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked | None:
        method = args[0] if args else kwargs["http_method"]
        path = args[1] if len(args) > 1 else kwargs["path"]
        if method.lower() != "post" or match_path(path, FORMATS) is None:
            return None
        body = args[2] if len(args) > 2 else kwargs["request_dict"]
        base_url = instance._http_options.base_url or ""
        default = "gcp.vertex_ai" if instance.vertexai else "gcp.gemini"
        form = self._format = self._format or load("gemini")
        return Asked(call=form.read_request(body, path), endpoint=endpoint(base_url, default), format=form)

    def deliver(self, result: Any, live: InFlight) -> Any:
        if hasattr(result, "__anext__"):
            live.streaming(_Chunks)
            return streams.tap_async(result, live)
        if hasattr(result, "__next__"):
            live.streaming(_Chunks)
            return streams.tap(result, live)
        live.answered(_with_headers(result.body, result.headers))
        return result


_SEAM = _Seam()


def _patch(method: str, kind: str) -> Patchable:
    target = Target(module="google.genai._api_client", owner="BaseApiClient", method=method)
    return Patchable(target=target, seam=_SEAM, kind=kind)


SDK = Sdk(
    name="google_genai",
    distribution="google-genai",
    oldest="1.32",
    patches=(
        _patch("request", "call"),
        _patch("async_request", "call_async"),
        _patch("request_streamed", "generate"),
        _patch("async_request_streamed", "call_async"),
    ),
)
