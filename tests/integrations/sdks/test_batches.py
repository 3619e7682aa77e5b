"""Batches of the real SDKs: kept when they are created, and settled once when their results are read."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anthropic
import pytest
from google import genai
from openai import AsyncOpenAI, OpenAI

import otel_agentcost
from otel_agentcost.core import semconv
from tests.support.batch_provider import ANSWERED, INTO, OUT, BatchProvider
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

TOKENS = (ANSWERED * INTO, ANSWERED * OUT)
QUESTION: Any = [{"role": "user", "content": "6 x 7"}]
PARAMS: Any = {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": QUESTION}
INLINED: Any = [{"contents": [{"parts": [{"text": "6 x 7"}], "role": "user"}]}]


@dataclass(frozen=True, kw_only=True)
class Program:
    """What a program does with the batches of one SDK: `create` makes one, `poll` asks for it, `read` has its results
    as text. `usd` is the price of the three answered lines: half of the standard one."""

    create: Callable[[str], Any]
    poll: Callable[[str], Any]
    read: Callable[[str], str]
    usd: float
    model: str | None
    inlined: bool = False


def openai(url: str) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def claude(url: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)


def gemini(url: str) -> genai.Client:
    options: Any = {"base_url": url}
    return genai.Client(api_key="none", http_options=options)


def openai_create(url: str) -> Any:
    with openai(url) as client:
        return client.batches.create(input_file_id="file-in", endpoint="/v1/chat/completions", completion_window="24h")


def openai_poll(url: str) -> Any:
    with openai(url) as client:
        return client.batches.retrieve("batch_1")


def openai_read(url: str) -> str:
    with openai(url) as client:
        found = client.batches.retrieve("batch_1")
        return client.files.content(found.output_file_id or "").text


def openai_streamed(url: str) -> str:
    with openai(url) as client:
        found = client.batches.retrieve("batch_1")
        with client.files.with_streaming_response.content(found.output_file_id or "") as response:
            return "".join(response.iter_text())


def openai_listed(url: str) -> str:
    with openai(url) as client:
        (found,) = client.batches.list()
        return client.files.with_raw_response.content(found.output_file_id or "").text


def openai_async(url: str) -> str:
    async def read() -> str:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            found = await client.batches.retrieve("batch_1")
            return (await client.files.content(found.output_file_id or "")).text

    return asyncio.run(read())


def claude_create(url: str) -> Any:
    with claude(url) as client:
        return client.messages.batches.create(requests=[{"custom_id": f"q{n}", "params": PARAMS} for n in range(5)])


def claude_beta_create(url: str) -> Any:
    with claude(url) as client:
        return client.beta.messages.batches.create(requests=[{"custom_id": "q", "params": PARAMS}])


def claude_poll(url: str) -> Any:
    with claude(url) as client:
        return client.messages.batches.retrieve("msgbatch_1")


def claude_read(url: str) -> str:
    with claude(url) as client:
        return " ".join(line.custom_id for line in client.messages.batches.results("msgbatch_1"))


def claude_beta_read(url: str) -> str:
    with claude(url) as client:
        return " ".join(line.custom_id for line in client.beta.messages.batches.results("msgbatch_1"))


def claude_async(url: str) -> str:
    async def read() -> str:
        async with anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as client:
            return " ".join([line.custom_id async for line in await client.messages.batches.results("msgbatch_1")])

    return asyncio.run(read())


def gemini_create(url: str) -> Any:
    with gemini(url) as client:
        return client.batches.create(model="gemini-2.5-flash", src=INLINED)


def gemini_poll(url: str) -> Any:
    with gemini(url) as client:
        return client.batches.get(name="batches/1")


def gemini_inlined(url: str) -> str:
    destination = gemini_poll(url).dest
    assert destination is not None
    return " ".join(str(each.response is not None) for each in destination.inlined_responses)


def file_of(client: Any) -> str:
    """The file with the results."""
    name = client.batches.get(name="batches/1").dest.file_name
    assert isinstance(name, str)
    return name


def gemini_file(url: str) -> str:
    with gemini(url) as client:
        name = file_of(client)
        return client.files.download(file=name).decode()


def gemini_into_a_stream(url: str) -> str:
    stream = io.BytesIO()
    with gemini(url) as client:
        name = file_of(client)
        client.files.download(file=name, destination=stream)
    return stream.getvalue().decode()


def gemini_into_a_file(url: str) -> str:
    with TemporaryDirectory() as folder, gemini(url) as client:
        path = Path(folder) / "results.jsonl"
        name = file_of(client)
        client.files.download(file=name, destination=path)
        return path.read_text(encoding="utf-8")


GPT: dict[str, Any] = {"create": openai_create, "poll": openai_poll, "usd": 0.000315, "model": "gpt-4o-mini-2024-07-18"}
"""Three times 1,000 tokens at $0.075 and 100 at $0.30 a million."""
HAIKU: dict[str, Any] = {"create": claude_create, "poll": claude_poll, "usd": 0.00225, "model": "claude-haiku-4-5"}
"""Three times 1,000 tokens at $0.50 and 100 at $2.50 a million."""
BETA: dict[str, Any] = {**HAIKU, "create": claude_beta_create}
FLASH: dict[str, Any] = {"create": gemini_create, "poll": gemini_poll, "usd": 0.000825, "model": "gemini-2.5-flash"}
"""Three times 1,000 tokens at $0.15 and 100 at $1.25 a million."""
PROGRAMS = {
    "openai": Program(**GPT, read=openai_read),
    "openai streamed": Program(**GPT, read=openai_streamed),
    "openai listed, raw": Program(**GPT, read=openai_listed),
    "openai async": Program(**GPT, read=openai_async),
    "anthropic": Program(**HAIKU, read=claude_read),
    "anthropic async": Program(**HAIKU, read=claude_async),
    "anthropic beta": Program(**BETA, read=claude_beta_read),
    "gemini inlined": Program(**FLASH, read=gemini_inlined, inlined=True),
    "gemini file": Program(**FLASH, read=gemini_file),
    "gemini into a stream": Program(**FLASH, read=gemini_into_a_stream),
    "gemini into a file": Program(**FLASH, read=gemini_into_a_file),
}

of_all = pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)


@pytest.fixture
def provider(model_server: ModelServer) -> BatchProvider:
    provider = BatchProvider()
    model_server.responder = provider
    return provider


def settlements(telemetry: Telemetry) -> list[dict[str, Any]]:
    """The attributes of the spans of settlements."""
    return [dict(span.attributes or {}) for span in telemetry.spans if span.name.startswith("settle_batch")]


@of_all
def test_a_batch_is_settled_once_at_batch_prices(
    telemetry: Telemetry, model_server: ModelServer, provider: BatchProvider, program: Program
) -> None:
    """The program sees what it would see without us; three lines cost half of their price, and all others nothing."""
    provider.inlined = program.inlined
    provider.finish()
    wanted = program.read(model_server.url)
    provider.finished = False
    with budgeted(telemetry):
        with otel_agentcost.attribute(user="u1", team="t1", feature="f1"):
            program.create(model_server.url)
        program.poll(model_server.url)
        assert settlements(telemetry) == []
        provider.finish()
        assert [program.read(model_server.url) for _ in range(3)] == [wanted] * 3
    (settled,) = settlements(telemetry)
    assert settled[semconv.COST] == pytest.approx(program.usd, abs=1e-12)
    assert (settled[semconv.INPUT_TOKENS], settled[semconv.OUTPUT_TOKENS]) == TOKENS
    assert settled[semconv.REQUEST_MODEL] == program.model
    assert (settled[semconv.USER], settled[semconv.TEAM], settled[semconv.FEATURE]) == ("u1", "t1", "f1")
    assert settled[semconv.BATCH_LINES] == ANSWERED
    assert telemetry.total("agentcost.cost") == pytest.approx(program.usd, abs=1e-12)
