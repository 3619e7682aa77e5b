"""docs/support.md: written from what passed, and nothing else is claimed."""

from __future__ import annotations

import pytest

from otel_agentcost.integrations import inventory, tested
from tests.proofs import CELLS, PROOFS
from tests.support.record import Recorder
from tools.documents import (
    COLUMNS,
    README,
    ROOT,
    SUPPORT,
    block,
    claimed,
    integrations,
    short_table,
    support_table,
)

NOT_RUN: dict[str, str] = {}
"""Packages whose oldest claimed release `make matrix` has not run yet, and why."""


def test_the_page_is_what_the_results_say() -> None:
    """`make docs` writes it; an edit by hand, or a result that is not on the page, is found here."""
    assert block(SUPPORT.read_text(encoding="utf-8"), "support") == support_table()
    assert block(README.read_text(encoding="utf-8"), "sdks") == short_table()
    assert COLUMNS == CELLS


@pytest.mark.parametrize("distribution", PROOFS)
def test_each_proof_exists(distribution: str) -> None:
    """A package that is proved has an integration, and a test that was renamed proves nothing any more."""
    assert distribution in {package.distribution for package in inventory.packages()}
    for test in (each for tests in PROOFS[distribution].values() for each in tests):
        file, _, name = test.partition("[")[0].partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), test


def _same(one: str, other: str) -> bool:
    """1.66 is 1.66.0."""
    first, second = tested.release(one), tested.release(other)
    length = max(len(first), len(second))
    return (*first, *[0] * (length - len(first))) == (*second, *[0] * (length - len(second)))


def test_the_oldest_release_that_is_claimed_was_tested() -> None:
    """All of its tests passed with it, for every package that is not named as an exception."""
    missing: set[str] = set()
    for name, packages in integrations().items():
        releases = tested.passed(name)
        if not releases or not _same(releases[0], claimed(packages)):
            missing.add(name)
    assert missing == set(NOT_RUN), "run `make matrix`, or write down why not"


def test_a_release_with_a_failed_test_is_not_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two tests failed: the release is not listed, until all of its cells passed; other cells stay."""
    tests = PROOFS["openai"]["sync"]
    table: tested.Table = {}
    monkeypatch.setattr(tested, "table", lambda: table)
    recorder = recorded(tests[:1], failed=tests[1:])
    recorder.merge(table)
    assert list(table["openai"].values()) == [{"sync": False}]
    assert tested.passed("openai") == []
    release = tested.installed("openai")
    table["openai"] = {release: {"sync": True, "stream": True}}
    assert tested.passed("openai") == [release]
    recorder.merge(table)
    assert table["openai"] == {release: {"sync": False, "stream": True}}
    assert tested.passed("openai") == []
    recorded(tests).merge(table)
    assert tested.passed("openai") == [release]


def recorded(passed: tuple[str, ...], failed: tuple[str, ...] = ()) -> Recorder:
    """A recorder that has seen these tests end so."""
    recorder = Recorder()
    for test in passed:
        recorder.pytest_runtest_logreport(pytest.TestReport(test, ("", 0, ""), {}, "passed", None, "call"))
    for test in failed:
        recorder.pytest_runtest_logreport(pytest.TestReport(test, ("", 0, ""), {}, "failed", None, "call"))
    return recorder
