"""`agentcost budgets`: spent, reserved and left of each budget in the ledger, and when it begins anew."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from otel_agentcost.cli import _figures
from otel_agentcost.cli._shared_ledger import shared_ledger
from otel_agentcost.errors import AgentCostError
from otel_agentcost.guard.allowances import Allowance, of_ledger
from otel_agentcost.settings import from_environment

if TYPE_CHECKING:
    from otel_agentcost.cli import Subparsers

SUMMARY = "Show what each budget has spent, what is reserved and left, and when it begins anew."
EXAMPLE = "Example: agentcost budgets --format json"

_SECONDS = 2.0
"""Seconds between two looks of `--watch`."""


class NoBudgets(AgentCostError):
    """There is nothing to show; the text says why, and what to set."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to `agentcost`."""
    text = f"{SUMMARY} It reads the rules of OTEL_AGENTCOST_BUDGETS and the ledger of OTEL_AGENTCOST_LEDGER."
    parser = subparsers.add_parser("budgets", help=SUMMARY, description=text, epilog=EXAMPLE)
    parser.add_argument("--watch", action="store_true", help="Show them again every two seconds, until Ctrl-C.")
    parser.add_argument("--format", choices=_figures.FORMATS, default="text", help="The form of the output.")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the budgets."""
    settings = from_environment()
    if not settings.rules:
        raise NoBudgets("No budget is set: set OTEL_AGENTCOST_BUDGETS, such as user/day:usd=1, as for your program.")
    ledger = shared_ledger(settings, ", or call otel_agentcost.remaining() in the program itself")
    try:
        while True:
            found = of_ledger(settings.rules, ledger, time.time(), settings.time_zone)
            text = _written(found, arguments.format)
            if arguments.watch and arguments.format == "text" and sys.stdout.isatty():
                print("\033[2J\033[H", end="")  # a clean screen
            print(text, flush=True)
            if not arguments.watch:
                return 0
            time.sleep(_SECONDS)
    finally:
        ledger.close()


def _written(found: Sequence[Allowance], form: str) -> str:
    rows = [_figures.allowance_json(each) for each in found]
    if form == "json":
        return json.dumps(rows, indent=2)
    if form == "csv":
        return _figures.csv_of(rows)
    return _figures.allowance_table(found) if rows else "No budget has spent anything yet."
