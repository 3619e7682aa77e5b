"""The README's example with a framework, run as it stands with the real LangChain."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.model_server import ModelServer, Reply, Request, json_reply
from tests.support.replies import chat
from tools.documents import README

WHY = "langchain is not installed: `make neighbours` installs it"
pytest.importorskip("langchain.agents", reason=WHY)
pytest.importorskip("langchain_openai", reason=WHY)


def answer(request: Request) -> Reply:
    """A call of the tool first, words once its result is there."""
    reply = chat(model=request.json["model"])
    if request.json["messages"][-1]["role"] != "tool":
        function = {"name": "web_search", "arguments": json.dumps({"query": "bees in winter"})}
        call = {"id": "call_1", "type": "function", "function": function}
        reply["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": [call]}
    return json_reply(reply)


def test_the_readmes_example_with_a_framework_runs(model_server: ModelServer, tmp_path: Path) -> None:
    """Two model calls and one tool call, and the run's dollars are those of both calls."""
    model_server.responder = answer
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    script = tmp_path / "agent.py"
    script.write_text(code + "    print(run.llm_calls, run.tool_calls)\n", encoding="utf-8")
    nothing = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    environment = {**os.environ, **nothing, "OPENAI_BASE_URL": model_server.url + "/v1", "OPENAI_API_KEY": "none"}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    *_, said, counted = done.stdout.splitlines()
    assert said.endswith("$0.00009")
    assert counted == "2 1"
