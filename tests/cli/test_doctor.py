"""What the doctor says of budgets: the rules in words, the ledger, and loudly where none is enforced."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path

import pytest

from otel_agentcost.cli import main
from otel_agentcost.integrations import agents, tools
from tests.support.redis_server import Server, binary


class Examined:
    """A report of the doctor."""

    def __init__(self, code: int, report: str) -> None:
        self.code = code
        self.report = report

    def said(self, name: str) -> list[str]:
        """The texts of a name in the section about budgets, each with its mark."""
        section = self.report.partition("\nBudgets\n")[2].partition("\n\n")[0]
        found = (re.match(rf"([ !]) {name} +(\S.*)", line) for line in section.splitlines())
        return [f"{match[1].strip()}{match[2]}" for match in found if match]


Examine = Callable[..., Examined]


@pytest.fixture
def examine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Examine:
    """Runs the doctor with these settings, and those of earlier calls, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def doctor(**settings: str) -> Examined:
        for name, value in settings.items():
            monkeypatch.setenv(f"OTEL_AGENTCOST_{name}", value)
        return Examined(main(["doctor", "--no-imports"]), capsys.readouterr().out)

    return doctor


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Server]:
    """A real server with a password."""
    program = binary()
    if program is None:
        pytest.skip("neither redis-server nor valkey-server is installed")
    server = Server(program, tmp_path, "--requirepass", "s3cret")
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("user:usd=1", "each user, never reset: $1.00; a call over it is blocked"),
        ("total:usd=1234.5678", "all calls together, never reset: $1,234.5678; a call over it is blocked"),
        (
            "agent=researcher:tokens=5000,calls=1",
            "agent researcher, never reset: 5,000 tokens, 1 model call; a call",
        ),
        ("process:tool_calls=2,on_exceed=clamp", "each process: 2 tool calls; a call over it gets a lower outp"),
        ("trace:seconds=60,on_exceed=warn", "each trace: 60 seconds; a call over it is sent, with a warning"),
        (
            "team:usd=0.000000001,on_exceed=downgrade",
            "each team, never reset: $0.000000001; a call over it goes",
        ),
    ],
)
def test_each_rule_is_said_in_words(rule: str, words: str, examine: Examine) -> None:
    """A reader sees whose budget it is, how much of what, and what happens to a call that does not fit."""
    (said,) = examine(BUDGETS=rule, DOWNGRADE="a=b").said("budget")
    assert said.startswith(f"{rule} | {words}")


def test_the_rules_are_one_line_each_and_the_rest_is_said(examine: Examine) -> None:
    """Traces' limits come first; then what goes with all of them; a sound setup is no reason to complain."""
    found = examine(TRACE_BUDGET_USD="0.50", TRACE_MAX_LLM_CALLS="20", BUDGETS="user/day:usd=1;total:usd=9")
    assert found.code == 0, found.report
    trace, user, total = found.said("budget")
    assert trace == "trace:usd=0.5,calls=20 | each trace: $0.50, 20 model calls; a call over it is blocked"
    assert user.startswith(
        "user/day:usd=1 | each user, per day (UTC): $1.00; a call over it is blocked; this day ends "
    )
    assert total.startswith("total:usd=9 | ")
    assert found.said("on exceed") == ["a call over a budget is blocked, unless the rule of the budget differs"]
    assert found.said("soft limit") == ["a warning at 80 % of a budget"]
    assert found.said("wait seconds") == ["up to 10 s, for budget reserved by in-flight calls"]
    assert found.said("unpriced")[0].endswith("is sent, and no budget in dollars counts it")
    assert found.said("unlimited output")[0].endswith("reserves the rest of its tightest budget until it ends")
    (ledger,) = found.said("ledger")
    alone = "each process counts for itself, and its counts are lost at its end: .*"
    assert re.fullmatch(rf"memory:// answers in \d+\.\d\d ms: {alone}", ledger)


