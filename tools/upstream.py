"""Runs the own offline tests of SDKs and frameworks with this package, what fails also without, and prints what fails
only with it.

    python -m tools.upstream                     every suite, whole: about two hours
    python -m tools.upstream openai              some suites
    python -m tools.upstream --quick             what takes less than a minute
    python -m tools.upstream --list

The tests come from source distributions: of the releases that `tools/suites.py` names, else of those installed here.
Tests of API resources need a mock server and are left out. Downloads and environments are kept in the user's cache.
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
from pathlib import Path

import certifi

from tools import packages
from tools.suites import SUITES, Suite

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-agentcost" / "upstream"

PLUGIN = """
import os

if os.environ["UPSTREAM_SIDE"] == "instrumented":
    import otel_agentcost
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

    # Spans are recorded, as in an application; the suite may still set the global providers.
    otel_agentcost.instrument(tracer_provider=TracerProvider(), meter_provider=MeterProvider())


def write(report):
    with open(os.environ["UPSTREAM_REPORT"], "a", encoding="utf-8") as file:
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
    "--assert=plain",  # no message is read, and rewriting large suites takes a minute
    "--continue-on-collection-errors",
    "--timeout=120",
)
AGAIN = 2
"""How often a test that fails with this package only is run again: it may be one that fails now and then."""
TOOLS = ("pytest>=9", "pytest-asyncio>=1.4", "pytest-timeout>=2.4", "pytest-xdist>=3.8")


def source(suite: Suite) -> Path:
    """Returns the unpacked source distribution of the installed release, fetched where the cache has none."""
    release = suite.release
    folder = CACHE / f"{suite.distribution}-{release}"
    if not folder.is_dir():
        packages.fetch_source(suite.distribution, release, folder)
    if not (folder / suite.tests).is_dir():
        raise LookupError(f"the source distribution of {suite.distribution} {release} carries no {suite.tests}")
    return folder


def environment(suite: Suite) -> Path:
    """Returns the Python of an environment that has the SDK, this package and what the tests need."""
    pinned = f"{suite.needs[0]}=={suite.release}"
    needs = ("--no-sources", "--editable", str(ROOT), pinned, *suite.needs[1:], *TOOLS)
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
        command = [str(python), "-m", "pytest", *PYTEST, *suite.options, f"@{place / 'chosen'}"]
        command += [f"--{'deselect' if '::' in path else 'ignore'}={suite.tests}/{path}" for path in suite.left_out]
        command += [option for plugin in ("agentcost_upstream", *suite.plugins) for option in ("-p", plugin)]
        command += [] if tests else ["-n", "2"]
        variables = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        variables.pop("PYTHONDONTWRITEBYTECODE", None)  # each worker would compile the package anew
        variables |= {
            **suite.variables,
            "PYTHONPATH": str(place),
            "PYTHONHASHSEED": "0",  # workers must find the same tests, also those that are made from a set
            "PYTHONPYCACHEPREFIX": str(python.parent.parent / "bytecode"),
            "SSL_CERT_FILE": str(certificate),
            "UPSTREAM_REPORT": str(report),
            "UPSTREAM_SIDE": "instrumented" if instrumented else "bare",
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


def files_of(tests: list[str]) -> list[str]:
    """Returns the files that the tests are in, each once."""
    return list(dict.fromkeys(test.partition("::")[0] for test in tests))


def compare(name: str, *, quick: bool) -> list[str]:
    """Runs a suite with this package, and what fails without it. Returns the tests that always fail with it only."""
    suite = SUITES[name]
    paths = [f"{suite.tests}/{path}" for path in suite.quick] if quick else []
    began = time.monotonic()
    ours = run(suite, paths, instrumented=True)
    failed = [test for test, passed in ours.items() if not passed]
    if len(failed) == len(ours):
        raise LookupError(f"all {len(ours)} tests failed: {', '.join(failed[:5])}, ...")
    # Whole files, without and with: some tests pass only after those before them.
    bare = run(suite, files_of(failed), instrumented=False) if failed else {}
    new = [test for test in failed if bare.get(test, False)]
    for _ in range(AGAIN):  # some tests depend on the clock
        again = run(suite, files_of(new), instrumented=True) if new else {}
        new = [test for test in new if not again.get(test, False)]
    seconds = time.monotonic() - began
    print(f"{name} {suite.release}: {len(ours)} tests, {len(failed) - len(new)} fail by themselves, "
          f"{len(new)} with otel-agentcost only ({seconds:.0f} s)", *new, sep="\n    ", flush=True)  # fmt: skip
    return new


def attempt(name: str, *, quick: bool) -> bool:
    """Compares a suite. Where it cannot be run, says why and returns False, so that the other suites still run."""
    try:
        return not compare(name, quick=quick)
    except (LookupError, OSError, packages.InstallationFailed) as error:
        print(f"{name} {SUITES[name].release}: FAILED, could not be run: {error}", flush=True)
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs packages' own offline tests without and with otel-agentcost.")
    parser.add_argument("names", nargs="*", choices=[[], *SUITES], metavar="suite", help=", ".join(SUITES))
    parser.add_argument("--quick", action="store_true", help="only the parts that take less than a minute")
    parser.add_argument("--list", action="store_true", help="print the suites and their quick parts")
    options = parser.parse_args()
    if options.list:
        for name, suite in SUITES.items():
            print(f"{name} {suite.release}: {suite.tests}; quick: {', '.join(suite.quick)}")
        return 0
    names = options.names or [name for name, suite in SUITES.items() if suite.quick or not options.quick]
    good = [attempt(name, quick=options.quick) for name in names]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
