"""The tests of this folder make spans of SDKs without the SDKs."""

from __future__ import annotations

import sys

import pytest

from otel_agentcost.integrations.spans.sources import SOURCES


@pytest.fixture(autouse=True)
def without_the_sdks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not loaded them: tests of other folders may have."""
    for source in SOURCES.values():
        monkeypatch.delitem(sys.modules, source.patched, raising=False)
