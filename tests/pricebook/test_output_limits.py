"""The longest answers of models."""

from __future__ import annotations

import pytest

from otel_agentcost.pricebook.output_limits import output_limit


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-4o-mini-2024-07-18", 16_384),
        ("openai/GPT-4o", 16_384),
        ("gpt-4.1-nano", 32_768),
        ("gpt-4-0613", 8_192),
        ("gpt-4-turbo-preview", 4_096),
        ("o1-mini", 65_536),
        ("models/gemini-2.5-flash", 65_536),
    ],
)
def test_a_model_is_known_with_its_variants_and_dates(model: str, tokens: int) -> None:
    """The longest beginning that fits counts, in any spelling."""
    assert output_limit(model) == tokens


@pytest.mark.parametrize("model", [None, "", "gpt-5", "o10", "gpt-45", "gpt-4.2", "ft:gpt-4o:acme", "claude-opus-4-1"])
def test_nothing_is_assumed_of_a_model_that_is_not_known(model: str | None) -> None:
    """Another model whose name only begins alike may answer longer."""
    assert output_limit(model) is None
