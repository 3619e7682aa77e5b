"""The writer: what is in a row, when it is on disk, and what happens while the file cannot be written."""

from __future__ import annotations

import _thread
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from otel_agentcost.core import semconv
from otel_agentcost.core.usage import Tokens
from otel_agentcost.diagnostics import forget_causes
from otel_agentcost.store import fingerprints, schema
from otel_agentcost.store.rows import counts_of
from otel_agentcost.store.writer import BATCH, MOST, Writer
from tests.store.recorded import a_call, nano, rows, spend, writer_of
from tools.documents import ROOT


@pytest.fixture(autouse=True)
def anew() -> None:
    """Each cause of a warning is new."""
    forget_causes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is not there yet, in a folder that is not there either."""
    return tmp_path / "data" / "spend.db"


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    """A writer of that file."""
    made = writer_of(path)
    yield made
    made.close()


def wait_until(condition: object, seconds: float = 20.0) -> None:
    """Wait until the function `condition` returns something true."""
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    assert condition()


def test_a_row_has_everything_but_the_content(writer: Writer, path: Path) -> None:
    """Tokens by type, price, book, terms, attribution, ids and fingerprints; no word of the prompt."""
    who = {semconv.AGENT: "bees", semconv.USER: "u1", semconv.TEAM: "search", semconv.CONVERSATION: "c1"}
    call = a_call(Decimal("0.0012345678"), who=who, messages=["A secret of the prompt"])
    assert call.answer is not None
    writer.settled(call._replace(answer=call.answer._replace(terms=(("service_tier", "flex"),)), run="ab" * 8))
    writer.close()
    (row,) = rows(path)
    assert (row["nusd"], row["input"], row["output"], row["ms"], row["stop"]) == (1_234_568, 100, 50, 250, "stop")
    assert (row["requested"], row["served"]) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
    assert (row["price"], row["book"], row["terms"]) == ("openai/gpt-4o-mini", "book of today", "service_tier=flex")
    assert (row["agent"], row["user"], row["team"], row["conversation"]) == ("bees", "u1", "search", "c1")
    assert (row["trace"], row["span"], row["run"]) == ((7).to_bytes(16, "big"), (3).to_bytes(8, "big"), b"\xab" * 8)
    assert (len(row["request"]), len(row["segments"]), row["source"]) == (8, 10, "list")
    assert b"secret" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0, "nobody else may read names of users"


def test_a_file_that_exists_keeps_its_permissions(writer: Writer, path: Path) -> None:
    """Its owner may have given it to others, such as a dashboard of another user."""
    path.parent.mkdir()
    path.touch(0o644)
    path.chmod(0o644)
    writer.settled(a_call(Decimal("0.001")))
    writer.close()
    assert len(rows(path)) == 1
    assert path.stat().st_mode & 0o777 == 0o644


def test_every_token_comes_back_as_it_was_counted(writer: Writer, path: Path) -> None:
    """The sums say it for plain usage, and `units` for any other."""
    plain = {"input_tokens": 10, "cache_read_tokens": 5, "output_tokens": 3, "output_reasoning_tokens": 2}
    rare = {"input_tokens": 10, "cache_write_1h_tokens": 7, "input_audio_seconds": Decimal("1.5"), "web_searches": 2}
    for counts in (plain, rare):
        writer.settled(a_call(counts=counts))
    writer.close()
    found = [
        counts_of(
            Tokens(row["input"], row["output"], row["cache_read"], row["cache_write"], row["reasoning"]), row["units"]
        )
        for row in rows(path)
    ]
    assert found == [plain, rare]


def test_a_row_is_on_disk_within_a_second(writer: Writer, path: Path) -> None:
    """No other call, and no end of the process, has to push it."""
    writer.settled(a_call())
    began = time.monotonic()
    wait_until(lambda: path.exists() and rows(path, "SELECT 1 FROM sqlite_master") and rows(path))
    assert time.monotonic() - began < 5  # of a busy machine; the file has the moment itself


def test_many_rows_go_together(writer: Writer, path: Path) -> None:
    """A full batch does not wait, and hours have the same sums as calls."""
    for number in range(5 * BATCH):
        writer.settled(a_call(who={semconv.USER: f"u{number % 3}"}))
    assert writer.flush(last=True)
    assert len(rows(path)) == 5 * BATCH
    assert nano(path) == rows(path, "SELECT sum(nusd) AS nusd FROM hour")[0]["nusd"] == 5 * BATCH * 1_000_000
    assert len(rows(path, "SELECT * FROM dims")) == 3


def test_a_prompt_that_grows_is_kept_once(writer: Writer, path: Path) -> None:
    """A row has the new segments only, and says which row the others are those of."""
    for length in (1, 3, 5):
        writer.settled(a_call(messages=["a", "b", "c", "d", "e"][:length]))
    writer.settled(a_call(messages=["a", "X", "c"]))
    writer.close()
    segments: dict[int, tuple[bytes, ...]] = {}
    found = rows(path, "SELECT id, base, segments FROM call ORDER BY id")
    for row in found:
        segments[row["id"]] = fingerprints.unpacked(row["segments"], segments.get(row["base"], ()))
    assert [len(each) for each in segments.values()] == [1, 3, 5, 3]
    assert segments[3][:3] == segments[2]
    assert (segments[4][0], segments[4][2]) == (segments[3][0], segments[3][2])
    assert segments[4][1] != segments[3][1]
    assert [len(row["segments"]) for row in found] == [10, 18, 18, 18]


def test_equal_requests_have_equal_fingerprints(writer: Writer, path: Path) -> None:
    """Whatever the order of their parameters; another message makes another fingerprint."""
    for call in (a_call(), a_call(trace=8), a_call(messages=["Bye"])):
        writer.settled(call)
    writer.close()
    first, second, third = (row["request"] for row in rows(path))
    assert first == second != third
    assert fingerprints.of({"a": 1, "b": 2}) == fingerprints.of({"b": 2, "a": 1, "stream": True})
    assert fingerprints.of({"messages": [object()]}) is None


def test_the_application_may_change_its_messages(writer: Writer, path: Path) -> None:
    """What it appends after the call belongs to the next one."""
    call = a_call()
    assert call.call is not None
    writer.settled(call)
    call.call.body["messages"].append({"role": "user", "content": "more"})
    writer.settled(a_call())
    writer.close()
    assert len({row["request"] for row in rows(path)}) == 1


def test_names_of_any_form_are_kept(writer: Writer, path: Path) -> None:
    """Halves of surrogate pairs and endless names, too: they are cut, and nothing fails."""
    writer.settled(a_call(who={semconv.USER: "half \ud83d", semconv.AGENT: "x" * 5000}))
    writer.close()
    (row,) = rows(path)
    assert (row["user"], len(row["agent"])) == ("half ?", 500)


# --- a file that cannot be written ---


def test_a_locked_file_loses_nothing(writer: Writer, path: Path) -> None:
    """Rows wait while another process writes for long."""
    writer.settled(a_call())
    writer.flush(last=True)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer.settled(a_call())
    assert not writer.flush(last=True)
    other.execute("COMMIT")
    other.close()
    assert writer.flush(last=True)
    assert len(rows(path)) == 2


def test_a_file_that_cannot_be_made_is_said_once_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The application goes on; rows beyond the bound are counted as dropped."""
    dropped: list[int] = []
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    writer = writer_of(tmp_path / "file" / "spend.db", dropped=dropped.append)
    for _ in range(MOST + 50):
        writer.settled(a_call())
    writer.close()
    assert sum(dropped) == MOST + 50
    assert len([record for record in caplog.records if "spend store" in record.message]) == 1
    assert "up to 10,000 rows wait in memory" in caplog.text


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("PRAGMA user_version = 9", "was written by a newer otel-agentcost (schema 9; this one knows 2)"),
        ("PRAGMA application_id = 5", "is the database of another program"),
    ],
)
def test_a_file_of_others_is_left_alone(
    path: Path, caplog: pytest.LogCaptureFixture, statement: str, said: str
) -> None:
    """One sentence, everything is counted as dropped, and the file stays as it is."""
    dropped: list[int] = []
    writer = writer_of(path, dropped=dropped.append)
    writer.settled(a_call())
    writer.flush(last=True)
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.close()
    other = writer_of(path, dropped=dropped.append)
    for _ in range(3):
        other.settled(a_call())
        other.flush(last=True)
    other.close()
    assert said in caplog.text
    assert "NOTHING IS RECORDED" in caplog.text
    assert (sum(dropped), len(rows(path))) == (3, 1)


