"""`agentcost dashboards`: what it writes, where from, and what it leaves alone."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from otel_agentcost.cli import main
from otel_agentcost.cli._file_writer import write
from otel_agentcost.cli.dashboards import files

ROOT = Path(__file__).resolve().parents[2]
BOARD = "dashboards/agentcost-overview.json"


def test_without_a_folder_it_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    """The paths, one a line; nothing is written."""
    assert main(["dashboards"]) == 0
    assert capsys.readouterr().out.splitlines() == list(files())
    assert BOARD in files()


def test_it_writes_the_boards_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every file is there as it is in the repository, and is named."""
    assert main(["dashboards", "--write", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    for name, text in files().items():
        assert (tmp_path / name).read_text(encoding="utf-8") == text
        assert f"wrote {tmp_path / name}" in said


def test_its_own_files_are_replaced(tmp_path: Path) -> None:
    """A board that an earlier version has written is brought up to date."""
    file = tmp_path / BOARD
    write({BOARD: files()[BOARD].replace("24h", "12h")}, tmp_path, force=False)
    assert main(["dashboards", "--write", str(tmp_path)]) == 0
    assert file.read_text(encoding="utf-8") == files()[BOARD]


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named, the exit code says so, and `--force` replaces it."""
    file = tmp_path / BOARD
    file.parent.mkdir()
    file.write_text("{}", encoding="utf-8")
    assert main(["dashboards", "--write", str(tmp_path)]) == 1
    assert f"kept {file}: " in capsys.readouterr().out
    assert file.read_text(encoding="utf-8") == "{}"
    assert main(["dashboards", "--write", str(tmp_path), "--force"]) == 0
    assert json.loads(file.read_text(encoding="utf-8"))["uid"] == "agentcost-overview"


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr and exit code 2."""
    file = tmp_path / "file"
    file.touch()
    assert main(["dashboards", "--write", str(file)]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_wheel_brings_the_same_files(tmp_path: Path) -> None:
    """Who installed with pip gets what the repository has: every file, nothing else, found without the repository."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code = "from otel_agentcost.cli import main; raise SystemExit(main(['dashboards', '--write', 'out']))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    out = tmp_path / "out"
    written = {file.relative_to(out).as_posix(): file for file in out.rglob("[!.]*") if file.is_file()}
    assert {name: file.read_text(encoding="utf-8") for name, file in written.items()} == files()
