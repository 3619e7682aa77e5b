"""A process that storms: `python -m tests.overspend.worker NAME`.

It reads orders from its standard input, one in JSON a line, and answers each with a line of what it did. One process
takes the orders of many storms, because it takes longer to start than to storm.
"""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from otel_agentcost.guard.ledger import open_ledger, sqlite
from tests.overspend import audit
from tests.overspend.guard_load import Storm
from tests.overspend.load import PATIENCE
from tests.overspend.sdk_load import App
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry

ROOT = Path(__file__).resolve().parent.parent.parent


def guard(order: dict[str, Any], name: str) -> dict[str, Any]:
    """A storm on the guard alone."""
    ledger = open_ledger(order["ledger"], timeout=5)
    raging = Storm(ledger, order["rules"], order["seed"], name, wait=order["wait"])
    raging.threads(order["threads"], order["calls"])
    kept = raging.guard.ledger.unsettled
    ledger.close()
    spent = [(key, unit, amount) for (key, unit), amount in raging.spent.items()]
    return {**{key: getattr(raging, key) for key in ("calls", "admitted", "refused")}, "spent": spent, "kept": kept}


def line(order: dict[str, Any], name: str) -> dict[str, Any]:
    """A storm through the SDK."""
    telemetry, app = Telemetry(), App(order["seed"], name)
    settings = {"ledger": order["ledger"], "ledger_timeout": "5", "wait_seconds": str(order["wait"])}
    with budgeted(telemetry, budgets=order["rules"], **settings):
        app.threads(order["server"], order["threads"])
        said = audit.told(telemetry, len(app.ended))
    telemetry.shutdown()
    return {"ended": [asdict(each) for each in app.ended], "said": [asdict(each) for each in said], "runs": app.runs}


@contextmanager
def workers(number: int) -> Generator[list[subprocess.Popen[str]], None, None]:
    """So many of these processes, all loaded and ready."""
    command = [sys.executable, "-m", "tests.overspend.worker"]
    started = [
        subprocess.Popen([*command, f"p{i}"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for i in range(number)
    ]
    try:
        for process in started:
            assert _read(process) == "ready"
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def ask_all(processes: list[subprocess.Popen[str]], order: dict[str, Any]) -> list[dict[str, Any]]:
    """Gives all of them the same order at once, and waits for their answers."""
    for process in processes:
        assert process.stdin is not None
        print(json.dumps(order), file=process.stdin, flush=True)
    answers = [_read(process) for process in processes]
    for answer in answers:
        assert "failed" not in answer, answer["failed"]
    return answers


def _read(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    answer = process.stdout.readline()
    assert answer, f"the process has ended: {process.wait()}"
    return json.loads(answer)


if __name__ == "__main__":
    print(json.dumps("ready"), flush=True)
    sqlite.PATIENCE = PATIENCE
    tasks = {"guard": guard, "line": line}
    for written in sys.stdin:
        given = json.loads(written)
        try:
            answer = tasks[given["task"]](given, sys.argv[1])
        except Exception:
            answer = {"failed": traceback.format_exc()}
        print(json.dumps(answer), flush=True)
