"""`agentcost prices`: look up a price, check a price file, compare price books, update to newer prices.

Each command prints and returns an exit code. Prices are looked up and compiled by `otel_agentcost.pricebook`.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from otel_agentcost.cli import Subparsers
from otel_agentcost.cli._price_text import price_text, short, uplift_text, validity
from otel_agentcost.core.prices import PRICE_KEY_OF, InconsistentPrices, PriceList
from otel_agentcost.errors import AgentCostError
from otel_agentcost.pricebook import (
    BUNDLED,
    BookFile,
    NoPrice,
    PriceBook,
    PriceMatch,
    open_book,
    read_book,
    suggestions,
)
from otel_agentcost.pricebook.finder import FREE_ADDRESS
from otel_agentcost.pricebook.service_tiers import is_standard
from otel_agentcost.pricebook.uplifts import Uplift
from otel_agentcost.settings import from_environment

SUMMARY = "Look up prices, check a price file, compare price books, and update prices."

_PER = {
    "_mtok": "per million tokens",
    "_mchars": "per million characters",
    "_hours": "per hour",
    "_gpixels": "per billion pixels",
    "_kpages": "per thousand pages",
    "_kcount": "per thousand",
}


_SDKS = {"anthropic": "anthropic", "google": "gcp.gemini"}
"""The makers whose models have an SDK of their own. All others are called with the openai SDK, at another base URL."""

_MAX_LINES = 20
"""The number of differences that are printed without --all."""


class Unclear(AgentCostError):
    """An argument cannot be understood."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to `agentcost`."""
    parser = subparsers.add_parser("prices", help=SUMMARY, description=SUMMARY)
    commands = parser.add_subparsers(dest="prices_command", metavar="COMMAND", title="commands", required=True)

    text = "Show the prices of a model and the rule that they come from; exit code 1 if it has none."
    example = "Example: agentcost prices show gpt-4o --provider azure --at 2026-01-31"
    command = commands.add_parser("show", help=text, description=text, epilog=example)
    command.add_argument("model", help="The name of the model, as in a request or a response.")
    command.add_argument("--provider", help="The provider: openai, aws, azure, google, openrouter, ...")
    command.add_argument("--base-url", help="The base URL that the SDK calls.")
    command.add_argument("--at", help="The day or the time (UTC) of the price, such as 2026-01-31; default: now.")
    command.add_argument(
        "--terms",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="A condition of the price, such as service_tier=flex.",
    )
    command.add_argument("--prices", type=Path, help="A price file; default: OTEL_AGENTCOST_PRICES.")
    command.set_defaults(run=show)

    text = "Check whether a price file can be used, and show its prices."
    command = commands.add_parser("check", help=text, description=text)
    command.add_argument("file", type=Path, help="The file, YAML or JSON.")
    command.set_defaults(run=check)

    text = "Show the differences to the installed genai-prices or to another price book; exit code 1 if there are any."
    command = commands.add_parser("diff", help=text, description=text)
    command.add_argument("old", type=Path, nargs="?", help="A compiled book; default: the bundled one.")
    command.add_argument("new", type=Path, nargs="?", help="A compiled book; default: the installed genai-prices.")
    command.add_argument("--all", action="store_true", help=f"Print all differences, not the first {_MAX_LINES}.")
    command.set_defaults(run=diff)

    text = "Compile the installed genai-prices into a price book."
    command = commands.add_parser("sync", help=text, description=text)
    command.add_argument("file", type=Path, nargs="?", default=BUNDLED, help="Default: the bundled book itself.")
    command.add_argument(
        "--force", action="store_true", help="Also if the new book is older, or the file is not a price book."
    )
    command.set_defaults(run=sync)


