"""What the tests of message content share: a server, telemetry with events, and one question to four SDKs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, TypeVar

from anthropic import Anthropic
from google import genai
from google.genai import types
from openai import OpenAI
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor

from otel_agentcost.core import semconv
from otel_agentcost.settings import from_environment
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

T = TypeVar("T")

QUESTION = "What is the answer, asked Arthur?"
BRIEF = "Answer in brief."
SAID = {"role": "user", "parts": [{"type": "text", "content": QUESTION}]}
CONTENT = (semconv.INPUT_MESSAGES, semconv.OUTPUT_MESSAGES, semconv.SYSTEM_INSTRUCTIONS, semconv.TOOL_DEFINITIONS)


@dataclass
class Events(LogRecordProcessor):
    """Keeps the events that were emitted."""

    records: list[Any] = field(default_factory=list)

    def on_emit(self, log_record: Any) -> None:
        self.records.append(log_record.log_record)

    emit = on_emit

    def shutdown(self) -> None:
        """There is nothing to do."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


@dataclass
class Scene:
    """A server, and telemetry with events; `capturing` instruments for one of the settings."""

    server: ModelServer
    telemetry: Telemetry
    events: Events
    logs: LoggerProvider
    clients: list[Any] = field(default_factory=list)

    def capturing(self, where: str) -> Any:
        settings = from_environment({"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": where})
        return instrumented(self.telemetry, logger_provider=self.logs, settings=settings)

    def openai(self) -> OpenAI:
        return self._kept(OpenAI(base_url=self.server.url + "/v1", api_key="none", max_retries=0))

    def anthropic(self) -> Anthropic:
        return self._kept(Anthropic(base_url=self.server.url, api_key="none", max_retries=0))

    def gemini(self) -> genai.Client:
        return self._kept(genai.Client(api_key="none", http_options=types.HttpOptions(base_url=self.server.url)))

    def _kept(self, client: T) -> T:
        """A client that is dropped closes its connections, or leaves them open with a warning."""
        self.clients.append(client)
        return client

    def said(self) -> dict[str, Any]:
        """The content on the only span, parsed."""
        given = self.telemetry.attributes()
        return {name: json.loads(str(given[name])) for name in CONTENT if name in given}


CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": QUESTION}]}
RESPONSE: dict[str, Any] = {"model": "gpt-4o-mini", "input": QUESTION, "instructions": BRIEF}
MESSAGE: dict[str, Any] = {
    "model": "claude-opus-4-8",
    "max_tokens": 100,
    "system": BRIEF,
    "messages": [{"role": "user", "content": QUESTION}],
}
CONTENTS: dict[str, Any] = {
    "model": "gemini-2.5-flash",
    "contents": QUESTION,
    "config": types.GenerateContentConfig(system_instruction=BRIEF),
}
