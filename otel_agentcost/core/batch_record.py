"""The record of a batch in the ledger: what prices its lines, and charges them to those whose it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from otel_agentcost.core.budgets import Budget, Scope
from otel_agentcost.core.call import AttributeValue, Endpoint

__all__ = ["BatchRecord", "key_of", "name_of_file"]


def key_of(provider: str, batch: str) -> str:
    """Return the key of a batch in the ledger."""
    return f"{provider} {batch}"


def name_of_file(provider: str, file: str) -> str:
    """Return the name that a batch has in the ledger by a file with its results."""
    return f"{provider} file {file.removeprefix('files/')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """A batch, and whose it is."""

    id: str
    """Its id at the provider."""
    format: str
    """The name of the wire format that created it."""
    path: str
    """The path of its requests."""
    models: tuple[str, ...]
    """The models that its requests name, as far as its creation shows them."""
    at: float
    """The time of its creation, in seconds since the epoch."""
    provider: str
    """`gen_ai.provider.name` of the endpoint."""
    said: str
    """The provider that the SDK names."""
    base_url: str
    known: bool
    attributes: Mapping[str, AttributeValue]
    """The span attributes of the endpoint."""
    attribution: Mapping[str, str]
    scopes: Mapping[Scope, str]
    allowances: tuple[tuple[Budget, str], ...]
    """The budgets of its runs and agents."""
    runs: tuple[str, ...]
    """The ids of its runs."""
    span: tuple[int, int]
    """Trace id and span id of the call that created it."""
    hold: str | None = None
    """The id of its reservation; None if nothing is reserved."""

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint that created it."""
        return Endpoint(
            provider=self.provider,
            base_url=self.base_url,
            known=self.known,
            attributes=self.attributes,
            default=self.said if self.said != self.provider else "",
        )

    def requested(self, served: str | None) -> str | None:
        """Return the model that a line has requested, by the one that served it."""
        if served is None or len(self.models) == 1:
            return self.models[0] if self.models else None
        fitting = [model for model in self.models if served.startswith(model)]
        return max(fitting, key=len, default=served)

    def written(self) -> str:
        """Return the record as the ledger keeps it."""
        fields = asdict(replace(self, allowances=()))
        fields["allowances"] = [[_written(budget), value] for budget, value in self.allowances]
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def read(cls, written: str) -> BatchRecord:
        """Return the record that `written` has made.

        Raises:
            ValueError: It is no such record; also a `TypeError` or a `KeyError`.
        """
        fields: dict[str, Any] = json.loads(written)
        allowances = tuple((Budget(**budget), str(value)) for budget, value in fields.pop("allowances"))
        for name in ("models", "runs", "span"):
            fields[name] = tuple(fields[name])
        return cls(**fields, allowances=allowances)


def _written(budget: Budget) -> dict[str, Any]:
    return {
        "scope": budget.scope,
        "name": budget.name,
        "window": budget.window,
        "limits": dict(budget.limits),
        "on_exceed": budget.on_exceed,
    }
