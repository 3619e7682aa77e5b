"""`agentcost cache advise` on a store that the writer has written."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_agentcost.cli import main
from otel_agentcost.savings.prompt_cache import rules
from tests.insight.recorded_calls import BEGAN, Recording
from tests.insight.test_prompt_cache_advice import ask
from tests.store.recorded import url_of

PERIOD = ("--since", "2026-11-30", "--until", "2026-11-30")


def advised(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command prints."""
    assert main(["cache", "advise", *PERIOD, "--from", url_of(path)]) == 0
    return capsys.readouterr().out


def test_advice_has_its_dollars_its_place_and_its_formula(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three lines for each: what, where, and how it is computed."""
    recording = Recording(tmp_path / "spend.db", began=BEGAN + 3600)
    for turn in range(1, 6):
        ask(recording, {"input_tokens": 9_000 + 400 * turn}, ["a", "b", "c", "d", "e"][:turn])
    recording.close()
    out = advised(recording.path, capsys)
    first, where, formula, *_ = out.splitlines()
    assert "Mark these prompts for the cache" in first
    assert "(unmarked_prompts, ceiling, 5 calls)" in first
    assert where.endswith("bees, claude-sonnet-4-6")
    assert formula.startswith("    = tokens of the prompt before")
    assert rules.as_of() in out


def test_nothing_to_advise_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A store of short calls has nothing to advise. The sentence says what was looked at, and no more."""
    recording = Recording(tmp_path / "spend.db", began=BEGAN + 3600)
    ask(recording, {"input_tokens": 90}, ["a"])
    recording.close()
    said = "Nothing to advise: nothing was found in calls of one conversation, run or trace."
    assert advised(recording.path, capsys).splitlines()[0] == said


def test_without_fingerprints_nothing_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither "nothing to advise" nor success: one sentence, as of `agentcost cache what-if`."""
    recording = Recording(tmp_path / "spend.db", began=BEGAN + 3600)
    call = recording.call({"input_tokens": 9_000})
    recording.close()
    path = tmp_path / "bare.db"
    bare = Recording(path, began=BEGAN + 3600)
    bare.writer.settled(call._replace(call=None))
    bare.close()
    assert main(["cache", "advise", *PERIOD, "--from", url_of(path)]) == 2
    streams = capsys.readouterr()
    assert "Nothing can be said of prompt caches" in streams.err
    assert (streams.out, streams.err.count("\n")) == ("", 1)
