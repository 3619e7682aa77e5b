"""The scripts for developers: where they install packages from, and what they say where they cannot."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tools import neighbours, packages, upstream
from tools.documents import ROOT, block


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it so)
        """The base class prints here."""


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tests read pip's options afresh, without those of the machine."""
    for name in os.environ:
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    packages.pip_settings.cache_clear()
    yield
    packages.pip_settings.cache_clear()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A package index: its folder, and its address."""
    folder = tmp_path / "index"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def publish(folder: Path, digest: str = "") -> None:
    """Puts release 1.2 of `some-sdk` into an index, as PyPI does: a page of links beside the files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as opened:
        content = b"assert True\n"
        member = tarfile.TarInfo("some_sdk-1.2/tests/test_it.py")
        member.size = len(content)
        opened.addfile(member, io.BytesIO(content))
    (folder / "files").mkdir()
    (folder / "files" / "some_sdk-1.2.tar.gz").write_bytes(archive.getvalue())
    (folder / "some-sdk").mkdir()
    link = f"../files/some_sdk-1.2.tar.gz#sha256={digest or hashlib.sha256(archive.getvalue()).hexdigest()}"
    page = f'<a href="../files/some_sdk-1.20.tar.gz">some_sdk-1.20.tar.gz</a> <a href="{link}">some_sdk-1.2.tar.gz</a>'
    (folder / "some-sdk" / "index.html").write_text(page)


def test_uv_installs_from_where_pip_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From pip's file and its variables; a variable overrides the file, and one of uv's overrides both."""
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = https://a.example/simple\nextra-index-url =\n    https://b.example\n    https://c.example\n"
        f"find-links = {tmp_path} {tmp_path}/missing\n[install]\ntrusted-host = b.example\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("PIP_INDEX_URL", "https://d.example/simple")
    monkeypatch.setenv("PIP_CONSTRAINT", "oldest.txt")
    monkeypatch.setenv("UV_INSECURE_HOST", "mine.example")
    variables = packages.uv_variables()
    assert {name: value for name, value in variables.items() if name.startswith("UV_")} == {
        "UV_DEFAULT_INDEX": "https://d.example/simple",
        "UV_INDEX": "https://b.example https://c.example",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": str(tmp_path),
        "UV_CONSTRAINT": "oldest.txt",
        "UV_INSECURE_HOST": "mine.example",
    }


def test_source_is_fetched_without_a_build(
    tmp_path: Path, index: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no build backend at all; and 1.20 is not 1.2."""
    publish(index[0])
    monkeypatch.setenv("UV_DEFAULT_INDEX", index[1])
    packages.fetch_source("Some.SDK", "1.2", tmp_path / "cache" / "unpacked")
    assert (tmp_path / "cache" / "unpacked" / "tests" / "test_it.py").read_text() == "assert True\n"
    with pytest.raises(LookupError, match=r"/some-sdk/ has no source distribution of release 1\.3"):
        packages.fetch_source("some-sdk", "1.3", tmp_path / "other")


def test_another_file_than_the_index_names_is_not_unpacked(
    tmp_path: Path, index: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index names its digest: a file with another one may hold anything."""
    publish(index[0], digest="0" * 64)
    monkeypatch.setenv("UV_DEFAULT_INDEX", index[1])
    with pytest.raises(LookupError, match="SHA-256 differs"):
        packages.fetch_source("some-sdk", "1.2", tmp_path / "unpacked")
    assert not (tmp_path / "unpacked").exists()


def test_a_suite_that_cannot_be_had_does_not_hide_the_others(tmp_path: Path, index: tuple[Path, str]) -> None:
    """The index is empty: each suite fails, with its own reason."""
    variables = {**os.environ, "UV_DEFAULT_INDEX": index[1], "UV_NO_CACHE": "1", "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "tools.upstream", "--quick", "openai", "anthropic"]
    done = subprocess.run(command, cwd=ROOT, env=variables, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    failures = [line for line in done.stdout.splitlines() if ": FAILED, could not be run: " in line]
    assert [line.partition(" ")[0] for line in failures] == ["openai", "anthropic"]
    assert f"{index[1]}/openai/ could not be read: HTTP Error 404" in failures[0]


def test_a_test_whose_fixture_fails_after_it_has_not_passed() -> None:
    """The plugin writes a line for the call and one for the fixture; the failed one decides."""
    report = "passed tests/a.py::one\npassed tests/a.py::two[x y]\nfailed tests/a.py::one\nfailed tests/b.py\n"
    assert upstream.outcomes(report) == {"tests/a.py::one": False, "tests/a.py::two[x y]": True, "tests/b.py": False}


def scene(framework: str, kind: str = "alone") -> dict[str, Any]:
    """What the tests of a framework beside other instrumentations have counted."""
    run = {"form": "sync", "agents": 1, "model_calls": 2, "tool_calls": 1, "traces": 1}
    return {"framework": framework, "kind": kind, "order": "ours first", "seen": [run, {"form": "tool limit"}]}


def test_the_table_of_frameworks_has_what_ran() -> None:
    """A framework that has run gets new rows, or none if it has failed; the others keep theirs."""
    before = neighbours.content("", ["agno", "crewai"], [scene("agno"), scene("crewai")])
    after = neighbours.content(before, ["crewai", "haystack"], [scene("haystack")])
    assert [line for line in after.splitlines() if line.startswith("|")][2:] == [
        "| agno | alone | 1 | 1 | 2 | 1 | 1 |",
        "| haystack | alone | 1 | 1 | 2 | 1 | 1 |",
    ]
    assert "Frameworks that passed: Agno; Haystack. Without a result: AutoGen; Claude Agent SDK; CrewAI; DSPy;" in after


def test_the_documented_table_names_its_frameworks() -> None:
    """The sentence below the table of agents is made from its rows."""
    documented = block(neighbours.DOCUMENT.read_text(encoding="utf-8"), neighbours.BLOCK)
    assert documented == neighbours.content(documented or "", (), [])


def test_the_files_of_tests_are_run_once() -> None:
    """A name of a test may have `::` in its parameters; a file that cannot be imported is its own name."""
    assert upstream.files_of(["a.py::one", "b.py::C::two[x::y]", "a.py::three", "c.py"]) == ["a.py", "b.py", "c.py"]
