"""Where a call was served sets its price: uplifts of the data and of a user's file, and places without a known price.

Each expected number stands beside the prices it is made of: dollars per million tokens, 1,000 in and 100 out.
"""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook import PriceBook, open_book
from otel_agentcost.pricebook.data_files import read_table

AT = datetime(2026, 11, 20, tzinfo=timezone.utc).timestamp()
USAGE = Usage(counts={"input_tokens": 1000, "output_tokens": 100})
BOOK = open_book()
EU = "https://eu.api.openai.com/v1"
IOWA = "https://us-central1-aiplatform.googleapis.com/v1"


def price(provider: str, url: str | None, model: str, book: PriceBook = BOOK, at: float = AT, **more: Any) -> Cost:
    usage, terms = more.get("usage", USAGE), more.get("terms", ())
    return book.price(usage, provider=provider, base_url=url, models=(model,), at=at, terms=terms)


@pytest.mark.parametrize("region", ["us", "eu", "ae", "au", "in", "jp", "EU"])
def test_data_residency_is_not_priced_as_standard(region: str) -> None:
    """GPT-5.4 at a regional host of OpenAI: (1000 x 2.5 + 100 x 15) e-6 x 1.1."""
    cost = price("openai", f"https://{region}.api.openai.com/v1", "gpt-5.4-2026-03-05")
    assert cost.usd == Decimal("0.0044")
    assert (cost.input_usd, cost.output_usd) == (Decimal("0.00275"), Decimal("0.00165"))
    assert price("openai", "https://api.openai.com/v1", "gpt-5.4-2026-03-05").usd == Decimal("0.004")


@pytest.mark.parametrize(
    "model",
    [
        "gpt-5.4-mini",
        "gpt-5.4-pro",
        "gpt-5.5",
        "gpt-5.6-sol",
        "gpt-6-sol",
        "gpt-6.1-terra",
        "gpt-image-2",
        "chat-latest",
    ],
)
def test_newer_models_have_the_uplift(model: str) -> None:
    """All that OpenAI released on or after 2026-03-05, later ones too: nothing has to be added for a new model."""
    plain = price("openai", "https://api.openai.com/v1", model).usd
    assert plain
    assert price("openai", EU, model).usd == plain * Decimal("1.1")


@pytest.mark.parametrize(
    "model",
    ["gpt-4o", "gpt-4.1-mini", "gpt-5", "gpt-5-mini", "gpt-5.1-codex", "gpt-5.2-pro", "gpt-5.3-codex", "o3", "o4-mini",
     "gpt-3.5-turbo", "text-embedding-3-small", "gpt-image-1", "gpt-4o-mini-tts", "gpt-audio"],
)  # fmt: skip
def test_older_models_do_not_have_the_uplift(model: str) -> None:
    """The uplift is for models from 2026-03-05 on; before, a region cost nothing more."""
    plain = price("openai", "https://api.openai.com/v1", model)
    assert price("openai", EU, model) == plain


def test_an_uplift_multiplies_the_tier_and_no_search() -> None:
    """Priority, batch, long prompts and cached tokens are multiplied as they are; a web search costs $0.01 as ever."""
    usage = USAGE + Usage(counts={"cache_read_tokens": 300_000, "web_searches": 1})
    for terms in ((), (("service_tier", "flex"),), (("processing", "batch"),)):
        plain = price("openai", None, "gpt-5.4", usage=usage, terms=terms)
        eu = price("openai", EU, "gpt-5.4", usage=usage, terms=terms)
        assert plain.usd
        assert eu.usd == (plain.usd - plain.tool_usd) * Decimal("1.1") + plain.tool_usd
        assert eu.usd == eu.input_usd + eu.output_usd + eu.cache_read_usd + eu.cache_write_usd + eu.tool_usd
        assert (eu.tool_usd, eu.cache_savings_usd) == (plain.tool_usd, plain.cache_savings_usd * Decimal("1.1"))


GLOBAL = "https://aiplatform.googleapis.com/v1"
PLACES = [
    IOWA,
    "https://europe-west1-aiplatform.googleapis.com",
    "https://europe-west1-aiplatform.mtls.googleapis.com",
    "https://aiplatform.eu.rep.googleapis.com/v1",
    "https://aiplatform.us.rep.googleapis.com/",
    "https://aiplatform.googleapis.com/v1/projects/p/locations/us-east5/endpoints/openapi",
    "http://localhost:4000/vertex/locations/us-east5",
]


