"""Children of `multiprocessing` end by `os._exit`: their spans and metrics are not lost.

`tests/services/test_celery.py` does the same with Celery.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.support.openai_call import USD

ROOT = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="it cannot fork safely")

SET_UP = """
import multiprocessing, os, sys, warnings
from concurrent.futures import ProcessPoolExecutor
warnings.simplefilter("ignore")
import otel_agentcost
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from tests.support.openai_call import ask

def written(name, line):
    with open(os.path.join(os.environ["TELEMETRY"], f"{name}-{os.getpid()}"), "a") as file:
        file.write(line.replace(os.linesep, " ") + os.linesep)
    return ""

def set_up():
    spans = ConsoleSpanExporter(formatter=lambda span: written("spans", span.to_json(indent=None)))
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(spans, schedule_delay_millis=60_000))
    trace.set_tracer_provider(provider)
    exporter = ConsoleMetricExporter(formatter=lambda data: written("metrics", data.to_json(indent=None)))
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(exporter, 60_000)]))
    otel_agentcost.instrument()

def work(number):
    ask()
    return number

def in_parallel(start, initializer=None):
    context = multiprocessing.get_context(start)
    with ProcessPoolExecutor(4, mp_context=context, initializer=initializer) as pool:
        list(pool.map(work, range(12)))

def one_by_one(start):
    children = [multiprocessing.get_context(start).Process(target=work, args=(number,)) for number in range(12)]
    for child in children:
        child.start()
    for child in children:
        child.join()
"""
AT_ONCE = SET_UP + "\nset_up()\n"


def lines(folder: Path, kind: str) -> dict[str, list[Any]]:
    """What each process has exported, by the name of its file."""
    found = sorted(folder.glob(f"{kind}-*"))
    return {file.name: [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] for file in found}


def run(folder: Path, script: str) -> str:
    """Runs an application; returns what it printed."""
    file = folder / "application.py"
    file.write_text(script, encoding="utf-8")
    environment = {**os.environ, "TELEMETRY": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def metric(export: Any, name: str) -> float:
    """The sum of a counter in one export."""
    return sum(
        float(point["value"])
        for resource in export["resource_metrics"]
        for scope in resource["scope_metrics"]
        for found in scope["metrics"]
        if found["name"] == name
        for point in found["data"]["data_points"]
    )


def check(folder: Path, calls: int) -> None:
    """All calls are spans with dollars, and the last export of each process has its dollars."""
    spans = [span for exported in lines(folder, "spans").values() for span in exported]
    assert [span["attributes"]["agentcost.cost.usd"] for span in spans] == [pytest.approx(USD)] * calls
    counted = sum(metric(exported[-1], "agentcost.cost") for exported in lines(folder, "metrics").values())
    assert counted == pytest.approx(calls * USD)


@pytest.mark.parametrize("start", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("way", ["in_parallel", "one_by_one"])
def test_calls_of_child_processes_are_not_lost(tmp_path: Path, way: str, start: str) -> None:
    """Twelve calls in children and one in their parent are thirteen spans and their dollars."""
    run(tmp_path, f"{AT_ONCE}\nif __name__ == '__main__':\n    {way}({start!r})\n    ask()\n")
    check(tmp_path, 13)


POOL = """
def pooled(start):
    with multiprocessing.get_context(start).Pool(2) as pool:
        pool.map(work, range(6), chunksize=1)
"""


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_calls_of_a_pools_workers_are_not_lost_at_the_end_of_its_block(tmp_path: Path, start: str) -> None:
    """The block ends by `Pool.terminate`, which kills workers. Idle workers end by themselves before."""
    run(tmp_path, f"{AT_ONCE}{POOL}\nif __name__ == '__main__':\n    pooled({start!r})\n    ask()\n")
    check(tmp_path, 7)


def test_a_pool_whose_worker_is_busy_is_not_waited_for(tmp_path: Path) -> None:
    """A pool with a task that is still running is terminated at once, and so is one whose worker does not end."""
    script = f"""{AT_ONCE}
