"""The store on a server: a real Redis or Valkey, on a free port."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_agentcost.core.cache_store import CacheStore
from otel_agentcost.savings.stores import StoreError, open_store
from tests.savings.stores.contract import LATER, NOW, StoreContract
from tests.savings.stores.shared_contract import SharedContract
from tests.support.redis_server import Server


class TestRedis(StoreContract, SharedContract):
    """On a server."""

    @pytest.fixture
    def url(self, redis_server: Server) -> str:
        redis_server.empty()
        return redis_server.url

    def test_the_server_forgets_what_has_expired(self, store: CacheStore, redis_server: Server) -> None:
        """Every name has its time to live, and no name or value shows a tenant."""
        store.put("key of acme", "tenant=acme", b"x", NOW, LATER)
        store.claim("key of acme", "me", NOW, NOW + 30)
        client = redis_server.client
        lives = {name: client.ttl(name) for name in client.scan_iter("*")}
        assert sorted(lives.values()) == [pytest.approx(30, abs=2), pytest.approx(60, abs=2)]
        assert all(name.startswith(b"{agentcost-cache}:1:") and b"acme" not in name for name in lives)
        assert all(b"acme" not in client.get(name) for name in lives)

    def test_a_verb_is_one_round_trip(self, store: CacheStore, redis_server: Server) -> None:
        """Once connected, each verb of a call is one command."""

        def verbs() -> None:
            store.put("k", "s", b"x", NOW, LATER)
            store.get("k", NOW)
            store.claim("k", "me", NOW, LATER)
            store.unclaim("k", "me")

        verbs()
        client = redis_server.client
        before = client.info("stats")["total_commands_processed"]
        within = client.info("commandstats")["cmdstat_get"]["calls"]
        verbs()
        after = client.info("stats")["total_commands_processed"]
        inside = client.info("commandstats")["cmdstat_get"]["calls"] - within - 1  # GETs of the two scripts
        assert after - before - 2 - inside - 2 == 4  # two INFO, the scripts' GETs, their SET and DEL

    def test_what_others_keep_there_stays(self, store: CacheStore, redis_server: Server) -> None:
        """Clearing everything removes no name that is not of the store."""
        redis_server.client.set("mine", "x")
        for i in range(1200):
            store.put(str(i), f"tenant={i % 2}", b"x", NOW, LATER)
        assert store.clear("tenant=1") == 600
        assert store.clear(None) == 600
        assert redis_server.client.get("mine") == b"x"

    def test_damaged_entries_are_none(self, store: CacheStore, redis_server: Server) -> None:
        """An entry that others have overwritten is as if it were not there, or one clear error."""
        store.put("k", "s", b"x", NOW, LATER)
        (name,) = redis_server.client.scan_iter("*")
        redis_server.client.set(name, b"short")
        assert store.get("k", NOW) is None
        assert store.size(NOW) == (0, 0)
        assert store.clear("s") == 0
        redis_server.client.delete(name)
        redis_server.client.lpush(name, b"a list")
        with pytest.raises(StoreError, match="cannot be used"):
            store.get("k", NOW)


@pytest.fixture
def own(redis_binary: str, tmp_path: Path) -> Iterator[Server]:
    """A server with a password, which is not yet started."""
    server = Server(redis_binary, tmp_path, "--requirepass", "s3cret")
    yield server
    server.stop()


def test_a_server_that_comes_and_goes(own: Server) -> None:
    """A server that is not there, or wants another login, is one clear error without the password; then it works."""
    url = own.url.replace("//", "//:s3cret@")
    store = open_store(url)
    with pytest.raises(StoreError, match="is not reachable") as raised:
        store.get("k", NOW)
    assert "s3cret" not in str(raised.value)
    own.start()
    assert store.put("k", "s", b"x", NOW, LATER)
    with pytest.raises(StoreError, match="rejects the login"):
        open_store(own.url).get("k", NOW)
    own.stop()
    with pytest.raises(StoreError, match="is not reachable"):
        store.get("k", NOW)
    own.start()
    assert store.get("k", NOW) is None
    assert store.claim("k", "me", NOW, LATER)
    store.close()


def test_a_server_that_does_not_answer() -> None:
    """A verb waits for its time-out and no longer."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        store = open_store(f"redis://127.0.0.1:{listening.getsockname()[1]}/0", timeout=0.1)
        began = time.monotonic()
        with pytest.raises(StoreError, match="is not reachable"):
            store.get("k", NOW)
        assert time.monotonic() - began < 2
        store.close()


def test_a_full_server(redis_binary: str, tmp_path: Path) -> None:
    """A server that has no room and evicts nothing is one clear error, and what it has can be read."""
    server = Server(redis_binary, tmp_path, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    server.start()
    try:
        store = open_store(server.url)
        store.put("k", "s", b"x", NOW, LATER)

        def fill() -> None:
            for i in range(100):
                store.put(f"k{i}", "s", b"x" * 100_000, NOW, LATER)

        with pytest.raises(StoreError, match="maxmemory"):
            fill()
        assert store.get("k", NOW) is not None
        store.close()
    finally:
        server.stop()


def test_threads_of_one_store(redis_server: Server) -> None:
    """Threads have connections of their own: none gets another's answer."""
    redis_server.empty()
    store = open_store(redis_server.url)
    wrong: list[str] = []

    def work(i: int) -> None:
        for n in range(100):
            store.put(f"{i}", "s", f"{i}".encode(), NOW + n, LATER + n)
            found = store.get(f"{i}", NOW)
            if found is None or found.value != f"{i}".encode():
                wrong.append(str(found))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    store.close()
