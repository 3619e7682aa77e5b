"""The cache of tool results. `calls.tool_results` has its part in a call.

A result that only this process can use (of a tool that is an object, in a run, without tenant and user) stays in its
memory; so does one that JSON cannot hold. All others are kept in the store of the settings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from otel_agentcost.core.cache_store import CacheStore, scope_of, user_scope
from otel_agentcost.core.tool_results import Kept, Wanted
from otel_agentcost.diagnostics import warn_once
from otel_agentcost.guard import forks
from otel_agentcost.savings.stores import StoreError
from otel_agentcost.savings.stores._opening import open_for_calls
from otel_agentcost.savings.tools.keys import Identities, NotComparable, digest, spelled
from otel_agentcost.savings.tools.values import packed, to_json, to_pickle, unpacked

_VERSION: Final = "tool/2"
"""The version of keys and values: another one finds nothing of this one."""


class _Whose(NamedTuple):
    """The owner of a result."""

    scope: str
    """The scope in the store, by which it can be cleared."""
    parts: tuple[str | None, ...]
    """What is part of the key."""
    local: bool
    """True if only this process can use it."""


def opened(
    url: str, key: str | None, clock: Callable[[], float], process: Callable[[], str], version: str = ""
) -> KeptResults | None:
    """Open the cache of the settings. None if its store cannot be opened, which is logged.

    Args:
        url: The URL of the store.
        key: The key with which it is encrypted; None for none.
        clock: Returns seconds since the epoch.
        process: Returns the name of this process, which no other has.
        version: The version of the application's code, by the settings.
    """
    try:
        store = open_for_calls(url, key)
    except StoreError as error:
        warn_once(f"tool cache: {url}", f"otel-agentcost: {error} Results of tools are not kept.")
        return None
    if not store.shared:
        return KeptResults(store, None, clock, process, version)
    return KeptResults(open_for_calls("memory://", None), store, clock, process, version)


class KeptResults:
    """Implements `core.tool_results.ToolResults`."""

    def __init__(
        self,
        memory: CacheStore,
        shared: CacheStore | None,
        clock: Callable[[], float],
        process: Callable[[], str],
        version: str = "",
    ) -> None:
        """Create the cache.

        Args:
            memory: Keeps what only this process can use.
            shared: Keeps everything else; None if that is the memory too.
            clock: Returns seconds since the epoch.
            process: Returns the name of this process, which no other has.
            version: The version of the application's code, by the settings.
        """
        self._memory = memory
        self._shared = shared
        self._clock = clock
        self._process = process
        self._version = version
        self._identities = Identities()
        forks.watch(self._identities)

    def close(self) -> None:
        """See `ToolResults`."""
        if self._shared is not None:
            self._shared.close()

    def place(self, wanted: Wanted) -> _Place | None:
        """See `ToolResults`."""
        try:
            given = wanted.origin.arguments
            arguments = spelled(dict(wanted.arguments) if given is None else given)
            identities = [self._identities.of(each) for each in wanted.origin.objects]
        except (NotComparable, RecursionError):
            warn_once(
                f"tool cache: {wanted.tool}",
                f"otel-agentcost: results of the tool {wanted.tool:.120} are not kept: its arguments, or what else it "
                "is called with, cannot be compared by their content.",
            )
            return None
        whose = self._whose(wanted)
        origin, texts = wanted.origin, [identity.text for identity in identities]
        versions = (_VERSION, self._version, origin.server, origin.version)
        key = digest([*versions, *whose.parts, wanted.tool, *texts, arguments])
        local = whose.local or any(identity.local for identity in identities)
        shared = None if local else self._shared
        return _Place(key, whose.scope, wanted.tool, wanted.keep.seconds, self._memory, shared, self._clock)

    def _whose(self, wanted: Wanted) -> _Whose:
        scope, tenant, user, run = wanted.keep.scope, wanted.tenant or None, wanted.user or None, wanted.run
        if scope == "tenant" and (tenant or user):
            named = scope_of(tenant, user, "")
            return _Whose(named, (named,), local=False)
        if scope == "user" and user:
            return _Whose(user_scope(user), ("user", tenant, user), local=False)
        process = self._process()
        inner = run if scope == "run" else None
        return _Whose(scope_of(tenant, user, process), ("process", process, tenant, user, inner), local=True)


class _Place:
    """Implements `core.tool_results.Place`."""

    __slots__ = ("_clock", "_key", "_memory", "_scope", "_seconds", "_shared", "_tool", "blocking")

    def __init__(
        self,
        key: str,
        scope: str,
        tool: str,
        seconds: int,
        memory: CacheStore,
        shared: CacheStore | None,
        clock: Callable[[], float],
    ) -> None:
        self._key = key
        self._scope = scope
        self._tool = tool
        self._seconds = seconds
        self._memory = memory
        self._shared = shared
        self._clock = clock
        self.blocking = shared is not None and shared.blocking

    def find(self) -> Kept | None:
        """See `Place`."""
        now = self._clock()
        for store in (self._memory, self._shared):
            stored = store.get(self._key, now) if store is not None else None
            age = now - stored.at if stored is not None else 0.0
            if stored is None or age >= self._seconds:  # the rule may be shorter than when it was kept
                continue
            value = unpacked(stored.value, shared=store is self._shared)
            if value is not None:
                return Kept(value.result, max(0.0, age), value.nanoseconds)
        return None

    def keep(self, result: Any, nanoseconds: int) -> None:
        """See `Place`."""
        store, body = self._shared, None
        if store is not None:
            body = to_json(result)
        json = body is not None
        if body is None:
            store, body = self._memory, to_pickle(result)
        if store is None or body is None:
            kind = type(result).__name__
            warn_once(
                f"tool cache: {self._tool} {kind}",
                f"otel-agentcost: a result of the tool {self._tool:.120} is not kept: it is too large, or it "
                f"({kind:.60}) is, or has in it, an object that is more than its content.",
            )
            return
        now = self._clock()
        store.put(self._key, self._scope, packed(body, nanoseconds, json=json), now, now + self._seconds)
