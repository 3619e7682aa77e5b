"""Shared by the modules that read an export of a bill: rows of a CSV or JSON file, compressed or not."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, TextIO, TypeGuard, cast

from otel_agentcost.store.bills.bill import Ask, BillError

Row = Mapping[str, Any]

_FORMS: Final = "a .csv, .json or .jsonl file, which may be compressed (.gz)"


def file_of(ask: Ask, what: str) -> Path:
    """Return the file of a bill.

    Raises:
        BillError: None is named, or there is none.
    """
    if ask.file is None:
        raise BillError(f"This provider's bill is read from a file: name {what} with --file.")
    path = Path(ask.file)
    if not path.is_file():
        raise BillError(f"There is no file {path}: name {what}.")
    return path


def rows(path: Path) -> Iterator[Row]:
    """Yield the rows of an export. Nested fields have their names joined by a point.

    Raises:
        BillError: The file cannot be read, or has another form.
    """
    form = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if form not in ("csv", "json", "jsonl", "ndjson"):
        raise BillError(f"{path} cannot be read: export {_FORMS}.")
    try:
        with _opened(path) as file:
            yield from _csv(file) if form == "csv" else map(_flat, _json(file, whole=form == "json"))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise BillError(
            f"{path} cannot be read ({type(error).__name__}: {str(error)[:80]}): export {_FORMS}."
        ) from None


def _opened(path: Path) -> TextIO:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _csv(file: TextIO) -> Iterator[Row]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    yield from csv.DictReader(file)


def _json(file: TextIO, *, whole: bool) -> Iterator[Row]:
    if whole:
        found: object = json.load(file)
        yield from cast("list[Row]", found if isinstance(found, list) else [found])
        return
    for line in file:
        if line.strip():
            yield json.loads(line)


def _flat(row: object, before: str = "") -> Row:
    if not isinstance(row, dict):
        raise ValueError("a row is no object")  # noqa: TRY004 (one kind of mistake)
    flat: dict[str, Any] = {}
    for name, value in cast("Row", row).items():
        if isinstance(value, dict):
            flat |= _flat(cast("object", value), f"{before}{name}.")
        else:
            flat[f"{before}{name}"] = value
    return flat


def is_row(value: object) -> TypeGuard[Row]:
    """Return whether a value has named fields."""
    return isinstance(value, dict)


def has(row: Row, names: Iterable[str]) -> bool:
    """Return whether a row has all of these columns."""
    return all(name in row for name in names)


def day_in(row: Row, name: str, path: Path) -> str:
    """Return the UTC day of a column.

    Raises:
        BillError: It has no time.
    """
    written = str(row.get(name) or "").strip()
    text = written.replace(" UTC", "+00:00").replace("Z", "+00:00")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BillError(f"{path} has a row whose {name} is {written!r:.40}, which is no time.") from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%d")
