"""`agentcost doctor`: report what this installation would do with an application, and what prevents it.

The report covers the settings, budgets, price book, SDKs and OpenTelemetry of this process, and probes the ledger (a
ledger file that does not exist is created). Nothing else is changed. What is installed is read from metadata; a process
of its own imports the packages and checks that they can be patched (`--no-imports` leaves that out). Started as
`opentelemetry-instrument agentcost doctor`, the report is about an application that is started that way. The exit code
is 1 if anything needs attention.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import distributions, entry_points
from typing import cast

from otel_agentcost._version import __version__
from otel_agentcost.cli import Subparsers, _work_text
from otel_agentcost.cli._self_check import SelfChecks
from otel_agentcost.core import money
from otel_agentcost.core.breakers import Breaker
from otel_agentcost.core.budgets import Budget, Unit, period, rolling_seconds
from otel_agentcost.core.ledger import Ledger
from otel_agentcost.diagnostics import without_password
from otel_agentcost.errors import AgentCostError, SettingsError, written
from otel_agentcost.integrations import tested
from otel_agentcost.integrations.targets import Target
from otel_agentcost.settings import ACTION_WORDS, ROWS, Settings, from_environment

SUMMARY = "Show the settings and budgets in effect, the price book, the SDKs, the ledger, and where telemetry goes."

DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"

# The variables that decide, besides our own settings, whether and where telemetry goes.
TELEMETRY_VARIABLES = (
    "OTEL_SDK_DISABLED",
    DISABLED,
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
    """Add the subcommand to `agentcost`."""
    parser = subparsers.add_parser("doctor", help=SUMMARY, description=SUMMARY)
    parser.add_argument(
        "--no-imports",
        action="store_true",
        help="Do not import the installed packages to check if they can be patched",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the report. Returns 1 if anything in it needs attention, else 0."""
    print(f"otel-agentcost {__version__}, Python {platform.python_version()}")
    problem: Finding | None = None
    try:
        settings = from_environment()
    except SettingsError as error:
        settings, problem = Settings(), Finding("not used", str(error), fine=False)
    prices = list(_prices(settings))
    obstacle = _obstacle(settings, problem)
    checks = SelfChecks(imports=not arguments.no_imports)
    sections = {
        "Settings": [problem] if problem else list(_settings(settings)),
        "Budgets": list(_budgets(settings, obstacle)),
        "Prices": prices,
        "SDKs": list(_sdks(checks, in_use=obstacle is None)),
        "HTTP clients": list(_http(checks, settings, in_use=obstacle is None)),
        "Other clients of models": list(_others(settings, in_use=obstacle is None)),
        "Agents of frameworks": list(_agents(checks, in_use=obstacle is None)),
        "Tools of frameworks": list(_frameworks(checks, in_use=obstacle is None)),
        "OpenTelemetry": list(_telemetry()),
    }
    width = max(len(finding.name) for findings in sections.values() for finding in findings)
    for title, findings in sections.items():
        print(f"\n{title}" if findings else "", end="\n" if findings else "")
        for finding in findings:
            print(f"{' ' if finding.fine else '!'} {finding.name:{width}}  {finding.text}")
    return 0 if all(finding.fine for findings in sections.values() for finding in findings) else 1


def _settings(settings: Settings) -> Iterator[Finding]:
    for row in ROWS:
        if row.field in settings.sources:
            yield Finding(row.variable, f"{row.show(getattr(settings, row.field))} ({settings.sources[row.field]})")
    if not settings.sources:
        yield Finding("", "all defaults")
    if not settings.enabled:
        yield Finding("disabled", "no SDK is patched and nothing is measured.", fine=False)
    for notice in settings.notices:
        if _LOUD not in notice:
            yield Finding("no effect", notice, fine=False)


_LOUD = "BUDGET IS ENFORCED"
"""Is part of every notice about a limit without effect; these stand among the budgets."""

# --- Budgets ----------------------------------------------------------------------------------------------------------

_COUNTED: Mapping[Unit, str] = {
    "tokens": "token",
    "calls": "model call",
    "tool_calls": "tool call",
    "seconds": "second",
}


def _obstacle(settings: Settings, problem: Finding | None) -> str | None:
    """Return why the budgets of the settings are not enforced; None if they are, or if there are none."""
    if problem is not None:
        return "OTEL_AGENTCOST_STRICT is true, and a setting is unclear"
    if not settings.rules and not settings.breakers:
        return None
    if not settings.enabled:
        return "OTEL_AGENTCOST_ENABLED is false"
    if not _variable(DISABLED, os.environ.get(DISABLED, "")).fine:
        return f"{DISABLED} names agentcost"
    return None


