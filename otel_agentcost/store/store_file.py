"""The store's file while one process writes it: rows become statements, and one batch is one transaction."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from otel_agentcost.store import fingerprints, schema
from otel_agentcost.store.offered_tools import Definitions
from otel_agentcost.store.pruning import prune
from otel_agentcost.store.questions import DIMS
from otel_agentcost.store.rows import Dims, Event, Row, digest_of, sums_of
from otel_agentcost.store.schema import SUMS

_SWEEP: Final = 60.0
"""Seconds between two deletions of rows that are too old."""

_TOOLSETS: Final = 5_000
"""Lists of tools in a file. If an application makes a new one for each request, the others are left out."""

_KNOWN: Final = 20_000
"""Combinations of `dims` whose ids are kept."""

_PROMPTS: Final = 500
"""Traces whose latest prompt is kept, so that the next row has the new segments only."""

_COLUMNS = (
    "id, at, dims, writer, calls, resolves, nusd, saved, input, output, cache_read, cache_write, reasoning, units, ms, "
    "stop, conversation, run, trace, span, request, base, segments, root, characters, tools"
)
_CALL = f"INSERT INTO call ({_COLUMNS}) VALUES ({', '.join('?' * (1 + _COLUMNS.count(',')))})"  # noqa: S608 - constants
_ADD = ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
_ADDED = f"({', '.join('?' * (2 + len(SUMS)))}) ON CONFLICT (hour, dims) DO UPDATE SET {_ADD}"
_HOUR = f"INSERT INTO hour (hour, dims, {', '.join(SUMS)}) VALUES {_ADDED}"  # noqa: S608 - constants
_DIMS = f"INSERT INTO dims (digest, {', '.join(DIMS)}) VALUES (?, {', '.join('?' * len(DIMS))})"  # noqa: S608 - constants
_FIND = "SELECT id FROM dims WHERE digest = ?"
_FIND_TOOLSET = "SELECT id FROM toolset WHERE digest = ?"
_TOOLSET = "INSERT INTO toolset (digest, definitions) VALUES (?, ?)"
_WRITER = "INSERT INTO writer (session, pid, began) VALUES (?, ?, ?)"
_EVENT = "INSERT INTO event (at, writer, kind, what, agent, nusd, trace) VALUES (?, ?, ?, ?, ?, ?, ?)"


class StoreFile:
    """An open store, and what this process knows of it."""

    def __init__(self, address: schema.Address, now: float) -> None:
        """Open the file. Raises what `schema.open_for_writing` raises."""
        self._path = address.path
        self.connection = schema.open_for_writing(address.path)
        self._began = (address.session, os.getpid(), int(now * 1000))
        self._writer: int | None = None
        self._dims: dict[Dims, int] = {}
        self._prompts: OrderedDict[bytes | str, tuple[int, tuple[bytes, ...]]] = OrderedDict()
        self._toolsets: dict[bytes, int] = {}
        self._swept = 0.0

    def write(self, rows: Sequence[Row | Event], now: float, days: int) -> None:
        """Write rows, their sums, and the deletion of what is too old, in one transaction."""
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")  # a failure closes the connection, which rolls back
        schema.check(connection, self._path)
        if self._writer is None:
            self._writer = connection.execute(_WRITER, self._began).lastrowid
        self._insert([row for row in rows if isinstance(row, Row)])
        events = (row for row in rows if isinstance(row, Event))
        connection.executemany(_EVENT, [(int(each.at * 1000), self._writer, *each[1:]) for each in events])
        if not self._swept <= now < self._swept + _SWEEP:
            self._swept = now
            for table in ("call", "event"):
                prune(connection, table, now, days)
        connection.execute("COMMIT")

    def _insert(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        number: int = self.connection.execute("SELECT ifnull(max(id), 0) FROM call").fetchone()[0]
        values: list[tuple[object, ...]] = []
        hours: dict[tuple[int, int], tuple[int, ...]] = {}
        for row in rows:
            number += 1
            dims = self._dims.get(row.dims)
            if dims is None:
                dims = self._find(row.dims)
            values.append(self._values(number, dims, row))
            key, sums = (int(row.at // 3600), dims), sums_of(row)
            before = hours.get(key)
            hours[key] = sums if before is None else tuple(map(sum, zip(before, sums, strict=True)))
        self.connection.executemany(_CALL, values)
        self.connection.executemany(_HOUR, [(*key, *sums) for key, sums in hours.items()])

    def _find(self, dims: Dims) -> int:
        digest = digest_of(dims)
        found = self.connection.execute(_FIND, (digest,)).fetchone()
        number: Any = found[0] if found else self.connection.execute(_DIMS, (digest, *dims)).lastrowid
        if len(self._dims) >= _KNOWN:
            self._dims.clear()
        self._dims[dims] = int(number)
        return int(number)

    def _values(self, number: int, dims: int, row: Row) -> tuple[object, ...]:
        tokens, prints = row.tokens, row.prints
        base = segments = None
        if prints is not None:
            base, segments = self._segments(number, row.trace or row.conversation, prints.segments)
        return (
            number,
            int(row.at * 1000),
            dims,
            self._writer,
            row.calls,
            row.resolves,
            row.nusd,
            row.saved,
            *((None,) * 5 if tokens is None else tokens),
            row.units,
            row.ms,
            row.stop,
            row.conversation,
            row.run,
            row.trace,
            row.span,
            prints.request if prints is not None else None,
            base,
            segments,
            row.root,
            prints.characters or None if prints is not None else None,
            self._toolset(*prints.tools) if prints is not None and prints.tools is not None else None,
        )

    def _toolset(self, digest: bytes, definitions: Definitions) -> int | None:
        """Return the number of a list of tools; None if there are too many of them."""
        number = self._toolsets.get(digest)
        if number is not None:
            return number
        found = self.connection.execute(_FIND_TOOLSET, (digest,)).fetchone()
        if found is not None:
            number = int(found[0])
        elif self.connection.execute("SELECT ifnull(max(id), 0) FROM toolset").fetchone()[0] < _TOOLSETS:
            written = json.dumps(definitions, separators=(",", ":"))
            number = self.connection.execute(_TOOLSET, (digest, written)).lastrowid
        if number is not None:
            self._toolsets[digest] = number
        return number

    def _segments(
        self, number: int, key: bytes | str | None, segments: tuple[bytes, ...]
    ) -> tuple[int | None, bytes | None]:
        """Return the row that the prompt of row `number` begins like, and the fingerprints of its other segments."""
        if not segments:
            return None, None
        base, before = self._prompts.get(key, (None, ())) if key is not None else (None, ())
        kept = fingerprints.shared(before, segments)
        if key is not None:
            self._prompts[key] = number, segments
            self._prompts.move_to_end(key)
            if len(self._prompts) > _PROMPTS:
                self._prompts.popitem(last=False)
        return (base if kept else None), fingerprints.packed(kept, segments)
