"""The record of a batch in the ledger: what prices its lines, and charges them to those whose it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from otel_agentcost.core.budgets import Budget, Scope
from otel_agentcost.core.origin import Origin, written_budget

__all__ = ["BatchRecord", "key_of", "name_of_file"]


def key_of(provider: str, batch: str) -> str:
    """Return the key of a batch in the ledger."""
    return f"{provider} {batch}"


def name_of_file(provider: str, file: str) -> str:
    """Return the name that a batch has in the ledger by a file with its results."""
    return f"{provider} file {file.removeprefix('files/')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord(Origin):
    """A batch, and whose it is."""

    id: str
    """Its id at the provider."""
    path: str
    """The path of its requests."""
    models: tuple[str, ...]
    """The models that its requests name, as far as its creation shows them."""
    scopes: Mapping[Scope, str]
    allowances: tuple[tuple[Budget, str], ...]
    """The budgets of its runs and agents."""
    hold: str | None = None
    """The id of its reservation; None if nothing is reserved."""

    def requested(self, served: str | None) -> str | None:
        """Return the model that a line has requested, by the one that served it."""
        if served is None or len(self.models) == 1:
            return self.models[0] if self.models else None
        fitting = [model for model in self.models if served.startswith(model)]
        return max(fitting, key=len, default=served)

    def written(self) -> str:
        """Return the record as the ledger keeps it."""
        fields = asdict(replace(self, allowances=()))
        fields["allowances"] = [[written_budget(budget), value] for budget, value in self.allowances]
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
