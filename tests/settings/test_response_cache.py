"""Settings of cached answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_agentcost.settings import Settings, from_environment
from tests.settings.test_budgets import variables
from tests.settings.test_settings import load, problem


def test_each_setting_is_read() -> None:
    """Each variable lands in its field, parsed."""
    settings = load(
        variables(
            CACHE="Exact",
            CACHE_TTL="15m",
            CACHE_BYTES="1 GiB",
            CACHE_VERSION="7",
            CACHE_SAMPLING="Unset",
            CACHE_TOOL_CALLS="yes",
            CACHE_ONLY="triage, summary",
        )
    )
    assert settings.cache == ("exact",)
    assert (settings.cache_ttl, settings.cache_bytes, settings.cache_version) == (900, 1 << 30, "7")
    assert (settings.cache_sampling, settings.cache_tool_calls) == ("unset", True)
    assert settings.cache_only == {"triage", "summary"}
    assert settings.notices == ()


def test_off_is_off_in_a_file_too(tmp_path: Path) -> None:
    """YAML reads `off` as false."""
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"cache": False}), encoding="utf-8")
    assert load({"OTEL_AGENTCOST_CONFIG": str(file)}).cache == ()
    assert load(variables(CACHE="off")).cache == ()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CACHE", "exakt", "where 'exakt' is neither off nor exact nor semantic-shadow; did you mean exact?"),
        ("CACHE_TTL", "soon", "which is not a time of at most a year: write seconds, or for example 15m, 1h or 7d"),
        ("CACHE_TTL", "0", "which is not a time"),
        ("CACHE_BYTES", "12", "which is not a size of at least 64k"),
        ("CACHE_SAMPLING", "some", "which is none of deterministic, unset and any"),
        ("CACHE_ONLY", "a,?", "where '?' is no name"),
    ],
)
def test_what_is_unclear_is_quoted(name: str, value: str, said: str) -> None:
    """With what to write."""
    assert said in problem({f"OTEL_AGENTCOST_{name}": value})


def test_names_that_are_none_name_nobody() -> None:
    """Where no name can be understood, no answers are cached: an empty list would mean those of everybody."""
    assert Settings().cache_only == frozenset()
    assert from_environment({"OTEL_AGENTCOST_CACHE_ONLY": "?"}).cache_only == {""}
    assert from_environment({"OTEL_AGENTCOST_CACHE_ONLY": "triage,?"}).cache_only == {"triage"}
