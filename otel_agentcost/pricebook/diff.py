"""Compare two compiled books, model by model, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from otel_agentcost.pricebook.compiled import BookFile

Entries = Mapping[tuple[str, str, int], Mapping[str, Any]]


def differences(old: BookFile, new: BookFile) -> Iterator[str]:
    """Yield a line for every model that is new (+), removed (-), or has other prices or names (~)."""
    before, after = _entries(old), _entries(new)
    for key in sorted(before.keys() | after.keys()):
        name = f"{key[0]}/{key[1]}"
        if key not in before:
            yield f"+ {name}: {_text(after[key]['prices'])}"
        elif key not in after:
            yield f"- {name}"
        else:
            yield from (f"~ {name}: {change}" for change in _changes(before[key], after[key]))


def _entries(book: BookFile) -> Entries:
    entries: dict[tuple[str, str, int], Mapping[str, Any]] = {}
    for provider in book.providers:
        for entry in book.models_of(provider).entries:
            turn = sum((provider, entry["id"], other) in entries for other in range(9))  # an id may come twice
            entries[provider, entry["id"], turn] = entry
    return entries


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for field in ("prices", "variants", "minimum_seconds", "match"):
        if before.get(field) == after.get(field):
            continue
        if field == "match":
            yield "matches other names"
        elif field == "prices" and len(before[field]) == len(after[field]) == 1:
            old, new = before[field][0], after[field][0]
            keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
            yield ", ".join(f"{key} {_value(old.get(key))} -> {_value(new.get(key))}" for key in keys)
        else:
            yield f"{field} {_text(before.get(field))} -> {_text(after.get(field))}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " | ".join(_text(entry) for entry in value)  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(price)}" for key, price in value.items()) or "free"  # pyright: ignore[reportUnknownVariableType]
    return _value(value)


def _value(value: Any) -> str:
    if isinstance(value, dict) and "base" in value:
        steps = [f"{tier['price']} above {tier['start']}" for tier in value["tiers"]]  # pyright: ignore[reportUnknownVariableType]
        return f"{value['base']} ({', '.join(steps)})"
    if isinstance(value, dict):
        return ",".join(f"{key}={term}" for key, term in value.items())  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return " ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType]
    return "none" if value is None else str(value)
