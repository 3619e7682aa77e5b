"""SDKs that we do not patch, each with an instrumentation of others: how to call them, and what a call must come to.

The real packages, as `pip install 'otel-agentcost[coexist]'` brings them, against the local server.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.support.in_memory import Telemetry
from tests.support.model_server import Reply, Request, json_reply, sse_reply

MESSAGES = [{"role": "user", "content": "Hi"}]
GROQ_MODEL = "llama-3.3-70b-versatile"
MISTRAL_MODEL = "mistral-small-latest"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"

_USAGE = {
    "prompt_tokens": 1205,
    "completion_tokens": 183,
    "total_tokens": 1388,
    "prompt_tokens_details": {"cached_tokens": 1024},
}
GROQ_USD = 0.00085552
"""1,205 input tokens at $0.59, cached ones included, and 183 output tokens at $0.79 a million."""
MISTRAL_USD = 0.00015231
"""181 input tokens at $0.15, 1,024 cached ones at $0.015, and 183 output tokens at $0.60 a million."""
COHERE_USD = 0.00075
"""100 billed input tokens at $2.50 and 50 output tokens at $10 a million."""
CLAUDE_USD = 0.00995742
"""2,000 input tokens at $3.30, 1,024 cached ones at $0.33, 183 output tokens at $16.50 a million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """One way of calling an SDK, seen by one instrumentation."""

    name: str
    module: str
    """Of the instrumentor."""
    instrumentor: str
    sdk: str
    """The module to import."""
    call: Callable[[str], None]
    """One call to the server at this address."""
    usd: float
    """What a call costs."""
    refusable: bool = True

    @property
    def installed(self) -> bool:
        """Whether both packages are there."""
        try:
            return all(importlib.util.find_spec(module) is not None for module in (self.module, self.sdk))
        except ModuleNotFoundError:
            return False

    def made(self) -> Any:
        """The instrumentor."""
        return getattr(importlib.import_module(self.module), self.instrumentor)()

    def instrument(self, telemetry: Telemetry, theirs: Telemetry) -> None:
        """Switches it on; its metrics go elsewhere."""
        self.made().instrument(
            tracer_provider=telemetry.tracer_provider, meter_provider=theirs.meter_provider, skip_dep_check=True
        )


def answer(request: Request) -> Reply:
    """The answer to a call of any of these SDKs."""
    if "/converse" in request.path:
        message = {"role": "assistant", "content": [{"text": "It is four."}]}
        usage = {"inputTokens": 2000, "outputTokens": 183, "totalTokens": 3207, "cacheReadInputTokens": 1024}
        return json_reply(
            {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 1}}
        )
    if request.path == "/v2/chat":
        said = {"role": "assistant", "content": [{"type": "text", "text": "It is four."}]}
        billed = {"billed_units": {"input_tokens": 100, "output_tokens": 50}, "tokens": {"input_tokens": 170}}
        return json_reply({"id": "c1", "finish_reason": "COMPLETE", "message": said, "usage": billed})
    head = {"id": "c1", "created": 1, "model": request.json["model"]}
    if request.json.get("stream"):
        delta = {"index": 0, "delta": {"role": "assistant", "content": "It is four."}, "finish_reason": None}
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        chunk = {**head, "object": "chat.completion.chunk"}
        end = {**chunk, "choices": [last], "usage": _USAGE, "x_groq": {"id": "r1", "usage": _USAGE}}
        return sse_reply([{**chunk, "choices": [delta]}, end], done=True)
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is four."}}
    return json_reply({**head, "object": "chat.completion", "choices": [choice], "usage": _USAGE})


def _groq(url: str, *, stream: bool = False) -> None:
    groq: Any = importlib.import_module("groq")
    with groq.Groq(api_key="none", base_url=url, max_retries=2) as client:
        answered = client.chat.completions.create(model=GROQ_MODEL, messages=MESSAGES, stream=stream)
        if stream:
            assert list(answered)


def _mistral(url: str) -> None:
    mistralai: Any = importlib.import_module("mistralai.client")
    with mistralai.Mistral(api_key="none", server_url=url) as client:
        client.chat.complete(model=MISTRAL_MODEL, messages=MESSAGES)


def _cohere(url: str) -> None:
    cohere: Any = importlib.import_module("cohere")
    httpx: Any = importlib.import_module("httpx")
    with httpx.Client() as http:
        cohere.ClientV2(api_key="none", base_url=url, httpx_client=http).chat(model="command-r-plus", messages=MESSAGES)


def _bedrock(url: str) -> None:
    boto3: Any = importlib.import_module("boto3")
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none", "region_name": "us-east-1"}
    client = boto3.client("bedrock-runtime", endpoint_url=url, **keys)
    with contextlib.closing(client):
        client.converse(modelId=CLAUDE, messages=[{"role": "user", "content": [{"text": "Hi"}]}])


_groq_seen = partial(Foreign, sdk="groq", instrumentor="GroqInstrumentor", usd=GROQ_USD)
_bedrock_seen = partial(Foreign, sdk="boto3", call=_bedrock, usd=CLAUDE_USD)

FOREIGN: Sequence[Foreign] = (
    _groq_seen(name="groq, openllmetry", module="opentelemetry.instrumentation.groq", call=_groq),
    _groq_seen(
        name="groq stream, openllmetry",
        module="opentelemetry.instrumentation.groq",
        call=partial(_groq, stream=True),
    ),
    _groq_seen(name="groq, openinference", module="openinference.instrumentation.groq", call=_groq),
    Foreign(
        name="mistralai, openinference",
        module="openinference.instrumentation.mistralai",
        instrumentor="MistralAIInstrumentor",
        sdk="mistralai",
        call=_mistral,
        usd=MISTRAL_USD,
    ),
    Foreign(
        name="cohere, openllmetry",
        module="opentelemetry.instrumentation.cohere",
        instrumentor="CohereInstrumentor",
        sdk="cohere",
        call=_cohere,
        usd=COHERE_USD,
    ),
    _bedrock_seen(
        name="bedrock, botocore",
        module="opentelemetry.instrumentation.botocore",
        instrumentor="BotocoreInstrumentor",
    ),
    _bedrock_seen(
        name="bedrock, official",
        module="opentelemetry.instrumentation.genai.bedrock",
        instrumentor="BedrockInstrumentor",
    ),
    _bedrock_seen(
        name="bedrock, openinference",
        module="openinference.instrumentation.bedrock",
        instrumentor="BedrockInstrumentor",
    ),
)
