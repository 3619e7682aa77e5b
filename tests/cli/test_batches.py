"""`agentcost batches`: what it lists, what it settles, and where it sends credentials."""

from __future__ import annotations

from pathlib import Path

import pytest

import otel_agentcost
from otel_agentcost.cli import main
from otel_agentcost.guard.ledger import open_ledger
from tests.integrations.sdks.test_batches import PROGRAMS
from tests.support.batch_provider import BatchProvider
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

CREATED = ("openai", "anthropic", "gemini file")
USD = sum(PROGRAMS[name].usd for name in CREATED)


@pytest.fixture
def ledger(
    telemetry: Telemetry, model_server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, BatchProvider]:
    """A ledger in which another program has kept three batches that have not ended, and their provider."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    provider = model_server.responder = BatchProvider()
    with budgeted(telemetry, budgets="user:usd=1", ledger=url), otel_agentcost.attribute(user="u1"):
        for name in CREATED:
            PROGRAMS[name].create(model_server.url)
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(variable, "none")
    monkeypatch.setenv("OTEL_AGENTCOST_LEDGER", url)
    monkeypatch.setenv("OTEL_AGENTCOST_BUDGETS", "user:usd=1")
    return url, provider


def spent(url: str) -> int:
    ledger = open_ledger(url)
    nano = ledger.standing("user/all/u1", now=0).spent["nano_usd"]
    ledger.close()
    return nano


def test_open_batches_are_listed(ledger: tuple[str, BatchProvider], capsys: pytest.CaptureFixture[str]) -> None:
    """With whose they are; nothing is asked of a provider."""
    assert main(["batches"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["batch", "provider", "created", "whose", "model", "lines", "usd", "state"]
    assert [row.split()[0] for row in rows] == ["batch_1", "msgbatch_1", "batches/1"]
    assert all("u1" in row and row.endswith("open") for row in rows)


def test_settle_counts_once(
    ledger: tuple[str, BatchProvider],
    model_server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing while they run; the dollars of all, to the user who created them; nothing the second time."""
    url, provider = ledger
    monkeypatch.setenv("OPENAI_BASE_URL", f"{model_server.url}/v1/")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", model_server.url)
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", model_server.url)
    assert main(["batches", "settle"]) == 0
    assert [row.split()[-1] for row in capsys.readouterr().out.splitlines()[1:]] == [
        "in_progress", "in_progress", "JOB_STATE_RUNNING",
    ]  # fmt: skip
    provider.finish()
    assert main(["batches", "settle"]) == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines()[1:]]
    assert [(row[-3], row[-1]) for row in rows] == [("5", "settled")] * len(CREATED)
    assert [float(row[-2]) for row in rows] == pytest.approx([PROGRAMS[name].usd for name in CREATED])
    assert spent(url) == round(USD * 1e9)
    assert main(["batches", "settle"]) == 0
    assert capsys.readouterr().out == "No open batches.\n"
    assert spent(url) == round(USD * 1e9)


def test_credentials_go_to_no_address_of_the_ledger(
    ledger: tuple[str, BatchProvider], model_server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a batch was created at another address than that of the SDK, nothing is asked, unless the user says so."""
    url, provider = ledger
    provider.finish()
    before = len(model_server.requests)
    assert main(["batches", "settle"]) == 1
    assert len(model_server.requests) == before
    assert capsys.readouterr().out.count("pass --base-url") == 3
    assert main(["batches", "settle", "--base-url", model_server.url]) == 0
    assert spent(url) == round(USD * 1e9)


def test_the_user_of_an_address_is_taken_from_the_command_line(
    ledger: tuple[str, BatchProvider], model_server: ModelServer
) -> None:
    """The ledger does not keep it."""
    url, provider = ledger
    provider.finish()
    assert main(["batches", "settle", "--base-url", model_server.url.replace("http://", "http://bob:s3cret@")]) == 0
    assert spent(url) == round(USD * 1e9)


def test_a_ledger_in_memory_has_no_batches_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    """It says so, and which setting to change."""
    assert main(["batches"]) == 2
    assert "OTEL_AGENTCOST_LEDGER" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["batches", "--help"], ["batches", "settle", "--help"]])
def test_the_help_has_an_example(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """That can be copied."""
    with pytest.raises(SystemExit):
        main(words)
    assert "agentcost batches settle" in " ".join(capsys.readouterr().out.split())
