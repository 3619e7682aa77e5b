"""Parsers of settings: from a value as it is written to a value of the field's type.

A parser takes text of the environment, a value of a settings file or an argument of code. It returns a parsed value
unchanged, and raises `InvalidValue` for a value that it cannot parse. None of them logs or reads anything else. The
table in `table.py` names the parser of each setting. `quoted` formats a value for an error message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar, cast, get_args

from otel_agentcost.core import breakers, hints, money
from otel_agentcost.core.breakers import Breaker
from otel_agentcost.core.budgets import Budget, UnclearRule, Unit, read, split, split_items, split_rules, to_limit
from otel_agentcost.core.ledger import VERBS, Ledger, is_ledger
from otel_agentcost.core.loops import Rule, Thresholds
from otel_agentcost.core.tool_prices import ToolPrice, ToolPrices, to_price
from otel_agentcost.diagnostics import without_password
from otel_agentcost.plugins import scheme_of
from otel_agentcost.settings.schemes import LEDGERS

CaptureContent = Literal["NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"]

_JOINED = re.compile(r"=[^=]*[;|\s]")
"""A pair that is followed by another one, but not behind a comma."""
_MOST_REPEATS = 1000
"""More repetitions than any conversation has: a larger number would silently disable loop detection."""

Word = TypeVar("Word", bound=str)


Parsed = TypeVar("Parsed")


class InvalidValue(Exception):
    """A value cannot be parsed. The text completes the sentence "X is 'v', "."""

    def __init__(self, text: str, rest: object = None) -> None:
        """Make the exception. `rest` is the parsed value of a list without its invalid items; None if that is empty."""
        super().__init__(text)
        self.rest = rest


class Items:
    """The invalid items of a list, which are collected: one of them must not take the others with it."""

    def __init__(self) -> None:
        self._mistakes: list[str] = []

    @contextmanager
    def item(self) -> Generator[None]:
        """Collect the `InvalidValue` or `UnclearRule` of one item."""
        try:
            yield
        except InvalidValue as error:
            self._mistakes.append(str(error))
        except UnclearRule as error:
            self._mistakes.append(f"where {error}")

    def checked(self, parsed: Parsed) -> Parsed:
        """Return the valid items. Raises `InvalidValue` if there were others."""
        if self._mistakes:
            raise InvalidValue(", and ".join(self._mistakes), parsed or None)
        return parsed


def to_boolean(value: object) -> bool:
    """Parse true or false, also written as 1, yes, on, 0, no, off."""
    word = str(value).lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    meant = {"y": "true", "enabled": "true", "enable": "true", "n": "false", "disabled": "false", "disable": "false"}
    hint = f"; write {meant[word]}" if word in meant else hints.near(word, ("true", "false"))
    raise InvalidValue(f"which is neither true nor false{hint}")


def to_text(value: object) -> str:
    """Parse text, or a number that stands for text."""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    raise InvalidValue("which is not text")


def to_path(value: object) -> Path:
    """Parse a path; `~` is the home directory."""
    if not isinstance(value, (str, Path)):
        raise InvalidValue("which is not a path")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise InvalidValue("whose home directory is unknown") from error


def to_tool_prices(value: object) -> ToolPrices:
    """Parse prices of tools: a mapping, or text like `web_search=0.005,search_*=0.001,sandbox=0.01/s`."""
    prices: dict[str, ToolPrice] = {}
    items = Items()
    for pair in _pairs(value, "tool=dollars"):
        with items.item():
            tool, written = _pair(pair, "tool=dollars")
            price = to_price(written)
            if price is None:
                raise InvalidValue(
                    f"where the price of {tool} is {quoted(written)}, which is not an amount of US dollars: "
                    f"write 0.005 per call, or 0.01/s per second{hints.number(written)}"
                )
            if prices.pop(str(tool), None) is not None:  # neither of the two is sure
                raise InvalidValue(f"which has two prices for {tool}")
            prices[str(tool)] = price
    return items.checked(ToolPrices(prices))


def _pairs(value: object, form: str) -> Iterable[object]:
    """Return the pairs of a mapping, or the items of a text like `a=b,c=d`. `form` names both sides for the error."""
    if isinstance(value, Mapping):
        return cast("Mapping[object, object]", value).items()
    if isinstance(value, str):
        return [item for item in split_items(value) if item.strip()]
    raise InvalidValue(f"which does not have the form {form},{form}")


def _pair(item: object, form: str) -> tuple[object, object]:
    if not isinstance(item, str):
        return cast("tuple[object, object]", item)
    # From the right: a tool may have any name, a price has no `=` in it.
    left, equals, right = item.rpartition("=")
    if "=" in left and (_JOINED.search(left) or form == "model=model"):
        raise InvalidValue(f"where {quoted(item.strip())} is not one pair: pairs are joined by ','")
    if not equals or not left.strip():
        parts = [part.strip("{}'\" ") for part in re.split(r"-+>|=>|>|:|\s+", item.strip(), maxsplit=1)]
        meant = f"; write {'='.join(parts)}" if len(parts) == 2 and all(parts) else ""
        raise InvalidValue(f"where {quoted(item.strip())} does not have the form {form}{meant}")
    return left.strip(), right.strip()


def to_capture_content(value: object) -> CaptureContent:
    """Parse where message content may go. `true` is the older name of `SPAN_ONLY`."""
    match str(value).upper():
        case "NO_CONTENT" | "FALSE":
            return "NO_CONTENT"
        case "SPAN_ONLY" | "TRUE":
            return "SPAN_ONLY"
        case "EVENT_ONLY":
            return "EVENT_ONLY"
        case "SPAN_AND_EVENT":
            return "SPAN_AND_EVENT"
        case _:
            raise InvalidValue("which is none of NO_CONTENT, SPAN_ONLY, EVENT_ONLY and SPAN_AND_EVENT")


# --- Budgets ----------------------------------------------------------------------------------------------------------


def to_usd_limit(value: object) -> Decimal:
    """Parse US dollars above zero."""
    _limit("nano_usd", value)
    return cast("Decimal", money.from_number(value))


def to_count(value: object) -> int:
    """Parse a whole number above zero."""
    return _limit("calls", value)


def to_seconds(value: object) -> int:
    """Parse whole seconds above zero."""
    return _limit("seconds", value)


def _limit(unit: Unit, value: object) -> int:
    try:
        return to_limit(unit, value)
    except UnclearRule as error:
        raise InvalidValue(str(error)) from error


def to_budgets(value: object) -> tuple[Budget, ...]:
    """Parse budget rules (see `core.budgets`). An empty list is valid; a text without a rule is a mistake."""
    items = Items()
    found: list[Budget] = []
    try:
        rules = split(value)
    except UnclearRule as error:
        raise InvalidValue(f"where {error}") from error
    for rule in rules:
        with items.item():
            found += read([rule])
    if not rules and isinstance(value, str):
        raise InvalidValue("which contains no rule: write scope[=name][/window]:limit=value, such as user/day:usd=1")
    return items.checked(tuple(found))


def to_breakers(value: object) -> tuple[Breaker, ...]:
    """Parse circuit breakers (see `core.breakers`): a text, a list of texts, or the mapping that YAML makes of a text
    with a blank in it (`agent: trips=5/10m,open=15m`).
    """
    rules: object = [cast("object", value)] if isinstance(value, (str, Breaker, Mapping)) else value
    if not isinstance(rules, Sequence):
        raise InvalidValue("which is not a list of rules: write scope[=name]:trips=N/time,open=time")
    items = Items()
    found: list[Breaker] = []
    for rule in cast("Sequence[object]", rules):
        if isinstance(rule, Breaker):
            found.append(rule)
            continue
        if isinstance(rule, Mapping):
            written = [f"{head}:{rest}" for head, rest in cast("Mapping[object, object]", rule).items()]
        else:
            written = split_rules(str(rule))
        for text in written:
            with items.item():
                found += breakers.parse(text)
    return items.checked(tuple(found))


def to_downgrade(value: object) -> Mapping[str, str]:
    """Parse the cheaper model of each model: a mapping, or text like `gpt-4o=gpt-4o-mini,o1=o1-mini`."""
    chain: dict[str, str] = {}
    items = Items()
    for pair in _pairs(value, "model=model"):
        with items.item():
            model, cheaper = _pair(pair, "model=model")
            if not (isinstance(model, str) and isinstance(cheaper, str) and model.strip() and cheaper.strip()):
                raise InvalidValue(f"where {quoted(cheaper)} for {quoted(model)} is not a model name")
            if model == cheaper:
                raise InvalidValue(f"where {model} would replace itself")
            if chain.pop(model, None) is not None:  # neither of the two is sure
                raise InvalidValue(f"which has two models for {model}")
            chain[model] = cheaper
    return items.checked(MappingProxyType(chain))


def one_of(words: tuple[Word, ...]) -> Callable[[object], Word]:
    """Make a parser for a setting that is one of `words`."""

    def to_word(value: object) -> Word:
        written = {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)  # YAML's `off` is False
        found = next((word for word in words if word == written.strip().lower()), None)
        if found is None:
            near = hints.near(value, words)
            raise InvalidValue(f"which is none of {', '.join(words[:-1])} and {words[-1]}{near}")
        return found

    return to_word


def to_switch(value: object) -> Literal["on", "off"]:
    """Parse `on` or `off`, which YAML reads as true and false."""
    try:
        return "on" if to_boolean(value) else "off"
    except InvalidValue as error:
        raise InvalidValue(f"which is neither on nor off{hints.near(value, ('on', 'off'))}") from error


def to_repeats(value: object) -> int:
    """Parse a whole number from 2 to 1000, or 0 for none."""
    number = money.from_number(value.strip() if isinstance(value, str) else value)
    if number is None or number > _MOST_REPEATS or number != int(number) or number == 1:
        meant = "; write 0" if number is None and (hints.is_none(value)) else ""
        raise InvalidValue(f"which is neither 0 nor a whole number from 2 to {_MOST_REPEATS}{meant}")
    return int(number)


def to_rules(value: object) -> tuple[Rule, ...]:
    """Parse the loop rules: a list, or text like `repeat,cycle`."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, Iterable) or isinstance(names, Mapping):
        raise InvalidValue("which is not a list of rules")
    written = [word for name in cast("Iterable[object]", names) if (word := str(name).strip())]
    items = Items()
    for name in written or [""]:
        with items.item():
            if name not in get_args(Rule):
                raise InvalidValue(f"where {quoted(name)} is none of {', '.join(get_args(Rule))}{_rule_hint(name)}")
    return items.checked(tuple(rule for rule in get_args(Rule) if rule in written))


