"""Makes the calls of every scenario with one instrumentation on: `python python.py NAME URL`.

Runs in an environment of its own, which holds the SDKs and that instrumentation, and nothing of this project.
"""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

NAME, URL = sys.argv[1:]
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ASKED = "Weather in Oslo?"
CLAUDE, BEDROCK = "claude-sonnet-4-5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
UNKNOWN = "nobody-knows-1"

provider = TracerProvider(resource=Resource.create({"service.name": "recorded"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{URL}/v1/traces")))
os.environ.update(NO_PROXY="127.0.0.1", AWS_ACCESS_KEY_ID="none", AWS_SECRET_ACCESS_KEY="none")
os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"


def scenario(name: str, call: Callable[[], Any]) -> None:
    """Makes one call, and sends what it left."""
    urllib.request.urlopen(urllib.request.Request(f"{URL}/begin/{name}", data=b"{}")).read()
    refused = name.startswith("error")
    with suppress(Exception if refused else ()):
        answer = call()
        if "stream" in name:
            for _ in answer["stream"] if isinstance(answer, dict) else answer:
                pass
    provider.force_flush()


def agent(call: Callable[..., Any]) -> None:
    """What an agent framework does: a span over two calls, with the sum of their tokens on it."""
    said = {
        "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner", "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 800, "gen_ai.usage.output_tokens": 100,
    }  # fmt: skip
    with trace.get_tracer("an.agent.framework", tracer_provider=provider).start_as_current_span(
        "invoke_agent planner"
    ) as span:
        span.set_attributes(said)
        call(ask=ASKED)
        call(ask="Thanks.")


def openai_chat() -> None:
    """OpenAI's chat completions and embeddings."""
    from openai import OpenAI

    client = OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0)

    def call(model: str = "gpt-4o", *, ask: str = ASKED, **more: Any) -> Any:
        return client.chat.completions.create(model=model, messages=[{"role": "user", "content": ask}], **more)

    counted = {"stream": True, "stream_options": {"include_usage": True}}
    function = {"type": "function", "function": {"name": "weather", "description": "", "parameters": TOOL}}
    scenario("plain-openai-chat", call)
    scenario("plain-openai-chat-stream", lambda: call(**counted))
    scenario("plain-openai-chat-stream-without-usage", lambda: call(stream=True))
    scenario("cached-openai-chat", call)
    scenario("cached-openai-chat-stream", lambda: call(**counted))
    scenario("reasoning-openai-chat", lambda: call("o4-mini"))
    scenario("tool-openai-chat", lambda: call(tools=[function]))
    scenario("error-openai-chat", call)
    scenario("unknown-openai-chat", lambda: call(UNKNOWN))
    scenario("cost-openrouter-chat", lambda: call("openai/gpt-4o"))
    scenario("agent-openai-chat", lambda: agent(call))
    embed = client.embeddings.create
    scenario("embeddings-openai", lambda: embed(model="text-embedding-3-small", input="Oslo", encoding_format="float"))


def openai_responses() -> None:
    """OpenAI's responses."""
    from openai import OpenAI

    client = OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0)

    def call(model: str = "gpt-4o", **more: Any) -> Any:
        return client.responses.create(model=model, input=ASKED, **more)

    scenario("plain-openai-responses", call)
    scenario("cached-openai-responses", call)
    scenario("cached-openai-responses-stream", lambda: call(stream=True))
    scenario("reasoning-openai-responses", lambda: call("o4-mini"))
    scenario("error-openai-responses", call)


def anthropic() -> None:
    """Anthropic's messages."""
    from anthropic import Anthropic

    client = Anthropic(base_url=URL, api_key="none", max_retries=0)

    def call(model: str = CLAUDE, **more: Any) -> Any:
        return client.messages.create(
            model=model, max_tokens=500, messages=[{"role": "user", "content": ASKED}], **more
        )

    def helper() -> None:
        with client.messages.stream(model=CLAUDE, max_tokens=500, messages=[{"role": "user", "content": ASKED}]) as one:
            one.get_final_message()

    tool = {"name": "weather", "description": "", "input_schema": TOOL}
    scenario("plain-anthropic", call)
    scenario("plain-anthropic-stream", lambda: call(stream=True))
    scenario("cached-anthropic", call)
    scenario("written-anthropic", call)
    scenario("written-anthropic-stream", lambda: call(stream=True))
    scenario("written-anthropic-helper", helper)
    scenario("hour-anthropic", call)
    scenario("tool-anthropic", lambda: call(tools=[tool]))
    scenario("error-anthropic", call)
    scenario("unknown-anthropic", lambda: call(UNKNOWN))


def bedrock() -> None:
    """Bedrock's Converse."""
    import boto3

    client = boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=URL)
    asked = {"modelId": BEDROCK, "messages": [{"role": "user", "content": [{"text": ASKED}]}]}
    scenario("plain-bedrock", lambda: client.converse(**asked))
    scenario("plain-bedrock-stream", lambda: client.converse_stream(**asked))
    scenario("cached-bedrock", lambda: client.converse(**asked))
    scenario("written-bedrock", lambda: client.converse(**asked))
    scenario("written-bedrock-stream", lambda: client.converse_stream(**asked))
    scenario("error-bedrock", lambda: client.converse(**asked))