def test_a_store_that_another_version_brings_forward_is_left_alone_from_then_on(writer: Writer, path: Path) -> None:
    """A process that is open all the while notices it with its next transaction."""
    writer.settled(a_call())
    writer.flush(last=True)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 3")
    connection.close()
    writer.settled(a_call())
    writer.flush(last=True)
    assert len(rows(path)) == 1


def test_older_tables_are_brought_forward(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version by version, in one transaction, with the rows that are there."""
    writer = writer_of(path)
    writer.settled(a_call())
    writer.close()
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 2)
    later = {schema.VERSION - 2: "ALTER TABLE call ADD x", schema.VERSION - 1: "ALTER TABLE call ADD y"}
    monkeypatch.setattr(schema, "MIGRATIONS", later)
    with pytest.raises(schema.StoreError, match="has the tables of an older otel-agentcost"):
        spend(path)
    writer = writer_of(path)
    writer.settled(a_call())
    writer.close()
    assert [(row["nusd"], row["x"], row["y"]) for row in rows(path)] == [(1_000_000, None, None)] * 2


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_file_that_is_read_only_is_said_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The application goes on."""
    writer = writer_of(path)
    writer.settled(a_call())
    writer.close()
    path.chmod(0o400)
    writer.settled(a_call())
    writer.close()
    assert "the spend store cannot be written" in caplog.text


# --- processes ---

CHILD = """
import sys, time
from pathlib import Path
from tests.store.recorded import a_call, writer_of
writer = writer_of(Path(sys.argv[1]))
{}
"""


def child(path: Path, code: str) -> subprocess.Popen[str]:
    """A process with a writer of its own."""
    command = [sys.executable, "-c", CHILD.format(code), str(path)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_process_loses_at_most_the_last_second(path: Path) -> None:
    """And never the file: what is there is whole."""
    code = """
number = 0
while True:
    writer.settled(a_call())
    number += 1
    print(number, time.time(), flush=True)
    time.sleep(0.002)
"""
    process = child(path, code)
    wait_until(lambda: path.exists() and rows(path, "SELECT 1 FROM sqlite_master") and len(rows(path)) > 100)
    process.send_signal(signal.SIGKILL)
    killed = time.time()
    lines = [line.split() for line in process.communicate()[0].splitlines() if line.count(" ") == 1]
    assert rows(path, "PRAGMA integrity_check")[0][0] == "ok"
    on_disk = len(rows(path))
    lost = [float(at) for number, at in lines if int(number) > on_disk]
    assert all(killed - at < 2.0 for at in lost), "a busy machine may be slower than a second"
    assert nano(path) == rows(path, "SELECT sum(nusd) AS nusd FROM hour")[0]["nusd"]


def test_three_processes_write_one_file(path: Path) -> None:
    """Not a row is lost, and the sums are exact."""
    code = "for _ in range(1000): writer.settled(a_call())\nwriter.close()"
    processes = [child(path, code) for _ in range(3)]
    for process in processes:
        assert process.communicate(timeout=120)[1] == ""
    assert len(rows(path)) == 3000
    assert nano(path) == rows(path, "SELECT sum(nusd) AS nusd FROM hour")[0]["nusd"] == 3_000_000_000
    assert len(rows(path, "SELECT * FROM writer")) == 3


def test_a_fork_writes_its_own_rows(path: Path) -> None:
    """The parent writes what waited before, once; the child starts with nothing."""
    code = """
import os
for _ in range(5): writer.settled(a_call())
pid = os.fork()
for _ in range(10 if pid == 0 else 3): writer.settled(a_call())
writer.close()
if pid: os.waitpid(pid, 0)
"""
    assert child(path, code).communicate(timeout=60)[1] == ""
    assert len(rows(path)) == 18


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="this system has no limit of a file's size")
def test_a_full_disk_stops_nothing(path: Path) -> None:
    """One sentence on standard error, and the file that is there stays whole."""
    code = """
import logging, resource, signal
logging.basicConfig()
for _ in range(300): writer.settled(a_call())
writer.flush(last=True)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for _ in range(3000): writer.settled(a_call())
writer.close()
print("the application goes on")
"""
    out, err = child(path, code).communicate(timeout=60)
    assert out == "the application goes on\n"
    assert err.count("the spend store cannot be written") == 1
    assert rows(path, "PRAGMA integrity_check")[0][0] == "ok"
    assert nano(path) == rows(path, "SELECT sum(nusd) AS nusd FROM hour")[0]["nusd"]


def test_the_database_of_another_program_is_not_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not even its journal, which stays in the file."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE theirs (a)")
    before = path.read_bytes()
    writer = writer_of(path)
    writer.settled(a_call())
    writer.close()
    assert path.read_bytes() == before
    assert "is the database of another program" in caplog.text


def test_a_program_whose_threads_gevent_replaces_later_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that waits would be a greenlet there, and nothing else would run: calls write what waits themselves."""
    path = tmp_path / "spend.db"
    writer = writer_of(path)
    monkeypatch.setattr(_thread, "start_new_thread", lambda *_: pytest.fail("a thread was started"))
    writer.settled(a_call())
    assert len(rows(path)) == 1
    for _ in range(3):
        writer.settled(a_call())
    writer.close()
    assert len(rows(path)) == 4
