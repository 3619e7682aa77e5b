"""The same dollars in a Collector as in an application: generated usages over all models of the price book."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost.collector.pricing import pricing_yaml
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook import PriceBook, open_book
from otel_agentcost.pricebook.hosts import find_host, host_rules
from tests.collector.pricing_collector import Pricing
from tests.collector.real_collector import needed

NANO = 1e-9
BOOK = open_book()


def names_of(rule: Any, rnd: random.Random) -> Iterator[str]:
    """Names that satisfy a rule of the price book."""
    if isinstance(rule, str):
        yield rule
        return
    ((verb, wanted),) = rule.items()
    if verb == "or":
        for part in wanted:
            yield from names_of(part, rnd)
    elif verb == "and":
        yield "".join(part.get("starts_with", part.get("contains", part.get("ends_with", ""))) for part in wanted)
    elif verb != "regex":
        before = rnd.choice(["", "", "eu."]) if verb != "starts_with" else ""
        yield before + wanted + (rnd.choice(["", "-x", "-2025-01-01", "@20250101"]) if verb != "ends_with" else "")


def models(book: PriceBook, rnd: random.Random) -> list[tuple[str, str]]:
    """Each provider of the book with each name that it or those whose models it sells may use."""
    found = [
        (provider, name)
        for provider, entry in book.book.providers.items()
        for owner in (provider, *entry.fallbacks)
        for model in book.book.models_of(owner).entries
        for name in names_of(model["match"], rnd)
    ]
    rnd.shuffle(found)
    return found


def some_call(rnd: random.Random) -> dict[str, Any]:
    """Counts, a tier and a time."""
    total = rnd.choice((10, 1_000, rnd.randrange(1, 200_000), rnd.randrange(1, 1_200_000)))
    read = rnd.choice((0, rnd.randrange(total + 1)))
    written = rnd.choice((0, 0, rnd.randrange(total - read + 1)))
    output = rnd.randrange(100_000)
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": total,
        "gen_ai.usage.cache_read.input_tokens": read,
        "gen_ai.usage.cache_write.input_tokens": written,
        "gen_ai.usage.output_tokens": output,
        "gen_ai.usage.reasoning.output_tokens": rnd.choice((0, rnd.randrange(output + 1))),
        "gen_ai.response.service_tier": rnd.choice((*[None] * 6, "default", "flex", "priority", "batch")),
        "@at": time.time() - rnd.choice((0, 0, 40_000, 80_000)),
    }


def said(
    *, provider: str | None, host: str | None = None, served: str | None = None, asked: str | None = None
) -> dict[str, Any]:
    """Who is called, by which names, at the standard tier."""
    return {
        "gen_ai.provider.name": provider,
        "server.address": host,
        "gen_ai.response.model": served,
        "gen_ai.request.model": asked,
        "gen_ai.response.service_tier": None,
    }


def expected(book: PriceBook, span: dict[str, Any]) -> Cost:
    """What the application's side says of the same call."""
    total, read, written, output, reasoning = (
        span[f"gen_ai.usage.{name}"]
        for name in (
            "input_tokens", "cache_read.input_tokens", "cache_write.input_tokens", "output_tokens",
            "reasoning.output_tokens",
        )
    )  # fmt: skip
    counts: dict[Any, Any] = {
        "input_tokens": total - read - written,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "output_tokens": output - reasoning,
        "output_reasoning_tokens": reasoning,
    }
    tier = span.get("gen_ai.response.service_tier")
    terms = (("processing", "batch"),) if tier == "batch" else (("service_tier", tier),) if tier else ()
    host, provider = span.get("server.address"), span.get("gen_ai.provider.name")
    models = (span.get("gen_ai.response.model"), span.get("gen_ai.request.model"))
    if "bedrock" in f"{host}" or (provider == "aws.bedrock" and find_host(f"{host}") is None):
        models = (models[1], models[0])  # its profile is in the request alone
    return book.price(
        Usage(counts={kind: count for kind, count in counts.items() if count}),
        provider=provider,
        base_url=f"https://{host if host != '::1' else '[::1]'}{'/v1' if host == 'pathed.example' else ''}"
        if host
        else None,
        models=models,
        at=span["@at"],
        terms=terms,
    ).known()


