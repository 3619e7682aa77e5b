"""Providers that come late, forked children, and what ends with the process: each in a process of its own."""

from __future__ import annotations

import os
import sys

import pytest

from tests.integrations.sdks.test_patching import python

HEAD = """
import gc, os, sys, json
import otel_agentcost
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()

def provide():
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([reader]))

def spent():
    found = reader.get_metrics_data()
    return sum(
        point.value for r in found.resource_metrics for s in r.scope_metrics for m in s.metrics
        if m.name == "agentcost.cost" for point in m.data.data_points
    ) if found else 0

"""


def test_providers_set_after_instrument() -> None:
    """An application that sets its providers after us gets spans, metrics and roll-ups all the same."""
    script = f"""{HEAD}
otel_agentcost.instrument()
provide()
from tests.support.openai_call import ask
ask()
with trace.get_tracer("application").start_as_current_span("root"):
    ask()
by_name = {{span.name: dict(span.attributes) for span in exporter.get_finished_spans()}}
print(sorted(by_name), by_name["root"].get("agentcost.trace.llm_calls"), spent())
"""
    assert python(script).strip() == "['chat gpt-4o-mini', 'root'] 1 9e-05"


def test_no_provider_at_all() -> None:
    """Without any OpenTelemetry SDK set up, calls work, and nothing is said or kept."""
    script = f"""{HEAD}
otel_agentcost.instrument()
from tests.support.openai_call import ask
print(ask().choices[0].message.content)
"""
    assert python(script).strip() == "Forty-two."


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="this system cannot fork safely")
def test_forked_child_makes_calls() -> None:
    """A child that was forked while another thread was making calls makes its own calls and counts its own dollars."""
    script = f"""{HEAD}
import threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
provide()
otel_agentcost.instrument()
from tests.support.openai_call import ask, client
made = client()
ask(made)
stop = threading.Event()
def busy():
    mine = client()
    while not stop.is_set():
        ask(mine)
thread = threading.Thread(target=busy)
thread.start()
codes = []
for _ in range(10):
    child = os.fork()
    if child == 0:
        exporter.clear()
        before = spent()
        ask(client())
        good = len(exporter.get_finished_spans()) == 1 and abs(spent() - before - 0.000045) < 1e-9
        os._exit(0 if good else 1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
thread.join()
print(codes)
"""
    assert python(script).strip() == str([0] * 10)


def test_stream_that_is_open_at_exit() -> None:
    """A process that ends with a half-read stream ends as it does without us, and its span is not lost."""
    script = f"""{HEAD}
import atexit
provide()
atexit.register(lambda: print([dict(span.attributes)["agentcost.usage.estimated"]
                               for span in exporter.get_finished_spans()]))
{{instrument}}
from tests.integrations.sdks.recorded_streams import CHAT, Wire
import warnings
warnings.simplefilter("ignore")
stream = CHAT.ask(Wire(CHAT.chunks).transport())
next(stream)
print("done")
"""
    without = python(script.replace("{instrument}", "")).strip().splitlines()
    with_us = python(script.replace("{instrument}", "otel_agentcost.instrument()")).strip().splitlines()
    assert without[:2] == ["done", "[]"]
    assert with_us[:2] == ["done", "[True]"]
    assert len(with_us) == len(without)


def test_launcher_loads_us() -> None:
    """What `opentelemetry-instrument` loads is our entry point, and it obeys the list of disabled ones."""
    script = """
from importlib.metadata import entry_points
(entry,) = [e for e in entry_points(group="opentelemetry_instrumentor") if e.name == "agentcost"]
instrumentor = entry.load()()
instrumentor.instrument(skip_dep_check=True)
import openai, wrapt
assert any(isinstance(m, wrapt.FunctionWrapper) for m in vars(openai._base_client.SyncAPIClient).values())
instrumentor.uninstrument()
assert not any(isinstance(m, wrapt.FunctionWrapper) for m in vars(openai._base_client.SyncAPIClient).values())
print("ok")
"""
    assert python(script).strip() == "ok"
