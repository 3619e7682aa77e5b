"""Every recorded exchange with Bedrock, Cohere and Mistral: tokens and dollars as genai-prices extracts them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from typing import Any

import pytest

from otel_agentcost.core.call import Answer, Call
from otel_agentcost.wire import Format, load
from otel_agentcost.wire.bedrock_invoke import form_of
from tests.wire import genai_prices_usage
from tests.wire.genai_prices_usage import MORE, more_recordings

LINES = more_recordings()

pytestmark = [
    pytest.mark.skipif(not LINES, reason="AGENTCOST_CORPORA names no folder with recordings"),
    pytest.mark.skipif(importlib.util.find_spec("genai_prices") is None, reason="genai-prices needs Python 3.11"),
]

NOT_COUNTED = {
    "/invoke": "genai-prices reads Converse's and Anthropic's bodies only",
    "/rerank": "genai-prices has no searches of a rerank",
    "/generate": "genai-prices reads billed units in `usage` only, and not in `meta`",
    "/v1/chat": "genai-prices reads billed units in `usage` only, and not in `meta`",
}
"""Why the oracle extracts nothing from the responses of a path, by its end."""


def form_at(line: dict[str, Any]) -> Format:
    path = line["path"]
    if path.endswith("/converse"):
        return load("bedrock_converse")
    if path.endswith("/invoke"):
        return form_of(json.loads(line["request"]))
    if ":" in line["host"]:
        return load("ollama")
    if path.endswith("/rerank") and "voyage" in line["host"]:
        return load("token_rerank")
    if "cohere" in line["host"]:
        return load("cohere_rerank" if path.endswith("/rerank") else "cohere")
    return load("openai_embeddings" if path.endswith("/embeddings") else "openai_chat")


def events(line: dict[str, Any]) -> Iterator[Any]:
    """The events of a stream: server-sent, or a value a line."""
    if "event-stream" in line["content_type"]:
        yield from genai_prices_usage.events(line["response"])
    else:
        yield from (json.loads(row) for row in line["response"].splitlines() if row.strip())


def read(line: dict[str, Any]) -> tuple[Call, Answer, Any]:
    """The call, our answer, and the response as the oracle can read it."""
    form = form_at(line)
    call = form.read_request(json.loads(line["request"]), line["path"])
    if not any(name in (line["content_type"] or "") for name in ("stream", "ndjson")):
        response = json.loads(line["response"])
        return call, form.read_response(call, response), response
    reader, seen = form.open_stream(call), list(events(line))
    for event in seen:
        reader.feed(event)
    inner = [event.get("delta") or event.get("response") for event in seen]
    ended = [found if isinstance(found, dict) else event for found, event in zip(inner, seen, strict=True)]
    response = next((each for each in reversed(ended) if each.get("usage") or each.get("meta")), {})
    return call, reader.answer(complete=True), response


def flavor(line: dict[str, Any], response: Any) -> str:
    provider, usual = next((known for host, known in MORE.items() if line["host"].endswith(host)), ("", "default"))
    if provider == "aws" and "input_tokens" in (response.get("usage") or {}):
        return "anthropic"
    return "embeddings" if line["path"].endswith("/embed") else usual


def test_tokens_are_those_of_the_oracle(capsys: pytest.CaptureFixture[str]) -> None:
    """The same counts wherever it extracts some; where it extracts none, ours have a reason to be there."""
    compared, alone, differences = 0, 0, list[str]()
    for line in LINES:
        if line["status"] >= 400:
            continue
        _, answer, response = read(line)
        provider = next(known for host, known in MORE.items() if line["host"].endswith(host))[0]
        try:
            wanted = genai_prices_usage.expected(provider, flavor(line, response), response)
        except ValueError as refusal:
            alone += 1
            if not any(line["path"].endswith(end) for end in NOT_COUNTED) or answer.usage is None:
                differences.append(f"{line['id']} {line['path']}: {answer.missing}, oracle: {refusal}")
            continue
        compared += 1
        found = {} if answer.usage is None else genai_prices_usage.overlapping(answer.usage, set(wanted))
        if found != wanted or answer.usage is None or answer.usage.estimated:
            differences.append(f"{line['id']} {line['path']}: {found}, oracle {wanted}")
    with capsys.disabled():
        print(f"\nrecordings of Bedrock, Cohere and Mistral: {compared} compared, {alone} read here alone")
    assert differences == []
