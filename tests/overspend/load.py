"""Storms: many calls at once on budgets that are too small for them, and witnesses that no limit is ever passed.

Here are what all storms share (seeds, ledgers, witnesses, figures) and those on the guard alone, without HTTP; those
through a real SDK are in `storm_line.py`. `AGENTCOST_SEEDS=20` asks for more than the few seeds of a usual run.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from otel_agentcost.core import budgets
from otel_agentcost.guard.ledger import Ledger, Unit, open_ledger
from otel_agentcost.guard.ledger.memory import MemoryLedger
from tests.support.redis_server import Server

PATIENCE = 20.0
"""Seconds for which a storm waits for a ledger's file. A ledger that does not answer admits, by default; where too much
runs at once a second is not enough for a file, and that is not what is tried here.
"""

SEEDS = range(int(os.environ.get("AGENTCOST_SEEDS", "2")))
KINDS = ("memory", "sqlite", "redis")

Limits = Mapping[str, Mapping[Unit, int]]
"""Limits by scope: storms have one rule a scope, so that a key of a ledger tells its limit."""


Spent = Counter[tuple[str, Unit]]
"""What was settled, by key and unit."""


# --- Figures ----------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Figures:
    """What one storm came to."""

    what: str
    ledger: str
    seed: int
    calls: int = 0
    admitted: int = 0
    refused: int = 0
    requests: int = 0
    looks: int = 0
    """How many states of the ledger were looked at."""
    overshoot: int = 0
    """The most by which spent + held ever passed a limit, in the limit's unit."""
    used: float = 0.0
    """How far the most used budget of dollars was used in the end: a storm that comes to no limit shows nothing."""
    seconds: float = 0.0


ALL: list[Figures] = []
"""The figures of all storms of this run; `conftest.py` prints them."""


def summary() -> list[str]:
    """The figures in a line for each kind of storm and ledger, and one for all."""
    groups: dict[tuple[str, str], list[Figures]] = {}
    for each in ALL:
        groups.setdefault((each.what, each.ledger), []).append(each)
    lines = [_line(f"{what}, {ledger}", of) for (what, ledger), of in groups.items()]
    return [*lines, _line("all", ALL)]


def _line(name: str, of: list[Figures]) -> str:
    return (
        f"{name}: {len({each.seed for each in of})} seeds, {sum(each.calls for each in of):,} calls, "
        f"{sum(each.admitted for each in of):,} admitted, {sum(each.refused for each in of):,} refused, "
        f"{sum(each.requests for each in of):,} requests, {sum(each.looks for each in of):,} looks, "
        f"worst overshoot {max(each.overshoot for each in of)}, "
        f"used {min(each.used for each in of):.0%} to {max(each.used for each in of):.0%}, "
        f"{sum(each.seconds for each in of):.1f} s"
    )


# --- Ledgers and their witnesses --------------------------------------------------------------------------------------


def fresh_url(kind: str, folder: Path, redis: Callable[[], Server]) -> str:
    """The URL of an empty ledger."""
    if kind == "sqlite":
        return f"sqlite:///{folder / f'{time.monotonic_ns()}.db'}"
    if kind == "redis":
        server = redis()
        server.empty()
        return server.url
    return "memory://"


def limits_of(rules: str) -> dict[str, dict[Unit, int]]:
    """The limits of `rules`, by scope."""
    return {
        rule.scope: {unit: limit for unit, limit in rule.limits.items() if unit != "seconds"}
        for rule in budgets.parse(rules)
    }


@dataclass
class Witness:
    """Sees states of a ledger, and how far each was above a limit."""

    limits: Limits
    keys: set[str] = field(default_factory=set)
    """What the thread looks at that looks all the time; other witnesses see all keys."""
    looks: int = 0
    overshoot: int = 0
    _known: dict[str, tuple[tuple[Unit, int], ...]] = field(default_factory=dict)

    def see(self, key: str, spent: Mapping[Unit, int], held: Mapping[Unit, int]) -> None:
        """One account in one state."""
        self.looks += 1
        limits = self._known.get(key)
        if limits is None:
            limits = self._known[key] = tuple(self.limits.get(key.partition("/")[0], {}).items())
        for unit, limit in limits:
            self.overshoot = max(self.overshoot, spent[unit] + held[unit] - limit)


