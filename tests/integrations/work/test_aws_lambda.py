"""AWS Lambda: each invocation of a warm process has its own allowance."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.budgeted_calls import answering
from tests.support.model_server import ModelServer

pytest.importorskip("awslambdaric", reason="awslambdaric is not here: `make frameworks`")

ROOT = Path(__file__).parents[3]

HANDLER = """
import otel_agentcost
from openai import OpenAI
otel_agentcost.instrument()
openai = OpenAI(api_key="none")
def handler(event, context):
    made = 0
    try:
        while made < event["most"]:
            openai.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}], max_tokens=50
            )
            made += 1
    except otel_agentcost.BudgetExceeded as error:
        return [made, str(error)]
    return [made, ""]
"""


class _Api(BaseHTTPRequestHandler):
    """The runtime API of Lambda: hands out events, and takes answers."""

    protocol_version = "HTTP/1.1"
    events: list[int]
    answers: list[tuple[int, str]]
    done: threading.Event

    def do_GET(self) -> None:
        if not self.events:
            self.done.set()
            self.done = threading.Event()
            self.done.wait(60)  # the runtime waits for its next event until it is stopped
            return
        body = json.dumps({"most": self.events.pop(0)}).encode()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", f"request-{len(self.answers)}")
        self.send_header("Lambda-Runtime-Deadline-Ms", "4000000000000")
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:0:function:f")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        answer = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path.endswith("/response"), answer
        self.answers.append((answer[0], answer[1]))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name in the base class)
        """Stay silent."""


@contextmanager
def api(events: list[int]) -> Generator[tuple[str, list[tuple[int, str]], threading.Event]]:
    """Serves the API; gives its address, the answers, and what is set when all events are answered."""
    answers: list[tuple[int, str]] = []
    done = threading.Event()
    handler = type("Handler", (_Api,), {"events": events, "answers": answers, "done": done})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", answers, done
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_invocation_is_never_refused_for_another(model_server: ModelServer, tmp_path: Path) -> None:
    """The real runtime client serves thirty events, and one whose handler calls without end, in one process."""
    answering(model_server)
    (tmp_path / "function.py").write_text(HANDLER, encoding="utf-8")
    with api([*[1] * 30, 50, 3]) as (address, answers, done):
        environment = {
            **os.environ,
            "AWS_LAMBDA_RUNTIME_API": address,
            "LAMBDA_TASK_ROOT": str(tmp_path),
            "PYTHONPATH": str(ROOT),
            "OPENAI_BASE_URL": model_server.url + "/v1",
            "OTEL_AGENTCOST_TRACE_MAX_LLM_CALLS": "3",
        }
        command = [sys.executable, "-m", "awslambdaric", "function.handler"]
        with subprocess.Popen(command, cwd=tmp_path, env=environment) as runtime:
            try:
                assert done.wait(120)
            finally:
                runtime.kill()
    *tiny, (runaway, said), after = answers
    assert tiny == [(1, "")] * 30
    assert (runaway, after) == (3, (3, ""))
    assert "of Lambda invocation request-30 has too little left" in said
    assert said.endswith(" The next Lambda invocation has a new allowance.")
