"""requests: `Session.request` sees every request, above adapters, redirects and authentication: those are one call.

`Session.send` is not patched. Other instrumentations replace it, and their span is to be below this package's. What is
sent by it directly is seen in urllib3.
"""

# Objects of the client have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from otel_agentcost.calls.seam import HttpReply
from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.integrations.http import _urllib3
from otel_agentcost.integrations.http._base import HttpClient, Method, Net, Sending, by_name, held, sees
from otel_agentcost.integrations.http._multipart import as_value
from otel_agentcost.integrations.http._seam import Arguments, HttpSeam, Outgoing, as_json
from otel_agentcost.integrations.patching import Target

_POSITIONS = (
    *("params", "data", "headers", "cookies", "files", "auth", "timeout", "allow_redirects", "proxies", "hooks"),
    *("stream", "verify", "cert", "json"),
)
"""The names of the arguments that follow the address."""


class _Seam(HttpSeam):
    """Reads calls of `request(method, url, ..., data=..., headers=..., files=..., json=...)`."""

    def outgoing(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outgoing:
        session, method, url = args
        headers: Mapping[str, Any] = {**session.headers, **(kwargs.get("headers") or {})}
        data, json = kwargs.get("data"), kwargs.get("json")
        if kwargs.get("files"):  # the fields beside them are those of a form
            fields = {name: as_value(value) for name, value in data.items()} if isinstance(data, Mapping) else {}
            return Outgoing(method, url, headers, None, fields)
        if not data and json is not None:
            return Outgoing(method, url, headers, json)
        return Outgoing(method, url, headers, data if isinstance(data, (bytes, bytearray, str)) else None)

    def resent(self, args: tuple[Any, ...], kwargs: dict[str, Any], url: str, body: dict[str, Any]) -> Arguments:
        changed = {"data": as_json(body)} if kwargs.get("data") else {"json": body}
        return (*args[:2], url), {**kwargs, **changed}

    def unwrap(self, result: Any) -> HttpReply:
        read = result._content is not False
        body = (result.content or b"") if read else None
        return HttpReply(result, result.status_code, body, partial(_urllib3.tap, result.raw))


def _sync(request: Method, net: Net) -> Method:
    call, seam = net.pipeline.call, _Seam(net.addresses)

    def patched(self: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            known = sees(method, net)
            ours = known is not None and known.origins[url[: url.find("/", 8)]] and not held()
        except Exception as error:  # no request: the client says so
            reraise_foreign(error)
            ours = False
        if ours and (named := by_name(_POSITIONS, args, kwargs)) is not None:
            return call(seam, request, self, (self, method, url), named)
        return request(self, method, url, *args, **kwargs)

    return patched


CLIENT = HttpClient(
    name="requests",
    distribution="requests",
    oldest="2.31",
    sends=(
        Sending(
            target=Target(module="requests.sessions", owner="Session", method="request", reads=("method", "url")),
            patched=_sync,
        ),
    ),
)
