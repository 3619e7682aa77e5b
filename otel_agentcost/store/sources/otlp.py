"""Answers from the files of a Collector's `file` exporter: OTLP in JSON, rotated and compressed."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from glob import glob, has_magic
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

from otel_agentcost.core import semconv
from otel_agentcost.errors import AgentCostError
from otel_agentcost.store import span_rows, zstd
from otel_agentcost.store.questions import Question, Spend
from otel_agentcost.store.rows import Event, Row
from otel_agentcost.store.single_spans import SingleSpans
from otel_agentcost.store.span_rows import Attribute, SpanRow
from otel_agentcost.store.summing import Summing

__all__ = ["OtlpFiles", "open_source"]

_SIGNALS: Final = ("resourceSpans", "resourceMetrics", "resourceLogs", "resourceProfiles")
_ROTATED: Final = re.compile(r"-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}")
"""What the exporter puts before the extension of a file that it does not write any more."""

_SLOT: Final = 900
"""Seconds: hours and days of every time zone begin at such times."""

_VALUES: Final = ("stringValue", "intValue", "doubleValue", "boolValue")


class UnreadableFile(AgentCostError):
    """A file cannot be read, or is not what the exporter writes."""


def open_source(url: str) -> OtlpFiles:
    """Return the source for the files that `url` names, such as `otlp:///var/log/otel/spans*.json`.

    Raises:
        UnreadableFile: There is no such file.
    """
    pattern = str(Path(re.sub(r"^/+", "/", url.partition("://")[2])).expanduser())
    found = map(Path, glob(pattern, recursive=True)) if has_magic(pattern) else _with_rotated(Path(pattern))  # noqa: PTH207
    files = sorted(path for path in found if path.is_file())
    if not files:
        raise UnreadableFile(
            f"There is no file {pattern}: write otlp:///absolute/path/spans*.json, the path of the Collector's file "
            "exporter."
        )
    return OtlpFiles(files)


def _with_rotated(path: Path) -> list[Path]:
    """Return the file and those that it was before a rotation, also compressed ones."""
    stem = path.name.removesuffix("".join(path.suffixes[-1:]))
    same = (each for each in path.parent.glob("*") if each.name.startswith(stem))
    return [each for each in same if _ROTATED.sub("", each.name) in _names(path.name)]


def _names(name: str) -> tuple[str, ...]:
    return name, f"{name}.gz", f"{name}.zst"


class OtlpFiles(SingleSpans):
    """Implements `Detailed`. It reads all files for each question; its memory grows with the number of calls' ids."""

    def __init__(self, files: Iterable[Path]) -> None:
        """Create the source of these files."""
        super().__init__(self._single)
        self._files = tuple(files)

    def spend(self, question: Question) -> Spend:
        """See `Source`.

        Raises:
            UnclearQuestion: Spans do not have a grouping.
            UnreadableFile: A file cannot be read.
        """
        span_rows.check(question.by, question.session)
        summing = Summing(question)
        for counted in self._counted(question):
            at, row = counted.at, counted.row
            summing.add(at - at % _SLOT, row.keys, row.sums, row.keys["unpriced"])
        return summing.spend()

    def _counted(self, question: Question) -> Iterator[_Counted]:
        """Yield the spans of a period that count as calls, each once."""
        seen: set[bytes] = set()
        for path in self._files:
            for line in _lines(path):
                yield from _of_line(question, seen, path, line)

    def _single(self, question: Question) -> Iterator[Row | Event]:
        """Yield the calls of a period, and the loops that were found in them."""
        for at, row, span, attributes in self._counted(question):
            begins = int(span.get("startTimeUnixNano") or 0) / 1e9
            yield span_rows.call_of(row, at, str(span.get("spanId", "")), at - begins if begins else None, attributes)
            for event in span.get("events") or ():
                if event.get("name") == semconv.E_LOOP:
                    when = int(event.get("timeUnixNano") or 0) / 1e9
                    yield span_rows.loop_of(when or at, _attributes(event))