@contextmanager
def watched(ledger: Ledger, url: str, limits: Limits, clock: Callable[[], float]) -> Generator[Witness, None, None]:
    """A witness of `ledger` for a block: a thread that looks all the time, and, where the ledger allows of it,
    something that misses no state at all: in memory a lock that looks before it is let go, in SQLite triggers.
    """
    witness = Witness(limits)
    end = threading.Event()
    other = ledger if isinstance(ledger, MemoryLedger) else open_ledger(url)
    thread = threading.Thread(target=_poll, args=(other, witness, clock, end), daemon=True)
    if isinstance(ledger, MemoryLedger):
        vars(ledger)["_lock"] = _LookingLock(ledger, witness)
    path = url.removeprefix("sqlite:///") if url.startswith("sqlite") else None
    if path is not None:
        ledger.standing("", now=clock())  # which makes the file
        _add_triggers(path, limits)
    thread.start()
    try:
        yield witness
    finally:
        end.set()
        thread.join()
        if path is not None:
            _read_triggers(path, witness)
        if other is not ledger:
            other.close()


def _poll(ledger: Ledger, witness: Witness, clock: Callable[[], float], end: threading.Event) -> None:
    while not end.wait(0.001):
        for key in sorted(witness.keys):
            standing = ledger.standing(key, now=clock())
            witness.see(key, standing.spent, standing.held)


class _LookingLock:
    """The lock of a memory ledger. No state that anyone else can see goes unseen."""

    def __init__(self, ledger: MemoryLedger, witness: Witness) -> None:
        self._real = ledger._lock
        self._ledger = ledger
        self._witness = witness

    def __enter__(self) -> None:
        self._real.acquire()

    def __exit__(self, *_error: object) -> None:
        self.release()

    def acquire(self, *args: Any) -> bool:
        return self._real.acquire(*args)

    def release(self) -> None:
        for key, account in self._ledger._accounts.items():
            self._witness.see(key, account.spent, account.held)
        self._real.release()


def _add_triggers(path: str, limits: Limits) -> None:
    """Has the file itself note every state of a row that is above a limit, also between two steps of a transaction."""
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        connection.execute("CREATE TABLE looks (n INTEGER)")
        connection.execute("INSERT INTO looks VALUES (0)")
        connection.execute("CREATE TABLE overshoots (n INTEGER)")
        for scope, units in limits.items():
            prefix = f"{scope}/".encode()
            body = "UPDATE looks SET n = n + 1;"
            for unit, limit in units.items():
                over = f"NEW.{unit} + NEW.held_{unit} - {limit}"
                body += f" INSERT INTO overshoots SELECT {over} WHERE {over} > 0;"
            for event in ("INSERT", "UPDATE"):
                connection.execute(
                    f"CREATE TRIGGER look_{scope}_{event} AFTER {event} ON accounts "
                    f"WHEN substr(NEW.key, 1, {len(prefix)}) = x'{prefix.hex()}' BEGIN {body} END"
                )


def _read_triggers(path: str, witness: Witness) -> None:
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        (looks,) = connection.execute("SELECT n FROM looks").fetchone()
        (worst,) = connection.execute("SELECT coalesce(max(n), 0) FROM overshoots").fetchone()
    witness.looks += looks
    witness.overshoot = max(witness.overshoot, worst)


def agrees(ledger: Ledger, spent: Spent, now: float) -> None:
    """The ledger has what was spent, to the last unit, and holds nothing any more. For that a little time is given:
    what a cancelled task held is given back by another thread.
    """
    units: tuple[Unit, ...] = ("nano_usd", "tokens", "calls")
    for key in {key for key, _ in spent}:
        deadline = time.monotonic() + 10
        standing = ledger.standing(key, now=now)
        while any(standing.held.values()) and time.monotonic() < deadline:
            time.sleep(0.01)
            standing = ledger.standing(key, now=now)
        assert {unit: standing.spent[unit] for unit in units} == {unit: spent[key, unit] for unit in units}, key
        assert not any(standing.held.values()), key


def used(spent: Spent, limits: Limits) -> float:
    """How far the most used budget of dollars is used."""
    dollars = ((key.partition("/")[0], nano) for (key, unit), nano in spent.items() if unit == "nano_usd")
    return max(nano / limits[scope][unit] for scope, nano in dollars for unit in limits[scope] if unit == "nano_usd")


# --- Chance -----------------------------------------------------------------------------------------------------------

EDGE = 4_102_444_800.0
"""A midnight in UTC at which an hour, a day, a month and a century begin. Storms on the guard have their clock go back
and forth around it.
"""


def dice(*names: object) -> random.Random:
    """Chance that depends on nothing but `names`: a storm is the same in any order of its threads."""
    return random.Random("/".join(map(str, names)))
