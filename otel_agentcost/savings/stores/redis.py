"""The store of a fleet (`redis://host:port/db`, `rediss://`, `valkey://`): Redis or Valkey, through redis-py.

Every verb but `clear` and `size` is one command, so one round trip. The server forgets entries when they expire, and
bounds its own memory (`maxmemory`, with a policy that evicts). The name of an entry and the name of its scope are
hashed: the server sees no tenant. redis-py is imported when a store is opened, and connections are made when a verb
needs them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any, Final

from otel_agentcost.core.cache_store import Size, Stored
from otel_agentcost.guard.fork_safe import ForkSafe
from otel_agentcost.guard.redis_server import Server, failure, open_server
from otel_agentcost.savings.stores import StoreError, shown

__all__ = ["RedisStore", "open_store"]

ENTRY: Final = b"{agentcost-cache}:1:entry:"
CLAIM: Final = b"{agentcost-cache}:1:claim:"
"""The beginnings of the names, with the version of what is behind them."""

_AT_ONCE: Final = 500
"""Entries that `clear` looks at with one question, so that the server can serve others meanwhile."""

_HEAD: Final = struct.Struct("<dd16s")
"""What precedes the value: when it was stored, when it expires, and the hash of its scope."""

_CLAIM: Final = """
local held = redis.call('GET', KEYS[1])
if held then
    local until_, owner = string.match(held, '^(%S+) (.*)$')
    if owner ~= ARGV[1] and tonumber(until_) > tonumber(ARGV[2]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[3] .. ' ' .. ARGV[1], 'PX', ARGV[4])
return 1
"""
_UNCLAIM: Final = """
local held = redis.call('GET', KEYS[1])
if held and string.match(held, '^%S+ (.*)$') == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""
_INHERITED: list[Any] = []
"""Connections of a parent process: never used and never closed."""


def open_store(url: str, *, timeout: float, most_bytes: int) -> RedisStore:
    """Open the store on the server that `url` names. Nothing is connected yet.

    Raises:
        StoreError: redis-py is missing, or the URL cannot be parsed.
    """
    return RedisStore(url, open_server(url, timeout, "cache", StoreError), most_bytes)


class RedisStore(ForkSafe):
    """Implements `CacheStore`."""

    shared = True
    blocking = True

    def __init__(self, url: str, server: Server, most_bytes: int) -> None:
        self._url = url
        self._redis, self._make_pool = server
        self._most = most_bytes
        self._connect()
        super().__init__()

    def get(self, key: str, now: float) -> Stored | None:
        """See `CacheStore`."""
        name = ENTRY + _hashed(key)
        whole: bytes | None = self._ask(lambda: self._client.get(name))
        if whole is None or len(whole) < _HEAD.size:
            return None
        at, expires, _ = _HEAD.unpack_from(whole)
        return Stored(whole[_HEAD.size :], at) if expires > now else None

    def put(self, key: str, scope: str, value: bytes, now: float, expires: float) -> bool:
        """See `CacheStore`."""
        if len(value) + _HEAD.size > self._most:
            return False
        whole = _HEAD.pack(now, expires, _hashed(scope)) + value
        self._ask(lambda: self._client.set(ENTRY + _hashed(key), whole, px=_milliseconds(now, expires)))
        return True

    def claim(self, key: str, owner: str, now: float, until: float) -> bool:
        """See `CacheStore`."""
        words = [_encoded(owner), repr(now), repr(until), _milliseconds(now, until)]
        return bool(self._ask(lambda: self._claim([CLAIM + _hashed(key)], words)))

    def unclaim(self, key: str, owner: str) -> None:
        """See `CacheStore`."""
        self._ask(lambda: self._unclaim([CLAIM + _hashed(key)], [_encoded(owner)]))

    def clear(self, scope: str | None) -> int:
        """See `CacheStore`."""
        wanted = None if scope is None else _hashed(scope)
        removed: int = self._ask(lambda: sum(self._remove(names, wanted) for names in self._names()))
        return removed

    def size(self, now: float) -> Size:
        """See `CacheStore`. The bytes are those of the values, without what the server needs besides."""

        def count() -> Size:
            entries = size = 0
            for names in self._names():
                for head, length in zip(self._heads(names), self._lengths(names), strict=True):
                    if head is not None and head[1] > now:
                        entries, size = entries + 1, size + length
            return Size(entries, size)

        counted: Size = self._ask(count)
        return counted

    def close(self) -> None:
        """See `CacheStore`."""
        self._pool.disconnect()

    def after_fork(self) -> None:
        """Make new connections. The pool of redis-py does so too, but keeps the lock of the parent."""
        _INHERITED.append((self._pool, self._client))
        self._connect()

    # --- the connection ---

    def _connect(self) -> None:
        self._pool = self._make_pool()
        self._client: Any = self._redis.Redis(connection_pool=self._pool)
        self._claim: Any = self._client.register_script(_CLAIM)
        self._unclaim: Any = self._client.register_script(_UNCLAIM)

    def _names(self) -> Iterator[list[bytes]]:
        """Yield the names of all entries, some at a time."""
        names: list[bytes] = []
        for name in self._client.scan_iter(match=ENTRY + b"*", count=_AT_ONCE):
            names.append(name)
            if len(names) == _AT_ONCE:
                yield names
                names = []
        if names:
            yield names

    def _remove(self, names: list[bytes], scope: bytes | None) -> int:
        if scope is not None:
            heads = zip(names, self._heads(names), strict=True)
            names = [name for name, head in heads if head is not None and head[2] == scope]
        return int(self._client.unlink(*names)) if names else 0

    def _heads(self, names: list[bytes]) -> list[tuple[float, float, bytes] | None]:
        """Return what precedes the value of each entry; None if it is gone."""
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            pipe.getrange(name, 0, _HEAD.size - 1)
        return [_HEAD.unpack(head) if len(head) == _HEAD.size else None for head in pipe.execute()]

    def _lengths(self, names: list[bytes]) -> list[int]:
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            pipe.strlen(name)
        return [int(length) for length in pipe.execute()]

    def _ask(self, verb: Callable[[], Any]) -> Any:
        try:
            return verb()
        except (self._redis.RedisError, OSError) as error:
            raise StoreError(f"The cache {shown(self._url)} {failure(self._redis, error)}") from error


def _hashed(text: str) -> bytes:
    return blake2b(_encoded(text), digest_size=16).digest()


def _milliseconds(now: float, until: float) -> int:
    return max(1, int((until - now) * 1000))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