class _Counted(NamedTuple):
    """A span that counts as a call."""

    at: float
    """The time of its end, in seconds since the epoch."""
    row: SpanRow
    span: dict[str, Any]
    attributes: dict[str, Attribute]


def _of_line(question: Question, seen: set[bytes], path: Path, line: dict[str, Any]) -> list[_Counted]:
    """Return the calls in a line of a file."""
    try:
        found = [_counted(question, seen, scope, span) for scope, span in _spans(line)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableFile(f"{path} has a span that is no OTLP in JSON ({error!s:.80}).") from error
    return [each for each in found if each is not None]


def _counted(question: Question, seen: set[bytes], scope: str, span: dict[str, Any]) -> _Counted | None:
    at = int(span.get("endTimeUnixNano") or 0) / 1e9
    if (question.since is not None and at < question.since) or (question.until is not None and at >= question.until):
        return None
    trace = str(span.get("traceId", ""))
    links: list[Any] = span.get("links") or [{}]
    attributes = _attributes(span)
    row = span_rows.row_of(attributes, scope, trace, str(links[0].get("traceId", "")))
    if row is None:
        return None
    name = bytes.fromhex(trace + str(span.get("spanId", "")))
    if name in seen:  # the Collector sends a batch again if it is not sure that it has arrived
        return None
    if name:
        seen.add(name)
    return _Counted(at, row, span, attributes)


def _attributes(span: dict[str, Any]) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {}
    for attribute in span.get("attributes") or ():
        value: dict[str, Any] = attribute.get("value") or {}
        for kind in _VALUES:
            if kind in value:
                found[attribute["key"]] = value[kind]
        if "arrayValue" in value:
            items: list[Any] = value["arrayValue"].get("values") or []
            found[attribute["key"]] = [str(item["stringValue"]) for item in items if "stringValue" in item]
    return found


def _spans(line: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the spans of a line, with the names of their scopes."""
    for resource in line.get("resourceSpans") or ():
        for scoped in resource.get("scopeSpans") or ():
            scope: dict[str, Any] = scoped.get("scope") or {}
            for span in scoped.get("spans") or ():
                yield str(scope.get("name", "")), span


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a file. Raises `UnreadableFile` where one of them is none, or is cut off."""
    number = 0
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(_raw_lines(file), 1):  # noqa: B007 (the text of an error names it)
                if raw.strip():
                    yield _parsed(raw)
    except ValueError as error:
        whole = "the Collector is writing it, or was killed: ask again, or complete or delete the line"
        raise UnreadableFile(f"{path}, line {number}, is no line of OTLP in JSON ({error!s:.80}): {whole}.") from error
    except (OSError, EOFError, zlib.error, zstd.ZstdError) as error:
        raise UnreadableFile(f"{path} cannot be read ({error!s:.120}).") from error


def _parsed(raw: bytes) -> dict[str, Any]:
    line = json.loads(raw)
    if not isinstance(line, dict) or not any(signal in line for signal in _SIGNALS):
        raise ValueError("it has no spans, metrics or logs")
    return cast("dict[str, Any]", line)


def _raw_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file, by what it begins with: plain, compressed as a whole, or compressed one by one."""
    head = file.read(8)
    file.seek(0)
    if head.startswith(b"\x1f\x8b"):
        with gzip.open(file) as unpacked:
            yield from unpacked
    elif head.startswith(zstd.MAGIC):
        yield from zstd.lines(file)
    elif head[4:].startswith(zstd.MAGIC):  # `compression: zstd` of the exporter: each line with its length before it
        while length := file.read(4):
            size = int.from_bytes(length, "big")
            block = file.read(size)
            if len(length) < 4 or len(block) < size:
                raise ValueError("it is cut off")
            yield zstd.unpacked(block)
    else:
        yield from file
