"""Runs the SDKs' own offline tests without and with this package, and prints the tests that fail only with it.

    python -m tools.upstream                     every suite, whole: about half an hour
    python -m tools.upstream openai              some suites
    python -m tools.upstream --quick             what takes less than a minute
    python -m tools.upstream --list

The tests come from the source distributions of the releases that are installed here. Tests of API resources need a
mock server and are left out. Downloads and environments are kept in the user's cache.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-agentcost" / "upstream"

PLUGIN = """
import otel_agentcost
otel_agentcost.instrument()
"""
"""The pytest plugin that instruments a suite. A budget that nothing exhausts has every call pass the guard as well."""
BUDGET = {"OTEL_AGENTCOST_BUDGETS": "total:usd=1000000"}


class Suite(NamedTuple):
    """The tests of one SDK."""

    distribution: str
    tests: str
    """The folder of the tests in the source distribution."""
    needs: tuple[str, ...]
    """What the tests import besides the SDK."""
    left_out: tuple[str, ...] = ()
    """Paths below `tests` that need a server, or assert what this package must change."""
    quick: tuple[str, ...] = ()
    """Paths below `tests` that `--quick` runs."""
    in_place: bool = False
    """True if the tests are modules of the SDK's package, so that they run in its source tree."""


SUITES: dict[str, Suite] = {
    "openai": Suite(
        "openai",
        "tests",
        ("openai[aiohttp,realtime,bedrock]", "Pillow", "rich", "inline-snapshot>=0.28", "trio", "azure-identity"),
        ("api_resources",),
        ("test_legacy_response.py", "test_response.py"),
    ),
    "anthropic": Suite(
        "anthropic",
        "tests",
        ("anthropic[aiohttp,bedrock,vertex]", "respx", "dirty-equals", "inline-snapshot>=0.28", "rich", "trio"),
        # The SDK's own spans have our attributes: that is what its tests of them do not expect.
        ("api_resources", "test_open_telemetry.py", "test_tracing.py"),
        ("test_response.py", "test_streaming.py"),
    ),
    "google-genai": Suite(
        "google-genai",
        "google/genai/tests",
        ("google-genai[aiohttp]", "Pillow", "sentencepiece", "mcp", "websockets"),
        (),
        ("afc", "types"),
        in_place=True,
    ),
}


def source(suite: Suite) -> Path:
    """Returns the unpacked source distribution of the installed release, downloaded where the cache has none."""
    release = version(suite.distribution)
    folder = CACHE / f"{suite.distribution}-{release}"
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as new:
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
            pip += ["--no-build-isolation", "--disable-pip-version-check", "-d", new]
            subprocess.run([*pip, f"{suite.distribution}=={release}"], check=True)
            (archive,) = Path(new).glob("*.tar.gz")
            with tarfile.open(archive) as opened:
                opened.extractall(new, filter="data")
            (unpacked,) = (path for path in Path(new).iterdir() if path.is_dir())
            unpacked.rename(folder)
    if not (folder / suite.tests).is_dir():
        raise SystemExit(f"the source distribution of {suite.distribution} {release} carries no {suite.tests}")
    return folder


def environment(suite: Suite) -> Path:
    """Returns the Python of an environment that has the SDK, this package and what the tests need."""
    pinned = f"{suite.needs[0]}=={version(suite.distribution)}"
    packages = (pinned, *suite.needs[1:], "pytest>=9", "pytest-asyncio>=1.4", "pytest-xdist>=3.6")
    key = hashlib.sha256(repr((packages, sys.version, str(ROOT))).encode()).hexdigest()[:12]
    folder = CACHE / f"environment-{suite.distribution}-{key}"
    python = folder / "bin" / "python"
    done = folder / ".installed"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        variables = dict(os.environ)
        if "PIP_INDEX_URL" in variables:  # uv has a name of its own for it
            variables.setdefault("UV_DEFAULT_INDEX", variables["PIP_INDEX_URL"])
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
        install = [*uv, "pip", "install", "-q", "--python", str(python), "-e", str(ROOT), *packages]
        subprocess.run(install, check=True, env=variables)
        done.touch()
    return python


def run(suite: Suite, paths: list[str], *, instrumented: bool) -> dict[str, bool]:
    """Runs tests of a suite. Returns, by name of a test, whether it passed; skipped tests are left out."""
    python, folder = environment(suite), source(suite)
    with tempfile.TemporaryDirectory() as work:
        place = Path(work)
        if not suite.in_place:  # beside the sources, the tests would import them instead of the installed SDK
            shutil.copytree(folder / suite.tests, place / suite.tests)
            shutil.copy(folder / "pyproject.toml", place)
        (place / "agentcost_upstream.py").write_text(PLUGIN, encoding="utf-8")
        report = place / "report.xml"
        command = [str(python), "-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider", "--tb=no", "-n", "2"]
        command += [f"--junit-xml={report}", *(["-p", "agentcost_upstream"] if instrumented else [])]
        command += [f"--ignore={suite.tests}/{path}" for path in suite.left_out]
        command += paths or [suite.tests]
        variables = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        variables |= {"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1", **(BUDGET if instrumented else {})}
        where = folder if suite.in_place else place
        subprocess.run(command, cwd=where, env=variables, check=False, stdout=subprocess.DEVNULL)
        if not report.exists():
            raise SystemExit(f"pytest made no report for {suite.distribution}: {' '.join(command)}")
        return outcomes(report)


def outcomes(report: Path) -> dict[str, bool]:
    """Returns the outcomes in a JUnit report: True for a test that passed."""
    found: dict[str, bool] = {}
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314 (pytest wrote it)
        if case.find("skipped") is None:
            passed = case.find("failure") is None and case.find("error") is None
            name = f"{case.get('classname')}::{case.get('name')}"
            found[name] = found.get(name, True) and passed
    return found


def compare(name: str, *, quick: bool) -> list[str]:
    """Runs a suite both ways. Returns the tests that fail only with this package, twice."""
    suite = SUITES[name]
    paths = [f"{suite.tests}/{path}" for path in suite.quick] if quick else []
    began = time.monotonic()
    bare, ours = (run(suite, paths, instrumented=instrumented) for instrumented in (False, True))
    if not bare:
        raise SystemExit(f"no test of {name} ran")
    new = [test for test, passed in bare.items() if passed and not ours.get(test, False)]
    if new:  # once more: some tests depend on the clock
        again = run(suite, paths, instrumented=True)
        new = [test for test in new if not again.get(test, False)]
    failed = sum(not passed for passed in bare.values())
    seconds = time.monotonic() - began
    print(f"{name} {version(suite.distribution)}: {len(bare)} tests, {failed} fail by themselves, "
          f"{len(new)} with otel-agentcost only ({seconds:.0f} s)")  # fmt: skip
    for test in new:
        print(f"    {test}")
    return new


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the SDKs' own offline tests without and with otel-agentcost.")
    parser.add_argument("names", nargs="*", choices=[[], *SUITES], metavar="suite", help=", ".join(SUITES))
    parser.add_argument("--quick", action="store_true", help="only the parts that take less than a minute")
    parser.add_argument("--list", action="store_true", help="print the suites and their quick parts")
    options = parser.parse_args()
    if options.list:
        for name, suite in SUITES.items():
            print(f"{name} {version(suite.distribution)}: {suite.tests}; quick: {', '.join(suite.quick)}")
        return 0
    new = [test for name in options.names or SUITES for test in compare(name, quick=options.quick)]
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
