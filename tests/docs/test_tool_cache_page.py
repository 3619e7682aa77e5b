"""What docs/tool-cache.md says, run as it stands there."""

from __future__ import annotations

import re

from otel_agentcost import Settings
from otel_agentcost.core import semconv
from otel_agentcost.core.tool_cache import to_keep
from otel_agentcost.integrations import tools
from otel_agentcost.integrations.tools import ToolPatch
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tools import documents

PAGE = (documents.ROOT / "docs" / "tool-cache.md").read_text(encoding="utf-8")


def test_the_example_is_bought_once(telemetry: Telemetry) -> None:
    """The decorated function answers twice and costs once."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    with instrumented(telemetry):
        defined: dict[str, object] = {}
        exec(code + '\nassert search("bees") == search("bees") == ["a page on bees"]\n', defined)
    assert telemetry.total("agentcost.cost") == 0.005
    assert telemetry.total("agentcost.savings", agentcost__savings__kind="tool_cache") == 0.005


def test_the_rules_are_understood() -> None:
    """Each rule on the page is one, and the scopes are those of the code."""
    for written in re.findall(r"OTEL_AGENTCOST_TOOL_CACHE='?([^'\s`]+)", PAGE):
        assert Settings(tool_cache=written).tool_cache
    (rules,) = re.findall(r"OTEL_AGENTCOST_TOOL_CACHE='(.*?)'", PAGE)
    assert list(Settings(tool_cache=rules).tool_cache) == ["web_search", "read_*", "my_orders"]
    scopes = re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE)
    assert [str(to_keep(f"1m/{scope}")) for scope in scopes] == ["1m", "1m/user", "1m/run", "1m/process"]


def test_the_frameworks_are_those_whose_results_are_kept() -> None:
    """A framework is listed as one or as the other."""
    kept, _, rest = PAGE.partition("## Frameworks")[2].partition("\n\nNot those")
    names = {"langchain": "LangChain", "openai-agents": "OpenAI Agents", "pydantic-ai": "Pydantic AI",
             "anthropic": "anthropic's", "openai": "openai's", "google_genai": "google-genai", "dspy": "DSPy",
             "haystack": "Haystack", "llama_index": "LlamaIndex", "smolagents": "smolagents", "autogen": "AutoGen",
             "semantic-kernel": "Semantic Kernel", "mcp": "MCP clients", "strands": "Strands", "agno": "Agno",
             "crewai": "CrewAI", "google_adk": "Google ADK", "agent_framework": "Microsoft Agent Framework",
             "browser-use": "browser-use"}  # fmt: skip
    for framework in tools.discover():
        keeps = any(isinstance(patch, ToolPatch) and patch.keeps for patch in framework.patches)
        assert names[framework.name] in (kept if keeps else rest.partition("##")[0])


def test_the_attributes_are_those_of_the_code() -> None:
    """The page names the attributes of a hit as they are set."""
    assert {semconv.CACHE, semconv.CACHE_AGE} <= set(re.findall(r"`(agentcost[\w.]+)`", PAGE))
