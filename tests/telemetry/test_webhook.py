"""The webhook: what is sent, how often, and what happens while its server is slow, down, or refuses."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from otel_agentcost import BudgetExceeded
from otel_agentcost.diagnostics import forget_causes
from otel_agentcost.telemetry import webhook as module
from otel_agentcost.telemetry.webhook import APART, LAST, MOST, Webhook
from tests.support.budgeted_calls import answering, ask, budgeted, client, until_refused
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request
from tools.documents import ROOT

PATH = "/services/T0000/secret"
NO_SPAN = trace.INVALID_SPAN


@pytest.fixture(autouse=True)
def anew() -> None:
    """Each cause of a warning is new."""
    forget_causes()


@pytest.fixture
def told() -> Iterator[ModelServer]:
    """The server that is told."""
    with ModelServer() as server:
        server.responder = lambda _: Reply(body=b"ok", content_type="text/plain")
        yield server
        server.responder = lambda _: Reply(body=b"ok", content_type="text/plain")
        while MADE:  # no thread of a test logs in the next one
            MADE.pop().force_flush()


MADE: list[Webhook] = []
"""The webhooks of the current test."""


class Told:
    """A webhook to `server`, whose clock tests put forward."""

    def __init__(self, server: ModelServer, *, slack: bool = False) -> None:
        self.now = 0.0
        self.server = server
        self.webhook = Webhook(server.url + PATH, "host.example", slack=slack, clock=lambda: self.now)
        MADE.append(self.webhook)

    def tell(self, rule: str = "user/day:usd=1", text: str = "It is used up.") -> None:
        """One event."""
        self.webhook.tell("limit", rule, text, NO_SPAN)

    def bodies(self) -> list[Any]:
        """What the server was sent, once nothing waits any more."""
        assert self.webhook.force_flush()
        return [request.json for request in self.server.requests]


@pytest.fixture
def hook(told: ModelServer) -> Told:
    """A webhook in plain JSON."""
    return Told(told)


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until `condition` returns something true."""
    until = time.monotonic() + 20
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    assert condition()


# --- what is sent -----------------------------------------------------------------------------------------------------

BUDGETS = {"budgets": "user=u1:usd=0.0001,on_exceed=block", "soft_limit": 0.4}
LOOP: list[dict[str, Any]] = [{"role": "user", "content": "secret words"}]
for _n in range(4):
    _call = {"name": "look_up", "arguments": '{"q": "hidden"}'}
    LOOP.append({"role": "assistant", "tool_calls": [{"id": f"c{_n}", "type": "function", "function": _call}]})
    LOOP.append({"role": "tool", "tool_call_id": f"c{_n}", "content": "nothing"})


def test_limits_refusals_breakers_and_loops_are_told(
    telemetry: Telemetry, model_server: ModelServer, told: ModelServer
) -> None:
    """Each with its rule, service and trace; no word of a prompt, no argument of a tool."""
    openai = client(answering(model_server))
    settings = {**BUDGETS, "user": "u1", "breakers": "user:trips=2/10m,open=15m", "webhook": told.url + PATH}
    with budgeted(telemetry, **settings):
        ask(openai, messages=LOOP)
        until_refused(lambda: ask(openai))
    found = {request.json["kind"]: request.json for request in told.requests}
    assert found.keys() == {"soft_limit", "refusal", "breaker_opened", "loop"}
    assert {request.path for request in told.requests} == {PATH}
    assert {request.headers["content-type"] for request in told.requests} == {"application/json"}
    assert found["soft_limit"]["rule"] == found["refusal"]["rule"] == "user=u1:usd=0.0001,on_exceed=block"
    assert found["soft_limit"]["text"].startswith("the budget user=u1:usd=0.0001")
    assert "look_up" in found["loop"]["rule"]
    assert "has opened after" in found["breaker_opened"]["text"]
    for notice in found.values():
        assert (notice["source"], notice["service"], notice["more"]) == ("otel-agentcost", "test", 0)
        assert len(notice["trace_id"]) == 32
        assert not {"secret", "hidden"} & set(json.dumps(notice).replace('"', " ").split())


def test_a_budget_that_warns_tells_that_it_is_used_up(
    telemetry: Telemetry, model_server: ModelServer, told: ModelServer
) -> None:
    """Nothing is refused there, so that this is the only sign."""
    openai = client(answering(model_server))
    with budgeted(telemetry, budgets="total:usd=0.00005,on_exceed=warn", webhook=told.url + PATH):
        for _ in range(3):
            ask(openai)
    assert "limit" in {request.json["kind"] for request in told.requests}


def test_slack_gets_a_text_in_which_a_name_calls_nobody(told: ModelServer) -> None:
    """Slack reads `<!channel>` in a text as a call of everybody."""
    hook = Told(told, slack=True)
    hook.tell(text="the budget of <!channel> & co is used up.")
    assert hook.bodies() == [{"text": "the budget of &lt;!channel&gt; &amp; co is used up."}]


