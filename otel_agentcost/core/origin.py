"""The origin of work at a provider: the call that began it, and whose it is, for a ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from otel_agentcost.core.budgets import Budget
from otel_agentcost.core.call import AttributeValue, Endpoint

__all__ = ["Origin", "written_budget"]


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
    known: bool
    attributes: Mapping[str, AttributeValue]
    """The span attributes of the endpoint."""
    attribution: Mapping[str, str]
    runs: tuple[str, ...]
    """The ids of its runs."""
    span: tuple[int, int]
    """Its trace id and span id."""

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


def written_budget(budget: Budget) -> dict[str, Any]:
    """Return the fields of a budget as JSON has them: `Budget(**fields)` is the same budget."""
    return {
        "scope": budget.scope,
        "name": budget.name,
        "window": budget.window,
        "limits": dict(budget.limits),
        "on_exceed": budget.on_exceed,
    }
