"""huggingface_hub: chats and embeddings of its `InferenceClient`, at Hugging Face's router and at servers of your own.

`_inner_post` sees every request. Its streams are lines of server-sent events. Other tasks (images, speech, text
generation of TGI) have no usage in their responses, and are not seen.
"""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import Body, EventIterator, Reply
from otel_agentcost.core.call import Answer
from otel_agentcost.integrations.endpoints import endpoint, match_path
from otel_agentcost.integrations.patching import Target, argument, with_argument
from otel_agentcost.integrations.sdks._base import Patchable, Sdk, Through
from otel_agentcost.wire import AnswerReader, Change, SoFar, load
from otel_agentcost.wire.fields import parsed
from otel_agentcost.wire.format import ModelRequest

FORMATS = {"/chat/completions": "openai_chat", "/embeddings": "openai_embeddings"}


class _Lines:
    """Reads the lines of server-sent events."""

    def __init__(self, reader: AnswerReader) -> None:
        self._reader = reader

    def feed(self, event: Any) -> None:
        line = event.decode() if isinstance(event, bytes) else event
        if line.startswith("data:") and (body := parsed(line[5:])) is not None:
            self._reader.feed(body)

    def so_far(self) -> SoFar:
        return self._reader.so_far()

    def answer(self, *, complete: bool) -> Answer:
        return self._reader.answer(complete=complete)


class _Seam:
    """Reads calls of `_inner_post(request_parameters, *, stream)`."""

    def read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelRequest | None:
        """Read the request; None if its path calls no model that is known."""
        del instance  # every seam has the same arguments
        sent = argument(args, kwargs, 0, "request_parameters")
        name = match_path(sent.url, FORMATS)
        if name is None or not isinstance(sent.json, dict):
            return None
        form, path = load(name), urlsplit(sent.url).path
        return ModelRequest(
            call=form.read_request(sent.json, path), endpoint=endpoint(sent.url, "huggingface"), format=form
        )

    def rewrite(
        self,
        request: ModelRequest,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        model: str | None,
        max_output_tokens: int | None,
    ) -> tuple[ModelRequest, tuple[Any, ...], dict[str, Any]]:
        """Return the same call with another model or a lower output limit."""
        sent, target = argument(args, kwargs, 0, "request_parameters"), request.endpoint
        change = Change(model=model, max_output_tokens=max_output_tokens, provider=target.provider, known=target.known)
        body, path = request.format.rewrite(request.call, "", change)
        call = request.format.read_request(body, path)
        return replace(request, call=call), *with_argument(
            args, kwargs, 0, "request_parameters", replace(sent, json=body)
        )

    def unwrap(self, result: Any) -> Reply:
        """Return what came back: the bytes of a response, or the lines of a stream."""
        return Body(parsed(result)) if isinstance(result, (bytes, str)) else EventIterator(result, _Lines)


_SEAM = _Seam()


def _patch(module: str, owner: str, through: Through) -> Patchable:
    return Patchable(target=Target(module=module, owner=owner, method="_inner_post"), seam=_SEAM, through=through)


SDK = Sdk(
    name="huggingface_hub",
    distribution="huggingface-hub",
    oldest="1.0",
    patches=(
        _patch("huggingface_hub.inference._client", "InferenceClient", Pipeline.call),
        _patch("huggingface_hub.inference._generated._async_client", "AsyncInferenceClient", Pipeline.call_async),
    ),
)
