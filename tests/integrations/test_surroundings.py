"""Applications in surroundings that nobody tests in run as without this package: each program in a process of its own.

A program is run without this package and with it, and prints what it sees: the two must be equal.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.model_server import ModelServer
from tests.support.replies import chat_reply, chat_stream

ROOT = Path(__file__).resolve().parents[2]

OURS = """
import otel_agentcost
otel_agentcost.instrument()
"""
CALL = """
import openai
client = openai.OpenAI(base_url=URL + "/v1", api_key="none", max_retries=0)
MESSAGES = [{"role": "user", "content": "Hi"}]
def ask(**more):
    return client.chat.completions.create(**{"model": "gpt-4o-mini", "messages": MESSAGES, **more})
"""


def outcome(program: str, url: str, *options: str, ours: bool, budgets: str = "total/day:usd=100") -> tuple[int, str]:
    """The exit code of a program, and all that it prints, without the log of this package."""
    code = f"URL = {url!r}\n{OURS if ours else ''}{program}"
    environment = {**os.environ, "OTEL_AGENTCOST_BUDGETS": budgets, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    errors = "".join(line for line in done.stderr.splitlines(keepends=True) if not line.startswith("otel-agentcost:"))
    return done.returncode, done.stdout + errors


def check_same(program: str, server: ModelServer, *options: str, calls: int) -> str:
    """Both runs end well and print the same, which is returned."""
    server.replies(*([chat_reply()] * calls))
    without = outcome(program, server.url, *options, ours=False)
    assert without[0] == 0, without
    server.replies(*([chat_reply()] * calls))
    assert outcome(program, server.url, *options, ours=True) == without
    return without[1]


@pytest.mark.parametrize("options", [("-bb", "-W", "error"), ("-OO",)], ids=" ".join)
def test_options_of_the_interpreter_break_nothing(options: tuple[str, ...], model_server: ModelServer) -> None:
    """Bytes that are compared with text are an error under `-bb`; assertions and docstrings are gone under `-OO`."""
    program = f"{CALL}\nimport requests, httpx, aiohttp, urllib3, websockets.sync.client\nprint(type(ask()).__name__)"
    assert check_same(program, model_server, *options, calls=1) == "ChatCompletion\n"


def test_a_log_handler_that_raises_fails_no_call(model_server: ModelServer) -> None:
    """Nor does a filter: what this package logs within a call is not the call's."""
    program = f"""{CALL}
import logging
class Handler(logging.Handler):
    def emit(self, record):
        raise ZeroDivisionError("handler")
class Filter(logging.Filter):
    def filter(self, record):
        raise ZeroDivisionError("filter")
logging.getLogger().addHandler(Handler())
print(type(ask(model="no-such-model")).__name__)
logging.getLogger("otel_agentcost").addFilter(Filter())
try:
    ask(extra_body=object())
except TypeError as error:
    print(error)
"""
    seen = check_same(program, model_server, calls=1)
    assert seen == "ChatCompletion\n'object' object is not a mapping\n"


def test_standard_error_that_is_closed_fails_no_start(model_server: ModelServer) -> None:
    """A daemon closes it, and a budget that cannot be read is told there."""
    program = f"""
import logging, os, sys
logging.getLogger("otel_agentcost").disabled = True
sys.stderr.close()
os.environ["OTEL_AGENTCOST_BUDGETS"] = "nonsense"
try:
    import otel_agentcost
    otel_agentcost.uninstrument()
    otel_agentcost.instrument()
except ImportError:
    pass
{CALL}
print(type(ask()).__name__)
"""
    assert check_same(program, model_server, calls=1) == "ChatCompletion\n"


def test_a_package_of_another_shape_is_left_as_it_is(tmp_path: Path, model_server: ModelServer) -> None:
    """A folder of the application shadows a package of which only the names are the same."""
    shapes = {
        "aiohttp/client.py": "class ClientSession:\n    _request = staticmethod(lambda *args: args)\n",
        "requests/sessions.py": "class Session:\n    request = classmethod(lambda cls, *args: args)\n",
        "urllib3/poolmanager.py": "class PoolManager:\n    def urlopen(self, address, *args):\n        return args\n",
        "urllib3/connectionpool.py": "class HTTPConnectionPool:\n    urlopen = 5\n",
        "httpx/_client.py": "class Client:\n    def send(self):\n        return 5\nAsyncClient = None\n",
        "openai/_base_client.py": "raise RuntimeError('broken')",
    }
    for name, text in shapes.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).parent.joinpath("__init__.py").touch()
        (tmp_path / name).write_text(text, encoding="utf-8")
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import aiohttp.client, requests.sessions, urllib3.poolmanager, urllib3.connectionpool, httpx._client
print(aiohttp.client.ClientSession._request(1), requests.sessions.Session.request(2))
print(urllib3.poolmanager.PoolManager().urlopen("a", "b"), urllib3.connectionpool.HTTPConnectionPool.urlopen)
print(httpx._client.Client().send())
try:
    import openai._base_client
except RuntimeError as error:
    print(repr(error))
"""
    check_same(program, model_server, calls=0)


def test_doubles_of_providers_neither_hang_nor_lift_a_budget(model_server: ModelServer) -> None:
    """Every attribute of a `MagicMock` is another one, without end."""
    program = f"""
from unittest import mock
from opentelemetry import metrics, trace
trace.set_tracer_provider(mock.MagicMock())
metrics.set_meter_provider(mock.MagicMock())
{CALL}
print(type(ask()).__name__, len(list(ask(stream=True))))
with trace.get_tracer("application").start_as_current_span("job"):
    print(type(ask()).__name__)
"""
    replies = [chat_reply(), chat_stream(), chat_reply()]
    model_server.replies(*replies)
    without = outcome(program, model_server.url, ours=False)
    model_server.replies(*replies)
    assert outcome(program, model_server.url, ours=True) == without
    assert without[0] == 0
    model_server.replies(*replies)
    code, seen = outcome(program, model_server.url, ours=True, budgets="total:calls=2")
    assert code == 1
    assert "BudgetExceeded: The budget total:calls=2" in seen
