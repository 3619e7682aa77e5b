"""The store that a command shares with the programs it is about."""

from __future__ import annotations

import argparse
from pathlib import Path

from otel_agentcost.core.cache_store import CacheStore
from otel_agentcost.errors import AgentCostError
from otel_agentcost.savings.stores import open_store, shown
from otel_agentcost.settings import from_environment

_SECONDS = 5.0
"""How long a command waits for the store."""


class NoSharedStore(AgentCostError):
    """The store is that of one process, which is not this one, or there is none. The text says what to set."""


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add `--store`."""
    parser.add_argument(
        "--store",
        metavar="URL",
        help="The store: sqlite:////path/to/file or redis://host:port/db. Default: that of OTEL_AGENTCOST_CACHE_STORE.",
    )


def shared_store(arguments: argparse.Namespace) -> CacheStore:
    """Return the store of `--store` or of the settings, which the caller closes. It needs no key: no value is read.

    Raises:
        NoSharedStore: It is that of one process, or its file does not exist: only a program makes one.
        StoreError: It cannot be opened.
    """
    url: str = arguments.store or from_environment().cache_store
    store = open_store(url, timeout=_SECONDS)
    file: Path | None = getattr(store, "path", None)
    if file is not None and not file.is_file():
        raise NoSharedStore(
            f"There is no cache at {file}: name the file that OTEL_AGENTCOST_CACHE_STORE names for your programs."
        )
    if store.shared:
        return store
    raise NoSharedStore(
        f"The cache {shown(url)} is that of one process, which is not this one: set OTEL_AGENTCOST_CACHE_STORE to the "
        "sqlite:// or redis:// store of your programs, or write --store. A cache in memory ends with its process."
    )