def _rule_hint(written: str) -> str:
    known: tuple[str, ...] = get_args(Rule)
    if written.lower() in ("all", "*", "true", "on"):
        return "; for all of them, remove it"
    if hints.is_none(written):
        return "; to turn off loop detection, set LOOP_MAX_REPEATS to 0"
    if (without := written.lstrip("-!~")) != written and without in known:
        return f"; to leave it out, write the others: {','.join(name for name in known if name != without)}"
    words = re.split(r"[;|\s]+", written)
    if all(word in known for word in words):
        return f"; write {','.join(words)}"
    return hints.near(written, known)


def to_thresholds(value: object) -> Mapping[str, float]:
    """Parse loop thresholds: a mapping, or text like `stall=12,results=0.95`. `repeats` has its own setting."""
    found: dict[str, float] = {}
    defaults = {each.name: each.default for each in fields(Thresholds) if each.name != "repeats"}
    items = Items()
    for pair in _pairs(value, "threshold=number"):
        with items.item():
            name, written = _pair(pair, "threshold=number")
            key = str(name)
            if key not in defaults:
                meant = "; write LOOP_MAX_REPEATS" if key == "repeats" else hints.near(key, defaults)
                raise InvalidValue(f"where {quoted(name)} is none of {', '.join(defaults)}{meant}")
            number = money.from_number(written.strip() if isinstance(written, str) else written)
            whole = isinstance(defaults[key], int)
            most = Decimal(_MOST_REPEATS if whole else 1)
            fits = number is not None and 0 < number <= most and (not whole or number == int(number))
            if number is None or not fits:
                form = f"a whole number from 1 to {most}" if whole else "a share above 0 and at most 1"
                meant = hints.number(written) if whole else _share(written)
                raise InvalidValue(f"where {key} is {quoted(written)}, which is not {form}{meant}")
            found[key] = int(number) if whole else float(number)
    return items.checked(MappingProxyType(found))


