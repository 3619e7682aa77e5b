"""Side by side with promptcachelint, which compares the texts of recorded requests, on the same transcripts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.savings.prompt_cache.simulated import DIALECTS, Watched, begun, stepped
from tests.savings.prompt_cache.test_breaks import KINDS, expected

promptcachelint: Any = pytest.importorskip("promptcachelint", reason="promptcachelint is not installed")

THEIRS = {"anthropic_messages": "anthropic", "openai_chat": "openai", "openai_responses": "openai"}
CODES = {"tools": "CL002", "system": "CL001", "model": "CL003", "parameter": "CL003", "messages": "CL001"}


@pytest.mark.parametrize("dialect", [each for each in DIALECTS if each.name in THEIRS], ids=lambda each: each.name)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_both_find_the_same_break(dialect: Any, kind: str) -> None:
    """Both name the same request and the same cause.

    It does not compare OpenAI's `tool_choice`, has no certain finding for an eviction by OpenAI, and cannot read
    requests of Bedrock and Gemini.
    """
    watched = Watched(dialect)
    recorder = promptcachelint.Recorder()
    prompt = begun()

    def ask(prompt: Any) -> Any:
        request, at = watched.request(prompt), watched.now
        read, rest = watched.provider.read(prompt, watched.now)
        written = rest - 3 if dialect.writes else 0
        response = dialect.response(read, written, rest - written)
        watched.now += 2
        with promptcachelint.session("one"):
            recorder.record(THEIRS[dialect.name], request.call.body, response=response)
        return watched.health.answered(request, {}, 1, dialect.form.read_response(request.call, response), at)

    for _ in range(6):
        assert ask(prompt) is None
        prompt = stepped(prompt)
    miss = ask(KINDS[kind](prompt, watched))
    assert (miss.reason, miss.segment) == expected(kind, dialect)
    report = promptcachelint.analyze(recorder.records)
    found = [{each["code"] for each in request["findings"]} for request in report.to_dict()["sessions"][0]["requests"]]
    assert not any(codes & {"CL001", "CL002", "CL003"} for codes in found[:-1])
    if kind == "parameter" and dialect.name != "anthropic_messages":
        assert not found[-1] & {"CL001", "CL002", "CL003"}
    elif miss.reason != "provider":
        assert CODES[miss.reason] in found[-1]
    elif dialect.name == "anthropic_messages":
        assert "CL005" in found[-1]
