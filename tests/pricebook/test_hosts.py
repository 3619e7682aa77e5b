"""Providers by the address of a call: one table for their names and their prices, and the sources of all tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import otel_agentcost.pricebook
from otel_agentcost.integrations.endpoints import endpoint
from otel_agentcost.pricebook import NoPrice, open_book
from otel_agentcost.pricebook.hosts import find_host, host_rules, is_private
from otel_agentcost.pricebook.matching import matches
from otel_agentcost.pricebook.providers import canonical

FOLDER = Path(otel_agentcost.pricebook.__file__).parent
BOOK = open_book()


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("api.openai.com.", "openai"),
        ("acme.openai.azure.com", "azure.ai.openai"),
        ("acme.privatelink.openai.azure.com", "azure.ai.openai"),
        ("acme.openai.azure.us", "azure.ai.openai"),
        ("acme.services.ai.azure.com", "azure.ai.inference"),
        ("europe-west4-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("aiplatform.mtls.googleapis.com", "gcp.vertex_ai"),
        ("aiplatform.eu.rep.googleapis.com", "gcp.vertex_ai"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("claude.googleapis.com", "anthropic"),
        ("storage.googleapis.com", None),
        ("bedrock-runtime.eu-central-1.amazonaws.com", "aws.bedrock"),
        ("bedrock-runtime-fips.us-east-1.amazonaws.com", "aws.bedrock"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "aws.bedrock"),
        ("bedrock-mantle.us-east-1.api.aws", "aws.bedrock"),
        ("vpce-0a1b-2c3d.bedrock-runtime.us-east-1.vpce.amazonaws.com", "aws.bedrock"),
        ("aws-external-anthropic.us-west-2.api.aws", "anthropic"),
        ("my-balancer.eu-central-1.elb.amazonaws.com", None),
        ("bedrock-cache.elb.us-east-1.amazonaws.com", None),
        ("api.minimaxi.com", "minimax"),
        ("ark.ap-southeast.bytepluses.com", "volcengine"),
        ("cn-hongkong.dashscope.aliyuncs.com", "dashscope"),
        ("api.eu.residency.elevenlabs.io", "elevenlabs"),
        ("api.openai.com.example.org", None),
        ("notapi.openai.com", None),
        ("xaiplatform.googleapis.com", None),
        ("localhost", None),
        ("", None),
    ],
)
def test_a_host_has_the_provider_of_its_domain_or_none(host: str, provider: str | None) -> None:
    """A host below a provider's domain is that provider's; a host that only resembles one has no provider."""
    rule = find_host(host)
    assert (None if rule is None else rule.provider) == provider


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.cloudflare.com/client/v4/accounts/a/ai/v1", "cloudflare"),
        ("https://api.cloudflare.com/client/v4/zones", "openai"),
        ("https://dbc-1.cloud.databricks.com/serving-endpoints", "databricks"),
        ("https://dbc-1.cloud.databricks.com/other", "openai"),
        ("https://router.huggingface.co/together/v1", "huggingface_together"),
        ("https://router.huggingface.co/v1", "huggingface"),
        ("https://gateway.ai.cloudflare.com/v1/a/g/anthropic", "anthropic"),
        ("https://gateway.ai.cloudflare.com/v1/a/g/compat", "openai"),
        ("https://gateway.ai.cloudflare.com/v1/a/anthropic/compat", "openai"),
    ],
)
def test_a_shared_host_does_not_name_a_provider_that_its_path_does_not(url: str, provider: str) -> None:
    """The path decides where several providers, or other services, have one host."""
    assert endpoint(url, "openai").provider == provider


def test_a_gateway_is_marked_as_one() -> None:
    """Azure API Management and Cloudflare stand in front of others; DeepInfra states the cost in its responses."""
    hosts = {host for row in host_rules() if row.gateway for host in row.hosts}
    assert hosts == {"azure-api.net", "gateway.ai.cloudflare.com", "api.deepinfra.com"}


def test_no_host_has_two_providers() -> None:
    """The order of the rows decides nothing."""
    rules = [rule for rule in host_rules() if not rule.paths]
    for rule in rules:
        for host in rule.hosts:
            example = host.replace("*", "x-1")
            found = [other.provider for other in rules if re.fullmatch(other.pattern(), example)]
            assert set(found) == {rule.provider}, example


def test_every_provider_of_a_host_has_prices_or_is_known_to_have_none() -> None:
    """A name that the price book does not know would be a spelling mistake, unless the data set lacks the seller."""
    unknown = {rule.owner for rule in host_rules()} - BOOK.book.providers.keys()
    assert unknown == {
        "ai21", "chutes", "clarifai", "dashscope", "deepinfra", "featherless", "friendli", "github", "huggingface",
        "hyperbolic", "ibm.watsonx.ai", "inception", "lambda", "meta_llama", "mixedbread", "morph", "nano-gpt",
        "nebius", "nscale", "nvidia",
        "poe", "publicai", "sambanova", "siliconflow", "synthetic", "v0", "volcengine", "wandb",
    }  # fmt: skip


def addresses(rule: Any) -> Iterator[str]:
    """Addresses that satisfy a rule of the price book: its literal starts, with its patterns written out."""
    if isinstance(rule, str):
        yield rule
        return
    ((verb, wanted),) = rule.items()
    if verb in {"and", "or"}:
        for part in wanted:
            yield from addresses(part)
    elif verb == "starts_with" and wanted.count(".") and not wanted.endswith("."):
        yield wanted
        if wanted.count("/") == 2:
            yield from (wanted + ending for ending in (".io", ".com", "i.com"))
    elif verb == "starts_with":
        yield from (wanted + ending for ending in ("ai/v1", "cn/v1", "com/v1", "us-east-1.amazonaws.com/v1"))
    elif verb == "regex":
        yield from written_out(wanted)


def written_out(pattern: str) -> Iterator[str]:
    """Addresses that `pattern` may match; the caller tries them."""
    text = pattern.removeprefix(r"\A(?:").removesuffix(")").replace("\\", "")
    text = re.sub(r"\(https\?://\)\?", "https://", text)
    text = re.sub(r"\(\[\^\.\]\*\.\)\?|\(\.\*\.\)\?", "acme.", text)
    text = re.sub(r"\[\^/\]\+|\[a-z0-9-\]\+", "x-1", text)
    text = re.sub(r"\(\?:/\|\$\)|\(/\|\$\)", "/", text)
    options = [text]
    while any("(" in option for option in options):
        options = [one for option in options for one in expanded(option)]
    yield from options


def expanded(text: str) -> Iterator[str]:
    """`text` with its innermost group replaced by each of its alternatives, and by none where it is optional."""
    group = re.search(r"\((?:\?:)?([^()]*)\)(\??)", text)
    if group is None:
        yield text
        return
    for choice in [*group[1].split("|"), *([""] if group[2] else [])]:
        yield text[: group.start()] + choice + text[group.end() :]


KNOWN = sorted(
    {
        (provider.id, url)
        for provider in BOOK.book.providers.values()
        for url in addresses(provider.url)
        if matches(provider.url, url)
    }
)


def test_every_provider_of_the_price_book_has_an_address_to_try() -> None:
    """The addresses below are made of the book's own rules."""
    assert {provider for provider, _ in KNOWN} == BOOK.book.providers.keys()
    assert len(KNOWN) > 90