def to_share(value: object) -> float:
    """Parse a share above 0 and at most 1."""
    share = money.from_number(value)
    if share is None or not 0 < share <= 1:
        raise InvalidValue(
            f"which is not a share of a budget: write a number above 0 and at most 1, such as 0.8{_share(value)}"
        )
    return float(share)


def _share(value: object) -> str:
    percent = money.from_number(value)
    return f"; write {percent / 100:f}" if percent is not None and 2 <= percent <= 100 else hints.number(value)


def to_wait(value: object) -> float:
    """Parse seconds to wait, from 0 to an hour."""
    seconds = money.from_number(value)
    if seconds is None or seconds > 3600:
        raise InvalidValue(
            f"which is not a waiting time: write seconds from 0 to 3600, such as 10{hints.number(value, seconds=True)}"
        )
    return float(seconds)


def to_timeout(value: object) -> float:
    """Parse a timeout in seconds. At most 30: a value of 50 was meant in milliseconds and would block calls."""
    seconds = money.from_number(value)
    if seconds is None or not Decimal("0.001") <= seconds <= 30:
        raise InvalidValue(
            f"which is not a timeout: write seconds from 0.001 to 30, such as 0.05{hints.number(value, seconds=True)}"
        )
    return float(seconds)


def to_ledger(value: object) -> str | Ledger:
    """Parse the URL of a ledger, or return a ledger object. Of a URL only the scheme is checked; opening it checks the
    rest.
    """
    if not isinstance(value, str):
        if not is_ledger(value):
            raise InvalidValue(f"which is neither a URL nor an object with the methods {', '.join(VERBS)}")
        return value
    if not LEDGERS.is_known(scheme_of(value)):
        raise InvalidValue(f"which is not a ledger: {LEDGERS.hint()}{_ledger_hint(value.strip())}")
    return value.strip()