def _budgets(settings: Settings, obstacle: str | None) -> Iterator[Finding]:
    """Report the rules in words, the settings that go with them, and the ledger."""
    if obstacle is not None:
        yield Finding(
            "not enforced", f"NO BUDGET IS ENFORCED: {obstacle}, so otel-agentcost does not start.", fine=False
        )
    yield from (Finding("not enforced", notice, fine=False) for notice in settings.notices if _LOUD in notice)
    for rule in settings.rules:
        words = _in_words(rule, settings, time.time()) if obstacle is None else "not enforced"
        yield Finding("budget", f"{rule.text} | {words}", fine=obstacle is None)
    if settings.rules:
        for row in ROWS:
            if row.effect is not None and (effect := row.effect(getattr(settings, row.field))):
                yield Finding(row.field.replace("_", " "), effect)
    elif obstacle is None:
        yield Finding("", "no budget is set")
    if any(rule.scope == "trace" for rule in settings.rules):
        yield Finding("under no span", _work_text.units())
    for breaker in settings.breakers:
        whose = _whose(breaker)
        words = f"{whose}: opens after {breaker.why}, refuses for {breaker.open_in_words}"
        yield Finding("breaker", f"{breaker.text} | {words}", fine=obstacle is None)
    yield from _doubts(settings)
    if settings.rules or settings.breakers or "ledger" in settings.sources:
        yield _ledger(settings)


def _doubts(settings: Settings) -> Iterator[Finding]:
    """Report rules that can have no effect, and those whose effect depends on names that only calls have."""
    from otel_agentcost.guard.futile_rules import futile_rules  # noqa: PLC0415 (keeps the command line quick to start)
    from otel_agentcost.pricebook import open_book  # noqa: PLC0415

    try:
        book = open_book(settings.prices)
    except AgentCostError:  # reported among the prices
        book = open_book()
    for sentence in futile_rules(settings, book):
        yield Finding("no effect", sentence, fine=False)
    rules: tuple[Budget | Breaker, ...] = (*settings.rules, *settings.breakers)
    names = [f"{rule.scope}={rule.name}" for rule in rules if rule.name is not None]
    if any((rule.on_exceed or settings.on_exceed) == "downgrade" for rule in settings.rules):
        names += (f"model {model} to replace" for model in settings.downgrade)
    names += (f"tool {tool}" for tool in settings.tool_prices)
    names += (f"host {str(host).rpartition('=')[0]}" for host in settings.hosts if settings.http == "on")
    if names:
        listed = ", ".join(dict.fromkeys(names))
        text = f"{listed}: only calls tell if there are such names; the log names those that 100 calls have not had"
        yield Finding("names", text)
    if limits := [rule.text for rule in settings.rules if "tool_calls" in rule.limits]:
        text = f"{'; '.join(limits)}: only tools that are seen count; the log tells if 100 model calls came without one"
        yield Finding("limits of tools", text)


def _whose(rule: Budget | Breaker) -> str:
    if rule.name is not None:
        return f"{rule.scope} {rule.name}"
    return "all calls together" if rule.scope == "total" else f"each {rule.scope}"


def _in_words(rule: Budget, settings: Settings, now: float) -> str:
    whose = _whose(rule)
    limits = ", ".join(_amount(unit, limit) for unit, limit in rule.limits.items())
    then = f"a call over it {ACTION_WORDS[rule.on_exceed or settings.on_exceed]}"
    if rolling_seconds(rule.window) is not None:
        return f"{whose}, in any {rule.window}: {limits}; {then}; spend is freed as it gets older"
    ends = period(rule.window, now, settings.time_zone).ends
    if ends is None:
        return f"{whose}{'' if rule.scope in ('trace', 'process') else ', never reset'}: {limits}; {then}"
    until = datetime.fromtimestamp(ends, settings.time_zone).strftime("%Y-%m-%d %H:%M")
    return f"{whose}, per {rule.window} ({settings.time_zone}): {limits}; {then}; this {rule.window} ends {until}"


def _amount(unit: Unit, limit: int) -> str:
    if unit != "nano_usd":
        return f"{limit:,} {_COUNTED[unit]}{'' if limit == 1 else 's'}"
    return written(money.from_nano(limit), "usd")


