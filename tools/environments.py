"""Runs the tests of every package in environments of their own: its oldest release that we claim, and its newest.

    python -m tools.environments              every framework (`make frameworks`)
    python -m tools.environments --matrix     every SDK and HTTP client as well, and records what passed (`make matrix`)
    python -m tools.environments langchain    some rows
    python -m tools.environments --list

Frameworks cannot all be installed together (crewai admits neither the newest openai nor the newest mcp, google-adk not
the newest OpenTelemetry), and old releases of them still less. Environments are made by uv, in a temporary folder.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tools import packages

ROOT = Path(__file__).resolve().parent.parent
AT_ONCE = 2
"""How many environments are made and tested at the same time."""
OURS = ("pytest>=8", "pytest-asyncio>=1", "hypothesis>=6.100")


HTTP = (
    "opentelemetry-distro",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-instrumentation-fastapi",
    "opentelemetry-instrumentation-httpx",
)
"""What propagates the trace context, and exports."""


class Row(NamedTuple):
    """One framework: what to install of it, as it was and as it is. Its tests are `test_<name>.py`."""

    oldest: tuple[str, ...]
    newest: tuple[str, ...]
    folders: tuple[str, ...] = ("integrations/tools",)
    """The folders of its tests: all of them run in the same environment. None if `files` says where they are."""
    tests: str = ""
    """The name in `test_<name>.py`, if it is another one."""
    files: tuple[str, ...] = ()
    """The tests, if they are not found by a name."""
    beside: tuple[str, ...] = ()
    """Tests of what several frameworks do, beside its own."""


TOOLS, AGENTS, SDKS, NET = "integrations/tools", "integrations/agents", "integrations/sdks", "integrations/http"


KEPT = ("tests/savings/tools/test_frameworks.py",)
"""The cache of tools' results: what an environment lacks is skipped."""
KEPT_OF_MCP = ("tests/savings/tools/test_mcp.py",)
ROUGH = f"tests/{AGENTS}/test_rough_use.py"
TOGETHER = (
    "autogen-agentchat",
    "autogen-ext[openai]",
    "haystack-ai",
    "langchain",
    "langchain-openai",
    "openai-agents",
    "pydantic-ai-slim[openai]",
    "semantic-kernel",
    "smolagents[openai]",
)
"""Frameworks whose newest releases can be installed together."""


