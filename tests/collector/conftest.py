"""One collector with the real prices for all tests that only price spans: it takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collector.pricing_collector import Pricing
from tests.collector.real_collector import SHAPES, needed


@pytest.fixture(scope="session")
def pricing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pricing]:
    """With the committed prices."""
    needed()
    folder: Path = tmp_path_factory.mktemp("pricing")
    running = Pricing(folder, SHAPES / "pricing.yaml")
    yield running
    running.collector.stop()
