"""The Redis ledger and its server: what it keeps there and for how long, and what happens as the server comes and goes.

These tests have servers of their own, with a password, as a cluster, stopped and started.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from otel_agentcost.guard.ledger import GRACE, REMEMBER, Claim, LedgerError, open_ledger
from tests.guard.ledger.calls import NOW, admitted, amounts, claim, stands
from tests.guard.ledger.rolling_contract import WINDOW, rolling
from tests.support.redis_server import Server

Start = Callable[..., Server]


@pytest.fixture
def start(redis_binary: str, tmp_path: Path) -> Iterator[Start]:
    """Starts a server with options."""
    servers: list[Server] = []

    def start(*options: str) -> Server:
        folder = tmp_path / str(len(servers))
        folder.mkdir()
        servers.append(Server(redis_binary, folder, *options))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def said(url: str) -> str:
    """What a ledger says of why it cannot be used, within the time that a call may be kept waiting."""
    began = time.monotonic()
    with pytest.raises(LedgerError) as raised:
        open_ledger(url).settle("a", [claim()], amounts(1), now=NOW)
    assert time.monotonic() - began < 2.5
    return str(raised.value)


def test_everything_is_in_one_slot_and_ends(redis_server: Server) -> None:
    """All names have the hash tag, and each is kept until its window has ended, or a call's memory; no longer."""
    redis_server.empty()
    ledger = open_ledger(redis_server.url)
    window = claim("day", until=NOW + 1000)
    assert admitted(ledger, "held", [window], 1)
    ledger.settle("settled", [window], amounts(1), now=NOW)
    client = redis_server.client
    lives = {name: client.ttl(name) for name in client.scan_iter("*")}
    assert all(name.startswith(b"{agentcost}:") for name in lives)
    longest = {b"key:day": 1000, b"holds:day": 1000, b"call:held": 60, b"call:settled": REMEMBER}
    assert {name.partition(b":")[2] for name in lives} == set(longest)
    for name, seconds in longest.items():
        assert seconds <= lives[b"{agentcost}:" + name] <= seconds + GRACE


def test_a_key_without_an_end_is_kept(redis_server: Server) -> None:
    """A budget for good has no time to live, not even after it was counted in a window that ends."""
    redis_server.empty()
    ledger = open_ledger(redis_server.url)
    ledger.settle("a", [claim("total", until=NOW + 10)], amounts(1), now=NOW)
    assert admitted(ledger, "b", [claim("total", until=None)], 1)
    ledger.settle("c", [claim("total", until=NOW + 10)], amounts(1), now=NOW)
    client = redis_server.client
    assert [client.ttl(f"{{agentcost}}:{part}:total") for part in ("key", "holds")] == [-1, -1]


@pytest.mark.parametrize("kind", [rolling(), claim("user/40m/u1", until=NOW + WINDOW)], ids=["rolling", "idle"])
def test_a_clock_that_is_ahead_does_not_make_keys_end_early(redis_server: Server, kind: Claim) -> None:
    """Redis' own clock deletes them: each call extends them by its own clock, also if the end of the key stays."""
    redis_server.empty()
    ledger, client, name = open_ledger(redis_server.url), redis_server.client, f"{{agentcost}}:key:{kind.key}"
    ahead = replace(kind, until=NOW + WINDOW + 10**6)
    assert admitted(ledger, "held", [kind], 1)
    ledger.settle("ahead", [ahead], amounts(10), now=NOW + 10**6)
    assert client.ttl(name) >= WINDOW
    client.pexpire(name, 5000)  # later
    ledger.settle("right", [kind], amounts(90), now=NOW)
    assert client.ttl(name) >= WINDOW
    client.pexpire(name, 5000)
    assert admitted(ledger, "small", [replace(kind, limits={})], 1)
    assert client.ttl(name) >= WINDOW
    if kind.rolling is None:
        return  # the end of others has passed for a clock that is ahead
    client.pexpire(name, 10**10)
    ledger.settle("further ahead", [replace(kind, until=NOW + 10**8)], amounts(1), now=NOW + 10**8)
    assert client.ttl(name) > 10**6


def test_scripts_that_the_server_has_forgotten_are_sent_again(redis_server: Server) -> None:
    """After SCRIPT FLUSH, or a restart, the next verb works."""
    ledger = open_ledger(redis_server.url)
    ledger.standing("k", now=NOW)
    redis_server.client.script_flush()
    assert admitted(ledger, "a", [claim()], 1)


def test_a_verb_is_one_round_trip(redis_server: Server) -> None:
    """Once connected, a reservation and a settle are one command each, however many budgets apply."""
    ledger = open_ledger(redis_server.url)
    claims = [claim(f"k{i}") for i in range(5)]
    admitted(ledger, "warm", claims, 1)
    ledger.settle("warm", claims, amounts(1), now=NOW)
    client = redis_server.client
    client.config_resetstat()
    admitted(ledger, "a", claims, 1)
    ledger.settle("a", claims, amounts(1), now=NOW)
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == 2
    assert "cmdstat_script|load" not in client.info("commandstats")


