"""What `import otel_agentcost` and `instrument()` add to a process that has the OpenTelemetry SDK."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

_SDK = """
import json, resource, sys, time
import opentelemetry.sdk.metrics.export
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
metrics.set_meter_provider(MeterProvider())
{before}
def now():
    with open("/proc/self/statm") as pages:
        return time.process_time() * 1e3, int(pages.read().split()[1]) * resource.getpagesize() / 2**20
start = now()
import otel_agentcost
otel_agentcost.instrument()
end = now()
sdks = sorted(set(sys.modules) & {{"openai", "anthropic", "google.genai", "genai_prices", "tiktoken", "redis", "yaml"}})
print(json.dumps([end[0] - start[0], end[1] - start[1], sdks]))
"""
_CASES = {
    "bare SDK, then import and instrument()": "",
    "the same, with asyncio and wrapt loaded (every SDK, and the launcher, load them)": "import asyncio, wrapt",
}


def once(before: str) -> tuple[float, float, list[str]]:
    """CPU milliseconds, megabytes, and which SDKs were imported by it, in a fresh interpreter."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    code = _SDK.format(before=before)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    milliseconds, megabytes, imported = json.loads(done.stdout)
    return milliseconds, megabytes, imported


def table(*, runs: int) -> None:
    """Prints the medians."""
    print(f"{'case':82} {'CPU ms':>7} {'MB':>5}")
    for name, before in _CASES.items():
        once(before)  # writes the byte code
        seen = [once(before) for _ in range(runs)]
        imported = seen[0][2]
        print(
            f"{name:82} {statistics.median(each[0] for each in seen):7.1f} "
            f"{statistics.median(each[1] for each in seen):5.1f}"
            + (f"  imports {', '.join(imported)}" if imported else "")
        )


if __name__ == "__main__":
    table(runs=9)