def show(arguments: argparse.Namespace) -> int:
    """Print the prices of one model. Return 1 if it has none."""
    settings = from_environment()
    book = open_book(arguments.prices if arguments.prices is not None else settings.prices, settings.private_addresses)
    at = _time(arguments.at)
    terms = dict(_term(text) for text in arguments.terms)
    url, provider = _asked(book, arguments.base_url, arguments.provider, arguments.model)
    match = book.find((arguments.model,), url, provider)
    if isinstance(match, NoPrice):
        print(f"Unpriced: {match.reason}.")
        _suggest(book, arguments.model, arguments.provider)
        return 1
    if (reason := book.refusal(match, arguments.base_url, terms, at.timestamp())) is not None:
        print(f"Unpriced: {reason}.")
        _print_others(match, book.uplifts(match))
        return 1
    print(f"{match.prices.name}  ({_source(book, match)}, billed by {match.provider})")
    if match.assumed:
        print(f"  assumed: the address {url} is not known, and {match.provider} is what the SDK or the name suggests")
    if terms and not match.terms_apply:
        print(f"  {match.provider} sells this model at another provider's prices: terms do not change them")
    try:
        card = match.prices.quote(at.timestamp(), terms if match.terms_apply else {}).card
    except InconsistentPrices as error:
        print(f"Unpriced: the prices contradict each other: {error}.")
        return 1
    by_day = any(one.period.weekdays for one in (*match.prices.lists, *match.prices.variants))
    when = f"{at:%Y-%m-%d %H:%M} UTC{f' ({at:%A})' if by_day else ''}" + "".join(
        f", {key}={value}" for key, value in terms.items()
    )
    print(f"  on {when}:")
    _print_prices(PriceList(prices=card.prices))
    _print_terms(match, terms, book.uplift(match, arguments.base_url, terms, at.timestamp()))
    _print_others(match, book.uplifts(match))
    others = [name for name in suggestions.providers_of(book, arguments.model) if name != match.provider]
    if others and arguments.provider is None:
        print(f"  also sold by: {_joined(others)}")
    return 0


def _source(book: PriceBook, match: PriceMatch) -> str:
    if match.prices is FREE_ADDRESS:
        return "OTEL_AGENTCOST_PRIVATE_ADDRESSES=free"
    return "price file" if match.overridden else book.source


def _asked(book: PriceBook, base_url: str | None, provider: str | None, model: str) -> tuple[str | None, str | None]:
    """Return the address and the provider with which an SDK makes the call: at an unknown address, the SDK's own."""
    if base_url is None:
        return None, provider
    url = base_url if "://" in base_url else f"https://{base_url}"
    if provider is None and not book.finder.knows(url):
        provider = _SDKS.get(book.finder.maker(model) or "", "openai")
    return url, provider


def _suggest(book: PriceBook, model: str, provider: str | None) -> None:
    """Print suggestions for a name without a price: other providers of the model, and similar names."""
    providers = suggestions.providers_of(book, model)
    if provider is not None and not suggestions.is_provider(book, provider):
        similar = suggestions.near_provider(book, provider)
        meant = f" Did you mean --provider {similar}?" if similar else ""
        print(f"The price book has no provider {provider!r}.{meant}")
        if not providers:
            print(f"It has: {_joined(sorted(book.book.providers), most=16)}.")
        provider = None
    if providers:
        print(f"The name has a price at: {_joined(providers)} (try --provider {providers[0]}).")
    near_models = [] if provider is None and providers else suggestions.near_models(book, model, provider)
    if near := [name for name in near_models if name != model.lower()]:
        print(f"Did you mean {' or '.join(filter(None, (', '.join(near[:-1]), near[-1])))}?")


def _joined(names: Sequence[str], most: int = 8) -> str:
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])


def _print_terms(match: PriceMatch, terms: Mapping[str, str], uplift: Uplift | None) -> None:
    """Print the uplift of the address and the terms, and the terms that do not affect the price."""
    named = {item for variant in match.prices.variants for item in (variant.terms or {}).items()}
    if uplift is not None:
        print(f"    {uplift_text(uplift)}")
        named |= uplift.when.items()
    for key, value in terms.items():
        if match.terms_apply and (key, value) not in named and not is_standard(match.provider, value):
            print(f"    ({key}={value} is not a term of these prices and has no effect)")


def _print_prices(entry: PriceList) -> None:
    if not entry.prices:
        print("    free")
    rows = [(PRICE_KEY_OF[kind], price_text(price)) for kind, price in entry.prices.items()]
    wide = max((len(key) for key, _ in rows), default=0)
    for key, text in rows:
        unit = next(words for ending, words in _PER.items() if key.endswith(ending))
        print(f"    {key:{wide}}  {text} {unit}")


