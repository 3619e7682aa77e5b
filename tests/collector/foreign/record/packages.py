"""What is recorded: each package, what its environment holds, and what its spans do not say."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

_OTEL = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")
_SDKS = ("openai", "anthropic", "boto3")
_NODE = (
    "@opentelemetry/api", "@opentelemetry/resources", "@opentelemetry/sdk-trace-node",
    "@opentelemetry/exporter-trace-otlp-http",
)  # fmt: skip
_ENVIRONMENTS: Mapping[str, tuple[str, ...]] = {
    "official": (*_OTEL, *_SDKS, "google-genai", "httpx", "opentelemetry-instrumentation-genai-openai",
        "opentelemetry-instrumentation-genai-anthropic", "opentelemetry-instrumentation-genai-bedrock",
        "opentelemetry-instrumentation-google-genai", "opentelemetry-instrumentation-botocore"),
    "openllmetry": (*_OTEL, *_SDKS, "langchain", "langchain-openai", "opentelemetry-instrumentation-openai",
        "opentelemetry-instrumentation-anthropic", "opentelemetry-instrumentation-bedrock",
        "opentelemetry-instrumentation-langchain"),
    "openinference": (*_OTEL, *_SDKS, "langchain", "langchain-openai", "openinference-instrumentation-openai",
        "openinference-instrumentation-anthropic", "openinference-instrumentation-bedrock",
        "openinference-instrumentation-langchain"),
    "openlit": (*_OTEL, *_SDKS, "openlit>=1.45"),
    "logfire": (*_OTEL, *_SDKS, "logfire"),
    "pydantic": (*_OTEL, "pydantic-ai-slim[openai,anthropic]"),
    "google": (*_OTEL, "google-adk>=2.13"),
}  # fmt: skip


@dataclass(frozen=True)
class Package:
    """One instrumentation, and how it is run."""

    name: str
    environment: str
    requires: tuple[str, ...] = ()
    """npm packages; a Python one's are its environment's."""

    @property
    def file(self) -> str:
        """How its file's name begins."""
        return self.name.strip("@").replace("/", "-")

    def gap(self, scenario: str) -> str | None:
        """What this scenario's spans do not say."""
        patterns = [*_GAPS.get(self.name, {}).items(), *_ANY_GAPS.items()]
        return next((why for pattern, why in patterns if fnmatch(scenario, pattern)), None)

    def provider(self, scenario: str) -> str:
        """Of a scenario without a successful call."""
        names = {"anthropic": "anthropic", "bedrock": "aws", "gemini": "google", "adk": "google"}
        return next((provider for word, provider in names.items() if word in scenario), "openai")

    def command(self, envs: Path, drivers: Path, url: str) -> list[str]:
        """Prepares the environment, and says what to run."""
        if self.environment == "node":
            return self._node(envs / self.file, drivers, url)
        python = envs / self.environment / "bin" / "python"
        if not python.exists():
            subprocess.run(["uv", "venv", "-q", envs / self.environment], check=True)
            pre = "allow" if self.environment in ("official", "google") else "if-necessary-or-explicit"
            install = ["uv", "pip", "install", "-q", "--prerelease", pre, "-p", str(python)]
            subprocess.run([*install, *_ENVIRONMENTS[self.environment]], check=True)
        return [str(python), str(drivers / "python.py"), self.name, url]

    def _node(self, folder: Path, drivers: Path, url: str) -> list[str]:
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "package.json").write_text("{}")
            subprocess.run(["npm", "install", "--no-audit", "--no-fund", *self.requires], cwd=folder, check=True)
        for driver in drivers.glob("*.mjs"):
            (folder / driver.name).write_text(driver.read_text())
        return ["node", str(folder / (self.file + ".mjs")), url]

    def installed(self, envs: Path) -> str:
        """Its version."""
        if self.environment == "node":
            manifest = envs / self.file / "node_modules" / self.name / "package.json"
            return str(json.loads(manifest.read_text())["version"])
        python = str(envs / self.environment / "bin" / "python")
        asks = f"import importlib.metadata as m; print(m.version({self.name!r}))"
        return subprocess.run(
            [python, "-c", asks], capture_output=True, text=True, check=True, env=os.environ
        ).stdout.strip()


