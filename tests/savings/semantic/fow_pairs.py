"""The pairs of questions of fow-cache (Mabon ap Gwyn, CC BY 4.0), as they are in its wheel, and an embedding."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import pytest


class Pair(NamedTuple):
    """Two questions, and whether one answer is right for both."""

    name: str
    kind: str
    one: str
    other: str
    same: bool


def _file(name: str) -> list[Mapping[str, Any]]:
    """The rows of a file of the data set. The package is not imported."""
    try:
        found = [file for file in files("fow-cache") or () if str(file).endswith(f"data/{name}")]
    except PackageNotFoundError:
        pytest.skip("fow-cache is not installed: its pairs of questions are needed (pip install fow-cache)")
    (file,) = found
    with Path(str(file.locate())).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def pairs() -> list[Pair]:
    """The 600 pairs of single questions: 300 that mean the same, and 300 traps."""
    return [
        Pair(row["id"], row["category"], row["a"], row["b"], bool(row["same_answer"])) for row in _file("pairs.jsonl")
    ]


def traps_in_conversations() -> list[tuple[list[Any], list[Any]]]:
    """Conversations whose last messages are alike and mean different things."""
    names = [f"{folder}/{part}.jsonl" for folder in ("conv-parts", "conv-long") for part in _PARTS]
    rows = chain.from_iterable(map(_file, names))
    return [(row["a"], row["b"]) for row in rows if not row["same_answer"]]


_PARTS = ("billing", "retail", "services")


@cache
def embed(text: str) -> tuple[float, ...]:
    """Words and parts of words by their hashes: an embedding without a model, as good as edit distance."""
    vector = [0.0] * 256
    for word in re.findall(r"\w+", text.lower()):
        parts = [f"<{word}>", *(f"<{word}>"[at : at + 3] for at in range(len(word)))]
        for part in parts:
            vector[crc32(part.encode()) % 256] += 1.0
    return tuple(vector)