_LABELS = ("user", "tenant", "team", "feature", "agent")


def to_labels(value: object) -> tuple[str, ...]:
    """Parse the names of labels for the bill, joined by `,`."""
    listed = isinstance(value, (list, tuple))
    names = cast("Iterable[object]", value) if listed else str(value).split(",")
    found = Items()
    labels: list[str] = []
    for name in names:
        with found.item():
            word = str(name).strip().lower()
            if word and word not in _LABELS:
                raise InvalidValue(f"where {quoted(name)} is none of {', '.join(_LABELS)}{hints.near(word, _LABELS)}")
            labels += [word] if word else []
    return found.checked(tuple(dict.fromkeys(labels)))


def to_record(value: object) -> str:
    """Parse the URL of a spend store. Opening it checks the rest."""
    written = str(value).strip()
    if not isinstance(value, (str, Path)) or not written.startswith("sqlite:///") or written == "sqlite:///":
        is_path = written.startswith(("/", "./", "~")) or written.endswith((".db", ".sqlite"))
        raise InvalidValue(f"which is not a spend store: write sqlite:///{written if is_path else '/path/to/file'}")
    return written


def _ledger_hint(value: str) -> str:
    scheme, _, rest = value.partition(":")
    meant = hints.near(scheme, LEDGERS.built_in).removeprefix("; did you mean ").removesuffix("?")
    if rest and meant and not any(part in value for part in ("://", "@")):  # `redis:/host`, `sqlite:file.db`
        return f"; write {meant}://{'/' if meant == 'sqlite' else ''}{rest.lstrip('/')}"
    if value.startswith(("/", "./", "~")) or value.endswith((".db", ".sqlite")):
        return f"; for a file write sqlite:///{value}"
    if address := re.fullmatch(r"(?:(?:https?|tcp)://)?([\w.-]+:\d+(/\d+)?)", value):
        return f"; for a server write redis://{address[1]}"
    if value == ":memory:":
        meant = "memory"
    return f"; did you mean {meant}://{'/path' if value == 'sqlite' else ''}?" if meant else ""


