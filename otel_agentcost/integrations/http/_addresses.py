"""The addresses of model calls: hosts of the price book and of `OTEL_AGENTCOST_HOSTS`, and paths of wire formats.

The paths are those that the SDKs' modules declare (`FORMATS`), and those of `paths.json`. The longest ending that
matches decides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from otel_agentcost.integrations import sdks
from otel_agentcost.integrations.http._own_hosts import OwnHostsWatch
from otel_agentcost.pricebook.hosts import find_host, host_rules
from otel_agentcost.settings.hosts import OwnHost
from otel_agentcost.wire import UnknownFormat, load

_MOST: Final = 1000
SESSIONS_OF: Final = "anthropic"
"""The provider whose sessions have one usage for all their turns."""
_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}


class Place(NamedTuple):
    """The address of a model call."""

    provider: str
    """The provider, as `gen_ai.provider.name`."""
    format: str
    """The name of the wire format."""
    base_url: str
    """The address without the part of the path that names the operation."""
    ending: str
    """That part of the path."""


class Candidates(dict[str, bool]):
    """For hosts that occurred: True if a request there matters. A look-up takes a fraction of a microsecond."""

    def __init__(self, matters: Callable[[str], tuple[bool, bool]]) -> None:
        """Create the table.

        Args:
            matters: Returns for a host in lower case whether a request there matters, and whether that is kept.
        """
        super().__init__()
        self._matters = matters

    def __missing__(self, host: str) -> bool:
        if len(self) >= _MOST:
            self.clear()
        found, kept = self._matters(host.lower())
        if kept:
            self[host] = found
        return found


class Origins(dict[str, bool]):
    """The same for the beginning of an address up to its path, as text: `https://api.openai.com`."""

    def __init__(self, hosts: Candidates) -> None:
        super().__init__()
        self._hosts = hosts

    def __missing__(self, origin: str) -> bool:
        if len(self) >= _MOST:
            self.clear()
        host = _split(origin).hostname or ""
        found = self._hosts[host]
        if host in self._hosts:
            self[origin] = found
        return found


class Known:
    """The hosts at which requests of one kind matter."""

    __slots__ = ("hosts", "origins")

    def __init__(self, matters: Callable[[str], tuple[bool, bool]]) -> None:
        """Create the tables. `matters` is that of `Candidates`."""
        self.hosts = Candidates(matters)
        self.origins = Origins(self.hosts)


def _is_provider(host: str) -> bool:
    return host in _hosts_with_paths() or find_host(host) is not None or _below(host)


@cache
def _hosts_with_paths() -> frozenset[str]:
    """Return the hosts that are a provider's on some paths only."""
    return frozenset(host for rule in host_rules() if rule.paths for host in rule.hosts)


def _below(host: str) -> bool:
    """Return True if `host` is below one of those."""
    while host:
        host = host.partition(".")[2]
        if host in _hosts_with_paths():
            return True
    return False


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


class Addresses:
    """Finds the provider and the wire format of a request by its address."""

    def __init__(self, own: tuple[OwnHost, ...]) -> None:
        """Create the object.

        Args:
            own: The hosts of the setting `hosts`. They come before those of the price book.
        """
        self._watch = OwnHostsWatch(own)
        self.posted: Final = Known(self._may_call)
        """The hosts at which a POST request may be a model call."""
        self.read: Final = Known(lambda host: (self._is_known(host), True))
        """Those at which a GET request may read what an earlier call has begun."""
        self.sessions: Final = Known(lambda host: (self._has_sessions(host), True))
        """Those at which it may read a session, whose usage so far matters even if nothing was begun yet."""
        self._own = own
        self._places: dict[str, Place | None] = {}

    def _is_known(self, host: str) -> bool:
        return any(each.covers_host(host) for each in self._own) or _is_provider(host)

    def _has_sessions(self, host: str) -> bool:
        own = [each.provider for each in self._own if each.covers_host(host)]
        rule = find_host(host)
        return SESSIONS_OF in own or (rule is not None and rule.provider == SESSIONS_OF)

    def _may_call(self, host: str) -> tuple[bool, bool]:
        if any(each.covers_host(host) for each in self._own):
            self._watch.asked(host)
            return True, True
        found = _is_provider(host)
        if self._watch.counts_others:
            self._watch.other(host)
            return found, False  # not kept yet: the watch counts each request
        return found, True

    def place(self, url: str) -> Place | None:
        """Return the place of a model call at `url`; None if no known one is there."""
        address = url.partition("?")[0].partition("#")[0]
        if self._watch.open:
            self._watched(address)
        if address in self._places:
            return self._places[address]
        if len(self._places) >= _MOST:
            self._places.clear()
        found = self._places[address] = self._find(address)
        return found

    def _watched(self, address: str) -> None:
        """Tell the watch of own hosts of a request."""
        parts = _split(address)
        host = parts.hostname or ""
        own = self._own_at(parts)
        if own is not None and _format(parts.path.rstrip("/"), own.provider) is not None:
            self._watch.found(own)
        elif any(each.covers_host(host) for each in self._own):
            self._watch.no_call(host, f"{parts.netloc.rpartition('@')[2]}{parts.path}")

    def _own_at(self, parts: SplitResult) -> OwnHost | None:
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
        return next((each for each in self._own if each.covers(host, port, parts.path)), None)

    def anywhere(self, url: str) -> Place | None:
        """Return the provider at `url`, whatever the path, which is the `ending` of the place; None for no provider."""
        parts = _split(url.partition("?")[0].partition("#")[0])
        provider = self._provider(parts)
        if provider is None:
            return None
        return Place(provider, "", f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", parts.path)

    def _provider(self, parts: SplitResult) -> str | None:
        host, path = parts.hostname or "", parts.path
        own = self._own_at(parts)
        rule = None if own is not None else find_host(host, path)
        return own.provider if own is not None else rule.provider if rule is not None else None

    def _find(self, address: str) -> Place | None:
        parts = _split(address)
        path, provider = parts.path, self._provider(parts)
        if provider is None:
            return None
        found = _format(path.rstrip("/"), provider)
        if found is None:
            return None
        name, ending = found
        if ending == ":predict" and "/models/" not in path:  # an endpoint of one's own model, billed by the hour
            return None
        base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path.rstrip('/').removesuffix(ending)}"
        return Place(provider, name, base, ending)