def test_nobody_listens() -> None:
    """A server that is not there is told at once, without the password."""
    text = said("redis://:s3cret@127.0.0.1:1/0")
    assert "is not reachable" in text
    assert "s3cret" not in text


def test_a_server_that_never_answers() -> None:
    """A server that accepts and is silent does not hold a call for long."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "is not reachable" in said(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")


def test_a_server_with_a_password(start: Start) -> None:
    """With the right one the ledger works; with a wrong one or none, it is said, and the password is not."""
    server = start("--requirepass", "s3cret")
    text = said(server.url.replace("//", "//:s3cret-and-wrong@"))
    assert "rejects the login" in text
    assert "s3cret" not in text
    assert "rejects the login" in said(server.url)
    assert admitted(open_ledger(server.url.replace("//", "//:s3cret@")), "a", [claim()], 1)


def test_a_server_that_is_full(start: Start) -> None:
    """A server that may not keep more refuses a settle as a whole, or, where a hold becomes spend, does all of it."""
    server = start()
    ledger = open_ledger(server.url)
    assert admitted(ledger, "held", [claim()], 5)
    server.client.config_set("maxmemory", "1")
    assert "cannot be used: command not allowed" in said(server.url)
    assert ledger.standing(claim().key, now=NOW) == stands(held=amounts(5))
    ledger.settle("held", [claim()], amounts(3), now=NOW)
    assert ledger.standing(claim().key, now=NOW) == stands(spent=amounts(3))


def test_valkey_is_spoken_to_alike(redis_server: Server) -> None:
    """`valkey://` is the same protocol on the same port."""
    redis_server.empty()
    ledger = open_ledger(redis_server.url.replace("redis://", "valkey://"))
    assert admitted(ledger, "a", [claim(nano_usd=1)], 1)
    assert not admitted(open_ledger(redis_server.url), "b", [claim(nano_usd=1)], 1)


def test_a_server_that_restarts(start: Start) -> None:
    """While it is down every verb says so; when it is back, the same ledger works."""
    server = start()
    ledger = open_ledger(server.url)
    assert admitted(ledger, "a", [claim()], 1)
    server.stop()
    with pytest.raises(LedgerError, match="not reachable"):
        ledger.settle("a", [claim()], amounts(1), now=NOW)
    server.start()
    ledger.settle("a", [claim()], amounts(1), now=NOW)
    assert ledger.standing(claim().key, now=NOW) == stands(spent=amounts(1))


def test_a_cluster_is_followed_to_the_node_that_has_our_slot(start: Start) -> None:
    """Whichever node of a cluster the URL names, all verbs work."""
    nodes = [start("--cluster-enabled", "yes") for _ in range(2)]
    for node, (first, last) in zip(nodes, ((0, 8191), (8192, 16383)), strict=True):
        node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
    nodes[0].client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1].port)
    deadline = time.monotonic() + 20
    while any(b"cluster_state:ok" not in cluster_info(node) for node in nodes) and time.monotonic() < deadline:
        time.sleep(0.05)
    ledgers = [open_ledger(node.url) for node in nodes]
    assert admitted(ledgers[0], "a", [claim("x", nano_usd=10), claim("{other}y", nano_usd=10)], 10)
    assert not admitted(ledgers[1], "b", [claim("{other}y", nano_usd=10)], 1)
    ledgers[1].settle("a", [claim("x", nano_usd=10), claim("{other}y", nano_usd=10)], amounts(4), now=NOW)
    assert ledgers[0].standing("x", now=NOW) == stands(spent=amounts(4))
    assert admitted(ledgers[1], "c", [claim("x", nano_usd=10)], 6)
    ledgers[0].release("c", now=NOW)
    assert ledgers[1].standing("x", now=NOW) == stands(spent=amounts(4))


def cluster_info(node: Server) -> bytes:
    answer = node.client.execute_command("CLUSTER", "INFO")
    return answer if isinstance(answer, bytes) else repr(answer).replace("'", "").replace(": ", ":").encode()


def test_a_server_that_evicts_keys_is_told(redis_server: Server) -> None:
    """It forgets budgets when its memory is full: whoever starts with it is told what to set."""
    ledger = open_ledger(redis_server.url)
    assert ledger.caution() is None
    redis_server.client.config_set("maxmemory", "50mb")
    redis_server.client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert "allkeys-lru. Set it to noeviction" in str(ledger.caution())
    finally:
        redis_server.client.config_set("maxmemory", "0")
        redis_server.client.config_set("maxmemory-policy", "noeviction")
