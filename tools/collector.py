"""A real OpenTelemetry Collector, built by the official builder from `tools/collector.yaml`.

`python -m tools.collector` builds it where it is not built yet (minutes, then never again for that manifest)
and prints where it is. Needs Go; without it, tests say that they were left out, and why.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

MANIFEST = Path(__file__).with_name("collector.yaml")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-agentcost"


def version() -> str:
    """The release of the Collector's components."""
    return str(yaml.safe_load(MANIFEST.read_text())["dist"]["version"])


def place() -> Path:
    """Where the built collector is, or will be."""
    digest = hashlib.sha256(MANIFEST.read_bytes()).hexdigest()[:12]
    return CACHE / f"otelcol-{version()}-{digest}"


def find() -> Path | None:
    """The built collector, or the one that AGENTCOST_COLLECTOR names."""
    named = os.environ.get("AGENTCOST_COLLECTOR")
    found = Path(named) if named else place()
    return found if found.exists() else None


def go() -> str | None:
    """The Go tool."""
    return shutil.which("go") or next(filter(os.path.exists, ["/usr/local/go/bin/go"]), None)


def build() -> Path:
    """Builds the collector, unless it is built. Raises CalledProcessError with the builder's own words."""
    target = place()
    tool = go()
    if target.exists() or tool is None:
        return target
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        environment = os.environ | {
            "GOBIN": folder, "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0",
            "PATH": f"{Path(tool).parent}{os.pathsep}{os.environ['PATH']}",
        }  # fmt: skip
        builder = f"go.opentelemetry.io/collector/cmd/builder@v{version()}"
        subprocess.run([tool, "install", builder], env=environment, check=True)
        manifest = yaml.safe_load(MANIFEST.read_text())
        manifest["dist"]["output_path"] = f"{folder}/build"
        Path(folder, "builder.yaml").write_text(json.dumps(manifest))  # which is YAML, too
        command = [f"{folder}/builder", "--config", f"{folder}/builder.yaml"]
        subprocess.run(command, env=environment, check=True)
        Path(folder, "build", manifest["dist"]["name"]).replace(target)
    return target


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Collector:
    """One running collector. `configs` are files that merge; `environment` is what they refer to."""

    def __init__(self, folder: Path, configs: Sequence[Path | str], environment: dict[str, str] | None = None) -> None:
        program = find()
        assert program is not None
        self.log = folder / "collector.log"
        self._options = [str(program), *(f"--config={config}" for config in configs)]
        self._folder = folder
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, port: int, seconds: float = 60) -> Collector:
        """Returns when `port` answers. Raises RuntimeError with the log where the collector ends instead."""
        with self.log.open("wb") as log:
            environment = os.environ | self._environment
            self._process = subprocess.Popen(self._options, stderr=log, stdout=log, cwd=self._folder, env=environment)
        deadline = time.monotonic() + seconds
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return self
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the collector does not answer:\n{self.said()[-3000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends it as an operator would, so that what is in flight is sent; what it wrote stays."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def validate(configs: Sequence[Path | str], environment: dict[str, str] | None = None) -> str:
    """What `otelcol validate` complains of; empty where it does not."""
    command = [str(find()), "validate", *(f"--config={config}" for config in configs)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | (environment or {}), check=False)
    return "" if done.returncode == 0 else done.stderr + done.stdout


def send(port: int, document: dict[str, Any], signal: str = "traces") -> None:
    """OTLP/HTTP with JSON. Raises urllib.error.HTTPError where the collector refuses it."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/{signal}",
        data=json.dumps(document).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=60).read()


def spans_in(path: Path) -> Iterator[dict[str, Any]]:
    """The spans that a file exporter wrote, each with its attributes as a dict, and `scope` and `resource`."""
    if path.exists():
        yield from spans_of(path.read_text())


def spans_of(written: str) -> Iterator[dict[str, Any]]:
    """The same from the text of such a file."""
    for line in written.splitlines():
        for resource in json.loads(line).get("resourceSpans", []):
            for scope in resource.get("scopeSpans", []):
                for span in scope.get("spans", []):
                    given = plain(span.get("attributes", []))
                    yield span | {
                        "attributes": given,
                        "scope": scope.get("scope", {}).get("name"),
                        "resource": plain(resource.get("resource", {}).get("attributes", [])),
                    }


def plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """OTLP's attributes as a dict."""
    return {one["key"]: _value(one.get("value", {})) for one in attributes}


def _value(value: dict[str, Any]) -> Any:
    for kind, found in value.items():
        if kind == "intValue":
            return int(found)
        if kind == "arrayValue":
            return [_value(one) for one in found.get("values", [])]
        return found
    return None


if __name__ == "__main__":
    if find() is None and go() is None:
        print("Go was not found, and no collector is built: the tests that need one will be left out.")
        sys.exit()
    print(find() or build())
