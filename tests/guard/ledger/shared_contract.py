"""What a ledger does that several processes share. Derive together with `LedgerContract`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from otel_agentcost.guard.ledger import Ledger, open_ledger
from tests.guard.ledger.calls import NOW, admitted, amounts, claim, in_a_child, stands

ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def worker(url: str, task: str, name: str) -> Generator[subprocess.Popen[str], None, None]:
    command = [sys.executable, "-m", "tests.guard.ledger.worker", url, task, name]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


class SharedContract:
    """The tests with more than one process."""

    def test_eight_processes_never_overspend(self, url: str, ledger: Ledger) -> None:
        """Eight processes race for one budget: never above it, most of it used, and the sum is exact."""
        started = [worker(url, "race", str(i)) for i in range(8)]
        processes = [each.__enter__() for each in started]
        ended = [process.communicate(timeout=60) for process in processes]
        assert [(process.returncode, errors) for process, (_, errors) in zip(processes, ended, strict=True)] == (
            [(0, "")] * 8
        )
        taken, refused = (sum(int(out.split()[i]) for out, _ in ended) for i in (0, 1))
        standing = ledger.standing("shared", now=NOW)
        assert standing == stands(spent=amounts(taken))
        assert 19_000 < taken <= 20_000
        assert refused > 0

    def test_a_killed_process_loses_nothing_settled_and_its_hold_ends(self, url: str, ledger: Ledger) -> None:
        """Killed between reserve and settle: what it settled stays, and what it held is free after its lease."""
        with worker(url, "hold", "lost") as process:
            assert line(process) == "held"
        assert ledger.standing("shared", now=NOW + 59) == stands(spent=amounts(300), held=amounts(200))
        assert not admitted(ledger, "next", [claim("shared", nano_usd=500)], 1, now=NOW + 59)
        assert admitted(ledger, "next", [claim("shared", nano_usd=500)], 200, now=NOW + 60)
        assert ledger.standing("shared", now=NOW + 60) == stands(spent=amounts(300), held=amounts(200))

    def test_killed_at_any_moment(self, url: str, ledger: Ledger) -> None:
        """Killed wherever it happens to be: every settle that returned counts, and at most one more."""
        said = 0
        for run in range(4):
            with worker(url, "endless", str(run)) as process:
                said += len(line(process)) > 0
                time.sleep(0.05 + run * 0.013)
                process.kill()
                assert process.stdout is not None
                said += process.stdout.read().count("\n")
            assert said <= ledger.standing("shared", now=NOW).spent["nano_usd"] <= said + run + 1
        assert ledger.standing("shared", now=NOW).held["nano_usd"] <= 4
        assert ledger.standing("shared", now=NOW + 60).held == amounts()

    def test_two_ledgers_on_one_url_are_one(self, url: str, ledger: Ledger) -> None:
        """What one holds, the other sees; closing one leaves the other at work, and a closed one opens again."""
        other = open_ledger(url)
        assert admitted(other, "a", [claim(nano_usd=10)], 10)
        other.close()
        assert not admitted(ledger, "b", [claim(nano_usd=10)], 1)
        other.settle("a", [claim(nano_usd=10)], amounts(2), now=NOW)
        assert ledger.standing(claim().key, now=NOW) == stands(spent=amounts(2))
        other.close()

    def test_a_forked_child_spends_from_the_same_budget(self, ledger: Ledger) -> None:
        """Parent and child count in one place, before and after."""
        budget = claim(nano_usd=10)
        assert admitted(ledger, "a", [budget], 4)
        assert in_a_child(lambda: admitted(ledger, "b", [budget], 6) and not admitted(ledger, "c", [budget], 1))
        assert ledger.standing(budget.key, now=NOW) == stands(held=amounts(10))
