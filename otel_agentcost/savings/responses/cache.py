"""The cache of answers: it looks a request up, waits for an identical one that is under way, and keeps answers.

A store that is down is an empty one (`stores._tolerant`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from otel_agentcost.core import semconv
from otel_agentcost.core.cache_store import CacheStore, scope_of
from otel_agentcost.core.call import Answer
from otel_agentcost.diagnostics import report
from otel_agentcost.guard import executor
from otel_agentcost.savings.responses import clients, eligibility, entries, keys
from otel_agentcost.savings.responses.eligibility import Sampling
from otel_agentcost.savings.responses.entries import Entry
from otel_agentcost.savings.responses.exchange import Exchange
from otel_agentcost.savings.responses.flights import Flight, Flights
from otel_agentcost.telemetry import event_loops
from otel_agentcost.wire.format import ModelRequest

_T = TypeVar("_T")

LONGEST_WAIT: Final = 30.0
"""Seconds that a call waits for an identical one, at most."""
UNKNOWN_LIMIT: Final = 5.0
"""Seconds that a call waits whose own time limit is not known."""
CLAIM: Final = 60.0
"""Seconds for which a claim in a shared store holds if its owner has crashed."""
_PAUSES: Final = (0.01, 0.02, 0.05, 0.1)
"""Seconds between two looks into a shared store, while another process fetches the answer. The last one repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings of answers."""

    sampling: Sampling = "deterministic"
    ttl: float = 3600
    """Seconds for which an answer is kept."""
    largest: int = 8 * 1024 * 1024
    """Bytes of the largest answer that is kept."""
    version: str = ""
    """Says which version of the application's code asks: answers to another one are not used."""
    tool_calls: bool = False
    """True if answers that call tools are kept."""
    only: frozenset[str] = frozenset()
    """The features and agents whose answers are kept; empty for all."""


class Shadow(Protocol):
    """Rehearses a semantic cache: `semantic.shadow.Shadow`. It never raises."""

    def begin(
        self, request: ModelRequest, said: tuple[object, ...], who: Mapping[str, str], /
    ) -> Callable[[Entry], None] | None:
        """Return what takes the answer to a request; None if the request is not rehearsed."""
        ...

    def close(self) -> None:
        """Write what was counted."""
        ...


