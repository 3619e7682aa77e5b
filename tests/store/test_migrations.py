"""A store that the first version has written: it is read as it is, and brought forward by the first row."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from otel_agentcost.store import schema
from otel_agentcost.store.questions import Question
from otel_agentcost.store.sources.sqlite import SqliteSource
from tests.store.recorded import a_call, rows, spend, writer_of

FIRST = """
CREATE TABLE writer (id INTEGER PRIMARY KEY, session TEXT NOT NULL, pid INTEGER NOT NULL, began INTEGER NOT NULL);
CREATE TABLE dims (
    id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, provider TEXT NOT NULL, requested TEXT NOT NULL,
    served TEXT NOT NULL, operation TEXT NOT NULL, price TEXT NOT NULL, book TEXT NOT NULL, terms TEXT NOT NULL,
    source TEXT NOT NULL, unpriced TEXT NOT NULL, error TEXT NOT NULL, agent TEXT NOT NULL, user TEXT NOT NULL,
    tenant TEXT NOT NULL, team TEXT NOT NULL, feature TEXT NOT NULL, tool TEXT NOT NULL
);
CREATE TABLE call (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, dims INTEGER NOT NULL, writer INTEGER NOT NULL,
    calls INTEGER NOT NULL, resolves INTEGER NOT NULL, nusd INTEGER, saved INTEGER,
    input INTEGER, cache_read INTEGER, cache_write INTEGER, output INTEGER, reasoning INTEGER, units TEXT,
    ms INTEGER, stop TEXT, conversation TEXT, run BLOB, trace BLOB, span BLOB,
    request BLOB, base INTEGER, segments BLOB
);
CREATE INDEX call_at ON call (at);
CREATE TABLE hour (
    hour INTEGER NOT NULL, dims INTEGER NOT NULL, calls INTEGER NOT NULL, tools INTEGER NOT NULL,
    priced INTEGER NOT NULL, unpriced INTEGER NOT NULL, nusd INTEGER NOT NULL, input INTEGER NOT NULL,
    cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL,
    saved INTEGER NOT NULL,
    PRIMARY KEY (hour, dims)
) WITHOUT ROWID;
CREATE TABLE event (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, writer INTEGER NOT NULL, kind TEXT NOT NULL, what TEXT NOT NULL,
    agent TEXT NOT NULL, nusd INTEGER, trace BLOB
);
CREATE INDEX event_at ON event (at);
PRAGMA application_id = 1634169649;
PRAGMA user_version = 1;
"""
"""The tables of the first version, word for word."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store of the first version, with three calls of two runs."""
    new, path = tmp_path / "new.db", tmp_path / "old.db"
    writer = writer_of(new)
    for run in ("aa", "aa", "bb"):
        writer.settled(a_call()._replace(run=run, root=run))
    writer.close()
    connection = sqlite3.connect(path)
    connection.executescript(FIRST)
    connection.execute("ATTACH ? AS new", (str(new),))
    for table in ("writer", "dims", "call", "hour"):
        columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
        connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")
    connection.commit()
    connection.close()
    return path


def test_an_old_store_is_read_as_it_is(old: Path) -> None:
    """Every question has its answer, and the file does not change."""
    before = old.read_bytes()
    assert {line.keys[0]: line.sums.calls for line in spend(old, "run")} == {"aa": 2, "bb": 1}
    assert spend(old, "model").total.nusd == 3_000_000
    source = SqliteSource(old)
    source.hold()
    calls = [(call.nusd, call.offered, call.characters) for call in source.each(Question())]
    assert calls == [(1_000_000, (), None)] * 3
    assert [each.run for each in source.dearest(Question(), 5)] == ["aa", "bb"]
    assert [each.calls for each in source.repeated(Question())] == [3]
    assert list(source.repeated_tools(Question())) == []
    source.close()
    assert old.read_bytes() == before


def test_the_first_row_brings_an_old_store_forward(old: Path, tmp_path: Path) -> None:
    """The tables are those of a new store then, and nothing is lost."""
    writer = writer_of(old)
    writer.settled(a_call()._replace(run="cc", root="aa"))
    writer.close()
    new = tmp_path / "new.db"
    for table in ("writer", "dims", "call", "hour", "event", "toolset"):
        sql = f"SELECT name, type, \"notnull\", pk FROM pragma_table_info('{table}')"
        assert [tuple(row) for row in rows(old, sql)] == [tuple(row) for row in rows(new, sql)]
    assert rows(old, "PRAGMA user_version")[0][0] == schema.VERSION
    assert {line.keys[0]: line.sums.calls for line in spend(old, "run")} == {"aa": 3, "bb": 1}
    assert spend(old).total.nusd == 4_000_000


def test_the_first_version_says_that_it_is_too_old(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader and a writer of the first version, after this one has written a row."""
    writer = writer_of(old)
    writer.settled(a_call())
    writer.close()
    kept = shutil.copy(old, old.with_suffix(".kept"))
    monkeypatch.setattr(schema, "VERSION", 1)
    sentence = r"was written by a newer otel-agentcost \(schema 2; this one knows 1\): upgrade otel-agentcost here"
    with pytest.raises(schema.StoreError, match=sentence):
        SqliteSource(old)
    with pytest.raises(schema.StoreError, match=sentence):
        schema.open_for_writing(old)
    assert [tuple(row) for row in rows(old)] == [tuple(row) for row in rows(Path(kept))]