def different(cost: Cost, got: dict[str, Any]) -> str | None:
    """What is not the same, for people."""
    usd = got.get("agentcost.cost.usd")
    if usd is None and "agentcost.price.assumed" in got:
        return "an assumed price without a price"
    if cost.usd is None:
        return None if usd is None and got.get("agentcost.unpriced") else f"{usd} instead of none: {cost.unpriced}"
    if usd is None:
        return f"none instead of {cost.usd}: {got.get('agentcost.unpriced')}"
    if abs(usd - float(cost.usd)) > NANO:
        return f"{usd} instead of {cost.usd}"
    if got.get("agentcost.price.assumed", False) != cost.assumed:
        return f"{'not ' if cost.assumed else ''}marked as assumed"
    parts = sum(
        got.get(f"agentcost.cost.{part}_usd", 0) for part in ("input", "output", "cache_read", "cache_write", "tool")
    )
    return None if abs(parts - usd) <= NANO else f"parts of {parts} instead of {usd}"


def test_every_model_costs_the_same(pricing: Pricing) -> None:
    """5,000 usages over all names of all models, with tiers, caches, reasoning, batches, hours: to 1e-9 dollars."""
    rnd = random.Random(20_261_123)
    known = models(BOOK, rnd)
    spans = [
        some_call(rnd)
        | {"gen_ai.provider.name": known[n % len(known)][0], "gen_ai.response.model": known[n % len(known)][1]}
        for n in range(max(5_000, len(known)))
    ]
    costs = [expected(BOOK, span) for span in spans]
    assert sum(cost.usd is not None for cost in costs) > 3_500
    wrong = [
        f"{span['gen_ai.provider.name']} {span['gen_ai.response.model']}: {what}"
        for span, cost, got in zip(spans, costs, pricing.price(spans), strict=True)
        if (what := different(cost, got))
    ]
    assert not wrong, wrong[:10]


HOSTS = (
    None, "api.openai.com", "api.anthropic.com", "openrouter.ai", "me.openai.azure.com", "api.groq.com", "localhost",
    "bedrock-runtime.us-east-1.amazonaws.com", "generativelanguage.googleapis.com", "api.deepseek.com",
    "us-central1-aiplatform.googleapis.com", "aiplatform.eu.rep.googleapis.com", "bedrock-mantle.us-east-1.api.aws",
    "api.minimaxi.com", "eu.api.openai.com", "api.deepinfra.com", "llm.acme.example", "10.1.2.3", "gpu.local", "vllm",
)  # fmt: skip
PROVIDERS = (
    "openai.responses", "azure.chat", "azure-openai.chat", "TogetherAI", "groq.chat",
    None, "openai", "OpenAI", "anthropic", "azure.ai.openai", "aws.bedrock", "gcp.vertex_ai", "openrouter", "groq",
    "litellm", "nobody", "together_ai", "x_ai",
)  # fmt: skip
FAMILIES = (
    ("gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-20240806", "openai/gpt-4o", "azure/gpt-4o", "GPT-4o", None),
    ("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4.5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", None),
    ("models/gemini-2.5-flash", "vertex_ai/gemini-2.5-flash", "gemini-2.5-flash", "gemini-flash-latest", None),
    ("llama-3.3-70b-versatile", "deepseek-chat", "no-such-model", None),
)
"""Names that one call may go by, when it is asked for and when it is served."""


