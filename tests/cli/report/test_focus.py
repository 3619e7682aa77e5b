"""The bill of FOCUS in the Foundation's own validator, which has an environment of its own."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from otel_agentcost.cli import main
from otel_agentcost.insight.focus import COLUMNS
from tests.cli.report.test_report import ALL

VERSION = "2.2.1"
APPLICABLE = (
    "ACCOUNT_NAMING_SUPPORTED,AVAILABILITY_ZONE_SUPPORTED,BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED,"
    "MULTIPLE_BILLING_ACCOUNT_TYPES_SUPPORTED,MULTIPLE_PRICING_CATEGORIES_SUPPORTED,"
    "MULTIPLE_SUB_ACCOUNT_TYPES_SUPPORTED,NEGOTIATED_PRICING_SUPPORTED,PRICING_BILLING_CURRENCY_DIFFERENCES_SUPPORTED,"
    "PUBLIC_PRICE_LIST_SUPPORTED,REGION_SUPPORTED,RESOURCE_TYPE_ASSIGNMENT_SUPPORTED,SUB_ACCOUNT_SUPPORTED,"
    "TAGGING_SUPPORTED,UNIT_PRICING_SUPPORTED,USAGE_MEASUREMENT_SUPPORTED,VIRTUAL_CURRENCY_SUPPORTED"
)
"""All criteria of the validator but commitments and reserved capacity, which no call has."""

NEW = {
    *("AllocatedMethodDetails", "AllocatedMethodId", "AllocatedResourceId", "AllocatedResourceName", "AllocatedTags"),
    *("ContractApplied", "HostProviderName", "ServiceProviderName"),
}
"""The columns that FOCUS 1.3 adds to those of 1.2, whose rules the validator has in its package."""


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of packages with the validator, whose program finds its own files from there only."""
    python = next((found for name in ("python3.12", "python3.13") if (found := _working(name))), None)
    if python is None:
        pytest.skip(f"focus-validator {VERSION} needs Python 3.12 or 3.13, and none is on the path")
    folder = tmp_path_factory.mktemp("validator") / "env"
    subprocess.run([python, "-m", "venv", folder], check=True, timeout=120)
    packages = (f"focus-validator=={VERSION}", "pyarrow<20")  # a newer one needs a numpy that it does not admit
    install = (folder / "bin" / "python", "-m", "pip", "install", "--quiet", *packages)
    if (done := subprocess.run(install, capture_output=True, text=True, timeout=900, check=False)).returncode:
        pytest.skip(f"focus-validator {VERSION} cannot be installed: {done.stderr[-300:]}")
    (packages_folder,) = folder.glob("lib/python*/site-packages")
    return packages_folder


def _working(name: str) -> str | None:
    """A Python that starts: a launcher of that name may stand for a version that is not chosen."""
    homes = sorted(Path.home().glob(f".pyenv/versions/{name.removeprefix('python')}*/bin/python"))
    for candidate in (shutil.which(name), *map(str, homes)):
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def test_the_validator_passes_the_bill(
    store: Path, validator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole data set of 1.2, whose rules come with the validator; those of 1.3 it would have to download.

    One rule fails by itself: an invoice's id "MUST NOT be null when there is an invoice", which the validator asks of
    rows without one, too. Its other half ("MUST be null when there is none") passes, and so does the column.
    """
    assert main(["report", *ALL, "--format", "focus"]) == 0
    bill = tmp_path / "bill.csv"
    bill.write_text(capsys.readouterr().out, encoding="utf-8")
    program = validator.parents[2] / "bin" / "focus-validator"
    options = ("--data-file", bill, "--validate-version", "1.2", "--block-download")
    done = subprocess.run(
        [program, *options, "--applicability-criteria", APPLICABLE],
        cwd=validator,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    results = dict(re.findall(r"([\w-]+): (PASS|FAIL)", done.stdout))
    assert {name for name, result in results.items() if result == "FAIL"} == {"InvoiceId-C-005-C"}, done.stdout[-2000:]
    assert results["InvoiceId-C-000-O"] == "PASS"
    assert "CostAndUsage-D-001-M: AND passed - all child rules succeeded" in done.stdout
    assert "CostAndUsage-D-002-M: AND passed - all child rules succeeded" in done.stdout
    assert len(results) > 300


def test_the_columns_are_those_of_focus(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The 65 of FOCUS 1.3 in their order, then ours, which begin with `x_`."""
    assert main(["report", *ALL, "--format", "focus"]) == 0
    heads = next(csv.reader(io.StringIO(capsys.readouterr().out)))
    theirs = [name for name in heads if not name.startswith("x_")]
    assert tuple(heads) == COLUMNS
    assert len(theirs) == 65
    assert theirs == sorted(theirs)
    assert set(theirs) >= NEW
