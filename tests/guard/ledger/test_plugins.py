"""Ledgers of others: found by the entry point of another distribution, or passed as an object."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import otel_agentcost
from otel_agentcost import plugins
from otel_agentcost.cli import main
from otel_agentcost.diagnostics import without_password
from otel_agentcost.errors import SettingsError
from otel_agentcost.guard.ledger import LedgerError, open_ledger
from otel_agentcost.guard.opening import opened
from otel_agentcost.settings import Settings, from_environment
from tests.guard.ledger import toy_ledger
from tests.guard.ledger.toy_ledger import ToyLedger
from tests.support.budgeted_calls import answering, ask, budgeted, client, until_refused
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.support.plugin_distribution import PluginDistribution

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a distribution outside this package with one module, and an entry point for a scheme."""

    installed = plugins._installed

    def make(scheme: str, value: str) -> None:
        modules = {"agentcost_toy": Path(toy_ledger.__file__).read_text(encoding="utf-8")}
        PluginDistribution(tmp_path, "agentcost-toy", modules, {"otel_agentcost.ledgers": {scheme: value}})
        monkeypatch.syspath_prepend(tmp_path)
        installed.cache_clear()

    yield make
    installed.cache_clear()
    sys.modules.pop("agentcost_toy", None)


@pytest.mark.parametrize("value", ["agentcost_toy", "agentcost_toy:open_ledger"])
def test_an_entry_point_opens_a_ledger(
    install: Install,
    value: str,
    telemetry: Telemetry,
    model_server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The scheme in the environment is enough: a call over the budget is refused by the ledger of the plug-in."""
    install("toy", value)
    monkeypatch.setenv("OTEL_AGENTCOST_LEDGER", "toy://here")
    monkeypatch.setenv("OTEL_AGENTCOST_BUDGETS", "total:calls=2")
    otel_agentcost.instrument(tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider)
    try:
        with client(answering(model_server)) as openai:
            sent, error = until_refused(lambda: ask(openai))
    finally:
        otel_agentcost.uninstrument()
    assert (sent, len(model_server.requests)) == (2, 2)
    assert (error.spent, error.limit, error.unit) == (2, 2, "calls")
    plugin: Any = sys.modules["agentcost_toy"]
    assert plugin.OPENED["toy://here"].verbs.count("settle") == 2


def test_the_doctor_asks_the_ledger_of_an_entry_point(
    install: Install, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported like the built-in ones."""
    install("toy", "agentcost_toy")
    monkeypatch.setenv("OTEL_AGENTCOST_LEDGER", "toy://here")
    monkeypatch.setenv("OTEL_AGENTCOST_TRACE_MAX_LLM_CALLS", "3")
    assert main(["doctor", "--no-imports"]) == 0
    assert "toy://here answers in " in capsys.readouterr().out


def test_an_unknown_scheme_lists_those_of_plugins(install: Install) -> None:
    """One sentence has all schemes, and a wrong URL is no reason to import a plug-in."""
    install("toy", "agentcost_toy")
    (said,) = from_environment({"OTEL_AGENTCOST_LEDGER": "postgres://db"}).notices
    assert "the schemes are memory, redis, rediss, sqlite, valkey, valkeys, toy)" in said
    assert "agentcost_toy" not in sys.modules


def test_a_builtin_scheme_reads_no_metadata(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the entry points of all distributions takes milliseconds, and a plug-in cannot replace a built-in."""
    install("memory", "agentcost_toy")
    monkeypatch.setattr(plugins, "entry_points", None)  # so that reading them would raise
    assert from_environment({"OTEL_AGENTCOST_LEDGER": "memory://"}).ledger == "memory://"
    assert not isinstance(open_ledger("memory://"), ToyLedger)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("agentcost_absent", "cannot be opened (ModuleNotFoundError: "),
        ("agentcost_toy:absent", "cannot be opened (AttributeError: "),
        ("agentcost_toy:ToyLedger", "cannot be opened (TypeError: "),
        ("collections:Counter", "is not a ledger: it lacks one of the methods reserve, settle, release, standing."),
    ],
)
def test_a_broken_plugin_is_one_sentence(install: Install, value: str, reason: str) -> None:
    """Whatever the plug-in raises, it is a `LedgerError` without the password of the URL."""
    install("toy", value)
    with pytest.raises(LedgerError) as caught:
        open_ledger("toy://app:s3cret@host")
    assert reason in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_ledger_is_passed_as_an_object(telemetry: Telemetry, model_server: ModelServer) -> None:
    """`Settings(ledger=...)` takes any object with the four verbs, as it is."""
    ledger = ToyLedger()
    with client(answering(model_server)) as openai, budgeted(telemetry, budgets="total:calls=3", ledger=ledger):
        sent, _ = until_refused(lambda: ask(openai))
    assert sent == 3
    assert ledger.verbs.count("settle") == 3


def test_what_a_ledger_does_not_say_is_assumed_safely() -> None:
    """Without the optional members a ledger is taken to be shared and slow; nothing that it lacks is called."""
    bare = opened(ToyLedger(), timeout=1.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert (bare.shared, bare.blocking, bare.has_timeout) == (True, True, True)
    assert bare.caution() is None
    bare.ended("trace/all/t1")
    bare.close()
    own = ToyLedger()
    own.shared = own.blocking = False  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    local = opened(own, timeout=1.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert (local.shared, local.blocking, local.has_timeout) == (False, False, True)


@pytest.mark.parametrize("value", [5, SimpleNamespace(reserve=print, settle=print, release=print)])
def test_an_object_without_the_verbs_is_refused(value: Any) -> None:
    """The sentence names what a ledger must have."""
    with pytest.raises(SettingsError, match="an object with the methods reserve, settle, release, standing"):
        Settings(ledger=value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://user:pw@host/0", "redis://***@host/0"),
        ("redis:user:pw@host", "redis:***@host"),
        ("rediss:/user:pw@host", "rediss:/***@host"),
        ("valkeys:user:p@w@host", "valkeys:***@host"),
        ("redis://h/0?password=pw&db=1", "redis://h/0?password=***&db=1"),
        ("sqlite:///data/spent.db", "sqlite:///data/spent.db"),
    ],
)
def test_passwords_are_hidden(text: str, shown: str) -> None:
    """Also in URLs without their slashes."""
    assert without_password(text) == shown


def test_the_error_of_a_url_without_slashes_hides_its_password() -> None:
    """`open_ledger` quotes what it was passed, and nothing in front of the last `@`."""
    with pytest.raises(LedgerError) as caught:
        open_ledger("redis:user:s3cret@host")
    assert "redis:***@host" in str(caught.value)