def _ledger(settings: Settings) -> Finding:
    """Report which ledger counts, whether it answers, and how fast once it is connected."""
    from otel_agentcost.guard.ledger import open_ledger  # noqa: PLC0415 (keeps the command line quick to start)
    from otel_agentcost.guard.opening import completed, counted_in_fixed_windows  # noqa: PLC0415 (the same)

    allowed = settings.ledger_down == "allow"
    consequence = "NO BUDGET IS ENFORCED" if allowed else "Every call with a budget is refused"
    try:
        ledger = completed(open_ledger(settings.ledger) if isinstance(settings.ledger, str) else settings.ledger)
    except AgentCostError as error:
        return Finding("ledger", f"{error} {consequence}.", fine=False)
    try:
        took, caution = _probe(ledger)
    except AgentCostError as error:
        return Finding("ledger", f"{error} {consequence} until it answers.", fine=False)
    finally:
        ledger.close()
    text = f"{without_password(str(settings.ledger))} answers in {took * 1000:.2f} ms"
    if took > settings.ledger_timeout and ledger.has_timeout:
        late = f"{text}, and calls wait {settings.ledger_timeout * 1000:g} ms: raise OTEL_AGENTCOST_LEDGER_TIMEOUT"
        return Finding("ledger", late, fine=False)
    if caution is not None:
        return Finding("ledger", f"{text}. {caution}", fine=False)
    alone = "" if ledger.shared else ": each process counts for itself"
    if alone and any(rule.window for rule in settings.rules):
        alone += ", and its counts are lost at its end: budgets with a window restart"
    if (fixed := counted_in_fixed_windows(settings.rules, ledger)) is not None:
        alone += f". {fixed.rstrip('.')}"
    return Finding("ledger", text + alone)


def _probe(ledger: Ledger) -> tuple[float, str | None]:
    """Return the seconds that a ledger takes to answer once it is connected, and what is wrong with its setup.

    Raises:
        AgentCostError: It does not answer.

    """
    try:
        took = 0.0
        for _ in range(2):
            began = time.perf_counter()
            ledger.standing("agentcost/doctor", now=time.time())
            took = time.perf_counter() - began
        return took, ledger.caution()
    except AgentCostError:
        raise
    except Exception as error:  # a ledger of another distribution may raise anything
        reason = without_password(f"{type(error).__name__}: {error!s:.200}")
        raise AgentCostError(f"The ledger does not answer ({reason}).") from error


# --- What is installed ------------------------------------------------------------------------------------------------


def _prices(settings: Settings) -> Iterator[Finding]:
    from otel_agentcost.pricebook import open_book  # noqa: PLC0415 (keeps the command line quick to start)

    try:
        book = open_book(settings.prices)
    except AgentCostError as error:
        yield Finding("price file", str(error), fine=False)
        book = open_book()
    else:
        if settings.prices is not None:
            yield Finding("price file", str(settings.prices))
        yield from (Finding("price file", str(problem), fine=False) for problem in book.problems)
    yield Finding("price book", book.source)


def _sdks(checks: SelfChecks, *, in_use: bool) -> Iterator[Finding]:
    from otel_agentcost.integrations import sdks  # noqa: PLC0415 (keeps the command line quick to start)

    for sdk in sdks.discover():
        measured = "every call is measured" if in_use else "not measured, see above"
        targets = [patchable.checked for patchable in sdk.patches]
        found = _patched(checks, sdk.distribution, sdk.oldest, targets, measured)
        yield found or Finding(sdk.distribution, "not installed")


def _http(checks: SelfChecks, settings: Settings, *, in_use: bool) -> Iterator[Finding]:
    """Report the HTTP clients whose requests to known providers are measured."""
    from otel_agentcost.integrations import http  # noqa: PLC0415 (keeps the command line quick to start)

    if settings.http == "off":
        yield Finding("off", "OTEL_AGENTCOST_HTTP is off: only calls of the SDKs above are measured")
        return
    own = ", ".join(map(str, settings.hosts)) or "none (OTEL_AGENTCOST_HOSTS)"
    yield Finding("on", f"requests to known providers are model calls; own hosts: {own}")
    measured = "measured, if no SDK has counted the call" if in_use else "not measured, see above"
    for client in http.discover():
        targets = [send.target for send in client.sends]
        if found := _patched(checks, client.distribution, client.oldest, targets, measured):
            yield found


