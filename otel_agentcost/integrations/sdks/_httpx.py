"""SDKs whose methods return a response of httpx that they parse afterwards, as Speakeasy and Fern generate them.

A module of an SDK says where its method has the address and the body of a request; the rest is the same for all.
"""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import AnswerRead, BatchRead, RawResponse, Rejected, Reply, Seam
from otel_agentcost.integrations.endpoints import BatchPaths, answer_at, endpoint, match_path
from otel_agentcost.integrations.patching import Target, argument, with_argument
from otel_agentcost.integrations.sdks._base import Patchable, Through
from otel_agentcost.wire import Change, Format, load
from otel_agentcost.wire.fields import parsed
from otel_agentcost.wire.format import ModelRequest

__all__ = ["Arguments", "HttpxSeam", "Sent", "enter", "enter_async", "speakeasy"]

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""The positional and the keyword arguments of a call."""


class Sent(NamedTuple):
    """A request as the arguments of a call have it."""

    method: str
    url: str
    """The whole address."""
    body: Any
    """The JSON of its body; None if it has none."""
    provider: str = ""
    """The provider, if the client is made for another one than its SDK is."""


class HttpxSeam:
    """Reads calls of a method that returns a response of httpx."""

    def __init__(
        self,
        default_provider: str,
        formats: Mapping[str, str],
        sent: Callable[[Any, tuple[Any, ...], dict[str, Any]], Sent | None],
        changed: Callable[[tuple[Any, ...], dict[str, Any], Mapping[str, Any]], Arguments],
    ) -> None:
        """Create the seam of one SDK.

        Args:
            default_provider: The provider that the SDK is made for, as `gen_ai.provider.name`.
            formats: Names of wire formats by path ending.
            sent: Returns the request of a call, from the client and the arguments; None if the call repeats another.
            changed: Returns the arguments with another body.
        """
        self._default = default_provider
        self._formats = formats
        self._sent = sent
        self._changed = changed
        self._loaded: dict[str, Format] = {}
        self._batches = BatchPaths(formats)

    def batch_read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BatchRead | None:
        """Return what a request reads of a batch; None for any other one."""
        sent = self._sent(instance, args, kwargs)
        found = self._batches.find(sent.method, urlsplit(sent.url).path) if sent is not None else None
        if sent is None or found is None:
            return None
        form, kind, named = found
        return BatchRead(form, endpoint(sent.url.partition("?")[0], sent.provider or self._default), kind, named)

    def read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelRequest | None:
        """Read the request; None if its path calls no model."""
        sent = self._sent(instance, args, kwargs)
        name = match_path(sent.url, self._formats) if sent is not None and sent.method.upper() == "POST" else None
        if sent is None or name is None:
            return None
        form = self._loaded.get(name)
        if form is None:
            form = self._loaded[name] = load(name)
        target = endpoint(sent.url.partition("?")[0], sent.provider or self._default)
        return ModelRequest(call=form.read_request(sent.body, urlsplit(sent.url).path), endpoint=target, format=form)

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
        target = request.endpoint
        change = Change(model=model, max_output_tokens=max_output_tokens, provider=target.provider, known=target.known)
        path = urlsplit(target.base_url).path
        body, path = request.format.rewrite(request.call, path, change)
        return replace(request, call=request.format.read_request(body, path)), *self._changed(args, kwargs, body)

    def unwrap(self, result: Any) -> Reply:
        """Return what came back: the SDK raises for an error when it parses the response."""
        return Rejected(result.status_code) if result.status_code >= 400 else RawResponse(result)


def enter(pipeline: Pipeline, seam: Seam, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """Make a call of a method that returns a context manager, which sends the request when it is entered."""

    @contextmanager
    def opened() -> Generator[Any]:
        with ExitStack() as stack:

            def send(*args: Any, **kwargs: Any) -> Any:
                manager = wrapped(*args, **kwargs)
                response = manager.__enter__()
                stack.push(manager)
                return response

            yield pipeline.call(seam, send, instance, args, kwargs)

    return opened()


def enter_async(pipeline: Pipeline, seam: Seam, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """Do the same as `enter`, for an asynchronous context manager."""

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Any]:
        async with AsyncExitStack() as stack:

            async def send(*args: Any, **kwargs: Any) -> Any:
                manager = wrapped(*args, **kwargs)
                response = await manager.__aenter__()
                stack.push_async_exit(manager)
                return response

            yield await pipeline.call_async(seam, send, instance, args, kwargs)

    return opened()


# --- SDKs that Speakeasy generates: `BaseSDK.do_request(hook_ctx, request, ...)` --------------------------------------


def speakeasy(
    module: str,
    provider: str,
    formats: Mapping[str, str],
    *,
    optional: bool = False,
    no_call: str = "",
    async_owner: str = "BaseSDK",
) -> tuple[Patchable, Patchable]:
    """Return the patches of `BaseSDK`, which sees every request of the SDK, above its retries and below its parsing.

    Args:
        module: The dotted name of the module that has the class.
        provider: The provider, as `gen_ai.provider.name`.
        formats: Names of wire formats by path ending.
        optional: True if another version of the SDK has the class in another module.
        no_call: A part of paths that call no model, although they end as others do.
        async_owner: The class with the asynchronous method.
    """

    def sent(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sent | None:
        found = _sent(client, args, kwargs)
        return None if no_call and no_call in found.url else found

    seam = _SpeakeasySeam(provider, formats, sent, _changed)

    def patch(owner: str, method: str, through: Through) -> Patchable:
        target = Target(module=module, owner=owner, method=method, reads=("", "request"), optional=optional)
        return Patchable(target=target, seam=seam, through=through)

    return (
        patch("BaseSDK", "do_request", Pipeline.call),
        patch(async_owner, "do_request_async", Pipeline.call_async),
    )


class _SpeakeasySeam(HttpxSeam):
    """Reads answers that were begun before, too."""

    def answer_read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AnswerRead | None:
        """Return which answer a request may retrieve or cancel."""
        del instance
        url = str(argument(args, kwargs, 1, "request").url)
        return answer_at(url, endpoint(url.partition("?")[0], self._default))


def _sent(_client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sent:
    request = argument(args, kwargs, 1, "request")
    is_json = "json" in request.headers.get("content-type", "")
    address = str(request.url).partition("#")[0]  # streams have a path of their own: `/v1/chat/completions#stream`
    return Sent(request.method, address, parsed(request.content) if is_json else None)


def _changed(args: tuple[Any, ...], kwargs: dict[str, Any], body: Mapping[str, Any]) -> Arguments:
    request = argument(args, kwargs, 1, "request")
    headers = [(name, value) for name, value in request.headers.multi_items() if name.lower() != "content-length"]
    content, extensions = json.dumps(body).encode(), request.extensions
    other = type(request)(request.method, request.url, headers=headers, content=content, extensions=extensions)
    return with_argument(args, kwargs, 1, "request", other)
