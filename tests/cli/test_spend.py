"""`agentcost spend` and `agentcost budgets`: the same figures in every form, and one sentence for what is wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

import otel_agentcost
from otel_agentcost.cli import budgets, main
from otel_agentcost.cli import spend as spend_command
from otel_agentcost.core import semconv
from tests.store.recorded import a_call, url_of, writer_of
from tests.support.budgeted_calls import USD as PRICE
from tests.support.budgeted_calls import answering, ask, budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.support.openai_call import client as local
from tests.support.redis_server import Server
from tests.support.replies import chat_stream
from tools.documents import ROOT

USD = Decimal(repr(PRICE))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with calls of two agents, one of them unpriced."""
    path = tmp_path / "spend.db"
    writer = writer_of(path)
    for number in range(4):
        writer.settled(a_call(Decimal("0.25"), who={semconv.AGENT: f"a{number % 2}", semconv.USER: "=1+1"}))
    writer.settled(a_call(None, who={semconv.AGENT: "a1"}, model="inert", unpriced="nobody knows inert"))
    writer.settled(a_call(None, who={semconv.AGENT: "a2\x1b[31m"}, model="inert", unpriced="nobody knows inert"))
    writer.close()
    monkeypatch.setenv("OTEL_AGENTCOST_RECORD", url_of(path))
    return path