_NO_USAGE = "unpriced: the stream's caller did not ask OpenAI for usage, so there is none"
_HOUR = (
    "different: the span does not say that the cache writes live for an hour; the cheapest is counted, with a reason"
)
_TWICE = "different: anthropic 2 traces itself as well: both spans are calls, and neither says that it holds the other"
_FRAMEWORK = (
    "unpriced: a framework's span may stand for a call that has a span of its own; see AGENTCOST_PRICED_FRAMEWORKS"
)
_NO_REGION = "different: the span leaves the region out of the model's name, and regions cost more"
_GAPS: Mapping[str, Mapping[str, str]] = {
    "opentelemetry-instrumentation-anthropic": {
        "plain-anthropic-stream": "different: output tokens of a stream's first event are added to the final count",
        "written-anthropic-stream": "different: output tokens of a stream's first event are added to the final count",
        "written-anthropic-helper": "different: output tokens of a stream's first event are added to the final count",
    },
    "opentelemetry-instrumentation-langchain": {"*": _FRAMEWORK},
    "openinference-instrumentation-langchain": {"*": _FRAMEWORK},
    "google-adk": {"*": _FRAMEWORK},
    "pydantic-ai-slim": {"*-openai-*": _FRAMEWORK},
    "anthropic": {"hour-*": ""},
    "opentelemetry-instrumentation-bedrock": {"error-*": "", "*-bedrock*": _NO_REGION},
    "logfire": {"hour-*": "",
        "*-anthropic-stream": _TWICE, "*-anthropic-helper": _TWICE,
    },
    "openlit": {
        "*-stream-without-usage": "different: tokens that the provider did not count are guessed",
        "written-anthropic-stream": "different: a stream's cache counts are said to be 0",
        "written-anthropic-helper": "different: a stream's cache counts are said to be 0",
    },
    "@traceloop/instrumentation-openai": {
        "*-stream": "unpriced: streams have no usage",
        "cached-openai-chat": "different: the span does not say how many input tokens were cached",
    },
}  # fmt: skip
_ANY_GAPS = {"*-stream-without-usage": _NO_USAGE, "hour-*": _HOUR}


PACKAGES = [
    Package("opentelemetry-instrumentation-genai-openai", "official"),
    Package("opentelemetry-instrumentation-genai-anthropic", "official"),
    Package("opentelemetry-instrumentation-genai-bedrock", "official"),
    Package("opentelemetry-instrumentation-google-genai", "official"),
    Package("opentelemetry-instrumentation-botocore", "official"),
    Package("opentelemetry-instrumentation-openai", "openllmetry"),
    Package("opentelemetry-instrumentation-anthropic", "openllmetry"),
    Package("opentelemetry-instrumentation-bedrock", "openllmetry"),
    Package("opentelemetry-instrumentation-langchain", "openllmetry"),
    Package("openinference-instrumentation-openai", "openinference"),
    Package("openinference-instrumentation-anthropic", "openinference"),
    Package("openinference-instrumentation-bedrock", "openinference"),
    Package("openinference-instrumentation-langchain", "openinference"),
    Package("openlit", "openlit"),
    Package("logfire", "logfire"),
    Package("pydantic-ai-slim", "pydantic"),
    Package("anthropic", "official"),
    Package("google-adk", "google"),
    Package("ai", "node", (*_NODE, "ai", "@ai-sdk/openai", "@ai-sdk/anthropic", "zod")),
    Package("@traceloop/instrumentation-openai", "node", (*_NODE, "openai", "@traceloop/instrumentation-openai")),
]
