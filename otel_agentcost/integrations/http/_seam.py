"""The seam that the HTTP clients share: it reads a request from its address and its body.

A body is read where it is at hand. One that can only be read once (a generator, a file) is left alone: the response
then says what the call was.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final, NamedTuple, cast
from urllib.parse import unquote, urlsplit

from otel_agentcost.calls.seam import AnswerRead, BatchRead, HttpReply, SessionRead
from otel_agentcost.core import semconv
from otel_agentcost.core.call import Endpoint
from otel_agentcost.integrations.endpoints import DEPLOYMENT, BatchPaths, answer_at, endpoint, session_format_at
from otel_agentcost.integrations.http._addresses import SESSIONS_OF, Addresses, Place
from otel_agentcost.integrations.http._multipart import fields_in
from otel_agentcost.wire import CannotRewrite, Change, load
from otel_agentcost.wire.billed_later import STARTED
from otel_agentcost.wire.fields import get, parsed
from otel_agentcost.wire.format import ModelRequest

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""The positional and the keyword arguments of a client's method. The first is the object that has the method."""

LARGEST_BODY: Final = 32 * 1024 * 1024
"""Bytes. The body of a larger request is not read; no provider takes a larger one in JSON."""

_WITHOUT_MODEL: Final = frozenset(
    {
        "anthropic_batches",
        "anthropic_sessions",
        "billed_later",
        "gemini_batches",
        "gemini_interactions",
        "mistral_batches",
        "no_reader",
        "openai_batches",
        "openai_runs",
        "videos",
    }
)
"""Formats whose requests need not name a model."""


class Outgoing(NamedTuple):
    """A request that is about to be sent."""

    method: str
    url: str
    headers: Mapping[str, Any]
    """The headers, by names in any case."""
    content: Any
    """The body: bytes, text, or the object that the client writes as JSON. None if it can only be read once."""
    fields: Mapping[str, Any] | None = None
    """The text fields of a multipart body, if the client keeps them apart."""


