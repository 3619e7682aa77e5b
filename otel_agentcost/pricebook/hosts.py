"""Identify the provider of a call by the host that the call goes to.

The table is `hosts.json`. A host that is not in it is unknown: no name is guessed.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from otel_agentcost.pricebook.data_files import read_table


class HostRule(NamedTuple):
    """One row of the table: the hosts of a provider."""

    provider: str
    """Its name in the GenAI conventions, where they have one."""
    ends_with: tuple[str, ...]
    """Domains: the host is one of them or lies below one."""
    starts_with: str
    gateway: bool
    """True if the host is a gateway that may bill for the call itself: a cost that it reports is used."""

    def matches(self, host: str) -> bool:
        """Return whether `host` (in lower case, without a port) is covered by this row."""
        if not host.startswith(self.starts_with):
            return False
        return any(host == domain or host.endswith("." + domain) for domain in self.ends_with)


@cache
def host_rules() -> tuple[HostRule, ...]:
    """Return the rows of the table, read once."""
    return tuple(
        HostRule(
            row["provider"], tuple(row["ends_with"]), str(row.get("starts_with", "")), bool(row.get("gateway", False))
        )
        for row in read_table("hosts.json")["hosts"]
    )


def find_host(host: str) -> HostRule | None:
    """Return the row that covers `host`.

    Args:
        host: A host name in lower case, without a port, as `urllib.parse.urlsplit(url).hostname` returns it.

    Returns:
        The first row that matches, or None if no provider is known at that host.
    """
    return next((rule for rule in host_rules() if rule.matches(host)), None)
