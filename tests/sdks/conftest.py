"""Keeps collections cheap: most of these tests collect garbage, to see what is left of a dropped stream."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def imported_modules_are_not_collected() -> Iterator[None]:
    """The SDKs come to 200,000 objects: looking through all of them twice a test would take most of the time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
