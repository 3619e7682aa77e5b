"""`agentcost cache report`: hit rate and error with their limits, in every form."""

from __future__ import annotations

import csv
import io
import json
import shlex
from pathlib import Path

import pytest

from otel_agentcost.cli import main
from otel_agentcost.cli._cache.report import EXAMPLE
from otel_agentcost.savings.semantic import counts
from otel_agentcost.savings.semantic.counts import Outcomes, What
from otel_agentcost.savings.semantic.limits import limits
from tests.store.recorded import url_of

DAY = 20_000
NOW = 86_400.0 * (DAY + 1)


def outcomes(what: What, *, vetoed: str = "", served: int = 0, day: int = DAY, model: str = "m") -> Outcomes:
    """One kind of outcome of triage."""
    return Outcomes(day, "triage", "", model, what, 95 if what != "none" else 0, vetoed, served)


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """1,000 questions: 400 would have been served, of which 8 are wrong and 4 unknown."""
    monkeypatch.setattr("time.time", lambda: NOW)
    monkeypatch.setenv("OTEL_AGENTCOST_RECORD", url_of(tmp_path / "spend.db"))
    path = tmp_path / counts.FILE
    counts.add(path, {outcomes("none"): 300, outcomes("unknown", vetoed="numbers"): 200, outcomes("right"): 50})
    counts.add(path, {outcomes("right"): 50, outcomes("right", served=1): 388, outcomes("wrong", served=1): 8})
    counts.add(path, {outcomes("unknown", served=1): 4, outcomes("failed"): 7, outcomes("dropped"): 2})
    counts.add(path, {outcomes("none", day=DAY - 100): 5_000})
    return path


@pytest.mark.usefixtures("counted")
def test_the_example_of_the_help_works(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each place, the total, and the limits; the questions of the last months are not those of 30 days."""
    assert main(shlex.split(EXAMPLE.removeprefix("Example: agentcost "))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["triage", "-", "m", "1,000", "700", "200", "400", "40.0%", "8", "4"]
    assert lines[2].split() == ["total", "1,000", "700", "200", "400", "40.0%", "8", "4"]
    assert lines[3] == "Hit rate: 36.95 to 43.11 % of the questions, at a confidence of 95 %."
    assert lines[4].startswith("Error: 0.87 to 5.18 % of what would have been served, at the same confidence. Answers ")
    assert lines[5] == "Not rehearsed: 7 (a function failed), 2 (too many were waiting)."
    assert lines[6] == "Nothing of this was served. Serving is not offered until the error is known."
    assert len(lines) == 7


def test_every_form_has_the_same_figures(counted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The limits are those of the counts; what is unknown counts as wrong in the upper one."""
    assert main(["cache", "report", "--from", str(counted), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    total = found["total"]
    assert (total["error_low"], total["error_high"]) == pytest.approx(
        (limits(8, 400).low, limits(12, 400).high), abs=1e-6
    )
    assert (total["hit_rate_low"], total["hit_rate_high"]) == pytest.approx(limits(400, 1000), abs=1e-6)
    assert total["vetoed_by_reason"] == {"numbers": 200}
    assert main(["cache", "report", "--from", url_of(counted), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == found
    assert main(["cache", "report", "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row == {name: str(value) for name, value in found["places"][0].items()}


def test_nothing_served_is_no_error_of_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error is not known then, and the report says so."""
    path = tmp_path / "other.db"
    counts.add(path, {outcomes("none"): 3})
    assert main(["cache", "report", "--since", "all", "--from", str(path)]) == 0
    out = capsys.readouterr().out
    assert "Error: not known. Nothing would have been served yet." in out
    assert "These are 0 answers; from 300 on the error is known to about a percent." in out


def test_a_file_that_is_missing_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what to set, and the exit code is 2."""
    assert main(["cache", "report"]) == 2
    assert "No file of counts is named: set OTEL_AGENTCOST_CACHE_STORE" in capsys.readouterr().err
    monkeypatch.setenv("OTEL_AGENTCOST_CACHE_STORE", url_of(tmp_path / "cache.db"))
    assert main(["cache", "report"]) == 2
    assert "set OTEL_AGENTCOST_CACHE=exact,semantic-shadow" in capsys.readouterr().err


def test_files_of_others_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is no database, and one of another program."""
    path = tmp_path / "x.db"
    path.write_text("no database, but long enough to be one" * 10, encoding="utf-8")
    assert main(["cache", "report", "--from", str(path)]) == 2
    assert "cannot be read" in capsys.readouterr().err