def _print_others(match: PriceMatch, uplifts: Sequence[Uplift]) -> None:
    """Print the lists for other times and terms, and the uplifts, in the order in which they are tried."""
    if len(match.prices.lists) > 1:
        print("  price lists (the last that applies is used):")
        for entry in match.prices.lists:
            print(f"    {validity(entry.period)}: {short(entry)}")
    if match.prices.variants and match.terms_apply:
        print("  with other terms (they replace the standard prices):")
        for entry in match.prices.variants:
            terms = ", ".join(f"{key}={value}" for key, value in (entry.terms or {}).items())
            print(f"    {terms}, {validity(entry.period)}: {short(entry)}")
    if uplifts:
        print("  uplifts by address and terms (the first that applies is used):")
        for uplift in uplifts:
            print(f"    {uplift.condition}: {uplift_text(uplift)}")
    if match.prices.minimum_seconds:
        print(f"  at least {match.prices.minimum_seconds} seconds of audio are billed")


def _time(text: str | None) -> datetime:
    if text is None:
        return datetime.now(timezone.utc)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        problem = "which is neither a date such as 2026-01-31 nor a time such as 2026-01-31T16:30"
        raise Unclear(f"--at is {text!r}, {problem}.") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


def _term(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key or not value:
        raise Unclear(f"--terms is {text!r}, which is not KEY=VALUE, such as service_tier=flex.")
    return key, value


def check(arguments: argparse.Namespace) -> int:
    """Print the prices of a user's price file, and its mistakes. Return 1 if it has mistakes.

    Raises:
        PriceFileError: The file cannot be read.
    """
    book = open_book(arguments.file)
    overrides = book.finder.overrides
    if overrides.path is None:
        print(f"{arguments.file} is a price book ({book.source}): it replaces the bundled one.")
        return 0
    groups = [(f"{entry.id}/", entry.models) for entry in overrides.providers.values()]
    groups.append(("", overrides.models))
    found = [(f"{prefix}{model.name}", model) for prefix, models in groups for model in models]
    rows = [(name, model) for name, model in found if model.problem is None]
    usable = f"can be used except for {_counted(len(book.problems), 'row')}" if book.problems else "can be used"
    if rows:
        print(f"{arguments.file} {usable}: {_counted(len(rows), 'model')}. Other prices: {book.source}.")
    else:
        print(f"{arguments.file} {usable}, but has no prices. All prices: {book.source}.")
    for problem in book.problems:
        print(f"! {problem}")
    for name, model in rows:
        if model.prices is None:
            print(f"  {name}: priced as {model.alias}")
        else:
            print(f"  {name}: {' | '.join(short(entry) for entry in (*model.prices.lists, *model.prices.variants))}")
    for entry in overrides.providers.values():
        for uplift in (one for one in entry.uplifts if one.problem is None):
            print(f"  {entry.id}/{', '.join(uplift.models)} at {uplift.condition}: {uplift_text(uplift)}")
    for sentence in suggestions.unreachable_providers(book):
        print(f"! {sentence}")
    return 1 if book.problems else 0


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _read(path: Path | None) -> BookFile:
    if path is None:
        from otel_agentcost.pricebook.build import compile_book  # noqa: PLC0415 (few commands need it)

        return BookFile(compile_book(datetime.now(timezone.utc).date()).encode())
    try:
        return read_book(path)
    except (ValueError, KeyError) as error:
        raise Unclear(f"{path} is not a price book ({error}).") from None


def diff(arguments: argparse.Namespace) -> int:
    """Print the differences between two books. Return 1 if there are any."""
    from otel_agentcost.pricebook.diff import differences  # noqa: PLC0415 (two commands need it)

    old, new = _read(arguments.old or BUNDLED), _read(arguments.new)
    lines = list(differences(old, new))
    count = _counted(len(lines), "difference")
    print(f"genai-prices {old.version} of {old.date} -> {new.version} of {new.date}: {count}")
    shown = lines if arguments.all else lines[:_MAX_LINES]
    for line in shown:
        print(line)
    if len(shown) < len(lines):
        print(f"... and {len(lines) - len(shown):,} more (--all shows them)")
    return 1 if lines else 0


def sync(arguments: argparse.Namespace) -> int:
    """Compile the installed genai-prices into a price book. The file is replaced atomically."""
    from otel_agentcost.pricebook.build import compile_book  # noqa: PLC0415 (few commands need it)

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
        print(f"Use it with OTEL_AGENTCOST_PRICES={target}, or as `book: {target.name}` in a price file.")
    return 0


def _refuse_older(book: BookFile, target: Path) -> None:
    """Raise `Unclear` if `book` is older than the one in `target` or the bundled one, or `target` is not a book."""
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
            remedy = "Install a newer one (pip install -U genai-prices), or use --force."
            raise Unclear(f"{installed} {older}. {remedy}")


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
