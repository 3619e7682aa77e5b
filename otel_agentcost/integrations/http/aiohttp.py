"""aiohttp: `ClientSession._request` sees every request, above redirects, authentication and middlewares."""

# Objects of the client have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from otel_agentcost.calls.seam import HttpReply
from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.integrations.http import _aiohttp
from otel_agentcost.integrations.http._addresses import Known
from otel_agentcost.integrations.http._base import HttpClient, Method, Net, Sending, held, sees
from otel_agentcost.integrations.http._multipart import as_value
from otel_agentcost.integrations.http._seam import Arguments, HttpSeam, Outgoing, as_json
from otel_agentcost.integrations.patching import Target, argument, with_argument


class _Seam(HttpSeam):
    """Reads calls of `_request(method, str_or_url, *, data, json, headers, ...)`."""

    def outgoing(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outgoing:
        url = str(args[0]._build_url(argument(args, kwargs, 2, "str_or_url")))
        method = str(argument(args, kwargs, 1, "method"))
        headers: Mapping[str, Any] = {**dict(args[0].headers), **dict(kwargs.get("headers") or {})}
        content = kwargs.get("json")
        if content is not None:
            return Outgoing(method, url, headers, content)
        data = kwargs.get("data")
        parts = getattr(data, "_fields", None)
        if parts is not None:  # a form: its text fields are texts, files are not
            texts = {options.get("name"): as_value(value) for options, _, value in parts if isinstance(value, str)}
            return Outgoing(method, url, headers, None, texts)
        return Outgoing(method, url, headers, data if isinstance(data, (bytes, bytearray, str)) else None)

    def resent(self, args: tuple[Any, ...], kwargs: dict[str, Any], url: str, body: dict[str, Any]) -> Arguments:
        changed = {"data": as_json(body)} if kwargs.get("json") is None else {"json": body}
        kwargs = {**kwargs, **changed}
        if url == str(args[0]._build_url(argument(args, kwargs, 2, "str_or_url"))):
            return args, kwargs
        return with_argument(args, kwargs, 2, "str_or_url", url)

    def unwrap(self, result: Any) -> HttpReply:
        session = result._session
        compressed = None if session is None else not session.auto_decompress
        return HttpReply(result, result.status, result._body, partial(_aiohttp.tap, result, compressed))


def _async(request: Method, net: Net) -> Method:
    call, seam = net.pipeline.call_async, _Seam(net.addresses)

    def is_known(known: Known, session: Any, url: Any) -> bool:
        if type(url) is not str:
            return known.hosts[url.host or session._base_url.host]
        return known.origins[url[: url.find("/", 8)]] if "://" in url else known.hosts[session._base_url.host]

    async def patched(self: Any, method: Any, str_or_url: Any, **kwargs: Any) -> Any:
        try:
            known = sees(method, net)
            ours = known is not None and is_known(known, self, str_or_url) and not held()
        except Exception as error:  # no request: the client says so
            reraise_foreign(error)
            ours = False
        if ours:
            return await call(seam, request, self, (self, method, str_or_url), kwargs)
        return await request(self, method, str_or_url, **kwargs)

    return patched


CLIENT = HttpClient(
    name="aiohttp",
    distribution="aiohttp",
    oldest="3.10",
    sends=(
        Sending(
            target=Target(
                module="aiohttp.client", owner="ClientSession", method="_request", reads=("method", "str_or_url")
            ),
            patched=_async,
        ),
    ),
)
