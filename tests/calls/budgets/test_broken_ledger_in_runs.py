"""A ledger of another distribution that misbehaves does not break the application that reads a run."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

import otel_agentcost
from otel_agentcost import Settings
from otel_agentcost.guard.ledger import Ledger
from otel_agentcost.testing import recording


class _Broken(Ledger):
    shared = True
    blocking = False

    def __init__(self, standing: Any) -> None:
        self._standing = standing

    def reserve(self, *_args: Any, **_kwargs: Any) -> None:
        return None

    def settle(self, *_args: Any, **_kwargs: Any) -> Sequence[Any]:
        return ()

    def release(self, *_args: Any, **_kwargs: Any) -> None:
        return None

    def standing(self, *_args: Any, **_kwargs: Any) -> Any:
        if isinstance(self._standing, Exception):
            raise self._standing
        return self._standing


@pytest.mark.parametrize("standing", [ValueError("broken"), None])
def test_the_rest_of_a_run_needs_no_ledger(standing: Any) -> None:
    """A ledger that raises, or returns no standing, leaves the run to the counts of this process."""
    with recording(settings=Settings(ledger=_Broken(standing))), otel_agentcost.run("work", usd="1") as run:
        assert run.remaining_usd == Decimal(1)