ROWS: dict[str, Row] = {
    "agent_framework": Row(
        ("agent-framework-core==1.0.0", "mcp<2"),
        ("agent-framework-core", "agent-framework-openai", "mcp", "tenacity"),
        (TOOLS, AGENTS),
    ),
    "anthropic": Row(("anthropic==0.68.0",), ("anthropic", "mcp"), beside=KEPT),
    "agno": Row((), ("agno", "openai"), (TOOLS, AGENTS)),
    "autogen": Row(
        ("autogen-agentchat==0.4.2", "autogen-core==0.4.2", "autogen-ext[openai]==0.4.2"),
        ("autogen-agentchat", "autogen-core", "autogen-ext[mcp,openai]", "mcp<2"),
        (TOOLS, AGENTS),
        beside=KEPT,
    ),
    "browser_use": Row((), ("browser-use",), (TOOLS, AGENTS)),  # its tests need a Chromium on the path
    "google_adk": Row(("google-adk==1.10.0",), ("google-adk",), (TOOLS, AGENTS)),
    "google_genai": Row(("google-genai==1.32.0", "mcp==1.10.0", "pydantic<2.12"), ("google-genai", "mcp"), beside=KEPT),
    "aws_lambda": Row((), ("awslambdaric", "openai"), ("integrations/work",)),
    "django": Row(("django==4.2", "openai"), ("django", "openai"), ("integrations/work",)),
    "flask": Row(("flask==2.3.0", "werkzeug<3", "openai"), ("flask", "openai"), ("integrations/work",)),
    "ipython": Row(("ipython==8.18.0", "openai"), ("ipython", "openai"), ("integrations/work",)),
    "jobs": Row(
        ("celery==5.4.0", "dramatiq==1.17.0", "rq==1.16.0", "redis", "openai"),
        ("celery", "dramatiq", "rq", "redis", "openai"),
        ("integrations/work",),
    ),
    "celery": Row(("celery==5.4.0", "openai"), ("celery", "openai"), ("services",)),
    # The newest one has Claude Code with it (400 MB), which the tests run against a local model.
    "claude_agent_sdk": Row(("claude-agent-sdk==0.1.0", "mcp<2"), ("claude-agent-sdk", "anthropic"), (AGENTS,)),
    "crewai": Row(("crewai==0.95.0",), ("crewai",), (TOOLS, AGENTS)),
    "dspy": Row(("dspy==3.0.0",), ("dspy", "litellm"), (TOOLS, AGENTS, NET), beside=KEPT),
    "haystack": Row((), ("haystack-ai",), (TOOLS, AGENTS), beside=KEPT),
    "langchain": Row(
        ("langchain-core==0.3.0",), ("langchain", "langchain-openai", "langgraph"), (TOOLS, AGENTS), beside=KEPT
    ),
    "langgraph": Row(  # an old graph needs a newer langchain-core than the oldest one whose tools are tested
        ("langgraph==0.3.0", "langgraph-prebuilt==0.1.1", "langchain-openai<0.4"), (), (AGENTS,), "langchain"
    ),
    "aiobotocore": Row((), ("aiobotocore",), (SDKS,)),  # which does not admit the newest botocore
    # A proxy takes a minute to start: the newest alone.
    "litellm": Row((), ("litellm[proxy]", *HTTP), ("services", SDKS)),
    "llama_index": Row(
        ("llama-index-core==0.10.0",), ("llama-index-core", "llama-index-llms-openai"), (TOOLS, AGENTS), beside=KEPT
    ),
    "llama_agents": Row(("llama-index-core==0.13.0", "llama-index-llms-openai<0.6"), (), (AGENTS,), "llama_index"),
    "openai": Row(("openai==3.31.0",), ("openai",)),
    "openai_agents": Row(
        ("openai-agents==0.9.0", "openai==2.19.0", "mcp<2"), ("openai-agents",), (TOOLS, AGENTS), beside=KEPT
    ),
    "pydantic_ai": Row(
        ("pydantic-ai-slim[openai,mcp]==0.5.0", "opentelemetry-api==1.36.0", "mcp<2", "griffe<2"),
        ("pydantic-ai-slim[openai,mcp]",),
        (TOOLS, AGENTS),
        beside=KEPT,
    ),
    "semantic_kernel": Row(  # which imports more than it requires
        ("semantic-kernel==1.35.0", "protobuf", "httpx"),
        ("semantic-kernel", "protobuf"),
        (TOOLS, AGENTS),
    ),
    "smolagents": Row((), ("smolagents[openai]",), (TOOLS, AGENTS), beside=KEPT),
    "strands": Row(
        ("strands-agents[openai]==1.30.0",),
        ("strands-agents[openai]", "mcp"),
        (TOOLS, AGENTS),
    ),
    "watsonx": Row((), ("ibm-watsonx-ai", "openai"), (NET,)),
    "mcp": Row(("mcp==1.10.0", "pydantic<2.12"), ("mcp",), beside=KEPT_OF_MCP),
    "surroundings": Row(
        (),
        ("boto3", "gevent", "gunicorn", "moto", "openai", "uvloop"),
        ("integrations",),
        "schedulers",
    ),
    "semantic_kernel_services": Row(
        (),
        ("semantic-kernel[aws]", "azure-ai-projects<2", "azure-ai-agents", "aiohttp", "protobuf"),
        folders=(),
        files=(f"tests/{AGENTS}/test_semantic_kernel_services.py",),
    ),
    "strands_mcp": Row(
        (), ("strands-agents[openai]", "mcp"), folders=(), files=(f"tests/{AGENTS}/test_strands_mcp.py",)
    ),
    "rough_use": Row(
        ("crewai", "llama-index-core", "llama-index-llms-openai"),
        TOGETHER,
        folders=(),
        files=(ROUGH,),
    ),
    "rough_use_strands": Row((), ("strands-agents[openai]",), folders=(), files=(ROUGH,)),
    "refusals": Row(  # the newest of each: some admit no openai 3
        (
            "backoff",
            "crewai",
            "dspy",
            "instructor",
            "litellm",
            "llama-index-core",
            "llama-index-llms-openai",
            "tenacity",
        ),
        (*TOGETHER, "tenacity"),
        ("integrations/refusals",),
    ),
}


