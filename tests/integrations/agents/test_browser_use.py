"""Agents of browser-use, in a real browser without a window."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import otel_agentcost
from otel_agentcost.core import semconv
from tests.integrations.agents.agent_runs import (
    MODEL,
    MODEL_CALL,
    RUN_USD,
    model,
    model_calls,
    said,
    says,
    spent,
    tree,
    watched,
)
from tests.support.in_memory import Telemetry

sdk: Any = pytest.importorskip("browser_use", reason="browser-use is not here: `make frameworks`")

_BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_PROGRAM = next((found for name in _BROWSERS if (found := shutil.which(name))), None)

pytestmark = [
    pytest.mark.skipif(_PROGRAM is None, reason=f"no browser is here: one of {', '.join(_BROWSERS)}"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module", name="browser")
def a_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a browser, to which each agent connects."""
    folder = tmp_path_factory.mktemp("browser")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={folder}")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [str(_PROGRAM), *options, "about:blank"], stdout=log, stderr=log, start_new_session=True
        )
    try:
        port = until(lambda: (folder / "DevToolsActivePort").read_text(encoding="utf-8").partition("\n")[0])
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the program may be a script that has started the browser
        process.wait()


def until(read: Callable[[], str]) -> str:
    """The first text that `read` returns, in at most 30 seconds."""
    for _ in range(300):
        try:
            if text := read():
                return text
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError("the browser has not started")


@pytest.fixture(autouse=True)
def nothing_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """browser-use reports its use, unless it is told not to, and keeps a folder of its own."""
    monkeypatch.setenv("ANONYMIZED_TELEMETRY", "false")
    monkeypatch.setenv("BROWSER_USE_CLOUD_SYNC", "false")
    monkeypatch.setenv("BROWSER_USE_CONFIG_DIR", str(tmp_path))


def acts(**action: Any) -> Any:
    """An answer of the model: one action, in the form that browser-use asks for."""
    thoughts = dict.fromkeys(("thinking", "evaluation_previous_goal", "memory", "next_goal"), "")
    return says(json.dumps({**thoughts, "action": [action]}))


def searching(request: Any) -> Any:
    """Call the function `search` first, and be done when its result is there."""
    found = "pages on bees" in str(request.body["messages"])
    return acts(done={"text": "Bees shiver.", "success": True}) if found else acts(search={"query": "bees"})


def agent_of(url: str, browser: str, **more: Any) -> Any:
    """An agent with one function, which asks the local model."""
    tools = sdk.Tools()

    @tools.action("Finds pages.")  # type: ignore[untyped-decorator] # the framework is no dependency
    def search(query: str) -> str:
        if query == "nothing":
            raise KeyError(query)
        return f"pages on {query}"

    given = {"use_judge": False, "use_vision": False, "enable_signal_handler": False, "max_failures": 1} | more
    chat = sdk.ChatOpenAI(model=MODEL, base_url=url, api_key="none", max_retries=0)
    session = sdk.BrowserSession(cdp_url=browser)
    return sdk.Agent("Look it up.", llm=chat, browser_session=session, tools=tools, **given)


@pytest.fixture(name="agent")
def an_agent(browser: str) -> Iterator[Callable[..., Any]]:
    """Makes an agent: each runs once, in an event loop of its own."""
    with model(searching) as url:
        yield lambda **more: agent_of(url, browser, **more)


async def stepped(agent: Any) -> Any:
    """Take two steps by hand."""
    await agent.browser_session.start()
    for _ in range(2):
        await agent.step()
    await agent.eventbus.stop(clear=True, timeout=3)
    await agent.close()
    return agent.history


async def run(agent: Any) -> Any:
    """Run an agent that may be made in the loop alone."""
    return await agent().run(max_steps=4)


RUN = ["invoke_agent browser-use", f"  {MODEL_CALL}", "  execute_tool search", f"  {MODEL_CALL}"]


def run_sync(agent: Any) -> Any:
    """Run it without an event loop."""
    return agent().run_sync(max_steps=4)


WAYS: dict[str, Callable[[Any], Any]] = {"run": lambda agent: asyncio.run(run(agent)), "run_sync": run_sync}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_one_trace(telemetry: Telemetry, agent: Any, way: str) -> None:
    """The agent, its model calls, its actions but `done`."""
    with watched(telemetry):
        history = WAYS[way](agent)
    assert history.final_result() == "Bees shiver."
    assert tree(telemetry) == RUN
    assert spent(telemetry, RUN[0]) == (2, 1, pytest.approx(RUN_USD))
    assert said(telemetry, semconv.AGENT) == {"browser-use"}
    assert None not in said(telemetry, semconv.CONVERSATION)


def test_a_step_alone_is_a_run(telemetry: Telemetry, agent: Any) -> None:
    """Of one model call and its actions."""

    async def steps() -> Any:
        return await stepped(agent())

    with watched(telemetry):
        asyncio.run(steps())
    assert tree(telemetry) == [*RUN[:3], RUN[0], RUN[1]]
    assert telemetry.total("agentcost.cost") == pytest.approx(RUN_USD)


def test_an_action_on_the_browser_is_a_tool(telemetry: Telemetry, agent: Any, tmp_path: Path) -> None:
    """As a function of the application is."""
    page = tmp_path / "page.html"
    page.write_text("<p>pages on bees</p>", encoding="utf-8")
    actions = [{"navigate": {"url": page.as_uri()}}]
    with watched(telemetry):
        WAYS["run"](lambda: agent(initial_actions=actions, directly_open_url=False))
    assert [line.strip() for line in tree(telemetry)][:2] == [RUN[0], "execute_tool navigate"]


def test_an_action_that_fails_is_an_error(telemetry: Telemetry, agent: Any) -> None:
    """The model reads of it."""
    actions = [{"search": {"query": "nothing"}}]
    with watched(telemetry):
        WAYS["run"](lambda: agent(initial_actions=actions, directly_open_url=False))
    first = next(span for span in telemetry.spans if span.name == "execute_tool search")
    assert (first.attributes or {})[semconv.ERROR_TYPE] == "RuntimeError"


def test_budgets_hold(telemetry: Telemetry, agent: Any) -> None:
    """The agent, the run and the trace stop after one call; browser-use has the refusal in its history."""
    refusals: list[str] = []
    for settings in ({"budgets": "agent=browser-use/day:calls=1"}, {"trace_max_llm_calls": 1}):
        telemetry.exporter.clear()
        with watched(telemetry, **settings):
            refusals += WAYS["run"](agent).errors()
        assert len(model_calls(telemetry)) == 1
    telemetry.exporter.clear()
    with watched(telemetry), otel_agentcost.run("job", llm_calls=1):
        refusals += WAYS["run"](agent).errors()
    assert len(model_calls(telemetry)) == 1
    assert sum("budget" in str(each) for each in refusals) >= 3
