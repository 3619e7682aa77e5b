"""`agentcost cache`: advice on prompt caches, and what caches of answers and tool results save."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from otel_agentcost.cli import _cache

if TYPE_CHECKING:
    from otel_agentcost.cli import Subparsers

SUMMARY = "Advise on prompt caches, and show what caches of answers and tool results save."
EXAMPLE = "Example: agentcost cache advise --since 7d"


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to `agentcost`."""
    parser = subparsers.add_parser("cache", help=SUMMARY, description=SUMMARY, epilog=EXAMPLE)
    below = parser.add_subparsers(dest="cache_command", metavar="COMMAND", title="commands", required=True)
    for module in sorted(iter_modules(_cache.__path__), key=lambda each: each.name):
        if not module.name.startswith("_"):
            import_module(f"{_cache.__name__}.{module.name}").add_parser(below)
