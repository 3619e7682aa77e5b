"""How alike two texts are, with the library for it and without."""

from __future__ import annotations

import sys

import pytest

from otel_agentcost import similarity


@pytest.mark.parametrize("alike", [similarity.function(), similarity.by_difflib], ids=["rapidfuzz", "difflib"])
def test_both_agree_about_what_matters(alike: similarity.Similarity) -> None:
    """The same text is 1, another one is near 0, and a few changed letters are in between."""
    assert alike("the latest report", "the latest report") == 1
    assert alike("the latest report", "xkjwq") < 0.3
    assert 0.75 < alike("cache invoice latest parser", "cache invoices latest parser") < 1


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rapidfuzz is not installed, the standard library does it."""
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    similarity.function.cache_clear()
    assert similarity.function() is similarity.by_difflib
    similarity.function.cache_clear()