def test_whoever_sells_it_is_found_alike(pricing: Pricing) -> None:
    """Addresses, providers as others spell them, prefixes, dates: the same price as in an application. No price where
    an application knows one is admitted where the served name says one thing and the requested one another.
    """
    rnd = random.Random(5)
    spans = [
        some_call(rnd) | said(provider=provider, host=host, served=served, asked=asked)
        for provider in PROVIDERS
        for host in HOSTS
        for family in FAMILIES
        for served in family
        for asked in rnd.sample(family, 2)
        if served or asked
    ]
    costs = [expected(BOOK, span) for span in spans]
    priced = sum(cost.usd is not None for cost in costs)
    wrong: list[str] = []
    missed = 0
    for span, cost, got in zip(spans, costs, pricing.price(spans), strict=True):
        what = different(cost, got)
        served, asked = span["gen_ai.response.model"], span["gen_ai.request.model"]
        if what is not None and not what.startswith("none instead"):
            wrong.append(f"{span['gen_ai.provider.name']} at {span['server.address']}: {served}, {asked}: {what}")
        elif what is not None and (served is None or asked in {None, served}):
            missed += 1
    assert not wrong, wrong[:10]
    assert missed == 0, f"{missed} of {priced} are not found"


def test_a_whole_address_tells_the_seller_too(pricing: Pricing) -> None:
    """OpenLLMetry says where a call went as `gen_ai.openai.api_base`, and cuts the prefix off the served name."""
    rnd = random.Random(8)
    call = some_call(rnd) | said(provider="openai", served="gpt-4o", asked="openai/gpt-4o")
    addresses = ("https://openrouter.ai/api/v1/", "HTTPS://openrouter.ai:443/v1", "openrouter", "", 7, "https://")
    spans = [call | {"gen_ai.openai.api_base": address} for address in addresses]
    wanted = [expected(BOOK, call | {"server.address": "openrouter.ai"})] * 2 + [expected(BOOK, call)] * 4
    assert [different(*pair) for pair in zip(wanted, pricing.price(spans), strict=True)] == [None] * 6


HOSTS_WITH_SUBDOMAINS = tuple(
    f"{below}{host.replace('*', 'x-1')}"
    for rule in host_rules()
    if not rule.paths
    for host in rule.hosts
    for below in ("", "acme.")
)


def test_no_host_of_the_table_is_another_providers_in_the_collector(pricing: Pricing) -> None:
    """Every host of the table, and one below it: the same price, or none, as in an application, and no mark."""
    rnd = random.Random(9)
    spans = [
        some_call(rnd) | said(provider="openai", host=host, served=name, asked=name)
        for host in HOSTS_WITH_SUBDOMAINS
        for name in ("gpt-4o", "claude-sonnet-4-5", "openai/gpt-oss-120b")
    ]
    costs = [expected(BOOK, span) for span in spans]
    assert not any(cost.assumed for cost in costs)
    wrong = [
        f"{span['server.address']} {span['gen_ai.request.model']}: {what}"
        for span, cost, got in zip(spans, costs, pricing.price(spans), strict=True)
        if (what := different(cost, got))
    ]
    assert not wrong, wrong[:10]


@pytest.mark.parametrize("private", ["free", "unpriced"])
def test_private_addresses_are_not_priced_against_the_setting_in_the_collector(private: Any, tmp_path: Path) -> None:
    """The configuration is generated with the setting: private addresses are free or unpriced, all others as before."""
    needed()
    book = open_book(private=private)
    (tmp_path / "pricing.yaml").write_text(pricing_yaml(book))
    running = Pricing(tmp_path, tmp_path / "pricing.yaml")
    hosts = ("localhost", "10.1.2.3", "gpu.local", "vllm", "::1", "llm.acme.example", "api.openai.com", None)
    try:
        rnd = random.Random(10)
        spans = [some_call(rnd) | said(provider="openai", host=host, asked="gpt-4o") for host in hosts]
        costs = [expected(book, span) for span in spans]
        usd = [cost.usd for cost in costs]
        assert usd[:5] == [0 if private == "free" else None] * 5
        assert all(usd[5:])
        wrong = [different(cost, got) for cost, got in zip(costs, running.price(spans), strict=True)]
        assert wrong == [None] * len(spans)
    finally:
        running.collector.stop()


