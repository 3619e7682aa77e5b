"""The settings of the spend store."""

from __future__ import annotations

import pytest

from tests.settings.test_settings import load, problem


def test_the_spend_store_is_read_from_its_variables() -> None:
    """Its URL, and the days for which it keeps single calls."""
    settings = load({"OTEL_AGENTCOST_RECORD": "sqlite:////data/spend.db", "OTEL_AGENTCOST_RECORD_DAYS": "90"})
    assert (settings.record, settings.record_days) == ("sqlite:////data/spend.db", 90)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("spend.db", "write sqlite:///spend.db"),
        ("/data/spend", "write sqlite:////data/spend"),
        ("postgres://host/db", "which is not a spend store: write sqlite:////path/to/file"),
        ("sqlite:///", "which is not a spend store"),
    ],
)
def test_what_is_no_spend_store_turns_recording_off_and_nothing_else(written: str, said: str) -> None:
    """The sentence says what to write."""
    assert said in problem({"OTEL_AGENTCOST_RECORD": written})
