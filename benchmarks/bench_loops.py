"""What watching for loops costs a call: `python -m benchmarks.bench_loops [--quick]`.

For each wire format, conversations of 10 and of 200 turns that grow by one turn a call (an assistant's message with a
tool call, and its result), as agents without loops make them: the time of one call at that length, the time of reading
one that was not seen before, and what a trace keeps. And the same with a poll, whose results have to be compared.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from otel_agentcost.calls.loop_guard import TraceLoops
from otel_agentcost.wire import load

Body = dict[str, Any]
AT_10, AT_200 = 20.0, 60.0
"""Microseconds that a call may take."""
ROOM = 64_000
"""Bytes that a live trace may take."""


def arguments(turn: int) -> dict[str, Any]:
    return {"query": f"orders of customer {turn}", "limit": 20, "filters": {"state": "open", "since": "2025-01-01"}}


def result(turn: int) -> str:
    rows = [{"id": turn * 100 + n, "state": "open", "total": n * 7.5, "customer": f"c-{turn}"} for n in range(12)]
    return json.dumps(rows)


def chat(turn: int, said: str) -> list[Body]:
    call = {"id": f"call_{turn}", "type": "function", "function": {"name": "list_orders"}}
    call["function"] = {"name": "list_orders", "arguments": json.dumps(arguments(turn))}
    answer = {"role": "tool", "tool_call_id": f"call_{turn}", "content": said}
    return [{"role": "assistant", "content": None, "tool_calls": [call]}, answer]


def responses(turn: int, said: str) -> list[Body]:
    written = json.dumps(arguments(turn))
    return [
        {"type": "function_call", "call_id": f"call_{turn}", "name": "list_orders", "arguments": written},
        {"type": "function_call_output", "call_id": f"call_{turn}", "output": said},
    ]


def anthropic(turn: int, said: str) -> list[Body]:
    call = {"type": "tool_use", "id": f"toolu_{turn}", "name": "list_orders", "input": arguments(turn)}
    answer = {"type": "tool_result", "tool_use_id": f"toolu_{turn}", "content": said}
    return [{"role": "assistant", "content": [call]}, {"role": "user", "content": [answer]}]


def gemini(turn: int, said: str) -> list[Body]:
    call = {"functionCall": {"name": "list_orders", "args": arguments(turn)}}
    answer = {"functionResponse": {"name": "list_orders", "response": {"result": said}}}
    return [{"role": "model", "parts": [call]}, {"role": "user", "parts": [answer]}]


FORMATS: dict[str, tuple[str, Callable[[int, str], list[Body]]]] = {
    "openai_chat": ("messages", chat),
    "openai_responses": ("input", responses),
    "anthropic_messages": ("messages", anthropic),
    "gemini": ("contents", gemini),
}


def first(form: str) -> Body:
    return {"role": "user", "content": "Look at the orders.", "parts": [{"text": "Look at the orders."}]}


def at_length(form: str, turns: int, rounds: int, *, polls: bool = False) -> float:
    """Microseconds of a call when the conversation is about `turns` long, and was read all along: the median of five
    calls, in the quietest of the rounds.
    """
    place, turn_of = FORMATS[form]
    medians: list[float] = []
    for _ in range(rounds):
        taken: list[float] = []
        messages = [first(form)]
        looping = TraceLoops()
        for turn in range(turns + 3):
            messages = [*messages, *turn_of(0 if polls else turn, result(turn))]
            body = {place: messages}
            started = time.perf_counter()
            looping.before_call(load(form), body, turn)
            if turn >= turns - 2:
                taken.append(time.perf_counter() - started)
        medians.append(statistics.median(taken))
    return min(medians) * 1e6


def unseen(form: str, turns: int) -> float:
    """Microseconds of reading a whole conversation at once."""
    place, turn_of = FORMATS[form]
    messages = [first(form)]
    for turn in range(turns):
        messages += turn_of(turn, result(turn))
    taken: list[float] = []
    for _ in range(5):
        looping = TraceLoops()
        started = time.perf_counter()
        looping.before_call(load(form), {place: messages}, 1)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e6


def kept(form: str, turns: int) -> int:
    """Bytes that a trace keeps after so many turns: three conversations with long results that are not ASCII."""
    place, turn_of = FORMATS[form]
    warm = {place: [first(form), *turn_of(0, result(0))]}
    TraceLoops().before_call(load(form), warm, 1)  # fills the caches that all traces share
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    looping = TraceLoops()
    for conversation in range(3):
        messages = [first(form), {"role": "user", "content": f"{conversation}", "parts": [{"text": f"{conversation}"}]}]
        for turn in range(turns):
            messages += turn_of(turn, f"\U0001f600 {turn} {conversation} " * 200)
        looping.before_call(load(form), {place: messages}, conversation)
    messages = []
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert looping.size() > 0
    return after - before


def hostile(form: str) -> int:
    """Bytes that a trace keeps of what is made to fill it."""
    _filled(form)  # caches shared by all traces
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    looping = _filled(form)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert looping.size() < ROOM
    return after - before


def _filled(form: str) -> TraceLoops:
    """Many conversations, of megabytes of results, arguments, names, ids and answers, and of thousands of calls; and
    tools that tell of themselves in the same way.
    """
    place, turn_of = FORMATS[form]
    looping = TraceLoops()
    for conversation in range(20):
        large = f"\U0001f600 {conversation} " + "word \u0439 " * 20_000
        messages = [{"role": "user", "content": large, "parts": [{"text": large}]}]
        for turn in range(12):
            messages += _named(turn_of(turn, f"{turn} {large}"), f"{turn} {large}")
            messages.append({"role": "assistant", "content": f"{turn} {large}", "parts": [{"text": f"{turn} {large}"}]})
        messages += [message for turn in range(1000) for message in turn_of(turn, f"{turn} {conversation}")]
        looping.before_call(load(form), {place: messages}, conversation)
        for number in range(60):
            looping.tool_returned(looping.tool_called(f"{number} {large}", f"{number} {large}", {"x": large}), large)
    return looping


def _named(messages: list[Body], name: str) -> list[Body]:
    """The turn, with that name of the tool."""
    return [json.loads(json.dumps(message).replace('"list_orders"', json.dumps(name))) for message in messages]


def main(*, quick: bool) -> None:
    """The table."""
    rounds = 5 if quick else 40
    print(f"{'watching for loops (µs a call)':32} {'10 turns':>9} {'200 turns':>10}", end="")
    print(f" {'polls, 200':>11} {'unseen, 200':>12} {'kept, bytes':>12} {'at worst':>9}")
    for form in FORMATS:
        short, long = at_length(form, 10, rounds), at_length(form, 200, rounds)
        polls = at_length(form, 200, rounds, polls=True)
        print(
            f"{form:32} {short:9.1f} {long:10.1f} {polls:11.1f} {unseen(form, 200):12.0f} {kept(form, 200):12} "
            f"{hostile(form):9}",
            flush=True,
        )
    print(f"{'at most':32} {AT_10:9.1f} {AT_200:10.1f} {'':11} {'':12} {ROOM:12} {ROOM:9}")


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
