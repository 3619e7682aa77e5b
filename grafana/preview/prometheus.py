"""Queries a Prometheus (`Client`), or also runs one on a free port (`Prometheus`)."""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MISSING = "prometheus and promtool are not on the path: apt install prometheus"


class QueryError(Exception):
    """Prometheus rejected a query or cannot be reached."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a result: its labels, and its points as (Unix time in seconds, value), oldest first."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1]


class Client:
    """Queries the Prometheus at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        here = urllib.parse.urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
        proxies = (urllib.request.ProxyHandler({}),) if here else ()  # a proxy cannot reach this machine
        self._opener = urllib.request.build_opener(*proxies)

    def query(self, expression: str, at: float) -> list[Series]:
        """Run an instant query at a Unix time. Raises QueryError."""
        result = self.get("query", {"query": expression, "time": repr(at)})
        if result["resultType"] == "scalar":
            return [Series({}, [_point(result["result"])])]
        return [Series(one["metric"], [_point(one["value"])]) for one in result["result"]]

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """Run a range query; all times are in seconds. Raises QueryError."""
        parameters = {"query": expression, "start": repr(start), "end": repr(end), "step": repr(step)}
        result = self.get("query_range", parameters)
        return [Series(one["metric"], [_point(point) for point in one["values"]]) for one in result["result"]]

    def value(self, expression: str, at: float) -> float:
        """Return the only value of an instant query, or NaN where there is none. Raises QueryError."""
        result = self.query(expression, at)
        if len(result) > 1:
            raise QueryError(f"expected one value, got {len(result)}: {expression}")
        return result[0].last if result else math.nan

    def label_values(self, label: str, match: str, start: float, end: float) -> list[str]:
        """Return the values of a label of the series that `match` selects. Raises QueryError."""
        parameters = {"start": repr(start), "end": repr(end), "match[]": match}
        return list(self.get(f"label/{label}/values", parameters))

    def get(self, path: str, parameters: Mapping[str, str]) -> Any:
        """Return the data of a response of the HTTP API. Raises QueryError."""
        body = urllib.parse.urlencode(parameters).encode()
        url = f"{self.url}/api/v1/{path}"
        if path.startswith("label/"):  # does not accept POST
            request = urllib.request.Request(f"{url}?{body.decode()}")
        else:
            request = urllib.request.Request(url, data=body)
        try:
            with self._opener.open(request, timeout=60) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            reason = error.read().decode(errors="replace")
            raise QueryError(f"{error.code}: {reason[:500]} (parameters: {parameters})") from None
        except OSError as error:
            raise QueryError(f"{self.url} cannot be reached: {error}") from None


class Prometheus(Client):
    """A Prometheus that this process runs.

    Args:
        folder: Folder for its configuration, data and log.
        scrape: Addresses (host:port) to scrape.
        interval: Interval of scrapes and of rule evaluation, such as `1s`.
        rules: Files with rules.
        options: Command-line flags.
        program: The program, if it is not the one on the path.

    """

    def __init__(
        self,
        folder: Path,
        *,
        scrape: Sequence[str] = (),
        interval: str = "1s",
        rules: Sequence[Path] = (),
        options: Sequence[str] = (),
        program: str = "prometheus",
    ) -> None:
        super().__init__(f"http://127.0.0.1:{_free_port()}")
        self._folder = folder
        self._log = folder / "prometheus.log"
        self._options = options
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        targets = [{"targets": list(scrape)}]
        config = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
            "rule_files": [str(rule) for rule in rules],
            "scrape_configs": [{"job_name": "agentcost", "honor_labels": True, "static_configs": targets}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML

    def backfill(self, history: Path) -> None:
        """Import an OpenMetrics file with timestamps; call it before `start`."""
        # A single block: promtool reads the file once for each.
        command = ["promtool", "tsdb", "create-blocks-from", "--max-block-duration=2400h", "--quiet", "openmetrics"]
        data = self._folder / "data"
        subprocess.run([*command, str(history), str(data)], check=True, capture_output=True)

    def start(self, seconds: float = 60) -> Prometheus:
        """Start it and wait until it is ready. Raises RuntimeError with its log after `seconds`, or when it exits."""
        listen = self.url.removeprefix("http://")
        command = [
            self._program, f"--config.file={self._folder}/prometheus.yml", f"--storage.tsdb.path={self._folder}/data",
            f"--web.listen-address={listen}", "--storage.tsdb.retention.time=10y", *self._options,
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        deadline = time.monotonic() + seconds
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"Prometheus did not start:\n{self._log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """Stop it; its data stays."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _ready(self) -> bool:
        try:
            with self._opener.open(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def missing_programs() -> str | None:
    """Return why no Prometheus can be run here, or None."""
    return None if shutil.which("prometheus") and shutil.which("promtool") else _MISSING


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _point(given: Sequence[Any]) -> tuple[float, float]:
    return float(given[0]), float(given[1])
