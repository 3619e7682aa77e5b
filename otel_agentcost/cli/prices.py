"""`agentcost prices`: look up a price, check an own price file, see what changed, take over newer prices.

Prints and returns an exit code; all knowledge of prices is in `otel_agentcost.pricebook`.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

from otel_agentcost.cli import Subparsers
from otel_agentcost.core.prices import DAY, PRICE_KEY_OF, InconsistentPrices, Period, Price, PriceList
from otel_agentcost.errors import AgentCostError
from otel_agentcost.pricebook import BUNDLED, BookFile, Found, Missing, PriceBook, open_book, read_book, suggestions
from otel_agentcost.pricebook.service_tiers import standard_tiers, surcharge, surcharges
from otel_agentcost.settings import from_environment

SUMMARY = "Look up prices, check your price file, compare price books, and import newer prices."

_PER = {
    "_mtok": "per million tokens",
    "_mchars": "per million characters",
    "_hours": "per hour",
    "_gpixels": "per billion pixels",
    "_kpages": "per thousand pages",
    "_kcount": "per thousand",
}


_MOST_LINES = 20
"""How many differences between two books are printed where nobody asks for all."""


class Unclear(AgentCostError):
    """An argument that cannot be understood."""


def add_parser(subparsers: Subparsers) -> None:
    """Adds the subcommand to `agentcost`."""
    parser = subparsers.add_parser("prices", help=SUMMARY, description=SUMMARY)
    commands = parser.add_subparsers(dest="prices_command", metavar="COMMAND", title="commands", required=True)

    text = "Show the price of a model and the rule behind it; exit code 1 if it has no price."
    example = "Example: agentcost prices show gpt-4o --provider azure --at 2026-01-31"
    command = commands.add_parser("show", help=text, description=text, epilog=example)
    command.add_argument("model", help="The model's name, as in a request or a response.")
    command.add_argument("--provider", help="The provider: openai, aws, azure, google, openrouter, ...")
    command.add_argument("--base-url", help="The address that the SDK calls.")
    command.add_argument("--at", help="The day or time (UTC) of the price, like 2026-01-31; default: now.")
    command.add_argument("--terms", action="append", default=[], metavar="KEY=VALUE", help="Like service_tier=flex.")
    command.add_argument("--prices", type=Path, help="Your price file; default: OTEL_AGENTCOST_PRICES.")
    command.set_defaults(run=show)

    text = "Check your price file and show its prices."
    command = commands.add_parser("check", help=text, description=text)
    command.add_argument("file", type=Path, help="The file, YAML or JSON.")
    command.set_defaults(run=check)

    text = "Show the changes in the installed genai-prices or in another price book; exit code 1 if there are any."
    command = commands.add_parser("diff", help=text, description=text)
    command.add_argument("old", type=Path, nargs="?", help="A compiled book; default: the bundled one.")
    command.add_argument("new", type=Path, nargs="?", help="A compiled book; default: the installed genai-prices.")
    command.add_argument("--all", action="store_true", help=f"Print all differences, not the first {_MOST_LINES}.")
    command.set_defaults(run=diff)

    text = "Compile the installed genai-prices into a price book."
    command = commands.add_parser("sync", help=text, description=text)
    command.add_argument("file", type=Path, nargs="?", default=BUNDLED, help="Default: the bundled book itself.")
    command.add_argument(
        "--force", action="store_true", help="Also if its prices are older, or if the file is not a price book."
    )
    command.set_defaults(run=sync)


def show(arguments: argparse.Namespace) -> int:
    """Prints the prices of one model; returns 1 where it has none."""
    book = open_book(arguments.prices if arguments.prices is not None else from_environment().prices)
    at = _moment(arguments.at)
    terms = dict(_term(text) for text in arguments.terms)
    found = book.find((arguments.model,), arguments.base_url, arguments.provider)
    if isinstance(found, Missing):
        print(f"Unpriced: {found.reason}.")
        _suggest(book, arguments.model, arguments.provider)
        return 1
    if refused := book.terms_without_price(found, terms, at.timestamp()):
        print(f"Unpriced: the price book has no price of {found.prices.name} for {refused}.")
        _print_others(found)
        return 1
    print(f"{found.prices.name}  ({'your price file' if found.own else book.source}, billed by {found.provider})")
    if terms and not found.terms_apply:
        print(f"  {found.provider} sells this model at another provider's prices; terms do not change them")
    try:
        card = found.prices.quote(at.timestamp(), terms if found.terms_apply else {}).card
    except InconsistentPrices as error:
        print(f"Unpriced: the prices contradict each other: {error}.")
        return 1
    when = f"{at:%Y-%m-%d %H:%M} UTC" + "".join(f", {key}={value}" for key, value in terms.items())
    print(f"  on {when}:")
    _print_prices(PriceList(prices=card.prices))
    _print_terms(found, terms)
    _print_others(found)
    others = [seller for seller in suggestions.sellers(book, arguments.model) if seller != found.provider]
    if others and arguments.provider is None:
        print(f"  also sold by: {_some(others)}")
    return 0


def _suggest(book: PriceBook, model: str, provider: str | None) -> None:
    """What may have been meant by a name that has no price: other sellers of the model, and other names."""
    sellers = suggestions.sellers(book, model)
    if sellers:
        print(f"Providers with this name: {_some(sellers)} (try --provider {sellers[0]}).")
    if (provider is not None or not sellers) and (near := suggestions.near_models(book, model, provider)):
        print(f"Did you mean {' or '.join(filter(None, (', '.join(near[:-1]), near[-1])))}?")


def _some(names: Sequence[str], most: int = 8) -> str:
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])


def _print_terms(found: Found, terms: Mapping[str, str]) -> None:
    """What the terms do that no price list holds, or that they do nothing."""
    named = {item for variant in found.prices.variants for item in (variant.terms or {}).items()}
    factor = None if found.own else surcharge(terms.items(), found.prices)
    if factor is not None:
        print(f"    all tokens at {factor} times these prices")
    if factor is not None:
        named |= surcharges().keys()
    for key, value in terms.items():
        known = (key, value) in named or value in standard_tiers()
        if found.terms_apply and not known:
            print(f"    ({key}={value} is not a term of these prices; it is ignored)")


def _print_prices(entry: PriceList) -> None:
    if not entry.prices:
        print("    free")
    rows = [(PRICE_KEY_OF[kind], _price(price)) for kind, price in entry.prices.items()]
    wide = max((len(key) for key, _ in rows), default=0)
    for key, text in rows:
        unit = next(words for ending, words in _PER.items() if key.endswith(ending))
        print(f"    {key:{wide}}  {text} {unit}")


def _print_others(found: Found) -> None:
    """The lists for other times and other terms, in the order in which they are tried."""
    if len(found.prices.lists) > 1:
        print("  price lists (the last that applies is used):")
        for entry in found.prices.lists:
            print(f"    {_when(entry.period)}: {_short(entry)}")
    if found.prices.variants and found.terms_apply:
        print("  with other terms (they replace the standard prices):")
        for entry in found.prices.variants:
            terms = ", ".join(f"{key}={value}" for key, value in (entry.terms or {}).items())
            print(f"    {terms}, {_when(entry.period)}: {_short(entry)}")
    if found.prices.minimum_seconds:
        print(f"  at least {found.prices.minimum_seconds} seconds of audio are billed")


def _short(entry: PriceList) -> str:
    prices = (f"{PRICE_KEY_OF[kind]} {_price(price)}" for kind, price in entry.prices.items())
    return ", ".join(prices) or ("as standard" if entry.terms else "free")


def _price(price: Price) -> str:
    if isinstance(price, Decimal):
        return f"${price}"
    return f"${price.base}" + "".join(f" (${tier} above {start:,} input tokens)" for start, tier in price.tiers)


def _when(period: Period) -> str:
    if period.start is not None:
        return f"from {datetime.fromtimestamp(period.start, timezone.utc):%Y-%m-%d}"
    if period.daily is None:
        return "always"
    begin, end = (datetime.fromtimestamp(time % DAY, timezone.utc) for time in period.daily)
    return f"every day {begin:%H:%M} to {end:%H:%M} UTC"


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(timezone.utc)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        problem = "which is neither a date like 2026-01-31 nor a moment like 2026-01-31T16:30"
        raise Unclear(f"--at is {text!r}, {problem}.") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


def _term(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key or not value:
        raise Unclear(f"--terms is {text!r}, which is not like service_tier=flex.")
    return key, value


def check(arguments: argparse.Namespace) -> int:
    """Prints what an own price file says; a mistake in it ends the command with its sentence."""
    book = open_book(arguments.file)
    own = book.finder.own
    if own.path is None:
        print(f"{arguments.file} is a price book ({book.source}): it replaces the built-in one.")
        return 0
    shelves = [(f"{entry.id}/", entry.models) for entry in own.providers.values()] + [("", own.models)]
    rows = [(f"{shelf}{model.name}", model) for shelf, models in shelves for model in models]
    if rows:
        print(f"{arguments.file} can be used: {_counted(len(rows), 'model')}, over {book.source}.")
    else:
        print(f"{arguments.file} can be used, but has no prices: all calls are priced by {book.source}.")
    for name, model in rows:
        if model.prices is None:
            print(f"  {name}: as {model.alias}")
        else:
            print(f"  {name}: {' | '.join(_short(entry) for entry in (*model.prices.lists, *model.prices.variants))}")
    for entry in own.providers.values():
        if not entry.urls and entry.id not in book.book.providers:
            near = suggestions.near_provider(book, entry.id)
            hint = f"; did you mean {near}?" if near else ": add the address of its calls."
            print(f"! provider {entry.id} is not in the book and has no base_url{hint}")
    return 0


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _read(path: Path | None) -> BookFile:
    if path is None:
        from otel_agentcost.pricebook.build import compile_book  # noqa: PLC0415 (a tool that few commands need)

        return BookFile(compile_book(datetime.now(timezone.utc).date()).encode())
    try:
        return read_book(path)
    except (ValueError, KeyError) as error:
        raise Unclear(f"{path} is not a price book ({error}).") from None


def diff(arguments: argparse.Namespace) -> int:
    """Prints what changed from one book to another; returns 1 where something did."""
    from otel_agentcost.pricebook.diff import differences  # noqa: PLC0415 (for two commands only)

    old, new = _read(arguments.old or BUNDLED), _read(arguments.new)
    lines = list(differences(old, new))
    count = _counted(len(lines), "difference")
    print(f"genai-prices {old.version} of {old.date} -> {new.version} of {new.date}: {count}")
    shown = lines if arguments.all else lines[:_MOST_LINES]
    for line in shown:
        print(line)
    if len(shown) < len(lines):
        print(f"... and {len(lines) - len(shown):,} more (--all shows them)")
    return 1 if lines else 0


def sync(arguments: argparse.Namespace) -> int:
    """Compiles the installed genai-prices into a price book, which is replaced as a whole or not at all."""
    from otel_agentcost.pricebook.build import compile_book  # noqa: PLC0415 (a tool that few commands need)

    target: Path = arguments.file
    text = compile_book(datetime.now(timezone.utc).date())
    book = BookFile(text.encode())
    if not arguments.force:
        _refuse_older(book, target)
    unfinished = target.with_name(target.name + ".new")
    unfinished.write_text(text, encoding="utf-8", newline="\n")
    unfinished.replace(target)
    print(f"{target} is now genai-prices {book.version} of {book.date}.")
    if target != BUNDLED:
        print(f"Use it with OTEL_AGENTCOST_PRICES={target}, or as `book: {target.name}` in your price file.")
    return 0


def _refuse_older(book: BookFile, target: Path) -> None:
    """Raises where `book` is older than the one in `target` or the bundled one, or `target` is something else."""
    for path in dict.fromkeys((target, BUNDLED)):
        if not path.exists():
            continue
        try:
            present = read_book(path)
        except (ValueError, KeyError) as error:
            raise Unclear(f"{path} is not a price book ({error}); --force replaces it anyway.") from None
        if (_release(book.version), book.date) < (_release(present.version), present.date):
            installed = f"The installed genai-prices ({book.version} of {book.date})"
            older = f"is older than {path} ({present.version} of {present.date})"
            remedy = "Install a newer one (pip install -U genai-prices), or import the older prices with --force."
            raise Unclear(f"{installed} {older}. {remedy}")


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
