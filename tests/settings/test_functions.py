"""Settings that name functions of the application: the embedding and the judge of the semantic cache in shadow."""

from __future__ import annotations

import sys

import pytest

from otel_agentcost.errors import SettingsError
from otel_agentcost.settings import ROWS, Settings
from otel_agentcost.settings import from_environment as load


def embed(_text: str) -> list[float]:
    """An embedding."""
    return [1.0]


def test_a_function_is_read_by_its_name() -> None:
    """It is not imported."""
    settings = load(
        {
            "OTEL_AGENTCOST_CACHE_EMBED": " no_such_app.caches:Vectors.embed ",
            "OTEL_AGENTCOST_CACHE_JUDGE": "no_such_app:same",
        }
    )
    assert settings.cache_embed == "no_such_app.caches:Vectors.embed"
    assert settings.cache_judge == "no_such_app:same"
    assert settings.notices == ()
    assert "no_such_app" not in sys.modules


@pytest.mark.parametrize("written", ["embed", "a.b.embed", "a:b:c", "a b:c", ":embed", "a:", "a..b:c", "5"])
def test_what_names_no_function_is_said(written: str) -> None:
    """The value is quoted, and the sentence says what to write."""
    settings = load({"OTEL_AGENTCOST_CACHE_EMBED": written})
    assert settings.cache_embed is None
    (notice,) = settings.notices
    assert "which names no function: write module:function, such as myapp.caches:embed" in notice


def test_a_function_is_taken_as_it_is() -> None:
    """An argument may be the function itself, and the doctor shows where it is."""
    assert Settings(cache_embed=embed).cache_embed is embed
    (row,) = (row for row in ROWS if row.field == "cache_embed")
    assert row.show is not None
    assert row.show(embed) == f"{__name__}:embed"
    with pytest.raises(SettingsError, match="names no function"):
        Settings(cache_judge="same")


def test_the_shadow_needs_the_exact_cache() -> None:
    """Alone it has no answers to rehearse with."""
    assert load({"OTEL_AGENTCOST_CACHE": "exact, semantic-shadow"}).cache == ("exact", "semantic-shadow")
    settings = load({"OTEL_AGENTCOST_CACHE": "semantic-shadow"})
    (notice,) = settings.notices
    assert "where semantic-shadow needs exact: write exact,semantic-shadow" in notice
