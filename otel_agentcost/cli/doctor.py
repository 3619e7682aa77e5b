"""`agentcost doctor`: what this installation would do with an application, and what stands in its way.

It looks at the settings, the price book, the SDKs and OpenTelemetry as they are here and now, and changes nothing.
Started as `opentelemetry-instrument agentcost doctor`, it sees what an application started that way would get. The
exit code is 1 where something needs attention.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import cast

from otel_agentcost.cli import Subparsers
from otel_agentcost.errors import AgentCostError, SettingsError
from otel_agentcost.patching import Target
from otel_agentcost.settings import ROWS, Settings, without_password
from otel_agentcost.version import __version__

SUMMARY = "Show the settings as understood, the price book, the SDKs that can be measured, and where telemetry goes."

# What decides, beside our own settings, whether and where telemetry goes.
TELEMETRY_VARIABLES = (
    "OTEL_SDK_DISABLED",
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
    "OTEL_TRACES_EXPORTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_TRACES_SAMPLER",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    name: str
    text: str
    fine: bool = True


def add_parser(subparsers: Subparsers) -> None:
    """Adds the subcommand to `agentcost`."""
    parser = subparsers.add_parser("doctor", help=SUMMARY, description=SUMMARY)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the report; returns 1 where something in it needs attention."""
    del arguments
    print(f"otel-agentcost {__version__}, Python {platform.python_version()}")
    problem: Finding | None = None
    try:
        settings = Settings.load()
    except SettingsError as error:
        settings, problem = Settings(), Finding("not used", str(error), fine=False)
    sections = {
        "Settings": [problem] if problem else list(_settings(settings)),
        "Prices": list(_prices(settings)),
        "SDKs": list(_sdks()),
        "OpenTelemetry": list(_telemetry()),
    }
    width = max(len(finding.name) for findings in sections.values() for finding in findings)
    for title, findings in sections.items():
        print(f"\n{title}")
        for finding in findings:
            print(f"{' ' if finding.fine else '!'} {finding.name:{width}}  {finding.text}")
    return 0 if all(finding.fine for findings in sections.values() for finding in findings) else 1


def _settings(settings: Settings) -> Iterator[Finding]:
    for row in ROWS:
        if row.field in settings.sources:
            value: object = getattr(settings, row.field)
            if row.field == "tool_prices":
                value = ", ".join(f"{tool} ${usd}" for tool, usd in settings.tool_prices.items())
            yield Finding(row.variable, f"{value} ({settings.sources[row.field]})")
    if not settings.sources:
        yield Finding("", "all defaults")
    if not settings.enabled:
        yield Finding("disabled", "every SDK is left untouched: nothing is measured.", fine=False)
    for notice in settings.notices:
        yield Finding("no effect", notice, fine=False)


def _prices(settings: Settings) -> Iterator[Finding]:
    from otel_agentcost.pricebook import open_book  # noqa: PLC0415 (keeps the command line quick to start)

    try:
        book = open_book(settings.prices)
    except AgentCostError as error:
        yield Finding("own prices", str(error), fine=False)
        book = open_book()
    else:
        if settings.prices is not None:
            yield Finding("own prices", str(settings.prices))
    yield Finding("price book", book.source)


def _sdks() -> Iterator[Finding]:
    from otel_agentcost import sdks  # noqa: PLC0415 (keeps the command line quick to start)

    for sdk in sdks.discover():
        installed = _version(sdk.distribution)
        if installed is None:
            yield Finding(sdk.distribution, "not installed")
            continue
        missing = list(_missing(patchable.target for patchable in sdk.patches))
        if missing:
            text = f"{installed}: {', '.join(missing)} is not there, so calls through it are not measured"
            yield Finding(sdk.distribution, text, fine=False)
        elif _release(installed) < _release(sdk.oldest):
            yield Finding(sdk.distribution, f"{installed}: older than {sdk.oldest}, untested", fine=False)
        else:
            yield Finding(sdk.distribution, f"{installed}: every call is measured")


def _missing(targets: Iterable[Target]) -> Iterator[str]:
    """The seams that this version of the SDK does not have. Imports it: a doctor may take the time."""
    for target in targets:
        try:
            owner = getattr(import_module(target.module), target.owner, None)
            method = target.method if owner is None or isinstance(target.method, str) else target.method(owner)
        except Exception as error:  # an SDK may fail in any way at import
            yield f"{target.module} ({type(error).__name__}: {error})"
            return
        if not target.optional and not (isinstance(method, str) and callable(getattr(owner, method, None))):
            yield f"{target.module}.{target.owner}" + (f".{method}" if owner is not None else "")


def _telemetry() -> Iterator[Finding]:
    for distribution in ("opentelemetry-sdk", "opentelemetry-instrumentation"):
        yield Finding(distribution, _version(distribution) or "not installed")
    distro, exporter = _version("opentelemetry-distro"), _version("opentelemetry-exporter-otlp")
    if distro and exporter:
        yield Finding("opentelemetry-distro", f"{distro}, with the OTLP exporter {exporter}")
    else:
        text = "opentelemetry-instrument sets up no export without it: pip install 'otel-agentcost[otlp]'"
        yield Finding("opentelemetry-distro" if not distro else "opentelemetry-exporter-otlp", text, fine=False)
    yield _provider()
    for name in TELEMETRY_VARIABLES:
        if value := os.environ.get(name, "").strip():
            yield _variable(name, value)
    neighbours = sorted({entry.name for entry in entry_points(group="opentelemetry_instrumentor")} - {"agentcost"})
    yield Finding("other instrumentations", ", ".join(neighbours) or "none")


def _provider() -> Finding:
    """The tracer provider of this process and where its spans go."""
    from opentelemetry import trace  # noqa: PLC0415 (keeps the command line quick to start)

    provider = trace.get_tracer_provider()
    processors = getattr(getattr(provider, "_active_span_processor", None), "_span_processors", None)
    if processors is None:
        text = "not set up in this process (try: opentelemetry-instrument agentcost doctor)"
    else:
        exporters = (_exporter(processor) for processor in cast("tuple[object, ...]", processors))
        text = f"{type(provider).__name__} with {', '.join(exporters) or 'no span processor: nothing is exported'}"
    return Finding("tracer provider", text)


def _exporter(processor: object) -> str:
    exporter = getattr(processor, "span_exporter", None) or getattr(
        getattr(processor, "_batch_processor", None), "_exporter", None
    )
    name = type(processor).__name__
    return f"{name} ({type(exporter).__name__})" if exporter is not None else name


def _variable(name: str, value: str) -> Finding:
    off = (name == "OTEL_SDK_DISABLED" and value.lower() == "true") or (
        name == "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
        and not {"agentcost", "*"}.isdisjoint(item.strip() for item in value.split(","))
    )
    shown = without_password(value)
    return Finding(name, f"{shown} (nothing is measured)" if off else shown, fine=not off)


def _release(written: str) -> tuple[int, ...]:
    """The numbers that a version begins with, for comparison; () where there are none."""
    found = re.match(r"\d+(?:\.\d+)*", written)
    return tuple(int(number) for number in found[0].split(".")) if found else ()


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
