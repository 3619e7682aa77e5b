"""gevent, uvloop, forked workers and doubles of clouds: programs run as without this package, also with budgets."""

from __future__ import annotations

import pytest

from tests.integrations.test_surroundings import CALL, check_same
from tests.support.model_server import ModelServer

REASON = "not here: `make frameworks ARGS=surroundings`"

GEVENT = f"""
from gevent import monkey
monkey.patch_all()
import gevent, time, os
{CALL}
def call():
    return type(ask(max_tokens=50)).__name__
jobs = [gevent.spawn(call) for _ in range(6)]
gevent.joinall(jobs, timeout=60)
print([job.value for job in jobs])
pid = os.fork()
if not pid:
    print(call(), flush=True)
    os._exit(0)
print(os.waitpid(pid, 0)[1])
"""

UVLOOP = """
import asyncio, openai, uvloop
async def main():
    async with openai.AsyncOpenAI(base_url=URL + "/v1", api_key="none", max_retries=0) as client:
        call = lambda: client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}])
        print([type(answer).__name__ for answer in await asyncio.gather(*(call() for _ in range(4)))])
uvloop.run(main())
"""

GUNICORN = """
import os, socket, subprocess, sys, tempfile, time, urllib.request
program = '''
%s
def application(environ, start_response):
    start_response("200 OK", [])
    return [type(ask()).__name__.encode()]
'''
folder = tempfile.mkdtemp()
ours = "import otel_agentcost; otel_agentcost.instrument()" if "otel_agentcost" in sys.modules else ""
with open(os.path.join(folder, "application_of_test.py"), "w") as file:
    file.write(f"{ours}\\nURL = {URL!r}\\n{program}")
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
command = [sys.executable, "-m", "gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}", *OPTIONS, "application_of_test"]
server = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
answers = []
for _ in range(120):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=30) as answer:
            answers.append(answer.read())
    except OSError:
        time.sleep(0.5)
    if len(answers) == 4:
        break
server.terminate()
print(answers, server.wait(30))
"""

MOTO = """
import os
os.environ.update(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b", AWS_DEFAULT_REGION="us-east-1")
import boto3
from botocore.stub import Stubber
from moto import mock_aws
with mock_aws():
    store = boto3.client("s3")
    store.create_bucket(Bucket="bucket")
    store.put_object(Bucket="bucket", Key="key", Body=b"content")
    body = store.get_object(Bucket="bucket", Key="key")["Body"]
    print(type(body).__name__, body.read())
client = boto3.client("bedrock-runtime")
answer = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    "metrics": {"latencyMs": 1},
}
request = {"modelId": "amazon.nova-lite-v1:0", "messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
with Stubber(client) as stubber:
    stubber.add_response("converse", answer, request)
    stubber.add_client_error("converse", "ThrottlingException")
    print(client.converse(**request)["output"] is answer["output"])
    for _ in range(2):
        try:
            client.converse(**request)
        except Exception as error:
            print(repr(error))
"""


def test_green_threads_are_not_blocked(model_server: ModelServer) -> None:
    """Nor is a process that is forked from them."""
    pytest.importorskip("gevent", reason=REASON)
    assert "ChatCompletion" in check_same(GEVENT, model_server, calls=7)


def test_another_event_loop_is_as_any(model_server: ModelServer) -> None:
    """Calls at the same time."""
    pytest.importorskip("uvloop", reason=REASON)
    assert "ChatCompletion" in check_same(UVLOOP, model_server, calls=4)


@pytest.mark.parametrize("options", [["--preload"], ["-k", "gthread", "--threads", "2"]], ids=" ".join)
def test_forked_workers_of_a_server_answer(options: list[str], model_server: ModelServer) -> None:
    """Also those that are forked after the application was loaded."""
    pytest.importorskip("gunicorn", reason=REASON)
    program = f"OPTIONS = {options!r}\n{GUNICORN % CALL}"
    assert check_same(program, model_server, calls=4).count("ChatCompletion") == 4


def test_doubles_of_a_cloud_are_as_without_us(model_server: ModelServer) -> None:
    """moto, and the stubs of botocore."""
    pytest.importorskip("moto", reason=REASON)
    assert "was not stubbed" in check_same(MOTO, model_server, calls=0)
