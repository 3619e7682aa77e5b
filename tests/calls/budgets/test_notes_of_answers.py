"""The notes of answers that go on: what they keep, and what happens if the ledger loses or refuses one."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

import otel_agentcost
from otel_agentcost.guard.ledger import Amounts, Claim, LedgerError, Refusal, Standing
from otel_agentcost.guard.ledger.sqlite import SqliteLedger
from tests.calls.budgets.test_answers_elsewhere import (
    HOSTS,
    PROGRAMS,
    USD,
    Process,
    Provider,
    begin,
    claude,
    ledger,
    nano,
    provider,
    read_session,
    send,
)
from tests.integrations.sdks import test_anthropic_sessions, test_unfinished_answers
from tests.support.budgeted_calls import budgeted
from tests.support.call_shapes import warnings_of_ours
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

__all__ = ["ledger", "provider"]


def test_the_ledger_keeps_no_secret_of_the_address(
    telemetry: Telemetry, model_server: ModelServer, provider: Provider, tmp_path: Path
) -> None:
    """A user, a password and a query of the address of a gateway are for its eyes only."""
    del provider
    url = model_server.url.replace("http://", "http://bob:s3cret@") + "/v1?key=hush"
    settings: dict[str, Any] = {"budgets": "total:usd=1", "ledger": f"sqlite:///{tmp_path}/ledger.db"}
    with budgeted(telemetry, **settings), OpenAI(base_url=url, api_key="sk-hush", max_retries=0) as client:
        client.responses.create(**test_unfinished_answers.ASK)
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"resp_1" in written
    assert [secret for secret in (b"bob", b"s3cret", b"hush") if secret in written] == []


class Shaky(SqliteLedger):
    """A ledger that fails to keep a note as often as it is told, and may have kept it all the same."""

    failures = 0
    keeps = False
    down = False

    def swap_note(self, key: str, before: str | None, after: str | None, *, now: float, until: float) -> bool:
        self._check()
        if not self.failures:
            return super().swap_note(key, before, after, now=now, until=until)
        self.failures -= 1
        if self.keeps:
            super().swap_note(key, before, after, now=now, until=until)
        raise LedgerError("a moment of no connection")

    def find_note(self, key: str, *, now: float) -> str | None:
        self._check()
        return super().find_note(key, now=now)

    def reserve(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float, lease: float
    ) -> Refusal | None:
        self._check()
        return super().reserve(call_id, claims, amounts, now=now, lease=lease)

    def settle(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float
    ) -> Sequence[tuple[Claim, Standing]]:
        self._check()
        return super().settle(call_id, claims, amounts, now=now)

    def _check(self) -> None:
        if self.down:
            raise LedgerError("no connection")


def shaky(ledger: str) -> Shaky:
    return Shaky(Path(ledger.removeprefix("sqlite://")), 5)


def read(url: str, ledger: str) -> dict[str, Any]:
    """Read the answer in another process."""
    with Process(url, ledger) as worker:
        return worker.do("read u2")


def wait_for(done: Callable[[], bool]) -> None:
    for _ in range(400):
        if done():
            return
        time.sleep(0.02)


def notes(ledger: str) -> list[bytes]:
    connection = sqlite3.connect(ledger.removeprefix("sqlite:///"))
    exist = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'notes'").fetchone()
    found = [bytes(note) for (note,) in connection.execute("SELECT note FROM notes")] if exist else []
    connection.close()
    return found


def rewrite(ledger: str, note: bytes) -> None:
    connection = sqlite3.connect(ledger.removeprefix("sqlite:///"))
    connection.execute("UPDATE notes SET note = ?", (note,))
    connection.commit()
    connection.close()


@pytest.mark.parametrize("whole", [False, True], ids=["the note", "the creation"])
def test_a_note_is_left_later_if_the_ledger_does_not_answer(
    telemetry: Telemetry, model_server: ModelServer, provider: Provider, ledger: str, *, whole: bool
) -> None:
    """Without another call of this process. Budgets have the worst case, also if they could reserve nothing."""
    made = shaky(ledger)
    made.failures, made.down = 1, whole
    with budgeted(telemetry, budgets="user:usd=1", ledger=made), otel_agentcost.attribute(user="u1"):
        begin(model_server.url)
        made.down = False
        wait_for(lambda: nano(ledger) > 0 and bool(notes(ledger)))
        assert nano(ledger) > 1e9 * USD, "the worst case"
        provider.finish()
        assert read(model_server.url, ledger)["charged"] == ["u1"]
        assert nano(ledger) == round(1e9 * USD)


def test_a_call_leaves_the_notes_that_were_not_left(
    telemetry: Telemetry, model_server: ModelServer, provider: Provider, ledger: str
) -> None:
    """An `uninstrument` does, too."""
    made = shaky(ledger)
    made.failures = 1
    with budgeted(telemetry, budgets="user:usd=1", ledger=made), otel_agentcost.attribute(user="u1"):
        begin(model_server.url)
        time.sleep(1.1)  # the pause of the ledger
    provider.finish()
    assert read(model_server.url, ledger)["charged"] == ["u1"]


@pytest.mark.parametrize("elsewhere", [True, False], ids=["another process is first", "this process is first"])
def test_a_note_whose_confirmation_is_lost_is_charged_once(
    telemetry: Telemetry, model_server: ModelServer, provider: Provider, ledger: str, *, elsewhere: bool
) -> None:
    """The ledger tells which calls are charged."""
    made = shaky(ledger)
    made.failures, made.keeps = 1, True
    with budgeted(telemetry, budgets="user:usd=1", ledger=made), otel_agentcost.attribute(user="u1"):
        begin(model_server.url)
        provider.finish()
        charged = read(model_server.url, ledger)["usd"] if elsewhere else 0.0
        time.sleep(1.1)  # the pause of the ledger
        for _ in range(2):
            PROGRAMS["openai"].read(model_server.url)
        charged += telemetry.total("agentcost.cost")
        charged += read(model_server.url, ledger)["usd"]
    assert charged == pytest.approx(USD)
    assert nano(ledger) == round(1e9 * USD)


def test_in_doubt_an_answer_is_charged_when_the_ledger_answers(
    telemetry: Telemetry, model_server: ModelServer, provider: Provider, ledger: str
) -> None:
    """One that was read meanwhile, once, needs no second reading."""
    made = shaky(ledger)
    made.failures = 1
    with budgeted(telemetry, budgets="user:usd=1", ledger=made), otel_agentcost.attribute(user="u1"):
        begin(model_server.url)
        made.down = True
        provider.finish()
        PROGRAMS["openai"].read(model_server.url)
        assert telemetry.total("agentcost.cost") == 0
        made.down = False
        wait_for(lambda: telemetry.total("agentcost.cost") > 0)
    assert telemetry.total("agentcost.cost") == pytest.approx(USD)
    assert nano(ledger) == round(1e9 * USD)


def test_a_turn_of_a_session_whose_note_was_lost_is_charged(
    telemetry: Telemetry, model_server: ModelServer, provider: Provider, ledger: str
) -> None:
    """Its reading leaves the note first, so that the total does not go on without it."""
    del provider
    made = shaky(ledger)
    with budgeted(telemetry, budgets="user:usd=1", ledger=made), otel_agentcost.attribute(user="u1"):
        claude(model_server.url, lambda sessions: sessions.create(agent="agent_1", environment_id="env_1"))
        for number in (1, 2):
            made.failures = 1
            send(model_server.url)
            time.sleep(1.1)  # the pause of the ledger
            for _ in range(2):
                read_session(model_server.url)
            assert telemetry.total("agentcost.cost") == pytest.approx(number * test_anthropic_sessions.TURN)
    assert nano(ledger) == pytest.approx(2e9 * test_anthropic_sessions.TURN, abs=2)


@pytest.mark.parametrize(
    ("note", "stays"),
    [(b"{", False), (b"[]", False), (b'{"version":1,"turns":[{}]}', False), (b'{"version":99}', True)],
)
def test_a_note_that_cannot_be_read_is_named(
    telemetry: Telemetry, model_server: ModelServer, provider: Provider, ledger: str, note: bytes, *, stays: bool
) -> None:
    """A broken one is deleted, one of another version stays for it. Neither is in the way of a new answer."""
    settings: dict[str, Any] = {"budgets": "user:usd=1", "ledger": ledger}
    with budgeted(Telemetry(), **settings), otel_agentcost.attribute(user="u1"):
        begin(model_server.url)
    rewrite(ledger, note)
    provider.finish()
    with warnings_of_ours() as warned, budgeted(telemetry, **settings), otel_agentcost.attribute(user="u1"):
        PROGRAMS["openai"].read(model_server.url)
        assert telemetry.total("agentcost.cost") == 0
        (line,) = [line for line in warned if "note of an answer" in line]
        assert "cannot read" in line
        assert notes(ledger) == ([note] if stays else [])
        begin(model_server.url)
        PROGRAMS["openai"].read(model_server.url)
        assert telemetry.total("agentcost.cost") == pytest.approx(USD)
    assert not any("settling a batch" in line for line in warned)


@pytest.mark.parametrize("name", ["openai", "openai stream", "openai raw stream", "openai async stream"])
def test_without_a_shared_ledger_the_end_of_an_answer_is_named_too(
    telemetry: Telemetry, model_server: ModelServer, provider: Provider, name: str
) -> None:
    """A worker may read nothing but the finished answer, or a rest of its stream. Its own answers are not named."""
    settings: dict[str, Any] = {"budgets": "total:usd=1", "hosts": HOSTS}
    provider.finish()
    with warnings_of_ours() as warned, budgeted(telemetry, **settings):
        begin(model_server.url)
        for _ in range(2):
            PROGRAMS[name].read(model_server.url)
        assert telemetry.total("agentcost.cost") == pytest.approx(USD)
        assert not any("another process" in line for line in warned)
    with warnings_of_ours() as warned, budgeted(telemetry, **settings):
        PROGRAMS[name].read(model_server.url)
        assert len([line for line in warned if "another process has begun it" in line]) == 1
