"""`agentcost cache clear`: remove cached answers and tool results of a tenant, of a user, or all."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from otel_agentcost.cli._cache._store import add_store, shared_store
from otel_agentcost.core.cache_store import tenant_scope, user_scope
from otel_agentcost.errors import AgentCostError

if TYPE_CHECKING:
    from otel_agentcost.cli import Subparsers

SUMMARY = "Remove cached answers and tool results of a tenant, of a user, or all."
EXAMPLE = "Example: agentcost cache clear --tenant acme"


class NobodyNamed(AgentCostError):
    """The name of the tenant or user is empty."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to `agentcost cache`."""
    parser = subparsers.add_parser("clear", help=SUMMARY, description=SUMMARY, epilog=EXAMPLE)
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--tenant", metavar="NAME", help="What is kept for this tenant.")
    whose.add_argument("--user", metavar="ID", help="What is kept for this user, where it is kept per user.")
    whose.add_argument("--all", action="store_true", help="Everything that otel-agentcost keeps there, nothing else.")
    add_store(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Remove the entries, and say how many they were."""
    scope: str | None = None
    for option, name in (("--tenant", arguments.tenant), ("--user", arguments.user)):
        if name is not None and not name.strip():
            raise NobodyNamed(f"{option} names nobody: write {option} NAME, or --all to remove everything.")
    if arguments.tenant is not None:
        scope = tenant_scope(arguments.tenant)
    elif arguments.user is not None:
        scope = user_scope(arguments.user)
    store = shared_store(arguments)
    try:
        removed = store.clear(scope)
    finally:
        store.close()
    print(f"{removed:,} {'entry' if removed == 1 else 'entries'} removed.")
    return 0
