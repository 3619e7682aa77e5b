"""`agentcost cache advise`: what could be saved at prompt caches, by agent or feature, with dollars."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from otel_agentcost.cli._figures import usd
from otel_agentcost.cli._store_options import add_period, add_source, source_url
from otel_agentcost.cli.spend import NothingSpent
from otel_agentcost.diagnostics import without_password
from otel_agentcost.errors import AgentCostError
from otel_agentcost.insight import recommendations
from otel_agentcost.insight.recommendations import Evidence, Finding
from otel_agentcost.insight.repricing import Repricing
from otel_agentcost.pricebook import open_book
from otel_agentcost.savings.prompt_cache import rules
from otel_agentcost.settings import from_environment
from otel_agentcost.store.periods import period
from otel_agentcost.store.questions import Question
from otel_agentcost.store.single_calls import Recorded
from otel_agentcost.store.sources import open_detailed

if TYPE_CHECKING:
    from otel_agentcost.cli import Subparsers

SUMMARY: Final = "Say how prompt caches could save more, by agent or feature, with dollars."
EXAMPLE: Final = "Example: agentcost cache advise --since 7d"

ADVICE: Final = (
    "cache_lifetimes",
    "excess_markers",
    "marker_lookback",
    "rebuilt_prompts",
    "short_prompts",
    "unmarked_prompts",
    "unread_cache_writes",
    "volatile_prompts",
)
"""The recommendations that are about prompt caches."""


class NothingKnown(AgentCostError):
    """The record does not have what the advice rests on."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to `agentcost cache`."""
    parser = subparsers.add_parser("advise", help=SUMMARY, description=SUMMARY, epilog=EXAMPLE)
    add_period(parser, "7d")
    add_source(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the advice."""
    settings = from_environment()
    now = time.time()
    since, until = period(arguments.since, arguments.until, now, settings.time_zone)
    url = source_url(arguments, settings)
    question = Question(since=since, until=until)
    with open_detailed(url) as source:
        if not source.spend(question).lines:
            raise NothingSpent.since(arguments.since, arguments.until, url)
        repricing = Repricing(open_book(settings.prices, settings.private_addresses))
        evidence = Evidence(repricing=repricing, until=now if until is None else until)
        calls = _Calls(source.each(question))
        found = recommendations.findings(evidence, calls, only=ADVICE)
        lacks = source.lacks
    if not found and not calls.fingerprinted:
        raise NothingKnown(
            f"Nothing can be said of prompt caches: {without_password(url)!r:.120} has no fingerprints of the prompts. "
            "Name a store such as sqlite:////path/to/file."
        )
    if lacks:
        print(lacks, file=sys.stderr)
    sys.stdout.write("".join(f"{line}\n" for line in lines(found)))
    return 0


class _Calls:
    """Calls on their way to the recommendations."""

    def __init__(self, calls: Iterable[Recorded]) -> None:
        self._calls = calls
        self.fingerprinted = False
        """True if a call had the fingerprints of its prompt."""

    def __iter__(self) -> Iterator[Recorded]:
        for call in self._calls:
            self.fingerprinted |= call.segments is not None
            yield call


def lines(found: Iterable[Finding]) -> Iterator[str]:
    """Yield the lines of the advice, the dearest first."""
    given = sorted(found, key=lambda each: (-each.nusd, each.name))
    if not given:
        yield "Nothing to advise: nothing was found in calls of one conversation, run or trace."
    for finding in given:
        yield f"{usd(finding.nusd)}  {finding.title} ({finding.name}, {finding.kind}, {finding.calls:,} {finding.unit})"
        for where, nusd in finding.where:
            yield f"    {usd(nusd)}  {where}"
        yield f"    = {finding.formula}"
    yield f"The rules of providers are those of {rules.as_of()}. The dollars of two lines may be the same ones."
