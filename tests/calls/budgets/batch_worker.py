"""A process that creates or reads a batch: `python -m tests.calls.budgets.batch_worker <task> <url> <ledger>`.

It prints the dollars that it has charged.
"""

from __future__ import annotations

import atexit
import json
import sys

import otel_agentcost
from tests.integrations.sdks.test_batches import PROGRAMS, settlements
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry


def main(task: str, program: str, url: str, ledger: str) -> None:
    """Do the task."""
    telemetry = Telemetry()
    with budgeted(telemetry, budgets="user:usd=1", ledger=ledger, ledger_timeout=5):
        if task == "create":
            with otel_agentcost.attribute(user="u1"):
                PROGRAMS[program].create(url)
        else:
            sys.stdin.readline()
            PROGRAMS[program].read(url)
    # After the threads that ask the ledger for asynchronous programs: they end before this.
    atexit.register(lambda: print(json.dumps([each.get("agentcost.cost.usd", 0) for each in settlements(telemetry)])))


if __name__ == "__main__":
    main(*sys.argv[1:])