OWN = """
models:
  gpt-4o: {input_mtok: 1, output_mtok: 2}
  house-*: {input_mtok: 3, output_mtok: 4}
  cheap-model: free
  fast-claude: {alias: anthropic/claude-haiku-4-5}
  "ft:gpt-4.1-m?ni*:acme::*": {input_mtok: 5, output_mtok: 6}
  "w[ab]x[!c]": {input_mtok: 7, output_mtok: 8}
  'odd "name" \\ $x {y} ünï': {input_mtok: 9, output_mtok: 9}
providers:
  acme:
    base_url: https://llm.acme.example
    models:
      acme-large: {input_mtok: 10, output_mtok: 20}
      acme-small: {alias: openai/gpt-4o-mini}
  pwild:
    models:
      "*": {input_mtok: 9, output_mtok: 9}
  gateway:
    base_url: ["https://*.gate.example", "plain.example", "https://pathed.example/v1"]
    like: openai
    models:
      gate-large: {input_mtok: 2, output_mtok: 3}
"""


OWN_CALLS = (
    ("openai", "gpt-4o", None),
    ("openai", "house-9", None),
    ("nobody", "house-9", None),
    ("openai", "cheap-model", None),
    ("openai", "acme-large", "llm.acme.example"),
    ("acme", "acme-small", None),
    ("anthropic", "claude-opus-4-1", None),
    ("openai", "acme-huge", "llm.acme.example"),
    ("azure", "gpt-4o", None),
    ("nobody", "fast-claude", None),
    ("openai", "ft:gpt-4.1-mini-2025:acme::x1", None),
    ("openai", "wbxd", None),
    ("openai", "wbxc", None),
    ("openai", 'odd "name" \\ $x {y} ünï', None),
    ("pwild", "sonar", None),
    ("gateway", "gpt-4o-2024-08-06", None),
    ("gateway", "gate-large", None),
    ("openai", "gate-large", "eu.gate.example"),
    ("openai", "gpt-4.1", "plain.example"),
    ("openai", "gate-large", "pathed.example"),
)


def test_own_prices_hold_in_the_collector(tmp_path: Path) -> None:
    """A file of own prices makes tables of its own: overridden, new, wild, free, aliased, and a provider's own."""
    needed()
    (tmp_path / "prices.yaml").write_text(OWN)
    book = open_book(tmp_path / "prices.yaml")
    (tmp_path / "pricing.yaml").write_text(pricing_yaml(book))
    running = Pricing(tmp_path, tmp_path / "pricing.yaml")
    try:
        rnd = random.Random(6)
        spans = [
            some_call(rnd) | said(provider=provider, asked=model, host=host) for provider, model, host in OWN_CALLS
        ]
        costs = [expected(book, span) for span in spans]
        unpriced = {model for (_, model, _), cost in zip(OWN_CALLS, costs, strict=True) if cost.usd is None}
        assert unpriced == {"acme-huge", "wbxc"}
        wrong = [different(cost, got) for cost, got in zip(costs, running.price(spans), strict=True)]
        assert wrong == [None] * len(spans)
    finally:
        running.collector.stop()


REGIONS = (
    ("openai", ("eu.api.openai.com", "us.api.openai.com", "ae.api.openai.com", "api.openai.com", None)),
    (
        "gcp.vertex_ai",
        (
            "us-east5-aiplatform.googleapis.com", "europe-west1-aiplatform.mtls.googleapis.com",
            "aiplatform.eu.rep.googleapis.com", "aiplatform.googleapis.com", None,
        ),
    ),
    ("azure.ai.openai", ("acme-eu.openai.azure.com", "acme.openai.azure.com")),
    ("acme", ("eu.llm.acme.example", "us.llm.acme.example")),
)  # fmt: skip
SERVED = {
    "openai": ("gpt-5.4-2026-03-05", "gpt-4o", "openai/gpt-5.5", "gpt-6-sol", "o3", "gpt-realtime-2.1-mini", "gpt-5.2"),
    "gcp.vertex_ai": (
        "claude-opus-4-7", "claude-sonnet-4@20250514", "claude-opus-4-1@20250805", "gemini-3.5-flash",
        "gemini-2.5-flash", "publishers/google/models/gemini-3.1-flash-lite", "gemini-3.1-pro-preview",
        "gemini-4-argon",
    ),
    "azure.ai.openai": ("gpt-5.4", "gpt-4o"),
    "acme": ("acme-large", "gpt-4o"),
}  # fmt: skip
OWN_UPLIFTS = """
providers:
  azure:
    uplifts: [{address: "*-eu.openai.azure.com", models: gpt-5*, factor: 1.25}]
  acme:
    base_url: "*.llm.acme.example"
    like: openai
    models: {acme-large: {input_mtok: 2, output_mtok: 3}}
    uplifts: [{address: "https://eu.llm.acme.example", factor: 1.5, start_date: 2026-11-15}]
models:
  weekly:
    prices:
      - {input_mtok: 1, cache_read_mtok: 1, output_mtok: 1}
      - {days: [sat, sun], input_mtok: 2, cache_read_mtok: 1, output_mtok: 3}
  nightly:
    prices:
      - {input_mtok: 1, output_mtok: 4}
      - start_time: 22:00
        end_time: 06:30
        days: mon-fri
        except: 2026-11-11..2026-11-12
        input_mtok: 2
        output_mtok: 3
"""
FROM = 1_793_491_200  # 2026-11-01