@pytest.mark.parametrize("url", PLACES)
def test_a_region_of_vertex_is_not_priced_as_global(url: str) -> None:
    """Claude since 4.5, and the Gemini models with a price for it, cost a tenth more in regions and multi-regions."""
    assert price("gcp.vertex_ai", url, "claude-opus-4-7").usd == Decimal("0.00825")  # (1000 x 5 + 100 x 25) x 1.1
    assert price("gcp.vertex_ai", url, "claude-haiku-4-5@20251001").usd == Decimal("0.00165")  # (1 + 5 / 10) x 1.1
    assert price("gcp.vertex_ai", url, "gemini-3.5-flash").usd == Decimal("0.00264")  # (1.5 + 9 / 10) x 1.1
    assert price("gcp.vertex_ai", url, "gemini-3.1-flash-lite").usd == Decimal("0.00044")  # (0.25 + 1.5 / 10) x 1.1


@pytest.mark.parametrize("url", [GLOBAL, f"{GLOBAL}/projects/p/locations/global/endpoints/openapi", None])
def test_the_global_endpoint_has_no_uplift(url: str | None) -> None:
    """Neither has a call that does not say where it went."""
    assert price("gcp.vertex_ai", url, "claude-opus-4-7").usd == Decimal("0.0075")
    assert price("gcp.vertex_ai", url, "gemini-3.1-pro-preview").usd == Decimal("0.0032")


@pytest.mark.parametrize(
    "model", ["claude-sonnet-4@20250514", "claude-opus-4-1@20250805", "claude-3-5-haiku@20241022", "gemini-2.5-flash",
              "gemini-2.5-pro", "gemini-2.0-flash-001", "gemini-embedding-001"]
)  # fmt: skip
def test_models_with_one_price_have_it_in_regions_too(model: str) -> None:
    """Claude before 4.5 and Gemini before 3: the same everywhere."""
    plain = price("gcp.vertex_ai", GLOBAL, model)
    assert plain.usd
    assert price("gcp.vertex_ai", IOWA, model) == plain


@pytest.mark.parametrize(
    ("provider", "url", "model"),
    [
        ("gcp.vertex_ai", IOWA, "gemini-3.1-pro-preview"),
        ("gcp.vertex_ai", IOWA, "gemini-4-argon"),
        ("openai", EU, "gpt-realtime-2.1-mini"),  # under one id with a model from before the uplift
    ],
)
def test_a_place_without_a_known_price_is_unpriced(provider: str, url: str, model: str) -> None:
    """The reason names the model and the place, without a password."""
    cost = price(provider, url.replace("://", "://user:secret@", 1) if provider == "openai" else url, model)
    assert cost.usd is None
    assert "differs from the standard price and is not known" in (cost.unpriced or "")
    assert url.partition("://")[2].partition("/")[0] in (cost.unpriced or "")
    assert "secret" not in (cost.unpriced or "")


def test_an_uplift_begins_on_its_day() -> None:
    """Gemini's since July 2026; a book that is asked before and after does not mix them up."""
    july = datetime(2026, 7, 1, tzinfo=timezone.utc).timestamp()
    for at, usd in ((july - 1, "0.0024"), (july, "0.00264"), (july - 1, "0.0024")):
        assert price("gcp.vertex_ai", IOWA, "gemini-3.5-flash", at=at).usd == Decimal(usd)


def test_bedrocks_profiles_say_where() -> None:
    """Regional profiles and plain names cost a tenth more than global ones; an unlisted profile has no price."""
    for model, usd in (
        ("global.anthropic.claude-opus-4-7", "0.0075"),
        ("us.anthropic.claude-opus-4-7", "0.00825"),
        ("anthropic.claude-opus-4-7", "0.00825"),
        ("openai.gpt-5.5", "0.0088"),
        ("sa.anthropic.claude-opus-5", None),
    ):
        assert price("aws.bedrock", None, model).usd == (None if usd is None else Decimal(usd)), model


