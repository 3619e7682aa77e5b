"""DSPy 3.4 and newer: the HTTP client of the library that it has within it (lm15), which no other package uses.

`stream` sees every request, whole or streamed. A retry of DSPy is another call. What DSPy sends through LiteLLM
(`engine="litellm"`, and DSPy before 3.4) is seen there.
"""

# Objects of the client have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from otel_agentcost.calls import streams
from otel_agentcost.calls.seam import HttpReply
from otel_agentcost.calls.streams import RawReader, Relay, StreamListener
from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.integrations.http._base import HttpClient, Method, Net, Sending, held
from otel_agentcost.integrations.http._seam import Arguments, HttpSeam, Outgoing, as_json
from otel_agentcost.integrations.patching import Target

_PLACE: Final = "dspy._vendor.lm15.transports"


class _Received:
    """A response with its headers by name. The response keeps it."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers


class _Seam(HttpSeam):
    """Reads calls of `stream(request)`: the request has `method`, `url`, `headers` in pairs, and `body` in bytes."""

    def outgoing(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outgoing:
        del kwargs  # every seam has the same arguments
        request = args[1]
        return Outgoing(request.method, request.url, dict(request.headers), request.body)

    def resent(self, args: tuple[Any, ...], kwargs: dict[str, Any], url: str, body: dict[str, Any]) -> Arguments:
        request, content = args[1], as_json(body)
        headers = [(name, value) for name, value in request.headers if name.lower() != "content-length"]
        return (args[0], replace(request, url=url, headers=headers, body=content)), kwargs

    def unwrap(self, result: Any) -> HttpReply:
        received = _Received({name.lower(): value for name, value in result.headers})
        result._agentcost_headers = received
        return HttpReply(received, result.status, None, partial(_tap, result))


def _tap(response: Any, call: StreamListener, content_type: str | None = None) -> RawReader:
    """Let `call` see the bytes that DSPy reads: its client has decompressed them."""
    reader = RawReader(call, content_type or response._agentcost_headers.headers.get("content-type") or "")
    response._chunks = streams.tapped(response._chunks, Relay(call, reader.feed))
    return reader


def _sync(send: Method, net: Net) -> Method:
    origins, call, seam = net.addresses.posted.origins, net.pipeline.call, _Seam(net.addresses)

    def patched(self: Any, request: Any) -> Any:
        return call(seam, send, self, (self, request), {}) if _is_ours(request, origins) else send(self, request)

    return patched


def _async(send: Method, net: Net) -> Method:
    origins, call, seam = net.addresses.posted.origins, net.pipeline.call_async, _Seam(net.addresses)

    async def patched(self: Any, request: Any) -> Any:
        if _is_ours(request, origins):
            return await call(seam, send, self, (self, request), {})
        return await send(self, request)

    return patched


def _is_ours(request: Any, origins: Mapping[str, bool]) -> bool:
    try:
        url = request.url
        return request.method == "POST" and origins[url[: url.find("/", 8)]] and not held()
    except Exception as error:  # no request: the client says so
        reraise_foreign(error)
        return False


CLIENT = HttpClient(
    name="dspy",
    distribution="dspy",
    oldest="3.4",
    sends=(
        Sending(
            target=Target(
                module=f"{_PLACE}._sync", owner="StdlibTransport", method="stream", optional=True, reads=("request",)
            ),
            patched=_sync,
        ),
        Sending(
            target=Target(
                module=f"{_PLACE}._async",
                owner="StdlibAsyncTransport",
                method="_do_stream",
                optional=True,
                reads=("request",),
            ),
            patched=_async,
        ),
    ),
)
