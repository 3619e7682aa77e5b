"""How the address of a client becomes a provider."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from otel_agentcost.core import semconv
from otel_agentcost.core.call import AttributeValue, Endpoint
from otel_agentcost.pricebook.hosts import find_host

_ENDPOINTS: dict[tuple[str, str], Endpoint] = {}
_MOST_ENDPOINTS = 1000


def endpoint(base_url: str, default: str) -> Endpoint:
    """The endpoint at `base_url`; `default` is the provider that the SDK is made for.

    An address that nobody knows (a gateway, a local server) keeps the SDK's own provider.
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
        host, port = parts.hostname or "", parts.port
        port = port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        host, port = "", None
    rule = find_host(host)
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
    )


def match_path(path: str, formats: Mapping[str, str]) -> str | None:
    """Which of `formats` (path endings) `path` ends with, leaving a query aside; None where with none."""
    path = path.partition("?")[0].rstrip("/")
    return next((name for ending, name in formats.items() if path.endswith(ending)), None)