OWN = """
providers:
  openai:
    uplifts:
      - {address: "https://eu.api.openai.com", models: gpt-5.5*, factor: 1}
      - {address: "https://eu.api.openai.com", models: [gpt-4o, house-*], factor: 1.2, start_date: 2026-11-01}
    models:
      gpt-5.4: {input_mtok: 1, output_mtok: 10}
      house-model: {input_mtok: 1, output_mtok: 10}
  azure:
    uplifts:
      - {address: "*-eu.openai.azure.com", except: gpt-4*, factor: 1.1}
      - {address: "secret.openai.azure.com"}
      - {when: {service_tier: priority}, factor: 1.75}
  gateway:
    base_url: https://eu.gate.example
    like: openai
    uplifts:
      - {address: "https://eu.gate.example", factor: 1.5}
"""


@pytest.mark.parametrize(
    ("provider", "url", "model", "terms", "usd"),
    [
        ("openai", EU, "gpt-5.5", (), "0.008"),  # (5 + 30 / 10): the user's row goes before that of the data
        ("openai", EU, "gpt-5.6-sol", (), None),
        ("openai", EU, "gpt-4o", (), "0.0042"),  # (2.5 + 10 / 10) x 1.2
        ("openai", EU, "gpt-5.4", (), "0.002"),  # the user's price, without an uplift of the user's
        ("openai", EU, "house-model", (), "0.0024"),
        ("azure", "https://acme-eu.openai.azure.com", "gpt-5.4", (), "0.0044"),
        ("azure", "https://acme-eu.openai.azure.com", "gpt-4o", (), "0.0035"),
        ("azure", "https://secret.openai.azure.com", "gpt-4o", (), "unpriced"),
        ("azure", "https://acme.openai.azure.com", "gpt-4o", (("service_tier", "priority"),), "0.006125"),  # x 1.75
        ("azure", "https://acme.openai.azure.com", "gpt-4o", (("service_tier", "flex"),), "unpriced"),
        ("gateway", "https://eu.gate.example/v1", "gpt-4o", (), "0.00525"),  # x 1.5
    ],
)
def test_own_files_can_say_where_and_how(
    tmp_path: Path, provider: str, url: str, model: str, terms: Any, usd: str | None
) -> None:
    """Azure's data zones are seen in no response and no address: the user's file says which resource is one."""
    file = tmp_path / "prices.yaml"
    file.write_text(OWN, encoding="utf-8")
    cost = price(provider, url, model, open_book(file), terms=terms)
    if usd == "unpriced":
        assert (cost.usd, "no" in (cost.unpriced or "")) == (None, True)
    else:
        assert cost.usd == (Decimal(usd) if usd is not None else price(provider, url, model).usd)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[{factor: 1.1}]", "neither an address nor terms (when)"),
        ("[{address: x.example, factor: much}]", "factor of an uplift is 'much', which is not a number like 1.1"),
        ("[{address: x.example, factor: -1}]", "factor of an uplift is '-1'"),
        ("[{address: 7, faktor: 1}]", "an uplift has a field 'faktor'"),
        ("[{address: [[]]}]", "address of an uplift is [[]]"),
        ("[{address: x.example, models: {}}]", "models of an uplift is {}"),
        ("[{when: us}]", "when of an uplift is 'us', which names no terms"),
        ("[{address: x.example, start_date: soon}]", "start_date is 'soon'"),
        ("[x.example]", "an uplift is 'x.example', which is not a mapping"),
        ("{address: x.example}", "uplifts of provider p is {'address': 'x.example'}, which is not a list"),
    ],
)
def test_a_mistake_in_an_uplift_is_quoted(tmp_path: Path, written: str, said: str) -> None:
    """One sentence that quotes it, like every mistake in a price file."""
    file = tmp_path / "prices.yaml"
    file.write_text(f"providers: {{p: {{base_url: 'https://p.example', uplifts: {written}}}}}", encoding="utf-8")
    (problem,) = open_book(file).problems
    assert said in str(problem)


def test_each_correction_has_a_source_and_a_date() -> None:
    """Nothing is in the table that cannot be looked up."""
    table = read_table("corrections.json")
    rows = [*table["uplifts"], *table["hours"]]
    assert len(rows) > 6
    for row in rows:
        assert row["as_of"]
        assert "https://" in row["source"] or "see the next row" in row["source"]
