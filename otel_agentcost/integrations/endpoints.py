"""How the address of a client becomes a provider."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from otel_agentcost.core import semconv
from otel_agentcost.core.call import AttributeValue, Endpoint

# Where the address tells the provider, by the end of the host name; the conventions' names, where they have one.
_HOSTS: tuple[tuple[str, str], ...] = (
    ("api.openai.com", "openai"),
    ("openai.azure.com", "azure.ai.openai"),
    ("cognitiveservices.azure.com", "azure.ai.openai"),
    ("azure-api.net", "azure.ai.openai"),
    ("services.ai.azure.com", "azure.ai.inference"),
    ("models.inference.ai.azure.com", "azure.ai.inference"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.mistral.ai", "mistral_ai"),
    ("api.x.ai", "x_ai"),
    ("api.perplexity.ai", "perplexity"),
    ("api.moonshot.ai", "moonshot_ai"),
    ("api.moonshot.cn", "moonshot_ai"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("openrouter.ai", "openrouter"),
    ("api.together.xyz", "together"),
    ("api.together.ai", "together"),
    ("api.fireworks.ai", "fireworks"),
    ("api.cerebras.ai", "cerebras"),
    ("ml.cloud.ibm.com", "ibm.watsonx.ai"),
)

_GATEWAYS = (".azure-api.net",)
"""Hosts of a provider's that are gateways: what they say of the price is believed."""

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
    told = next((name for end, name in _HOSTS if host == end or host.endswith("." + end)), None)
    if host.startswith("bedrock") and host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        told = "aws.bedrock"  # other hosts there are load balancers and gateways, in front of anything
    provider = told or default
    attributes: dict[str, AttributeValue] = {semconv.PROVIDER: provider}
    if host:
        attributes[semconv.SERVER_ADDRESS] = host
        if port is not None:
            attributes[semconv.SERVER_PORT] = port
    return Endpoint(
        provider=provider,
        base_url=base_url,
        known=told is not None and not host.endswith(_GATEWAYS),
        attributes=attributes,
    )


def match_path(path: str, formats: Mapping[str, str]) -> str | None:
    """Which of `formats` (path endings) `path` ends with, leaving a query aside; None where with none."""
    path = path.partition("?")[0].rstrip("/")
    return next((name for ending, name in formats.items() if path.endswith(ending)), None)
