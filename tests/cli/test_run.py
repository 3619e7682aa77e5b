"""`agentcost run`: a program as it is, under the launcher, and what is said of it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from otel_agentcost.cli import main
from otel_agentcost.cli import run as run_command
from tests.store.recorded import rows
from tests.support.budgeted_calls import USD, answering
from tests.support.model_server import ModelServer
from tools.documents import ROOT

PROGRAM = """
import os, sys
import openai
from otel_agentcost import attribute, tool
@tool(usd="0.01")
def fetch(): return "page"
client = openai.OpenAI(base_url=os.environ["SERVER"] + "/v1", api_key="none", max_retries=0)
def ask(model="gpt-4o-mini"):
    client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}], max_tokens=50)
with attribute(agent="bees"):
    ask()
    fetch()
"""


class Ran:
    """A run that has ended."""

    def __init__(self, folder: Path, server: ModelServer, code: str, options: Sequence[str], **more: str) -> None:
        file = folder / "agent.py"
        file.write_text(PROGRAM + code, encoding="utf-8")
        environment = {**os.environ, "SERVER": server.url, "XDG_DATA_HOME": str(folder / "data"), **more}
        environment["PYTHONPATH"] = str(ROOT)
        command = [sys.executable, "-m", "tests.cli.agentcost", "run", *options, sys.executable, str(file), "--loud"]
        self.store = folder / "data" / "otel-agentcost" / "spend.db"
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def end(self) -> tuple[int, str, str]:
        """Wait for the end. Return the exit code and both outputs."""
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err


@pytest.fixture
def server(model_server: ModelServer) -> ModelServer:
    """A provider that answers every call."""
    return answering(model_server)


def test_a_run_is_shown_live_and_as_a_table(tmp_path: Path, server: ModelServer) -> None:
    """By agent, model and tool, with what is unpriced and why. Standard output is the program's alone."""
    code, out, err = Ran(tmp_path, server, "ask('inert-model')\nprint(sys.argv[1:])\nsys.exit(7)", []).end()
    assert (code, out) == (7, "['--loud']\n")
    lines = err.splitlines()
    assert re.match(r"chat gpt-4o-mini\S*  bees  100 in, 50 out, 0 cached  \$0\.000045  \(so far", lines[0])
    assert lines[1].startswith("tool fetch  bees  $0.010000")
    assert "chat inert-model  " in lines[2]
    for part in ("by agent", "by model", "by tool", "unpriced\n1 call: ", "Recorded in sqlite:///"):
        assert part in err
    assert ">=$0.010045" in err
    assert "opentelemetry" not in err.lower()
    assert len(rows(tmp_path / "data" / "otel-agentcost" / "spend.db")) == 3