def test_nothing_sees_a_notice(telemetry: Telemetry, model_server: ModelServer, told: ModelServer) -> None:
    """Neither the net below the SDKs, though the address looks like that of a model, nor others' instrumentations."""
    suppressed: list[bool] = []

    def sent(request: Any, data: Any = None, timeout: Any = None) -> Any:
        from opentelemetry.instrumentation.utils import is_instrumentation_enabled

        suppressed.append(not is_instrumentation_enabled())
        return opened(request, data, timeout)

    opener = module._opener()
    opened = opener.open
    opener.open = sent
    host = told.url.removeprefix("http://")
    try:
        with budgeted(
            telemetry, budgets="total:calls=1", hosts=f"{host}=openai", webhook=f"{told.url}/v1/chat/completions"
        ):
            openai = client(answering(model_server))
            ask(openai)
            with pytest.raises(BudgetExceeded):
                ask(openai)
    finally:
        del opener.open
    assert len(told.requests) == len(suppressed) == 2
    assert all(suppressed)
    assert {span.name for span in telemetry.spans} == {"chat gpt-4o-mini"}
    assert len(telemetry.spans) == 2


# --- how often --------------------------------------------------------------------------------------------------------


def test_a_cause_is_told_once_a_minute_with_what_came_meanwhile(hook: Told) -> None:
    """Another rule is another cause."""
    for _ in range(4):
        hook.tell()
    hook.tell("total:usd=5")
    hook.now = APART - 0.1
    hook.tell()
    hook.now = APART
    hook.tell()
    hook.now = 3 * APART
    hook.tell()
    found = [(body["rule"], body["more"]) for body in hook.bodies()]
    assert found == [("user/day:usd=1", 0), ("total:usd=5", 0), ("user/day:usd=1", 4), ("user/day:usd=1", 0)]


def test_many_threads_tell_once(hook: Told) -> None:
    """However they meet."""
    ready = threading.Barrier(16)

    def work() -> None:
        ready.wait()
        for _ in range(200):
            hook.tell()

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hook.bodies()) == 1
    hook.now = APART
    hook.tell()
    assert hook.bodies()[-1]["more"] == 16 * 200 - 1


def test_memory_is_bounded(hook: Told, caplog: pytest.LogCaptureFixture) -> None:
    """With many causes, and with a server that takes its time. What is lost is said once."""
    hook.server.responder = lambda _: time.sleep(0.5) or Reply()  # type: ignore[func-returns-value]
    for number in range(5_000):
        hook.tell(f"rule {number}")
    assert len(hook.webhook._queue) <= MOST
    assert len(hook.webhook._told) <= module.CAUSES
    assert sum("100 notices wait already" in record.message for record in caplog.records) == 1


# --- what fails -------------------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts that follow each other quickly."""
    monkeypatch.setattr(module, "WAITS", (0.05, 0.05, 0.05))


@pytest.mark.usefixtures("impatient")
def test_a_server_that_fails_is_asked_again(hook: Told, caplog: pytest.LogCaptureFixture) -> None:
    """Until it takes the notice."""
    hook.server.responder = None
    hook.server.replies(Reply(status=503), Reply(status=429, headers={"Retry-After": "0"}), Reply(status=500), Reply())
    hook.tell()
    assert len(hook.bodies()) == 4
    assert not caplog.records


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("reply", "attempts", "why"),
    [
        (Reply(status=500), 4, "status 500"),
        (Reply(status=404), 1, "status 404"),
        (Reply(status=302, headers={"Location": "/elsewhere"}), 1, "status 302"),
    ],
)
def test_what_is_lost_is_said_once_without_the_secret(
    hook: Told, caplog: pytest.LogCaptureFixture, reply: Reply, attempts: int, why: str
) -> None:
    """A refusal is no reason to ask again, and a notice goes to no other address."""
    caplog.set_level(logging.DEBUG)
    hook.server.responder = lambda _: reply
    for rule in ("one", "two"):
        hook.tell(rule)
        assert hook.webhook.force_flush()
    assert len(hook.server.requests) == 2 * attempts
    assert {request.path for request in hook.server.requests} == {PATH}
    (record,) = (record for record in caplog.records if record.name.startswith("otel_agentcost"))
    assert f"could not be sent to the webhook at host.example ({why})" in record.message
    assert "secret" not in caplog.text


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:9/secret", "ConnectionRefusedError"),
        ("http://no-such-host.invalid/secret", "gaierror"),
        ("http://127.0.0.1:9/a secret", "InvalidURL"),
    ],
)
def test_a_server_that_is_not_there_costs_a_log_line(url: str, why: str, caplog: pytest.LogCaptureFixture) -> None:
    """The call goes on at once; an error that quotes the address is not shown."""
    webhook = Webhook(url, "host.example")
    began = time.monotonic()
    webhook.tell("limit", "rule", "text", NO_SPAN)
    assert time.monotonic() - began < 0.5
    assert webhook.force_flush()
    assert f"({why})" in caplog.text
    assert "secret" not in caplog.text


