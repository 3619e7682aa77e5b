"""What a ledger keeps of the call that began work at a provider."""

from __future__ import annotations

import pytest

from otel_agentcost.core.origin import Origin, without_secrets


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://api.openai.com/v1/", "https://api.openai.com/v1/"),
        ("http://bob:s3cret@host:8080/openai/deployments/a?key=x&v=1#f", "http://host:8080/openai/deployments/a"),
        ("https://a@b:c@host/v1", "https://host/v1"),
        ("//bob:s3cret@host/v1", "//host/v1"),
        ("bob:s3cret@host/v1", "host/v1"),
        ("https://host/models/claude@20250101", "https://host/models/claude@20250101"),
        ("https://bob:s3cret@[::1]:80/v1", "https://[::1]:80/v1"),
        ("https://host?key=a@b", "https://host"),
        ("", ""),
    ],
)
def test_an_address_is_kept_without_its_secrets(given: str, kept: str) -> None:
    """Neither a user, nor a password, nor a query. The path stays: it may set the price."""
    assert without_secrets(given) == kept
    origin = Origin(
        format="openai_responses",
        at=1.0,
        provider="openai",
        said="openai",
        base_url=given,
        known=False,
        attributes={},
        attribution={},
        runs=(),
        span=(1, 2),
    )
    assert origin.endpoint.base_url == kept
