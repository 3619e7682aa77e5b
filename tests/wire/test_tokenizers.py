"""Token estimates: never a wait, never the network, near enough, and the same text the same count."""

from __future__ import annotations

import importlib.util
import socket
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agentcost.wire import tokenizers
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS
from tests.wire.test_fuzz import BOUNDED, objects

PROSE = (
    "The committee met on Tuesday to discuss the quarterly results, which had been better than anyone expected. "
    "Three members asked for a second reading of the report; the others were content to approve it as it stood.\n"
)
CODE = """def total(items: list[int]) -> int:
    result = 0
    for item in items:
        result += item
    return result
"""


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No vocabulary is loaded, as in a fresh process."""
    monkeypatch.setattr(tokenizers, "_counters", {})
    monkeypatch.setattr(tokenizers, "_loading", set())


def test_the_first_count_does_not_wait_for_a_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading takes as long as it likes, in a thread of its own; the count is there at once, and is never zero."""
    release, began = threading.Event(), threading.Event()

    def slow(name: str) -> Any:
        began.set()
        release.wait(10)
        return lambda text: 1000

    monkeypatch.setattr(tokenizers, "_from_splintr", slow)
    start = time.perf_counter()
    assert 30 <= tokenizers.count_text(PROSE, "gpt-4o") <= 60
    assert time.perf_counter() - start < 0.5
    assert began.wait(5)
    release.set()
    assert tokenizers.ready()
    assert tokenizers.count_text(PROSE, "gpt-4o") == 1000


def test_without_a_tokenizer_and_without_a_network_it_still_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package, no vocabulary on disk: the rule of thumb, and no attempt to reach anybody."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("went to the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(tokenizers, "_from_splintr", lambda name: None)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    assert not tokenizers.ready()
    assert tokenizers.count_text(PROSE, "gpt-4o") == tokenizers.rule_of_thumb(PROSE)


def test_a_tokenizer_that_fails_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a broken package nor a text that chokes a vocabulary reaches the application."""

    def broken(name: str) -> Any:
        raise ImportError("its extension is for another machine")

    monkeypatch.setattr(tokenizers, "_from_splintr", broken)
    monkeypatch.setattr(tokenizers, "_from_tiktoken", broken)
    assert not tokenizers.ready()
    monkeypatch.setattr(tokenizers, "_counters", {"o200k_base": lambda text: 1 // 0})
    assert tokenizers.count_text("hello there", None) == 2


@pytest.mark.skipif(importlib.util.find_spec("splintr") is None, reason="the `tokens` extra is not installed")
def test_the_rule_of_thumb_is_near_the_vocabulary() -> None:
    """Prose, code and other languages: within a third, where a quarter of the characters is off by far more."""
    assert tokenizers.ready()
    for text in (
        PROSE * 20,
        CODE * 20,
        '{"name": "get_weather", "arguments": {"city": "San Francisco", "days": 12345}}' * 20,
        "人工智能是计算机科学的一个分支，旨在开发能够执行通常需要人类智能的任务的机器。" * 20,
        "Искусственный интеллект занимается созданием машин. " * 20,
    ):
        exact = tokenizers.count_text(text, "gpt-4o")
        assert tokenizers.rule_of_thumb(text) == pytest.approx(exact, rel=0.34), text[:40]


@pytest.mark.skipif(importlib.util.find_spec("splintr") is None, reason="the `tokens` extra is not installed")
def test_special_tokens_in_a_text_are_text() -> None:
    """A prompt that spells out an end-of-text mark is sent, and billed, as its letters."""
    assert tokenizers.ready()
    assert tokenizers.count_text("<|endoftext|>", "gpt-4o") > 3


def test_a_very_long_text_is_counted_by_its_beginning() -> None:
    """Ten million characters must not hold up a settling call."""
    start = time.perf_counter()
    count = tokenizers.count_text(PROSE * 50_000, "gpt-4o")
    assert time.perf_counter() - start < 2
    assert count == pytest.approx(tokenizers.rule_of_thumb(PROSE) * 50_000, rel=0.1)


@BOUNDED
@given(text=st.text(max_size=300))
def test_any_text_has_a_count_no_larger_than_its_bytes(text: str) -> None:
    """Lone surrogates and control characters included; no text but the empty one is nothing."""
    assert 0 <= tokenizers.rule_of_thumb(text) <= max(2, round(1.1 * len(text.encode("utf-8", "surrogatepass"))))
    assert (tokenizers.count_text(text, None) == 0) == (text == "")


@BOUNDED
@given(body=objects)
def test_any_request_has_a_prompt_size(body: Any) -> None:
    """Nonsense counts something or nothing, and never raises."""
    assert PROMPT_TOKENS.count(body, "gpt-4o") >= 0
    assert PROMPT_TOKENS.count(body, "claude-opus-5") >= 0


def test_what_stands_in_a_request_counts_once() -> None:
    """Messages, instructions and tools count; identifiers, encoded pictures and signatures do not."""
    said = {"role": "user", "content": PROSE}
    alone = PROMPT_TOKENS.count({"messages": [said]}, "gpt-4o")
    assert alone == tokenizers.rule_of_thumb(PROSE) + 1 + 3 + 3
    data = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    with_image = PROMPT_TOKENS.count({"messages": [said, {"role": "user", "content": [data]}]}, "gpt-4o")
    assert with_image - alone == 765 + 1 + 3
    tool = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "Its name"}, "days": {"type": "integer"}},
                "required": ["city"],
            },
        },
    }
    assert 35 <= PROMPT_TOKENS.count({"messages": [said], "tools": [tool]}, "gpt-4o") - alone <= 70
    assert PROMPT_TOKENS.count({"messages": [said], "tools": [tool]}, "claude-opus-5") > 346
    assert PROMPT_TOKENS.count({"input": "hello"}, "text-embedding-3-small", raw=True) == 1
    assert PROMPT_TOKENS.count({"input": [[1, 2, 3], [4]]}, "text-embedding-3-small", raw=True) == 0
