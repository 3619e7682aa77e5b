"""Clients that call models and are not seen are named: by the doctor and on the page, from one table."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from otel_agentcost.cli import main
from otel_agentcost.integrations import sdks, unseen
from tools import documents

TABLE = Path(unseen.__file__).parent / "unseen_clients.json"


def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *names: str) -> None:
    """Puts the metadata of distributions on the path, as pip does."""
    for name in names:
        folder = tmp_path / f"{name.replace('-', '_')}-1.2.3.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.3\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()


def test_an_installed_client_that_is_not_seen_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The doctor says that its calls have no cost and no budget, and why; or that its requests are seen."""
    installed(monkeypatch, tmp_path, "github-copilot-sdk", "assemblyai", "ai21")
    main(["doctor", "--no-imports"])
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    told = lines["github-copilot-sdk"]
    assert "1.2.3: calls of GitHub Copilot are NOT SEEN: no span, no cost, no budget (its calls are made by a" in told
    assert "NOT SEEN" in lines["assemblyai"]
    assert "its HTTP requests are seen, and priced" in lines["ai21"]


def test_without_the_http_net_such_clients_are_not_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The doctor says so."""
    installed(monkeypatch, tmp_path, "ai21")
    monkeypatch.setenv("OTEL_AGENTCOST_HTTP", "off")
    main(["doctor", "--no-imports"])
    out = capsys.readouterr().out
    assert "OTEL_AGENTCOST_HTTP is off: only calls of the SDKs above are measured" in out
    assert "calls of AI21 are NOT SEEN" in out


def test_no_patched_package_is_said_to_be_unseen() -> None:
    """What is patched is not in the table; each row has its source, and they are in order."""
    rows = json.loads(TABLE.read_text(encoding="utf-8"))
    names = [row["distribution"] for row in rows]
    assert names == sorted(set(names))
    assert set(names).isdisjoint({sdk.distribution for sdk in sdks.discover()})
    assert all(row["source"].startswith("https://") for row in rows)


def test_the_page_has_the_table() -> None:
    """docs/usage.md holds what `make docs` writes."""
    assert documents.block(documents.USAGE.read_text(encoding="utf-8"), "unseen") == documents.unseen_table()