def test_other_choices_are_said_too(examine: Examine) -> None:
    """What was set is what is told, with the chain of models and the longest answer."""
    found = examine(
        BUDGETS="user:usd=1",
        ON_EXCEED="downgrade",
        DOWNGRADE="gpt-4o=gpt-4o-mini,o3=o4-mini",
        SOFT_LIMIT="0.29",
        WAIT_SECONDS="0",
        UNPRICED="refuse",
        UNLIMITED_OUTPUT="assume",
    )
    assert found.code == 0, found.report
    assert found.said("on exceed")[0].startswith("a call over a budget goes to a cheaper model")
    assert found.said("downgrade") == ["gpt-4o -> gpt-4o-mini, o3 -> o4-mini"]
    assert found.said("soft limit") == ["a warning at 29 % of a budget"]
    assert found.said("wait seconds")[0].startswith("not at all")
    assert found.said("unpriced")[0].endswith("is refused if a budget in dollars applies")
    assert "reserves the longest answer" in found.said("unlimited output")[0]
    assert found.said("longest answer")[0].startswith("128,000 tokens")


def test_the_end_of_the_calendar_window_is_told_in_its_zone(examine: Examine) -> None:
    """A day ends at the next midnight of the zone of the settings; Kathmandu is 5:45 h ahead and keeps its clocks."""
    zone = timezone(timedelta(hours=5, minutes=45))
    before = datetime.now(zone)
    (said,) = examine(BUDGETS="user/day:usd=1", TIME_ZONE="Asia/Kathmandu").said("budget")
    midnights = {f"{at + timedelta(days=1):%Y-%m-%d} 00:00" for at in (before, datetime.now(zone))}
    assert "each user, per day (Asia/Kathmandu): " in said
    assert said.rpartition("; this day ends ")[2] in midnights


def test_without_a_budget_that_is_said(examine: Examine) -> None:
    """No budget is no problem, and no ledger is asked."""
    found = examine()
    assert found.code == 0
    assert "\nBudgets\n" in found.report
    assert "  no budget is set\n" in found.report
    assert found.said("ledger") == []


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"BUDGETS": "user/day:usd=$1", "STRICT": "true"}, "OTEL_AGENTCOST_STRICT is true, and a setting is unclear"),
        ({"TRACE_MAX_LLM_CALLS": "5", "ENABLED": "false"}, "OTEL_AGENTCOST_ENABLED is false"),
    ],
)
def test_a_budget_that_is_not_enforced_is_loud(settings: dict[str, str], why: str, examine: Examine) -> None:
    """Whatever keeps budgets from being enforced stands where they would, in capitals, and the exit code is 1."""
    found = examine(**settings)
    assert found.code == 1
    assert f"!NO BUDGET IS ENFORCED: {why}, so otel-agentcost does not start." in found.said("not enforced")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"BUDGETS": "user/day:usd=$1"}, "NO BUDGET IS ENFORCED."),
        ({"BUDGETS": "user/day:usd=$1;total:usd=1"}, "The rest of it is in effect. NO SUCH BUDGET IS ENFORCED."),
        ({"LEDGER": "http://app:s3cret@host"}, "Each process counts for itself: NO BUDGET IS ENFORCED over several"),
    ],
)
def test_an_unclear_setting_does_not_hide_the_others(settings: dict[str, str], words: str, examine: Examine) -> None:
    """It stands among the budgets, which are there."""
    found = examine(TRACE_MAX_TOOL_CALLS="5", **settings)
    assert found.code == 1
    (said,) = found.said("not enforced")
    assert words.replace("NO BUDGET IS ENFORCED.", "NO SUCH BUDGET IS ENFORCED.") in said
    assert "trace:tool_calls=5 | " in found.said("budget")[0]
    assert "s3cret" not in found.report


