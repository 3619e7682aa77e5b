"""The committed files for vendors are those that are generated."""

from __future__ import annotations

from pathlib import Path

import pytest

from grafana import vendors
from grafana.alerts.thresholds import Thresholds, changed
from grafana.vendors.__main__ import files

FOLDER = Path(vendors.__file__).parent


@pytest.mark.parametrize(("path", "text"), files(Thresholds()).items())
def test_committed_files_are_as_generated(path: str, text: str) -> None:
    """If this fails: `python -m grafana.vendors`."""
    assert (FOLDER / path).read_text(encoding="utf-8") == text


def test_there_are_no_other_files() -> None:
    """What was generated once and is no more does not stay."""
    committed = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.*") if path.parent != FOLDER}
    committed = {path for path in committed if path.endswith((".json", ".md"))}
    assert committed == set(files(Thresholds()))


def test_thresholds_are_those_of_the_other_alerts() -> None:
    """One number, set once, changes the alerts of both vendors."""
    before, after = files(Thresholds()), files(changed(["run_usd=50"]))
    assert {path for path in before if before[path] != after[path]} == {
        "honeycomb/triggers.json",
        "datadog/monitors/run.json",
    }
