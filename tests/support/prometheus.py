"""A real Prometheus for tests: the one on the path. Without one, the tests that need it are skipped with a reason."""

from __future__ import annotations

import pytest

from grafana.preview.prometheus import Client, Prometheus, QueryError, Series, missing_programs

__all__ = ["Client", "Prometheus", "QueryError", "Series", "needed"]


def needed() -> None:
    """Skip the test with a reason if no Prometheus can be run."""
    if reason := missing_programs():
        pytest.skip(reason)