FAMILY = "tests/coexistence/test_stainless_family.py"
OLDEST = f"tests/{SDKS}/test_oldest.py"
"""What also runs with releases that are too old for the other tests."""
REFUSALS = "tests/calls/budgets/test_refusals.py"
SOCKETS = "tests/integrations/sockets"
BUDGETS = f"tests/{NET}/test_budgets.py"
BROKEN_OFF = f"tests/{NET}/test_bodies.py::test_a_response_that_breaks_off_raises_as_without_us"
HTTP_TESTS = tuple(f"tests/{NET}/test_{name}.py" for name in ("bodies", "budgets", "clients"))
COMPARED = (
    "openai",
    "anthropic[bedrock,vertex]",
    "google-genai",
    "brotli",
    "zstandard",
    "backports.zstd; python_version < '3.14'",
)
"""What the tests of HTTP clients import besides: the SDKs that they are compared with, and codecs."""


def _sdks(*oldest: str, tests: tuple[str, ...], beside: tuple[str, ...] = ()) -> Row:
    """Return the row of SDKs that admit each other, beside openai, which what the tests share imports."""
    newest = (each.partition("==")[0] for each in oldest)
    return Row((*oldest, "openai", *beside), (*newest, "openai", *beside), files=tests)


def _oldest(*install: str) -> Row:
    """Return the row of a release that is too old for the tests of the newest one."""
    return Row(install, (), files=(OLDEST,))


def _newest(*install: str, tests: tuple[str, ...]) -> Row:
    """Return the row of the newest release beside such a one."""
    return Row((), install, files=(OLDEST, *tests))


SDK_ROWS: dict[str, Row] = {
    "oldest-openai": _oldest("openai==1.66.0"),
    "oldest-anthropic": _oldest("anthropic==0.51.0"),
    "oldest-google-genai": _oldest("google-genai==1.32.0"),
    "oldest-httpx": _oldest("httpx==0.25.0", "openai<3"),
    "newest-openai": _newest(
        "openai", "anthropic[bedrock,vertex]", "google-genai", tests=(f"tests/{SDKS}/test_openai.py", REFUSALS)
    ),
    "newest-anthropic": _newest(
        "anthropic[bedrock,vertex]", "google-genai", "openai", tests=(f"tests/{SDKS}/test_anthropic.py", REFUSALS)
    ),
    "newest-google-genai": _newest("google-genai", "openai", tests=(f"tests/{SDKS}/test_google_genai.py",)),
    "sdks": _sdks(
        "azure-ai-inference==1.0.0b9",
        "huggingface-hub==1.0.0",
        "openrouter==1.0.0",
        "voyageai==0.4.0",
        "xai-sdk==1.21.0",
        tests=tuple(
            f"tests/{SDKS}/test_{name}.py"
            for name in ("azure_ai_inference", "huggingface_hub", "openrouter", "voyageai", "xai_sdk")
        ),
        beside=("aiohttp",),
    ),
    "sdk-family": _sdks(
        "cerebras-cloud-sdk==1.23.0",
        "fireworks-ai==1.2.0",
        "groq==0.30.0",
        "inceptionai==0.2.0",
        "llama-api-client==0.1.2",
        "mixedbread==0.20.0",
        "perplexityai==0.22.0",
        "sambanova==1.2.0",
        "together==2.0.0",
        "writer-sdk==2.0.0",
        "zai-sdk==0.1.0",
        tests=(FAMILY,),
    ),
    "sdk-mistralai": _sdks("mistralai==2.0.0", tests=(f"tests/{SDKS}/test_mistralai.py",)),
    "sdk-ollama": _sdks("ollama==0.4.0", tests=(f"tests/{SDKS}/test_ollama.py",)),  # needs an older httpx
    "sdk-zhipuai": _sdks("zhipuai==2.1.0", tests=(FAMILY,)),  # does not admit the pyjwt of zai-sdk
    "sdk-cohere": _sdks("cohere==6.0.0", tests=(f"tests/{SDKS}/test_cohere.py",), beside=("boto3",)),  # for Bedrock
    "sdk-boto3": _sdks(
        "boto3==1.40.0",
        "botocore==1.40.0",
        tests=tuple(f"tests/{SDKS}/test_{name}.py" for name in ("bedrock", "bedrock_invoke")),
    ),
    # the newest ones are among the frameworks
    "oldest-aiobotocore": Row(("aiobotocore==3.10.0", "openai"), (), (SDKS,), "aiobotocore"),
    "oldest-litellm": Row(("litellm[proxy]==1.110.0", "openai"), (), (SDKS,), "litellm"),
    "oldest-urllib3": Row(  # which has not all that the other tests call, as `read1`
        ("urllib3==1.26.15", "requests==2.31.0", "aiohttp", "httpx", "httpx2", *COMPARED),
        (),
        files=(
            f"tests/{NET}/test_budgets.py",
            f"tests/{NET}/test_bodies.py::test_a_response_that_breaks_off_raises_as_without_us",
        ),
    ),
    "http": Row(  # without the oldest httpx, which admits no openai 3: see oldest-httpx
        ("aiohttp==3.10.0", "httpx2==2.14.0", "httpx", "requests", "urllib3", *COMPARED),
        ("aiohttp", "httpx2", "requests", "urllib3", "httpx", *COMPARED),
        files=HTTP_TESTS,
    ),
    "websockets": Row(  # the newest of which `openai[realtime]` does not admit
        ("websockets==13.0", "openai[realtime]", "google-genai", "anthropic"),
        (
            "websockets",
            "trio",
            "openai",
            "google-genai",
            "anthropic",
            "cryptography",
        ),  # `openai[realtime]` has an old one
        files=(SOCKETS,),
    ),
}
"""The SDKs and HTTP clients that `make matrix` adds to the frameworks."""
ALL = {**ROWS, **SDK_ROWS}


