"""What every shared ledger does with notes. Derive together with `LedgerContract`, which has the fixture `ledger`."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

from otel_agentcost.core.notes import NoteVerbs, keeps_notes
from otel_agentcost.guard.ledger import GRACE, Ledger, open_ledger
from tests.guard.ledger.calls import NOW
from tests.guard.ledger.shared_contract import worker

UNTIL = NOW + 86400
HOSTILE = "openai {agentcost}:note:*\r\n\x00\ud800'\"; DROP TABLE notes; -- é🜚"


def notes_of(ledger: object) -> NoteVerbs:
    assert keeps_notes(ledger)
    return ledger


def put(notes: NoteVerbs, key: str, before: str | None, after: str | None, now: float = NOW) -> bool:
    return notes.swap_note(key, before, after, now=now, until=UNTIL)


class NotesContract:
    """The tests of one kind of ledger."""

    def test_a_note_is_replaced_only_as_it_is(self, ledger: Ledger) -> None:
        """It is made, changed and taken by those who know what it is."""
        notes = notes_of(ledger)
        for key in ("openai resp_1", HOSTILE):
            assert notes.find_note(key, now=NOW) is None
            assert not put(notes, key, "anything", "new")
            assert put(notes, key, None, HOSTILE)
            assert not put(notes, key, None, "again")
            assert not put(notes, key, "other", "again")
            assert notes.find_note(key, now=NOW) == HOSTILE
            assert put(notes, key, HOSTILE, "second")
            assert not put(notes, key, HOSTILE, None)
            assert put(notes, key, "second", None)
            assert not put(notes, key, "second", None)
            assert notes.find_note(key, now=NOW) is None
            assert put(notes, key, None, None)

    def test_one_of_many_threads_takes_a_note(self, ledger: Ledger) -> None:
        """Whoever takes it charges the answer."""
        notes, barrier = notes_of(ledger), threading.Barrier(8)
        put(notes, "openai resp_1", None, "mine")

        def take(_: int) -> bool:
            barrier.wait()
            return put(notes, "openai resp_1", "mine", None)

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(take, range(8))) == 1

    def test_many_processes_take_each_note_once(self, url: str, ledger: Ledger) -> None:
        """Four processes at once, each for all of a hundred notes."""
        notes = notes_of(ledger)
        for number in range(100):
            put(notes, f"note {number}", None, "mine")
        started = [worker(url, "notes", str(i)) for i in range(4)]
        processes = [each.__enter__() for each in started]
        assert sum(json.loads(process.communicate(timeout=60)[0]) for process in processes) == 100

    def test_another_process_finds_a_note(self, url: str, ledger: Ledger) -> None:
        """Also after the first one has closed the ledger."""
        put(notes_of(ledger), "openai resp_1", None, "mine")
        ledger.close()
        other = open_ledger(url)
        assert notes_of(other).find_note("openai resp_1", now=NOW) == "mine"
        other.close()


def check_is_forgotten(ledger: Ledger) -> None:
    """A note is forgotten after its end, where the ledger does not leave that to a server's clock."""
    notes = notes_of(ledger)
    put(notes, "openai resp_1", None, "mine")
    assert notes.find_note("openai resp_1", now=UNTIL + GRACE - 1) == "mine"
    assert notes.find_note("openai resp_1", now=UNTIL + GRACE) is None
    assert put(notes, "openai resp_1", None, "yours", now=UNTIL + GRACE)
