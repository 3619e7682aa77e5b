"""What docs/loops.md says, run as it stands there."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from otel_agentcost.core.loops import Rule, Thresholds
from otel_agentcost.settings import from_environment, table
from tests.docs.test_budgets_page import launch
from tests.support.model_server import ModelServer, Request, json_reply
from tests.support.replies import chat
from tools.documents import LOOPS, PERFORMANCE, block

PAGE = LOOPS.read_text(encoding="utf-8")


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


def test_the_table_has_the_figures_that_were_aimed_at() -> None:
    """`test_detection` measures them; the page on performance has the same microseconds as this one."""
    measured = block(PAGE, "detection") or ""
    rows = re.findall(r"^\| `(\w+)` \| 6,000 \| (1\.000|0\.99\d) \| (1\.000|0\.9[89]\d) \|", measured, re.MULTILINE)
    assert {rule for rule, *_ in rows} == set(get_args(Rule))
    pages = PAGE + PERFORMANCE.read_text(encoding="utf-8")
    costs = re.findall(r"(\S+ to \S+ µs) a call at 10 turns and (\S+ to \S+ µs) at 200 turns", pages)
    assert len(costs) == 2
    assert costs[0] == costs[1]


def test_the_limits_that_stop_what_no_rule_sees_are_settings() -> None:
    """The page names all that count what a trace does."""
    written = re.findall(r"`(OTEL_AGENTCOST_TRACE_MAX_\w+)`", PAGE)
    assert set(written) == {row.variable for row in table.ROWS if row.field.startswith("trace_max_")}


def test_every_threshold_is_on_the_page_with_its_default() -> None:
    """As `LOOP_THRESHOLDS` names them; and what is shown of both settings is understood."""
    for threshold in fields(Thresholds):
        if threshold.name != "repeats":
            assert re.search(rf"`{threshold.name}` \({threshold.default}\b", PAGE), threshold.name
    shown = dict(re.findall(r"`OTEL_AGENTCOST_(LOOP_RULES|LOOP_THRESHOLDS)=(.*?)`", PAGE))
    settings = from_environment({f"OTEL_AGENTCOST_{name}": value for name, value in shown.items()})
    assert settings.loop_rules == ("repeat", "cycle", "error_storm")
    assert settings.loop_thresholds == {"stall": 12, "results": 0.95}
