"""`python -m benchmarks.bench_report [--quick]`: `agentcost report` over a million calls: time and memory.

The calls are those of `bench_store`, over thirty days. Each report runs in a process of its own, over all calls and
over a tenth of them: memory that does not grow with the rows is about the same in both.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from benchmarks.bench_store import calls
from otel_agentcost.store.questions import Question
from otel_agentcost.store.sources.sqlite import SqliteSource
from otel_agentcost.store.writer import Writer

BEGAN = 1_790_000_000.0
DAYS = 30
_PART = 2_000
_FORMS = (
    ("text", "--no-recommendations"),
    ("html", "--no-recommendations"),
    ("text", "--by=user,agent,model", "--no-recommendations"),
    ("text",),
    ("focus",),
)


def fill(path: Path, number: int) -> None:
    """Write so many calls into a store, evenly over the days."""
    now = [BEGAN]
    writer = Writer(f"sqlite:///{path}?seconds=3600", "book", lambda _rows: None, days=10_000, clock=lambda: now[0])
    writer._wake = lambda: None  # type: ignore[method-assign]  # noqa: SLF001 (no thread: it is flushed below)
    made, written = calls(number), 0
    while written < number:
        for call in islice(made, _PART):
            now[0] += DAYS * 86_400 / number
            writer.settled(call)
            written += 1
        writer.flush(last=True)
    writer.close()


def report(path: Path, *options: str) -> tuple[float, float]:
    """Return the seconds of CPU and the megabytes of a report, in a process of its own."""
    form, *others = options
    code = (
        "import re, sys; from otel_agentcost.cli import main; main(sys.argv[1:]); "
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1], file=sys.stderr)"
    )
    until = time.strftime("%Y-%m-%d", time.gmtime(BEGAN + DAYS * 86_400))
    command = ["report", "--since=2026-09-01", f"--until={until}", f"--format={form}", f"--source=sqlite:///{path}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run([sys.executable, "-c", code, *command, *others], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, int(ran.stderr.split()[-1]) / 1024


def table(*, quick: bool = False) -> None:
    """Print all figures."""
    number = 20_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small.db", Path(folder) / "large.db"
        fill(small, number // 10)
        fill(large, number)
        start, floor = report(small, "text", "--no-recommendations")
        print(f"{number:,} calls, and a tenth of them; the start of Python and of the command is in each figure")
        for options in _FORMS:
            (few, less), (many, more) = report(small, *options), report(large, *options)
            name = " ".join(options).replace("--", "")
            print(f"{name:<44}{many:>8.2f} s{few:>8.2f} s{more:>8.0f} MB{less:>6.0f} MB")
        print(f"{'(the least that a report takes)':<44}{start:>8.2f} s{'':>10}{floor:>8.0f} MB")
        _raw(large)


def _raw(path: Path) -> None:
    """Time, in seconds of CPU, questions to the rows of single calls: those that the sums of hours cannot answer."""
    source = SqliteSource(path)
    for by in (("user", "model"), ("agent", "feature", "team", "model"), ("conversation",)):
        began = time.thread_time()
        spend = source.spend(Question(by=by, since=BEGAN + 1))  # not at a full hour
        print(f"{'single calls by ' + ', '.join(by):<44}{time.thread_time() - began:>8.2f} s, {len(spend):,} lines")
    source.close()


if __name__ == "__main__":
    table(quick="--quick" in sys.argv)
