"""Runs the SDKs' own offline tests with this package, what fails also without, and prints what fails only with it.

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
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import certifi

from tools import packages

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-agentcost" / "upstream"

PLUGIN = """
import os

if os.environ["AGENTCOST_UPSTREAM"] == "instrumented":
    import otel_agentcost
    otel_agentcost.instrument()


def write(report):
    with open(os.environ["AGENTCOST_REPORT"], "a", encoding="utf-8") as file:
        file.write(f"{report.outcome} {report.nodeid}\\n")


def pytest_runtest_logreport(report):
    if report.failed or (report.passed and report.when == "call"):
        write(report)


def pytest_collectreport(report):
    if report.failed:
        write(report)
"""
"""The pytest plugin that instruments a suite, and writes a line for each test that passed or failed."""
BUDGET = {"OTEL_AGENTCOST_BUDGETS": "total:usd=1000000"}
"""Nothing exhausts it, but with it every call passes the guard as well."""
PYTEST = (
    "-q",
    "-o",
    "addopts=",
    "-p",
    "no:cacheprovider",
    "--tb=no",
    "--continue-on-collection-errors",
    "--timeout=120",
)
TOOLS = ("pytest>=9", "pytest-asyncio>=1.4", "pytest-timeout>=2.4", "pytest-xdist>=3.8")


class Suite(NamedTuple):
    """The tests of one SDK."""

    distribution: str
    tests: str
    """The folder of the tests in the source distribution."""
    needs: tuple[str, ...]
    """The SDK with its extras, and what the tests import besides."""
    group: str = ""
    """The dependency group of its pyproject.toml that names the rest."""
    left_out: tuple[str, ...] = ()
    """Files, folders and tests below `tests` that need a server, or assert what this package must change."""
    quick: tuple[str, ...] = ()
    """Paths below `tests` that `--quick` runs."""
    plugins: tuple[str, ...] = ()
    """Modules of the tests that pytest has to load first, as the SDK's own options do."""
    in_place: bool = False
    """True if the tests are modules of the SDK's package, so that they run in its source tree."""


SUITES: dict[str, Suite] = {
    "openai": Suite(
        "openai",
        "tests",
        ("openai[aiohttp,realtime,bedrock]",),
        "dev",
        ("api_resources",),
        ("test_legacy_response.py", "test_response.py"),
    ),
    "anthropic": Suite(
        "anthropic",
        "tests",
        ("anthropic[aiohttp,bedrock,vertex]",),
        "dev",
        # The SDK's own spans have our attributes: that is what its tests of them do not expect.
        (
            "api_resources",
            "test_open_telemetry.py",
            "test_tracing.py",
            # Expects no tokens on the span of a compaction; this package writes those of usage.iterations.
            (
                "lib/tools/test_open_telemetry.py::TestToolRunnerSpans"
                "::test_a_compaction_request_is_a_child_of_the_tool_runner_span"
            ),
        ),
        ("test_response.py", "test_streaming.py"),
        plugins=("tests._alias_httpx",),
    ),
    "google-genai": Suite(
        "google-genai",
        "google/genai/tests",
        ("google-genai[aiohttp]", "Pillow", "sentencepiece", "mcp", "websockets"),
        quick=("afc",),
        in_place=True,
    ),
}


def source(suite: Suite) -> Path:
    """Returns the unpacked source distribution of the installed release, fetched where the cache has none."""
    release = version(suite.distribution)
    folder = CACHE / f"{suite.distribution}-{release}"
    if not folder.is_dir():
        packages.fetch_source(suite.distribution, release, folder)
    if not (folder / suite.tests).is_dir():
        raise LookupError(f"the source distribution of {suite.distribution} {release} carries no {suite.tests}")
    return folder


def environment(suite: Suite) -> Path:
    """Returns the Python of an environment that has the SDK, this package and what the tests need."""
    pinned = f"{suite.needs[0]}=={version(suite.distribution)}"
    needs = ("--editable", str(ROOT), pinned, *suite.needs[1:], *TOOLS)
    if suite.group:
        needs += ("--group", f"{source(suite) / 'pyproject.toml'}:{suite.group}")
    key = hashlib.sha256(repr((needs, sys.version)).encode()).hexdigest()[:12]
    folder = CACHE / f"environment-{suite.distribution}-{key}"
    return packages.kept(folder, needs)


