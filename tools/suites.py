"""Names the packages whose own offline tests `tools/upstream.py` runs: which tests, and what they need.

The tests come from source distributions. Those of agent-framework, agno, browser-use, cohere, dspy, google-adk,
haystack-ai, litellm, llama-index, semantic-kernel, and of pydantic-ai since 1.25, carry none, or none that makes a
model call: these suites cannot be run. A suite that is pinned to a release has lists that fit this release.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import NamedTuple


class Suite(NamedTuple):
    """The tests of one SDK or framework."""

    distribution: str
    tests: str
    """The folder of the tests in the source distribution."""
    needs: tuple[str, ...]
    """The package with its extras, and what the tests import besides."""
    group: str = ""
    """The dependency group of its pyproject.toml that names the rest."""
    left_out: tuple[str, ...] = ()
    """Files, folders and tests below `tests` that need a server, or assert what this package must change."""
    quick: tuple[str, ...] = ()
    """Paths below `tests` that `--quick` runs."""
    plugins: tuple[str, ...] = ()
    """Modules of the tests that pytest has to load first, as the package's own options do."""
    in_place: bool = False
    """True if the tests are modules of the package, so that they run in its source tree."""
    pinned: str = ""
    """The release, if it is another one than is installed here."""
    options: tuple[str, ...] = ()
    """Options of pytest that the package's own configuration has, outside the source distribution too."""

    variables: Mapping[str, str] = {}
    """Environment variables that the tests need."""

    @property
    def release(self) -> str:
        """The release whose tests run."""
        return self.pinned or version(self.distribution)


ASYNC = ("-o", "asyncio_mode=auto")
STRANDS = (
    "a2a,anthropic,bidi-google,bidi-io,bidi-openai,cedar,gemini,litellm,llamaapi,mistral,ollama,openai,otel,sagemaker,"
    "web-fetch,writer"
)
LANGCHAIN = ("langchain-tests", "pytest-socket", "syrupy", "pytest-mock", "freezegun", "vcrpy", "blockbuster<1.6")

SDKS: dict[str, Suite] = {
    "openai": Suite(
        "openai",
        "tests",
        ("openai[aiohttp,realtime,bedrock]",),
        "dev",
        ("api_resources",),
        ("test_legacy_response.py", "test_response.py"),
    ),
    "anthropic": Suite(
        "anthropic",
        "tests",
        ("anthropic[aiohttp,bedrock,vertex]",),
        "dev",
        # The SDK's own spans have our attributes: that is what its tests of them do not expect.
        (
            "api_resources",
            "test_open_telemetry.py",
            "test_tracing.py",
            # Expects no tokens on the span of a compaction; this package writes those of usage.iterations.
            (
                "lib/tools/test_open_telemetry.py::TestToolRunnerSpans"
                "::test_a_compaction_request_is_a_child_of_the_tool_runner_span"
            ),
        ),
        ("test_response.py", "test_streaming.py"),
        plugins=("tests._alias_httpx",),
    ),
    "google-genai": Suite(
        "google-genai",
        "google/genai/tests",
        ("google-genai[aiohttp]", "Pillow", "sentencepiece", "mcp", "websockets"),
        quick=("afc",),
        in_place=True,
    ),
    "groq": Suite(
        "groq",
        "tests",
        ("groq[aiohttp]", "respx", "dirty-equals", "time-machine", "nest-asyncio==1.6.0", "rich"),
        left_out=("api_resources",),
        pinned="1.7.0",
    ),
}  # fmt: skip
"""The SDKs, and clients beside them."""

