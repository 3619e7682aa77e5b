"""What gets installed: the wheel's content, the entry points, no flag of the launcher, an import without a warning."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from email import message_from_bytes
from importlib.metadata import distribution, entry_points
from pathlib import Path

import pytest

from otel_agentcost._version import __version__
from otel_agentcost.cli import dashboards
from otel_agentcost.settings import ROWS

ROOT = Path(__file__).resolve().parent.parent
LAUNCHER = Path(sys.executable).parent / "opentelemetry-instrument"
SHAPES = {path.relative_to(ROOT).as_posix() for path in (ROOT / "otel_agentcost/collector/shapes").rglob("*.*")}
DATA = (
    SHAPES
    | {"otel_agentcost/py.typed", "otel_agentcost/pricebook/book.jsonl"}
    | {f"otel_agentcost/pricebook/{table}.json" for table in ("corrections", "hosts", "output_limits", "service_tiers")}
    | {f"otel_agentcost/integrations/{name}.json" for name in ("tested", "unseen_clients")}
    | {"otel_agentcost/savings/prompt_cache/rules.json"}
    | {"otel_agentcost/integrations/http/packages.json", "otel_agentcost/integrations/http/paths.json"}
    | {f"otel_agentcost/guard/ledger/{name}.lua" for name in ("_common", "reserve", "settle", "release", "standing")}
    | {f"otel_agentcost/guard/ledger/{name}_batch.lua" for name in ("keep", "name", "find", "close")}
    | {f"otel_agentcost/guard/ledger/{name}.lua" for name in ("open_batches", "count_lines", "find_note", "swap_note")}
    | {f"otel_agentcost/cli/_report/{name}" for name in ("page.css", "page.js")}
    | {f"otel_agentcost/cli/_report/vendor/{name}" for name in ("README.md", "chart.js.LICENSE.md", "chart.umd.min.js")}
)
BOARDS = {f"otel_agentcost/boards_data/{name}" for name in dashboards.files()}


def run(*command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **variables}
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the working tree."""
    folder = tmp_path_factory.mktemp("dist")
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    (file,) = folder.glob("*.whl")
    return file


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """All modules, the price book, the boards and the typing marker are in it; tests, caches and tools are not."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {file.relative_to(ROOT).as_posix() for file in (ROOT / "otel_agentcost").rglob("*.py")}
    modules.add("pytest_agentcost.py")
    assert names == modules | DATA | BOARDS


def test_the_wheel_says_what_it_is_and_needs(wheel: Path) -> None:
    """Name, version, licence, and only OpenTelemetry and wrapt as dependencies: no SDK is forced on anybody."""
    info = f"otel_agentcost-{__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = message_from_bytes(archive.read(f"{info}/METADATA"))
        assert "Apache License" in archive.read(f"{info}/licenses/LICENSE").decode()
    assert (metadata["Name"], metadata["Version"]) == ("otel-agentcost", __version__)
    assert metadata["License-Expression"] == "Apache-2.0"
    needed = [entry for entry in metadata.get_all("Requires-Dist") or [] if "extra ==" not in entry]
    assert all(entry.startswith(("opentelemetry-", "wrapt")) for entry in needed)


def test_the_readme_on_pypi_links_to_the_repository(wheel: Path) -> None:
    """Every link and image is absolute there, under the one address of the repository, and leads to a file in it."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(name).decode()
    (repository,) = re.findall(r"^Project-URL: Repository, (\S+)$", text, re.MULTILINE)
    assert f"git clone {repository}\n" in text
    addresses = re.findall(r"https://github\.com/[\w-]+/otel-agentcost", (ROOT / "pyproject.toml").read_text("utf-8"))
    assert set(addresses) == {repository}
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    ours = [link.removeprefix(repository) for link in links if link.startswith(repository)]
    assert [link for link in links if not link.startswith("https://")] == []
    assert len(ours) > 15
    for link in ours:
        kind, _, path = link.partition("/HEAD/")
        assert kind == ("/raw" if path.endswith(".png") else "/blob"), link
        assert (ROOT / path.partition("#")[0]).exists(), link


def test_the_wheel_imports_without_a_warning(wheel: Path, tmp_path: Path) -> None:
    """What the wheel holds is enough to import the package and to open its price book, with warnings as errors."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import otel_agentcost, otel_agentcost.settings; from otel_agentcost.pricebook import open_book;"
        "open_book(); print(otel_agentcost.__file__)"
    )
    ended = run(sys.executable, "-W", "error", "-c", code, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert ended.stderr == ""
    assert ended.stdout.strip() == str(tmp_path / "otel_agentcost" / "__init__.py")


def test_the_pytest_plug_in_is_quiet_in_an_instrumented_process(wheel: Path, tmp_path: Path) -> None:
    """A run under the launcher has imported the package before pytest starts, and pytest does not warn about that."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n", encoding="utf-8")
    code = (
        "import otel_agentcost, pytest; raise SystemExit(pytest.main("
        "['-q', '-W', 'error', '-p', 'no:cacheprovider', '-p', 'no:asyncio', 'test_it.py']))"
    )
    ended = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert "1 passed" in ended.stdout, ended.stdout + ended.stderr


def test_importing_the_package_imports_no_sdk(tmp_path: Path) -> None:
    """Neither the SDKs nor the optional packages are loaded before they are needed."""
    code = "import sys, otel_agentcost; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    ended = run(sys.executable, "-W", "error", "-c", code, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    loaded = set(ended.stdout.split())
    assert not loaded & {"openai", "anthropic", "google", "httpx", "tiktoken", "redis", "yaml", "rich", "genai_prices"}


def test_entry_points_load() -> None:
    """The launcher finds the instrumentor, and the shell the command."""
    points = {point.group: point for point in distribution("otel-agentcost").entry_points}
    assert points["opentelemetry_instrumentor"].name == "agentcost"
    assert callable(points["opentelemetry_instrumentor"].load()().instrument)
    assert callable(points["console_scripts"].load())


def test_the_launcher_has_no_flag_of_this_package(tmp_path: Path) -> None:
    """Its parser takes abbreviations: with a flag `--agentcost_agent`, no application could have an `--agent`."""
    assert not {point.name for point in entry_points(group="opentelemetry_environment_variables")} & {"agentcost"}
    ended = run(LAUNCHER, "--help", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "agentcost" not in ended.stdout


def test_the_launcher_does_not_take_the_options_of_an_application(tmp_path: Path) -> None:
    """`opentelemetry-instrument python agent.py --agent researcher`: the application gets every word."""
    exporters = ("--traces_exporter", "none", "--metrics_exporter", "none", "--logs_exporter", "none")
    (tmp_path / "agent.py").write_text("import sys; print(sys.argv[1:])")
    words = ["--agent", "researcher", "--agentcost_user", "bob", "--agentcost=x"]
    fields = [row.field for row in ROWS if row.field != "config"]  # OpenTelemetry has two flags that begin so
    words += [word for field in fields for word in (f"--{field}", "x")]
    ended = run(LAUNCHER, *exporters, sys.executable, "agent.py", *words, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, f"{words}\n"), ended.stderr
