"""SDKs that Stainless generates (openai, anthropic and many more): their clients have the same methods.

`SyncAPIClient.request` and `AsyncAPIClient.request` see every REST call of such an SDK, below its resources, raw and
streaming responses, parse helpers and tool runners, and above its retries.
"""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import AnswerRead, BatchRead, Body, EventStream, RawResponse, Reply
from otel_agentcost.core.call import Endpoint
from otel_agentcost.integrations.endpoints import (
    DEPLOYMENT,
    BatchPaths,
    answer_at,
    endpoint,
    match_path,
    with_location,
)
from otel_agentcost.integrations.patching import Target, argument, with_argument
from otel_agentcost.integrations.sdks._base import Patchable, Sdk, Through
from otel_agentcost.wire import CannotRewrite, Change, Format, load
from otel_agentcost.wire.billed_later import STARTED
from otel_agentcost.wire.fields import get
from otel_agentcost.wire.format import ModelRequest

_MAX_CACHED = 1000


def stainless_sdk(distribution: str, package: str, provider: str, formats: Mapping[str, str], *, oldest: str) -> Sdk:
    """Return the SDK of a provider that Stainless has generated.

    Args:
        distribution: Its name on PyPI.
        package: The dotted name of its package.
        provider: The provider, as `gen_ai.provider.name`.
        formats: Names of wire formats by path ending.
        oldest: The oldest release that the tests cover.
    """
    seam, module = StainlessSeam(provider, formats, {}), f"{package}._base_client"
    return Sdk(
        name=package.partition(".")[0],
        distribution=distribution,
        oldest=oldest,
        patches=(
            *seam.patches(module, "SyncAPIClient", "request", Pipeline.call),
            *seam.patches(module, "AsyncAPIClient", "request", Pipeline.call_async),
        ),
    )


class StainlessSeam:
    """Reads calls of `request(cast_to, options, *, stream, stream_cls)`."""

    def __init__(
        self,
        default_provider: str,
        formats: Mapping[str, str],
        providers: Mapping[str, str],
        *,
        addressed: Collection[str] = (),
        deployed: Collection[str] = (),
    ) -> None:
        """Create the seam of one SDK.

        Args:
            default_provider: The provider that the SDK is made for, as `gen_ai.provider.name`.
            formats: Names of wire formats by path ending.
            providers: Providers by the name of a client class or one of its base classes, or by the name of the
                provider that a client is configured for (`OpenAI(provider=...)`).
            addressed: Names of client classes that put the model of the body that a method builds into the address,
                which decides: a model in `extra_body` is ignored there.
            deployed: Paths that Azure serves at a deployment.
        """
        self._default = default_provider
        self._formats = formats
        self._providers = providers
        self._addressed = frozenset(addressed)
        self._deployed = frozenset(deployed)
        self._batches = BatchPaths(formats)
        self._starts: dict[str, str] = {}
        self._by_path: dict[str, Format | None] = {}
        self._by_client: dict[tuple[type, int], tuple[Any, Endpoint]] = {}
        self._kinds: dict[type, str] = {}

    def patches(
        self, module: str, owner: str, method: str | Callable[[type], str], through: Through
    ) -> tuple[Patchable, Patchable]:
        """Return the patches of one client class.

        Args:
            module: The dotted name of the module.
            owner: The client class.
            method: The method that sends a request.
            through: The method of `Pipeline` for it.

        Returns:
            The patch of `method`, and the patch of the method that parses an HTTP response.
        """
        seam = Target(module=module, owner=owner, method=method, reads=("", "options"))
        attempt = Target(module=module, owner=owner, method="_process_response", reads=("*", "response"), optional=True)
        return Patchable(target=seam, seam=self, through=through), Patchable(
            target=attempt, seam=self, through=Pipeline.attempt
        )

    def read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelRequest | None:
        """Read the request. The address names its model, where that decides; else the body does."""
        options = argument(args, kwargs, 1, "options")
        url = options.url
        form = self._by_path[url] if url in self._by_path else self._format(url)
        if form is None or options.method.lower() != "post":
            return None
        if url in self._starts and not _merged(options).get(self._starts[url]):
            return None
        target = self._endpoint(instance, url)
        if target.deployment is not None and url not in self._deployed and hasattr(instance, "_azure_deployment"):
            target = replace(target, deployment=None)  # the SDK leaves the deployment out of this address
        call = form.read_request(self._body(instance, options), _path(target, url))
        return ModelRequest(call=call, endpoint=target, format=form)

    def rewrite(
        self,
        request: ModelRequest,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        model: str | None,
        max_output_tokens: int | None,
    ) -> tuple[ModelRequest, tuple[Any, ...], dict[str, Any]]:
        options, target = argument(args, kwargs, 1, "options"), request.endpoint
        if model is not None and target.deployment is not None and DEPLOYMENT not in options.url:
            raise CannotRewrite("its client is bound to one deployment")
        change = Change(model=model, max_output_tokens=max_output_tokens, provider=target.provider, known=target.known)
        body, url = request.format.rewrite(request.call, options.url, change)
        options = _copy(options)
        _put(options, request.call.body, body)
        options.url = url
        call = request.format.read_request(_merged(options), _path(target, url))
        return replace(request, call=call), *with_argument(args, kwargs, 1, "options", options)

    def with_headers(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], headers: Mapping[str, str]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        options = _copy(argument(args, kwargs, 1, "options"))
        own: dict[str, Any] = dict(options.headers) if isinstance(options.headers, Mapping) else {}
        for name, value in headers.items():
            spelled = next((other for other in own if other.lower() == name.lower()), name)
            before = own.get(spelled)
            own[spelled] = f"{before},{value}" if isinstance(before, str) and before else value
        options.headers = own
        return with_argument(args, kwargs, 1, "options", options)

    def _format(self, url: str) -> Format | None:
        name = match_path(url, self._formats)
        form: Format | None = load(name) if name else None
        if len(self._by_path) < _MAX_CACHED:
            self._by_path[url] = form
            if (field := match_path(url, STARTED)) is not None:
                self._starts[url] = field
        return form

    def _endpoint(self, client: Any, path: str) -> Endpoint:
        if path[:8].lower().startswith(("http://", "https://")):  # the SDK ignores `base_url` for an absolute URL
            return endpoint(path.partition("?")[0], self._provider(client))
        # Keyed by the URL object, which a client keeps: converting it to text takes longer than pricing a call.
        url = client._base_url
        key = (type(client), id(url))
        cached = self._by_client.get(key)
        if cached is not None and cached[0] is url:
            return cached[1]
        address, provider = str(url), self._provider(client)
        if provider == "gcp.vertex_ai":
            address = with_location(address, getattr(client, "region", None))
        result = endpoint(address, provider)
        if len(self._by_client) >= _MAX_CACHED:
            self._by_client.clear()
        self._by_client[key] = (url, result)
        return result

    def _provider(self, client: Any) -> str:
        configured: str = getattr(getattr(client, "_provider_runtime", None), "name", "")
        names = (*(c.__name__ for c in type(client).__mro__), configured)
        return next((self._providers[name] for name in names if name in self._providers), self._default)

    def _body(self, client: Any, options: Any) -> Any:
        """Return the body of the request, with the model that serves it if the SDK puts that into the address."""
        body, extra = _merged(options), options.extra_json
        if extra and "model" in extra and any(c.__name__ in self._addressed for c in type(client).__mro__):
            return {**body, "model": options.json_data.get("model")}
        return body

    def answer_read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AnswerRead | None:
        options = argument(args, kwargs, 1, "options")
        method = options.method.lower()
        if method not in ("get", "post") or (method == "post" and self._by_path.get(options.url) is not None):
            return None  # the call of a model, which could not be read
        return answer_at(options.url, self._endpoint(instance, options.url))

    def batch_read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BatchRead | None:
        options = argument(args, kwargs, 1, "options")
        found = self._batches.find(options.method, options.url)
        if found is None:
            return None
        form, kind, named = found
        target = self._endpoint(instance, options.url)
        if kind != "upload":
            return BatchRead(form, target, kind, named)
        if get(options.json_data, "purpose") != "batch":
            return None
        return BatchRead(form, target, kind, "", partial(_uploaded, options.files))

    def unwrap(self, result: Any) -> Reply:
        kind = self._kinds.get(type(result)) or self._classify(result)
        if kind == "body":
            return Body(result)
        if kind == "stream":
            return EventStream(result)
        return RawResponse(result if kind == "http" else result.http_response)

    def _classify(self, result: Any) -> str:
        kind = type(result)
        if hasattr(kind, "iter_bytes") and hasattr(kind, "raise_for_status"):
            reply = "http"
        elif hasattr(result, "_iterator") and hasattr(result, "response"):
            reply = "stream"
        elif hasattr(kind, "http_response") or "http_response" in getattr(result, "__dict__", {}):
            reply = "raw"
        else:
            reply = "body"
        self._kinds[kind] = reply
        return reply