def gemini() -> None:
    """Google's Gemini."""
    from google import genai

    client = genai.Client(api_key="none", http_options={"base_url": URL})

    def call(model: str = "gemini-2.5-flash") -> Any:
        return client.models.generate_content(model=model, contents=ASKED)

    scenario("plain-gemini", call)
    scenario(
        "plain-gemini-stream",
        lambda: client.models.generate_content_stream(model="gemini-2.5-flash", contents=ASKED),
    )
    scenario("cached-gemini", call)
    scenario("reasoning-gemini", call)
    scenario("error-gemini", call)


def langchain() -> None:
    """LangChain's model for OpenAI, with the instrumentation of both."""
    from langchain_openai import ChatOpenAI

    def call(**more: Any) -> ChatOpenAI:
        return ChatOpenAI(model="gpt-4o", base_url=f"{URL}/v1", api_key="none", max_retries=0, **more)

    scenario("plain-langchain", lambda: call().invoke(ASKED))
    scenario("cached-langchain", lambda: call().invoke(ASKED))
    scenario("cached-langchain-stream", lambda: call(stream_usage=True).stream(ASKED))


def langchain_agent() -> None:
    """LangChain's agent, with a tool."""
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI

    def weather(city: str) -> str:
        """The weather in a city."""
        return "Fine."

    model = ChatOpenAI(model="gpt-4o", base_url=f"{URL}/v1", api_key="none", max_retries=0)
    planner = create_agent(model, [weather], name="planner")
    scenario("agent-langchain", lambda: planner.invoke({"messages": [{"role": "user", "content": ASKED}]}))


def pydantic_ai() -> None:
    """Pydantic AI's own spans."""
    from pydantic_ai import Agent
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.anthropic import AnthropicProvider
    from pydantic_ai.providers.openai import OpenAIProvider

    gpt = OpenAIChatModel("gpt-4o", provider=OpenAIProvider(base_url=f"{URL}/v1", api_key="none"))
    claude = AnthropicModel(CLAUDE, provider=AnthropicProvider(base_url=URL, api_key="none"))

    def weather(city: str) -> str:
        """The weather in a city."""
        return "Fine."

    def agent_of(model: Any) -> Any:
        return Agent(model, name="planner", tools=[weather])

    scenario("plain-openai-chat", lambda: agent_of(gpt).run_sync(ASKED))
    scenario("cached-openai-chat", lambda: agent_of(gpt).run_sync(ASKED))
    scenario("written-anthropic", lambda: agent_of(claude).run_sync(ASKED))
    scenario("agent-openai-chat", lambda: agent_of(gpt).run_sync(ASKED))
    scenario("agent-anthropic", lambda: agent_of(claude).run_sync(ASKED))
    scenario("error-openai-chat", lambda: agent_of(gpt).run_sync(ASKED))


def adk() -> None:
    """Google's Agent Development Kit."""
    import asyncio

    from google.adk.agents import LlmAgent
    from google.adk.runners import InMemoryRunner
    from google.genai import types

    os.environ.update(GOOGLE_API_KEY="none", GOOGLE_GEMINI_BASE_URL=URL)

    def weather(city: str) -> str:
        """The weather in a city."""
        return "Fine."

    async def run() -> None:
        runner = InMemoryRunner(LlmAgent(name="planner", model="gemini-2.5-flash", tools=[weather]), app_name="app")
        session = await runner.session_service.create_session(app_name="app", user_id="u")
        asked = types.Content(role="user", parts=[types.Part(text=ASKED)])
        async for _ in runner.run_async(user_id="u", session_id=session.id, new_message=asked):
            pass

    for name in ("plain-adk", "cached-adk", "reasoning-adk", "agent-adk"):
        scenario(name, lambda: asyncio.run(run()))


def logfire_sdks() -> None:
    """Logfire on the SDKs themselves."""
    openai_chat()
    openai_responses()
    anthropic()


