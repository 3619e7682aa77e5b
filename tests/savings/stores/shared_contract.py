"""What a store does that several processes share. Derive together with `StoreContract`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from otel_agentcost.core.cache_store import CacheStore, Stored
from otel_agentcost.savings.stores import open_store
from tests.savings.stores.contract import LATER, NOW

ROOT = Path(__file__).resolve().parents[3]

WORKER = """
import sys
from otel_agentcost.savings.stores import open_store
from tests.savings.stores.contract import LATER, MOST, NOW
url, name = sys.argv[1:]
store = open_store(url, timeout=20, most_bytes=MOST)
won = 0
for i in range(100):
    won += store.claim(f"claim{i}", name, NOW, LATER)
    key = f"{i % 7}"
    store.put(key, f"tenant={i % 3}", key.encode() * 500, NOW + i / 10, LATER + i)
    found = store.get(key, NOW)
    assert found is None or found.value == key.encode() * 500
    if i % 40 == 0:
        store.clear("tenant=1")
print(won)
"""


class SharedContract:
    """The tests with more than one process."""

    def test_one_of_several_processes_fetches(self, url: str, store: CacheStore) -> None:
        """Four processes claim, put, get and clear the same: each claim is one's, and no entry is another's."""
        command = [sys.executable, "-c", WORKER, url]
        pipe = subprocess.PIPE
        processes = [
            subprocess.Popen([*command, str(i)], cwd=ROOT, stdout=pipe, stderr=pipe, text=True) for i in range(4)
        ]
        ended = [process.communicate(timeout=90) for process in processes]
        assert [errors for _, errors in ended] == [""] * 4
        assert sum(int(out) for out, _ in ended) == 100
        assert store.size(NOW).entries <= 7

    def test_two_stores_on_one_url_are_one(self, url: str, store: CacheStore) -> None:
        """What one puts, the other gets; closing one leaves the other at work."""
        assert store.shared
        assert store.blocking
        other = open_store(url)
        other.put("k", "s", b"x", NOW, LATER)
        other.claim("k", "me", NOW, LATER)
        other.close()
        assert store.get("k", NOW) == Stored(b"x", NOW)
        assert not store.claim("k", "you", NOW, LATER)
        assert store.clear("s") == 1
        assert other.get("k", NOW) is None
        other.close()