def test_a_slow_server_holds_up_neither_calls_nor_the_end(told: ModelServer, caplog: pytest.LogCaptureFixture) -> None:
    """The end of a process waits for a bounded time, and says what was not sent."""
    release = threading.Event()
    told.responder = lambda _: Reply(status=200 if release.wait(20) else 500)
    hook = Told(told)
    began = time.monotonic()
    for number in range(3):
        hook.tell(f"rule {number}")
    assert time.monotonic() - began < 0.5
    hook.webhook.close()
    assert LAST * 0.9 <= time.monotonic() - began < LAST + 3
    assert "3 notices could not be sent to the webhook at host.example (there was no time left)" in caplog.text
    release.set()
    assert hook.webhook.force_flush()  # nothing is logged later, in another test


def test_a_later_notice_is_sent_after_the_end(hook: Told) -> None:
    """A call may settle after `uninstrument`."""
    hook.tell("one")
    hook.webhook.close()
    hook.tell("two")
    assert [body["rule"] for body in hook.bodies()] == ["one", "two"]


# --- processes --------------------------------------------------------------------------------------------------------


def script(server: ModelServer, code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a program that tells the webhook."""
    head = f"""
import os, sys, time
from opentelemetry import trace
from otel_agentcost.telemetry.webhook import Webhook
hook = Webhook({server.url + PATH!r}, "host.example")
tell = lambda rule: hook.tell("limit", rule, "text", trace.INVALID_SPAN)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    command = [sys.executable, "-c", head + textwrap.dedent(code)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)


def rules(server: ModelServer) -> list[str]:
    """The rules of which the server was told, sorted."""
    return sorted(request.json["rule"] for request in server.requests)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it cannot fork here")
def test_a_child_of_a_fork_tells_for_itself(told: ModelServer) -> None:
    """It neither repeats what its parent has to say, nor waits for a lock that a thread of the parent holds."""
    told.responder = lambda _: time.sleep(0.3) or Reply()  # type: ignore[func-returns-value]
    code = """
    tell("parent 1"); tell("parent 2")
    pid = os.fork()
    if not pid:
        tell("child")
        os._exit(0 if hook.force_flush() else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert hook.force_flush()
    """
    script(told, code)
    assert rules(told) == ["child", "parent 1", "parent 2"]


def test_nothing_is_imported_before_the_first_notice(told: ModelServer) -> None:
    """No client of HTTP; and no thread runs."""
    code = """
    import threading
    print([name for name in ("http.client", "urllib.request") if name in sys.modules])
    print(threading.active_count())
    """
    assert script(told, code).stdout.split("\n")[:2] == ["[]", "1"]


def test_the_end_of_a_program_sends_what_waits(tmp_path: Path, model_server: ModelServer, told: ModelServer) -> None:
    """Under the launcher, with the address in the environment."""
    file = tmp_path / "agent.py"
    file.write_text(
        f"""
import openai
from otel_agentcost import BudgetExceeded
client = openai.OpenAI(base_url={answering(model_server).url!r} + "/v1", api_key="none", max_retries=0)
try:
    while True:
        client.chat.completions.create(model="gpt-4o-mini", messages=[{{"role": "user", "content": "Hi"}}])
except BudgetExceeded:
    pass
""",
        encoding="utf-8",
    )
    launcher = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
    exporters = dict.fromkeys(("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none")
    environment = {
        **os.environ,
        **exporters,
        "PYTHONPATH": str(ROOT),
        "OTEL_AGENTCOST_BUDGETS": "total:calls=2",
        "OTEL_AGENTCOST_WEBHOOK": told.url + PATH,
        "OTEL_SERVICE_NAME": "bees",
    }
    command = [sys.executable, "-c", launcher, sys.executable, str(file)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert {request.json["kind"] for request in told.requests} >= {"refusal", "limit"}
    assert {request.json["service"] for request in told.requests} == {"bees"}
    assert "secret" not in ran.stdout + ran.stderr


GEVENT = """
from gevent import monkey
monkey.patch_all()
import gevent
beats = []
def beat():
    while True:
        beats.append(1)
        gevent.sleep(0.01)
gevent.spawn(beat)
tell("one"); tell("two")
assert hook.force_flush()
print(len(beats))
"""


def test_green_threads_are_not_held_up(told: ModelServer) -> None:
    """Where gevent has replaced threads and sockets after this package was imported, others run meanwhile."""
    pytest.importorskip("gevent", reason="gevent is not here: `make frameworks ARGS=surroundings`")
    told.responder = lambda _: time.sleep(0.3) or Reply()  # type: ignore[func-returns-value]
    assert int(script(told, GEVENT).stdout) > 20
    assert rules(told) == ["one", "two"]


def test_the_request_says_who_sends_it(hook: Told) -> None:
    """As exporters do."""
    hook.tell()
    hook.bodies()
    (request,) = hook.server.requests
    assert isinstance(request, Request)
    assert request.headers["user-agent"].startswith("otel-agentcost/")
