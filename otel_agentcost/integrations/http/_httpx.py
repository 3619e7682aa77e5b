"""httpx and httpx2: the same client under two names.

`send` sees every request, also of `stream()`, above redirects, authentication and transports: those are one call. So a
client with a transport of a test counts too.
"""

# Objects of the client have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from functools import partial
from typing import Any

from otel_agentcost.calls import streams
from otel_agentcost.calls.seam import HttpReply
from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.integrations.http._base import HttpClient, Method, Net, Sending, held, sees
from otel_agentcost.integrations.http._multipart import as_value
from otel_agentcost.integrations.http._seam import Arguments, HttpSeam, Outgoing, as_json
from otel_agentcost.integrations.patching import Target, argument, with_argument


class _Seam(HttpSeam):
    """Reads calls of `send(request, *, stream, auth, follow_redirects)`."""

    def outgoing(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outgoing:
        request = argument(args, kwargs, 1, "request")
        fields = None
        content = getattr(request, "_content", None)  # set where the body is bytes; else its stream may be read once
        if content is None:
            parts = getattr(request.stream, "fields", None)
            if parts is not None:  # a multipart body: text fields have a value, files do not
                fields = {part.name: as_value(part.value) for part in parts if hasattr(part, "value")}
        return Outgoing(request.method, str(request.url), request.headers, content, fields)

    def resent(self, args: tuple[Any, ...], kwargs: dict[str, Any], url: str, body: dict[str, Any]) -> Arguments:
        request = argument(args, kwargs, 1, "request")
        sized = (b"content-length", b"transfer-encoding")
        headers = [(name, value) for name, value in request.headers.raw if name.lower() not in sized]
        changed = type(request)(
            request.method, url, headers=headers, content=as_json(body), extensions=request.extensions
        )
        return with_argument(args, kwargs, 1, "request", changed)

    def unwrap(self, result: Any) -> HttpReply:
        body = getattr(result, "_content", None)
        return HttpReply(result, result.status_code, body, partial(streams.watch_bytes, result))


def _sync(send: Method, net: Net) -> Method:
    call, seam = net.pipeline.call, _Seam(net.addresses)

    def patched(self: Any, request: Any, **kwargs: Any) -> Any:
        try:
            known = sees(request.method, net)
            ours = known is not None and known.hosts[request.url.host] and not held()
        except Exception as error:  # no request: the client says so
            reraise_foreign(error)
            ours = False
        return call(seam, send, self, (self, request), kwargs) if ours else send(self, request, **kwargs)

    return patched


def _async(send: Method, net: Net) -> Method:
    call, seam = net.pipeline.call_async, _Seam(net.addresses)

    async def patched(self: Any, request: Any, **kwargs: Any) -> Any:
        try:
            known = sees(request.method, net)
            ours = known is not None and known.hosts[request.url.host] and not held()
        except Exception as error:  # no request: the client says so
            reraise_foreign(error)
            ours = False
        return await (call(seam, send, self, (self, request), kwargs) if ours else send(self, request, **kwargs))

    return patched


def client(name: str, oldest: str) -> HttpClient:
    """Return the declaration of the client called `name`."""
    module = f"{name}._client"
    return HttpClient(
        name=name,
        distribution=name,
        oldest=oldest,
        sends=(
            Sending(target=Target(module=module, owner="Client", method="send", reads=("request",)), patched=_sync),
            Sending(
                target=Target(module=module, owner="AsyncClient", method="send", reads=("request",)), patched=_async
            ),
        ),
    )
