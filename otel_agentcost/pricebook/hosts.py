"""Identify the provider of a call by the address that the call goes to: the one table for its name and its prices.

The table is `hosts.json`. An address that is not in it is unknown: no name is guessed. The Collector's statements are
generated from the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple
from urllib.parse import urlsplit

from otel_agentcost.pricebook.data_files import read_table
from otel_agentcost.pricebook.providers import canonical


class HostRule(NamedTuple):
    """One row of the table: the addresses of a provider."""

    provider: str
    """Its name in the GenAI conventions, where they have one."""
    hosts: tuple[str, ...]
    """Hosts: each covers itself and the hosts below it. `*` stands for a part of one label."""
    paths: tuple[str, ...]
    """If not empty, the row covers only paths that begin with one of these. `*` stands for one segment."""
    gateway: bool
    """True for a gateway, or a seller whose responses contain the cost: a cost that it reports is used."""

    @property
    def owner(self) -> str:
        """The provider of the price book whose prices apply. The book may not have it: then there are no prices."""
        return canonical(self.provider)

    def covers_path(self, path: str) -> bool:
        """Return whether `path` is covered, for a host that is."""
        return not self.paths or any(re.match(_glob(start, "[^/]+") + "(?:/|$)", path) for start in self.paths)

    def pattern(self) -> str:
        """Return the regular expression for whole host names that this row covers, in the syntax of Python and Go."""
        return f"(?:.*[.])?(?:{'|'.join(_glob(host, '[^.]*') for host in self.hosts)})"


def _glob(pattern: str, star: str) -> str:
    return star.join(re.escape(part).replace(r"\-", "-").replace(r"\.", "[.]") for part in pattern.split("*"))


@cache
def host_rules() -> tuple[HostRule, ...]:
    """Return the rows of the table, read once. Of rows with the same host, those with paths come first."""
    rows = [
        HostRule(row["provider"], tuple(row["hosts"]), tuple(row.get("paths", ())), bool(row.get("gateway", False)))
        for row in read_table("hosts.json")["hosts"]
    ]
    return tuple(sorted(rows, key=lambda rule: not rule.paths))


@cache
def _exact() -> Mapping[str, list[HostRule]]:
    found: dict[str, list[HostRule]] = {}
    for rule in host_rules():
        for host in rule.hosts:
            found.setdefault(host, []).append(rule)
    return found


@cache
def _wild() -> tuple[tuple[re.Pattern[str], HostRule], ...]:
    return tuple((re.compile(rule.pattern()), rule) for rule in host_rules() if any("*" in host for host in rule.hosts))


def find_host(host: str, path: str = "") -> HostRule | None:
    """Return the row that covers an address.

    Args:
        host: A host name in lower case, without a port, as `urllib.parse.urlsplit(url).hostname` returns it.
        path: The path of the address.

    Returns:
        The row with the longest host that matches, or None if no provider is known at that address.
    """
    host = host.removesuffix(".")
    domain = host
    while domain:
        for rule in _exact().get(domain, ()):
            if rule.covers_path(path):
                return rule
        domain = domain.partition(".")[2]
    return next((rule for pattern, rule in _wild() if pattern.fullmatch(host) and rule.covers_path(path)), None)


def host_of(url: str) -> tuple[str, str]:
    """Return the host of `url`, in lower case and without a port, and its path; empty texts if it is no URL."""
    try:
        parts = urlsplit(url)
        host, path = parts.hostname, parts.path
    except ValueError:
        return "", ""
    return host or "", path


@cache
def private_pattern() -> str:
    """Return the regular expression for whole names of private hosts, in the syntax of Python and Go."""
    return "|".join(f"(?:{pattern})" for pattern in read_table("hosts.json")["private"]["hosts"])


@cache
def _private() -> re.Pattern[str]:
    return re.compile(private_pattern())


def is_private(host: str) -> bool:
    """Return whether no public provider can be at `host` (in lower case): loopback, RFC 1918, `*.local`, one label."""
    return _private().fullmatch(host.removesuffix(".")) is not None
