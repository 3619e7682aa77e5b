"""`agentcost cache what-if`: over a real store, in every form, and one sentence for what is wrong."""

from __future__ import annotations

import csv
import io
import json
import shlex
from pathlib import Path

import pytest

from otel_agentcost.cli import main
from otel_agentcost.cli._cache.what_if import EXAMPLE
from otel_agentcost.core import semconv
from tests.insight.recorded_calls import BEGAN, Recording
from tests.store.recorded import url_of

COUNTS = {"input_tokens": 1_000, "output_tokens": 200}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with ten requests of triage, of which three are repeated, and one that is under way twice."""
    path = tmp_path / "spend.db"
    monkeypatch.setenv("OTEL_AGENTCOST_RECORD", url_of(path))
    monkeypatch.setattr("time.time", lambda: BEGAN + 3600)
    recording = Recording(path)
    for number in (0, 1, 2, 3, 4, 5, 0, 1, 0):
        recording.call(COUNTS, who={semconv.FEATURE: "triage"}, agent="", messages=(f"ticket {number}",), seconds=1.0)
    recording.call(COUNTS, who={semconv.FEATURE: "triage"}, agent="", messages=("ticket 5",), after=0, seconds=45.0)
    recording.close()
    return path


@pytest.mark.usefixtures("store")
def test_the_example_of_the_help_works(capsys: pytest.CaptureFixture[str]) -> None:
    """What each cache would have saved, its class, its formula, and what the figures do not say."""
    assert main(shlex.split(EXAMPLE.removeprefix("Example: agentcost "))) == 0
    streams = capsys.readouterr()
    lines = streams.out.splitlines()
    assert lines[0].split() == [
        "cache",
        "class",
        "feature",
        "agent",
        "model",
        "or",
        "tool",
        "calls",
        "hits",
        "share",
        "saves",
    ]
    assert lines[1].split() == [
        "answers",
        "ceiling",
        "triage",
        "-",
        "claude-haiku-4-5",
        "10",
        "3",
        "30.0%",
        "$0.006000",
    ]
    assert lines[2].split()[6:] == ["1", "10.0%", "$0.002000"]
    assert lines[3].startswith("answers: $0.006000 = recorded dollars of each request whose equal (provider, model")
    assert lines[4].startswith("coalescing: $0.002000 = recorded dollars of each request that began while its equal")
    assert "Answers would be kept for 1h." in lines[5]
    assert len(lines) == 6
    assert streams.err == ""


@pytest.mark.usefixtures("store")
def test_every_form_has_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """In billionths of a dollar."""
    assert main(["cache", "what-if", "--ttl", "15s", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ttl_seconds"] == 15
    assert found["total_nano_usd"] == {"coalescing": 2_000_000}
    assert list(found["formulas"]) == ["coalescing"]
    assert main(["cache", "what-if", "--ttl", "15s", "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert {name: str(value) for name, value in found["savings"][0].items()} == row
    assert (row["class"], row["hits"], row["saved_nano_usd"]) == ("ceiling", "1", "2000000")


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--ttl", "long"], "'long' is no time to live: write a number and s, m, h or d, such as 15m or 1h."),
        (["--ttl", "0h"], "'0h' is no time to live"),
        (["--since", "2020-01-01", "--until", "2020-01-02"], "No call is recorded since 2020-01-01"),
        (["--from", "prometheus://127.0.0.1:1"], "has no single calls"),
    ],
)
def test_a_mistake_is_one_sentence(options: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what to write, and the exit code is 2."""
    assert main(["cache", "what-if", *options]) == 2
    assert says in capsys.readouterr().err


def test_nothing_to_save_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One call repeats nothing."""
    recording = Recording(tmp_path / "one.db")
    recording.call(COUNTS)
    recording.close()
    url = url_of(recording.path)
    assert main(["cache", "what-if", "--since", "all", "--from", url]) == 0
    assert "No cache would have saved anything of 1 call." in capsys.readouterr().out
