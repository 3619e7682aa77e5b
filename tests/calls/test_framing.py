"""The events in the bytes of a stream, however the bytes are cut."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from otel_agentcost.calls import framing
from otel_agentcost.calls.framing import Splitter, splitter

EVENTS = [{"n": n, "text": "x" * n} for n in range(30)]
LINES = b"".join(json.dumps(event).encode() + b"\n" for event in EVENTS)


def lines() -> Splitter:
    made = splitter("application/jsonl")
    assert made is not None
    return made


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


def events(content: bytes, size: int) -> list[object]:
    made = lines()
    return [event for piece in pieces(content, size) for event in made.feed(piece)] + list(made.rest())


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
@pytest.mark.parametrize("content", [LINES, LINES[:-1]], ids=["whole", "without the last line end"])
def test_lines_are_found_however_they_are_cut(content: bytes, size: int) -> None:
    """Each once, in order."""
    assert events(content, size) == EVENTS


def test_a_file_without_lines_takes_no_time() -> None:
    """Its bytes are joined once, and not with each piece."""
    made, piece = lines(), b"x" * 16_384
    began = time.process_time()
    for _ in range(1_000):  # 16 MB
        assert list(made.feed(piece)) == []
    assert time.process_time() - began < 1
    assert list(made.feed(b"\n" + LINES))[1:] == EVENTS


def test_a_line_that_is_too_long_is_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is dropped, and those after it are read."""
    monkeypatch.setattr(framing, "_LONGEST", 1_000)
    assert events(b"[" + b"1," * 2_000 + b"1]\n" + LINES, 100) == EVENTS
