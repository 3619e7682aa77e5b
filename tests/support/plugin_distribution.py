"""Distributions from outside of this package, each installed into the directory of one test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


class PluginDistribution:
    """One installed distribution, in the form that `pip install --target` leaves."""

    def __init__(
        self, directory: Path, name: str, modules: Mapping[str, str], entry_points: Mapping[str, Mapping[str, str]]
    ) -> None:
        """`modules`: name to source. `entry_points`: group to name to value."""
        self.directory = directory
        for module, source in modules.items():
            (directory / f"{module}.py").write_text(source, encoding="utf-8")
        metadata = directory / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        sections = (
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
            for group, entries in entry_points.items()
        )
        (metadata / "entry_points.txt").write_text("\n".join(sections), encoding="utf-8")

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `script` in a new interpreter that finds this distribution, and fail unless it ends well."""
        path = os.pathsep.join([str(self.directory), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, **environment, "PYTHONPATH": path},
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done
