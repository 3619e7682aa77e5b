"""Answers from the store in SQLite: from the sums of hours where they suffice, else from the rows of calls."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from otel_agentcost.core.run_tables import Happened
from otel_agentcost.core.usage import Tokens
from otel_agentcost.store import schema
from otel_agentcost.store.billed_later import moved
from otel_agentcost.store.equal_requests import Request
from otel_agentcost.store.offered_tools import Definitions
from otel_agentcost.store.periods import UnclearPeriod, label
from otel_agentcost.store.questions import (
    DIMS,
    SINGLE,
    TIMES,
    Line,
    Question,
    Spend,
    Sums,
    UnclearQuestion,
    answer,
    open_reasons,
)
from otel_agentcost.store.schema import SUMS, StoreError
from otel_agentcost.store.single_calls import Dear, Names, Recorded, Repeated

__all__ = ["SqliteSource", "open_source"]

_MODEL: Final = "CASE d.served WHEN '' THEN d.requested ELSE d.served END"
_OF_CALL: Final = {
    "calls": "c.calls",
    "tools": "(d.tool <> '')",
    "priced": "(c.nusd IS NOT NULL)",
    "unpriced": "(d.unpriced <> '') - c.resolves",
}
"""The sums of `hour` that a row of `call` has under another name."""

_ROOT: Final = "ifnull(c.root, c.run)"


def _run_id(sql: str) -> str:
    """Return the SQL of a run's id as text."""
    return f"CASE typeof({sql}) WHEN 'blob' THEN lower(hex({sql})) ELSE ifnull({sql}, '') END"


_SINGLE: Final = {
    "conversation": "ifnull(c.conversation, '')",
    "run": _run_id(_ROOT),
    "nested_run": f"CASE WHEN c.root IS NULL THEN '' ELSE {_run_id('c.run')} END",
    "trace": "lower(hex(ifnull(c.trace, '')))",
}


_FOREVER: Final = 1 << 62
_NOT_SINGLE: Final = f", at a full hour, or leave out {', '.join(SINGLE)}"
_LONGER: Final = ", or set OTEL_AGENTCOST_RECORD_DAYS higher for the future"
"""What else helps if single calls are no longer kept: for sums, and for what needs single calls in any case."""


class Called(NamedTuple):
    """One call of the store, for a live view."""

    number: int
    operation: str
    model: str
    tool: str
    agent: str
    unpriced: str
    error: str
    nusd: int | None
    input: int
    cache_read: int
    output: int


def open_source(url: str) -> SqliteSource:
    """Open the store in the file that `url` names.

    Raises:
        StoreError: There is none, or it cannot be read.
    """
    return SqliteSource(schema.parse_url(url).path)