def to_zone(value: object) -> tzinfo:
    """Parse a time zone by its IANA name."""
    if isinstance(value, tzinfo):
        return value
    if value == "UTC":
        return timezone.utc  # known without a database of zones
    from zoneinfo import ZoneInfo  # noqa: PLC0415 (few applications count their days elsewhere)

    try:
        return ZoneInfo(value if isinstance(value, str) else "")
    except (LookupError, ValueError, OSError) as error:
        raise InvalidValue(
            "which is not a known time zone: write a name such as Europe/Berlin; "
            f"if such names are unknown too, pip install tzdata{_zone_hint(value)}"
        ) from error


_OFFSET = re.compile(r"(?:GMT|UTC)?([+-])0?(\d{1,2})(?::?00)?", re.IGNORECASE)
_ABBREVIATIONS: Mapping[str, str] = {
    **dict.fromkeys(("PST", "PDT", "PT"), "America/Los_Angeles"),
    **dict.fromkeys(("EDT", "ET"), "America/New_York"),
    **dict.fromkeys(("CST", "CDT", "CT"), "America/Chicago"),
    "CEST": "Europe/Berlin",
    "BST": "Europe/London",
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
}


def _zone_hint(value: object) -> str:
    from zoneinfo import available_timezones  # noqa: PLC0415 (only a mistake needs it)

    if offset := _OFFSET.fullmatch(str(value).strip()):  # POSIX has the opposite sign
        return f"; write Etc/GMT{'-' if offset[1] == '+' else '+'}{offset[2]}, with this sign"
    if known := _ABBREVIATIONS.get(str(value).strip().upper()):
        return f"; did you mean {known}?"
    city = str(value).strip().rpartition("/")[2].replace(" ", "_").lower()
    meant = sorted(zone for zone in available_timezones() if zone.rpartition("/")[2].lower() == city)
    return f"; did you mean {meant[-1]}?" if meant else ""


# --- Quoting ----------------------------------------------------------------------------------------------------------


def on_spans(mode: CaptureContent) -> bool:
    """Return True if message content may be recorded on spans."""
    return mode in ("SPAN_ONLY", "SPAN_AND_EVENT")


def quoted(value: object, *, url: bool = False, address: bool = False) -> str:
    """Format `value` for an error message: short, and without passwords. Of a text that was meant to be a URL (`url`),
    everything before the last `@` is hidden, because a password may be there in any form. Of one that may be the
    `address` of a webhook, whose path is its password, the path is hidden.
    """
    if address:
        value = re.sub(r"(?s)((?:[\w+.-]*:/*)?[^/]*)/.*", r"\1/***", str(value))
    if not isinstance(value, str):
        return f"{without_password(str(value)):.120}"
    if url and "://" not in value:
        value = re.sub(r"(?s).*@", "***@", value)
    return f"{without_password(value)!r:.120}"
