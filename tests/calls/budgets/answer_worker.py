"""A process that begins or reads an answer that goes on: `python -m tests.calls.budgets.answer_worker <url> <ledger>`.

It reads tasks line by line, `begin USER` or `read USER`, and prints after each what it has charged by then.
"""

from __future__ import annotations

import json
import sys

from openai import OpenAI

import otel_agentcost
from tests.support.budgeted_calls import budgeted
from tests.support.call_shapes import warnings_of_ours
from tests.support.in_memory import Telemetry


def main(url: str, ledger: str) -> None:
    """Do the tasks."""
    telemetry = Telemetry()
    openai = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    with warnings_of_ours() as warned, budgeted(telemetry, budgets="user:usd=1", ledger=ledger, ledger_timeout=5):
        for line in sys.stdin:
            task, _, user = line.strip().partition(" ")
            with otel_agentcost.attribute(user=user):
                if task == "begin":
                    openai.responses.create(model="gpt-5", input="Think.", background=True, max_output_tokens=6000)
                else:
                    openai.responses.retrieve("resp_1")
            spans = [dict(span.attributes or {}) for span in telemetry.spans]
            charged = [each["user.id"] for each in spans if "agentcost.cost.usd" in each]
            found = {"usd": telemetry.total("agentcost.cost"), "charged": charged, "logged": list(warned)}
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