def _uploaded(files: Any) -> bytes | None:
    """Return the bytes of the one file that a request has sent. A file of the application is read from its start."""
    entries = list(files.items()) if isinstance(files, Mapping) else list(files or ())
    content: Any = entries[0][1] if len(entries) == 1 else None
    if isinstance(content, tuple):
        content = content[1]
    if isinstance(content, (bytes, bytearray)):
        return bytes(content)
    if not hasattr(content, "seek") or not hasattr(content, "read") or getattr(content, "closed", False):
        return None
    at = content.tell()
    content.seek(0)
    try:
        read = content.read()
        return read if isinstance(read, bytes) else None
    finally:
        content.seek(at)


def _path(target: Endpoint, url: str) -> str:
    """Return the path of a request, with the deployment that the address of its client names."""
    if target.deployment is None or DEPLOYMENT in url:
        return url
    return f"{DEPLOYMENT}{target.deployment}{url}"


def _merged(options: Any) -> Any:
    """Return the request body as the SDK sends it: `extra_body` overrides the body that the method built."""
    body, extra = options.json_data, options.extra_json
    return {**body, **extra} if extra and isinstance(body, dict) else body


def _copy(options: Any) -> Any:
    """Return a shallow copy of the options of a request. Their values still belong to the application."""
    return options.model_copy() if hasattr(options, "model_copy") else options.copy()  # pydantic 2, or 1


def _put(options: Any, before: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """Write the fields that differ from `before` to `options`.

    Clients read the model from `json_data` only. A field of `extra_json` overrides that of `json_data`: both are set.
    """
    changed = {name: value for name, value in body.items() if name not in before or before[name] is not value}
    options.json_data = {**options.json_data, **changed}
    if options.extra_json:
        overridden = {name: value for name, value in changed.items() if name in options.extra_json}
        options.extra_json = {**options.extra_json, **overridden}