class _Row(NamedTuple):
    """A path of a wire format."""

    pattern: re.Pattern[str]
    """Matches whole paths. Its group is the part that names the operation."""
    format: str
    providers: tuple[str, ...]
    """If not empty, the row is for these providers only."""
    rank: tuple[bool, bool, int]
    """The least decides: of a provider's own SDK, of an SDK at all, with the longest ending."""


@cache
def _rows() -> Mapping[str, tuple[_Row, ...]]:
    """Return the rows by the last segment of their path, or by the verb after its last colon."""
    rows: dict[str, list[_Row]] = {}
    for row, last in (*_sdk_rows(), *_table_rows()):
        rows.setdefault(last, []).append(row)
    return {last: tuple(sorted(each, key=lambda row: row.rank)) for last, each in rows.items()}


def _sdk_rows() -> Iterator[tuple[_Row, str]]:
    own: Mapping[str, list[str]] = _table()["sdks"]
    for module in iter_modules(sdks.__path__):
        if module.name.startswith("_"):
            continue
        formats: Mapping[str, str] = getattr(import_module(f"{sdks.__name__}.{module.name}"), "FORMATS", {})
        for ending, name in formats.items():
            yield _row(ending, name, tuple(own.get(module.name, ())), of_sdk=True)


def _table_rows() -> Iterator[tuple[_Row, str]]:
    for entry in _table()["paths"]:
        name = next(name for name in entry["formats"] if _exists(name))
        for ending in entry["paths"]:
            yield _row(ending, name, tuple(entry.get("providers", ())), of_sdk=False)


def _table() -> Any:
    return json.loads((Path(__file__).parent / "paths.json").read_text(encoding="utf-8"))


def _exists(name: str) -> bool:
    try:
        load(name)
    except UnknownFormat:
        return False
    return True


def _row(ending: str, name: str, providers: tuple[str, ...], *, of_sdk: bool) -> tuple[_Row, str]:
    # A Gemini path ends with `models/NAME:verb`, and the rest of a longer path may be anything.
    inner = "[^/]+".join(map(re.escape, ending.split("*")))
    begins = "(?:.*/)?[^/]*" if ending.startswith(":") else ".*" if ending.startswith("/") else "(?:.*/)?"
    rank = (not (of_sdk and providers), not of_sdk, -len(ending.replace("*", "")))
    return _Row(re.compile(f"{begins}({inner})"), name, providers, rank), _last(ending)


def _last(path: str) -> str:
    """Return the last segment of a path, or `:verb` if it ends with one."""
    segment = path.rpartition("/")[2]
    head, colon, verb = segment.rpartition(":")
    return f":{verb}" if colon and (head or segment.startswith(":")) else segment


def _format(path: str, provider: str) -> tuple[str, str] | None:
    """Return the wire format of a path, and the part of the path that names the operation."""
    for row in (*_rows().get(_last(path), ()), *_rows().get("*", ())):
        if (not row.providers or provider in row.providers) and (found := row.pattern.fullmatch(path)) is not None:
            return row.format, found[1]
    return None
