"""What watching prompt caches costs a call: `python -m benchmarks.bench_prompt_caches [--quick]`.

For each wire format, conversations of 10 and of 200 turns that grow by one turn a call, with twenty tools, all of whose
prefix is cached: the time of one call at that length, also as a multiple of pricing a call, which a slower machine
slows down as well; that of a call that reads a little less than before, and of an uncached agent in the trace of a
cached one; of the call that finds a break, and of the first one of a long conversation; and what a conversation keeps.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
import tracemalloc

from benchmarks.bench_loops import FORMATS, Body, first, result
from otel_agentcost.core.call import Answer, Call, Endpoint
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.pricebook import open_book
from otel_agentcost.savings.prompt_cache.health import PromptCacheHealth
from otel_agentcost.wire import load
from otel_agentcost.wire.format import ModelRequest

AT_10, AT_200 = 15.0, 40.0
"""Microseconds that a call may take."""
_ENDPOINT = Endpoint(provider="anthropic", base_url="https://api.anthropic.com", known=True, attributes={})
_UNCACHED = Usage(counts={"input_tokens": 9_000})
_TOOLS = [
    {
        "name": f"tool_{number}",
        "description": "Looks things up. " * 10,
        "input_schema": {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(6)}},
    }
    for number in range(20)
]


def request(form: str, messages: list[Body]) -> ModelRequest:
    """A request with twenty tools, whose list is made anew for each call."""
    body = {"model": "m", "system": "You are an agent. " * 300, "tools": [*_TOOLS], FORMATS[form][0]: messages}
    return ModelRequest(call=Call("chat", "m", body=body), endpoint=_ENDPOINT, format=load(form))


def answer(read: int, written: int) -> Answer:
    """An answer that has read and written so many tokens."""
    counts: dict[Kind, int] = {"input_tokens": 5, "cache_read_tokens": read, "cache_write_5m_tokens": written}
    return Answer(usage=Usage(counts={kind: count for kind, count in counts.items() if count}))


def at_length(form: str, turns: int, rounds: int, *, broken: bool = False, less: bool = False) -> float:
    """Microseconds of a call when the conversation is `turns` long: the median of five, in the quietest round."""
    medians: list[float] = []
    for _ in range(rounds):
        taken: list[float] = []
        health, messages = PromptCacheHealth(), [first(form)]
        for turn in range(turns + 5):
            asked, last = request(form, messages), turn >= turns
            cached = 10_000 + 500 * turn
            reply = answer(0, cached) if not turn or (broken and last) else answer(cached - 500, 500)
            if less and last:
                reply = answer(cached - 1_000, 0)
            at = time.time()
            started = time.perf_counter()
            health.answered(asked, {}, 7, reply, at)
            if last:
                taken.append(time.perf_counter() - started)
            messages = [*messages, *FORMATS[form][1](turn, result(turn))]
        medians.append(statistics.median(taken))
    return min(medians) * 1e6


def beside(form: str, turns: int, rounds: int, *, cached: bool) -> float:
    """Microseconds of a call of another agent in the trace of a cached one: its first one, or one without a cache."""
    messages = [first(form)]
    for turn in range(turns):
        messages = [*messages, *FORMATS[form][1](turn, result(turn))]
    taken: list[float] = []
    for _ in range(rounds):
        health, at = PromptCacheHealth(), time.time()
        health.answered(request(form, [{"role": "user", "content": "x", "parts": []}]), {}, 7, answer(0, 9_000), at)
        asked, reply = request(form, messages), answer(0, 9_000) if cached else Answer(usage=_UNCACHED)
        at = time.time()
        started = time.perf_counter()
        health.answered(asked, {}, 7, reply, at)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e6


def pricing(rounds: int) -> float:
    """Microseconds of pricing a call: the median of a hundred, in the quietest round."""
    book, usage = open_book(), Usage(counts={"input_tokens": 181, "cache_read_tokens": 1024, "output_tokens": 183})
    medians: list[float] = []
    for _ in range(rounds):
        taken: list[float] = []
        for _ in range(100):
            started = time.perf_counter()
            book.price(usage, provider="openai", base_url="https://api.openai.com/v1/", models=("gpt-4o",), at=1.8e9)
            taken.append(time.perf_counter() - started)
        medians.append(statistics.median(taken))
    return min(medians) * 1e6


def kept(form: str, turns: int) -> int:
    """Bytes that one conversation keeps, without the tools that all share."""
    health = PromptCacheHealth()
    health.answered(request(form, [first(form)]), {}, 0, answer(0, 10_000), time.time())
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for conversation in range(20):
        messages = [{"role": "user", "content": f"{conversation}", "parts": [{"text": f"{conversation}"}]}]
        for turn in range(turns):
            messages += FORMATS[form][1](turn, result(turn))
        health.answered(request(form, messages), {}, 0, answer(0, 10_000), time.time())
    messages = []
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) // 20


def table(*, quick: bool = False) -> bool:
    """Print the table. Return True if no call takes longer than it may."""
    rounds = 5 if quick else 20
    base, well = pricing(rounds), True
    print(f"pricing a call: {base:.1f} us")
    for form in FORMATS:
        short, long = at_length(form, 10, rounds), at_length(form, 200, rounds)
        less, other = at_length(form, 200, rounds, less=True), beside(form, 200, rounds, cached=False)
        found, begun = at_length(form, 10, rounds, broken=True), beside(form, 200, rounds, cached=True)
        well = well and short <= AT_10 and max(long, less, other) <= AT_200
        print(
            f"{form:20} at 10 turns {short:5.1f} us ({short / base:4.1f} x pricing), at 200 {long:5.1f} us "
            f"({long / base:4.1f} x), that read less {less:5.1f} us, of an uncached agent beside {other:5.1f} us; "
            f"a break at 10 turns {found:6.1f} us, the first call at 200 {begun:6.1f} us; "
            f"keeps {kept(form, 200):,} bytes at 200 turns"
        )
    return well


def main() -> int:
    """Print the table. Return 1 if a call takes longer than it may."""
    return int(not table(quick="--quick" in sys.argv))


if __name__ == "__main__":
    sys.exit(main())
