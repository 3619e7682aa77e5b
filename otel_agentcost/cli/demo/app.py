"""`agentcost demo` from beginning to end: checks, OpenTelemetry, the server, the runs of the agent, the bill.

It sets OpenTelemetry up as an application does, calls `otel_agentcost.instrument()`, and lets the agent run through
the real SDKs. What cannot work (a package or a key is missing) is said in one sentence before anything starts.
Called by `cli/demo.py`. SDKs, exporters and rich are imported when they are needed: they are extras.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

import otel_agentcost
from otel_agentcost.cli.demo import agent, chats, script
from otel_agentcost.cli.demo.server import ModelServer
from otel_agentcost.errors import AgentCostError

if TYPE_CHECKING:
    from otel_agentcost.cli.demo.otlp import Collector
    from otel_agentcost.cli.demo.terminal import LiveView

SCENARIOS = {
    # What the model says, what the user says, and how many seconds the model thinks so that a person can follow.
    "tour": (script.TOUR, script.TOUR_ASSIGNMENTS, 0.18),
    "replay": (script.REPLAY, script.REPLAY_ASSIGNMENTS, 0.5),
}


class CannotRun(AgentCostError):
    """The demo cannot run as asked; the text is one sentence that says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command line."""

    sdk: str = "all"
    replay: bool = False
    real: bool = False
    otlp: str | None = None
    fast: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """One way to talk to a model: an SDK, one of its interfaces, and a model to ask."""

    sdk: str
    title: str
    package: str
    chat: type[chats.OpenAIChat | chats.OpenAIResponses | chats.AnthropicMessages | chats.Gemini]
    model: str
    keys: tuple[str, ...]
    """The environment variables in which the SDK looks for an API key."""


SURFACES = (
    Surface(
        sdk="openai",
        title="openai SDK, chat completions",
        package="openai",
        chat=chats.OpenAIChat,
        model="gpt-4o",
        keys=("OPENAI_API_KEY",),
    ),
    Surface(
        sdk="openai",
        title="openai SDK, responses, streamed",
        package="openai",
        chat=chats.OpenAIResponses,
        model="gpt-4o-mini",
        keys=("OPENAI_API_KEY",),
    ),
    Surface(
        sdk="anthropic",
        title="anthropic SDK, messages, streamed, prompt cached",
        package="anthropic",
        chat=chats.AnthropicMessages,
        model="claude-haiku-4-5",
        keys=("ANTHROPIC_API_KEY",),
    ),
    Surface(
        sdk="google",
        title="google-genai SDK, generateContent, streamed",
        package="google.genai",
        chat=chats.Gemini,
        model="gemini-2.5-flash",
        keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    ),
)


def main(options: Options) -> int:
    """Runs the demo; returns the exit code. Raises `CannotRun` before anything has happened."""
    return run(options, choose(options, os.environ))


def choose(options: Options, environ: Mapping[str, str]) -> Sequence[Surface]:
    """The surfaces to show. Raises `CannotRun` where a package, a key or the collector is missing."""
    if options.replay and options.real:
        raise CannotRun("--replay uses a recording and --real calls the provider: choose one of them.")
    if options.replay and options.sdk not in ("openai", "all"):
        raise CannotRun("--replay is a run on gpt-4o: it needs the openai SDK.")
    if options.replay:
        surfaces: Sequence[Surface] = SURFACES[:1]
    else:
        surfaces = [surface for surface in SURFACES if options.sdk in (surface.sdk, "all")]
    if options.real:
        surfaces = _with_keys(surfaces, environ)
    needed = ["rich", *(surface.package for surface in surfaces)]
    _require(needed, "otel-agentcost[demo]")
    return surfaces


def reach(otlp: str) -> Collector:
    """The collector at the address `otlp`. Raises `CannotRun` where there is none."""
    _require(["opentelemetry.exporter.otlp.proto.http"], "otel-agentcost[demo,otlp]")
    from otel_agentcost.cli.demo.otlp import Collector  # noqa: PLC0415 (needs the exporters, which are an extra)

    collector = Collector(otlp)
    if reason := collector.unreachable():
        raise CannotRun(f"{reason}: start one, or remove --otlp.")
    return collector


def run(options: Options, surfaces: Sequence[Surface]) -> int:
    """Runs the agent on every surface, and prints the bill."""
    from otel_agentcost.cli.demo.terminal import LiveView, open_console, print_bill  # noqa: PLC0415 (rich is an extra)

    console = open_console()
    view = LiveView(console)
    collector = reach(options.otlp) if options.otlp else None
    scenario, assignments, pause = SCENARIOS["replay" if options.replay else "tour"]
    follow = console.is_terminal and not options.fast
    local = contextlib.nullcontext() if options.real else ModelServer(scenario, pause=pause if follow else 0.0)
    failed: list[str] = []
    with telemetry(view, collector), local as server:
        url = server.url if server else None
        console.print(f"A research agent on {url or 'the real providers'}: {script.QUESTION}", soft_wrap=True)
        for surface in surfaces:
            view.heading(surface.title)
            chat = surface.chat(client(surface, url), surface.model, agent.INSTRUCTIONS, agent.TOOL_SPECS)
            try:
                report = agent.research(chat, assignments, user="ada")
            except Exception as error:
                if not options.real:  # our own server, our own fault
                    raise
                failed.append(f"{surface.title}: {type(error).__name__}: {error}")
                continue
            if len(surfaces) == 1:
                console.print(f"\n{report}", style="italic", soft_wrap=True, markup=False)
    print_bill(console, view.runs)
    if collector:
        console.print(f"{collector.spans} spans and the metrics were sent to {collector.url}.", soft_wrap=True)
    return conclude(failed or check(view, len(surfaces)), collector)


def check(view: LiveView, expected: int) -> list[str]:
    """Return the errors in the recorded spans: none, if every total agrees with its calls."""
    if len(view.runs) < expected or not all(run.model_lines for run in view.runs):
        return ["spans are missing: is OpenTelemetry or this package disabled in the environment?"]
    return [text for run in view.runs for text in run.disagreements()]


def conclude(wrong: Sequence[str], collector: Collector | None) -> int:
    """Says what went wrong; returns the exit code."""
    if collector and collector.failures:
        wrong = [*wrong, f"{collector.url} did not accept everything: does it receive OTLP over HTTP at this address?"]
    for text in wrong:
        print(f"agentcost demo: {text}", file=sys.stderr)
    return 1 if wrong else 0


@contextlib.contextmanager
def telemetry(view: LiveView, collector: Collector | None) -> Generator[None, None, None]:
    """OpenTelemetry as an application sets it up, with this instrumentation; flushed and undone at the end."""
    resource = Resource.create({"service.name": "agentcost-demo"})
    readers: list[MetricReader] = []
    tracer_provider = trace.get_tracer_provider()
    if not isinstance(tracer_provider, TracerProvider):  # it is one under `opentelemetry-instrument agentcost demo`
        tracer_provider = TracerProvider(resource=resource, sampler=ALWAYS_ON, shutdown_on_exit=False)
        trace.set_tracer_provider(tracer_provider)
    tracer_provider.add_span_processor(view)
    if collector:
        tracer_provider.add_span_processor(BatchSpanProcessor(collector.span_exporter))
        readers = [PeriodicExportingMetricReader(collector.metric_exporter)]
    meter_provider = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
    metrics.set_meter_provider(meter_provider)
    otel_agentcost.instrument(tracer_provider=tracer_provider, meter_provider=meter_provider)
    try:
        yield
    finally:
        otel_agentcost.uninstrument()
        tracer_provider.shutdown()
        meter_provider.shutdown()


def client(surface: Surface, url: str | None) -> Any:
    """The SDK's own client: of the local server at `url`, or of the real provider where there is none."""
    if url:
        _bypass_proxies()
    if surface.sdk == "openai":
        import openai  # noqa: PLC0415 (an extra)

        return openai.OpenAI(base_url=f"{url}/v1", api_key="demo") if url else openai.OpenAI()
    if surface.sdk == "anthropic":
        import anthropic  # noqa: PLC0415 (an extra)

        return anthropic.Anthropic(base_url=url, api_key="demo") if url else anthropic.Anthropic()
    from google import genai  # noqa: PLC0415 (an extra)

    return genai.Client(vertexai=False, api_key="demo", http_options={"base_url": url}) if url else genai.Client()


def _with_keys(surfaces: Sequence[Surface], environ: Mapping[str, str]) -> Sequence[Surface]:
    """Those of `surfaces` for which there is an API key; one that was asked for by name must have one."""
    usable = [surface for surface in surfaces if any(environ.get(key) for key in surface.keys)]
    if not usable:
        variables = " or ".join(dict.fromkeys(key for surface in surfaces for key in surface.keys))
        raise CannotRun(f"--real calls the provider and needs an API key: set {variables}, or remove --real.")
    return usable


def _require(packages: Sequence[str], install: str) -> None:
    missing = [package for package in dict.fromkeys(packages) if not _installed(package)]
    if missing:
        raise CannotRun(f"{', '.join(missing)} is not installed: pip install '{install}'")


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # a parent of it is missing
        return False


def _bypass_proxies() -> None:
    """Keeps a proxy of the environment from getting the requests to the local server."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1")))