def test_uplifts_and_weekdays_hold_in_the_collector(tmp_path: Path) -> None:
    """Regions, own uplifts, DeepSeek's working days and own days: the dollars of an application, at all hours."""
    needed()
    (tmp_path / "prices.yaml").write_text(OWN_UPLIFTS)
    book = open_book(tmp_path / "prices.yaml")
    (tmp_path / "pricing.yaml").write_text(pricing_yaml(book))
    running = Pricing(tmp_path, tmp_path / "pricing.yaml")
    rnd = random.Random(9)
    try:
        spans = [
            some_call(rnd)
            | said(provider=provider, host=host, asked=model)
            | {"@at": FROM + rnd.randrange(29 * 86_400)}
            for provider, hosts in REGIONS
            for host in hosts
            for model in SERVED[provider]
            for _ in range(3)
        ]
        spans += [
            some_call(rnd) | said(provider=provider, asked=model) | {"@at": FROM + hour * 3_600 + rnd.randrange(3_600)}
            for provider, model in (("deepseek", "deepseek-v4-pro"), ("nobody", "weekly"), ("nobody", "nightly"))
            for hour in range(0, 29 * 24, 2)
        ]
        costs = [expected(book, span) for span in spans]
        results = zip(spans, costs, running.price(spans), strict=True)
        wrong = [
            f"{span['gen_ai.request.model']} at {span['server.address']}, {span['@at']}: {what}"
            for span, cost, got in results
            if (what := different(cost, got))
        ]
        assert not wrong, wrong[:10]
        assert {"gpt-realtime-2.1-mini", "gemini-3.1-pro-preview", "gemini-4-argon"} == {
            span["gen_ai.request.model"] for span, cost in zip(spans, costs, strict=True) if cost.usd is None
        }
    finally:
        running.collector.stop()


def test_a_price_that_changes_is_the_one_of_its_day(pricing: Pricing) -> None:
    """Spans from before and after a date at which a price changes cost what held then."""
    changing = [
        (provider, model["id"], entry["start_date"])
        for provider in BOOK.book.providers
        for model in BOOK.book.models_of(provider).entries
        for entry in (model["prices"] if isinstance(model["prices"], list) else [])
        if "start_date" in entry and entry["start_date"] > "2026-06"
    ]
    assert changing
    rnd = random.Random(7)
    days = sorted({start for _, _, start in changing})
    moments = [time.mktime(time.strptime(day, "%Y-%m-%d")) + shift for day in days for shift in (-90_000, 90_000)]
    spans = [
        some_call(rnd) | said(provider=provider, asked=model) | {"@at": at}
        for provider, model, _ in changing
        for at in rnd.sample(moments, min(4, len(moments)))
    ]
    results = zip(spans, pricing.price(spans), strict=True)
    wrong = [
        (span["gen_ai.request.model"], what) for span, got in results if (what := different(expected(BOOK, span), got))
    ]
    assert [one for one in wrong if "does not know the price at the time" not in one[1]] == []
