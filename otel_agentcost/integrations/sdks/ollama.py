"""ollama: models on the user's own machines, and Ollama's cloud.

`Client._request` sees every call. Streams are generators, which send the request when they are first read.
"""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from otel_agentcost.calls import finalize
from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import Body, EventIterator, Reply, Seam
from otel_agentcost.integrations.endpoints import endpoint, match_path
from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.sdks._base import Patchable, Sdk
from otel_agentcost.wire import Change, load
from otel_agentcost.wire.format import ModelRequest

finalize.FINALIZERS.add(__name__)

FORMATS: dict[str, str] = dict.fromkeys(("/api/chat", "/api/generate", "/api/embed", "/api/embeddings"), "ollama")


class _Seam:
    """Reads calls of `_request(cls, method, path, json=..., stream=...)`."""

    def read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelRequest | None:
        """Read the request; None if its path calls no model."""
        path = args[2] if len(args) > 2 else kwargs.get("url", "")
        name = match_path(path, FORMATS)
        if name is None:
            return None
        form = load(name)
        target = endpoint(str(instance._client.base_url), "ollama")
        return ModelRequest(call=form.read_request(kwargs.get("json"), path), endpoint=target, format=form)

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
        path = args[2] if len(args) > 2 else kwargs.get("url", "")
        change = Change(model=model, max_output_tokens=max_output_tokens, provider=request.endpoint.provider)
        body, path = request.format.rewrite(request.call, path, change)
        call = request.format.read_request(body, path)
        return replace(request, call=call), args, {**kwargs, "json": body}

    def unwrap(self, result: Any) -> Reply:
        """Return what came back: an iterator of events, or a response."""
        return EventIterator(result) if hasattr(result, "__next__") or hasattr(result, "__anext__") else Body(result)


def _request(pipeline: Pipeline, seam: Seam, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """Make a synchronous call, streamed or not."""
    make = pipeline.generate if kwargs.get("stream") else pipeline.call
    return make(seam, wrapped, instance, args, kwargs)


async def _request_async(pipeline: Pipeline, seam: Seam, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """Make an asynchronous call. The generator of a stream makes it when it is first read, as that of the SDK does."""
    if not kwargs.get("stream"):
        return await pipeline.call_async(seam, wrapped, instance, args, kwargs)
    return _events(pipeline, seam, wrapped, instance, args, kwargs)


async def _events(
    pipeline: Pipeline, seam: Seam, wrapped: Any, instance: Any, args: Any, kwargs: Any
) -> AsyncIterator[Any]:
    opened: list[Any] = []  # what to close in the end, the outer first

    async def send(*args: Any, **kwargs: Any) -> Any:
        events = await wrapped(*args, **kwargs)
        opened.append(events)
        first = [event async for event in _one(events)]
        return _chained(first, events)

    try:
        tapped = await pipeline.call_async(seam, send, instance, args, kwargs)
        opened.insert(0, tapped)
        async for event in tapped:
            yield event
    finally:  # the end of this generator ends the SDK's: that releases the connection
        for events in opened:
            await events.aclose()


async def _one(events: AsyncIterator[Any]) -> AsyncIterator[Any]:
    event = await anext(events, None)
    if event is not None:
        yield event


async def _chained(first: list[Any], events: AsyncIterator[Any]) -> AsyncIterator[Any]:
    for event in first:
        yield event
    async for event in events:
        yield event


_SEAM = _Seam()

SDK = Sdk(
    name="ollama",
    distribution="ollama",
    oldest="0.4",
    patches=(
        Patchable(
            target=Target(module="ollama._client", owner="Client", method="_request"), seam=_SEAM, through=_request
        ),
        Patchable(
            target=Target(module="ollama._client", owner="AsyncClient", method="_request"),
            seam=_SEAM,
            through=_request_async,
        ),
    ),
)
