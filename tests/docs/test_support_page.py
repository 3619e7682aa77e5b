"""docs/support.md: written from what passed, and nothing else is claimed."""

from __future__ import annotations

import pytest

from otel_agentcost.integrations import inventory
from tests.proofs import CELLS, PROOFS
from tests.support.record import Recorder, Table
from tools.documents import COLUMNS, ROOT, SUPPORT, block, support_table


def test_the_page_is_what_the_results_say() -> None:
    """`make docs` writes it; an edit by hand, or a result that is not on the page, is found here."""
    assert block(SUPPORT.read_text(encoding="utf-8"), "support") == support_table()
    assert COLUMNS == CELLS


@pytest.mark.parametrize("distribution", PROOFS)
def test_each_proof_exists(distribution: str) -> None:
    """A package that is proved has an integration, and a test that was renamed proves nothing any more."""
    assert distribution in {package.distribution for package in inventory.packages()}
    for test in (each for tests in PROOFS[distribution].values() for each in tests):
        file, _, name = test.partition("[")[0].partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), test


def test_a_cell_with_a_failed_test_is_not_claimed() -> None:
    """One of two tests failed: the cell is empty, also if it was full before; other cells stay."""
    recorder = Recorder()
    tests = PROOFS["openai"]["sync"]
    for test, outcome in zip(tests, ("passed", "failed"), strict=True):
        recorder.pytest_runtest_logreport(
            pytest.TestReport(test, ("", 0, ""), {}, outcome, None, "call")  # type: ignore[arg-type] # `outcome` is any text for mypy
        )
    table: Table = {}
    recorder.merge(table)
    ((release, cells),) = table["openai"].items()
    assert cells == []
    table = {"openai": {release: ["sync", "stream"]}}
    recorder.merge(table)
    assert table == {"openai": {release: ["stream"]}}
