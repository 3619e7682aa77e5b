"""`agentcost collector-config`: the configuration of a stock OpenTelemetry Collector, with the prices of the book.

The command prints and returns an exit code. The files come from `otel_agentcost.collector`.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from otel_agentcost.cli import Subparsers, write_into
from otel_agentcost.collector.files import files
from otel_agentcost.pricebook import open_book
from otel_agentcost.settings import from_environment

SUMMARY = "Write the configuration of an OpenTelemetry Collector that prices spans of any language."


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to `agentcost`."""
    example = "Example: agentcost collector-config --write ./collector_config"
    parser = subparsers.add_parser("collector-config", help=SUMMARY, description=SUMMARY, epilog=example)
    text = "The folder for all files; default: print pricing.yaml only."
    parser.add_argument("--write", type=Path, metavar="DIR", help=text)
    parser.add_argument("--prices", type=Path, help="A price file; default: OTEL_AGENTCOST_PRICES.")
    parser.add_argument("--force", action="store_true", help="Replace files even if they were edited.")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the files. Return 1 if some were edited and are therefore kept.

    A row of the price file that cannot be understood ends the command: the files in use stay as they are, and the
    prices of a fleet have no gap.
    """
    settings = from_environment()
    book = open_book(arguments.prices if arguments.prices is not None else settings.prices, settings.private_addresses)
    if book.problems:
        print("\n".join(f"agentcost collector-config: {problem}" for problem in book.problems), file=sys.stderr)
        print("Nothing was written.", file=sys.stderr)
        return 2
    made = files(book)
    if arguments.write is None:
        sys.stdout.write(made["pricing.yaml"])
        return 0
    code = write_into(arguments.write, made, force=arguments.force)
    print(f"Prices: {book.source}. Read {arguments.write / 'README.md'}, or start with:")
    options = (f"--config {shlex.quote(str(arguments.write / name))}" for name in _TRY)
    print(f"  otelcol-contrib {' '.join(options)}")
    return code


_TRY = ("pricing.yaml", "metrics.yaml", "agent.yaml", "backends/prometheus-scrape.yaml")
