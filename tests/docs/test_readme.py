"""The examples of the README and of docs/usage.md, run as they stand, and the links of all pages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.model_server import ModelServer, json_reply

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
USAGE = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "In a ball."}}],
    "usage": {
        "prompt_tokens": 1205,
        "completion_tokens": 183,
        "total_tokens": 1388,
        "prompt_tokens_details": {"cached_tokens": 1024},
    },
}


ENDLESS = """
import openai
client = openai.OpenAI()
messages = [{"role": "user", "content": "How do bees survive the winter?"}]
while True:
    client.chat.completions.create(model="gpt-4o-mini", messages=messages, max_tokens=200)
"""


def launch(code: str, server: ModelServer, tmp_path: Path, *, fails: bool = False, **settings: str) -> str:
    """Run `code` under `opentelemetry-instrument` with the console exporters, and return what it prints."""
    script = tmp_path / "agent.py"
    script.write_text(code, encoding="utf-8")
    launcher = shutil.which("opentelemetry-instrument", path=str(Path(sys.executable).parent))
    assert launcher is not None
    environment = {
        **os.environ,
        "OPENAI_BASE_URL": server.url + "/v1",
        "OPENAI_API_KEY": "none",
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "console",
        "OTEL_LOGS_EXPORTER": "none",
        **settings,
    }
    done = subprocess.run(
        [launcher, sys.executable, str(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode != 0) is fails, done.stderr
    return done.stdout + done.stderr


def test_an_unchanged_agent_under_the_launcher_has_the_readmes_span(model_server: ModelServer, tmp_path: Path) -> None:
    """`opentelemetry-instrument python agent.py`: one span with the figures that the README shows, and the metrics."""
    code = (
        "import openai\n"
        "openai.OpenAI().chat.completions.create(model='gpt-4o-mini', messages=[{'role': 'user', 'content': 'x'}])\n"
    )
    model_server.replies(json_reply(CHAT))
    printed = launch(code, model_server, tmp_path)
    for line in README.partition("    chat gpt-4o-mini\n")[2].partition("\n\n")[0].splitlines():
        for name, value in re.findall(r"(gen_ai\.usage\S+|agentcost\.cost\S+)\s+(\S+)", line):
            assert re.search(rf'"{re.escape(name)}": ({re.escape(value)}|{float(value)!r})\b', printed), (name, printed)
    assert printed.count('"name": "chat gpt-4o-mini"') == 1
    for metric in ("gen_ai.client.token.usage", "gen_ai.client.operation.duration", "agentcost.cost"):
        assert f'"name": "{metric}"' in printed


def test_the_readme_shows_a_refusal_as_it_is_printed(model_server: ModelServer, tmp_path: Path) -> None:
    """The script that the README describes, with the setting that it shows, ends with the sentence that it shows."""
    usage = {"prompt_tokens": 14, "completion_tokens": 183, "total_tokens": 197}
    model_server.responder = lambda _request: json_reply({**CHAT, "usage": usage})
    terminal = r"\$ OTEL_AGENTCOST_TRACE_BUDGET_USD=(\S+) .*?\n( +otel_agentcost.*?)\n\n"
    ((budget, shown),) = re.findall(terminal, README, re.DOTALL)
    printed = launch(ENDLESS, model_server, tmp_path, fails=True, OTEL_AGENTCOST_TRACE_BUDGET_USD=budget)
    time = r"renewed at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    assert re.search(time, shown.replace("\n   ", "")) is not None
    assert re.sub(time, "", " ".join(shown.split())) in [re.sub(time, "", line) for line in printed.splitlines()]
    assert f"{len(model_server.requests)} calls were sent. The {len(model_server.requests) + 1}th could" in README


def test_the_python_example_of_the_usage_page_runs(model_server: ModelServer, tmp_path: Path) -> None:
    """As it stands, under the launcher too (instrumenting twice is harmless): the call and the tool have their user."""
    model_server.replies(json_reply(CHAT))
    (code,) = re.findall(r"```python\n(.*?)```", USAGE, re.DOTALL)
    printed = launch(code, model_server, tmp_path)
    assert '"name": "execute_tool web_search"' in printed
    assert '"name": "chat gpt-4o-mini"' in printed
    assert printed.count('"user.id": "u1"') >= 2
    assert '"agentcost.team": "search"' in printed
    assert "Traceback" not in printed


def test_the_readme_is_short() -> None:
    """It is read in two minutes; what takes longer is a page of docs/."""
    assert len(README.splitlines()) <= 120


def test_every_page_is_linked_from_the_readme() -> None:
    """No page of docs/ can only be found by listing the folder."""
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)", README))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} == linked


def test_every_relative_link_leads_somewhere() -> None:
    """In all pages: the file or folder is there, and so is the heading where the link names one."""
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
    pages += [ROOT / "collector_config" / "README.md", *sorted((ROOT / ".github").glob("*.md"))]
    for page in pages:
        for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
            file, _, heading = link.partition("#")
            target = page.parent / file if file else page
            assert target.exists(), (page.name, link)
            if not heading:
                continue
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w\- ]", "", text).strip().lower().replace(" ", "-") for text in headings]
            assert heading in anchors, (page.name, link)
