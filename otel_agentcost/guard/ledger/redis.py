"""The ledger of a fleet (`redis://host:port/db`, `rediss://`, `valkey://`): Redis or Valkey, through redis-py.

Every verb is one Lua script, so one round trip and one atomic step. The scripts are beside this file, and `_common.lua`
describes the keys. The server's clock is only used to expire keys that have ended. The server must not evict keys
(`maxmemory-policy noeviction`): a budget whose key is gone restarts at 0.
redis-py is imported when a ledger is opened, and connections are made when a verb needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from otel_agentcost.diagnostics import without_password
from otel_agentcost.guard.fork_safe import ForkSafe
from otel_agentcost.guard.ledger import (
    GRACE,
    KEEP,
    KEPT_SLICES,
    MOST,
    REMEMBER,
    SLICES,
    UNITS,
    Amounts,
    Claim,
    LedgerError,
    Refusal,
    Standing,
    Unit,
    checked,
    encoded,
    ends,
)
from otel_agentcost.guard.ledger._redis_batches import BATCH_SCRIPTS, RedisBatches, constants, rolling_words
from otel_agentcost.guard.ledger._redis_notes import NOTE_SCRIPTS, RedisNotes
from otel_agentcost.guard.redis_server import Server, failure, open_server

__all__ = ["RedisLedger", "open_ledger"]

CALL = b"{agentcost}:call:"
KEY = b"{agentcost}:key:"

_CONSTANTS = f"local GRACE, KEEP, SLICES, KEPT_SLICES = {GRACE!r}, {KEEP!r}, {SLICES!r}, {KEPT_SLICES!r}\n{constants()}"
_INHERITED: list[Any] = []
"""Connections of a parent process: never used and never closed."""

_VERBS = ("reserve", "settle", "release", "standing")


def open_ledger(url: str, *, timeout: float) -> RedisLedger:
    """Open the ledger on the server that `url` names. Nothing is connected yet.

    Raises:
        LedgerError: redis-py is missing, or the URL cannot be parsed.

    """
    return RedisLedger(url, open_server(url, timeout, "ledger", LedgerError))


class RedisLedger(ForkSafe, RedisBatches, RedisNotes):
    """Implements `Ledger`, `BatchVerbs` and `NoteVerbs`."""

    shared = True
    blocking = True
    has_timeout = True
    rolling = True

    def __init__(self, url: str, server: Server) -> None:
        self._url = url
        self._redis, self._make_pool = server
        self._node: dict[str, Any] = {}
        """Host and port of the node, once a cluster has redirected the ledger."""
        self._sources = {verb: _script(verb) for verb in (*_VERBS, *BATCH_SCRIPTS, *NOTE_SCRIPTS)}
        self._connect()
        super().__init__()

    def reserve(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float, lease: float
    ) -> Refusal | None:
        """See `Ledger`."""
        counts = _counts(amounts)
        member = b"%d %d %d %d " % counts + encoded(call_id)
        words: list[Any] = [now, now + lease, *counts]
        for claim in claims:
            words.append(ends(claim))
            words.extend([claim.limits.get(unit, "-") for unit in UNITS])
        refused: list[Any] | None = self._run(
            "reserve", _keys(call_id, claims), [member, _joined(words), *rolling_words(claims)]
        )
        if refused is None:
            return None
        claim, unit = claims[int(refused[0]) - 1], UNITS[int(refused[1]) - 1]
        return Refusal(
            key=claim.key,
            unit=unit,
            limit=claim.limits[unit],
            spent=int(refused[2]),
            held=int(refused[3]),
            requested=amounts.get(unit, 0),
            free_at=float(refused[4]) if refused[4] else None,
        )

    def settle(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float
    ) -> Sequence[tuple[Claim, Standing]]:
        """See `Ledger`."""
        words = [now, now + REMEMBER, *_counts(amounts, -MOST), *map(ends, claims)]
        counts: list[bytes] = self._run(
            "settle", _keys(call_id, claims), [_joined(words), *rolling_words(claims)]
        ).split()
        return self._standings(claims, counts)

    def release(self, call_id: str, *, now: float) -> None:  # noqa: ARG002 - the server drops what has expired
        """See `Ledger`."""
        self._run("release", _keys(call_id, ()), [])

    def standing(self, key: str, *, now: float) -> Standing:
        """See `Ledger`."""
        return _standing(self._run("standing", [KEY + encoded(key)], [repr(now)]).split())

    def keys(self, *, now: float) -> Sequence[str]:  # noqa: ARG002 - the server drops what has ended
        """See `Ledger`. The server is asked for a part at a time, so that it can serve calls meanwhile."""
        client = self._redis.Redis(connection_pool=self._pool)
        try:
            found = {bytes(key) for key in client.scan_iter(match=KEY + b"*", count=1000)}
        except (self._redis.RedisError, OSError) as error:
            raise self._error(error) from error
        return sorted(key[len(KEY) :].decode("utf-8", "surrogatepass") for key in found)

    def ended(self, key: str) -> None:
        """See `Ledger`."""

    def caution(self) -> str | None:
        """See `Ledger`. A server that evicts keys loses spend."""
        client = self._redis.Redis(connection_pool=self._pool)
        try:
            policy = client.config_get("maxmemory-policy").get("maxmemory-policy")
            limited = str(client.config_get("maxmemory").get("maxmemory")) != "0"
        except (self._redis.RedisError, OSError, AttributeError):  # many hosted servers do not allow the question
            return None
        if isinstance(policy, bytes):
            policy = policy.decode()
        if policy in (None, "noeviction") or not limited:
            return None
        return (
            f"The ledger {_shown(self._url)} may lose settled spend: its maxmemory-policy is {policy}. Set it to "
            "noeviction."
        )

    def close(self) -> None:
        """See `Ledger`."""
        self._pool.disconnect()

    # --- the connection ---

    def after_fork(self) -> None:
        """Make new connections. The pool of redis-py does so too, but keeps the lock of the parent."""
        _INHERITED.append(self._pool)
        self._connect()

    def _claimed(self, claims: Sequence[Claim]) -> list[bytes]:
        return [KEY + encoded(claim.key) for claim in claims]

    def _standings(self, claims: Sequence[Claim], words: Sequence[bytes]) -> Sequence[tuple[Claim, Standing]]:
        """Return the standings in the words of an answer."""
        width = 2 * len(UNITS)
        return [(claim, _standing(words[i * width : (i + 1) * width])) for i, claim in enumerate(claims)]

    def _connect(self) -> None:
        pool = self._make_pool()
        pool.connection_kwargs.update(self._node)
        client = self._redis.Redis(connection_pool=pool)
        self._scripts = {verb: client.register_script(source) for verb, source in self._sources.items()}
        self._pool = pool

    def _run(self, verb: str, keys: Sequence[bytes], args: Sequence[Any]) -> Any:
        pool = self._pool
        try:
            try:
                return self._scripts[verb](keys, args)
            except self._redis.ResponseError as error:
                # Older redis-py has the whole answer in the text, newer redis-py a class and the rest of the text.
                if not isinstance(error, self._redis.exceptions.MovedError) and not str(error).startswith("MOVED "):
                    raise
                self._follow(str(error).split()[-1], pool)
                return self._scripts[verb](keys, args)
        except (self._redis.RedisError, OSError) as error:
            raise self._error(error) from error

    def _follow(self, moved_to: str, asked: Any) -> None:
        """Connect to another node of the cluster: the one with the slot of the keys."""
        with self._lock:
            if self._pool is asked:
                host, _, port = moved_to.rpartition(":")
                self._node = {"host": host or asked.connection_kwargs["host"], "port": int(port)}
                self._connect()

    def _error(self, error: Exception) -> LedgerError:
        return LedgerError(f"The ledger {_shown(self._url)} {failure(self._redis, error)}")


def _script(verb: str) -> str:
    folder = Path(__file__).parent
    return _CONSTANTS + "".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in ("_common", verb))


def _shown(url: str) -> str:
    return f"{without_password(url)!r:.120}"


def _keys(call_id: str, claims: Sequence[Claim]) -> list[bytes]:
    return [CALL + encoded(call_id), *[KEY + encoded(claim.key) for claim in claims]]


def _joined(words: Sequence[object]) -> str:
    # `str` of a float has all its digits, so that another machine compares the same number.
    return " ".join(map(str, words))


def _counts(amounts: Amounts, least: int = 0) -> tuple[int, ...]:
    checked(amounts, least)
    return tuple(amounts.get(unit, 0) for unit in UNITS)


def _standing(counts: Sequence[bytes]) -> Standing:
    figures = [int(count) for count in counts]
    spent: dict[Unit, int] = dict(zip(UNITS, figures[: len(UNITS)], strict=True))
    held: dict[Unit, int] = dict(zip(UNITS, figures[len(UNITS) :], strict=True))
    return Standing(spent=spent, held=held)
