"""What a price lookup costs: ours beside genai-prices, in one run (`python -m benchmarks.bench_prices`).

Both price the same typical usage (fresh and cached input, output) of the same models; blocks of both are interleaved,
so that a noisy machine is noisy for both. The first opening is measured in fresh interpreters.
"""

from __future__ import annotations

import importlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook import open_book

MODELS = [
    ("openai", "https://api.openai.com/v1/", "gpt-4o-mini-2024-07-18"),
    ("openai", "https://api.openai.com/v1/", "gpt-4o-2024-08-06"),
    ("openai", "https://api.openai.com/v1/", "gpt-5-mini"),
    ("anthropic", "https://api.anthropic.com", "claude-sonnet-4-5-20250929"),
    ("anthropic", "https://api.anthropic.com", "claude-haiku-4-5"),
    ("google", "https://generativelanguage.googleapis.com/", "gemini-2.5-flash"),
]
AT = 1.795e9
BLOCKS = 25

FIRST = """
import time, tracemalloc
from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook import open_book
started = time.process_time()
book = open_book()
opened = time.process_time()
usage = Usage(counts={"input_tokens": 181, "cache_read_tokens": 1024, "output_tokens": 183})
book.price(usage, provider="openai", base_url="https://api.openai.com/v1/", models=("gpt-4o-mini",), at=1.795e9)
priced = time.process_time()
tracemalloc.start()
another = open_book()
held, _ = tracemalloc.get_traced_memory()
print(opened - started, priced - opened, held / 1e6)
"""

FIRST_OF_THE_LIBRARY = """
import time
started = time.process_time()
import genai_prices
opened = time.process_time()
usage = genai_prices.Usage(input_tokens=1205, cache_read_tokens=1024, output_tokens=183)
genai_prices.calc_price(usage, "gpt-4o-mini", provider_id="openai")
priced = time.process_time()
held = float("nan")
print(opened - started, priced - opened, held)
"""


def ours() -> list[Callable[[], object]]:
    """One priced call for each model."""
    book = open_book()
    usage = Usage(counts={"input_tokens": 181, "cache_read_tokens": 1024, "output_tokens": 183})

    def call(provider: str, base_url: str, model: str) -> Callable[[], object]:
        models = (model, model)
        return lambda: book.price(usage, provider=provider, base_url=base_url, models=models, at=AT)

    return [call(*row) for row in MODELS]


def of_the_library() -> list[Callable[[], object]]:
    """The same calls, priced by genai-prices."""
    library: Any = importlib.import_module("genai_prices")
    usage = library.Usage(input_tokens=1205, cache_read_tokens=1024, output_tokens=183)
    at = datetime.fromtimestamp(AT, timezone.utc)

    def call(provider: str, model: str) -> Callable[[], object]:
        return lambda: library.calc_price(usage, model, provider_id=provider, genai_request_timestamp=at)

    return [call(provider, model) for provider, _, model in MODELS]


def microseconds(calls: list[Callable[[], object]], rounds: int) -> float:
    """The CPU that one call takes, over `rounds` rounds of all calls."""
    started = time.process_time()
    for _ in range(rounds):
        for call in calls:
            call()
    return (time.process_time() - started) / rounds / len(calls) * 1e6


def first(code: str) -> list[float]:
    """Seconds to open (the library: to import) and to price first, megabytes held: medians of five processes."""
    runs: list[list[float]] = []
    for _ in range(5):
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        runs.append([float(text) for text in shown.split()])
    return [statistics.median(column) for column in zip(*runs, strict=True)]


def main() -> None:
    """Measures and prints the table."""
    sides = {"otel-agentcost": (ours(), 2000), "genai-prices": (of_the_library(), 30)}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for calls, _ in sides.values():
        microseconds(calls, 5)
    for _ in range(BLOCKS):
        for name, (calls, rounds) in sides.items():
            times[name].append(microseconds(calls, rounds))
    print("| price of a call | median us | best us | open ms | first price ms | MB held open |")
    print("|---|---|---|---|---|---|")
    for name, code in zip(sides, (FIRST, FIRST_OF_THE_LIBRARY), strict=True):
        opened, priced, held = first(code)
        row = f"{statistics.median(times[name]):.2f} | {min(times[name]):.2f} | {opened * 1e3:.2f} | {priced * 1e3:.1f}"
        print(f"| {name} | {row} | {held:.2f} |")


if __name__ == "__main__":
    main()
