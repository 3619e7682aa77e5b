"""The store of one process."""

from __future__ import annotations

import pytest

from otel_agentcost.savings.stores.memory import CLAIMS_AT_MOST, MemoryStore
from tests.guard.ledger.calls import in_a_child
from tests.savings.stores.contract import LATER, NOW, BoundedContract, StoreContract


class TestMemory(StoreContract, BoundedContract):
    """In a dictionary."""

    @pytest.fixture
    def url(self) -> str:
        return "memory://"


def test_what_is_used_stays() -> None:
    """The entry that was not used for the longest time makes room."""
    store = MemoryStore(3_000)
    for key in ("a", "b", "c", "d"):
        store.put(key, "s", b"x" * 100, NOW, LATER)
    store.get("a", NOW)
    store.put("e", "s", b"x" * 100, NOW, LATER)
    assert [key for key in "abcde" if store.get(key, NOW)] == ["a", "c", "d", "e"]


def test_claims_are_bounded() -> None:
    """Claims that are never given up do not fill the memory; what is beyond the bound may be fetched twice."""
    store = MemoryStore(3_000)
    for i in range(CLAIMS_AT_MOST + 10):
        assert store.claim(str(i), "me", NOW, LATER)
    assert store.claim(str(CLAIMS_AT_MOST + 1), "you", NOW, LATER)
    assert not store.claim("0", "you", NOW, LATER)
    assert store.claim("new", "me", LATER, LATER + 60)
    assert not store.claim("new", "you", LATER, LATER + 60)


def test_a_child_does_not_wait_for_its_parents_calls() -> None:
    """The claims of the parent are not the child's."""
    store = MemoryStore(3_000)
    store.claim("k", "parent", NOW, LATER)
    assert in_a_child(lambda: store.claim("k", "child", NOW, LATER))
