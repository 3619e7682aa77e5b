"""cohere 5 to 7: chat (v1 and v2), generate, embed and rerank, and its clients for Bedrock, SageMaker and OCI.

`HttpClient` sends every request of the SDK. Its `request` calls itself to retry; its `stream` is a context manager.
"""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.sdks._base import Patchable, Sdk
from otel_agentcost.integrations.sdks._httpx import Arguments, HttpxSeam, Sent, enter, enter_async

FORMATS = {
    "/chat": "cohere",
    "/generate": "cohere",
    "/summarize": "cohere",
    "/embed": "cohere",
    "/rerank": "cohere_rerank",
    "/classify": "cohere",
    "/embed-jobs": "billed_later",
    "/finetuned-models": "billed_later",
    "/batches": "billed_later",
}

_CLOUDS: Final = {"cohere.aws_client": "aws.bedrock", "cohere.oci_client": "oci"}
"""The modules whose hooks send a request to another cloud, and the name of that."""


def _sent(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sent | None:
    if kwargs.get("retries"):  # a retry of the call that is measured already
        return None
    body, omit = kwargs.get("json"), kwargs.get("omit")
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if value is not omit and value is not None}
    more = (kwargs.get("request_options") or {}).get("additional_body_parameters")
    if more and isinstance(body, dict):
        body = {**body, **more}
    path = args[0] if args else kwargs.get("path") or ""
    address = f"{client.get_base_url(kwargs.get('base_url')).rstrip('/')}/{path.lstrip('/')}"
    return Sent(kwargs.get("method", "POST"), address, body, _cloud(client))


def _cloud(client: Any) -> str:
    """Return the cloud that the hooks of a client send its requests to; empty if there are none."""
    hooks = client.httpx_client.event_hooks.get("request") or ()
    return next((_CLOUDS[hook.__module__] for hook in hooks if getattr(hook, "__module__", "") in _CLOUDS), "")


def _changed(args: tuple[Any, ...], kwargs: dict[str, Any], body: Mapping[str, Any]) -> Arguments:
    return args, {**kwargs, "json": {**kwargs["json"], **body}}


_SEAM = HttpxSeam("cohere", FORMATS, _sent, _changed)


def _patch(owner: str, method: str, through: Any) -> Patchable:
    target = Target(module="cohere.core.http_client", owner=owner, method=method)
    return Patchable(target=target, seam=_SEAM, through=through)


SDK = Sdk(
    name="cohere",
    distribution="cohere",
    oldest="6.0",
    patches=(
        _patch("HttpClient", "request", Pipeline.call),
        _patch("HttpClient", "stream", enter),
        _patch("AsyncHttpClient", "request", Pipeline.call_async),
        _patch("AsyncHttpClient", "stream", enter_async),
    ),
)