FRAMEWORKS: dict[str, Suite] = {
    "openai-agents": Suite(
        "openai-agents",
        "tests",
        ("openai-agents[litellm,any-llm,encrypt,redis,sqlalchemy,viz,voice,realtime]", "pytest-mock", "inline-snapshot",
         "rich", "websockets", "graphviz", "fastapi", "aiosqlite", "cryptography", "fakeredis", "aiohttp", "mcp",
         "pymongo", "textual", "docker"),
        pinned="0.24.0",
    ),
    "pydantic-ai": Suite(
        "pydantic-ai",  # the last release whose source distribution carries tests
        "tests",
        ("pydantic-ai", "asgi-lifespan", "devtools", "dirty-equals", "duckduckgo-search", "inline-snapshot",
         "pytest-examples", "pytest-mock", "pytest-pretty", "pytest-recording", "boto3-stubs[bedrock-runtime]",
         "genai-prices", "coverage", "opentelemetry-api<1.39", "openai<3", "mcp<2", "griffe<2",
         "anthropic<0.80", "google-genai<1.55", "groq<1", "cohere<6", "vcrpy<8", "aiohttp<3.14"),
        left_out=("test_examples.py",), pinned="1.24.0", options=("-p", "no:asyncio", "-W", "default"),
    ),
    "langchain-core": Suite(
        "langchain-core", "tests/unit_tests", ("langchain-core", *LANGCHAIN, "grandalf", "responses", "numpy"),
        pinned="1.8.3", options=ASYNC,
    ),
    "langchain": Suite(
        "langchain", "tests/unit_tests",
        ("langchain", *LANGCHAIN, "langchain-openai", "langchain-anthropic", "toml", "fastmcp"),
        pinned="1.5.2", options=ASYNC,
    ),
    "langchain-openai": Suite(
        "langchain-openai", "tests/unit_tests", ("langchain-openai", *LANGCHAIN, "numpy", "langchain"),
        quick=("middleware",),
        pinned="1.7.4", options=ASYNC,
    ),
    "langchain-anthropic": Suite(
        "langchain-anthropic", "tests/unit_tests", ("langchain-anthropic", *LANGCHAIN, "defusedxml", "langchain"),
        pinned="1.7.10", options=ASYNC,
    ),
    "langchain-google-genai": Suite(
        "langchain-google-genai", "tests/unit_tests", ("langchain-google-genai", *LANGCHAIN, "numpy", "aiohttp"),
        pinned="4.4.3", options=ASYNC,
    ),
    "langchain-groq": Suite(
        "langchain-groq", "tests/unit_tests", ("langchain-groq", *LANGCHAIN), pinned="1.1.3", options=ASYNC,
    ),
    "langgraph": Suite(
        "langgraph", "tests",
        ("langgraph", *LANGCHAIN, "langgraph-checkpoint-sqlite", "langgraph-checkpoint-postgres", "psycopg[binary]",
         "httpx", "redis", "pycryptodome", "uvloop", "langchain-openai"),
        pinned="1.2.24", variables={"NO_DOCKER": "true"},  # without Postgres and Redis
    ),
    "crewai": Suite(
        "crewai", "tests",
        ("crewai[tools,anthropic,google-genai,litellm,bedrock,azure-ai-inference,a2a,mem0]", "pytest-recording",
         "vcrpy", "pytest-mock", "pytest-subprocess", "boto3-stubs"),
        # Asserts that a method has no `__wrapped__`, which everything that is patched has.
        left_out=("agents/test_agent_a2a_wrapping.py::test_wrapper_is_applied_differently_per_instance",),
        pinned="1.15.30", options=ASYNC,
    ),
    "strands": Suite(
        "strands-agents", "tests",
        (f"strands-agents[{STRANDS}]", "moto", "tenacity"),
        pinned="1.62.0",
    ),
    "smolagents": Suite(
        "smolagents", "tests",
        ("smolagents[openai,litellm,bedrock,mcp,toolkit,docker,gradio]", "ipython", "pandas", "pytest-datadir",
         "python-dotenv", "rank-bm25", "Wikipedia-API", "opentelemetry-sdk"),
        pinned="1.26.0",
    ),
    "autogen": Suite(
        "autogen-agentchat", "tests",
        ("autogen-agentchat", "autogen-ext[openai]", "pytest-mock"),
        pinned="0.7.5", options=ASYNC,
    ),
    "mcp": Suite(
        "mcp", "tests",
        ("mcp[cli]", "trio", "pytest-examples", "inline-snapshot", "dirty-equals", "pillow", "logfire", "blockbuster",
         "pydantic-settings"),
        left_out=("examples", "docs", "docs_src", "test_examples.py"),
        pinned="2.3.0", options=("-p", "no:asyncio"),
    ),
}  # fmt: skip
"""Frameworks that make model calls, and their partner packages."""

SUITES = {**SDKS, **FRAMEWORKS}
