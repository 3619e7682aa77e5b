"""The net below the SDKs: HTTP clients, one module each, whose requests to known providers are model calls.

Each module of this folder without a leading underscore in its name is a client and has a constant `CLIENT`. `discover`
lists the folder. No module imports its client.

A call that an SDK holds is left alone here (`_base.Net`). `_addresses` decides which requests are model calls, `_seam`
reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from otel_agentcost.integrations.http._addresses import Addresses
from otel_agentcost.integrations.http._base import HttpClient, Net, patches_of

__all__ = ["Addresses", "HttpClient", "Net", "discover", "patches_of"]


def discover() -> Iterator[HttpClient]:
    """Yield the clients of this folder."""
    for module in iter_modules(__path__):
        if not module.name.startswith("_"):
            client: HttpClient = import_module(f"{__name__}.{module.name}").CLIENT
            yield client