@pytest.mark.usefixtures("store")
def test_the_table_adds_up_and_says_what_is_unpriced(capsys: pytest.CaptureFixture[str]) -> None:
    """Dollars that are not known are no zero, and names do nothing to the terminal."""
    assert main(["spend", "--by", "agent,model"]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["agent", "model", "calls", "tools", "input", "cached", "output", "dollars"]
    assert lines[1][:2] == ["a0", "gpt-4o-mini-2024-07-18"]
    assert lines[1][-1] == "$0.500000"
    assert [line[-1] for line in lines if line[:2] == ["a1", "inert-2024-07-18"]] == ["unpriced"]
    assert lines[5] == ["total", "6", "0", "600", "0", "300", ">=$1.000000"]
    assert out.endswith("unpriced: 2 calls: nobody knows inert\n")
    assert "\x1b" not in out


@pytest.mark.usefixtures("store")
def test_every_form_has_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has null, and CSV an empty cell, where dollars are not known; a spreadsheet gets no formula."""
    assert main(["spend", "--by", "agent", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(line["agent"], line["usd"], line["unpriced_calls"]) for line in found["lines"]] == [
        ("a0", 0.5, 0),
        ("a1", 0.5, 1),
        ("a2\x1b[31m", None, 1),
    ]
    assert (found["total"]["nano_usd"], found["unpriced"]) == (10**9, {"nobody knows inert": 2})
    assert main(["spend", "--by", "agent,user", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert sorted(row["usd"] for row in rows) == ["", "", "0.5", "0.5"]
    assert {row["user"] for row in rows} == {"'=1+1", ""}


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "agnet"], "'agnet' is no grouping; did you mean agent?"),
        (["--by", ","], "No grouping is named in ','. There are hour, day"),
        (["--since", "soon"], "'soon' is no time: write today"),
        (["--since", "today", "--until", "2020-01-01"], "There is no time between"),
        (["--since", "2020-01-01", "--until", "2020-01-31"], "No call is recorded since 2020-01-01 until 2020-01-31"),
        (["--source", "sqlite:////nowhere/spend.db"], "There is no store at /nowhere/spend.db"),
        (["--source", "sqlite:///"], "names no file"),
        (["--source", "mysql://host"], "is no source of spend"),
    ],
)
def test_what_is_wrong_is_one_sentence(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """That says what is allowed; exit code 2, and nothing on standard output."""
    assert main(["spend", *arguments]) == 2
    streams = capsys.readouterr()
    assert said in streams.err
    assert (streams.out, streams.err.count("\n")) == ("", 1)


def test_a_file_that_is_no_store_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not changed."""
    file = tmp_path / "notes.txt"
    file.write_text("no database" * 100, encoding="utf-8")
    assert main(["spend", "--source", url_of(file)]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == "no database" * 100


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("command", [spend_command, budgets])
def test_the_example_of_the_help_works(
    command: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it stands there."""
    monkeypatch.setenv("OTEL_AGENTCOST_LEDGER", url_of(tmp_path / "ledger.db"))
    monkeypatch.setenv("OTEL_AGENTCOST_BUDGETS", "total/day:usd=5")
    example: str = getattr(command, "EXAMPLE")  # noqa: B009 (two modules)
    assert main(example.removeprefix("Example: agentcost ").split()) == 0
    assert capsys.readouterr().out


# --- budgets ---


def test_budgets_shows_what_the_ledger_has(
    telemetry: Telemetry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of each user, in dollars and calls; also what has not spent anything."""
    rules, ledger = "user/day:usd=1,calls=10;total/month:usd=50;agent=quiet:usd=2", url_of(tmp_path / "ledger.db")
    with budgeted(telemetry, budgets=rules, ledger=ledger), otel_agentcost.attribute(user="u1"):
        ask(local())
        (usd, calls, total) = otel_agentcost.remaining(user="u1")
        assert (usd.budget, usd.unit, usd.spent, usd.left) == ("user/day:usd=1,calls=10", "usd", USD, 1 - USD)
        assert (calls.unit, calls.spent, calls.reserved, calls.left) == ("calls", 1, 0, 9)
        assert usd.resets_at is not None
        assert (total.scope, total.left) == ("total", 50 - USD)
        assert otel_agentcost.remaining(user="u2")[0].spent == 0
    monkeypatch.setenv("OTEL_AGENTCOST_BUDGETS", rules)
    monkeypatch.setenv("OTEL_AGENTCOST_LEDGER", ledger)
    assert otel_agentcost.remaining(user="u1")[0].spent == USD
    assert main(["budgets"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    found = {tuple(line[:3]): line[3:7] for line in lines[1:]}
    assert found["user/day:usd=1,calls=10", "u1", "calls"] == ["1", "0", "9", "10"]
    assert found["agent=quiet:usd=2", "quiet", "usd"] == ["$0.000000", "$0.000000", "$2.000000", "$2.000000"]
    assert main(["budgets", "--format", "json"]) == 0
    assert {each["scope"] for each in json.loads(capsys.readouterr().out)} == {"user", "total", "agent"}


def test_budgets_reads_the_accounts_of_redis(
    telemetry: Telemetry,
    redis_server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of users that no rule names, too: their keys are listed."""
    redis_server.empty()
    rules = "user/day:usd=1;agent/month:calls=9;total:usd=50"
    with budgeted(telemetry, budgets=rules, ledger=redis_server.url, ledger_timeout=5):
        for user in ("u1", "u2 of: a/b*"):
            with otel_agentcost.attribute(user=user, agent="bees"):
                ask(local())
    monkeypatch.setenv("OTEL_AGENTCOST_BUDGETS", rules)
    monkeypatch.setenv("OTEL_AGENTCOST_LEDGER", redis_server.url)
    assert main(["budgets", "--format", "json"]) == 0
    found = {(each["scope"], each["value"]): each["spent"] for each in json.loads(capsys.readouterr().out)}
    assert found == {
        ("user", "u1"): float(USD),
        ("user", "u2 of: a/b*"): float(USD),
        ("agent", "bees"): 2,
        ("total", ""): float(2 * USD),
    }


def test_watch_shows_the_budgets_again_until_it_is_stopped(telemetry: Telemetry, tmp_path: Path) -> None:
    """With what was spent meanwhile; Ctrl-C ends it as any command."""
    url = url_of(tmp_path / "ledger.db")
    environment = {**os.environ, "OTEL_AGENTCOST_BUDGETS": "total:calls=9", "OTEL_AGENTCOST_LEDGER": url}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "tests.cli.agentcost", "budgets", "--watch", "--format", "csv"]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=pipe,
            stderr=pipe,
            text=True,
            # A job in the background ignores it, and so would this process.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (sets a handler alone)
        ) as watch,
        budgeted(telemetry, budgets="total:calls=9", ledger=url),
    ):
        assert watch.stdout is not None
        spent: list[str] = []
        for line in watch.stdout:
            if line.startswith("budget,"):
                continue
            spent.append(line.split(",")[5])
            if spent[-1] == "1":
                break
            if len(spent) == 1:
                ask(local())
        watch.send_signal(signal.SIGINT)
        _, err = watch.communicate(timeout=120)
    assert spent[0] == "0"
    assert watch.returncode == 130
    assert "Traceback" not in err


def test_a_reservation_is_shown_while_its_call_is_in_flight(telemetry: Telemetry, model_server: ModelServer) -> None:
    """In memory, too: of this process."""
    answering(model_server, lambda _request: chat_stream())
    with budgeted(telemetry, budgets="total:usd=1"), client(model_server) as made:
        stream = ask(made, stream=True)
        (budget,) = otel_agentcost.remaining()
        assert budget.reserved > 0
        assert budget.left == budget.limit - budget.reserved
        stream.close()
        assert otel_agentcost.remaining()[0].reserved == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "No budget is set: set OTEL_AGENTCOST_BUDGETS"),
        ({"BUDGETS": "total:usd=1"}, "The ledger 'memory://' is that of one process"),
        ({"BUDGETS": "total:usd=1", "LEDGER": "sqlite:////nowhere/at/all/ledger.db"}, "cannot be used"),
    ],
)
def test_budgets_that_cannot_be_read_are_one_sentence(
    settings: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2."""
    for name, value in settings.items():
        monkeypatch.setenv(f"OTEL_AGENTCOST_{name}", value)
    assert main(["budgets"]) == 2
    assert said in capsys.readouterr().err


def test_spend_in_python_sees_the_last_call(telemetry: Telemetry, tmp_path: Path) -> None:
    """What waits in this process is written first."""
    with budgeted(telemetry, record=url_of(tmp_path / "spend.db")), otel_agentcost.attribute(agent="bees"):
        ask(local())
        found = otel_agentcost.spend(by="agent")
        assert [(line.keys, line.usd) for line in found] == [(("bees",), USD)]
        assert "<td>bees</td>" in found._repr_html_()
    with pytest.raises(otel_agentcost.AgentCostError, match="No spend store is named"):
        otel_agentcost.spend()
