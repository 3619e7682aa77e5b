"""Every recorded exchange with a real provider, read by us and by genai-prices: the two must agree on every count."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from otel_agentcost.core.call import Answer
from otel_agentcost.wire.fields import get
from tests.wire import genai_prices_usage

LINES = genai_prices_usage.recordings()

pytestmark = [
    pytest.mark.skipif(not LINES, reason="AGENTCOST_CORPORA names no folder with recordings"),
    pytest.mark.skipif(importlib.util.find_spec("genai_prices") is None, reason="genai-prices needs Python 3.11"),
]


def read(line: dict[str, Any]) -> tuple[Answer, Any]:
    """Our answer to a recorded exchange, and the response as the oracle can read it."""
    form = genai_prices_usage.reader_of(line)
    call = form.read_request(genai_prices_usage.request_of(line), line["path"])
    if not genai_prices_usage.is_stream(line):
        response = json.loads(line["response"])
        return form.read_response(call, response), response
    reader, seen = form.open_stream(call), list(genai_prices_usage.events(line["response"]))
    for event in seen:
        reader.feed(event)
    return reader.answer(complete=True), genai_prices_usage.merged(seen)


def compare(line: dict[str, Any]) -> tuple[str, str | None]:
    """How a line was judged ("whole", "streamed", "no usage", "estimated"), and what differs, if anything does."""
    answer, response = read(line)
    provider, flavor = genai_prices_usage.provider_of(line), genai_prices_usage.flavor_of(line)
    try:
        wanted = genai_prices_usage.expected(provider or "", flavor, response)
    except ValueError as refusal:
        if answer.usage is None:
            return "no usage", None if answer.missing else "no usage and no reason"
        estimated = answer.usage.estimated and genai_prices_usage.is_stream(line)
        return "estimated", None if estimated else f"{answer.usage.counts} where the oracle says: {refusal}"
    if answer.usage is None:
        return "refused", f"{answer.missing!r}, where the oracle extracts {wanted}"
    found = genai_prices_usage.overlapping(answer.usage, set(wanted))
    how = "streamed" if genai_prices_usage.is_stream(line) else "whole"
    return how, None if found == wanted and not answer.usage.estimated else f"{found}, oracle {wanted}"


def test_every_recording_has_the_usage_that_genai_prices_extracts(capsys: pytest.CaptureFixture[str]) -> None:
    """Read as JSON, whole and streamed: the same counts as the oracle's, on every line."""
    judged: dict[str, int] = {}
    differences: list[str] = []
    for line in LINES:
        how, difference = compare(line)
        judged[how] = judged.get(how, 0) + 1
        if difference is not None:
            differences.append(f"{line['id']} {line['host']}{line['path']}: {difference}")
    with capsys.disabled():
        compared = judged.get("whole", 0) + judged.get("streamed", 0)
        print(f"\nrecordings: {compared} compared, {len(differences)} differ; {judged}")
    assert differences == []


def test_every_recording_names_its_model() -> None:
    """The served model is found wherever the provider names it, and the requested one wherever there is a body."""
    for line in LINES:
        answer, response = read(line)
        if named := get(response, "model") or get(response, "modelVersion"):
            assert answer.model == named, line["id"]


def test_a_truncated_recording_is_estimated_and_never_fails() -> None:
    """Every recorded stream, cut after every tenth event: a usage that says it is estimated, or a reason."""
    for line in filter(genai_prices_usage.is_stream, LINES):
        form = genai_prices_usage.reader_of(line)
        call = form.read_request(genai_prices_usage.request_of(line), line["path"])
        seen = list(genai_prices_usage.events(line["response"]))
        for cut in range(0, len(seen), 10):
            reader = form.open_stream(call)
            for event in seen[:cut]:
                reader.feed(event)
            answer = reader.answer(complete=False)
            final = any(event.get("usage") or event.get("type") == "message_delta" for event in seen[:cut])
            assert answer.missing or answer.usage is not None, (line["id"], cut)
            assert answer.usage is None or answer.usage.estimated is not final, (line["id"], cut)
            assert answer.usage is None or answer.usage.input_tokens > 0, (line["id"], cut)
