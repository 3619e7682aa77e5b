"""`agentcost cache what-if`: what caches would have saved on recorded calls, before any of them is switched on."""

from __future__ import annotations

import argparse
import json
import re
import time
from typing import TYPE_CHECKING, Any, Final

from otel_agentcost.cli import _figures
from otel_agentcost.cli._store_options import add_period, add_source, source_url
from otel_agentcost.cli.spend import NothingSpent
from otel_agentcost.diagnostics import without_password
from otel_agentcost.errors import AgentCostError
from otel_agentcost.settings import from_environment
from otel_agentcost.store.equal_requests import fingerprinted
from otel_agentcost.store.periods import period
from otel_agentcost.store.questions import Question, shown
from otel_agentcost.store.sources import open_detailed

if TYPE_CHECKING:
    from otel_agentcost.cli import Subparsers
    from otel_agentcost.insight.cache_what_if import Answer, Kind, Place, Saving

SUMMARY = "Show what caches would have saved on recorded calls, before any of them is switched on."
EXAMPLE = "Example: agentcost cache what-if --since 7d --ttl 1h"

_COLUMNS = ("cache", "class", "feature", "agent", "model or tool", "calls", "hits", "share", "saves")
_TTL: Final = re.compile(r"(\d{1,9})\s*([smhd])", re.IGNORECASE)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class UnclearTtl(AgentCostError):
    """A time to live cannot be understood."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to `agentcost cache`."""
    parser = subparsers.add_parser("what-if", help=SUMMARY, description=SUMMARY, epilog=EXAMPLE)
    parser.add_argument("--ttl", default="1h", metavar="TIME", help="How long answers are kept: 15m, 1h. Default: 1h.")
    add_period(parser, "7d")
    add_source(parser)
    parser.add_argument("--format", choices=_figures.FORMATS, default="text", help="The form of the output.")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the answer."""
    from otel_agentcost.insight.cache_what_if import BY, what_if  # noqa: PLC0415 (the price book)
    from otel_agentcost.insight.repricing import Repricing  # noqa: PLC0415 (the same)
    from otel_agentcost.pricebook import open_book  # noqa: PLC0415 (the same)

    ttl = _ttl(arguments.ttl)
    settings = from_environment()
    begins, ends = period(arguments.since, arguments.until, time.time(), settings.time_zone)
    url = source_url(arguments, settings)
    asked = Question(since=begins, until=ends)
    repricing = Repricing(open_book(settings.prices, settings.private_addresses))
    with open_detailed(url) as found:
        source = fingerprinted(found, f"{without_password(url)!r:.120}")
        spend = source.spend(Question(since=begins, until=ends, by=BY))
        if not spend.lines:
            raise NothingSpent.since(arguments.since, arguments.until, url)
        answer = what_if(source.requests(asked), lambda: source.each(asked), spend, repricing, ttl)
    print(_written(answer, arguments.format, ttl, arguments.ttl))
    return 0


def _ttl(written: str) -> float:
    found = _TTL.fullmatch(written.strip())
    if found is None or not int(found[1]):
        raise UnclearTtl(f"{written!r:.80} is no time to live: write a number and s, m, h or d, such as 15m or 1h.")
    return float(int(found[1]) * _SECONDS[found[2].lower()])


def _written(answer: Answer, form: str, ttl: float, written: str) -> str:
    rows = [_row(place, saving) for place, saving in answer.savings.items()]
    if form == "csv":
        return _figures.csv_of(rows)
    if form == "json":
        totals = {cache: answer.total(cache) for cache in _caches(answer)}
        whole = {"ttl_seconds": ttl, "savings": rows, "total_nano_usd": totals, "formulas": _formulas(answer)}
        return json.dumps({**whole, "notes": _notes(answer, written)}, indent=2)
    return _text(answer, written)


def _row(place: Place, saving: Saving) -> dict[str, Any]:
    return {
        "cache": place.cache,
        "class": "ceiling",
        "feature": place.feature,
        "agent": place.agent,
        "what": place.what,
        "calls": saving.calls,
        "hits": saving.hits,
        "saved_nano_usd": saving.nusd,
        "unpriced_hits": saving.unpriced,
    }


def _text(answer: Answer, written: str) -> str:
    rows = [
        (
            place.cache,
            "ceiling",
            shown(place.feature),
            shown(place.agent),
            shown(place.what),
            f"{saving.calls:,}",
            f"{saving.hits:,}",
            f"{100 * saving.hits / saving.calls:.1f}%" if saving.calls >= saving.hits else "-",
            f"{'>=' if saving.unpriced else ''}{_figures.usd(saving.nusd)}",
        )
        for place, saving in answer.savings.items()
    ]
    lines = [_figures.table(_COLUMNS, rows, 5)] if rows else []
    lines += [f"{cache}: {_figures.usd(answer.total(cache))} = {text}" for cache, text in _formulas(answer).items()]
    return "\n".join([*lines, *_notes(answer, written)])


def _caches(answer: Answer) -> list[Kind]:
    return list(dict.fromkeys(place.cache for place in answer.savings))


def _formulas(answer: Answer) -> dict[Kind, str]:
    from otel_agentcost.insight.cache_what_if import KINDS  # noqa: PLC0415 (the price book)

    return {cache: KINDS[cache] for cache in _caches(answer)}


def _notes(answer: Answer, written: str) -> list[str]:
    """Return the sentences that say what the figures do not."""
    if answer.unknown:
        return ["The record has no fingerprints of these calls, so nothing can be said of caches."]
    notes = (
        []
        if answer.savings
        else [f"No cache would have saved anything of {answer.calls:,} {'call' if answer.calls == 1 else 'calls'}."]
    )
    notes.append(
        f"Answers would be kept for {written.strip()}. The figures of the caches overlap: a request that is not sent "
        "reads no prompt."
    )
    return notes
