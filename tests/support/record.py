"""Writes what the tests of a run prove of the installed packages: `pytest --record-support`."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import pytest

from otel_agentcost.integrations import inventory, tested
from tests.proofs import cells_of

if TYPE_CHECKING:
    from _pytest.reports import TestReport

TABLE = Path(tested.__file__).with_name("tested.json")


class Recorder:
    """Collects the reports of one run. With pytest-xdist, those of all workers."""

    def __init__(self) -> None:
        self._results: dict[tuple[str, str], list[bool]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: TestReport) -> None:
        """Note a test that ran, or whose fixture failed."""
        if report.failed or (report.when == "call" and report.passed):
            for each in cells_of(report.nodeid):
                self._results[each].append(report.passed)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the table once, in the process that has the reports of all workers."""
        if hasattr(session.config, "workerinput"):
            return
        with _locked(TABLE) as file:
            table: tested.Table = json.load(file)
            self.merge(table)
            text = json.dumps(table, indent=1, sort_keys=True)
            file.seek(0)
            file.truncate()
            file.write(text + "\n")

    def merge(self, table: tested.Table) -> None:
        """Put the results into `table`, for the installed releases; keep the oldest and the newest release."""
        for distribution in {distribution for distribution, _ in self._results}:
            ran = {cell: all(passed) for (name, cell), passed in self._results.items() if name == distribution}
            releases = table.setdefault(distribution, {})
            release = tested.installed(distribution)
            releases[release] = releases.get(release, {}) | ran
            ordered = sorted(releases, key=tested.release)
            claimed = [each for each in ordered if tested.release(each) >= _oldest(distribution)] or ordered
            table[distribution] = {each: releases[each] for each in dict.fromkeys((claimed[0], claimed[-1]))}


def _oldest(distribution: str) -> tuple[int, ...]:
    """Return the oldest release that an integration of the distribution claims."""
    claims = [tested.release(each.oldest) for each in inventory.packages() if each.distribution == distribution]
    return min(claims, default=())


@contextmanager
def _locked(path: Path) -> Generator[TextIO]:
    """Open a file that several environments may write at the same time."""
    import fcntl

    with path.open("r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
