"""The tables of the Collector: each key is in the piece of its hash, and a dated name costs what its pattern says."""

from __future__ import annotations

import random
from datetime import datetime, timezone
from typing import Any

import pytest

from otel_agentcost.collector.dated_names import dated_stems
from otel_agentcost.collector.hash_table import fnv, pieces
from otel_agentcost.collector.tables import tables
from otel_agentcost.pricebook import PriceMatch, open_book

BOOK = open_book()
TABLES = tables(BOOK, datetime.fromisoformat(BOOK.book.date).replace(tzinfo=timezone.utc).timestamp())
DATES = ("20250929", "20240229", "19991231", "00000000", "99999999")


@pytest.mark.parametrize(
    ("key", "found"),
    [("", 0xCBF29CE484222325), ("a", 0xAF63DC4C8601EC8C), ("foobar", 0x85944171F73967E8)],
)
def test_the_hash_is_the_published_one(key: str, found: int) -> None:
    """The vectors are those of the authors of FNV-1a; OTTL's integers have a sign."""
    assert fnv(key) == found - 2**64


def test_every_key_is_in_the_piece_of_its_hash() -> None:
    """By Go's arithmetic, which truncates."""
    table = {f"openai\tmodel-{number}": f"\nopenai\tmodel-{number}|" for number in range(2_000)}
    found = pieces(table)
    divisor = (len(found) + 1) // 2
    for key, line in table.items():
        number = fnv(key)
        quotient = abs(number) // divisor * (1 if number >= 0 else -1)
        assert line in found[number - quotient * divisor + divisor - 1]
    assert max(map(len, found)) < 20 * max(map(len, table.values()))


def test_a_stem_stands_for_all_its_dates() -> None:
    """Only if the same pattern matches all of them, and none before it matches some."""
    rules: dict[str, list[Any]] = {
        "some": [{"starts_with": "claude-4-2025"}, {"contains": "-2031"}],
        "all": [{"starts_with": "claude-4"}, {"and": [{"starts_with": "o5-"}, {"regex": r"^o5-\d{8}$"}]}],
        "ends": [{"ends_with": "nova"}, {"starts_with": "nova"}],
        "late": [{"contains": "gpt"}, {"regex": "^gpt-[0-9]"}],
    }
    assert dated_stems({"all": rules["all"]}, ["other"]) == {"claude-4": "all", "o5": "all"}
    assert dated_stems({"ends": rules["ends"], "late": rules["late"]}, []) == {"nova": "ends", "gpt": "late"}
    undecided = dated_stems({"some": rules["some"], "all": rules["all"]}, [])
    assert undecided == {"claude-4-2025": "some", "-2031": "some"}
    del rules["some"][1]
    assert dated_stems({"some": rules["some"], "all": rules["all"]}, ["claude-4-1"]) == {
        "claude-4-1": "all", "o5": "all", "claude-4-2025": "some",
    }  # fmt: skip


def test_each_dated_name_of_the_book_costs_the_same_as_in_an_application() -> None:
    """All stems of all providers, with real dates and impossible ones."""
    rnd = random.Random(4)
    checked = 0
    for provider, table in TABLES.items():
        rules: dict[str, list[Any]] = {}
        for rule in table.rules:
            rules.setdefault(rule.key, []).append(rule.matches)
        for stem, key in dated_stems(rules, list(table.lines)).items():
            for date in (*DATES, f"{rnd.randrange(10**8):08}"):
                name = f"{stem}-{date}"
                found = BOOK.find((name,), None, provider)
                if name not in table.lines and isinstance(found, PriceMatch):
                    assert found.model == key.partition("/")[2], (provider, name)
                    checked += 1
    assert checked > 3_000