def test_the_run_is_recorded_for_spend(
    tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Into the folder for the user's data, where `agentcost spend` looks; a second run shows itself alone."""
    for _ in range(2):
        _, _, err = Ran(tmp_path, server, "", []).end()
        assert err.count("tool fetch") == 1
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert main(["spend", "--by", "agent", "--format", "json"]) == 0
    (line,) = json.loads(capsys.readouterr().out)["lines"]
    assert (line["calls"], line["tool_calls"], line["usd"]) == (2, 2, 0.02009)


def test_quiet_prints_nothing_and_no_record_keeps_nothing(tmp_path: Path, server: ModelServer) -> None:
    """The figures are in the file."""
    file = tmp_path / "run.json"
    assert Ran(tmp_path, server, "", ["--quiet", "--no-record", "--json", str(file)]).end() == (0, "", "")
    assert not (tmp_path / "data").exists()
    found = json.loads(file.read_text(encoding="utf-8"))
    assert (found["exit_code"], found["total"]["usd"], found["by_agent"][0]["agent"]) == (0, 0.010045, "bees")
    assert found["by_tool"][0]["tool"] == "fetch"


def test_fail_over_fails_a_program_that_spent_too_much(tmp_path: Path, server: ModelServer) -> None:
    """With exit code 3; a program that fails by itself keeps its own."""
    code, _, err = Ran(tmp_path, server, "", ["--fail-over", "0.01"]).end()
    assert (code, "more than --fail-over 0.01" in err) == (3, True)
    assert Ran(tmp_path, server, "sys.exit(9)", ["--fail-over", "0.01"]).end()[0] == 9
    assert Ran(tmp_path, server, "", ["--fail-over", "0.02"]).end()[0] == 0


def test_max_usd_holds_over_all_processes_of_the_program(tmp_path: Path, server: ModelServer) -> None:
    """The table has the budget and the refusals."""
    code = """
from otel_agentcost import BudgetExceeded
import subprocess
if "child" not in sys.argv:
    subprocess.run([sys.executable, __file__, "child"])
made = 0
try:
    while True:
        ask(); made += 1
except BudgetExceeded:
    print(made)
"""
    returned, out, err = Ran(tmp_path, server, code, ["--max-usd", "$0.0209"]).end()
    assert returned == 0
    most = (0.0209 - 2 * 0.01) / USD  # both processes call the tool
    assert most - 2 <= sum(map(int, out.split())) + 2 <= most + 1e-9
    assert "budgets\n" in err
    assert "total:usd=0.0209" in err
    assert "refused calls\ntotal:usd=0.0209: block (2 times)" in err


def test_a_signal_reaches_the_program(tmp_path: Path, server: ModelServer) -> None:
    """It ends by it, and the table is printed all the same."""
    ran = Ran(tmp_path, server, "import time\nprint('ready', flush=True)\ntime.sleep(60)", [])
    assert ran.process.stdout is not None
    assert ran.process.stdout.readline() == "ready\n"
    time.sleep(1.2)  # its calls are on disk
    ran.process.send_signal(signal.SIGTERM)
    code, _, err = ran.end()
    assert code == 128 + signal.SIGTERM
    assert "by agent" in err


STOPPED = """
import signal, time
try:
    print("ready", flush=True)
    time.sleep(30)
except KeyboardInterrupt:
    began = time.monotonic()
    try:
        time.sleep(1)
    except KeyboardInterrupt:
        print("again")
    print("stopped")
    sys.exit(5)
"""


def test_an_interrupt_of_this_command_alone_reaches_the_program_once(tmp_path: Path, server: ModelServer) -> None:
    """As `kill -INT` sends it, without a terminal and its process group."""
    ran = Ran(tmp_path, server, STOPPED, [])
    assert ran.process.stdout is not None
    assert ran.process.stdout.readline() == "ready\n"
    ran.process.send_signal(signal.SIGINT)
    code, out, err = ran.end()
    assert (code, out) == (5, "stopped\n")
    assert "by agent" in err


IN_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


@pytest.mark.skipif(not hasattr(os, "forkpty"), reason="there are no terminals here")
def test_a_ctrl_c_reaches_the_program_once(tmp_path: Path, server: ModelServer) -> None:
    """From its terminal, which sends it to both."""
    file = tmp_path / "agent.py"
    file.write_text(PROGRAM + STOPPED, encoding="utf-8")
    environment = {**os.environ, "SERVER": server.url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.cli.agentcost", "run", "--no-record", sys.executable, str(file)]
    with subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL, *command],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as terminal:
        assert terminal.stdin is not None
        assert terminal.stdout is not None
        shown = b""
        while piece := os.read(terminal.stdout.fileno(), 4096):
            shown += piece
            if b"ready" in piece:
                terminal.stdin.write(b"\x03")
                terminal.stdin.flush()
    assert terminal.returncode == 5
    assert b"stopped" in shown
    assert b"again" not in shown
    assert b"by agent" in shown


def test_a_program_without_calls_is_told_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """And one that is not there is an error of the command line."""
    assert main(["run", "--no-record", sys.executable, "-c", "print('hello')"]) == 0
    streams = capfd.readouterr()
    assert streams.out == "hello\n"
    assert "No model or tool call was seen" in streams.err
    assert main(["run", "no-such-program"]) == 2
    assert "There is no program 'no-such-program'" in capfd.readouterr().err
    del tmp_path


@pytest.mark.parametrize("option", ["--max-usd", "--fail-over"])
@pytest.mark.parametrize("written", ["0", "-1", "much", "nan"])
def test_an_amount_that_is_none_is_said(option: str, written: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything starts."""
    with pytest.raises(SystemExit, match="2"):
        main(["run", f"{option}={written}", "python"])
    assert "is no amount of US dollars: write a number such as 0.50" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--max-usd", "--fail-over"])
def test_less_than_can_be_counted_is_said(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Budgets count billionths of a dollar."""
    with pytest.raises(SystemExit, match="2"):
        main(["run", f"{option}=0.0000000009", "python"])
    said = capsys.readouterr().err
    assert "'0.0000000009' is less than a billionth of a US dollar, the least counted" in said


@pytest.mark.skipif(os.name == "nt", reason="Windows names the folder otherwise")
def test_a_user_without_a_home_is_told_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As in a container with a user that is a number only; without a record, none is needed."""
    import pwd  # not on Windows

    def nobody(_uid: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    for command in (["run", sys.executable, "-c", "print('it ran')"], ["spend"]):
        assert main(command) == 2
        streams = capfd.readouterr()
        assert "There is no folder for your data, because HOME is not set" in streams.err
        assert "Traceback" not in streams.err
        assert "it ran" not in streams.out
    assert main(["run", "--no-record", sys.executable, "-c", "print('it ran')"]) == 0


def test_a_question_mark_in_the_path_of_a_store_is_part_of_it(tmp_path: Path, server: ModelServer) -> None:
    """Also where the command adds its own parameters."""
    file = tmp_path / "spend?of=me.db"
    code, _, err = Ran(tmp_path, server, "", [], OTEL_AGENTCOST_RECORD=f"sqlite:///{file}").end()
    assert code == 0
    assert "by agent" in err
    assert len(rows(file)) == 2
    assert not (tmp_path / "spend").exists()


def test_the_example_of_the_help_works(tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands there."""
    (tmp_path / "agent.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SERVER", server.url)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert main(shlex.split(run_command.EXAMPLE.removeprefix("Example: agentcost "))) == 0


def test_what_cannot_be_kept_is_said_before_the_program_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """No money is spent for a run whose figures would be lost."""
    command = [sys.executable, "-c", "print('it ran')"]
    assert main(["run", "--no-record", "--json", str(tmp_path / "none" / "figures.json"), *command]) == 2
    assert "for --json" in capfd.readouterr().err
    other = tmp_path / "other.db"
    other.write_text("the notes of somebody", encoding="utf-8")
    monkeypatch.setenv("OTEL_AGENTCOST_RECORD", f"sqlite:///{other}")
    assert main(["run", *command]) == 2
    streams = capfd.readouterr()
    assert "cannot be recorded" in streams.err
    assert "it ran" not in streams.out
    assert other.read_text(encoding="utf-8") == "the notes of somebody"
