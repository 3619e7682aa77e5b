"""`python -m grafana.preview`: serve the boards on localhost, from a Prometheus or from sample data.

`--write DIR` writes each board as a page (HTML) and a picture (PNG) instead.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import sys
import time
from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from grafana.preview import board, page, picture, prometheus, sample
from grafana.preview.board import DASHBOARDS, Board, TimeRange
from grafana.preview.history import prometheus_with_sample
from grafana.preview.picture import Source
from grafana.preview.prometheus import Client
from grafana.preview.runs import runs_of
from grafana.preview.sample import Sample

NOTE = "Sample data of a fictional company"


class Preview:
    """The boards of a folder over the data of a Prometheus.

    Args:
        folder: Folder with the dashboards' JSON files.
        client: The Prometheus.
        data: The sample in that Prometheus; None where it holds other data.
        scrape: Scrape interval of that Prometheus, in seconds.

    """

    def __init__(self, folder: Path, client: Client, data: Sample | None, scrape: int) -> None:
        boards = [board.read(path) for path in sorted(folder.glob("*.json"))]
        self.boards: list[Board] = sorted(boards, key=lambda one: "overview" not in one.uid)
        self._client, self._data, self._scrape = client, data, scrape

    def page(self, one: Board, query: Mapping[str, str]) -> str:
        """Return the HTML of a board; `query` holds the parameters of its address."""
        chosen = {name.removeprefix("var-"): value for name, value in query.items() if name.startswith("var-")}
        source = self._source(one, chosen, query.get("range"))
        return page.page(one, self.boards, source, chosen, self._note(source.time))

    def picture(self, one: Board) -> bytes:
        """Return the picture of a board with its default choices, as PNG."""
        source = self._source(one, {}, None)
        return picture.png(picture.draw(one, source, self._note(source.time)))

    def _source(self, one: Board, chosen: Mapping[str, str], length: str | None) -> Source:
        seconds = board.parse_duration(length) if length else one.seconds
        end = self._data.end if self._data else time.time()
        span = TimeRange(end=end, seconds=seconds, scrape=self._scrape)
        runs = partial(runs_of, self._data, span.start) if self._data else None
        return Source(client=self._client, time=span, values=board.variable_values(one, span, chosen), runs=runs)

    def _note(self, span: TimeRange) -> str:
        until = f"until {dt.datetime.fromtimestamp(span.end, dt.timezone.utc):%Y-%m-%d %H:%M} UTC"
        return f"{NOTE} · {until}" if self._data else until


def working_hour(now: float) -> float:
    """Return 16:00 UTC of the latest working day as Unix time: boards show little at night."""
    at = dt.datetime.fromtimestamp(now, dt.timezone.utc).replace(hour=16, minute=0, second=0, microsecond=0)
    while at.timestamp() > now or at.weekday() >= 5:
        at -= dt.timedelta(days=1)
    return at.timestamp()


def server_of(preview: Preview, port: int) -> ThreadingHTTPServer:
    """Return an HTTP server of the boards on localhost that does not serve yet."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            uid = parts.path.strip("/") or preview.boards[0].uid
            one = next((one for one in preview.boards if one.uid == uid), None)
            body = preview.page(one, dict(parse_qsl(parts.query))).encode() if one else b"There is no such board."
            self.send_response(200 if one else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name in the base class)
            """Log nothing: the terminal shows the address."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def serve(preview: Preview, port: int) -> None:
    """Serve until Ctrl-C."""
    with server_of(preview, port) as server:
        print(f"The boards are at http://localhost:{server.server_port}/  (Ctrl-C stops the server)", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def write(preview: Preview, folder: Path) -> None:
    """Write the page and the picture of each board."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in preview.boards:
        path = folder / f"{one.uid}.html"
        path.write_text(preview.page(one, {}), encoding="utf-8")
        path.with_suffix(".png").write_bytes(preview.picture(one))
        print(f"{path}\n{path.with_suffix('.png')}")


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m grafana.preview", description="Shows the boards without Grafana.")
    parser.add_argument("--prometheus", metavar="URL", help="show its data (default: sample data)")
    parser.add_argument("--scrape", default="15s", help="scrape interval of that Prometheus (default: %(default)s)")
    parser.add_argument("--port", type=int, default=3001)
    parser.add_argument("--write", type=Path, metavar="DIR", help="write pages and pictures there instead of serving")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        if options.prometheus:
            client, data, scrape = Client(options.prometheus), None, board.parse_duration(options.scrape)
        elif reason := prometheus.missing_programs():
            print(f"{reason}, or name a running Prometheus with --prometheus", file=sys.stderr)
            return 1
        else:
            print(f"{NOTE}: a few seconds ...", flush=True)
            client, data = stack.enter_context(prometheus_with_sample(working_hour(time.time())))
            scrape = sample.STEP
        preview = Preview(DASHBOARDS, client, data, scrape)
        if options.write:
            write(preview, options.write)
        else:
            serve(preview, options.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
