"""The suite itself: what its lists of paths name exists."""

from __future__ import annotations

import re

import pytest

from tests.conftest import SLOW
from tools.documents import ROOT

LISTS = (".ci/run", "Makefile")


@pytest.mark.parametrize("path", SLOW)
def test_each_slow_path_exists(path: str) -> None:
    """A renamed file or test would otherwise come back to `make test`."""
    file = path.partition("::")[0]
    assert (ROOT / file).exists()
    if "::" in path:
        name = path.rpartition("::")[2].partition("[")[0]
        beside = (ROOT / file).parent.glob("*.py") if path.count("::") > 1 else [ROOT / file]  # a contract's, inherited
        assert any(f"def {name}(" in each.read_text(encoding="utf-8") for each in beside)


@pytest.mark.parametrize("file", LISTS)
def test_each_path_that_is_run_exists(file: str) -> None:
    """A renamed file would otherwise not be run there."""
    named = set(re.findall(r"tests/[\w/]+(?:\.py)?", (ROOT / file).read_text(encoding="utf-8")))
    assert named
    assert {path for path in named if not (ROOT / path).exists()} == set()
