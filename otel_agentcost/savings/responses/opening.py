"""Opens the cache that the settings describe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from otel_agentcost.diagnostics import alarm
from otel_agentcost.savings.responses.cache import Policy, ResponseCache, Shadow
from otel_agentcost.savings.responses.eligibility import Sampling
from otel_agentcost.savings.stores import StoreError
from otel_agentcost.savings.stores._opening import open_for_calls

_SHARE = 8
"""The largest answer that is kept takes this part of a store."""


class CacheSettings(Protocol):
    """The settings that this module reads (`settings.Settings`)."""

    @property
    def cache(self) -> tuple[str, ...]: ...
    @property
    def cache_embed(self) -> Any: ...
    @property
    def cache_judge(self) -> Any: ...
    @property
    def record(self) -> str | None: ...
    @property
    def cache_store(self) -> str: ...
    @property
    def cache_key(self) -> object: ...
    @property
    def cache_ttl(self) -> float: ...
    @property
    def cache_bytes(self) -> int: ...
    @property
    def cache_version(self) -> str: ...
    @property
    def cache_sampling(self) -> Sampling: ...
    @property
    def cache_tool_calls(self) -> bool: ...
    @property
    def cache_only(self) -> frozenset[str]: ...


def open_cache(settings: CacheSettings, process: Callable[[], str], clock: Callable[[], float]) -> ResponseCache | None:
    """Return the cache; None if its store cannot be opened, which is logged.

    Args:
        settings: The settings.
        process: Returns the name of this process, which no other process has.
        clock: Returns seconds since the epoch.
    """
    try:
        key = getattr(settings.cache_key, "written", None)
        store = open_for_calls(settings.cache_store, key, most_bytes=settings.cache_bytes)
    except StoreError as error:
        alarm(f"otel-agentcost: {error} No answer is cached.")
        return None
    policy = Policy(
        sampling=settings.cache_sampling,
        ttl=settings.cache_ttl,
        largest=settings.cache_bytes // _SHARE,
        version=settings.cache_version,
        tool_calls=settings.cache_tool_calls,
        only=settings.cache_only,
    )
    return ResponseCache(store, policy, process, clock, _shadow(settings, clock))


def _shadow(settings: CacheSettings, clock: Callable[[], float]) -> Shadow | None:
    if "semantic-shadow" not in settings.cache:
        return None
    from otel_agentcost.savings.semantic.opening import open_shadow  # noqa: PLC0415 (off unless it is set)

    stores = settings.cache_store, settings.record
    return open_shadow(stores, settings.cache_embed, settings.cache_judge, clock)
