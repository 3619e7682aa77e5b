"""Compile the installed genai-prices library into the price book: `python -m otel_agentcost.pricebook.build`.

This is a tool for building the package and for `agentcost prices sync`. No other module imports the library, and no
module that prices calls imports this one. Everything that sets a price is translated; a construct that is not known
here raises `CompileError`, so that prices of a newer library cannot be lost silently.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from otel_agentcost.core.prices import PRICE_KEYS
from otel_agentcost.core.usage import DIMENSIONS
from otel_agentcost.errors import AgentCostError
from otel_agentcost.pricebook.compiled import BUNDLED, FORMAT

# The library has this rule in code, not in its data: Groq bills at least ten seconds of audio.
_MINIMUM_SECONDS = {("groq", "whisper-large-v3"): "10", ("groq", "whisper-large-v3-turbo"): "10"}

_VERBS = frozenset({"equals", "starts_with", "ends_with", "contains", "regex", "or_", "and_"})


class CompileError(AgentCostError):
    """The library has a construct that this compiler does not know."""


def compile_book(as_of: date) -> str:
    """Return the text of the book.

    Args:
        as_of: The book's date is that of the newest price change which the data records up to this day.

    Raises:
        CompileError: The library is not installed, or has a construct that is not known here.
    """
    try:
        providers = importlib.import_module("genai_prices.data").providers
    except ImportError as error:
        needs = "The price book is compiled from genai-prices, which is not installed (pip install genai-prices)"
        raise CompileError(f"{needs}: {error}.") from None
    _check_units(importlib.import_module("genai_prices.data_units").unit_data)
    heads: list[dict[str, Any]] = []
    bodies: list[str] = []
    for provider in providers:
        body = "".join(_line(_model(provider.id, model)) for model in provider.models)
        bodies.append(body)
        heads.append(_head(provider) | {"bytes": len(body.encode())})
    changes = [day for provider in providers for model in provider.models for day in _changes(model) if day <= as_of]
    newest = max(changes).isoformat()
    header = {"format": FORMAT, "source": "genai-prices", "version": version("genai-prices"), "date": newest}
    return _line(header | {"providers": heads}) + "".join(bodies)


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def _check_units(units: Mapping[str, Any]) -> None:
    for kind, unit in units.items():
        ours = PRICE_KEYS.get(unit["price_key"])
        theirs = (kind, unit["per"], frozenset(unit["dimensions"].items()))
        if ours is None or theirs != (ours.kind, ours.per, DIMENSIONS[ours.kind]):
            raise CompileError(f"the library's unit {kind} ({unit}) is new or has changed: core/usage.py must follow.")


def _head(provider: Any) -> dict[str, Any]:
    head: dict[str, Any] = {"id": provider.id, "url": _url(provider.api_pattern)}
    if provider.model_match is not None:
        head["models"] = _rule(provider.model_match)
    if provider.provider_match is not None:
        head["names"] = _rule(provider.provider_match)
    if provider.fallback_model_providers:
        head["fallbacks"] = provider.fallback_model_providers
    return head


def _url(pattern: str) -> Any:
    start, whole = _literal_start(pattern)
    if whole:
        return {"starts_with": start}
    anchored = {"regex": rf"\A(?:{pattern})"}
    return {"and": [{"starts_with": start}, anchored]} if start else anchored


def _literal_start(pattern: str) -> tuple[str, bool]:
    """Return the text that every match of `pattern` starts with, and whether the pattern is nothing else.

    Testing for that text first avoids compiling most regular expressions, which takes the most time.
    """
    if "|" in re.sub(r"\([^()]*\)", "", pattern):
        return "", False
    text = ""
    rest = pattern
    while found := re.match(r"\\([^\w])|([\w:/@<>\-])", rest):
        following = rest[found.end() :]
        if following[:1] in {"?", "*", "{"}:
            break
        text += found[1] or found[2]
        rest = following
        if rest.startswith("+"):
            break
    return text, not rest


def _rule(clause: Any) -> Any:
    fields = clause.__dict__
    if len(fields) != 1 or (name := next(iter(fields))) not in _VERBS:
        raise CompileError(f"a match rule of an unknown kind: {clause!r}.")
    if name == "equals":
        return clause.equals.lower()
    if name in {"or_", "and_"}:
        return {name.rstrip("_"): [_rule(part) for part in fields[name]]}
    if name != "regex":
        return {name: fields[name].lower()}
    start = _literal_start(clause.regex[1:])[0].lower() if clause.regex.startswith("^") else ""
    expression = {"regex": clause.regex}
    return {"and": [{"starts_with": start}, expression]} if start else expression


def _model(provider: str, model: Any) -> dict[str, Any]:
    lists = [_list(item) for item in (model.prices if hasattr(model.prices, "append") else [model])]
    entry: dict[str, Any] = {"id": model.id, "match": _rule(model.match), "prices": lists}
    variants = [{"when": variant.when} | _list(variant) for variant in model.price_variants or ()]
    if variants:
        entry["variants"] = variants
    if minimum := _MINIMUM_SECONDS.get((provider, model.id)):
        entry["minimum_seconds"] = minimum
    return entry


def _list(item: Any) -> dict[str, Any]:
    constraint = getattr(item, "constraint", None)
    written = {} if constraint is None else _constraint(constraint)
    for key, price in item.prices.__dict__.items():
        if price is None:
            continue
        if key not in PRICE_KEYS:
            raise CompileError(f"an unknown price key: {key}.")
        written[key] = _price(price)
    return written


def _price(price: Any) -> Any:
    if not hasattr(price, "tiers"):
        return str(price)
    tiers = [{"start": str(tier.start), "price": str(tier.price)} for tier in price.tiers]
    return {"base": str(price.base), "tiers": tiers}


def _constraint(constraint: Any) -> dict[str, Any]:
    if isinstance(day := getattr(constraint, "start_date", None), date):
        return {"start_date": day.isoformat()}
    begin, end = getattr(constraint, "start_time", None), getattr(constraint, "end_time", None)
    if isinstance(begin, time) and isinstance(end, time):
        return {"start_time": _utc(begin), "end_time": _utc(end)}
    raise CompileError(f"a condition of an unknown kind: {constraint!r}.")


def _utc(moment: time) -> str:
    if moment.tzinfo is None:
        return moment.isoformat()
    shifted = datetime.combine(date(1970, 1, 2), moment).astimezone(timezone.utc)
    return shifted.time().isoformat()


def _changes(model: Any) -> Iterator[date]:
    for item in model.prices if hasattr(model.prices, "append") else ():
        day = getattr(item.constraint, "start_date", None)
        if day is not None:
            yield day


def main() -> int:
    """Write the book into the package, or into the file that the only argument names."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else BUNDLED
    text = compile_book(datetime.now(timezone.utc).date())
    target.write_text(text, encoding="utf-8", newline="\n")
    sys.stdout.write(f"{target}: {text.count(chr(10)) - 1} models, {len(text.encode())} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
