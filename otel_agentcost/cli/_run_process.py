"""The process of `agentcost run`: its environment, its signals and its end."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from otel_agentcost.core.budgets import Budget, to_limit
from otel_agentcost.settings import PREFIX, Settings, from_environment
from otel_agentcost.store.schema import parse_url

LOOK: Final = 0.2
"""Seconds between two looks at what the program has recorded, and for which it lets rows wait."""

_LAUNCHER: Final = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
_EXPORTERS: Final = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER")
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_CONFIG_FILE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The parameters of a run."""

    environment: Mapping[str, str]
    settings: Settings
    """Those of the program."""
    url: str
    """The store, without the parameters of this run."""
    session: str
    """The name of the run's rows in the store."""


def setup(environ: Mapping[str, str], settings: Settings, record: str, max_usd: Decimal | None, folder: Path) -> Setup:
    """Return the environment of the program.

    Args:
        environ: The environment of this process.
        settings: The settings of this process.
        record: The store.
        max_usd: The limit of the run; None for none.
        folder: A folder for files that the run alone needs.
    """
    # The program may start others in other folders.
    session, url = uuid.uuid4().hex, f"sqlite:///{parse_url(record).path.absolute()}"
    changed = {f"{PREFIX}RECORD": f"{url}?session={session}&seconds={LOOK}"}
    if not any(environ.get(name) for name in _ENDPOINTS):  # else the user has a Collector, and wants it to be used
        changed |= {name: "none" for name in _EXPORTERS if not environ.get(name)}
    own = "ledger" not in settings.sources
    rules = list(settings.budgets)
    if max_usd is not None:
        # In a ledger that others share, a total would count what they spend.
        scope: Any = "total" if own else "process"
        rules.append(Budget(scope=scope, limits={"nano_usd": to_limit("nano_usd", max_usd)}))
        changed[f"{PREFIX}BUDGETS"] = ";".join(budget.text for budget in rules)
    if own and (rules or settings.rules):  # in a file, so that the program's child processes share it
        changed[f"{PREFIX}LEDGER"] = f"sqlite:///{folder / 'ledger.db'}"
    environment = {**environ, **changed}
    return Setup(environment=environment, settings=from_environment(environment), url=url, session=session)


def run(command: Sequence[str], environment: Mapping[str, str], look: Callable[[], None]) -> int:
    """Run a program under the launcher of OpenTelemetry, and return its exit code as a shell does.

    Args:
        command: The program and its arguments.
        environment: Its environment.
        look: Called several times a second while it runs.

    Raises:
        FileNotFoundError: There is no such program.
    """
    if shutil.which(command[0], path=environment.get("PATH")) is None:
        raise FileNotFoundError(command[0])
    process = subprocess.Popen([sys.executable, "-c", _LAUNCHER, *command], env=dict(environment))  # noqa: S603 (the user's)
    with _signals_of(process) as interrupted:
        while not _ended(process):
            if interrupted():
                process.send_signal(signal.SIGINT)
            look()
    code = process.returncode
    return code if code >= 0 else 128 - code


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Wait for a moment. Returns True if the program has ended."""
    try:
        process.wait(LOOK)
    except subprocess.TimeoutExpired:
        return False
    return True


@contextmanager
def _signals_of(process: subprocess.Popen[bytes]) -> Generator[Callable[[], bool]]:
    """Leave signals to the program: a Ctrl-C reaches it from the terminal, and others are passed on.

    Yields:
        A function that returns True once for an interrupt that a process has sent to this one.
    """
    before: dict[int, Any] = {signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    for name in ("SIGTERM", "SIGHUP"):
        if (number := getattr(signal, name, None)) is not None:
            before[number] = signal.signal(number, lambda number, _frame: process.send_signal(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if _TELLS_SENDERS else None
    try:
        yield _interrupted if _TELLS_SENDERS else bool
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # what has come meanwhile is ignored
        for number, handler in before.items():
            signal.signal(number, handler)


_TELLS_SENDERS: Final = hasattr(signal, "sigtimedwait")
"""True if this system says where a signal comes from (macOS does not)."""


def _interrupted() -> bool:
    """Return True for an interrupt of a process. That of a terminal has reached the program already."""
    told = signal.sigtimedwait({signal.SIGINT}, 0)
    return told is not None and told.si_code <= 0
