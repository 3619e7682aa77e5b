"""`agentcost reconcile`: what a provider billed, what was recorded, and why they differ."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otel_agentcost.cli import _comparison_text as text
from otel_agentcost.cli import _figures
from otel_agentcost.cli._store_options import Asked, add_source, asked
from otel_agentcost.errors import AgentCostError
from otel_agentcost.store.bills import bill_source, providers
from otel_agentcost.store.bills.bill import Ask
from otel_agentcost.store.periods import ALLOWED, UnclearPeriod
from otel_agentcost.store.questions import Question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_agentcost.cli import Subparsers
    from otel_agentcost.insight.reconcile.comparison import Comparison
    from otel_agentcost.insight.reconcile.proposals import Proposal
    from otel_agentcost.pricebook import PriceBook

SUMMARY = "Compare a provider's bill with what was recorded, and say why they differ."
EXAMPLE = "Example: OPENAI_ADMIN_KEY=sk-admin-... agentcost reconcile openai --since 7d"


class NothingToCompare(AgentCostError):
    """The bill is empty."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to `agentcost`."""
    parser = subparsers.add_parser("reconcile", help=SUMMARY, description=SUMMARY, epilog=EXAMPLE)
    names = "; ".join(f"{name}: {bill_source(name).SUMMARY}" for name in providers())
    parser.add_argument("provider", nargs="?", default="", metavar="PROVIDER", help=f"Whose bill: {names}.")
    parser.add_argument("--since", default="7d", metavar="TIME", help=f"The first UTC day: {ALLOWED}. Default: 7d.")
    parser.add_argument("--until", metavar="TIME", help="The last UTC day. Default: today.")
    parser.add_argument("--file", metavar="FILE", help="An export of the bill, for providers without an API for it.")
    add_source(parser)
    parser.add_argument("--prices", type=Path, help="A price file; default: OTEL_AGENTCOST_PRICES.")
    parser.add_argument(
        "--base-url", metavar="URL", help="Another address of the provider's API. The key is sent to it."
    )
    parser.add_argument(
        "--write-prices", type=Path, metavar="FILE", help="Write the prices that the bill shows into a new price file."
    )
    parser.add_argument(
        "--otlp", metavar="URL", help="Send gauges by day to a collector, such as http://localhost:4318."
    )
    parser.add_argument("--format", choices=_figures.FORMATS, default="text", help="The form of the output.")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the answer."""
    from otel_agentcost.insight.reconcile.comparison import compare, window_of  # noqa: PLC0415 (the price book)
    from otel_agentcost.insight.reconcile.proposals import proposals  # noqa: PLC0415 (the same)
    from otel_agentcost.pricebook import open_book  # noqa: PLC0415 (the same)

    source = bill_source(arguments.provider)
    what = asked(arguments, timezone.utc)
    now = what.now
    since, until = _days(what)
    with _quiet():
        around = timedelta(days=1)
        ask = Ask(
            since - around, min(until + around, _date(now) + around), os.environ, arguments.base_url, arguments.file
        )
        bill = source.fetch(ask)
    if not any(since.isoformat() <= line.day < until.isoformat() for line in bill.lines):
        raise NothingToCompare(
            f"The bill of {bill.provider} has nothing for {since} to {until - around}: name other days, and see that "
            "the key or the file is that of the organization whose calls are recorded."
        )
    book = open_book(arguments.prices if arguments.prices is not None else what.settings.prices)
    window = window_of(since, until, datetime.fromtimestamp(now, timezone.utc))
    question = Question(since=_start(since - around), until=_start(until + around))
    with what.single_calls() as store:
        comparison = compare(bill, store.each(question), book, window)
    proposed = proposals(comparison)
    if arguments.write_prices is not None:
        _write_prices(arguments.write_prices, comparison, proposed, book)
    if arguments.otlp is not None:
        from otel_agentcost.cli._reconcile_gauges import send  # noqa: PLC0415 (an extra)

        send(arguments.otlp, comparison)
    _print(comparison, proposed, arguments.format)
    return 0


def _days(what: Asked) -> tuple[date, date]:
    """Return the first UTC day and the first one after the period."""
    if what.since is None:
        raise UnclearPeriod(f"A bill has no beginning: {ALLOWED.replace('all, ', '')}.")
    last = _date(what.now if what.until is None else what.until - 1)
    return _date(what.since), min(last, _date(what.now)) + timedelta(days=1)


def _date(at: float) -> date:
    return datetime.fromtimestamp(at, timezone.utc).date()


def _start(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp()


@contextmanager
def _quiet() -> Generator[None]:
    """Keep loggers of the SDKs silent: with OPENAI_LOG=debug, they write what they send."""
    import logging  # noqa: PLC0415 (only here)

    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _write_prices(path: Path, comparison: Comparison, proposed: Sequence[Proposal], book: PriceBook) -> None:
    """Write a price file. One that exists is not changed: it can have prices that the bill says nothing of."""
    from otel_agentcost.insight.reconcile.proposals import price_file  # noqa: PLC0415 (the price book)

    content = price_file(proposed, book, min(comparison.bill.names))
    if not content:
        raise NothingToCompare(
            "The bill shows no price that differs from those of the recorded calls: nothing to write."
        )
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(f"{json.dumps(content, indent=2)}\n")  # JSON is YAML, too
    except FileExistsError:
        raise NothingToCompare(f"{path} exists, and is not changed: name a new file, and copy its rows.") from None


def _print(comparison: Comparison, proposed: Sequence[Proposal], form: str) -> None:
    if form == "json":
        answer: dict[str, Any] = text.as_json(comparison, proposed)
        print(json.dumps(answer, indent=2))
    elif form == "csv":
        print(text.as_csv(comparison))
    else:
        print(text.as_text(comparison, proposed))
