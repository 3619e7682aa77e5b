"""The right dollars for what real instrumentations of other makers send (tests/collector/foreign), or none, and why."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from otel_agentcost.core import aliases, semconv
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.integrations.spans.sources import SOURCES
from otel_agentcost.pricebook import open_book
from tests.collector.pricing_collector import Pricing

RECORDED = sorted((Path(__file__).parent / "foreign").glob("*.json"))
HOSTS = {
    "openai": "api.openai.com",
    "anthropic": "api.anthropic.com",
    "aws": "bedrock-runtime.us-east-1.amazonaws.com",
    "google": "generativelanguage.googleapis.com",
    "openrouter": "openrouter.ai",
}
NANO = 1e-9
START = 1_767_225_600
"""When the spans are said to have begun."""
BOOK = open_book()


def scenarios() -> Iterator[Any]:
    """All that is recorded."""
    for path in RECORDED:
        for one in json.loads(path.read_text(encoding="utf-8")):
            yield pytest.param(one, id=f"{path.stem}:{one['scenario']}")


def costs(scenario: dict[str, Any]) -> list[float]:
    """What each call of a scenario costs that has a price, by what the provider said of it."""
    found = [
        BOOK.price(
            Usage(counts=cast("dict[Kind, int]", call["usage"])),
            provider=call["provider"],
            base_url=f"https://{HOSTS[call['provider']]}",
            models=(call["model"],),
            at=START,
        ).usd
        for call in scenario["truth"]
    ]
    return [float(usd) for usd in found if usd is not None]


@pytest.mark.parametrize("scenario", list(scenarios()))
def test_each_call_has_its_dollars_once(scenario: dict[str, Any], pricing: Pricing) -> None:
    """One span a call has dollars, those of what the provider said; where the spans do not say enough, as declared."""
    came = pricing.passed(scenario["resourceSpans"])
    right = costs(scenario)
    priced = [one for one in came if semconv.COST in one]
    got = [one[semconv.COST] for one in priced]
    unpriced = [one for one in came if one.get(semconv.UNPRICED)]
    same = len(got) == len(right) and abs(math.fsum(got) - math.fsum(right)) < NANO
    assert not [one for one in priced if one.get(semconv.OPERATION) in semconv.AGENT_OPERATIONS]
    kind = scenario.get("gap", "").partition(":")[0]
    if not kind:
        assert same, (got, right, came)
        assert len(right) == len(scenario["truth"]) or unpriced
    elif kind == "unpriced":
        assert not got
        assert len(unpriced) >= len(scenario["truth"])
    elif kind == "unseen":
        assert not got
        assert not unpriced
    else:
        assert kind == "different"
        assert got
        assert not same, "the gap is closed: take it out"


def test_who_leaves_cached_tokens_out_is_known_alike() -> None:
    """The Collector's list of scopes whose input excludes cached tokens is the application's."""
    assert set(aliases.EXCLUSIVE_SCOPES) == {scope for scope, source in SOURCES.items() if source.exclusive}
