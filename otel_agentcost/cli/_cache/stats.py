"""`agentcost cache stats`: how many answers and tool results the store holds, and how large they are."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING

from otel_agentcost.cli._cache._store import add_store, shared_store

if TYPE_CHECKING:
    from otel_agentcost.cli import Subparsers

SUMMARY = "Show how many answers and tool results the store holds, and how large they are."
EXAMPLE = "Example: agentcost cache stats --store sqlite:////var/lib/agentcost/cache.db"


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to `agentcost cache`."""
    parser = subparsers.add_parser("stats", help=SUMMARY, description=SUMMARY, epilog=EXAMPLE)
    add_store(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text", help="The form of the output.")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the figures."""
    store = shared_store(arguments)
    try:
        found = store.size(time.time())
    finally:
        store.close()
    if arguments.format == "json":
        print(json.dumps({"entries": found.entries, "bytes": found.size}))
    else:
        print(f"{found.entries:,} {'entry' if found.entries == 1 else 'entries'}, {found.size / 1e6:,.1f} MB")
    return 0
