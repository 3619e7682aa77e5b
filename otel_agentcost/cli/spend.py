"""`agentcost spend`: what was spent in a period, by agent, model, user or anything else that calls have."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from otel_agentcost.cli import _figures
from otel_agentcost.cli._store_options import add_period, add_source, asked, named_groupings
from otel_agentcost.diagnostics import without_password
from otel_agentcost.errors import AgentCostError
from otel_agentcost.store.questions import GROUPINGS, SINGLE, Question

if TYPE_CHECKING:
    from otel_agentcost.cli import Subparsers

SUMMARY = "Show what was spent, from the spend store."
EXAMPLE = "Example: agentcost spend --since yesterday --by agent,model"


class NothingSpent(AgentCostError):
    """The store has no call in the period."""

    @classmethod
    def since(cls, since: str, until: str | None, url: str) -> NothingSpent:
        """Return the error for a period, as it was asked for."""
        end = f" until {until}" if until else ""
        advice = (
            "OTEL_AGENTCOST_RECORD names this store where the calls are made"
            if url.lower().startswith("sqlite:")
            else "the spans or metrics of the calls arrive there"
        )
        return cls(
            f"No call is recorded since {since}{end} in {without_password(url)}: name an earlier time, or all, and see "
            f"that {advice}."
        )


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to `agentcost`."""
    parser = subparsers.add_parser("spend", help=SUMMARY, description=SUMMARY, epilog=EXAMPLE)
    add_period(parser, "today")
    names = ", ".join((*GROUPINGS, *SINGLE))
    parser.add_argument("--by", default="model", metavar="NAMES", help=f"Groupings, joined by commas, of: {names}.")
    add_source(parser)
    parser.add_argument("--format", choices=_figures.FORMATS, default="text", help="The form of the output.")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the answer."""
    by, what = named_groupings(arguments.by), asked(arguments)
    with what.source() as source:
        spend = source.spend(Question(by=by, since=what.since, until=what.until, zone=what.settings.time_zone))
    if not spend.lines:
        raise NothingSpent.since(arguments.since, arguments.until, what.url)
    if arguments.format == "json":
        print(json.dumps(_figures.spend_json(spend), indent=2))
    elif arguments.format == "csv":
        print(_figures.spend_csv(spend))
    else:
        print(_figures.spend_table(spend))
    return 0
