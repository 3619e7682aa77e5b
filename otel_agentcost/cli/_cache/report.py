"""`agentcost cache report`: what the semantic cache in shadow would have served, and how often that was wrong."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otel_agentcost.cli import _figures
from otel_agentcost.cli._store_options import add_period
from otel_agentcost.errors import AgentCostError
from otel_agentcost.settings import from_environment
from otel_agentcost.store.periods import period
from otel_agentcost.store.questions import shown
from otel_agentcost.store.schema import parse_url

if TYPE_CHECKING:
    from otel_agentcost.cli import Subparsers
    from otel_agentcost.savings.semantic.figures import Figures, Place
    from otel_agentcost.savings.semantic.limits import Limits

SUMMARY = "Show what a semantic cache would have served, and how often that would have been wrong."
EXAMPLE = "Example: agentcost cache report --since 30d"

_COLUMNS = ("feature", "agent", "model", "asked", "alike", "vetoed", "would serve", "hit rate", "wrong", "unknown")


class NoCounts(AgentCostError):
    """No file of counts is named."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to `agentcost cache`."""
    parser = subparsers.add_parser("report", help=SUMMARY, description=SUMMARY, epilog=EXAMPLE)
    add_period(parser, "30d")
    parser.add_argument(
        "--from",
        "--source",
        dest="source",
        metavar="FILE",
        help="The file of the counts, or its URL: sqlite:////path/to/file. Default: semantic-shadow.db beside the "
        "store that OTEL_AGENTCOST_CACHE_STORE or OTEL_AGENTCOST_RECORD names.",
    )
    parser.add_argument("--format", choices=_figures.FORMATS, default="text", help="The form of the output.")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the figures."""
    from otel_agentcost.savings.semantic import counts  # noqa: PLC0415 (loaded only by its command)
    from otel_agentcost.savings.semantic.figures import figures_of  # noqa: PLC0415 (the same)
    from otel_agentcost.savings.semantic.shadow import path_beside  # noqa: PLC0415 (the same)

    settings = from_environment()
    path = _file(arguments.source) if arguments.source else path_beside(settings.cache_store, settings.record)
    if path is None:
        raise NoCounts(
            "No file of counts is named: set OTEL_AGENTCOST_CACHE_STORE or OTEL_AGENTCOST_RECORD as the programs have "
            "it that count, or write --from /path/to/semantic-shadow.db."
        )
    begins, ends = period(arguments.since, arguments.until, time.time(), settings.time_zone)
    places, whole = figures_of(counts.read(path, begins, ends))
    print(_written(places, whole, arguments.format))
    return 0


def _file(written: str) -> Path:
    """Return the file that a path or the URL of a file names. Raises `AgentCostError` if it is the URL of no file."""
    return parse_url(written).path if "://" in written else Path(written)


def _written(places: dict[Place, Figures], whole: Figures, form: str) -> str:
    rows = [{**place._asdict(), **_row(figures)} for place, figures in places.items()]
    if form == "csv":
        return _figures.csv_of(rows)
    if form == "json":
        total = {**_row(whole), "vetoed_by_reason": whole.reasons}
        return json.dumps({"places": rows, "total": total, "notes": _notes(whole)}, indent=2)
    lines = [
        (shown(place.feature), shown(place.agent), shown(place.model), *_cells(each)) for place, each in places.items()
    ]
    table = _figures.table(_COLUMNS, [*lines, ("total", "", "", *_cells(whole))], 3)
    return "\n".join([table, *_notes(whole)])


def _row(figures: Figures) -> dict[str, Any]:
    hit, error = figures.hit_limits, figures.error_limits
    return {
        "asked": figures.asked,
        "candidates": figures.candidates,
        "vetoed": figures.vetoed,
        "served": figures.served,
        "wrong": figures.wrong,
        "unknown": figures.unknown,
        "failed": figures.failed,
        "dropped": figures.dropped,
        "hit_rate_low": round(hit.low, 6),
        "hit_rate_high": round(hit.high, 6),
        "error_low": round(error.low, 6),
        "error_high": round(error.high, 6),
    }


def _cells(figures: Figures) -> tuple[str, ...]:
    numbers = (figures.asked, figures.candidates, figures.vetoed, figures.served)
    rate = f"{100 * figures.hit_rate:.1f}%"
    return (*(f"{number:,}" for number in numbers), rate, f"{figures.wrong:,}", f"{figures.unknown:,}")


def _notes(whole: Figures) -> list[str]:
    from otel_agentcost.savings.semantic.figures import ENOUGH  # noqa: PLC0415 (loaded only by its command)

    notes = [f"Hit rate: {_range(whole.hit_limits)} of the questions, at a confidence of 95 %."]
    if whole.served:
        unknown = (
            " Answers in other words that nobody judged count as wrong in the upper limit." if whole.unknown else ""
        )
        notes.append(
            f"Error: {_range(whole.error_limits)} of what would have been served, at the same confidence.{unknown}"
        )
    else:
        notes.append("Error: not known. Nothing would have been served yet.")
    if whole.served < ENOUGH:
        notes.append(f"These are {whole.served:,} answers; from {ENOUGH:,} on the error is known to about a percent.")
    if whole.failed or whole.dropped:
        notes.append(f"Not rehearsed: {whole.failed:,} (a function failed), {whole.dropped:,} (too many were waiting).")
    notes.append("Nothing of this was served. Serving is not offered until the error is known.")
    return notes


def _range(found: Limits) -> str:
    return f"{100 * found.low:.2f} to {100 * found.high:.2f} %"