class SqliteSource:
    """Implements `Detailed`. It changes nothing in the file."""

    lacks = ""

    def __init__(self, path: Path) -> None:
        """Open the store in the file `path`. Raises `StoreError` if there is none."""
        self._path = path
        self._connection = schema.open_for_reading(path)
        self._held: dict[tuple[float | None, float | None], str] | None = None

    def close(self) -> None:
        """See `Source`."""
        self._connection.close()

    def spend(self, question: Question) -> Spend:
        """See `Source`.

        Raises:
            UnclearPeriod: Nothing is that old in the rows that the question needs.
        """
        try:
            return self._spend(question)
        except sqlite3.Error as error:
            raise StoreError(f"The store {self._path} cannot be read ({error}).") from error

    def events(self, question: Question) -> Sequence[Happened]:
        """Return the loops, refusals and adjustments of a period, in their order."""
        where, values = self._where(question, hours=False)
        sql = f"SELECT c.kind, c.what, c.agent, c.nusd FROM event c {where} ORDER BY c.id"  # noqa: S608 - constants
        return [Happened(*row) for row in self._rows(sql, values)]

    def calls(self, session: str, after: int) -> Sequence[Called]:
        """Return the calls of a session whose number is above `after`, in their order."""
        sql = (
            f"SELECT c.id, d.operation, {_MODEL}, d.tool, d.agent, d.unpriced, d.error, c.nusd, "  # noqa: S608 - constants
            "ifnull(c.input, 0), ifnull(c.cache_read, 0), ifnull(c.output, 0) FROM call c JOIN dims d ON d.id = c.dims "
            "WHERE c.id > ? AND c.writer IN (SELECT id FROM writer WHERE session = ?) ORDER BY c.id"
        )
        return [Called(*row) for row in self._rows(sql, (after, session))]

    def _rows(self, sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"The store {self._path} cannot be read ({error}).") from error

    # --- single calls: see `Detailed` ---

    def hold(self) -> None:
        """See `Detailed`."""
        if self._held is None:
            self._rows("BEGIN", ())
            self._held = {}

    def kept_since(self) -> float:
        """See `Detailed`."""
        first, hour = self._rows("SELECT (SELECT min(at) FROM call), (SELECT min(hour) FROM hour)", ())[0]
        if hour is None or (first is not None and hour >= first // 3_600_000):
            return 0.0
        if first is None:
            ((last,),) = self._rows("SELECT max(hour) FROM hour", ())
            return float(3600 * (last + 1))
        return float(3600 * (first // 3_600_000 + 1))  # the first hour may have lost calls

    def each(self, question: Question) -> Iterator[Recorded]:
        """See `Detailed`."""
        self._check_age(question, _LONGER)
        where, values = self._where(question, hours=False)
        known: dict[int, Names] = {}
        offered: dict[int, Definitions] = {}
        sql = (
            "SELECT c.id, c.at, c.dims, c.calls, c.nusd, c.input, c.output, c.cache_read, c.cache_write, c.reasoning, "  # noqa: S608 - constants
            "c.units, c.stop, c.conversation, lower(hex(ifnull(c.trace, ''))), c.base, c.segments, "
            "c.resolves, c.characters, c.tools "
            f"FROM call c {where} ORDER BY c.at, c.id"
        )
        for row in self._stream(sql, values):
            names = known.get(row[2])
            if names is None:
                names = known[row[2]] = self._names(row[2])
            yield Recorded(
                row[0],
                row[1] / 1000,
                names,
                row[3],
                row[4],
                Tokens(*row[5:10]) if row[5] is not None else None,
                row[10],
                row[11] or "",
                row[12] or "",
                row[13],
                row[14],
                row[15],
                row[16],
                row[17],
                self._offered(row[18], offered),
            )

    def dearest(self, question: Question, number: int) -> Sequence[Dear]:
        """See `Detailed`."""
        self._check_age(question, _LONGER)
        where, values = self._where(question, hours=False)
        sums = ", ".join(f"ifnull(sum({_OF_CALL.get(name, f'c.{name}')}), 0)" for name in SUMS)
        sql = (
            f"SELECT ifnull({_ROOT}, c.trace), max(printf('%019d', ifnull(c.nusd, 0)) || d.agent), "  # noqa: S608 - constants
            f"min(c.at), max(c.at), {sums} FROM call c JOIN dims d ON d.id = c.dims {where} GROUP BY 1 HAVING "
            f"sum(c.nusd) > 0 ORDER BY sum(c.nusd) DESC, 1 LIMIT {number + 1:d}"
        )
        return [
            Dear(key.hex() if isinstance(key, bytes) else key, agent[19:], began / 1000, ended / 1000, Sums(*rest))
            for key, agent, began, ended, *rest in self._rows(sql, values)
            if key is not None  # calls outside of any run are together in one group
        ][:number]

    def repeated(self, question: Question) -> Iterator[Repeated]:
        """See `Detailed`."""
        self._check_age(question, _LONGER)
        where, values = self._where(question, hours=False)
        yield from self._repeated(where, values, f"d.tool = '' GROUP BY d.provider, {_MODEL}, d.operation")

    def repeated_tools(self, question: Question) -> Iterator[Repeated]:
        """See `Detailed`."""
        self._check_age(question, _LONGER)
        where, values = self._where(question, hours=False)
        day = f"ifnull({_ROOT}, c.at / {86_400_000})"
        yield from self._repeated(where, values, f"d.tool <> '' GROUP BY d.tool, typeof({_ROOT}), {day}")

    def _repeated(self, where: str, values: Sequence[object], kinds: str) -> Iterator[Repeated]:
        """Yield rows with equal fingerprints, of one tenant, else user, else process: no cache shares more.

        Args:
            where: The period.
            values: Its values.
            kinds: The condition and the grouping of the rows.
        """
        sql = (
            "SELECT min(c.id), c.dims, count(*), sum(c.nusd), c.nusd FROM call c JOIN dims d ON d.id = c.dims "  # noqa: S608 - constants
            f"{where} {'AND' if where else 'WHERE'} c.request IS NOT NULL AND c.nusd > 0 AND d.error = '' "
            f"AND {kinds}, c.request, d.tenant, CASE d.tenant WHEN '' THEN d.user ELSE '' END, "
            "CASE d.tenant || d.user WHEN '' THEN c.writer ELSE 0 END HAVING count(*) > 1"
        )
        for row in self._stream(sql, values):
            yield Repeated(self._names(row[1]), row[2], row[3], row[4])

    def requests(self, question: Question) -> Iterator[Request]:
        """See `Fingerprinted`."""
        self._check_age(question, _LONGER)
        where, values = self._where(question, hours=False)
        which = f"{where} {'AND' if where else 'WHERE'} c.request"
        sql = (
            "SELECT c.request, c.dims, c.at - ifnull(c.ms, 0), c.at, c.nusd, ifnull(c.stop, ''), c.writer FROM call c "  # noqa: S608 - constants
            f"{which} IN (SELECT c.request FROM call c {which} IS NOT NULL GROUP BY 1 HAVING count(*) > 1) "
            "ORDER BY 3, c.id"
        )
        known: dict[int, Names] = {}
        for request, dims, began, ended, *rest in self._stream(sql, (*values, *values)):
            if dims not in known:
                known[dims] = self._names(dims)
            yield Request(request, known[dims], began / 1000, ended / 1000, *rest)

    def loops(self, question: Question) -> tuple[int, int]:
        """See `Detailed`."""
        where, values = self._where(question, hours=False)
        which = f"{where} {'AND' if where else 'WHERE'} c.kind = 'loop'"
        sql = f"SELECT count(*), ifnull(sum(c.nusd), 0) FROM event c {which}"  # noqa: S608 - constants
        ((number, nusd),) = self._rows(sql, values)
        return number, nusd

    def _names(self, number: int) -> Names:
        (row,) = self._rows(f"SELECT {', '.join(DIMS)} FROM dims WHERE id = ?", (number,))  # noqa: S608 - constants
        return Names(*row)

    def _offered(self, number: int | None, known: dict[int, Definitions]) -> Definitions:
        """Return the tools of a list."""
        if number is None:
            return ()
        found = known.get(number)
        if found is None:
            row = self._rows("SELECT definitions FROM toolset WHERE id = ?", (number,))
            found = known[number] = tuple((name, size) for name, size in json.loads(row[0][0])) if row else ()
        return found

    def _stream(self, sql: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise StoreError(f"The store {self._path} cannot be read ({error}).") from error

    # --- sums ---

    def last_call(self) -> int:
        """Return the number of the latest call; 0 if there is none."""
        number: int = self._connection.execute("SELECT ifnull(max(id), 0) FROM call").fetchone()[0]
        return number

    def _spend(self, question: Question) -> Spend:
        single = self._needs_calls(question)
        if single:
            self._check_age(question)
        keys = [self._key(name, question, hours=not single) for name in question.by]
        lines = [
            Line(tuple(map(str, row[: len(keys)])), Sums(*row[len(keys) :]))
            for row in self._connection.execute(*self._statement(question, keys, hours=not single))
        ]
        lines = [line for line in lines if any(line.sums)]
        reasons: dict[str, int] = {}
        if any(line.sums.unpriced for line in lines):
            sql, values = self._statement(replace(question, by=("unpriced",)), ["d.unpriced"], hours=not single)
            found = {str(row[0]): Sums(*row[1:]).unpriced for row in self._connection.execute(sql, values)}
            reasons = open_reasons(found)
            if found.get("", 0) < 0 and any(name in TIMES for name in question.by):
                lines = moved(question.by, lines, self._reasons_of_lines(question, keys, hours=not single))
        return answer(question, lines, reasons)

    def _reasons_of_lines(
        self, question: Question, keys: list[str], *, hours: bool
    ) -> dict[tuple[str, ...], dict[str, int]]:
        """Return why the calls of each line are unpriced."""
        found: dict[tuple[str, ...], dict[str, int]] = {}
        asked = replace(question, by=(*question.by, "unpriced"))
        for row in self._connection.execute(*self._statement(asked, [*keys, "d.unpriced"], hours=hours)):
            of_line = found.setdefault(tuple(map(str, row[: len(keys)])), {})
            of_line[str(row[len(keys)])] = Sums(*row[len(keys) + 1 :]).unpriced
        return found

    def _needs_calls(self, question: Question) -> bool:
        """Return True if the sums of hours cannot answer: by trace, for one session, or where an hour is cut."""
        borders = [at for at in (question.since, question.until) if at is not None]
        local = any(name in TIMES for name in question.by) and not _in_whole_hours(question)
        single = any(name in SINGLE for name in question.by)
        return single or local or question.session is not None or any(at % 3600 for at in borders)

    def _check_age(self, question: Question, advice: str = _NOT_SINGLE) -> None:
        """Raise `UnclearPeriod` if calls of the period are deleted, and only their hours are kept."""
        if question.session is not None:
            return
        begins = -_FOREVER if question.since is None else question.since // 3600
        ends = _FOREVER if question.until is None else question.until / 3600
        sql = (
            "SELECT (SELECT min(at) FROM call), (SELECT min(hour) FROM hour), "
            "(SELECT min(hour) FROM hour WHERE hour >= ? AND hour < ?)"
        )
        ((first, oldest, hour),) = self._rows(sql, (begins, ends))
        if hour is None:
            return
        if first is None:
            raise UnclearPeriod(f"No single call of this time is kept, only sums of whole hours: begin later{advice}.")
        if oldest * 3600 >= first // 1000 - 3600 or (question.since is not None and question.since * 1000 >= first):
            return
        moment = datetime.fromtimestamp(first / 1000, question.zone)
        raise UnclearPeriod(
            f"Single calls are kept since {moment:%Y-%m-%d %H:%M %Z}, and only sums of whole hours before: begin "
            f"later{advice}."
        )

    def _key(self, name: str, question: Question, *, hours: bool) -> str:
        if name in TIMES:
            self._connection.create_function(name, 1, partial(label, name, question.zone), deterministic=True)
            return f"{name}({'c.hour * 3600' if hours else 'c.at / 1000.0'})"
        if name in SINGLE:
            return _SINGLE[name]
        if name == "model":
            return _MODEL
        if name not in DIMS:
            raise UnclearQuestion(f"{name!r} is no grouping of this store.")
        return f"d.{name}"

    def _statement(self, question: Question, keys: list[str], *, hours: bool) -> tuple[str, list[object]]:
        table, names = ("hour" if hours else "call"), "JOIN dims d ON d.id = c.dims"
        where, values = self._where(question, hours=hours)
        by_time = [name in TIMES for name in question.by]
        if hours and by_time and all(by_time):  # each hour is named once, not each of its rows
            sums = ", ".join(f"sum(c.{name}) AS {name}" for name in SUMS)
            table, names, where = f"(SELECT c.hour, {sums} FROM hour c {where} GROUP BY 1)", "", ""  # noqa: S608 - constants
        elif hours and self._held is not None and not any(by_time):
            table, where, values = self._summed(question, where, values), "", []
        elif not hours and all(name in DIMS or name == "model" for name in question.by):
            table, where, hours = _calls_by_dims(where), "", True
        columns = [f"ifnull(sum({f'c.{name}' if hours else _OF_CALL.get(name, f'c.{name}')}), 0)" for name in SUMS]
        groups = f"GROUP BY {', '.join(map(str, range(1, len(keys) + 1)))}" if keys else ""
        return f"SELECT {', '.join((*keys, *columns))} FROM {table} c {names} {where} {groups}", values  # noqa: S608 - constants

    def _summed(self, question: Question, where: str, values: list[object]) -> str:
        """Return the table of the sums of a period by `dims`: the tables of a report ask for the same ones."""
        held = self._held if self._held is not None else {}
        period = question.since, question.until
        if period not in held:
            name = f"temp.sums_{len(held)}"
            sums = ", ".join(f"sum(c.{sum_}) AS {sum_}" for sum_ in SUMS)
            self._connection.execute(
                f"CREATE TEMP TABLE {name} AS SELECT c.dims, {sums} FROM hour c {where} GROUP BY c.dims",  # noqa: S608 - constants
                values,
            )
            held[period] = name
        return held[period]

    def _where(self, question: Question, *, hours: bool) -> tuple[str, list[object]]:
        column, unit = ("c.hour", 1 / 3600) if hours else ("c.at", 1000)
        conditions: list[str] = []
        values: list[object] = []
        for at, compared in ((question.since, ">="), (question.until, "<")):
            if at is not None:
                conditions.append(f"{column} {compared} ?")
                values.append(round(at * unit))
        if question.session is not None:
            conditions.append("c.writer IN (SELECT id FROM writer WHERE session = ?)")
            values.append(question.session)
        return (f"WHERE {' AND '.join(conditions)}" if conditions else ""), values


def _calls_by_dims(where: str) -> str:
    """Return the sums of calls by `dims`, so that names are grouped only once for each of them."""
    of = {"tools": "(d.tool <> '') * sum(1)", "priced": "count(c.nusd)"}
    of["unpriced"] = "(d.unpriced <> '') * sum(1) - sum(c.resolves)"
    sums = ", ".join(f"{of.get(name, f'sum(c.{name})')} AS {name}" for name in SUMS)
    return f"(SELECT c.dims, {sums} FROM call c JOIN dims d ON d.id = c.dims {where} GROUP BY c.dims)"  # noqa: S608 - constants


def _in_whole_hours(question: Question) -> bool:
    """Return True if days of the zone begin at full hours of UTC, in winter and in summer."""
    if question.zone is timezone.utc:
        return True
    moments = [datetime(year, month, 1, tzinfo=timezone.utc) for year in (2020, 2026) for month in (1, 7)]
    offsets = [moment.astimezone(question.zone).utcoffset() for moment in moments]
    return all(offset is not None and not offset % timedelta(hours=1) for offset in offsets)
