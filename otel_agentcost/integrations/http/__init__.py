"""The net below the SDKs: HTTP clients, one module each, whose requests to known providers are model calls.

Each module of this folder without a leading underscore in its name is a client and has a constant `CLIENT`. `discover`
lists the folder. No module imports its client.

A call that an SDK holds is left alone here (`_base.Net`). `_addresses` decides which requests are model calls, `_seam`
reads them.
"""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost import plugins
from otel_agentcost.integrations.http._addresses import Addresses
from otel_agentcost.integrations.http._base import HttpClient, Net, patches_of

__all__ = ["Addresses", "HttpClient", "Net", "discover", "patches_of"]


def discover() -> Iterator[HttpClient]:
    """Yield the clients of this folder."""
    yield from plugins.listed(__name__, __path__, "CLIENT")
