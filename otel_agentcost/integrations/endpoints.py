"""Find the provider of a client's address, and the wire format of a request's path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from otel_agentcost.calls.seam import AnswerRead
from otel_agentcost.core import semconv
from otel_agentcost.core.call import AttributeValue, Endpoint
from otel_agentcost.pricebook.hosts import find_host
from otel_agentcost.wire import Format, load
from otel_agentcost.wire.batch_api import Reading

_ENDPOINTS: dict[tuple[str, str], Endpoint] = {}
_MOST_ENDPOINTS = 1000

DEPLOYMENT = "/deployments/"
"""The part of an Azure address that names the deployment: Azure then ignores the model in the body."""


def endpoint(base_url: str, default: str) -> Endpoint:
    """Return the endpoint of a client. Results are cached.

    Args:
        base_url: The address that the client sends its requests to.
        default: The provider that the SDK is made for, as `gen_ai.provider.name`. It is used for an unknown address,
            such as a gateway or a local server.
    """
    key = (base_url, default)
    known = _ENDPOINTS.get(key)
    if known is None:
        known = _endpoint(base_url, default)
        if len(_ENDPOINTS) < _MOST_ENDPOINTS:
            _ENDPOINTS[key] = known
    return known


def _endpoint(base_url: str, default: str) -> Endpoint:
    try:
        parts = urlsplit(base_url)
        host, port, path = parts.hostname or "", parts.port, parts.path
        port = port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        host, port, path = "", None, ""
    rule = find_host(host, path)
    provider = default if rule is None else rule.provider
    attributes: dict[str, AttributeValue] = {semconv.PROVIDER: provider}
    if host:
        attributes[semconv.SERVER_ADDRESS] = host
        if port is not None:
            attributes[semconv.SERVER_PORT] = port
    return Endpoint(
        provider=provider,
        base_url=base_url,
        known=rule is not None and not rule.gateway,
        attributes=attributes,
        deployment=_deployment(path),
    )


def with_location(base_url: str, location: object) -> str:
    """Return the address of a Vertex AI client with its location, which sets the price.

    Args:
        base_url: The address. That of a gateway does not name the location, and that of Google may not.
        location: The location of the client: `us-east5`, `eu`, `global`; None if it has none.
    """
    if not isinstance(location, str) or not location or "/locations/" in base_url:
        return base_url
    return f"{base_url.rstrip('/')}/locations/{location}"


def _deployment(path: str) -> str | None:
    """Return the Azure deployment in a path, also behind Cloudflare (`/azure-openai/RESOURCE/DEPLOYMENT`)."""
    _, _, behind_cloudflare = path.partition("/azure-openai/")
    after = behind_cloudflare.partition("/")[2] or path.partition(DEPLOYMENT)[2]
    return after.partition("/")[0] or None


def match_path(path: str, formats: Mapping[str, str]) -> str | None:
    """Return the wire format of `path`.

    Args:
        path: A path or URL; its query string is ignored.
        formats: Names of wire formats by path ending. `*` in an ending stands for one segment.

    Returns:
        The format of the first matching ending; None if no ending matches.
    """
    path = path.partition("?")[0].rstrip("/")
    return next((name for ending, name in formats.items() if _ends(path, ending)), None)


def _ends(path: str, ending: str) -> bool:
    head, wildcard, tail = ending.partition("*")
    if not wildcard:
        return path.endswith(ending)
    return path.endswith(tail) and f"{path[: len(path) - len(tail)].rpartition('/')[0]}/".endswith(head)


_VERBS: Final = ("cancel", "submit_tool_outputs", "archive")
"""Last segments of paths that act on an answer or a session, and return it."""


_ANSWERS: Final[Mapping[str, str]] = {
    "/responses/*": "openai_responses",
    "/runs/*": "openai_runs",
    "/chat/deferred-completion/*": "openai_chat",
    "/interactions/*": "gemini_interactions",
    "/v1/sessions/*": "anthropic_sessions",
}
"""The wire formats of answers that are retrieved, by path ending."""


def answer_at(path: str, target: Endpoint) -> AnswerRead:
    """Return which answer a request may retrieve, cancel or go on with.

    Args:
        path: Its path or URL.
        target: The endpoint that it is sent to.
    """
    place = path.partition("?")[0].rstrip("/")
    before, _, last = place.rpartition("/")
    if last in _VERBS:
        place, last = before, before.rpartition("/")[2]
    name = "xai_media" if target.said == "x_ai" and _ends(place, "/videos/*") else match_path(place, _ANSWERS)
    return AnswerRead(last, target, load(name) if name is not None else None)


_SESSION: Final = re.compile(r"/v1/sessions(?:/[^/]+)?$")


def session_format_at(path: str) -> Format | None:
    """Return the wire format of the session of Anthropic's that a request creates, reads or changes, by its path."""
    place = path.partition("?")[0].rstrip("/").removesuffix("/archive")
    return load("anthropic_sessions") if _SESSION.search(place) is not None else None


class BatchPaths:
    """Finds the requests of an SDK that read batches and their results."""

    def __init__(self, formats: Mapping[str, str]) -> None:
        """Create the object. `formats` has the names of wire formats by path ending."""
        self._names = tuple(dict.fromkeys(name for name in formats.values() if name.endswith("batches")))
        self._rows: tuple[tuple[str, Reading, Format], ...] | None = None

    def find(self, method: str, path: str) -> tuple[Format, Reading, str] | None:
        """Return the format, what is read, and the id in the path; None for any other request.

        Args:
            method: The method of HTTP.
            path: A path or URL; its query string is ignored.
        """
        path = path.partition("?")[0].rstrip("/")
        verb = method.upper()
        for ending, kind, form in self._table():
            posts = kind == "upload" or ending.endswith("cancel")
            if verb == ("POST" if posts else "GET") and _ends(path, ending):
                tail = ending.partition("*")[2]
                return form, kind, path[: len(path) - len(tail)].rpartition("/")[2]
        return None

    def _table(self) -> tuple[tuple[str, Reading, Format], ...]:
        if self._rows is None:
            forms = [load(name) for name in self._names]
            rows = [(*row, form) for form in forms if form.batches is not None for row in form.batches.reads.items()]
            self._rows = tuple(sorted(rows, key=lambda row: -len(row[0])))
        return self._rows
