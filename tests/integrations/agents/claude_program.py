"""A program that speaks the protocol of claude-agent-sdk on its standard streams, as Claude Code does.

It calls no model: each prompt is one call of the tool `search` and then a text, or only the text in later turns if
`ONE_TOOL` is set. It reports running totals, stops at `--max-budget-usd`, and when it is interrupted. `HELPER=1` adds
the calls of a second model, `TWICE=1` a second call of the tool beside the first one, `OLD=1` leaves out what old
releases do not report, `NO_RESULT=1` ends without a report.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from typing import Any

MODEL, HELPER = "claude-sonnet-4-6", "claude-haiku-4-5"
USD = 0.00105
"""The price of each call of `MODEL`: 100 tokens in, 50 out, at $3 and $15 for a million."""
HELPER_USD = 0.00035
SESSION = "5f0c2f0e-3f8e-4a40-9a3c-0f6f4f6f8d52"


class Interrupted(Exception):
    """The application does not want the turn to go on."""


class Program:
    """The state of one connection."""

    def __init__(self, arguments: list[str]) -> None:
        self.most = (
            float(arguments[arguments.index("--max-budget-usd") + 1]) if "--max-budget-usd" in arguments else 9.0
        )
        self.calls = self.turns = 0
        self.lines: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def say(self, **message: Any) -> None:
        """Write one message."""
        print(json.dumps({"session_id": SESSION, "parent_tool_use_id": None, **message}), flush=True)

    def listen(self) -> None:
        """Read the messages of the SDK."""
        for line in sys.stdin:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def answer(self, request: dict[str, Any]) -> None:
        """Answer a request of the SDK."""
        response = {"subtype": "success", "request_id": request["request_id"], "response": {"commands": []}}
        print(json.dumps({"type": "control_response", "response": response}), flush=True)
        if request["request"]["subtype"] == "interrupt":
            raise Interrupted

    def pause(self) -> None:
        """Let the SDK interrupt."""
        until = time.monotonic() + 0.3
        while (left := until - time.monotonic()) > 0:
            try:
                line = self.lines.get(timeout=left)
            except queue.Empty:
                return
            if line is None or line["type"] != "control_request":
                self.lines.queue.appendleft(line)
                time.sleep(left)
                return
            self.answer(line)

    def assistant(self, *blocks: dict[str, Any]) -> None:
        """Say what the model has answered. The output tokens are those of the beginning of its answer."""
        self.calls += 1
        message = {"id": f"msg_{self.calls}", "role": "assistant", "model": MODEL, "content": blocks}
        self.say(type="assistant", message={**message, "usage": {"input_tokens": 100, "output_tokens": 2}})

    def turn(self) -> None:
        """Work on one prompt."""
        self.turns += 1
        before, subtype = self.calls, "success"
        self.say(type="system", subtype="init", model=MODEL, claude_code_version="2.1.332")
        try:
            if self.turns == 1 or "ONE_TOOL" not in os.environ:
                names = [f"toolu_{self.turns}_{number}" for number in range(2 if "TWICE" in os.environ else 1)]
                called = {"type": "tool_use", "name": "search", "input": {"query": "bees"}}
                self.assistant(*({**called, "id": name} for name in names))
                result = {"type": "tool_result", "content": "pages on bees"}
                results = [{**result, "tool_use_id": name} for name in names]
                self.say(type="user", message={"role": "user", "content": results})
                self.pause()
            if self.calls * USD >= self.most:
                subtype = "error_max_budget_usd"
            else:
                self.assistant({"type": "text", "text": "Bees shiver."})
        except Interrupted:
            subtype = "error_during_execution"
        if "NO_RESULT" not in os.environ:
            self.result(subtype, self.calls - before)

    def result(self, subtype: str, calls: int) -> None:
        """Report the turn, and the totals so far."""
        helper = "HELPER" in os.environ
        usage = {MODEL: self.totals(self.calls, USD)} | (
            {HELPER: self.totals(self.turns, HELPER_USD)} if helper else {}
        )
        self.say(
            type="result",
            subtype=subtype,
            is_error=subtype != "success",
            duration_ms=1,
            duration_api_ms=1,
            num_turns=calls,
            result="Bees shiver.",
            total_cost_usd=sum(each["costUSD"] for each in usage.values()),
            usage={"input_tokens": 100 * calls, "output_tokens": 50 * calls},
            **({} if "OLD" in os.environ else {"modelUsage": usage}),
        )

    @staticmethod
    def totals(calls: int, usd: float) -> dict[str, Any]:
        """The running totals of one model."""
        counts = {"inputTokens": 100 * calls, "outputTokens": 50 * calls, "costUSD": usd * calls}
        return {**counts, "cacheReadInputTokens": 0, "cacheCreationInputTokens": 0, "webSearchRequests": 0}

    def run(self, *, prompted: bool) -> None:
        """Work until the SDK closes the stream."""
        if prompted:  # old releases of the SDK name the only prompt among the arguments
            self.turn()
            return
        threading.Thread(target=self.listen, daemon=True).start()
        while (line := self.lines.get()) is not None:
            if line["type"] == "user":
                self.turn()
            elif line["type"] == "control_request":
                self.answer(line)


if __name__ == "__main__":
    if "-v" in sys.argv:
        print("2.1.332 (Claude Code)")
    else:
        Program(sys.argv).run(prompted="--print" in sys.argv)