def environments(names: list[str]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Each as the framework's name, which release it is, and what to install."""
    for name in names:
        row = ALL[name]
        if row.oldest:
            yield name, "oldest", row.oldest
        if row.newest:
            yield name, "newest", row.newest


def run(folder: Path, name: str, install: tuple[str, ...], pytest: list[str]) -> tuple[bool, str]:
    """Makes an environment and runs the tests of `name` in it. Returns whether they passed, and the output."""
    try:
        python = packages.create(folder, ("--editable", str(ROOT), *OURS, *install))
    except packages.InstallationFailed as error:
        return False, str(error)
    row = ALL[name]
    named = [f"tests/{folder}/test_{row.tests or name}.py" for folder in row.folders]
    tests = [str(ROOT / each) for each in (*(row.files or named), *row.beside)]
    # Where everything is skipped (pytest exits with 5 then), the framework was not there, or could not be imported.
    # Clients of frameworks outlive the event loop of a test, and warn of that when they are collected.
    # Old releases use what newer dependencies deprecate.
    quiet = ("-W", "ignore::pytest.PytestUnraisableExceptionWarning", "-W", "ignore::DeprecationWarning")
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *quiet, *tests, *pytest]
    done = subprocess.run(command, cwd=ROOT, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode == 0, done.stdout


def attempt(name: str, release: str, install: tuple[str, ...], pytest: list[str]) -> bool:
    """Runs the tests in an environment and prints all about it at once, since another one runs at the same time."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        passed, output = run(Path(folder) / "venv", name, install, pytest)
    verdict = f"    {'passed' if passed else 'FAILED'} ({time.monotonic() - started:.0f} s)"
    print(f"{title(name, release, install)}\n{output.rstrip()}\n{verdict}", flush=True)
    return passed


def title(name: str, release: str, install: tuple[str, ...]) -> str:
    return f"--- {name}, {release}: {' '.join(install)}"


LARGE = ("claude_agent_sdk", "watsonx")
"""Frameworks that take minutes to download, which `--quick` leaves out."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the tests of frameworks' tools and agents.")
    parser.add_argument("names", nargs="*", choices=[*ALL, []], help="which packages; all frameworks without")
    parser.add_argument("--matrix", action="store_true", help="all SDKs and HTTP clients too, and record what passed")
    parser.add_argument("--quick", action="store_true", help=f"without {', '.join(LARGE)}")
    parser.add_argument("--list", action="store_true", help="say what would be installed, and stop")
    arguments, pytest = parser.parse_known_args()
    names = arguments.names or list(ALL if arguments.matrix else ROWS)
    chosen = list(environments([name for name in names if not (arguments.quick and name in LARGE)]))
    if arguments.matrix:
        pytest.append("--record-support")
    if arguments.list:
        print(*(title(*each) for each in chosen), sep="\n")
        return 0
    # One installs or waits for a server while another computes.
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = {f"{each[0]}, {each[1]}": pool.submit(attempt, *each, pytest) for each in chosen}
    failed = [name for name, each in runs.items() if not each.result()]
    print(f"{len(failed)} failed" + "".join(f"\n    {each}" for each in failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
