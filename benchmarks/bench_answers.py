"""What the cache of answers adds to a call: `python -m benchmarks.bench_answers [--quick]`.

CPU of a lookup that misses (a chat of 10 turns, hash included), of a whole hit through the SDK (openai), and its ratio
to the same call without this package, on a transport that answers at once. Of many short blocks, the quickest counts.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import httpx2
from openai import OpenAI

import otel_agentcost
from benchmarks.bench_http import least
from otel_agentcost.core.call import Call, Endpoint
from otel_agentcost.core.semconv import CHAT, REQUEST_TEMPERATURE
from otel_agentcost.savings.responses.cache import Policy, ResponseCache
from otel_agentcost.savings.stores import open_store
from otel_agentcost.settings import Settings
from otel_agentcost.wire import load
from otel_agentcost.wire.format import ModelRequest

TURNS = [{"role": ("user", "assistant")[turn % 2], "content": "What bees do in winter. " * 20} for turn in range(10)]
BODY: dict[str, Any] = {"model": "gpt-4o-mini", "temperature": 0, "messages": TURNS}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "They wait. " * 50}}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
}


def lookup(*, blocks: int) -> float:
    """Microseconds of a lookup that misses."""
    address = "https://api.openai.com/v1"
    call = Call(operation=CHAT, model="gpt-4o-mini", parameters={REQUEST_TEMPERATURE: 0}, body=BODY)
    endpoint = Endpoint(provider="openai", base_url=address, known=True, attributes={})
    request = ModelRequest(call=call, endpoint=endpoint, format=load("openai_chat"))
    cache = ResponseCache(open_store("memory://"), Policy(), lambda: "process", time.time)
    with OpenAI(api_key="none", http_client=httpx2.Client()) as client:

        def miss() -> None:
            wanted = cache.look(request, {"agentcost.tenant": "acme"}, client, None)
            assert wanted is not None
            cache.ended(wanted, None)

        return least(miss, blocks=blocks, calls=200)


def through_the_sdk(settings: Settings | None, *, blocks: int) -> float:
    """Microseconds of a call of the SDK, without this package for None."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=ANSWER))
    if settings is not None:
        otel_agentcost.instrument(settings=settings)
    try:
        with OpenAI(api_key="none", http_client=httpx2.Client(transport=transport)) as client:
            ask: Any = client.chat.completions.create
            ask(**BODY)
            return least(lambda: ask(**BODY), blocks=blocks, calls=50)
    finally:
        otel_agentcost.uninstrument()


def table(*, quick: bool) -> None:
    """Print the table."""
    blocks = 10 if quick else 60
    bare = through_the_sdk(None, blocks=blocks)
    off = through_the_sdk(Settings(), blocks=blocks)
    hit = through_the_sdk(Settings(cache=("exact",)), blocks=blocks)
    print(f"{'a lookup that misses, 10 turns':40} {lookup(blocks=blocks):8.1f} us")
    print(f"{'a call that is not cached, cache off':40} {off:8.1f} us   {off / bare:5.2f} of the SDK's own")
    print(f"{'a hit, with the work of the SDK':40} {hit:8.1f} us   {hit / bare:5.2f} of the SDK's own")
    print(f"{'a hit, without it':40} {hit - bare:8.1f} us")


if __name__ == "__main__":
    table(quick="--quick" in sys.argv)
