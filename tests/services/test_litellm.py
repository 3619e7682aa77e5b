"""A real LiteLLM proxy behind an application, both under `opentelemetry-instrument`: each call is charged once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.budgeted_calls import USD
from tests.support.model_server import ModelServer, json_reply
from tests.support.otlp_receiver import OtlpReceiver, attributes
from tests.support.replies import chat

pytest.importorskip("litellm", reason="litellm is not here: `make frameworks`")

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent

APPLICATION = """
import sys
from openai import OpenAI
from opentelemetry import trace
from otel_agentcost import BudgetExceeded
client = OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
if sys.argv[3] != "0":
    asked["max_tokens"] = int(sys.argv[3])
sent = 0
with trace.get_tracer("application").start_as_current_span("root"):
    for _ in range(int(sys.argv[2])):
        try:
            client.chat.completions.create(**asked)
            sent += 1
        except BudgetExceeded:
            pass
print(sent)
"""


def launched(*command: str) -> list[str]:
    """The command, under the launcher, whose parser would take a `--config` for an option of its own."""
    return [str(BIN / "opentelemetry-instrument"), *command]


@contextmanager
def proxy(environment: dict[str, str]) -> Generator[str]:
    """A LiteLLM proxy; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    config = str(ROOT / "tests" / "services" / "litellm.yaml")
    command = launched(str(BIN / "litellm"), "-c", config, "--host", "127.0.0.1", "--port", port)
    process = subprocess.Popen(command, env={**environment, "OTEL_SERVICE_NAME": "gateway"})
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 240
        while not answers(f"{url}/health/liveliness"):
            assert process.poll() is None, "the proxy has ended"
            assert time.monotonic() < until, "the proxy does not start"
            time.sleep(0.5)
        yield f"{url}/v1"
    finally:
        process.terminate()
        process.wait(60)


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):
            return True
    except (URLError, OSError):
        return False


def answered(spans: list[Span]) -> list[dict[str, Any]]:
    """The attributes of the model calls that were not refused."""
    found = [attributes(span.attributes) for span in spans]
    return [each for each in found if each.get("gen_ai.operation.name") == "chat" and "error.type" not in each]


@pytest.mark.parametrize("limits", [("4", "6", "50"), ("100", "3", "0")], ids=["calls", "no output limit"])
@pytest.mark.parametrize("ledger", ["shared", "separate"])
def test_a_call_through_a_litellm_proxy_is_not_charged_twice(
    tmp_path: Path, model_server: ModelServer, ledger: str, limits: tuple[str, str, str]
) -> None:
    """Both services have the same limits. As many calls are sent as they allow, at once, and each has one charge."""
    most, calls, max_tokens = limits
    expected = min(int(most), int(calls))
    model_server.responder = lambda _request: json_reply(chat(model="gpt-4o-mini"))
    with OtlpReceiver() as receiver:
        environment = {
            **os.environ,
            "PROVIDER_URL": f"{model_server.url}/v1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_AGENTCOST_TRACE_MAX_LLM_CALLS": most,
            "OTEL_AGENTCOST_TRACE_BUDGET_USD": "0.001",
            "OTEL_AGENTCOST_LEDGER_TIMEOUT": "5",
            "OTEL_AGENTCOST_LEDGER": f"sqlite:///{tmp_path / 'ledger.db'}" if ledger == "shared" else "memory://",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        }
        with proxy(environment) as url:
            command = launched(sys.executable, "-c", APPLICATION, url, calls, max_tokens)
            said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
            assert int(said.stdout) == expected
            until = time.monotonic() + 30  # the proxy ends by a signal, without exporting the rest
            while len(answered(receiver.spans)) < 2 * expected and time.monotonic() < until:
                time.sleep(0.2)
        asked = [request for request in model_server.requests if request.method == "POST"]
        assert len(asked) == expected
        made = answered(receiver.spans)
        charged = [each for each in made if "agentcost.cost.usd" in each]
        assert sum(each["agentcost.cost.usd"] for each in charged) == pytest.approx(expected * USD)
        assert [each["agentcost.charged_upstream"] for each in made if each not in charged] == [True] * expected
        assert max(each.get("agentcost.budget.waited_s", 0.0) for each in made) < 1
