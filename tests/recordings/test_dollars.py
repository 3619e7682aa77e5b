"""Every recorded exchange with Bedrock, Cohere, Mistral, Voyage and Ollama: its dollars are those of genai-prices.

Those with the other providers are in `test_replay.py`. Where the oracle extracts no usage from a response, it prices
our counts: `tests/wire/test_more_recordings.py` holds the counts, with the reasons.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from otel_agentcost.calls.pricing import cost_of
from otel_agentcost.core.call import Answer
from otel_agentcost.core.cost import Cost
from otel_agentcost.integrations.endpoints import endpoint
from otel_agentcost.pricebook import PriceBook, open_book
from otel_agentcost.wire.format import ModelRequest
from tests.wire import genai_prices_usage
from tests.wire.genai_prices_usage import MORE, all_recordings
from tests.wire.test_more_recordings import flavor, form_at, read

PROVIDERS = {**{host: name for host, (name, _) in MORE.items()}, "api.voyageai.com": "voyageai", "127.0.0.1": "ollama"}
"""The oracle's name of the provider at a host. It has no Ollama, which runs on the user's own machine."""
LINES = [line for line in all_recordings() if any(line["host"].partition(":")[0].endswith(host) for host in PROVIDERS)]
OVERLAPPING = {"cache_read_tokens", "cache_write_tokens"}

NO_PRICE = {
    "rerank-english-v2.0": "no price list of the data set has searches of a rerank",
    "rerank-english-v3.0": "no price list of the data set has searches of a rerank",
    "rerank-multilingual-v2.0": "no price list of the data set has searches of a rerank",
    "embed-english-light-v3.0": "the data set has its embed-english-v3.0 alone",
    "rerank-2-lite": "the data set has the embeddings of Voyage alone",
    "llama3": "a model on the user's own machine, which no list has",
    "gemma3:1b": "a model on the user's own machine",
}
"""Models that neither the oracle nor the price book has, and why."""
GUARDED = "guardrail"
"""A guardrail is billed by the text unit beside the tokens, whose dollars are compared."""

pytestmark = [
    pytest.mark.skipif(not LINES, reason="AGENTCOST_CORPORA names no folder with recordings"),
    pytest.mark.skipif(importlib.util.find_spec("genai_prices") is None, reason="genai-prices needs Python 3.11"),
]


def provider_of(line: Mapping[str, Any]) -> str:
    host = line["host"].partition(":")[0]
    return next(name for end, name in PROVIDERS.items() if host.endswith(end))


def priced(book: PriceBook, line: dict[str, Any], at: float) -> tuple[ModelRequest, Answer, Cost, Any]:
    """The request, our answer and its cost, and the response as the oracle can read it."""
    call, answer, response = read(line)
    scheme = "http" if ":" in line["host"] else "https"
    target = book.resolve(endpoint(f"{scheme}://{line['host']}", provider_of(line)), call.model)
    request = ModelRequest(call=call, endpoint=target, format=form_at(line))
    return request, answer, cost_of(book, request, answer, at=at, failed=False), response


def oracle(line: dict[str, Any], model: str | None, answer: Answer, response: Any) -> Decimal | None:
    """What the call costs by the oracle; None where it knows no such model."""
    from genai_prices import Usage, calc_price

    assert answer.usage is not None, answer.missing
    provider = provider_of(line)
    try:
        counts = genai_prices_usage.expected(provider, flavor(line, response), response)
    except (StopIteration, ValueError):  # it extracts nothing
        counts = genai_prices_usage.overlapping(answer.usage, OVERLAPPING)
    try:
        return calc_price(Usage(**counts), model or "", provider_id=provider).total_price
    except LookupError:
        return None


def test_dollars_are_those_of_the_oracle(capsys: pytest.CaptureFixture[str]) -> None:
    """To the last digit, or a model that has no price in either, with the reason in the table above."""
    book, at = open_book(), time.time()
    compared, unpriced, uncounted, differences = 0, 0, 0, list[str]()
    for line in LINES:
        if line["status"] >= 400:
            continue
        request, answer, cost, response = priced(book, line, at)
        model = request.call.model
        if answer.usage is None:  # Ollama's last event, without counts: the pipeline estimates it
            uncounted += 1
            assert cost.usd is None
            assert cost.unpriced, line["id"]
            continue
        wanted = oracle(line, model, answer, response)
        if wanted is None:
            unpriced += 1
            if model not in NO_PRICE or cost.usd is not None or not cost.unpriced:
                differences.append(f"{line['id']} {model}: {cost}, and the oracle has no price")
            continue
        compared += 1
        if cost.usd != wanted or (cost.unpriced is not None and GUARDED not in cost.unpriced):
            differences.append(f"{line['id']} {model}: {cost}, oracle {wanted}")
    with capsys.disabled():
        print(f"\ndollars of recordings: {compared} equal, {unpriced} without a price, {uncounted} without counts")
    assert differences == []
    assert compared
