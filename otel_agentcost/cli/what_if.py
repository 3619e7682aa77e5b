"""`agentcost what-if`: what recorded calls would have cost under other prices."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from otel_agentcost.cli import _figures
from otel_agentcost.cli._store_options import add_period, add_source, asked
from otel_agentcost.cli.spend import NothingSpent
from otel_agentcost.core import hints
from otel_agentcost.errors import AgentCostError
from otel_agentcost.store.questions import Question, shown

if TYPE_CHECKING:
    from otel_agentcost.cli import Subparsers
    from otel_agentcost.insight.what_if import Answer, Line, TimeToLive
    from otel_agentcost.insight.what_if_tokens import Swap

SUMMARY = "Show what recorded calls would have cost with another model, price list, date, tier or cache."
EXAMPLE = "Example: agentcost what-if --price 'gpt-4o=gpt-4.1-mini' --since 30d"

_TIERS: Mapping[str, Mapping[str, str | None]] = {
    "standard": {"service_tier": None, "processing": None},
    "batch": {"service_tier": None, "processing": "batch"},
    **{tier: {"service_tier": tier, "processing": None} for tier in ("flex", "priority")},
}
_COLUMNS = ("model", "becomes", "sure", "calls", "recorded", "would be", "difference")


class UnclearChange(AgentCostError):
    """The change cannot be understood, or is about no recorded call."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to `agentcost`."""
    parser = subparsers.add_parser("what-if", help=SUMMARY, description=SUMMARY, epilog=EXAMPLE)
    parser.add_argument(
        "--price",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="Calls of model OLD at the price of model NEW, or of provider/NEW. Can be given several times.",
    )
    parser.add_argument("--prices", type=Path, metavar="FILE", help="Another price file, such as a new contract.")
    parser.add_argument("--at", metavar="DAY", help="The prices of this day or time (UTC), such as 2026-01-31.")
    parser.add_argument("--tier", choices=tuple(_TIERS), help="The tier that serves the calls.")
    parser.add_argument("--region", help="Where the calls are served: us, or global (the term inference_geo).")
    parser.add_argument(
        "--base-url", metavar="URL", help="The address of the calls, such as a regional host. Nothing is sent there."
    )
    parser.add_argument(
        "--terms", action="append", default=[], metavar="KEY=VALUE", help="Another condition of the price."
    )
    parser.add_argument(
        "--cache", choices=("5m", "1h", "none"), help="The time to live of what is written into a prompt cache."
    )
    add_period(parser, "30d")
    add_source(parser)
    parser.add_argument("--format", choices=_figures.FORMATS, default="text", help="The form of the output.")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the answer."""
    from otel_agentcost.insight.what_if import Change, what_if  # noqa: PLC0415 (the price book)
    from otel_agentcost.pricebook import open_book  # noqa: PLC0415 (the same)

    what = asked(arguments)
    settings = what.settings
    book = open_book(settings.prices, settings.private_addresses)
    change = Change(
        swaps=tuple(_swap(each, book) for written in arguments.price for each in written.split(",")),
        book=open_book(arguments.prices, settings.private_addresses) if arguments.prices is not None else None,
        at=_time(arguments.at),
        terms=_terms(arguments),
        base_url=_base_url(arguments.base_url),
        time_to_live=cast("TimeToLive | None", arguments.cache),
    )
    question = Question(since=what.since, until=what.until)
    with what.single_calls() as source:
        answer = what_if(lambda: source.each(question), book, change)
    _check(answer, change.swaps, arguments, what.url)
    _print(answer, arguments.format)
    return 0


def _swap(written: str, book: Any) -> Swap:
    from otel_agentcost.insight.what_if_tokens import Swap  # noqa: PLC0415 (the price book)

    old, equals, new = (part.strip() for part in written.partition("="))
    if not (old and equals and new):
        raise UnclearChange(f"{written!r:.80} is no change of models: write --price 'gpt-4o=gpt-4.1-mini'.")
    provider, slash, name = new.partition("/")
    if old.lower() == new.lower():
        raise UnclearChange(f"{written!r:.80} changes nothing: name another model.")
    if slash and book.finder.provider_id(provider) is not None:
        return Swap(old, name, provider)
    return Swap(old, new)


def _time(written: str | None) -> float | None:
    if written is None:
        return None
    try:
        moment = datetime.fromisoformat(f"{written[:-1]}+00:00" if written.endswith("Z") else written)
    except ValueError as error:
        raise UnclearChange(f"{written!r:.80} is no day: write --at 2026-01-31.") from error
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)).timestamp()


def _base_url(written: str | None) -> str | None:
    if written is None or re.match(r"https?://[^/?#\s]", written, re.IGNORECASE):
        return written
    raise UnclearChange(f"{written!r:.80} is no address: write --base-url https://host/path.")


def _terms(arguments: argparse.Namespace) -> dict[str, str | None]:
    terms: dict[str, str | None] = dict(_TIERS[arguments.tier]) if arguments.tier is not None else {}
    if arguments.region is not None:
        terms["inference_geo"] = arguments.region
    for written in arguments.terms:
        name, equals, value = written.partition("=")
        if not (name and equals):
            raise UnclearChange(f"{written!r:.80} is no condition: write --terms service_tier=flex.")
        terms[name.strip()] = value.strip() or None
    return terms


def _check(answer: Answer, swaps: Sequence[Swap], arguments: argparse.Namespace, url: str) -> None:
    """Raise `UnclearChange` if the answer says nothing."""
    from otel_agentcost.insight.what_if import TERMS  # noqa: PLC0415 (the price book)

    if not answer.lines:
        raise NothingSpent.since(arguments.since, arguments.until, url)
    if answer.idle:
        near = hints.near(answer.idle[0], TERMS) or f". There are {', '.join(TERMS)}, and those of your price file."
        raise UnclearChange(f"No price depends on {answer.idle[0]!r:.80}{near}")
    if answer.missed:
        models = {line.model for line in answer.lines if line.model}
        known = ", ".join(sorted(models)[:10])
        near = hints.near(answer.missed[0].old, models) or "."
        raise UnclearChange(f"No recorded call is one of {answer.missed[0].old!r:.80}{near} There are {known}.")
    refused = [line for line in answer.lines if line.sure == "refused"]
    if swaps and refused and all(line.becomes == line.model for line in answer.lines):
        raise UnclearChange(f"Nothing can be said of {refused[0].model}: {refused[0].why}.")
    if arguments.terms and refused and all(line.sure in ("refused", "kept") for line in answer.lines):
        raise UnclearChange(
            f"Nothing can be said of {refused[0].model} with {', '.join(arguments.terms):.80}: {refused[0].why}."
        )


def _print(answer: Answer, form: str) -> None:
    rows = [_row(line) for line in answer.lines]
    if form == "json":
        whole = {
            "recorded_nano_usd": answer.recorded,
            "low_nano_usd": answer.low,
            "high_nano_usd": answer.high,
            "exact": answer.low == answer.high and not answer.unknown,
            "unpriced_calls": answer.unpriced,
            "unknown_calls": answer.unknown,
        }
        print(json.dumps({"lines": rows, "total": whole, "notes": list(answer.notes)}, indent=2))
    elif form == "csv":
        print(_figures.csv_of(rows))
    else:
        print(_text(answer))


def _row(line: Line) -> dict[str, Any]:
    return {
        "model": line.model,
        "becomes": line.becomes,
        "sure": line.sure,
        "why": line.why,
        "calls": line.calls,
        "unpriced_calls": line.unpriced,
        "recorded_nano_usd": line.recorded,
        "low_nano_usd": line.low if line.low or not line.unknown else None,
        "high_nano_usd": line.high if line.high or not line.unknown else None,
        "unknown_calls": line.unknown,
    }


def _text(answer: Answer) -> str:
    rows: list[tuple[str, ...]] = [
        (
            shown(line.model),
            shown(line.becomes) if line.becomes != line.model else "-",
            line.sure,
            f"{line.calls:,}",
            _usd(line.recorded, unknown=line.unpriced),
            _range(line.low, line.high, unknown=line.unknown),
            "-" if line.unpriced else _range(line.low - line.recorded, line.high - line.recorded),
        )
        for line in answer.lines
    ]
    known = [line for line in answer.lines if not line.unpriced]
    less = sum(line.low - line.recorded for line in known)
    more = sum(line.high - line.recorded for line in known)
    calls = f"{sum(line.calls for line in answer.lines):,}"
    recorded = _usd(answer.recorded, unknown=answer.unpriced)
    would_be = _range(answer.low, answer.high, unknown=answer.unknown)
    rows.append(("total", "", "", calls, recorded, would_be, _range(less, more) if known else "-"))
    reasons = {": ".join(filter(None, (line.sure, _counted(line), line.why))) for line in answer.lines if line.why}
    return "\n".join([_figures.table(_COLUMNS, rows, 3), *map(shown, sorted(reasons)), *map(shown, answer.notes)])


def _counted(line: Line) -> str:
    """Write the calls of a line. Rows that are no call are tools, and costs that came later."""
    if not line.calls:
        return line.model
    return f"{line.calls:,} {'call' if line.calls == 1 else 'calls'} of {line.model or 'no model'}"


def _range(low: int = 0, high: int = 0, *, unknown: int = 0) -> str:
    return _usd(low, unknown=unknown) if low == high else f"{_usd(low, unknown=unknown)} to {_usd(high)}"


def _usd(nusd: int, *, unknown: int = 0) -> str:
    """Write dollars: a lower bound if calls are missing from them, `unpriced` if nothing is known."""
    if unknown and not nusd:
        return "unpriced"
    return f"{'>=' if unknown else ''}{_figures.usd(nusd)}"
