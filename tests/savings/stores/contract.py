"""What every store does. A kind's test class derives from `StoreContract` and gives the fixture `url`."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from otel_agentcost.core.cache_store import CacheStore, Stored
from otel_agentcost.savings.stores import open_store
from tests.guard.ledger.calls import in_a_child

NOW = 1_800_000_000.25
LATER = NOW + 60
HOSTILE = "tenant={agentcost}:*?[a]\r\n\x00\ud800'\"; DROP TABLE entries; -- é🜚"
MOST = 200_000


class StoreContract:
    """The tests of one kind of store."""

    @pytest.fixture
    def store(self, url: str) -> Iterator[CacheStore]:
        store = open_store(url, most_bytes=MOST)
        yield store
        store.close()

    def test_an_entry_is_kept_until_it_expires(self, store: CacheStore) -> None:
        """An entry comes back with its bytes and the time it was stored, until its end, and not at it."""
        assert store.get("k", NOW) is None
        value = bytes(range(256))
        assert store.put("k", "s", value, NOW, LATER)
        assert store.get("k", NOW) == store.get("k", LATER - 0.25) == Stored(value, NOW)
        assert store.get("other", NOW) is None
        assert store.get("k", LATER) is None
        assert store.size(LATER).entries == 0

    def test_what_has_expired_is_not_kept(self, store: CacheStore) -> None:
        """An entry whose end has come already is none, and takes the place of the one before."""
        store.put("k", "s", b"old", NOW, LATER)
        store.put("k", "s", b"new", NOW, NOW)
        assert store.get("k", NOW) is None

    def test_the_last_one_counts(self, store: CacheStore) -> None:
        """An entry takes the place of one with the same key, with its own scope and end."""
        store.put("k", "a", b"1", NOW, NOW + 1)
        store.put("k", "b", b"", NOW + 0.5, LATER)
        assert store.get("k", NOW + 2) == Stored(b"", NOW + 0.5)
        assert store.size(NOW).entries == 1
        assert store.clear("a") == 0
        assert store.clear("b") == 1

    def test_any_text_is_a_key_and_a_scope(self, store: CacheStore) -> None:
        """Keys and scopes are not read as anything: what looks like a pattern or like SQL is text."""
        store.put(HOSTILE, HOSTILE, b"1", NOW, LATER)
        store.put(HOSTILE + "x", "tenant=x", b"2", NOW, LATER)
        assert store.claim(HOSTILE, HOSTILE, NOW, LATER)
        assert store.get(HOSTILE, NOW) == Stored(b"1", NOW)
        assert store.get("*", NOW) is None
        assert store.clear("*") == store.clear("tenant=*") == 0
        assert store.clear(HOSTILE) == 1
        assert store.get(HOSTILE + "x", NOW) == Stored(b"2", NOW)

    def test_a_scope_is_cleared_and_no_other(self, store: CacheStore) -> None:
        """Clearing a scope leaves the others; clearing all leaves nothing; both say how many entries they removed."""
        for tenant in ("a", "ab", "b"):
            for i in range(3):
                store.put(f"{tenant}{i}", f"tenant={tenant}", b"x", NOW, LATER)
        assert store.clear("tenant=a") == 3
        assert store.get("a0", NOW) is None
        assert store.get("ab0", NOW) is not None
        assert store.size(NOW).entries == 6
        assert store.clear(None) == 6
        assert store.clear(None) == 0
        assert store.size(NOW) == (0, 0)

    def test_one_too_large_is_refused(self, store: CacheStore) -> None:
        """An entry that is larger than the store is not kept, and drives out no other."""
        store.put("small", "s", b"x", NOW, LATER)
        assert not store.put("k", "s", b"x" * (MOST + 1), NOW, LATER)
        assert store.get("k", NOW) is None
        assert store.get("small", NOW) is not None

    def test_one_fetches_and_the_others_are_told(self, store: CacheStore) -> None:
        """A claim is of one owner until it is given up or expires; the same owner may repeat it."""
        assert store.claim("k", "me", NOW, LATER)
        assert store.claim("k", "me", NOW, LATER)
        assert not store.claim("k", "you", NOW + 59, LATER)
        assert store.claim("other", "you", NOW, LATER)
        store.unclaim("k", "you")
        assert not store.claim("k", "you", NOW, LATER)
        store.unclaim("k", "me")
        store.unclaim("k", "me")
        assert store.claim("k", "you", NOW, LATER)
        assert store.claim("k", "me", LATER, LATER + 60)

    def test_a_claim_is_no_entry(self, store: CacheStore) -> None:
        """Claims are neither read, nor counted, nor changed by an entry of the same key."""
        store.claim("k", "me", NOW, LATER)
        assert store.get("k", NOW) is None
        assert store.size(NOW).entries == 0
        store.put("k", "s", b"x", NOW, LATER)
        assert not store.claim("k", "you", NOW, LATER)

    def test_one_of_many_threads_gets_the_claim(self, store: CacheStore) -> None:
        """Where several threads ask at the same time, one gets it."""
        start = threading.Barrier(8)

        def ask(i: int) -> bool:
            start.wait()
            return store.claim("k", str(i), NOW, LATER)

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(ask, range(8))) == 1

    def test_threads_get_their_own(self, store: CacheStore) -> None:
        """Eight threads that put, get and clear never read what is not of their key."""

        def work(i: int) -> None:
            for n in range(60):
                key = f"{i % 4}/{n % 5}"
                store.put(key, f"tenant={i % 4}", key.encode() * 50, NOW, LATER)
                found = store.get(key, NOW)
                assert found is None or found.value == key.encode() * 50
                if n % 20 == 0:
                    store.clear(f"tenant={i % 4}")

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))

    def test_a_closed_store_opens_again(self, store: CacheStore) -> None:
        """A verb after `close` works."""
        store.put("k", "s", b"x", NOW, LATER)
        store.close()
        store.close()
        assert store.get("k", NOW) == Stored(b"x", NOW)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    def test_a_forked_child_uses_it_too(self, store: CacheStore) -> None:
        """The child reads what was there, and keeps its own, while threads of the parent use the store."""
        store.put("k", "s", b"x", NOW, LATER)
        ended = threading.Event()

        def busy() -> None:
            while not ended.is_set():
                store.put("busy", "s", b"y", NOW, LATER)

        thread = threading.Thread(target=busy)
        thread.start()
        try:
            for _ in range(5):
                assert in_a_child(
                    lambda: (
                        store.get("k", NOW) == Stored(b"x", NOW)
                        and store.put("child", "s", b"z", NOW, LATER)
                        and store.get("child", NOW) == Stored(b"z", NOW)
                    )
                )
        finally:
            ended.set()
            thread.join()
        assert store.get("k", NOW) == Stored(b"x", NOW)


class BoundedContract:
    """What a store does that drops entries itself, as Redis leaves to its server."""

    def test_bytes_are_bounded(self, store: CacheStore) -> None:
        """However many entries come, the store keeps no more than it may, and the last ones."""
        for i in range(300):
            assert store.put(f"k{i}", "s", b"x" * 2_000, NOW + i, LATER + i)
            assert store.size(NOW).size <= MOST
        assert store.get("k299", NOW) is not None
        assert store.get("k0", NOW) is None
        assert store.size(NOW).entries > 50