def run(suite: Suite, tests: list[str], *, instrumented: bool) -> dict[str, bool]:
    """Runs tests of a suite. Returns, by name of a test, whether it passed; skipped tests are left out.

    Raises:
        LookupError: No test ran.
    """
    python, folder = environment(suite), source(suite)
    with tempfile.TemporaryDirectory() as work:
        place = Path(work)
        if not suite.in_place:  # beside the sources, the tests would import them instead of the installed SDK
            shutil.copytree(folder, place, ignore=shutil.ignore_patterns("src"), dirs_exist_ok=True)
        (place / "agentcost_upstream.py").write_text(PLUGIN, encoding="utf-8")
        (place / "chosen").write_text("\n".join(tests or [suite.tests]), encoding="utf-8")
        report, certificate = place / "report", place / "one.pem"
        certificate.write_text(one_certificate(), encoding="ascii")
        command = [str(python), "-m", "pytest", *PYTEST, "-p", "agentcost_upstream", f"@{place / 'chosen'}"]
        command += [f"--{'deselect' if '::' in path else 'ignore'}={suite.tests}/{path}" for path in suite.left_out]
        command += [option for plugin in suite.plugins for option in ("-p", plugin)]
        command += [] if tests else ["-n", "2"]
        variables = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        variables |= {
            "PYTHONPATH": str(place),
            "SSL_CERT_FILE": str(certificate),
            "AGENTCOST_REPORT": str(report),
            "AGENTCOST_UPSTREAM": "instrumented" if instrumented else "bare",
            **(BUDGET if instrumented else {}),
        }
        where = folder if suite.in_place else place
        done = subprocess.run(
            command, cwd=where, env=variables, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if not report.exists():
            last = "\n".join(done.stdout.splitlines()[-20:])
            raise LookupError(f"no test of {suite.distribution} ran ({' '.join(command)}):\n{last}")
        return outcomes(report.read_text(encoding="utf-8"))


def one_certificate() -> str:
    """No test speaks TLS, but each client loads all the world's certificates, for 50 ms; this one takes 1 ms."""
    end = "-----END CERTIFICATE-----\n"
    first = Path(certifi.where()).read_text(encoding="utf-8").partition(end)[0] + end
    return first[first.index("-----BEGIN") :]


def outcomes(report: str) -> dict[str, bool]:
    """Returns the outcomes that the plugin wrote: True for a test whose call passed and whose fixtures did not fail."""
    found: dict[str, bool] = {}
    for line in report.splitlines():
        outcome, _, test = line.partition(" ")
        found[test] = found.get(test, True) and outcome == "passed"
    return found


def compare(name: str, *, quick: bool) -> list[str]:
    """Runs a suite with this package, and what fails without it. Returns the tests that fail only with it, twice."""
    suite = SUITES[name]
    paths = [f"{suite.tests}/{path}" for path in suite.quick] if quick else []
    began = time.monotonic()
    ours = run(suite, paths, instrumented=True)
    failed = [test for test, passed in ours.items() if not passed]
    if len(failed) == len(ours):
        raise LookupError(f"all {len(ours)} tests failed: {', '.join(failed[:5])}, ...")
    bare = run(suite, failed, instrumented=False) if failed else {}
    new = [test for test, passed in bare.items() if passed]
    if new:  # once more: some tests depend on the clock, or on those before them
        again = run(suite, new, instrumented=True)
        new = [test for test in new if not again.get(test, False)]
    seconds = time.monotonic() - began
    print(f"{name} {version(suite.distribution)}: {len(ours)} tests, {len(failed) - len(new)} fail by themselves, "
          f"{len(new)} with otel-agentcost only ({seconds:.0f} s)", *new, sep="\n    ", flush=True)  # fmt: skip
    return new


def attempt(name: str, *, quick: bool) -> bool:
    """Compares a suite. Where it cannot be run, says why and returns False, so that the other suites still run."""
    try:
        return not compare(name, quick=quick)
    except (LookupError, OSError, packages.InstallationFailed) as error:
        print(f"{name} {version(SUITES[name].distribution)}: FAILED, could not be run: {error}", flush=True)
        return False


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
    good = [attempt(name, quick=options.quick) for name in options.names or SUITES]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
