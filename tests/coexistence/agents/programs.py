"""The programs of the matrix: one agent in each framework, and the ways to run it.

The agents and the ways are those of tests/integrations/agents, which need the framework in their environment.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from otel_agentcost.testing import Answer, ToolCall
from tests.integrations.agents import agent_runs, claude_program
from tests.integrations.agents.agent_runs import RUN_USD, TOOL_USD, finish, model

SEARCH = ToolCall("search", {"query": "bees"})


def _searching(program: Program, request: Any, tools: int) -> Answer:
    """Call the tool, and say something when its result is there."""
    if program.result not in str(request.body):
        return Answer(tools=(SEARCH,) * tools, input_tokens=100, output_tokens=50)
    return agent_runs.calls("final_answer", answer="Bees") if program.name == "smolagents" else agent_runs.says()


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """An agent of one framework, which calls the tool `search` between its model calls."""

    name: str
    """The framework, as `tools.neighbours` and the file of its tests name it."""
    package: str
    """The name by which it is imported."""
    agent: Callable[[Any, str], Any]
    """Makes the agent of the framework's test module that asks the model at a URL."""
    ways: dict[str, str]
    """The ways to run it, by their names in the test module: sync, async or stream."""
    agent_name: str = "researcher"
    model_calls: int = 2
    """The number of model calls that are counted."""
    tool_calls: int = 1
    """The number of tools that a run calls."""
    twice: bool = True
    """False if the framework calls one tool at a time."""
    usd: float = RUN_USD
    result: str = "call_"
    """What a request has in it if it has the result of the tool."""
    answer: Callable[[Program, Any, int], Answer] = _searching
    """What the model says to a request, if it calls the tool so many times."""
    hosts: str = ""
    """The setting for a client that is seen by its requests."""
    own_spans: bool = False
    """True if the framework makes spans itself, without another package."""

    @property
    def module(self) -> ModuleType:
        """The framework's test module."""
        return importlib.import_module(f"tests.integrations.agents.test_{self.name}")

    def run(self, way: str, url: str) -> Any:
        """Run the agent to its end. Raises what the framework raises."""
        module = self.module
        ways: Any = getattr(module, "WAYS", {})
        run = OTHER_WAYS.get((self.name, way)) or ways[way]
        return finish(run(self.agent(module, url)))


def _crew(module: Any, url: str) -> Any:
    return module.crew_of(module.agent_of(url, tools=[module.search]))


def _smol(module: Any, url: str) -> Any:
    return module.agent_of(url)


def _haystack(module: Any, url: str) -> Any:
    key = module.auth.Secret.from_token("none")
    chat = module.generators.OpenAIChatGenerator(api_key=key, model=agent_runs.MODEL, api_base_url=url, max_retries=0)
    agent = module.agents.Agent(chat_generator=chat, tools=[module.search])
    agent.warm_up()
    return agent


def _strands(module: Any, url: str) -> Any:
    options = {"base_url": url, "api_key": "none", "max_retries": 0}
    chat = module.models.OpenAIModel(model_id=agent_runs.MODEL, client_args=options)
    return module.sdk.Agent(name="researcher", model=chat, tools=[module.search], callback_handler=None)


def _pydantic_ai(module: Any, url: str) -> Any:
    agent = module.sdk.Agent(module.chat(url), name="researcher", tools=[module.search])
    agent.instrument = True
    return agent


def _dspy(module: Any, url: str) -> Any:
    chat = module.sdk.LM(f"openai/{agent_runs.MODEL}", api_base=url, api_key="none", cache=False, num_retries=0)
    module.sdk.configure(lm=chat)
    return module.researcher("question -> answer", tools=[module.search])


def _adk(module: Any, url: str) -> Any:
    chat = module.models.Gemini(model=module.GEMINI)
    chat.__dict__["api_client"] = module.genai.Client(
        api_key="none", http_options={"base_url": url.removesuffix("/v1")}
    )
    return module.sdk.LlmAgent(name="researcher", model=chat, tools=[module.search], description="finds")


def _claude_way(way: str) -> Callable[[str], Any]:
    def run(path: str) -> Any:
        return importlib.import_module("tests.integrations.agents.test_claude_agent_sdk").WAYS[way](cli_path=path)

    return run