class HttpSeam(ABC):
    """Reads the requests of one HTTP client."""

    def __init__(self, addresses: Addresses) -> None:
        """Create the seam. `addresses` finds the provider and the format of a request."""
        self._addresses = addresses

    @abstractmethod
    def outgoing(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outgoing:
        """Return the request that a call of the patched method sends."""

    @abstractmethod
    def resent(self, args: tuple[Any, ...], kwargs: dict[str, Any], url: str, body: dict[str, Any]) -> Arguments:
        """Return the arguments with another address and another JSON body. The client's objects stay unchanged."""

    @abstractmethod
    def unwrap(self, result: Any) -> HttpReply:
        """Return what came back."""

    def read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelRequest | None:
        """Return the model call that a request makes; None if it makes none."""
        del instance  # the first of the arguments
        sent = self.outgoing(args, kwargs)
        place = self._addresses.place(sent.url) if sent.method.upper() == "POST" else None
        if place is None:
            return None
        body = _body(sent)
        form = load(place.format).of(body)
        field = STARTED.get(place.ending) if place.format in ("billed_later", "anthropic_sessions") else None
        if field is not None and get(body, field) is None:
            return None
        target = _endpoint(place)
        call = form.read_request(body, unquote(_path(sent.url, place, target)))
        if call.model is None and body is not None and place.format not in _WITHOUT_MODEL:
            return None  # a path that looks like a model's: every request to a model names one
        return ModelRequest(call=call._replace(body=body) if call.body is None else call, endpoint=target, format=form)

    def batch_read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BatchRead | None:
        """Return what a request reads of a batch; None for other requests, and for uploads."""
        del instance
        sent = self.outgoing(args, kwargs)
        place = self._addresses.anywhere(sent.url)
        found = _batches(place.provider).find(sent.method, place.ending) if place is not None else None
        if place is None or found is None or found[1] == "upload":
            return None
        form, kind, named = found
        return BatchRead(form, _endpoint(place), kind, named)

    def answer_read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AnswerRead | None:
        """Return which answer a request may retrieve, cancel or go on with."""
        del instance
        place = self._addresses.anywhere(self.outgoing(args, kwargs).url)
        return answer_at(place.ending, _endpoint(place)) if place is not None else None

    def session_read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> SessionRead | None:
        """Return the session that a request creates or reads; None for other requests."""
        del instance
        place = self._addresses.anywhere(self.outgoing(args, kwargs).url)
        form = session_format_at(place.ending) if place is not None and place.provider == SESSIONS_OF else None
        return SessionRead(form, _endpoint(place)) if place is not None and form is not None else None

    def rewrite(
        self,
        request: ModelRequest,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        model: str | None,
        max_output_tokens: int | None,
    ) -> tuple[ModelRequest, tuple[Any, ...], dict[str, Any]]:
        """Return the same request for another model, or with a lower output limit."""
        sent = self.outgoing(args, kwargs)
        place = self._addresses.place(sent.url)
        if place is None or sent.fields is not None or not isinstance(request.call.body, dict):
            raise CannotRewrite("its body is no JSON object")
        if _is_signed(sent.headers):
            raise CannotRewrite("it is signed")
        target = request.endpoint
        path = _path(sent.url, place, target)
        change = Change(model=model, max_output_tokens=max_output_tokens, provider=target.provider, known=target.known)
        body, new_path = request.format.rewrite(request.call, path, change)
        call = request.format.read_request(body, new_path)
        own_path = urlsplit(sent.url).path
        if (model is not None and call.model != model) or path not in (new_path, own_path):
            raise CannotRewrite("its address names the model")
        url = sent.url.replace(path, new_path, 1) if new_path != path else sent.url
        return replace(request, call=call), *self.resent(args, kwargs, url, body)


@cache
def _batches(provider: str) -> BatchPaths:
    """Return the paths of a provider's batches. Other providers have taken over those of OpenAI."""
    name = {"anthropic": "anthropic_batches", "mistral_ai": "mistral_batches"}.get(provider, "openai_batches")
    return BatchPaths({"": "gemini_batches" if provider in ("gcp.gemini", "gcp.vertex_ai") else name})


def _endpoint(place: Place) -> Endpoint:
    found = endpoint(place.base_url, place.provider)
    if found.provider == place.provider:
        return found
    # The setting `hosts` gives the address of a known provider to another one.
    attributes = {**found.attributes, semconv.PROVIDER: place.provider}
    return replace(found, provider=place.provider, known=False, attributes=attributes)


def _path(url: str, place: Place, target: Endpoint) -> str:
    """Return the path that the wire format reads, with the deployment that the address names elsewhere."""
    path = urlsplit(url).path
    if target.deployment is None or DEPLOYMENT in path:
        return path
    return f"{DEPLOYMENT}{target.deployment}{place.ending}"


def _body(sent: Outgoing) -> dict[str, Any] | None:
    """Return the JSON object or the text fields of a body; None if it has none, or can only be read once."""
    content = sent.content
    if sent.fields is not None:
        content = dict(sent.fields)
    elif isinstance(content, (bytes, bytearray, str)):
        if len(content) > LARGEST_BODY:
            return None
        kind = _header(sent.headers, "content-type")
        content = (
            fields_in(content, kind)
            if kind.lower().startswith("multipart/")
            else parsed(content if isinstance(content, str) else bytes(content))
        )
    return cast("dict[str, Any]", content) if isinstance(content, dict) else None


def _header(headers: Mapping[str, Any], name: str) -> str:
    found = next((value for key, value in headers.items() if _text(key).lower() == name), "")
    return _text(found)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _is_signed(headers: Mapping[str, Any]) -> bool:
    """Return True if the headers have a signature of the body, as those for AWS do."""
    return _header(headers, "authorization").startswith("AWS4-") or "x-amz-content-sha256" in map(str.lower, headers)


def as_json(body: dict[str, Any]) -> bytes:
    """Return a changed body as it is sent."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
