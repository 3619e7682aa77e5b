"""The text of docs/cache-savings.md: its examples are printed like this, its numbers are those of the code."""

from __future__ import annotations

from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost.cli import main
from otel_agentcost.core import semconv
from otel_agentcost.insight import cache_what_if
from otel_agentcost.insight.cache_what_if import KINDS
from otel_agentcost.savings.responses import keys
from otel_agentcost.savings.semantic import bound, counts, question, rehearsal, shadow
from otel_agentcost.savings.semantic.counts import Outcomes, What
from otel_agentcost.savings.semantic.veto import marks_of, veto
from otel_agentcost.store import fingerprints
from tests.insight.recorded_calls import BEGAN, Recording
from tests.savings.semantic.fow_pairs import Pair, pairs
from tests.store.recorded import url_of
from tools.documents import ROOT

PAGE = (ROOT / "docs" / "cache-savings.md").read_text(encoding="utf-8")
NOW = BEGAN + 5 * 86_400


def record(path: Path) -> None:
    """Record the calls of the first example."""
    recording = Recording(path)
    for number in (*range(40), 0, 1, 2, 0, 1):
        who = {semconv.FEATURE: "triage", semconv.TENANT: "acme"}
        recording.call({"input_tokens": 2_400, "output_tokens": 90}, who=who, agent="", messages=(f"ticket {number}",))
    for after in (10.0, 0.0):
        who = {semconv.FEATURE: "digest", semconv.TENANT: "acme"}
        counted = {"input_tokens": 9_000, "output_tokens": 700}
        recording.call(counted, after=after, who=who, agent="", messages=("news",), seconds=4.0)
    messages = ["system"]
    for step in range(6):
        messages.append(f"step {step}")
        counted = {"input_tokens": 8_000 + 900 * step, "output_tokens": 200}
        recording.call(counted, agent="researcher", messages=tuple(messages), stop="tool_use", trace=9)
    recording.close()


def count(path: Path) -> None:
    """Count the outcomes of the second example."""

    def of(what: What, vetoed: str = "", served: int = 0) -> Outcomes:
        return Outcomes(int(BEGAN // 86_400), "triage", "", "claude-haiku-4-5", what, 95, vetoed, served)

    counts.add(path, {of("none"): 2_210, of("unknown", "numbers"): 190, of("right"): 811, of("wrong"): 24})
    counts.add(path, {of("right", served=1): 463, of("wrong", served=1): 2, of("unknown", "names"): 57})


@pytest.mark.parametrize(
    "command", [["cache", "what-if", "--since", "7d", "--ttl", "1h"], ["cache", "report", "--since", "30d"]]
)
def test_the_examples_are_printed_like_this(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the letter."""
    monkeypatch.setattr("time.time", lambda: NOW)
    monkeypatch.setenv("OTEL_AGENTCOST_RECORD", url_of(tmp_path / "spend.db"))
    record(tmp_path / "spend.db")
    count(tmp_path / counts.FILE)
    assert main(command) == 0
    printed = "\n".join(f"    {line}" for line in capsys.readouterr().out.splitlines())
    assert f"    agentcost {' '.join(command)}\n\n{printed}\n\n" in PAGE


def test_every_cache_is_named() -> None:
    """In the table of caches."""
    for cache in KINDS:
        assert f"| `{cache}` |" in PAGE


def test_the_numbers_are_those_of_the_code() -> None:
    """Of the bound, the question, the queue, the memory and the veto."""
    assert f"at least {bound.LEAST} observations" in PAGE
    assert f"at most {bound.DELTA:.0%} of answers are expected to be wrong".replace("%", " %") in PAGE
    assert f"text of at most {question.LONGEST:,} characters" in PAGE
    assert f"when more than {shadow.MOST} wait" in PAGE
    assert f"at most {rehearsal.MOST_BYTES >> 20} MiB together and for a day" in PAGE
    assert rehearsal.LIFETIME == 86_400
    assert f"at most {rehearsal.PER_SCOPE} entries of its scope" in PAGE
    assert f"**The file** `{counts.FILE}`" in PAGE
    assert f"at least {cache_what_if.LEAST:,} tokens" in PAGE


def test_the_veto_stops_what_the_page_says() -> None:
    """On the pairs of fow-cache, and on the half of them whose words were not looked at."""
    every = pairs()
    unseen = [pair for pair in every if md5(pair.name.encode(), usedforsecurity=False).digest()[0] % 2]
    traps, good = (stopped(every, same=same) for same in (False, True))
    assert f"it stops {traps} % of the 300 traps and {good} % of the 300 pairs that mean the same" in PAGE
    traps, good = (stopped(unseen, same=same) for same in (False, True))
    assert f"({traps} % and {good} % of the half of them that nobody looked at" in PAGE


def stopped(of: list[Pair], *, same: bool) -> int:
    """Percent of the pairs that the veto stops."""
    those = [pair for pair in of if pair.same == same]
    return round(100 * sum(veto(marks_of(pair.one), marks_of(pair.other)) is not None for pair in those) / len(those))


def test_the_record_leaves_out_what_the_cache_leaves_out() -> None:
    """Each field that the key of the cache leaves out changes no fingerprint; marks within messages do."""
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    plain = fingerprints.of(body, "chat")
    assert plain is not None
    assert {"stream", "user", "metadata", "prompt_cache_key"} <= keys.DROPPED
    for field in keys.DROPPED:
        assert fingerprints.of({**body, field: "x"}, "chat") == plain, field
    marked = {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]}
    unmarked = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    for one, other in (
        ({**body, "messages": [marked]}, {**body, "messages": [unmarked]}),
        ({**body, "n": 1}, body),
    ):
        assert keys.canonical(one) == keys.canonical(other)
        assert fingerprints.of(one, "chat") != fingerprints.of(other, "chat")
