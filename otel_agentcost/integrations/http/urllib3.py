"""urllib3: `PoolManager.urlopen` sees every request of a manager, and `HTTPConnectionPool.urlopen` those of a pool.

Both see a request again for its retries and redirects, which belong to it.
"""

# Objects of the client have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from functools import partial
from typing import Any

from otel_agentcost.calls.seam import HttpReply
from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.integrations.http import _urllib3
from otel_agentcost.integrations.http._base import HttpClient, Method, Net, Sending, by_name, held, sees
from otel_agentcost.integrations.http._seam import Arguments, HttpSeam, Outgoing, as_json
from otel_agentcost.integrations.patching import Target

_POSITIONS = (
    *("body", "headers", "retries", "redirect", "assert_same_host", "timeout", "pool_timeout", "release_conn"),
    *("chunked", "body_pos"),
)
"""The names of what follows the address, in all releases. A call with more of them by position is left alone."""


class _Seam(HttpSeam):
    """Reads calls of `urlopen(method, url, ..., body=..., headers=...)`."""

    def outgoing(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outgoing:
        pool, method, url = args
        if url.startswith("/"):
            host = f"[{pool.host}]" if ":" in pool.host else pool.host
            url = f"{pool.scheme}://{host}{f':{pool.port}' if pool.port else ''}{url}"
        return Outgoing(method, url, kwargs.get("headers") or pool.headers or {}, kwargs.get("body"))

    def resent(self, args: tuple[Any, ...], kwargs: dict[str, Any], url: str, body: dict[str, Any]) -> Arguments:
        pool, method, before = args
        content = as_json(body)
        headers = kwargs.get("headers") or pool.headers or {}
        changed = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        kwargs = {**kwargs, "body": content, "headers": {**changed, "Content-Length": str(len(content))}}
        return (pool, method, url[url.index("/", 8) :] if before.startswith("/") else url), kwargs

    def unwrap(self, result: Any) -> HttpReply:
        return HttpReply(result, result.status, _urllib3.body_of(result), partial(_urllib3.tap, result))


def _of_a_manager(urlopen: Method, net: Net) -> Method:
    call, seam = net.pipeline.call, _Seam(net.addresses)

    def patched(self: Any, method: Any, url: Any, redirect: Any = True, **kwargs: Any) -> Any:  # noqa: FBT002 (as urllib3 has it)
        try:
            known = sees(method, net)
            ours = known is not None and known.origins[url[: url.find("/", 8)]] and not held()
        except Exception as error:  # no request: the client says so
            reraise_foreign(error)
            ours = False
        if ours:
            return call(seam, urlopen, self, (self, method, url), {**kwargs, "redirect": redirect})
        return urlopen(self, method, url, redirect, **kwargs)

    return patched


def _of_a_pool(urlopen: Method, net: Net) -> Method:
    call, seam = net.pipeline.call, _Seam(net.addresses)

    def patched(self: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            known = sees(method, net)
            ours = known is not None and known.hosts[self.host] and not held()
        except Exception as error:  # no request: the client says so
            reraise_foreign(error)
            ours = False
        if ours and (named := by_name(_POSITIONS, args, kwargs)) is not None:
            return call(seam, urlopen, self, (self, method, url), named)
        return urlopen(self, method, url, *args, **kwargs)

    return patched


CLIENT = HttpClient(
    name="urllib3",
    distribution="urllib3",
    oldest="1.26.15",
    sends=(
        Sending(
            target=Target(
                module="urllib3.poolmanager", owner="PoolManager", method="urlopen", reads=("method", "url", "redirect")
            ),
            patched=_of_a_manager,
        ),
        Sending(
            target=Target(
                module="urllib3.connectionpool", owner="HTTPConnectionPool", method="urlopen", reads=("method", "url")
            ),
            patched=_of_a_pool,
        ),
    ),
)