def _others(settings: Settings, *, in_use: bool) -> Iterator[Finding]:
    """Report the installed packages that call models past the patched SDKs."""
    from otel_agentcost.integrations import unseen  # noqa: PLC0415 (keeps the command line quick to start)

    found = False
    for client in unseen.clients():
        installed = tested.installed(client.distribution)
        if not installed:
            continue
        found = True
        seen = next((name for name in client.spans if tested.installed(name)), None)
        if seen is not None:
            measured = f"its calls are counted from the spans of {seen}" if in_use else "not measured, see above"
            yield Finding(client.distribution, f"{installed}: {measured}")
            continue
        if client.over_http and settings.http == "on" and in_use:
            yield Finding(client.distribution, f"{installed}: its HTTP requests are seen, and {client.over_http}")
            continue
        remedy = f"; install {client.spans[0]} to count them" if client.spans else ""
        text = f"calls of {client.calls} are NOT SEEN: no span, no cost, no budget ({client.why}){remedy}"
        yield Finding(client.distribution, f"{installed}: {text}")
    if not found:
        yield Finding("", "none is installed")


def _frameworks(checks: SelfChecks, *, in_use: bool) -> Iterator[Finding]:
    """Report the frameworks whose tool calls are measured."""
    from otel_agentcost.integrations import tools  # noqa: PLC0415 (keeps the command line quick to start)

    measured = "every tool call is a span" if in_use else "not measured, see above"

    def found(framework: tools.Framework) -> Finding | str:
        installed = tested.installed(framework.distribution)
        if installed and framework.tools_since_oldest and tested.release(installed) < tested.release(framework.oldest):
            return Finding(framework.distribution, f"{installed}: does not call tools itself")
        targets = [patch.checked for patch in framework.patches]
        return _patched(checks, framework.distribution, framework.oldest, targets, measured) or framework.distribution

    yield from _installed_and_not(map(found, tools.discover()))


def _agents(checks: SelfChecks, *, in_use: bool) -> Iterator[Finding]:
    """Report the frameworks whose agents are runs."""
    from otel_agentcost.integrations import agents  # noqa: PLC0415 (keeps the command line quick to start)

    measured = "every run of an agent is a span" if in_use else "not measured, see above"
    yield from _installed_and_not(
        _patched(checks, each.distribution, each.oldest, [patch.target for patch in each.patches], measured)
        or each.distribution
        for each in agents.discover()
    )


def _installed_and_not(findings: Iterable[Finding | str]) -> Iterator[Finding]:
    """Yield the findings, and one line with the names of all packages that are not installed."""
    absent: list[str] = []
    for found in findings:
        if isinstance(found, str):
            absent.append(found)
        else:
            yield found
    if absent:
        yield Finding("not installed", ", ".join(absent))


def _patched(
    checks: SelfChecks, distribution: str, oldest: str, targets: Iterable[Target], measured: str
) -> Finding | None:
    """Report if a package can be patched, and with which releases that was tested; None if it is not installed."""
    installed = tested.installed(distribution)
    if not installed:
        return None
    if tested.release(installed) < tested.release(oldest):
        return Finding(distribution, f"{installed}: older than {oldest}, not tested", fine=False)
    others = sorted({each.version for each in distributions(name=distribution)} - {installed})
    if others:
        text = (
            f"{installed}: {', '.join(others)} is installed too. Which one is imported depends on sys.path: remove one"
        )
        return Finding(distribution, text, fine=False)
    if faults := checks.faults(targets):
        text = f"{installed}: {'; '.join(faults)}: calls through this are not measured"
        return Finding(distribution, f"{text}{_tested(distribution, oldest)}", fine=False)
    return Finding(distribution, f"{installed}: {measured}{_tested(distribution, oldest)}")


def _tested(distribution: str, oldest: str) -> str:
    releases = tested.releases(distribution, oldest)
    return f" (tested: {releases})" if releases else ""


def _telemetry() -> Iterator[Finding]:
    for distribution in ("opentelemetry-sdk", "opentelemetry-instrumentation"):
        yield Finding(distribution, tested.installed(distribution) or "not installed")
    distro, exporter = tested.installed("opentelemetry-distro"), tested.installed("opentelemetry-exporter-otlp")
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
    """Report the tracer provider of this process, and the exporters of its spans."""
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
        name == DISABLED and not {"agentcost", "*"}.isdisjoint(item.strip() for item in value.split(","))
    )
    shown = without_password(value)
    return Finding(name, f"{shown} (nothing is measured)" if off else shown, fine=not off)
