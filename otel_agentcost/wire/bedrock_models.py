"""The names of models in Amazon Bedrock's requests, and what its responses say beside the usage of a model.

A model is named by its id (`anthropic.claude-...`), by an inference profile (`us.anthropic.claude-...`), or by the ARN
of either. The ARN of anything else (an application's inference profile, a prompt, provisioned capacity) does not name
its model: such a call has no price but that of a price file with this ARN.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote

from otel_agentcost.wire.fields import get, text

__all__ = [
    "GUARDRAIL",
    "Terms",
    "in_path",
    "is_stream",
    "plain_name",
    "prepaid",
    "served_terms",
    "terms_in",
    "with_model",
]

Terms = tuple[tuple[str, str], ...]

_NAMING: Final = frozenset({"foundation-model", "inference-profile"})
"""Kinds of resources whose ARN ends with the id of a model or of a profile of AWS:
https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html"""
_PREPAID: Final = {
    "provisioned-model": "the tokens were served from capacity paid in advance (provisioned throughput)",
    "custom-model": "the tokens were served from capacity paid in advance (provisioned throughput)",
    "imported-model": "an imported model is billed by the minute that it runs",
    "endpoint": "an endpoint of SageMaker is billed by the hour that it runs",
}
"""Kinds of resources that are not billed by the token: https://aws.amazon.com/bedrock/pricing/"""
GUARDRAIL: Final = "the guardrail (by the text unit)"
"""The name of a guardrail, which is billed beside the tokens."""


def in_path(path: str) -> str:
    """Return the id or the ARN of the model in a path (`/model/NAME/converse`); empty if the path has none."""
    return unquote(path.partition("/model/")[2].partition("/")[0])


def is_stream(path: str) -> bool:
    """Return whether the path is that of a streamed operation."""
    return path.endswith("-stream")


def with_model(path: str, name: str) -> str:
    """Return the path with another model, whose name is escaped already."""
    before, separator, after = path.partition("/model/")
    return f"{before}{separator}{name}{after[len(after.partition('/')[0]) :]}" if separator else path


def plain_name(name: str) -> str:
    """Return the id that an ARN ends with, or `name` itself if it does not name a model."""
    kind, _, resource = _resource(name).partition("/")
    return resource if kind in _NAMING and resource else name


def prepaid(name: str) -> str | None:
    """Return why calls of the resource with this ARN are not billed by the token; None if they are."""
    return _PREPAID.get(_resource(name).partition("/")[0])


def _resource(arn: str) -> str:
    return arn.split(":", 5)[5] if arn.startswith("arn:") and arn.count(":") >= 5 else ""


def served_terms(tier: Any, latency: Any) -> Terms:
    """Return the terms that set the price: the service tier, and optimized latency.

    Args:
        tier: The tier that served the call, or that it requests: `default`, `flex`, `priority` or `reserved`.
        latency: `standard` or `optimized`.
    """
    terms: list[tuple[str, str]] = []
    if isinstance(tier, str) and tier not in ("", "default"):
        terms.append(("service_tier", tier))
    if latency == "optimized":
        terms.append(("speed", "optimized"))
    return tuple(terms)


def terms_in(value: Any) -> Terms:
    """Return the terms in a request or a response of the Converse API."""
    return served_terms(text(get(value, "serviceTier"), "type"), text(get(value, "performanceConfig"), "latency"))
