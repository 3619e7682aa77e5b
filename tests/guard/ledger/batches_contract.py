"""What every ledger does with batches. Derive together with `LedgerContract`, which has the fixture `ledger`."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

from otel_agentcost.core.batch import BatchVerbs, KeptBatch, batch_verbs
from otel_agentcost.guard.ledger import GRACE, Ledger, open_ledger
from tests.guard.ledger.calls import NOW, amounts, claim, stands
from tests.guard.ledger.shared_contract import worker

UNTIL = NOW + 86400
HOSTILE = "openai {agentcost}:batch:*\r\n\x00\ud800'\"; DROP TABLE batches; -- é🜚"


def kept(ledger: Ledger, key: str = "openai batch_1", record: str = "{}") -> BatchVerbs:
    batches = batch_verbs(ledger)
    assert batches.keep_batch(key, record, now=NOW, until=UNTIL)
    return batches


class BatchesContract:
    """The tests of one kind of ledger."""

    def test_a_batch_is_found_by_its_key_and_its_names(self, ledger: Ledger) -> None:
        """With what was written of it; a name that no batch has finds nothing."""
        for key in ("openai batch_1", HOSTILE):
            batches = kept(ledger, key, f'{{"user": "ü\ud800 {len(key)}"}}')
            batches.name_batch(key, [f"{key} file_1", f"{key} file_2"], now=NOW)
            batches.name_batch("unknown", [f"{key} file_3"], now=NOW)
            wanted = KeptBatch(key=key, record=f'{{"user": "ü\ud800 {len(key)}"}}', open=True)
            assert [batches.find_batch(f"{key}{name}", now=NOW) for name in ("", " file_1", " file_2")] == [wanted] * 3
            assert batches.find_batch(f"{key} file_3", now=NOW) is None

    def test_a_batch_that_is_kept_twice_stays_as_it_was(self, ledger: Ledger) -> None:
        """A repeated request, or one by another process, does not change the record."""
        batches = kept(ledger, record="mine")
        assert not batches.keep_batch("openai batch_1", "yours", now=NOW + 1, until=UNTIL)
        (found,) = batches.open_batches(now=NOW + 1)
        assert found.record == "mine"

    def test_a_line_is_counted_once(self, ledger: Ledger) -> None:
        """In every budget; those that were counted before add nothing, and are not among the counted ones."""
        batches, user, total = kept(ledger), claim("user", nano_usd=10), claim("total", until=None)
        first = batches.count_lines(
            "openai batch_1", [user, total], {"a": amounts(30, 3), "b": amounts(7, 1, 1)}, now=NOW
        )
        assert first.lines == {"a", "b"}
        assert list(first.standings) == [(each, stands(spent=amounts(37, 4, 1))) for each in (user, total)]
        again = batches.count_lines("openai batch_1", [user, total], {"b": amounts(7), "c": amounts(100)}, now=NOW)
        assert again.lines == {"c"}
        assert not batches.count_lines("openai batch_1", [user], {"a": amounts(30)}, now=NOW).lines
        assert ledger.standing("user", now=NOW) == stands(spent=amounts(137, 4, 1))
        found = batches.find_batch("openai batch_1", now=NOW)
        assert found is not None
        assert (found.lines, found.nano_usd) == (3, 137)

    def test_two_rules_on_one_key_are_one_account(self, ledger: Ledger) -> None:
        """What two budgets share is spent once."""
        both = [claim("user", nano_usd=10), claim("user", tokens=5)]
        counted = kept(ledger).count_lines("openai batch_1", both, {"a": amounts(4)}, now=NOW)
        assert [standing.spent["nano_usd"] for _, standing in counted.standings] == [4, 4]

    def test_lines_without_a_budget_are_counted_once_too(self, ledger: Ledger) -> None:
        """The ledger of a program without budgets says of each line if it is new."""
        batches = kept(ledger)
        assert batches.count_lines("openai batch_1", [], {"a": amounts(5)}, now=NOW).lines == {"a"}
        assert batches.count_lines("openai batch_1", [], {"a": amounts(5)}, now=NOW).lines == frozenset()

    def test_no_line_of_a_closed_or_unknown_batch_counts(self, ledger: Ledger) -> None:
        """One call closes it; from then on nothing of it is counted, and it is no longer listed."""
        batches, budget = kept(ledger), claim("user")
        batches.count_lines("openai batch_1", [budget], {"a": amounts(5)}, now=NOW)
        assert batches.close_batch("openai batch_1", now=NOW)
        assert not batches.close_batch("openai batch_1", now=NOW)
        assert not batches.close_batch("openai batch_2", now=NOW)
        for key in ("openai batch_1", "openai batch_2"):
            assert not batches.count_lines(key, [budget], {"a": amounts(5), "b": amounts(5)}, now=NOW).lines
        assert ledger.standing("user", now=NOW) == stands(spent=amounts(5))
        assert list(batches.open_batches(now=NOW)) == []
        found = batches.find_batch("openai batch_1", now=NOW)
        assert found is not None
        assert (found.open, found.lines, found.nano_usd) == (False, 1, 5)

    def test_open_batches_are_listed_oldest_first(self, ledger: Ledger) -> None:
        """A thousand of them, and none of them twice."""
        batches = batch_verbs(ledger)
        keys = [f"openai batch_{number:04}" for number in range(200)]
        for number, key in enumerate(reversed(keys)):
            batches.keep_batch(key, key, now=NOW - 200 + number, until=UNTIL)
        assert [each.key for each in batches.open_batches(now=NOW)] == [*reversed(keys)]

    def test_a_batch_is_forgotten_after_its_end(self, ledger: Ledger) -> None:
        """And its lines and names with it: the same key may be kept again."""
        batches = kept(ledger)
        batches.name_batch("openai batch_1", ["file_1"], now=NOW)
        batches.count_lines("openai batch_1", [], {"a": amounts(5)}, now=NOW)
        late = UNTIL + GRACE
        assert batches.find_batch("file_1", now=late - 1) is not None
        assert batches.find_batch("file_1", now=late) is None
        assert batches.find_batch("openai batch_1", now=late) is None
        assert not batches.count_lines("openai batch_1", [claim()], {"b": amounts(5)}, now=late).lines
        assert list(batches.open_batches(now=late)) == []

    def test_many_threads_count_each_line_once(self, ledger: Ledger) -> None:
        """Eight threads read the same results at once, and one of them closes the batch early."""
        batches, budget, barrier = kept(ledger), claim("user"), threading.Barrier(8)

        def read(thread: int) -> int:
            barrier.wait()
            taken = 0
            for start in range(0, 400, 20):
                lines = {f"line {number}": amounts(1) for number in range(start, start + 20)}
                taken += len(batches.count_lines("openai batch_1", [budget], lines, now=NOW + thread).lines)
            return taken

        with ThreadPoolExecutor(8) as pool:
            taken = sum(pool.map(read, range(8)))
        assert taken == ledger.standing("user", now=NOW).spent["nano_usd"] == 400


class SharedBatchesContract:
    """The tests with more than one process."""

    def test_many_processes_count_each_line_once(self, url: str, ledger: Ledger) -> None:
        """Four processes read the results of one batch: each line is counted by one of them, and one closes it."""
        kept(ledger)
        started = [worker(url, "lines", str(i)) for i in range(4)]
        processes = [each.__enter__() for each in started]
        told = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
        assert sum(taken for taken, _ in told) == 1000
        assert sum(closed for _, closed in told) == 1
        assert ledger.standing("shared", now=NOW) == stands(spent=amounts(1000))

    def test_a_process_settles_what_another_one_has_kept(self, url: str, ledger: Ledger) -> None:
        """Another ledger on the same store finds it, also after the first one was closed."""
        kept(ledger, record="whose").name_batch("openai batch_1", ["file_1"], now=NOW)
        ledger.close()
        other = open_ledger(url)
        found = batch_verbs(other).find_batch("file_1", now=NOW)
        assert found is not None
        assert (found.key, found.record) == ("openai batch_1", "whose")
        other.close()