class ResponseCache:
    """Answers to requests that were answered before."""

    def __init__(
        self,
        store: CacheStore,
        policy: Policy,
        process: Callable[[], str],
        clock: Callable[[], float],
        shadow: Shadow | None = None,
    ) -> None:
        """Create the cache.

        Args:
            store: Keeps the answers. Its verbs do not raise.
            policy: What is kept.
            process: Returns the name of this process, which no other process has.
            clock: Returns seconds since the epoch.
            shadow: Rehearses a semantic cache with the answers that are kept; None without one.
        """
        self._shadow = shadow
        self._store = store
        self._policy = policy
        self._clock = clock
        self._flights = Flights()
        self._sent_by: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self._process = process
        self.largest = policy.largest

    def close(self) -> None:
        """Close the store. A later call opens it again."""
        try:
            self._store.close()
        except Exception as error:
            report("closing the cache", error)
        if self._shadow is not None:
            self._shadow.close()

    # --- before the call ---

    def look(self, request: ModelRequest, who: Mapping[str, str], client: Any, limit: float | None) -> Exchange | None:
        """Look for an answer, and wait for one that an identical call is fetching. See `calls.answer_cache`."""
        here = event_loops.running()
        if here is not None and self._store.blocking:
            return None  # a synchronous call on an event loop: it must not wait for the store, too
        wanted = self._wanted(request, who, client)
        if wanted is None or self._find(wanted):
            return wanted
        try:
            for step in self._steps(wanted, _seconds(limit)):
                if here is not None:
                    break
                if isinstance(step, _Pause):
                    time.sleep(step.seconds)
                    self._find(wanted)
                else:
                    wanted.arrived(step.flight.wait(step.seconds))
        except BaseException:  # of a signal handler: those who wait must not wait for this call
            self._release(wanted)
            raise
        return wanted

    async def look_async(
        self, request: ModelRequest, who: Mapping[str, str], client: Any, limit: float | None
    ) -> Exchange | None:
        """Do the same as `look`, without blocking the event loop."""
        wanted = self._wanted(request, who, client)
        if wanted is None or await self._off_loop(partial(self._find, wanted), wanted):
            return wanted
        try:
            steps = self._steps(wanted, _seconds(limit))
            while (step := await self._off_loop(lambda: next(steps, None), wanted)) is not None:
                if isinstance(step, _Pause):
                    await _sleep(step.seconds)
                    await self._off_loop(partial(self._find, wanted), wanted)
                else:
                    wanted.arrived(await step.flight.wait_async(step.seconds))
        except BaseException:  # a cancelled task: those who wait must not wait for this call
            self._release(wanted)
            raise
        return wanted

    async def _off_loop(self, action: Callable[[], _T], wanted: Exchange) -> _T:
        if not self._store.blocking or event_loops.running() is None:
            return action()
        return await executor.run_in_thread(action, lambda: self._release(wanted))

    def _wanted(self, request: ModelRequest, who: Mapping[str, str], client: Any) -> Exchange | None:
        """Return the exchange of a request whose answer may be kept; None for others."""
        policy, call, target = self._policy, request.call, request.endpoint
        if policy.only and who.get(semconv.FEATURE) not in policy.only and who.get(semconv.AGENT) not in policy.only:
            return None
        if eligibility.no_request(request, policy.sampling) is not None:
            return None
        name = eligibility.format_name(request)
        text = keys.canonical(call.body, name)
        if text is None or eligibility.refers_elsewhere(text):
            return None
        asks = clients.who_asks(client)
        if asks is None:
            return None  # it may send by itself: an answer could not be served without a request
        scope = self._scope(who)
        asked = (
            policy.version,
            call.operation,
            target.provider,
            target.base_url,
            target.deployment,
            name,
            type(client).__module__,
            call.model,
            call.stream,
            asks,
            None if semconv.TENANT in who or semconv.USER in who else _said_of_users(call.body),
        )
        host = urlsplit(target.base_url).netloc
        exchange = Exchange(self, keys.key_of(scope, asked, text), scope, call.operation, host, streamed=call.stream)
        exchange.remember = partial(self._remember, client)
        with suppress(TypeError):  # a client that cannot be remembered
            exchange.asked_by = self._sent_by.get(client)
        if self._shadow is not None:
            exchange.rehearse = self._shadow.begin(request, (scope, *asked), who)
        return exchange

    def _scope(self, who: Mapping[str, str]) -> str:
        """Return whose the request is: the tenant's, else the user's, else this process's alone."""
        return scope_of(who.get(semconv.TENANT), who.get(semconv.USER), self._process())

    def _remember(self, client: Any, who: str) -> None:
        with suppress(TypeError):
            self._sent_by[client] = who

    def _find(self, wanted: Exchange) -> bool:
        """Look into the store. Returns True if it has the answer."""
        now = self._clock()
        stored = self._store.get(wanted.key, now)
        entry = entries.unpacked(stored.value) if stored is not None else None
        if stored is None or entry is None:
            return False
        wanted.found(entry, now - stored.at)
        return wanted.has_answer

    # --- waiting for an identical call ---

    def _steps(self, wanted: Exchange, seconds: float) -> Iterator[_Pause | _Wait]:
        """Yield what to wait for, until the call has an answer or is to be made."""
        if wanted.streamed:
            return  # the application may read it late or never: no call waits for it
        flight = Flight(wanted.runner)
        there = self._flights.join(wanted.key, flight)
        if there is not flight:
            seconds = min(seconds, there.ends_in(LONGEST_WAIT))
            if seconds > 0 and not there.is_of(wanted.runner):
                yield _Wait(there, seconds)
            return
        wanted.land = lambda entry: self._flights.land(wanted.key, flight, entry)
        if not self._store.shared:
            return
        owner, until = f"{self._process()}:{id(flight)}", self._clock() + seconds
        pauses = iter(_PAUSES)
        while not self._store.claim(wanted.key, owner, now := self._clock(), now + CLAIM):
            if now >= until:
                return
            yield _Pause(next(pauses, _PAUSES[-1]))
            if wanted.entry is not None:
                self._release(wanted)
                return
        wanted.owner = owner
        if self._find(wanted):  # it was stored between the first look and the claim
            self._release(wanted)

    # --- after the call ---

    def may_keep(self, exchange: Exchange, answer: Answer, body: bytes) -> bool:
        """Return True if an answer may be kept."""
        return eligibility.no_answer(answer, body, exchange.operation, tool_calls=self._policy.tool_calls) is None

    def let_go(self, exchange: Exchange) -> None:
        """Let those go on that wait for an exchange, without an entry."""
        if self._store.blocking and event_loops.running() is not None:
            executor.submit(lambda: self._release(exchange))
        else:
            self._release(exchange)

    def ended(self, exchange: Exchange, entry: Entry | None) -> None:
        """Keep an entry, and let those go on that wait for it."""
        if self._store.blocking and event_loops.running() is not None:
            executor.submit(lambda: self._keep(exchange, entry))
        else:
            self._keep(exchange, entry)

    def _keep(self, exchange: Exchange, entry: Entry | None) -> None:
        try:
            if entry is not None:
                now = self._clock()
                self._store.put(exchange.key, exchange.scope, entries.packed(entry), now, now + self._policy.ttl)
        except Exception as error:
            report("keeping an answer", error)
        finally:
            exchange.entry = entry
            self._release(exchange)
            if entry is not None and exchange.rehearse is not None:
                exchange.rehearse(entry)

    def _release(self, exchange: Exchange) -> None:
        """Give up the claim and end the flight of an exchange, for those who wait for its entry."""
        owner, exchange.owner = exchange.owner, None
        land, exchange.land = exchange.land, None
        if owner is not None:
            self._store.unclaim(exchange.key, owner)
        if land is not None:
            land(exchange.entry)


@dataclass(frozen=True, slots=True)
class _Pause:
    """A pause before the next look into a shared store."""

    seconds: float


@dataclass(frozen=True, slots=True)
class _Wait:
    """An identical call of this process to wait for."""

    flight: Flight
    seconds: float


def _said_of_users(body: Mapping[str, Any]) -> str:
    """Return what a request says of its user, where the call is not attributed to one."""
    return repr([body.get(field) for field in ("user", "safety_identifier", "metadata")])


def _seconds(limit: float | None) -> float:
    return UNKNOWN_LIMIT if limit is None else min(limit, LONGEST_WAIT)


async def _sleep(seconds: float) -> None:
    library = event_loops.running()
    if library == "trio":
        await sys.modules["trio"].sleep(seconds)
    elif library == "asyncio":
        await sys.modules["asyncio"].sleep(seconds)