OTHER_WAYS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("crewai", "kickoff"): lambda crew: crew.kickoff(),
    ("crewai", "akickoff"): lambda crew: crew.akickoff(),
    ("google_adk", "run_async"): lambda agent: importlib.import_module("tests.integrations.agents.test_google_adk").run(
        agent
    ),
    **{("claude_agent_sdk", way): _claude_way(way) for way in ("query", "prompts", "client")},
    ("agent_framework", "run"): lambda agent: agent.run("Hi"),
    ("agent_framework", "run stream"): lambda agent: importlib.import_module(
        "tests.integrations.agents.test_agent_framework"
    ).streamed(agent),
}

PROGRAMS: dict[str, Program] = {
    each.name: each
    for each in (
        Program(
            name="langchain",
            package="langgraph",
            agent=lambda m, url: m.create_agent(m.chat(url), tools=[m.search], name="researcher"),
            ways={"invoke": "sync", "ainvoke": "async", "stream": "stream", "astream": "stream"},
        ),
        Program(
            name="openai_agents",
            package="agents",
            agent=lambda m, url: m.sdk.Agent(name="researcher", model=m.chat(url), tools=[m.search]),
            ways={"run": "async", "run_streamed": "stream"},
        ),
        Program(
            name="pydantic_ai",
            package="pydantic_ai",
            agent=_pydantic_ai,
            ways={"run": "async", "run_stream": "stream"},
            own_spans=True,
        ),
        Program(name="crewai", package="crewai", agent=_crew, ways={"kickoff": "sync", "akickoff": "async"}),
        Program(
            name="llama_index",
            package="llama_index",
            agent=lambda m, url: m.agent_of(url),
            ways={"await": "async", "stream_events": "stream"},
        ),
        Program(
            name="google_adk",
            package="google.adk",
            usd=TOOL_USD + 2 * 0.000155,
            result="functionResponse",
            agent=_adk,
            ways={"run_async": "stream"},
            own_spans=True,
        ),
        Program(
            name="autogen",
            package="autogen_agentchat",
            agent=lambda m, url: m.agent_of(url),
            ways={"run": "async", "run_stream": "stream"},
            own_spans=True,
        ),
        Program(
            name="agent_framework",
            package="agent_framework",
            agent=lambda m, url: m.agent_of(url, tools=[m.search]),
            ways={"run": "async", "run stream": "stream"},
            own_spans=True,
        ),
        Program(
            name="haystack",
            package="haystack",
            agent=_haystack,
            ways={"run": "sync", "run_async": "async"},
            agent_name="Agent",
        ),
        Program(
            name="smolagents",
            package="smolagents",
            agent=_smol,
            ways={"run": "sync", "stream": "stream"},
            tool_calls=2,
            result="pages on",
        ),
        Program(
            name="strands",
            package="strands",
            agent=_strands,
            ways={"call": "sync", "invoke_async": "async", "stream_async": "stream"},
            own_spans=True,
        ),
        Program(
            name="agno",
            package="agno",
            agent=lambda m, url: m.sdk.Agent(name="researcher", model=m.chat(url), tools=[m.search], telemetry=False),
            ways={"run": "sync", "run stream": "stream", "arun": "async", "arun stream": "stream"},
        ),
        Program(
            name="dspy",
            package="dspy",
            agent=_dspy,
            ways={"call": "sync", "acall": "async", "streamify": "stream"},
            model_calls=3,
            usd=TOOL_USD + 3 * agent_runs.USD,
            answer=lambda program, request, _: program.module.answering(request),
            twice=False,
            hosts="127.0.0.1=openai",
        ),
        Program(
            name="claude_agent_sdk",
            package="claude_agent_sdk",
            agent=lambda _, path: path,
            ways={"query": "async", "prompts": "stream", "client": "async"},
            agent_name="claude-agent",
            model_calls=1,  # what a turn has used is reported in one sum
            usd=TOOL_USD + 2 * claude_program.USD,
        ),
    )
}
"""By the name of the framework."""


@contextmanager
def served(program: Program, *, twice: bool = False) -> Generator[str]:
    """A local model that the agent asks. It calls the tool, and then says something.

    Args:
        program: The program.
        twice: Let the first answer call the tool twice, with the same arguments.
    """
    if program.name == "claude_agent_sdk":
        with _claude(twice=twice) as path:
            yield path
        return
    with model(lambda request: program.answer(program, request, 1 + twice)) as url:
        yield url


@contextmanager
def _claude(*, twice: bool) -> Generator[str]:
    """The program that stands for Claude Code, which calls no model. The block gets its path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "claude")
        environment = "TWICE=1 " if twice else ""
        path.write_text(f'#!/bin/sh\n{environment}exec {sys.executable} {claude_program.__file__} "$@"\n', "utf-8")
        path.chmod(0o755)
        yield str(path)
