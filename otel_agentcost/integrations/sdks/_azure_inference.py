"""Reads the calls of azure-ai-inference, whose arguments are the fields of OpenAI's requests, or their whole body."""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from otel_agentcost.calls.call import ActiveCall
from otel_agentcost.calls.seam import Body, Reply, Watched
from otel_agentcost.integrations.endpoints import DEPLOYMENT, endpoint
from otel_agentcost.integrations.patching import optional_argument, with_argument
from otel_agentcost.integrations.sdks._next_events import watch_next
from otel_agentcost.wire import CannotRewrite, Change, load
from otel_agentcost.wire.fields import parsed
from otel_agentcost.wire.format import ModelRequest

_SETTINGS: Final = (
    "frequency_penalty", "max_tokens", "model", "presence_penalty", "seed", "stop", "temperature", "tools", "top_p",
    "dimensions", "encoding_format",
)  # fmt: skip
"""Fields of a request for which a client can have a value of its own."""


class AzureInferenceSeam:
    """The seam of one method."""

    covers = True
    """Requests inside these calls are theirs."""

    def __init__(self, form: str, path: str) -> None:
        """Create the seam.

        Args:
            form: The name of the wire format.
            path: The path that the method calls.
        """
        self._form = form
        self._path = path

    def read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelRequest | None:
        """Read the request."""
        form, target = load(self._form), endpoint(instance._config.endpoint, "azure.ai.inference")
        path = self._path if target.deployment is None else f"{DEPLOYMENT}{target.deployment}{self._path}"
        body = _plain(_body(instance, args, kwargs))
        return ModelRequest(call=form.read_request(body, path), endpoint=target, format=form)

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
        target, before = request.endpoint, request.call.body
        if model is not None and target.deployment is not None:
            raise CannotRewrite("its client is bound to one deployment")
        change = Change(model=model, max_output_tokens=max_output_tokens, provider=target.provider, known=target.known)
        body, path = request.format.rewrite(request.call, self._path, change)
        changed = {name: value for name, value in body.items() if name not in before or before[name] is not value}
        given = optional_argument(args, kwargs, 0, "body")
        if given is None:
            extras = {name: value for name, value in changed.items() if name not in _SETTINGS}
            known = {name: value for name, value in changed.items() if name in _SETTINGS}
            before_extras = kwargs.get("model_extras")
            kwargs = {**kwargs, **known, **({"model_extras": {**(before_extras or {}), **extras}} if extras else {})}
        elif isinstance(given, Mapping):
            args, kwargs = with_argument(args, kwargs, 0, "body", {**given, **changed})
        else:
            raise CannotRewrite("its body is text or a file already")
        return replace(request, call=request.format.read_request(body, path)), args, kwargs

    def unwrap(self, result: Any) -> Reply:
        """Return what came back: a stream, or a response with every field that the service sent."""
        if hasattr(result, "_bytes_iterator"):
            return Watched(partial(_watch, result))
        return Body(_plain(result))


def _watch(stream: Any, call: ActiveCall) -> None:
    feed = call.feed
    call.feed = lambda event: feed(_plain(event))
    watch_next(stream, call)


def _body(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the body of a request as the SDK puts it together."""
    given: Any = optional_argument(args, kwargs, 0, "body")
    if isinstance(given, (bytes, str)):
        return parsed(given)
    if hasattr(given, "read"):  # a file, which is left at the place where it was
        start = given.tell()
        try:
            return parsed(given.read())
        finally:
            given.seek(start)
    if given is not None:
        return given
    own = {name: getattr(client, f"_{name}", None) for name in _SETTINGS}
    extras = kwargs.get("model_extras") or getattr(client, "_model_extras", None) or {}
    body = {**own, **{name: value for name, value in kwargs.items() if value is not None}, **extras}
    body.pop("model_extras", None)
    return {name: value for name, value in body.items() if value is not None}


def _plain(value: Any) -> Any:
    """Return the JSON of the SDK's objects: they know more fields than they have attributes for."""
    if hasattr(value, "as_dict"):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
