"""`agentcost collector-config`: writes what is committed, replaces what it wrote, and leaves alone what was changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_agentcost.cli import main
from otel_agentcost.collector.files import files
from otel_agentcost.pricebook import open_book

OWN = "models:\n  gpt-4o: {input_mtok: 1, output_mtok: 2}\n"


def test_it_prints_the_prices_without_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --write, pricing.yaml goes to standard output and nothing else does."""
    assert main(["collector-config"]) == 0
    assert capsys.readouterr().out == files(open_book())["pricing.yaml"]


def test_it_writes_all_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --write, the folder holds every file, and the command says how to start a Collector with them."""
    folder = tmp_path / "my folder"
    assert main(["collector-config", "--write", str(folder)]) == 0
    for name, text in files(open_book()).items():
        assert (folder / name).read_text(encoding="utf-8") == text
    assert f"--config '{folder / 'pricing.yaml'}'" in capsys.readouterr().out


def test_what_was_written_is_replaced_and_what_was_changed_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """New prices replace the file as it was written; a file that somebody changed stays, until --force."""
    command = ["collector-config", "--write", str(tmp_path)]
    main(command)
    (tmp_path / "prices.yaml").write_text(OWN, encoding="utf-8")
    own = [*command, "--prices", str(tmp_path / "prices.yaml")]
    assert main(own) == 0
    priced = (tmp_path / "pricing.yaml").read_text(encoding="utf-8")
    assert "prices.yaml" in priced[:1000]

    changed = tmp_path / "agent.yaml"
    changed.write_text("# mine\n" + changed.read_text(encoding="utf-8"), encoding="utf-8")
    capsys.readouterr()
    assert main(command) == 1
    assert "kept " in capsys.readouterr().out
    assert changed.read_text(encoding="utf-8").startswith("# mine")
    assert (tmp_path / "pricing.yaml").read_text(encoding="utf-8") != priced

    assert main([*command, "--force"]) == 0
    assert changed.read_text(encoding="utf-8") == files(open_book())["agent.yaml"]


def test_a_bad_price_file_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Mistakes in the own prices are all named and end the command; nothing is written, so a fleet keeps its prices."""
    rows = "models: {gpt-4o: {input_mtok: many}, house: free, gpt-5: {output_mtok: few}}"
    (tmp_path / "prices.yaml").write_text(rows, encoding="utf-8")
    folder = tmp_path / "out"
    assert main(["collector-config", "--write", str(folder), "--prices", str(tmp_path / "prices.yaml")]) == 2
    said = capsys.readouterr().err
    assert "many" in said
    assert "few" in said
    assert not folder.exists()
