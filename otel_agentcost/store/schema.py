"""The tables of a store in SQLite: how they are made, found, brought forward, and refused if they are of the future.

`dims` holds each combination of what calls are grouped by, once, and `toolset` each list of tools that requests offer.
`call` has a row for each charged call, for some weeks. `hour` has the sums of each hour and combination, for good. A
row goes into `call` and `hour` in one transaction, so that both always say the same. `event` has loops, refusals and
adjustments, as long as calls.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from otel_agentcost.errors import AgentCostError
from otel_agentcost.store.questions import DIMS

VERSION: Final = 2
"""Version of the tables below."""

APPLICATION: Final = 0x61677331
"""Marks the file as a store ("ags1"), so that nothing is written into the database of another program."""

PATIENCE: Final = 2.0
"""Seconds to wait for the transactions of other processes."""

SUMS: Final = (
    "calls",
    "tools",
    "priced",
    "unpriced",
    "nusd",
    "input",
    "cache_read",
    "cache_write",
    "output",
    "reasoning",
    "saved",
)
"""The columns of `hour` that are sums. `input` includes what a cache has read and written, `output` the reasoning."""

_TABLES: Final = f"""
CREATE TABLE writer (id INTEGER PRIMARY KEY, session TEXT NOT NULL, pid INTEGER NOT NULL, began INTEGER NOT NULL);
CREATE TABLE dims (
    id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, {", ".join(f"{name} TEXT NOT NULL" for name in DIMS)}
);
CREATE TABLE call (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, dims INTEGER NOT NULL, writer INTEGER NOT NULL,
    calls INTEGER NOT NULL, resolves INTEGER NOT NULL, nusd INTEGER, saved INTEGER,
    input INTEGER, cache_read INTEGER, cache_write INTEGER, output INTEGER, reasoning INTEGER, units TEXT,
    ms INTEGER, stop TEXT, conversation TEXT, run BLOB, trace BLOB, span BLOB,
    request BLOB, base INTEGER, segments BLOB, root BLOB, characters INTEGER, tools INTEGER
);
CREATE TABLE toolset (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, definitions TEXT NOT NULL);
CREATE INDEX call_at ON call (at);
CREATE TABLE hour (
    hour INTEGER NOT NULL, dims INTEGER NOT NULL, {", ".join(f"{name} INTEGER NOT NULL" for name in SUMS)},
    PRIMARY KEY (hour, dims)
) WITHOUT ROWID;
CREATE TABLE event (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, writer INTEGER NOT NULL, kind TEXT NOT NULL, what TEXT NOT NULL,
    agent TEXT NOT NULL, nusd INTEGER, trace BLOB
);
CREATE INDEX event_at ON event (at);
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""

MIGRATIONS: dict[int, str] = {
    1: """
ALTER TABLE call ADD COLUMN root BLOB;
ALTER TABLE call ADD COLUMN characters INTEGER;
ALTER TABLE call ADD COLUMN tools INTEGER;
CREATE TABLE toolset (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, definitions TEXT NOT NULL);
""",
}
"""The statements that bring tables of a version forward to the next one, by that version."""

_READ_AS: Final = {
    1: """
CREATE TEMP VIEW call AS SELECT *, NULL AS root, NULL AS characters, NULL AS tools FROM main.call;
CREATE TEMP TABLE toolset (id INTEGER PRIMARY KEY, digest BLOB, definitions TEXT);
""",
}
"""The statements by which a reader sees tables of an older version like those of this one, by that version. A file that
is only read is not changed.
"""


class StoreError(AgentCostError):
    """A store cannot be opened, read or written. The text is one sentence that says why, and what to do."""


class Address(NamedTuple):
    """The parts of a store's URL."""

    path: Path
    session: str
    """The name that the rows of these processes get, so that a reader finds them again."""
    seconds: float | None
    """The longest time that a row waits in memory; None for the default."""


_PARAMETERS: Final = re.compile(r"\?((?:session|seconds)=[^?&]*(?:&(?:session|seconds)=[^?&]*)*)\Z")
"""The parameters of `Address` at the end of a URL. Any other `?` is part of the path."""


