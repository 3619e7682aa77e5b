"""For all tests beside other instrumentations."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _frozen() -> Iterator[None]:
    """Spares the garbage collections that scenes ask for the SDKs' own objects, of which there are a million."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
