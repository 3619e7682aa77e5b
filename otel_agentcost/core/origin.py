"""The origin of work at a provider: the call that began it, and whose it is, for a ledger."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from otel_agentcost.core.budgets import Budget
from otel_agentcost.core.call import AttributeValue, Endpoint

__all__ = ["Origin", "without_secrets", "written_budget"]

_USER = re.compile(r"^([^/?#]*//)?[^/?#]*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The call that began the work."""

    format: str
    """The name of its wire format."""
    at: float
    """Its time, in seconds since the epoch."""
    provider: str
    """`gen_ai.provider.name` of the endpoint."""
    said: str
    """The provider that the SDK names."""
    base_url: str
    """Its address, without what may be secret (`without_secrets`)."""
    known: bool
    attributes: Mapping[str, AttributeValue]
    """The span attributes of the endpoint."""
    attribution: Mapping[str, str]
    runs: tuple[str, ...]
    """The ids of its runs."""
    span: tuple[int, int]
    """Its trace id and span id."""

    def __post_init__(self) -> None:
        """Drop the secrets of the address: a ledger keeps this for weeks."""
        object.__setattr__(self, "base_url", without_secrets(self.base_url))

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint that the call was sent to."""
        return Endpoint(
            provider=self.provider,
            base_url=self.base_url,
            known=self.known,
            attributes=self.attributes,
            default=self.said if self.said != self.provider else "",
        )


def without_secrets(base_url: str) -> str:
    """Return an address without its user, password and query. Its path stays: prices may depend on it."""
    return _USER.sub(r"\1", re.split(r"[?#]", base_url, maxsplit=1)[0])


def written_budget(budget: Budget) -> dict[str, Any]:
    """Return the fields of a budget as JSON has them: `Budget(**fields)` is the same budget."""
    return {
        "scope": budget.scope,
        "name": budget.name,
        "window": budget.window,
        "limits": dict(budget.limits),
        "on_exceed": budget.on_exceed,
    }
