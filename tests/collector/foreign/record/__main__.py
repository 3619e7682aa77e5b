"""Records what instrumentations send: `python -m tests.collector.foreign.record [NAME ...]`.

Each runs in an environment of its own (`uv venv`, or `npm install`), in a temporary folder; `--envs DIR` keeps them.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.collector.foreign.record import otlp
from tests.collector.foreign.record.packages import PACKAGES, Package
from tests.collector.foreign.record.server import HOSTS, Server

HERE = Path(__file__).parent
OUT = HERE.parent


def record(package: Package, envs: Path) -> None:
    """Runs one package's driver against the server, and writes what it sent."""
    with Server() as server:
        subprocess.run(package.command(envs, HERE / "drivers", server.url), check=True, timeout=300)
        found = [_named(package, one, server.url) for one in server.scenarios]
    for old in OUT.glob(f"{package.file}-[0-9]*.json"):
        old.unlink()
    path = OUT / f"{package.file}-{package.installed(envs)}.json"
    path.write_text(otlp.text(found), encoding="utf-8")
    print(path.name, path.stat().st_size, f"{len(found)} scenarios", flush=True)


def _named(package: Package, scenario: dict[str, Any], url: str) -> dict[str, Any]:
    name = scenario["scenario"]
    provider = next(iter(one["provider"] for one in scenario["truth"]), None) or package.provider(name)
    gap = package.gap(name)
    known = {"scenario": name, "truth": scenario["truth"]} | ({"gap": gap} if gap else {})
    return known | otlp.normalised(scenario, url, HOSTS[provider])


def main() -> None:
    """Records those that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--envs", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        envs = options.envs or Path(folder)
        for package in PACKAGES:
            if not options.names or package.name in options.names:
                record(package, envs)


if __name__ == "__main__":
    main()
