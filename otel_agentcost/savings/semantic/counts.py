"""The counts of a rehearsal in a small SQLite file: numbers by day, place and outcome. No content, and no embeddings.

A row counts calls with one outcome, so that the file does not grow with the number of calls.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final, Literal, NamedTuple

from otel_agentcost.errors import AgentCostError

VERSION: Final = 1
APPLICATION: Final = 0x61677373
"""Marks the file as one of these ("agss")."""

FILE: Final = "semantic-shadow.db"
"""The name of the file, beside the store of the cache or of the spend."""

_TIMEOUT: Final = 2.0

_TABLES: Final = f"""
CREATE TABLE outcome (
    day INTEGER NOT NULL, feature TEXT NOT NULL, agent TEXT NOT NULL, model TEXT NOT NULL, what TEXT NOT NULL,
    similarity INTEGER NOT NULL, vetoed TEXT NOT NULL, served INTEGER NOT NULL, calls INTEGER NOT NULL,
    PRIMARY KEY (day, feature, agent, model, what, similarity, vetoed, served)
) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""
_ADD: Final = (
    "INSERT INTO outcome VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (day, feature, agent, model, what, similarity, vetoed, served) "
    "DO UPDATE SET calls = calls + excluded.calls"
)

What = Literal["right", "wrong", "unknown", "none", "failed", "dropped"]
"""A verdict; `none`: there was no candidate; `failed`: `embed` or `judge` raised; `dropped`: too many were waiting."""


class CountsError(AgentCostError):
    """The file cannot be read, or is another one. The text is one sentence."""


class Outcomes(NamedTuple):
    """The key of one row: where the calls were made, and what came of them."""

    day: int
    """Days since the epoch (UTC)."""
    feature: str
    agent: str
    model: str
    what: What
    similarity: int
    """In hundredths; 0 without a candidate."""
    vetoed: str
    """The reason of the veto; empty without one."""
    served: int
    """1 if the answer would have been served."""


class Counted(NamedTuple):
    """A row of the file."""

    of: Outcomes
    calls: int


def add(path: Path, counted: Mapping[Outcomes, int]) -> None:
    """Add counts to the file, which is made if it does not exist.

    Raises:
        CountsError: It is the database of another program.
        sqlite3.Error: It cannot be written.
        OSError: It cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # it has names of features and agents
    with closing(sqlite3.connect(path, timeout=_TIMEOUT, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in filter(None, map(str.strip, _TABLES.split(";"))):
                connection.execute(statement)
        _check(connection, path)
        connection.executemany(_ADD, [(*outcomes, calls) for outcomes, calls in counted.items()])
        connection.execute("COMMIT")


def read(path: Path, since: float | None = None, until: float | None = None) -> Iterable[Counted]:
    """Return the counts of a period, in whole days.

    Args:
        path: The file.
        since: The beginning, in seconds since the epoch; None for all.
        until: The end; None for now.

    Raises:
        CountsError: There is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise CountsError(
            f"There are no counts at {path}: set OTEL_AGENTCOST_CACHE=exact,semantic-shadow and "
            "OTEL_AGENTCOST_CACHE_EMBED=module:function where the calls are made."
        )
    first = int(since // 86_400) if since is not None else -(1 << 40)
    last = until / 86_400 if until is not None else float(1 << 40)
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, timeout=_TIMEOUT, uri=True)) as connection:
            _check(connection, path)
            rows = connection.execute("SELECT * FROM outcome WHERE day >= ? AND day < ?", (first, last)).fetchall()
    except sqlite3.Error as error:
        raise CountsError(f"The counts {path} cannot be read ({error}).") from error
    return [Counted(Outcomes(*row[:-1]), row[-1]) for row in rows]


def _check(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise CountsError(f"{path} is the database of another program: name another file.")
    if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
        raise CountsError(f"The counts {path} were written by another version of otel-agentcost: move the file away.")
