"""Tell of own hosts (`OTEL_AGENTCOST_HOSTS`) without a model call: a misspelt host, another port, another path."""

from __future__ import annotations

import threading
from typing import Final

from otel_agentcost.diagnostics import warn_once
from otel_agentcost.settings.hosts import OwnHost

REQUESTS: Final = 100
"""The number of POST requests after which the log reports a host without a model call, once."""
_PLACES: Final = 5
"""The number of other places that the log lists."""


class OwnHostsWatch:
    """Watches the first POST requests for model calls at own hosts. Thread-safe."""

    def __init__(self, own: tuple[OwnHost, ...]) -> None:
        """Watch for calls to the hosts `own`."""
        self._never_asked = own
        """Hosts that no request went to."""
        self._no_call = own
        """Hosts at which no address was a model call's."""
        self._requests = self._at_hosts = 0
        self._others: dict[str, None] = {}
        self._places: dict[str, None] = {}
        self._lock = threading.Lock()

    @property
    def open(self) -> bool:
        """True while a host has had no model call, and the log has not reported it."""
        return bool(self._never_asked or self._no_call)

    @property
    def counts_others(self) -> bool:
        """True while requests to other hosts count."""
        return bool(self._never_asked)

    def asked(self, host: str) -> None:
        """Take note of a request to a host that some rule covers."""
        with self._lock:
            self._never_asked = tuple(rule for rule in self._never_asked if not rule.covers_host(host))

    def other(self, host: str) -> None:
        """Take note of a request to a host that no rule covers."""
        with self._lock:
            self._requests += 1
            if len(self._others) < _PLACES:
                self._others[host] = None
            if self._requests < REQUESTS:
                return
            unmatched, self._never_asked = self._never_asked, ()
            self._no_call = tuple(rule for rule in self._no_call if rule not in unmatched)
        _tell(unmatched, f"none of the first {REQUESTS} POST requests went there", self._others, "host")

    def found(self, rule: OwnHost) -> None:
        """Take note of a model call at the host of `rule`."""
        with self._lock:
            self._never_asked = tuple(each for each in self._never_asked if each is not rule)
            self._no_call = tuple(each for each in self._no_call if each is not rule)

    def no_call(self, host: str, place: str) -> None:
        """Take note of a request to `host` that is no model call.

        Args:
            host: The host, in lower case.
            place: The host, the port and the path.
        """
        with self._lock:
            if not any(rule.covers_host(host) for rule in self._no_call):
                return
            self._at_hosts += 1
            if len(self._places) < _PLACES:
                self._places[place] = None
            if self._at_hosts < REQUESTS:
                return
            unmatched = tuple(rule for rule in self._no_call if rule not in self._never_asked)
            self._no_call = self._never_asked
        _tell(unmatched, f"none of the first {REQUESTS} requests there was a model call", self._places, "port or path")


def _tell(rules: tuple[OwnHost, ...], what: str, places: dict[str, None], part: str) -> None:
    if rules:
        names = ", ".join(map(str, rules))
        others = ", ".join(f"{place:.80}" for place in places)
        warn_once(
            f"unmatched hosts: {names}",
            f"otel-agentcost: OTEL_AGENTCOST_HOSTS has {names:.200}, but {what}. They went to {others}. Correct the "
            f"{part}, unless such calls are still to come.",
        )
