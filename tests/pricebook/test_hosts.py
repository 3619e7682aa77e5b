"""Providers by the host of a call, and the sources of the tables beside the price book."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import otel_agentcost.pricebook
from otel_agentcost.pricebook.hosts import find_host, host_rules
from otel_agentcost.pricebook.providers import canonical

FOLDER = Path(otel_agentcost.pricebook.__file__).parent


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("acme.openai.azure.com", "azure.ai.openai"),
        ("acme.services.ai.azure.com", "azure.ai.inference"),
        ("europe-west4-aiplatform.googleapis.com", None),
        ("aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("bedrock-runtime.eu-central-1.amazonaws.com", "aws.bedrock"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "aws.bedrock"),
        ("my-balancer.eu-central-1.elb.amazonaws.com", None),
        ("api.openai.com.example.org", None),
        ("notapi.openai.com", None),
        ("localhost", None),
        ("", None),
    ],
)
def test_a_host_has_the_provider_of_its_domain_or_none(host: str, provider: str | None) -> None:
    """A host below a provider's domain is that provider's; a host that only resembles one has no provider."""
    rule = find_host(host)
    assert (None if rule is None else rule.provider) == provider


def test_a_gateway_is_marked_as_one() -> None:
    """Azure API Management stands in front of Azure OpenAI or of anything else."""
    rule = find_host("acme.azure-api.net")
    assert rule is not None
    assert rule.gateway
    assert [row.provider for row in host_rules() if row.gateway] == ["azure.ai.openai"]


def test_no_host_has_two_providers() -> None:
    """The order of the rows decides nothing."""
    rules = host_rules()
    for rule in rules:
        for domain in rule.ends_with:
            host = f"{rule.starts_with}.{domain}" if rule.starts_with else domain
            assert [other.provider for other in rules if other.matches(host)] == [rule.provider]


def test_every_provider_of_a_host_has_prices_or_is_known_to_have_none() -> None:
    """A name that the price book does not know would be a spelling mistake; watsonx is not in the data set."""
    book = otel_agentcost.pricebook.open_book()
    unknown = {rule.provider for rule in host_rules() if canonical(rule.provider) not in book.book.providers}
    assert unknown == {"ibm.watsonx.ai"}


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
