"""How well loops are found, measured: `tests.core.loops.measuring` prints the tables, of which these are the limits.

`AGENTCOST_LOOPS=full` measures thousands of cases; without it there are enough to notice a change for
the worse.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from tests.core.loops import domains, measuring, runs
from tools.documents import LOOPS, block

FULL = os.environ.get("AGENTCOST_LOOPS") == "full"
CASES = 2000 if FULL else 150
EACH = 2000 if FULL else 150


@pytest.mark.parametrize("sample", measuring.SAMPLES, ids=lambda sample: sample.name)
def test_no_false_alarms(sample: measuring.Sample) -> None:
    """At most one in two hundred runs without a loop is taken for one."""
    count, wrong, which = measuring.alarms_in_clean(sample, EACH)
    assert wrong * 200 <= count, which


@pytest.mark.parametrize("sample", measuring.SAMPLES, ids=lambda sample: sample.name)
def test_recall(sample: measuring.Sample) -> None:
    """Of the loops that are put into runs, 98 in 100 are found, nine in ten of them at most one round late; and of
    each kind 96 in 100.
    """
    scores = measuring.scores(sample, measuring.pool(sample, 20), CASES)
    whole = measuring.total(scores.values())
    assert whole.found >= 0.98 * whole.cases, scores
    assert whole.early <= whole.cases / 200
    assert whole.in_time >= 0.9 * whole.found
    assert [rule for rule, each in scores.items() if each.found < 0.96 * each.cases] == []


@pytest.mark.skipif(not (FULL and runs.real()), reason="AGENTCOST_LOOPS=full with AGENTCOST_CORPORA measures it")
def test_the_table_is_what_is_measured() -> None:
    """`python -m tests.core.loops.measuring --full --write` has written it."""
    found = {sample.name: measuring.scores(sample, measuring.pool(sample, 40), 2000) for sample in measuring.SAMPLES}
    assert block(LOOPS.read_text(encoding="utf-8"), "detection") == measuring.table(found)


@pytest.mark.skipif(not runs.real(), reason="AGENTCOST_CORPORA names no folder with the real runs")
def test_real_runs() -> None:
    """Of the 104 real runs one is a loop: it books, fails and has the same thought, four times over."""
    looping = [run for run in runs.real() if runs.findings(run)]
    assert len(looping) == 1
    ((_, finding), *_) = runs.findings(looping[0])
    assert finding.result.startswith("Error: payment amount does not add up")


@pytest.mark.parametrize("kind", domains.COMMON, ids=lambda kind: kind.__name__)
def test_what_only_looks_like_a_loop(kind: domains.Maker) -> None:
    """Pages, polls, retries and their like are never taken for loops."""
    for seed in range(300 if FULL else 60):
        run = kind(Random(f"{kind.__name__} {seed}"))
        assert runs.findings(run) == [], seed
