"""How alike two texts are, with the library for it and without."""

from __future__ import annotations

import sys

import pytest

from otel_agentcost.calls import text_similarity


@pytest.mark.parametrize(
    "alike", [text_similarity.function(), text_similarity.by_difflib], ids=["rapidfuzz", "difflib"]
)
def test_both_agree_about_what_matters(alike: text_similarity.Similarity) -> None:
    """The same text is 1, another one is near 0, and a few changed letters are in between."""
    assert alike("the latest report", "the latest report") == 1
    assert alike("the latest report", "xkjwq") < 0.3
    assert 0.75 < alike("cache invoice latest parser", "cache invoices latest parser") < 1


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rapidfuzz is not installed, the standard library does it."""
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    text_similarity.function.cache_clear()
    assert text_similarity.function() is text_similarity.by_difflib
    text_similarity.function.cache_clear()
