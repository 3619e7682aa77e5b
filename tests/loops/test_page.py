"""What docs/loops.md says, run as it stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

from otel_agentcost.core.loops import Rule
from tests.documents import README, ROOT, block
from tests.model_server import ModelServer, Request, json_reply
from tests.sdks.replies import chat
from tests.test_budgets_page import launch

PAGE = (ROOT / "docs" / "loops.md").read_text(encoding="utf-8")


def test_the_looping_agent_is_stopped(model_server: ModelServer, tmp_path: Path) -> None:
    """The page's example ends by itself, after three rounds."""

    def reply(request: Request) -> Any:
        function = {"name": "search", "arguments": json.dumps({"query": "bees"})}
        call = {"id": f"call-{len(request.json['messages'])}", "type": "function", "function": function}
        answer = chat(model=request.json["model"])
        answer["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": [call]}
        return json_reply(answer)

    model_server.responder = reply
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    done = launch(code, model_server, tmp_path, LOOP_ACTION="block")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "search"
    assert len(model_server.requests) in (3, 4)


def test_every_rule_is_on_the_page() -> None:
    """With what it finds, and how well."""
    rows = re.findall(r"^\| `?(\w+)`? \|", PAGE, re.MULTILINE)
    assert {rule for rule in get_args(Rule) if rows.count(rule) == 2} == set(get_args(Rule))


def test_the_table_of_the_readme_is_that_of_the_page() -> None:
    """And what it says is what was aimed at: `test_detection` measures it."""
    table = block(PAGE, "detection")
    assert table == block(README.read_text(encoding="utf-8"), "detection")
    rows = re.findall(r"^\| `(\w+)` \| 6,000 \| (1\.000|0\.99\d) \| (1\.000|0\.9[89]\d) \|", table or "", re.MULTILINE)
    assert {rule for rule, *_ in rows} == set(get_args(Rule))