def test_a_launcher_that_leaves_us_out_enforces_no_budget(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable of OpenTelemetry that switches instrumentations off switches budgets off, and that is said."""
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "redis, agentcost")
    assert "NO BUDGET IS ENFORCED: OTEL_PYTHON_DISABLED" in examine(BUDGETS="user:usd=1").said("not enforced")[0]


def test_a_file_ledger_answers(examine: Examine, tmp_path: Path) -> None:
    """It is opened where the settings say, and told as it was written."""
    found = examine(BUDGETS="user:usd=1", LEDGER="sqlite:///spent.db")
    assert found.code == 0, found.report
    assert re.fullmatch(r"sqlite:///spent.db answers in \d+\.\d\d ms", found.said("ledger")[0])
    assert (tmp_path / "spent.db").exists()


def test_a_corrupt_file_is_told(examine: Examine, tmp_path: Path) -> None:
    """A ledger that cannot be used is a problem, and whether calls go on without it follows from the settings."""
    (tmp_path / "spent.db").write_bytes(b"no database at all" * 1000)
    allowed = examine(BUDGETS="user:usd=1", LEDGER="sqlite:///spent.db")
    (said,) = allowed.said("ledger")
    assert allowed.code == 1
    assert said.startswith(f"!The ledger file '{tmp_path / 'spent.db'}' cannot be used: ")
    assert said.endswith(". NO BUDGET IS ENFORCED until it answers.")
    refused = examine(LEDGER_DOWN="refuse")
    assert refused.code == 1
    assert refused.said("ledger")[0].endswith(". Every call with a budget is refused until it answers.")


@pytest.mark.parametrize("url", ["sqlite:///", "memory://host", "redis://:s3cret@host:port/0"])
def test_a_ledger_that_cannot_be_opened_is_told(url: str, examine: Examine) -> None:
    """A URL of a known kind that names no ledger is one sentence, without its password."""
    found = examine(BUDGETS="user:usd=1", LEDGER=url)
    assert found.code == 1
    assert re.fullmatch(r"!The ledger '.*' .*\. NO BUDGET IS ENFORCED\.", found.said("ledger")[0])
    assert "s3cret" not in found.report


def test_a_server_that_is_not_there_is_told(examine: Examine) -> None:
    """The doctor does not wait long for a server, and hides its password."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        began = time.monotonic()
        found = examine(BUDGETS="user:usd=1", LEDGER=f"redis://app:s3cret@127.0.0.1:{port}/0")
    assert time.monotonic() - began < 30
    assert found.code == 1
    assert found.said("ledger")[0].startswith(f"!The ledger 'redis://***@127.0.0.1:{port}/0' is not reachable: ")
    assert "s3cret" not in found.report


def test_a_server_answers_who_knows_its_password(examine: Examine, redis_server: Server) -> None:
    """With the right password it answers, with another it rejects the login; neither is shown."""
    right = examine(BUDGETS="user:usd=1", LEDGER_TIMEOUT="30", LEDGER=redis_server.url.replace("//", "//:s3cret@"))
    assert right.code == 0, right.report
    assert re.fullmatch(r"redis://\*\*\*@127.0.0.1:\d+/0 answers in \d+\.\d\d ms", right.said("ledger")[0])
    wrong = examine(LEDGER=redis_server.url.replace("//", "//:s3cret2@"))
    assert wrong.code == 1
    assert "rejects the login" in wrong.said("ledger")[0]
    assert "s3cret" not in right.report + wrong.report


def test_a_server_slower_than_calls_wait_is_told(examine: Examine, redis_server: Server) -> None:
    """Where every call would give up on the ledger, the doctor says which setting to raise."""
    with socket.create_server(("127.0.0.1", 0)) as front:
        threading.Thread(target=delay, args=(front, redis_server.port), daemon=True).start()
        url = f"redis://:s3cret@127.0.0.1:{front.getsockname()[1]}/0"
        found = examine(BUDGETS="user:usd=1", LEDGER=url, LEDGER_TIMEOUT="0.01")
    assert found.code == 1
    assert found.said("ledger")[0].endswith(" ms, and calls wait 10 ms: raise OTEL_AGENTCOST_LEDGER_TIMEOUT")


def delay(front: socket.socket, port: int) -> None:
    """Passes one connection on to the server behind, and lets each answer wait."""
    near, _ = front.accept()
    with near, socket.create_connection(("127.0.0.1", port)) as far:
        threading.Thread(target=pass_on, args=(near, far), daemon=True).start()
        with suppress(OSError):  # the doctor has gone
            while answer := far.recv(65536):
                time.sleep(0.05)
                near.sendall(answer)


def pass_on(near: socket.socket, far: socket.socket) -> None:
    """Passes on what is asked, at once: several questions may come before an answer."""
    with suppress(OSError):
        while question := near.recv(65536):
            far.sendall(question)


def test_a_breaker_is_said_in_words(examine: Examine) -> None:
    """Whose it is, and what opens it."""
    found = examine(BREAKERS="agent:trips=5/10m,open=15m; total:loops=1/1h,open=1h")
    assert found.said("breaker") == [
        "agent:trips=5/10m,open=15m | each agent: opens after 5 refusals or loops within 10m, refuses for 15m",
        "total:loops=1/1h,open=1h | all calls together: opens after 1 loop within 1h, refuses for 1h",
    ]
    switched_off = examine(ENABLED="false")
    assert switched_off.code == 1
    assert "NO BUDGET IS ENFORCED" in switched_off.report


def test_frameworks_whose_tools_are_watched_are_named(examine: Examine) -> None:
    """Each is measured, or not there: none is left out."""
    section = examine().report.partition("\nTools of frameworks\n")[2].partition("\n\n")[0]
    for framework in tools.discover():
        assert framework.distribution in section
    assert section.count("every tool call is a span") >= 1
    assert "!" not in section


def test_each_bad_row_of_the_price_file_is_named(examine: Examine, tmp_path: Path) -> None:
    """One line for each mistake, and the report does not pass."""
    file = tmp_path / "prices.json"
    file.write_text('{"models": {"a": {"input_mtok": "much"}, "b": {}, "c": "free"}}', encoding="utf-8")
    examined = examine(PRICES=str(file))
    assert examined.code == 1
    lines = [line for line in examined.report.splitlines() if line.startswith("! price file")]
    assert ["model a: input_mtok is 'much'" in lines[0], "model b has no prices" in lines[1]] == [True, True]
    assert len(lines) == 2


def test_the_units_of_work_and_what_applies_to_the_rest_are_said(examine: Examine) -> None:
    """With a budget per trace, the report says what counts as a trace where no span is open; without one, nothing."""
    examined = examine(TRACE_BUDGET_USD="1")
    (said,) = examined.said("under no span")
    assert f"each web request (starlette {version('starlette')})" in said
    assert "renewed an hour after its first call" in said
    assert 'an agent, `with otel_agentcost.run("job"):` or a span gives each job its own' in said
    assert examine(TRACE_BUDGET_USD="", BUDGETS="user/day:usd=1").said("under no span") == []


def test_frameworks_whose_agents_are_watched_are_named(examine: Examine) -> None:
    """Each is measured, or not there: none is left out."""
    section = examine().report.partition("\nAgents of frameworks\n")[2].partition("\n\n")[0]
    for framework in agents.discover():
        assert framework.distribution in section
    assert "!" not in section


def test_names_that_only_calls_can_have_are_listed(examine: Examine) -> None:
    """Those of rules, of models that are replaced, of tools and of hosts; and limits of tools, which may be unseen."""
    examined = examine(
        BUDGETS="agent=researcher/day:usd=5;agent=researcher:tool_calls=9;total:usd=9,on_exceed=downgrade",
        DOWNGRADE="gpt-4o=gpt-4o-mini",
        TOOL_PRICES="search=0.01",
        HOSTS="llm.internal:8000/v2=openai",
    )
    (names,) = examined.said("names")
    assert names.startswith("agent=researcher, model gpt-4o to replace, tool search, host llm.internal:8000/v2: only")
    (limits,) = examined.said("limits of tools")
    assert limits.startswith("agent=researcher:tool_calls=9: only tools that are seen count")
