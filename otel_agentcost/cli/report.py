"""`agentcost report`: what was spent, how that changed, what lies ahead, and what could be saved."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from otel_agentcost.cli import _report
from otel_agentcost.cli._store_options import add_period, add_source, asked, named_groupings
from otel_agentcost.cli.spend import NothingSpent
from otel_agentcost.guard.allowances import of_ledger
from otel_agentcost.guard.ledger import open_ledger
from otel_agentcost.insight.forecast import Allowed, nano
from otel_agentcost.insight.report import VIEWS, Period, Wanted
from otel_agentcost.insight.repricing import Repricing
from otel_agentcost.pricebook import open_book
from otel_agentcost.settings import Settings
from otel_agentcost.store.questions import GROUPINGS, SINGLE, Question, Source

if TYPE_CHECKING:
    from otel_agentcost.cli import Subparsers

SUMMARY = "Report what was spent, how that changed and why, what lies ahead, and what could be saved."
EXAMPLE = "Example: agentcost report --since 7d --format md"


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to `agentcost`."""
    parser = subparsers.add_parser("report", help=SUMMARY, description=SUMMARY, epilog=EXAMPLE)
    add_period(parser, "7d")
    names = ", ".join((*GROUPINGS, *SINGLE))
    parser.add_argument(
        "--by", metavar="NAMES", help=f"One table by these, joined by commas, in place of the usual ones: {names}."
    )
    parser.add_argument("--format", choices=_report.forms(), default="text", help="The form of the output.")
    parser.add_argument(
        "--offline",
        default="",
        metavar="FEATURES",
        help="Features that nobody waits for, joined by commas: the report says what batches would cost.",
    )
    parser.add_argument(
        "--no-recommendations", action="store_true", help="Leave out what reads single calls, which takes longest."
    )
    add_source(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the report."""
    what = asked(arguments)
    settings, now = what.settings, what.now
    wanted = Wanted(
        period=Period(what.since, what.until),
        now=now,
        zone=settings.time_zone,
        offline=frozenset(filter(None, map(str.strip, arguments.offline.split(",")))),
        downgrade=settings.downgrade,
        budgets=_budgets(settings, now),
        advice=not arguments.no_recommendations,
        by=tuple((name,) for name in VIEWS) if arguments.by is None else (named_groupings(arguments.by),),
    )
    with what.source() as source:
        if not source.spend(Question(since=what.since, until=what.until)).lines:
            raise NothingSpent.since(arguments.since, arguments.until, what.url)
        if wanted.offline:
            _check_offline(wanted, source)
        repricing = Repricing(open_book(settings.prices, settings.private_addresses))
        for piece in _report.pieces(arguments.format, source, wanted, repricing):
            sys.stdout.write(piece)
    return 0


def _check_offline(wanted: Wanted, source: Source) -> None:
    """Say on standard error which of the features that can wait have no call: a report of every night still comes."""
    since, until = wanted.period
    lines = source.spend(Question(by=("feature",), since=since, until=until)).lines
    known = sorted(line.keys[0] for line in lines if line.keys[0])
    for name in sorted(wanted.offline.difference(known)):
        there = f" There are {', '.join(known[:10]):.300}." if known else ""
        print(f"No call of the period is of the feature {name!r:.80} of --offline.{there}", file=sys.stderr)


def _budgets(settings: Settings, now: float) -> Sequence[tuple[str, Allowed]]:
    """Return the budgets in dollars of a shared ledger; none if no ledger is named."""
    if not settings.rules or not isinstance(settings.ledger, str):
        return ()
    ledger = open_ledger(settings.ledger, timeout=max(5.0, settings.ledger_timeout))
    try:
        if not ledger.shared:
            return ()
        found = of_ledger(settings.rules, ledger, now, settings.time_zone)
    finally:
        ledger.close()
    return [
        (each.scope, Allowed(each.budget, each.value, nano(Decimal(each.left)), each.resets_at, each.rolling))
        for each in found
        if each.unit == "usd"
    ]
