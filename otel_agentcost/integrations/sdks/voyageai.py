"""voyageai: embeddings of texts, of chunks in context and of images, and reranking. Its local models are not calls.

`APIRequestor.request` sees every request, below the SDK's retries and above its HTTP clients.
"""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import replace
from typing import Any

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import Body, Reply
from otel_agentcost.integrations.endpoints import endpoint, match_path
from otel_agentcost.integrations.patching import Target, argument, optional_argument, with_argument
from otel_agentcost.integrations.sdks._base import Patchable, Sdk, Through
from otel_agentcost.wire import Change, load
from otel_agentcost.wire.format import ModelRequest

FORMATS = {
    "/embeddings": "openai_embeddings",
    "/contextualizedembeddings": "openai_embeddings",
    "/multimodalembeddings": "voyage_multimodal",
    "/rerank": "token_rerank",
}
_BODY = 2
"""The position of the body, `params`, among the arguments."""


class _Seam:
    """Reads calls of `request(method, url, params, ...)`."""

    def read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelRequest | None:
        """Read the request; None if its path calls no model."""
        url, body = argument(args, kwargs, 1, "url"), optional_argument(args, kwargs, _BODY, "params")
        name = match_path(url, FORMATS)
        if name is None or not isinstance(body, dict):
            return None
        form, target = load(name), endpoint(instance.base_url, "voyageai")
        return ModelRequest(call=form.read_request(body, url), endpoint=target, format=form)

    def rewrite(
        self,
        request: ModelRequest,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        model: str | None,
        max_output_tokens: int | None,
    ) -> tuple[ModelRequest, tuple[Any, ...], dict[str, Any]]:
        """Return the same call with another model."""
        change = Change(model=model, max_output_tokens=max_output_tokens, provider=request.endpoint.provider)
        body, url = request.format.rewrite(request.call, argument(args, kwargs, 1, "url"), change)
        call = request.format.read_request(body, url)
        return replace(request, call=call), *with_argument(args, kwargs, _BODY, "params", body)

    def unwrap(self, result: Any) -> Reply:
        """Return what came back: the SDK has raised for an error already."""
        return Body(result.data)


_SEAM = _Seam()


def _patch(method: str, through: Through) -> Patchable:
    target = Target(
        module="voyageai.api_resources.api_requestor",
        owner="APIRequestor",
        method=method,
        reads=("method", "url", "params"),
    )
    return Patchable(target=target, seam=_SEAM, through=through)


SDK = Sdk(
    name="voyageai",
    distribution="voyageai",
    oldest="0.4",
    patches=(_patch("request", Pipeline.call), _patch("arequest", Pipeline.call_async)),
)
