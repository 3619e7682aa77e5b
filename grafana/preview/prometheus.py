"""A Prometheus of one's own: started on a free port with a folder of its own, filled with history, asked, stopped.

`Client` asks any Prometheus; `Prometheus` is one that this process runs.
"""

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

MISSING = "neither prometheus nor promtool is on the path: apt install prometheus"


class Refused(Exception):
    """What Prometheus said of a query that it does not answer."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: its labels, and its values at their times, oldest first."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1]


class Client:
    """Asks the Prometheus at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        here = urllib.parse.urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
        proxies = (urllib.request.ProxyHandler({}),) if here else ()  # a proxy cannot reach what is on this machine
        self._opener = urllib.request.build_opener(*proxies)

    def query(self, expression: str, at: float) -> list[Series]:
        """An instant query. Raises Refused."""
        found = self.get("query", {"query": expression, "time": repr(at)})
        if found["resultType"] == "scalar":
            return [Series({}, [_point(found["result"])])]
        return [Series(one["metric"], [_point(one["value"])]) for one in found["result"]]

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """A range query. Raises Refused."""
        asked = {"query": expression, "start": repr(start), "end": repr(end), "step": repr(step)}
        found = self.get("query_range", asked)
        return [Series(one["metric"], [_point(point) for point in one["values"]]) for one in found["result"]]

    def value(self, expression: str, at: float) -> float:
        """The only value of an instant query; NaN where there is none."""
        found = self.query(expression, at)
        if len(found) > 1:
            raise Refused(f"one value was expected of {expression}, not {len(found)}")
        return found[0].last if found else math.nan

    def label_values(self, label: str, match: str | None, start: float, end: float) -> list[str]:
        """The values of a label, of the series that `match` selects."""
        asked = {"start": repr(start), "end": repr(end)} | ({"match[]": match} if match else {})
        return list(self.get(f"label/{label}/values", asked))

    def get(self, path: str, asked: Mapping[str, str]) -> Any:
        """The data of an answer of the HTTP API. Raises Refused."""
        body = urllib.parse.urlencode(asked).encode()
        url = f"{self.url}/api/v1/{path}"
        if path.startswith("label/"):  # these take no POST
            request = urllib.request.Request(f"{url}?{body.decode()}")
        else:
            request = urllib.request.Request(url, data=body)
        try:
            with self._opener.open(request, timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            raise Refused(f"{error.code}: {said[:500]} (asked: {asked})") from None
        except OSError as error:
            raise Refused(f"{self.url} does not answer: {error}") from None


class Prometheus(Client):
    """A Prometheus that this process runs: `scrape` are addresses to scrape every `interval`, `options` its flags."""

    def __init__(
        self,
        folder: Path,
        *,
        scrape: Sequence[str] = (),
        interval: str = "1s",
        rules: Sequence[Path] = (),
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(f"http://127.0.0.1:{_free_port()}")
        self._folder = folder
        self._log = folder / "prometheus.log"
        self._options = options
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
        """Takes in a file of OpenMetrics with times, before `start`."""
        # One block for all: promtool reads the file once a block.
        command = ["promtool", "tsdb", "create-blocks-from", "--max-block-duration=2400h", "--quiet", "openmetrics"]
        data = self._folder / "data"
        subprocess.run([*command, str(history), str(data)], check=True, capture_output=True)

    def start(self, seconds: float = 60) -> Prometheus:
        """Returns when it is ready. Raises RuntimeError with its log where it ends instead."""
        listen = self.url.removeprefix("http://")
        command = [
            "prometheus", f"--config.file={self._folder}/prometheus.yml", f"--storage.tsdb.path={self._folder}/data",
            f"--web.listen-address={listen}", "--storage.tsdb.retention.time=10y", *self._options,
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        deadline = time.monotonic() + seconds
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"Prometheus does not answer:\n{self._log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """Ends it; its data stays."""
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


def missing() -> str | None:
    """Why no Prometheus can be run here; None where one can."""
    return None if shutil.which("prometheus") and shutil.which("promtool") else MISSING


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _point(given: Sequence[Any]) -> tuple[float, float]:
    return float(given[0]), float(given[1])
