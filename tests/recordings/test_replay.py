"""Every recorded exchange, through the real SDK under our instrumentation: its span against genai-prices' figures."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import anthropic
import openai
import pytest
from opentelemetry.sdk.trace import ReadableSpan

from otel_agentcost.core import semconv
from tests.recordings.replay import replay, replay_async
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.wire import genai_prices_usage

LINES = genai_prices_usage.recordings()

pytestmark = [
    pytest.mark.skipif(not LINES, reason="AGENTCOST_CORPORA names no folder with recordings"),
    pytest.mark.skipif(importlib.util.find_spec("genai_prices") is None, reason="genai-prices needs Python 3.11"),
    # Recorded requests use parameters and models that today's SDKs warn about.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

TOKENS = {semconv.INPUT_TOKENS: "input_tokens", semconv.OUTPUT_TOKENS: "output_tokens"}
PARTS = {semconv.CACHE_READ_TOKENS: "cache_read_tokens", semconv.REASONING_TOKENS: "output_reasoning_tokens"}


def response_of(line: Mapping[str, Any]) -> Any:
    """The recorded answer as one response, such as the oracle reads."""
    if genai_prices_usage.is_stream(line):
        return genai_prices_usage.merged(list(genai_prices_usage.events(line["response"])))
    return json.loads(line["response"])


def dollars(line: Mapping[str, Any], response: Any, usage: Mapping[str, int]) -> Decimal | None:
    """What the oracle says the call cost; None where it refuses."""
    from genai_prices import Usage, calc_price

    provider = genai_prices_usage.provider_of(line)
    tier = response.get("service_tier")
    context = {"service_tier": tier} if tier and tier != "auto" else {}
    for model in (response.get("model") or response.get("modelVersion"), json.loads(line["request"]).get("model")):
        if model is None:
            continue
        try:
            return calc_price(Usage(**usage), model, provider_id=provider, price_context=context).total_price
        except (LookupError, ValueError):
            continue
    return None


def judge(line: Mapping[str, Any], span: ReadableSpan) -> tuple[str, str | None]:
    """How the span of a recording was compared, and what differs, if anything does."""
    said = dict(span.attributes or {})
    if line["status"] >= 400:
        charged = said.get(semconv.COST) or said.get(semconv.INPUT_TOKENS)
        return "error", None if semconv.ERROR_TYPE in said and not charged else f"{said}"
    response = response_of(line)
    try:
        usage = genai_prices_usage.expected(
            genai_prices_usage.provider_of(line) or "", genai_prices_usage.flavor_of(line), response
        )
    except ValueError:
        if said.get(semconv.ESTIMATED):
            return "estimated", None
        return "no usage", None if said.get(semconv.UNPRICED) else f"no usage, and no reason: {said}"
    wanted: dict[str, Any] = {name: usage.get(key, 0) for name, key in TOKENS.items()}
    wanted |= {name: usage[key] for name, key in PARTS.items() if usage.get(key)}
    cost = dollars(line, response, usage)
    wanted[semconv.COST] = float(cost) if cost is not None else None
    found = {name: said.get(name) for name in wanted}
    if cost is None and not said.get(semconv.UNPRICED):
        return "unpriced", f"no price, and no reason: {said}"
    return ("priced" if cost is not None else "unpriced"), None if found == wanted else f"{found}, oracle {wanted}"


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_every_recording_has_the_tokens_and_dollars_of_genai_prices(
    telemetry: Telemetry, model_server: ModelServer, capsys: pytest.CaptureFixture[str], *, asynchronous: bool
) -> None:
    """Through the real SDK against a local server, streamed and not: zero differences to the oracle's figures."""
    lines = [line for line in LINES if not (asynchronous and genai_prices_usage.provider_of(line) == "google")]
    judged: dict[str, int] = {}
    differences: list[str] = []
    started = time.time()
    with instrumented(telemetry):
        for line in lines:
            telemetry.clear()
            try:
                if asynchronous:
                    asyncio.run(replay_async(line, model_server))
                else:
                    replay(line, model_server)
            except (openai.APIStatusError, anthropic.APIStatusError):
                assert line["status"] >= 400, line["id"]
            (span,) = telemetry.spans
            how, difference = judge(line, span)
            judged[how] = judged.get(how, 0) + 1
            if difference is not None:
                differences.append(f"{line['id']} {line['host']}{line['path']}: {difference}")
    with capsys.disabled():
        kind = "async" if asynchronous else "sync"
        print(
            f"\nrecordings through the SDKs ({kind}): {len(lines)} replayed, {judged}, {len(differences)} differ, "
            f"{time.time() - started:.1f} s"
        )
    assert differences == []
