"""A real Prometheus 3, built by Go from the module of a release.

`python -m tools.prometheus` builds it where it is not built yet (minutes, then never again for that release) and prints
where it is. Needs Go; without it, tests say that they were left out, and why. All other tests take the `prometheus` of
the path: with a link to this one first on the path, they run on Prometheus 3 too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.collector import CACHE, go

RELEASE = "0.316.0"
"""The version of the module; Prometheus itself counts 3.16.0."""


def place() -> Path:
    """Where the built program is, or will be."""
    return CACHE / f"prometheus-{RELEASE}"


def find() -> Path | None:
    """The built program, or the one that AGENTCOST_PROMETHEUS names."""
    named = os.environ.get("AGENTCOST_PROMETHEUS")
    found = Path(named) if named else place()
    return found if found.exists() else None


def build() -> Path:
    """Builds the program, unless it is built. Raises CalledProcessError with Go's own words."""
    target, tool = place(), go()
    if target.exists() or tool is None:
        return target
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        environment = os.environ | {"GOBIN": folder, "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"}
        module = f"github.com/prometheus/prometheus/cmd/prometheus@v{RELEASE}"
        subprocess.run([tool, "install", module], env=environment, check=True)
        Path(folder, "prometheus").replace(target)
    return target


if __name__ == "__main__":
    if find() is None and go() is None:
        print("Go was not found, and no Prometheus 3 is built: the tests that need one will be left out.")
        sys.exit()
    print(find() or build())