@pytest.mark.parametrize(("provider", "url"), KNOWN)
def test_no_address_of_the_price_book_has_another_name_than_its_price(provider: str, url: str) -> None:
    """The provider on a span belongs to the provider that the book prices by, at every address that the book knows."""
    for said in ("openai", "anthropic", "gcp.gemini"):
        there = BOOK.resolve(endpoint(url, said), None)
        match = BOOK.find(("no-such-model",), url, said)
        assert isinstance(match, NoPrice)
        owner = match.reason.partition(" of ")[2].partition(";")[0]
        assert canonical(there.provider) == owner
        assert owner == provider or (provider, owner) == ("openai-decisions", "openai")


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.20",
        "169.254.169.254", "100.64.0.1", "::1", "fe80::1", "fd12:3456::1", "::ffff:10.0.0.1", "vllm", "gpu-box.local",
        "host.docker.internal", "vllm.default.svc", "vllm.default.svc.cluster.local", "nas.lan", "app.localhost",
        "localhost.", "box.home.arpa",
    ],
)  # fmt: skip
def test_a_private_host_is_not_taken_for_a_public_one(host: str) -> None:
    """Loopback, RFC 1918, link-local, shared and unique local addresses, names without a public domain."""
    assert is_private(host)


@pytest.mark.parametrize(
    "host",
    [
        "", "8.8.8.8", "172.15.0.1", "172.32.0.1", "192.169.1.1", "100.63.0.1", "100.128.0.1", "11.0.0.1",
        "2001:db8::1",
        "llm.acme.example", "local.example", "127.0.0.1.nip.io", "10.example.com", "::ffff:8.8.8.8",
        "internal.acme.com",
    ],
)  # fmt: skip
def test_a_public_host_is_not_taken_for_a_private_one(host: str) -> None:
    """An address or a name at which another server may answer."""
    assert not is_private(host)


def sources(value: object) -> int:
    if isinstance(value, dict):
        return ("source" in value) + sum(sources(part) for part in value.values())
    return sum(sources(part) for part in value) if isinstance(value, list) else 0


@pytest.mark.parametrize("name", sorted(file.name for file in FOLDER.glob("*.json")))
def test_every_table_names_its_source_and_date(name: str) -> None:
    """The table says where its rows come from and when they were read."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    table = json.loads(text)
    assert sources(table) >= 1
    assert '"as_of"' in text
    assert table["about"]
