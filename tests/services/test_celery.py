"""Celery: its worker processes end by `os._exit`, and their spans and metrics are not lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.telemetry.test_child_processes import AT_ONCE, ROOT, check, lines

celery: Any = pytest.importorskip("celery", reason="celery is not here: `make frameworks`")


def test_calls_of_celery_workers_are_not_lost(tmp_path: Path) -> None:
    """A prefork worker that is replaced after one task (`max_tasks_per_child`) has exported its call."""
    broker = tmp_path / "broker"
    for name in ("in", "processed"):
        (broker / name).mkdir(parents=True)
    options = {"data_folder_in": str(broker / "in"), "data_folder_out": str(broker / "in")}
    script = f"""{AT_ONCE}
from celery import Celery
app = Celery("application", broker="filesystem://")
app.conf.broker_transport_options = {options!r}
@app.task(name="work")
def task():
    ask()
if __name__ == "__main__":
    for _ in range(3):
        task.delay()
    app.worker_main(["worker", "--pool=prefork", "--concurrency=1", "--max-tasks-per-child=1", "--loglevel=WARNING"])
"""
    (tmp_path / "application.py").write_text(script, encoding="utf-8")
    environment = {**os.environ, "TELEMETRY": str(tmp_path), "PYTHONPATH": str(ROOT), "C_FORCE_ROOT": "1"}
    worker = subprocess.Popen([sys.executable, str(tmp_path / "application.py")], cwd=tmp_path, env=environment)
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and len(lines(tmp_path, "spans")) < 3:
            time.sleep(0.5)
    finally:
        worker.terminate()
        worker.wait(30)
    check(tmp_path, 3)
