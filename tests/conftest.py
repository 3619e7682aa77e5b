"""Fixtures for all tests: a clean environment, telemetry in memory, a local model provider."""

from __future__ import annotations

import gc
import importlib.util
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.support.record import Recorder
from tests.support.redis_server import Server, binary

# Before any test module imports it: its assertions are to be explained when they fail.
pytest.register_assert_rewrite("tests.support.call_shapes")

# A busy machine is no failure: neither a slow example nor slowly drawn data is.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

# What SDKs, exporters and HTTP clients read: a developer's own keys and endpoints must neither leak into a test
# nor decide it.
FOREIGN_PREFIXES = ("OTEL_", "OPENAI_", "ANTHROPIC_", "GOOGLE_", "GEMINI_", "AZURE_", "AWS_", "VERTEX")
FOREIGN_SUFFIXES = ("_API_KEY", "_PROXY")

# Folders, files and tests that are marked `slow`: they start many processes, try thousands of random cases, or wait
# for real clocks. Each room keeps quick tests.
SLOW = (
    "tests/calls/budgets/test_across_processes.py",
    "tests/calls/test_foreign_exceptions.py::test_ten_thousand_interrupted_calls",
    "tests/calls/test_interrupted_anywhere.py::test_no_place_leaves_a_reservation_or_half_a_cost[each place",
    "tests/calls/test_loop_guard.py::test_memory_at_worst",
    "tests/cli/demo/test_demo.py::test_what_cannot_run_is_said_in_one_sentence",
    "tests/cli/report/test_focus.py::test_the_validator_passes_the_bill",
    "tests/cli/test_collector_config.py",
    "tests/cli/test_commands.py::test_the_doctor_names_what_it_can_t_patch_and_survives_it",
    "tests/coexistence/test_one_charge.py",
    "tests/cli/test_newcomer.py",
    "tests/cli/test_run.py::test_a_signal_reaches_the_program",
    "tests/cli/test_run.py::test_a_ctrl_c_reaches_the_program_once",
    "tests/cli/test_run.py::test_a_question_mark_in_the_path_of_a_store_is_part_of_it",
    "tests/cli/test_run.py::test_an_interrupt_of_this_command_alone_reaches_the_program_once",
    "tests/cli/test_run.py::test_fail_over_fails_a_program_that_spent_too_much",
    "tests/cli/test_run.py::test_max_usd_holds_over_all_processes_of_the_program",
    "tests/cli/test_run.py::test_quiet_prints_nothing_and_no_record_keeps_nothing",
    "tests/cli/test_run.py::test_the_example_of_the_help_works",
    "tests/cli/test_run.py::test_the_run_is_recorded_for_spend",
    "tests/collector/test_bad_input.py",
    "tests/collector/test_coding_agents.py",
    "tests/collector/test_end_to_end.py",
    "tests/collector/test_files.py::test_a_collector_understands_every_combination",
    "tests/collector/test_foreign_spans.py",
    "tests/collector/test_load.py",
    "tests/collector/test_metrics.py",
    "tests/collector/test_parity.py",
    "tests/collector/test_prometheus.py",
    "tests/collector/test_runs.py",
    "tests/collector/test_statements.py",
    "tests/collector/test_vendor_spans.py",
    "tests/core/loops/test_detection.py",
    "tests/core/loops/test_edits.py",
    "tests/dashboards/alerts/test_collector_metrics.py",
    "tests/dashboards/alerts/test_provisioning.py",
    "tests/dashboards/alerts/test_rules.py",
    "tests/dashboards/alerts/test_sample.py",
    "tests/dashboards/boards/test_figures.py",
    "tests/dashboards/boards/test_panels.py",
    "tests/dashboards/boards/test_pictures.py",
    "tests/docs/test_budgets_page.py::test_the_sdks_own_span_is_no_trace_of_its_own[always_on]",
    "tests/guard/ledger/test_redis.py::TestRedis::test_three_processes_race_through_time",
    "tests/guard/ledger/test_sqlite.py::TestSqlite::test_three_processes_race_through_time",
    "tests/integrations/sdks/test_fuzz.py",
    "tests/integrations/sdks/test_patching.py::test_sdk_imported_before_or_after[all ",
    "tests/integrations/sdks/test_patching.py::test_setting_that_cannot_be_understood_is_one_line",
    "tests/integrations/spans/test_memory.py",
    "tests/overspend/",
    "tests/pricebook/test_against_genai_prices.py",
    "tests/pricebook/test_book.py::test_made_up_names_do_not_fill_the_memory",
    "tests/recordings/",
    "tests/savings/responses/test_hits.py::test_no_answer_crosses_in_2_000_calls",
    "tests/savings/responses/test_keys.py::test_no_answer_crosses_a_tenant_in_100_000_requests",
    "tests/savings/responses/test_waiting.py::test_processes_with_one_store_make_one_call",
    "tests/savings/semantic/test_bound.py::test_the_share_of_wrong_answers_stays_below_delta",
    "tests/savings/semantic/test_rehearsal.py",
    "tests/savings/semantic/test_shadow.py::test_a_fork_has_a_rehearsal_of_its_own",
    "tests/savings/semantic/test_shadow.py::test_the_end_of_a_process_writes_what_was_counted",
    "tests/savings/stores/test_redis.py::TestRedis::test_one_of_several_processes_fetches",
    "tests/savings/stores/test_sqlite.py::TestSqlite::test_one_of_several_processes_fetches",
    "tests/services/",
    "tests/settings/test_every_row.py::test_every_way_to_start",
    "tests/telemetry/test_child_processes.py",
    "tests/telemetry/test_metrics.py::test_thousands_of_models_and_users_are_bounded",
    "tests/telemetry/test_processes.py",
    "tests/wire/test_conversation_fuzz.py",
    "tests/wire/test_fuzz.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option of `make matrix`."""
    parser.addoption("--record-support", action="store_true", help="write what tests/proofs.py names as tested")


def pytest_configure(config: pytest.Config) -> None:
    """Records what the tests prove, if that is asked for."""
    if config.getoption("--record-support"):
        config.pluginmanager.register(Recorder())


@pytest.hookimpl(tryfirst=True)  # before pytest looks at `-m`
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the slow tests."""
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Leaves what is imported by now out of garbage collections: many tests ask for one."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes settings, keys and proxies out of the environment."""
    for name in os.environ:
        if name.upper().startswith(FOREIGN_PREFIXES) or name.upper().endswith(FOREIGN_SUFFIXES):
            monkeypatch.delenv(name)


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """A fresh tracer and meter provider that keep everything in memory; not the global ones."""
    telemetry = Telemetry()
    yield telemetry
    telemetry.shutdown()


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    """A local model provider that replays what it is given."""
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="session")
def redis_binary() -> str:
    """The server's program; the tests that need it are skipped, with the reason, where there is none."""
    found = binary()
    if found is None:
        pytest.skip("neither redis-server nor valkey-server is installed")
    return found


@pytest.fixture(scope="session")
def redis_server(redis_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests; each empties it."""
    server = Server(redis_binary, tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module", autouse=True)
def imported_modules_are_not_collected() -> None:
    """Takes what the SDKs and frameworks keep for good out of the garbage collector's sight.

    They come to a million objects, and many tests collect garbage. Each import adds some, so that this is done again
    before a module of tests where the collector has much to look at.
    """
    if len(gc.get_objects()) < 20_000:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # connections of clients that earlier tests dropped on purpose
        gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test speaks TLS, but every client loads all the world's certificates: one of them makes that instant."""
    found = importlib.util.find_spec("certifi")
    if found is None or found.origin is None:
        yield
        return
    end = "-----END CERTIFICATE-----\n"
    first = Path(found.origin).with_name("cacert.pem").read_text(encoding="utf-8").partition(end)[0] + end
    file = tmp_path_factory.mktemp("certificates") / "one.pem"
    file.write_text(first[first.index("-----BEGIN") :], encoding="ascii")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield
