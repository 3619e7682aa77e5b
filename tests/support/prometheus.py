"""A real Prometheus for tests, Debian's or any other on the path; without one, tests say that they were left out."""

from __future__ import annotations

import pytest

from grafana.preview.prometheus import Client, Prometheus, Refused, Series, missing

__all__ = ["Client", "Prometheus", "Refused", "Series", "missing", "needed"]


def needed() -> None:
    """Skips the test, and says why, where no Prometheus can be run."""
    if reason := missing():
        pytest.skip(reason)