def instrument(*modules: str) -> None:
    """Switches the instrumentors of these modules on: `module:class`."""
    for one in modules:
        module, _, name = one.partition(":")
        getattr(import_module(module), name)().instrument(tracer_provider=provider, skip_dep_check=True)


def logfire_on() -> None:
    """Logfire's way."""
    import logfire

    logfire.configure(send_to_logfire=False, console=False, inspect_arguments=False)

    global provider  # noqa: PLW0603 (theirs, once it is there)
    provider = trace.get_tracer_provider()
    logfire.instrument_openai()
    logfire.instrument_anthropic()


def openlit_on() -> None:
    """OpenLIT's way."""
    import openlit

    others = ["httpx", "urllib", "urllib3", "requests", "aiohttp-client"]
    openlit.init(otlp_endpoint=URL, application_name="recorded", disable_metrics=True, disabled_instrumentors=others)
    global provider  # noqa: PLW0603 (theirs, once it is there)
    provider = trace.get_tracer_provider()


def pydantic_on() -> None:
    """Pydantic AI's way."""
    from pydantic_ai import Agent

    trace.set_tracer_provider(provider)
    Agent.instrument_all()


def globally() -> None:
    """For SDKs that find the application's own provider."""
    trace.set_tracer_provider(provider)


GENAI, LLMETRY, INFERENCE = (
    "opentelemetry.instrumentation.genai",
    "opentelemetry.instrumentation",
    "openinference.instrumentation",
)
PACKAGES: dict[str, tuple[Callable[[], None], tuple[Callable[[], None], ...]]] = {
    "opentelemetry-instrumentation-genai-openai": (
        lambda: instrument(f"{GENAI}.openai:OpenAIInstrumentor"), (openai_chat, openai_responses)),
    "opentelemetry-instrumentation-genai-anthropic": (
        lambda: instrument(f"{GENAI}.anthropic:AnthropicInstrumentor"), (anthropic,)),
    "opentelemetry-instrumentation-genai-bedrock": (
        lambda: instrument(f"{GENAI}.bedrock:BedrockInstrumentor"), (bedrock,)),
    "opentelemetry-instrumentation-google-genai": (
        lambda: instrument(f"{LLMETRY}.google_genai:GoogleGenAiSdkInstrumentor"), (gemini,)),
    "opentelemetry-instrumentation-botocore": (
        lambda: instrument(f"{LLMETRY}.botocore:BotocoreInstrumentor"), (bedrock,)),
    "opentelemetry-instrumentation-openai": (
        lambda: instrument(f"{LLMETRY}.openai:OpenAIInstrumentor"), (openai_chat, openai_responses)),
    "opentelemetry-instrumentation-anthropic": (
        lambda: instrument(f"{LLMETRY}.anthropic:AnthropicInstrumentor"), (anthropic,)),
    "opentelemetry-instrumentation-bedrock": (
        lambda: instrument(f"{LLMETRY}.bedrock:BedrockInstrumentor"), (bedrock,)),
    "opentelemetry-instrumentation-langchain": (
        lambda: instrument(f"{LLMETRY}.langchain:LangchainInstrumentor", f"{LLMETRY}.openai:OpenAIInstrumentor"),
        (langchain, langchain_agent)),
    "openinference-instrumentation-openai": (
        lambda: instrument(f"{INFERENCE}.openai:OpenAIInstrumentor"), (openai_chat, openai_responses)),
    "openinference-instrumentation-anthropic": (
        lambda: instrument(f"{INFERENCE}.anthropic:AnthropicInstrumentor"), (anthropic,)),
    "openinference-instrumentation-bedrock": (
        lambda: instrument(f"{INFERENCE}.bedrock:BedrockInstrumentor"), (bedrock,)),
    "openinference-instrumentation-langchain": (
        lambda: instrument(f"{INFERENCE}.langchain:LangChainInstrumentor"), (langchain, langchain_agent)),
    "openlit": (openlit_on, (openai_chat, anthropic, bedrock)),
    "logfire": (logfire_on, (logfire_sdks,)),
    "pydantic-ai-slim": (pydantic_on, (pydantic_ai,)),
    "anthropic": (globally, (anthropic,)),
    "google-adk": (globally, (adk,)),
}  # fmt: skip

if __name__ == "__main__":
    switch_on, drive = PACKAGES[NAME]
    if NAME in ("openlit", "logfire"):
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = URL
        os.environ["OTEL_METRICS_EXPORTER"] = "none"
    elif NAME != "anthropic":
        os.environ["ANTHROPIC_OTEL_DISABLED"] = "true"
    switch_on()
    for one in drive:
        one()
    provider.force_flush()
