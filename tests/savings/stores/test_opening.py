"""Opening a store by its URL, stores of other distributions, and a store that is down while calls go on."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from otel_agentcost import diagnostics, plugins
from otel_agentcost.core.cache_store import CacheStore, Size, scope_of
from otel_agentcost.savings.stores import SCHEMES, StoreError, open_store
from otel_agentcost.savings.stores._tolerant import FIRST_PAUSE, LONGEST_PAUSE, TolerantStore
from otel_agentcost.savings.stores.memory import MemoryStore
from tests.savings.stores.contract import LATER, NOW
from tests.support.plugin_distribution import PluginDistribution


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "unknown scheme"),
        ("memory", "unknown scheme"),
        ("postgres://:s3cret@host/db", "unknown scheme"),
        ("memory://x", "takes none"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////x?mode=ro", "has parameters"),
        ("sqlite:///C:\\x", "path of Windows"),
        ("redis://:s3cret@host:port/0", "cannot be parsed"),
        ("redis://host/0?password=s3cret&no_such_option=1", "cannot be parsed"),
    ],
)
def test_urls_that_name_no_store(url: str, said: str) -> None:
    """What is wrong is one sentence, which does not show a password."""
    with pytest.raises(StoreError, match=said) as raised:
        open_store(url)
    assert "s3cret" not in str(raised.value)


def test_every_file_of_the_folder_is_a_scheme(tmp_path: Path) -> None:
    """The schemes are the files, and a scheme is read in any case."""
    assert SCHEMES.built_in == ("memory", "redis", "rediss", "sqlite", "valkey", "valkeys")
    for url in ("memory://", "MEMORY://", f"sqlite:///{tmp_path}/x", "redis://h", "rediss://h", "valkeys://h:1/2"):
        open_store(url)
    assert list(tmp_path.iterdir()) == []


def test_the_store_in_memory_imports_no_other() -> None:
    """Opening it imports neither sqlite3 nor redis nor cryptography."""
    code = (
        "import sys; from otel_agentcost.savings.stores import open_store; open_store('memory://');"
        "print({'sqlite3', 'redis', 'cryptography'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_without_redis_py_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where redis-py is not installed, the sentence says which extra brings it."""
    for name in ("redis", "redis.backoff", "redis.retry"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(StoreError, match=r"otel-agentcost\[redis\]"):
        open_store("redis://host")


TOY = """
from otel_agentcost.savings.stores.memory import MemoryStore

def open_store(url, *, timeout, most_bytes):
    if "broken" in url:
        raise OSError("no toy today")
    return object() if "none" in url else MemoryStore(most_bytes)
"""


def test_stores_of_other_distributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point adds a scheme; one that opens nothing usable is one sentence."""
    with pytest.raises(StoreError, match="the schemes are memory"):
        open_store("toy://x")
    PluginDistribution(
        tmp_path, "agentcost-toy", {"agentcost_toy": TOY}, {"otel_agentcost.cache_stores": {"toy": "agentcost_toy"}}
    )
    monkeypatch.syspath_prepend(tmp_path)
    plugins._installed.cache_clear()
    try:
        assert isinstance(open_store("toy://x", most_bytes=9), MemoryStore)
        for url, said in (("toy://u:s3cret@broken", "no toy today"), ("toy://none", "which is not a store")):
            with pytest.raises(StoreError, match=said) as raised:
                open_store(url)
            assert "s3cret" not in str(raised.value)
    finally:
        monkeypatch.undo()
        plugins._installed.cache_clear()
        sys.modules.pop("agentcost_toy", None)


class Failing(MemoryStore):
    """A store that fails while its test wants that, and counts how often it is asked."""

    shared = True
    blocking = True
    down = True
    asked = 0

    def get(self, key: str, now: float) -> None:
        self._ask()

    def put(self, key: str, scope: str, value: bytes, now: float, expires: float) -> bool:
        self._ask()
        return super().put(key, scope, value, now, expires)

    def claim(self, key: str, owner: str, now: float, until: float) -> bool:
        self._ask()
        return super().claim(key, owner, now, until)

    def _ask(self) -> None:
        self.asked += 1
        if self.down:
            raise StoreError("The cache is down.")


def test_a_store_that_is_down_is_no_cache(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is raised, the log says so once, the store is left alone for a while, and then used again."""
    diagnostics.forget_causes()
    failing, now = Failing(9_999), [0.0]
    store = TolerantStore(failing, lambda: now[0])
    with caplog.at_level(logging.WARNING):
        assert store.get("k", NOW) is None
        assert not store.put("k", "s", b"x", NOW, LATER)
        assert store.claim("k", "me", NOW, LATER)
        assert store.claim("k", "you", NOW, LATER)
        assert store.clear(None) == 0
        assert store.size(NOW) == Size(0, 0)
        store.unclaim("k", "me")
        store.close()
    assert failing.asked == 1
    assert caplog.text.count("The cache is down. Nothing is cached meanwhile") == 1
    waited = []
    for _ in range(8):
        before = failing.asked
        start = now[0]
        while failing.asked == before:
            now[0] += 0.5
            store.get("k", NOW)
        waited.append(now[0] - start)
    assert waited[0] == FIRST_PAUSE
    assert waited[1] == 2 * FIRST_PAUSE
    assert waited[-1] == LONGEST_PAUSE
    failing.down = False
    now[0] += LONGEST_PAUSE
    assert store.put("k", "s", b"x", NOW, LATER)
    assert store.claim("k", "me", NOW, LATER)
    assert not store.claim("k", "you", NOW, LATER)


def test_an_exception_of_the_application_passes() -> None:
    """What is no failure of the store, as Ctrl-C, reaches the application."""

    class Interrupted(MemoryStore):
        def get(self, key: str, now: float) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TolerantStore(Interrupted(9)).get("k", NOW)


def test_scopes() -> None:
    """The scope is the tenant, else the user, else the process, and no name makes one look like another."""
    assert scope_of("acme", "bob", "1") == "tenant=acme"
    assert scope_of(None, "bob", "1") == "user=bob"
    assert scope_of(None, None, "1") == "process=1"
    assert scope_of("", "", "1") == "process=1"
    stores: list[CacheStore] = [MemoryStore(9)]
    assert not stores[0].shared
