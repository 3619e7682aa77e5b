"""Plug-ins of other distributions: what is found, and that a broken one harms nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.plugin_distribution import PluginDistribution

MODULES = {
    "acme_sdk": """
from otel_agentcost.integrations.sdks import Sdk

SDK = Sdk(name="acme", distribution="acme-sdk", patches=())
TWIN = Sdk(name="openai", distribution="acme-sdk", patches=())
ODD = Sdk(name="odd", distribution="acme-sdk", patches=("request",))
SPENT = Sdk(name="spent", distribution="acme-sdk", patches=(each for each in ()))
""",
    "acme_tools": """
from otel_agentcost.integrations.tools import Framework

FRAMEWORK = Framework(name="acme", title="Acme", distribution="acme-tools", patches=())
TWIN = Framework(name="langchain", title="Acme", distribution="acme-tools", patches=())
""",
    "acme_agents": """
from otel_agentcost.integrations.agents import AgentFramework, AgentPatch, StepPatch, Target

STEP = StepPatch(target=Target(module="acme", method="step"), read_span=print)
FRAMEWORK = AgentFramework(name="acme", title="Acme", distribution="acme-agents", patches=(STEP,))
TWIN = AgentFramework(name="crewai", title="Acme", distribution="acme-agents", patches=())
ODD = AgentFramework(name="odd", title="Acme", distribution="acme-agents", patches=("run",))
RUN = AgentPatch(target=Target(module="acme", method="run"), read_agent=print, kind="thread")
KIND = AgentFramework(name="kind", title="Acme", distribution="acme-agents", patches=(RUN,))
""",
    "acme_broken": "import there_is_no_such_module\n",
    "acme_exits": "raise SystemExit('no licence')\n",
    "acme_empty": "",
}

ENTRY_POINTS = {
    "otel_agentcost.sdks": {
        "good": "acme_sdk",
        "twin": "acme_sdk:TWIN",
        "odd": "acme_sdk:ODD",
        "spent": "acme_sdk:SPENT",
        "missing": "acme_sdk:MISSING",
        "broken": "acme_broken",
        "exits": "acme_exits",
        "empty": "acme_empty",
        "wrong": "acme_tools:FRAMEWORK",
    },
    "otel_agentcost.tools": {"good": "acme_tools:FRAMEWORK", "twin": "acme_tools:TWIN", "broken": "acme_broken"},
    "otel_agentcost.agents": {
        "good": "acme_agents",
        "twin": "acme_agents:TWIN",
        "odd": "acme_agents:ODD",
        "kind": "acme_agents:KIND",
    },
}

NO_MODULE = "ModuleNotFoundError: No module named 'there_is_no_such_module'"
KINDS = (
    "the kind 'thread' of one of its patches is none of function, coroutine, awaitable, generator, async generator, "
    "async context, future"
)
REASONS = (
    ("sdks", "twin", "there is an SDK with the name 'openai' already"),
    ("sdks", "odd", "its patches include 'request', which is not a Patchable"),
    ("sdks", "spent", "its patches are not a tuple"),
    ("sdks", "missing", "AttributeError: module 'acme_sdk' has no attribute 'MISSING'"),
    ("sdks", "broken", NO_MODULE),
    ("sdks", "exits", "SystemExit: no licence"),
    ("sdks", "empty", "the module acme_empty has no constant SDK"),
    ("sdks", "wrong", "acme_tools:FRAMEWORK is of type Framework, not Sdk"),
    ("tools", "twin", "there is a framework with the name 'langchain' already"),
    ("tools", "broken", NO_MODULE),
    ("agents", "twin", "there is a framework with the name 'crewai' already"),
    ("agents", "odd", "its patches include 'run', which is no AgentPatch, TurnPatch, StepPatch or OwnPatch"),
    ("agents", "kind", KINDS),
)

FIND = """
import json
from otel_agentcost.integrations import agents, sdks, tools
found = [[plugin.name for plugin in kind.discover()] for kind in (sdks, tools, agents)]
list(sdks.discover())  # nothing is logged twice
print(json.dumps(found))
"""

START = """
import logging
logging.basicConfig(level="WARNING")
import otel_agentcost
otel_agentcost.instrument()
import openai
print(type(openai._base_client.SyncAPIClient.__dict__["request"]).__name__)
"""


def test_plug_ins_are_found_beside_what_is_built_in(tmp_path: Path) -> None:
    """The SDKs and frameworks of a distribution that can be used come after those of this package."""
    acme = PluginDistribution(tmp_path, "acme", MODULES, ENTRY_POINTS)
    names, frameworks, agents = json.loads(acme.run(FIND).stdout)
    assert names[-1] == "acme"
    assert {"anthropic", "google_genai", "openai"} <= set(names)
    assert frameworks[-1] == "acme"
    assert frameworks.count("langchain") == 1
    assert agents[-1] == "acme"
    assert agents.count("crewai") == 1


def test_a_broken_plug_in_is_one_sentence_in_the_log(tmp_path: Path) -> None:
    """Each plug-in that cannot be used is named with its distribution and the reason, once."""
    acme = PluginDistribution(tmp_path, "acme", MODULES, ENTRY_POINTS)
    sentence = "otel-agentcost: the plug-in {!r} of acme 1.0 (entry point otel_agentcost.{}) is ignored: {}"
    logged = acme.run(FIND).stderr.splitlines()
    assert sorted(logged) == sorted(sentence.format(name, group, reason) for group, name, reason in REASONS)


def test_broken_plug_ins_do_not_stop_the_others(tmp_path: Path) -> None:
    """`instrument()` patches the SDKs of this package whatever plug-ins do."""
    acme = PluginDistribution(tmp_path, "acme", MODULES, ENTRY_POINTS)
    done = acme.run(START)
    assert done.stdout.split() == ["_Wrapper"]
    assert done.stderr.count("is ignored") == len(REASONS)


def test_metadata_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    """A distribution with a damaged list of entry points costs a line in the log and nothing else."""
    acme = PluginDistribution(tmp_path, "acme", MODULES, {"otel_agentcost.sdks": {"good": "acme_sdk"}})
    PluginDistribution(tmp_path, "aaa", {}, {})
    (tmp_path / "aaa-1.0.dist-info" / "entry_points.txt").write_bytes(b"[otel_agentcost.sdks]\n\xff\xfe = acme_sdk\n")
    done = acme.run(FIND)
    assert json.loads(done.stdout)[0][-1] == "acme"
    assert "reading the entry points of an installed distribution failed with UnicodeDecodeError" in done.stderr