def parse_url(url: str) -> Address:
    """Return the parts of `sqlite:///path/to/file`. Four slashes begin an absolute path, and `?` may be part of it.

    Raises:
        StoreError: The URL names no file.
    """
    scheme, _, rest = url.partition("://")
    parameters = _PARAMETERS.search(rest)
    rest, query = (rest[: parameters.start()], parameters[1]) if parameters is not None else (rest, "")
    if scheme.lower() != "sqlite" or not rest.startswith("/") or rest in ("/", "/:memory:"):
        raise StoreError(
            f"The store {url!r:.120} names no file: write sqlite:///relative/path or sqlite:////absolute/path."
        )
    if os.name != "nt" and re.match(r"/[A-Za-z]:[\\/]", rest):  # a file of that name would be made
        raise StoreError(f"The store {url!r:.120} is in a path of Windows, and this system is not.")
    given = dict(parse_qsl(query))
    try:
        seconds = float(given["seconds"]) if "seconds" in given else None
        path = Path(rest[1:]).expanduser().absolute()  # now: a program may change its directory before its first call
    except (ValueError, RuntimeError) as error:
        raise StoreError(f"The store {url!r:.120} cannot be understood ({error}).") from error
    return Address(path, given.get("session", ""), seconds)


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open the store in the file `path`, made if it does not exist, and brought forward if it is older.

    Raises:
        StoreError: The file is no store, or one of a newer version.
        sqlite3.Error: The file cannot be opened or written.
        OSError: It cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # It has names of users: nobody else may read it. The files that SQLite adds get the same permissions.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if _has_tables_of_another(path):
        raise other(path)
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        _keep_a_log(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION or not _is_store(connection):
            _bring_forward(connection, path)
    except BaseException:  # of others too: no connection stays open
        connection.close()
        raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the store in the file `path`, which is not changed.

    Raises:
        StoreError: There is no such file, it is no store, or it is one of another version.
    """
    if not path.is_file():
        raise StoreError(
            f"There is no store at {path}: set OTEL_AGENTCOST_RECORD=sqlite:///{path} for the programs whose spend it "
            "shall hold, or start one with `agentcost run`."
        )
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout=PATIENCE, uri=True)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.OperationalError:  # in a folder that is read-only, SQLite cannot keep its notes beside the file
            connection.close()
            connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        known = _is_store(connection)
    except sqlite3.Error as error:
        raise StoreError(f"The store {path} cannot be read ({error}).") from error
    if not known:
        connection.close()
        raise StoreError(f"{path} is no store of otel-agentcost: name the file that OTEL_AGENTCOST_RECORD names.")
    if version != VERSION:
        statements = _READ_AS.get(version)
        if statements is None:
            connection.close()
            raise newer(path, version) if version > VERSION else older(path, version)
        _execute(connection, statements)
    return connection


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise `StoreError` if another process has brought the open store forward to a version that is not known here."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != VERSION:
        raise newer(path, version)


def newer(path: Path, version: int) -> StoreError:
    """Return the error for a store of a newer version."""
    return StoreError(
        f"The store {path} was written by a newer otel-agentcost (schema {version}; this one knows {VERSION}): upgrade "
        "otel-agentcost here, or use another file."
    )


def older(path: Path, version: int) -> StoreError:
    """Return the error for reading a store of an older version: reading changes nothing."""
    return StoreError(
        f"The store {path} has the tables of an older otel-agentcost (schema {version}; this one knows {VERSION}): "
        "they are brought forward when a program records into it."
    )


def other(path: Path) -> StoreError:
    """Return the error for the database of another program, which is not changed."""
    return StoreError(f"{path} is the database of another program: name a file of its own for the spend.")


def _keep_a_log(connection: sqlite3.Connection) -> None:
    """Set the journal mode. SQLite does not wait by itself here, while another process makes the file."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:  # noqa: PERF203 (once a file)
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _has_tables_of_another(path: Path) -> bool:
    """Return True if the file is the database of another program, by its first page (https://sqlite.org/fileformat2).

    SQLite is not asked: what it reads, it locks, and another process may be making this store.
    """
    with path.open("rb") as file:
        head = file.read(108)
    if len(head) < 108 or not head.startswith(b"SQLite format 3\0"):
        return False
    return int.from_bytes(head[68:72], "big") != APPLICATION and int.from_bytes(head[103:105], "big") > 0


def _is_empty(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0)


def _is_store(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION)


def _bring_forward(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or bring them forward, in one transaction: of two processes, one does it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if _is_empty(connection):
            _execute(connection, _TABLES)
            version = VERSION
        elif not _is_store(connection):
            raise other(path)  # noqa: TRY301 (the transaction is rolled back)
        if version > VERSION:
            raise newer(path, version)  # noqa: TRY301 (the same)
        while version < VERSION:
            _execute(connection, MIGRATIONS[version])
            version += 1
            connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
    except BaseException:  # of others too: no transaction stays open
        connection.execute("ROLLBACK")
        raise


def _execute(connection: sqlite3.Connection, statements: str) -> None:
    for statement in filter(None, map(str.strip, statements.split(";"))):  # `executescript` would commit first
        connection.execute(statement)
