"""A row of a price file that cannot be understood turns off its own models, and nothing else."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook import open_book
from tests.pricebook.test_overrides import MILLION, NOW, usd

BAD_ROWS = """
providers:
  openai:
    models:
      gpt-4o: {input_mtok: two dollars}
      gpt-4o-mini: {input_mtok: 1, output_mtok: 1}
      o3*: {imput_mtok: 1}
      same: free
      same: {input_mtok: 1}
    uplifts:
      - {address: "https://eu.acme.example", models: gpt-4o-mini, factor: much}
  mistral: {like: nosuch, models: {mistral-large-latest: {input_mtok: 1, output_mtok: 1}}}
  acme: {base_url: "https://llm.acme.example", moddels: {}, models: {acme-large: {input_mtok: 3}, "*": free}}
  groq: [gpt-oss]
models:
  house: {input_mtok: 7, output_mtok: 7}
  other: {alias: gpt-99}
"""


@pytest.mark.parametrize(
    ("model", "provider", "expected"),
    [
        ("gpt-4o", "openai", "model openai/gpt-4o: input_mtok is 'two dollars', which is not an amount of dollars"),
        ("gpt-4o-2024-08-06", "openai", "model openai/gpt-4o: "),
        ("o3-2025-04-16", "openai", "model openai/o3*: 'imput_mtok' is not a price key"),
        ("same", "openai", "model openai/same is written twice in one place (line 9)"),
        ("gpt-4o-mini", "openai", 2),
        ("gpt-4o", "azure", 12.5),
        ("gpt-4.1", "openai", 10),
        ("mistral-large-latest", "mistral", 2),
        ("mistral-small-latest", "mistral", "provider mistral is like 'nosuch'"),
        ("acme-large", "acme", 3),
        ("acme-small", "acme", 0),
        ("openai/gpt-oss-120b", "groq", "provider groq is ['gpt-oss'], which is not a mapping"),
        ("house", "openai", 14),
        ("other", "anthropic", "model other is an alias for 'gpt-99', which the price book does not have"),
        ("claude-sonnet-4-5", "anthropic", 28.5),
    ],
)
def test_a_bad_row_never_turns_off_another_and_never_gets_the_public_price(
    tmp_path: Path, model: str, provider: str, expected: float | str
) -> None:
    """The models that it names are unpriced, with the row as the reason; all others have the price they should have."""
    file = tmp_path / "prices.yaml"
    file.write_text(BAD_ROWS, encoding="utf-8")
    usage = Usage(counts={"input_tokens": 10**6, "output_tokens": 10**6 if model != "acme-large" else 0})
    cost = open_book(file).price(usage, provider=provider, base_url=None, models=(model,), at=NOW)
    if isinstance(expected, str):
        assert cost.usd is None
        assert (cost.unpriced or "").startswith(expected)
        assert (cost.unpriced or "").endswith("; correct it in prices.yaml")
    else:
        assert (cost.usd, cost.unpriced) == (Decimal(str(expected)), None)


def test_a_bad_uplift_makes_no_more_calls_unpriced_than_it_concerns(tmp_path: Path) -> None:
    """Its address and its models are read, though its factor is not."""
    file = tmp_path / "prices.yaml"
    file.write_text(BAD_ROWS.replace("openai:", "openai:\n    base_url: 'https://eu.acme.example'"), encoding="utf-8")
    book = open_book(file)
    there = book.price(
        MILLION, provider="openai", base_url="https://eu.acme.example/v1", models=("gpt-4o-mini",), at=NOW
    )
    assert (there.usd, "factor of an uplift is 'much'" in (there.unpriced or "")) == (None, True)
    assert usd(book, "gpt-4.1", base_url="https://eu.acme.example/v1") == 10
    assert usd(book, "gpt-4o-mini", base_url="https://api.openai.com/v1") == 2


def test_a_bad_base_url_never_gives_calls_to_it_an_assumed_price(tmp_path: Path) -> None:
    """A call to an unknown address may be one to the provider whose address cannot be read."""
    file = tmp_path / "prices.yaml"
    file.write_text("providers: {acme: {base_url: [{}, 'https://a.example'], models: {m: free}}}", encoding="utf-8")
    book = open_book(file)
    assert usd(book, "m", base_url="https://a.example/v1") == 0
    assert usd(book, "gpt-4o", provider="openai", base_url="https://b.example/v1") is None
    assert usd(book, "gpt-4o", provider="openai", base_url="https://api.openai.com/v1") == Decimal("12.5")


@pytest.mark.parametrize("part", ["model: {x: free}", "providers: [x]", "book: nowhere.jsonl"])
def test_a_part_without_readable_names_leaves_the_readable_rows(tmp_path: Path, part: str) -> None:
    """Every price of the book has a doubt then, as any model may be meant; the rows of the file have none."""
    file = tmp_path / "prices.yaml"
    file.write_text(f"{part}\nmodels: {{house: {{input_mtok: 7, output_mtok: 7}}}}", encoding="utf-8")
    book = open_book(file)
    for model, dollars in (("house", Decimal(14)), ("gpt-4o", Decimal("12.5"))):
        cost = book.price(MILLION, provider="openai", base_url=None, models=(model,), at=NOW)
        assert (cost.usd, cost.unpriced is None) == (dollars, model == "house")