import threading, time
from otel_agentcost.integrations import child_processes
child_processes.LONGEST_FLUSH = 1.0
def stays(number):
    threading.Thread(target=time.sleep, args=(60,)).start()
if __name__ == "__main__":
    began = time.monotonic()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.apply_async(time.sleep, (60,))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(stays, range(2))
    print(time.monotonic() - began < 30)
"""
    assert run(tmp_path, script).split() == ["True"]


@pytest.mark.parametrize("start", ["fork", "forkserver"])
def test_calls_of_children_that_instrument_themselves_are_not_lost(tmp_path: Path, start: str) -> None:
    """The initializer of a pool instruments its workers; the parent is not instrumented."""
    run(tmp_path, f"{SET_UP}\nif __name__ == '__main__':\n    in_parallel({start!r}, set_up)\n")
    check(tmp_path, 12)


def test_a_stream_that_a_child_leaves_open_is_not_lost(tmp_path: Path) -> None:
    """It is settled with what has arrived, and so are the run around it and its totals."""
    script = f"""{AT_ONCE}
from tests.integrations.sdks.recorded_streams import CHAT, Wire
kept = []
def left():
    with otel_agentcost.run("ticket"):
        kept.append(CHAT.ask(Wire(CHAT.chunks).transport()))
        next(kept[0])
if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=left)
    child.start()
    child.join()
"""
    run(tmp_path, script)
    (spans,) = lines(tmp_path, "spans").values()
    by_name = {span["name"].split()[0]: span["attributes"] for span in spans}
    assert by_name["chat"]["agentcost.usage.estimated"] is True
    assert by_name["invoke_workflow"]["agentcost.trace.llm_calls"] == 1


def test_calls_of_a_childs_threads_are_not_lost(tmp_path: Path) -> None:
    """`multiprocessing` waits for threads after its finalizers. Idle threads of an executor do not hold up the end."""
    script = f"""{AT_ONCE}
import threading, time
from concurrent.futures import ThreadPoolExecutor
kept = ThreadPoolExecutor()
def late():
    time.sleep(0.5)
    ask()
def left():
    kept.submit(ask).result()
    threading.Thread(target=late).start()
if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=left)
    child.start()
    child.join()
    print(child.exitcode)
"""
    assert run(tmp_path, script).split() == ["0"]
    check(tmp_path, 2)


def test_a_child_does_not_hang_on_an_exporter_that_cannot_send(tmp_path: Path) -> None:
    """The exporter needs a minute; the child waits for it as long as it is allowed to, and its exit code stays."""
    script = f"""{SET_UP}
import time
from otel_agentcost.integrations import child_processes
child_processes.LONGEST_FLUSH = 0.5
set_up()
class Slow:
    def force_flush(self, timeout_millis=30_000):
        time.sleep(60)
child_processes.flush_at_end(lambda: (Slow(), Slow()))
if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=work, args=(1,))
    began = time.monotonic()
    child.start()
    child.join()
    print(child.exitcode, time.monotonic() - began < 30)
    child_processes.stop()
"""
    assert run(tmp_path, script).split() == ["0", "True"]


def test_a_failing_exporter_does_not_change_how_a_child_ends(tmp_path: Path) -> None:
    """A provider of the application that raises is logged, and the child ends as it would without us."""
    script = f"""{SET_UP}
from otel_agentcost.integrations import child_processes
set_up()
class Broken:
    def force_flush(self, timeout_millis=30_000):
        raise RuntimeError("no")
child_processes.flush_at_end(lambda: (Broken(), object()))
if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=work, args=(1,))
    child.start()
    child.join()
    print(child.exitcode)
"""
    assert run(tmp_path, script).split() == ["0"]


def test_an_application_without_children_does_not_import_multiprocessing() -> None:
    """The hooks wait for the application to import it."""
    script = """
        import sys
        import otel_agentcost
        before = "multiprocessing.util" in sys.modules
        otel_agentcost.instrument()
        print(before, "multiprocessing.util" in sys.modules)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert said[0] == said[1]
