"""A store that is of no use: each call is made as if there were no cache, and the log has one line."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import otel_agentcost
from otel_agentcost.calls.scopes import process_name
from otel_agentcost.core.cache_store import Stored
from otel_agentcost.core.recorded import Recorded
from otel_agentcost.savings.responses.cache import Policy, ResponseCache
from otel_agentcost.savings.responses.entries import Entry, packed, unpacked
from tests.savings.responses.asked import ask, caching
from tests.support.call_shapes import warnings_of_ours
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import chat

REPLY = Recorded(200, (("content-type", "application/json"),), (b'{"a"', b": 1}"), reason="OK")
ENTRY = Entry("https://h/p", "check", REPLY)


def test_an_entry_comes_back_as_it_was() -> None:
    """Bytes, pieces, headers and the check survive."""
    assert unpacked(packed(ENTRY)) == ENTRY


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: b"",
        lambda value: b"aca0" + value[4:],
        lambda value: value[:-1],
        lambda value: value[:20] + bytes([value[20] ^ 1]) + value[21:],
        lambda value: value[:4] + b"\x00" * 50,
    ],
    ids=["empty", "another version", "cut", "one bit", "no zlib"],
)
def test_a_corrupt_entry_is_none(
    spoil: Callable[[bytes], bytes],
    model_server: ModelServer,
    telemetry: Telemetry,
    tmp_path: Path,
) -> None:
    """The call is made, and its answer takes the entry's place."""
    assert unpacked(spoil(packed(ENTRY))) is None
    file = tmp_path / "cache.db"
    for _ in range(2):
        store = f"sqlite:///{file}"
        with caching(model_server, telemetry, cache_store=store) as made, otel_agentcost.attribute(tenant="acme"):
            assert ask(made).choices
        with sqlite3.connect(file) as connection:
            rows: list[tuple[Any, bytes]] = list(connection.execute("SELECT key, value FROM entries"))
            assert len(rows) == 1
            for key, value in rows:
                connection.execute("UPDATE entries SET value = ? WHERE key = ?", (spoil(value), key))
    assert len(model_server.requests) == 2


@pytest.mark.parametrize("url", ["sqlite:////dev/null/cache.db", "redis://127.0.0.1:1/0"])
def test_a_store_that_is_down(url: str, model_server: ModelServer, telemetry: Telemetry) -> None:
    """Each call is made at once, and the log has one line."""
    with warnings_of_ours() as warned, caching(model_server, telemetry, cache_store=url) as made:
        began = time.monotonic()
        for _ in range(3):
            ask(made)
    assert len(model_server.requests) == 3
    assert len(warned) == 1
    assert time.monotonic() - began < 5


class Broken:
    """A store whose every verb raises, as one of another distribution may."""

    shared = True
    blocking = False

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object) -> Any:
            raise OSError(name)

        return fail

    def get(self, key: str, now: float) -> Stored | None:
        del key, now
        raise OSError


def test_a_cache_that_fails_is_no_cache(
    model_server: ModelServer, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store of another distribution may raise anything: calls are made."""
    store: Any = Broken()
    monkeypatch.setattr(
        "otel_agentcost.savings.responses.opening.open_cache",
        lambda *_: ResponseCache(store, Policy(), process_name, time.time),
    )
    with warnings_of_ours() as warned, caching(model_server, telemetry) as made:
        for _ in range(3):
            assert ask(made).choices
    assert len(model_server.requests) == 3
    assert len([line for line in warned if "cached answer" in line]) == 1


def test_a_large_answer_is_not_kept(model_server: ModelServer, telemetry: Telemetry) -> None:
    """One answer takes an eighth of the store at most."""
    model_server.responder = lambda _: json_reply(chat(text="x" * 20_000))
    with caching(model_server, telemetry, cache_bytes=1 << 16) as made:
        for _ in range(2):
            ask(made)
    assert len(model_server.requests) == 2


def test_what_is_not_used_goes_first(model_server: ModelServer, telemetry: Telemetry) -> None:
    """A store in memory stays within its bytes."""
    with caching(model_server, telemetry, cache_bytes=1 << 16) as made:
        for number in range(200):
            ask(made, f"q{number}")
        asked = len(model_server.requests)
        ask(made, "q199")
        assert len(model_server.requests) == asked
        ask(made, "q0")
    assert len(model_server.requests) == asked + 1


def test_nothing_of_the_cache_is_imported_if_it_is_off() -> None:
    """An application without a cache does not load it."""
    script = (
        "import sys, otel_agentcost; otel_agentcost.instrument();"
        "print([m for m in sys.modules if m.startswith(('otel_agentcost.savings.responses',"
        "'otel_agentcost.savings.stores', 'otel_agentcost.integrations.replays'))])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
