"""One of several processes on one store: `python -m benchmarks.raw_store ledger|raw <url>`.

`ledger` reserves and settles calls in three budgets; `raw` does as many plain transactions (SQLite), or calls of a
script that does nothing but count (Redis), as the store's own driver can.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable
from typing import Any

import redis

from otel_agentcost.guard.ledger import Claim, Unit, open_ledger

ROUNDS = 500
"""Calls of each process."""

_COUNT = "return redis.call('INCRBY', KEYS[1], ARGV[1])"


def through_the_ledger(url: str) -> Callable[[int], object]:
    """One call: held in three budgets, then settled."""
    ledger = open_ledger(url, timeout=10)
    limits: dict[Unit, int] = {"nano_usd": 10**17}
    claims = [Claim(key=f"{scope}/2026-11/x", limits=limits, until=None) for scope in ("trace", "user", "total")]
    worst: dict[Unit, int] = {"nano_usd": 100_000, "tokens": 1000, "calls": 1}
    real: dict[Unit, int] = {"nano_usd": 45_000, "tokens": 150, "calls": 1}

    def call(number: int) -> None:
        call_id, now = f"{os.getpid()}-{number}", time.time()
        assert ledger.reserve(call_id, claims, worst, now=now, lease=60) is None
        ledger.settle(call_id, claims, real, now=now)

    return call


def plain_transactions(url: str) -> Callable[[int], object]:
    """Two transactions, each of which writes one row, with the ledger's own durability."""
    connection = sqlite3.connect(url.partition("///")[2] + ".raw", timeout=30, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE IF NOT EXISTS sums (name TEXT PRIMARY KEY, total INTEGER)")
    connection.execute("INSERT OR IGNORE INTO sums VALUES ('x', 0)")

    def call(_number: int) -> None:
        for _ in range(2):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE sums SET total = total + 1 WHERE name = 'x'")
            connection.execute("COMMIT")

    return call


def plain_scripts(url: str) -> Callable[[int], object]:
    """Two calls of a script with one key."""
    client: Any = redis.Redis.from_url(url)
    script = client.register_script(_COUNT)

    def call(_number: int) -> None:
        for _ in range(2):
            script(keys=["raw"], args=[1])

    return call


if __name__ == "__main__":
    task, url = sys.argv[1:]
    raw = plain_scripts if url.startswith("redis") else plain_transactions
    once = through_the_ledger(url) if task == "ledger" else raw(url)
    once(0)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(1, ROUNDS + 1):
        once(number)
