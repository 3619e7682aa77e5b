"""`python -m grafana.preview`: serves the boards on localhost, from a Prometheus or from sample data of its own.

`--write DIR` writes the pages, and their pictures where a browser is found, instead of serving them.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from grafana.preview import board, page, prometheus, sample, screenshot
from grafana.preview.board import Board, Moment
from grafana.preview.history import History
from grafana.preview.prometheus import Client, Prometheus
from grafana.preview.runs import runs_of
from grafana.preview.sample import Sample

DASHBOARDS = Path(__file__).resolve().parent.parent / "dashboards"
NOTE = "Sample data of a company that does not exist"


class Preview:
    """The boards, and what they are drawn from."""

    def __init__(self, folder: Path, client: Client, known: Sample | None, scrape: int) -> None:
        boards = [board.read(path) for path in sorted(folder.glob("*.json"))]
        self.boards: list[Board] = sorted(boards, key=lambda one: "overview" not in one.uid)
        self._client, self._known, self._scrape = client, known, scrape

    def page(self, one: Board, asked: Mapping[str, str]) -> str:
        """The page of a board; `asked` is what stands behind the question mark of its address."""
        given = {name.removeprefix("var-"): value for name, value in asked.items() if name.startswith("var-")}
        stretch = board.seconds(asked["range"]) if asked.get("range") else one.stretch
        end = self._known.end if self._known else time.time()
        runs = partial(runs_of, self._known, end - stretch) if self._known else None
        moment = Moment(end=end, stretch=stretch, scrape=self._scrape)
        note = NOTE if self._known else ""
        return page.page(one, self.boards, self._client, moment, given, note=note, runs=runs)


@contextlib.contextmanager
def with_sample(end: float) -> Generator[tuple[Client, Sample], None, None]:
    """A Prometheus that holds sample data up to `end`, for as long as the context lasts. Raises OSError without one."""
    known = sample.make(end)
    with tempfile.TemporaryDirectory() as folder:
        history = Path(folder, "history.txt")
        History(known).write(history)
        server = Prometheus(Path(folder, "prometheus"), options=[f"--query.lookback-delta={sample.STEP + 60}s"])
        server.backfill(history)
        history.unlink()
        server.start()
        try:
            yield server, known
        finally:
            server.stop()


def working_hour(now: float) -> float:
    """Four o'clock in the afternoon, UTC, of the latest working day: boards of a night show little."""
    at = dt.datetime.fromtimestamp(now, dt.timezone.utc).replace(hour=16, minute=0, second=0, microsecond=0)
    while at.timestamp() > now or at.weekday() >= 5:
        at -= dt.timedelta(days=1)
    return at.timestamp()


def server_of(preview: Preview, port: int) -> ThreadingHTTPServer:
    """A server of the boards on localhost, not yet serving."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            wanted = parts.path.strip("/")
            one = next((one for one in preview.boards if one.uid == wanted), None if wanted else preview.boards[0])
            body = preview.page(one, dict(parse_qsl(parts.query))).encode() if one else b"There is no such board."
            self.send_response(200 if one else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
            """Says nothing: the terminal has the address."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def serve(preview: Preview, port: int) -> None:
    """Serves until it is interrupted."""
    with server_of(preview, port) as server:
        print(f"The boards are at http://localhost:{server.server_port}/  (Ctrl-C ends this)", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def write(preview: Preview, folder: Path) -> None:
    """Writes each board's page, and its picture where there is a browser."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in preview.boards:
        path = folder / f"{one.uid}.html"
        path.write_text(preview.page(one, {}))
        print(path)
        if screenshot.browser():
            screenshot.shoot(path, path.with_suffix(".png"), page.WIDTH, page.height(one))
            print(path.with_suffix(".png"))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m grafana.preview", description="Draws the boards without Grafana.")
    parser.add_argument("--prometheus", metavar="URL", help="draw from it (default: sample data in one of its own)")
    parser.add_argument("--scrape", default="15s", help="how often that Prometheus scrapes (default: %(default)s)")
    parser.add_argument("--dashboards", type=Path, default=DASHBOARDS, metavar="DIR", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=3001)
    parser.add_argument("--write", type=Path, metavar="DIR", help="write the pages, and pictures of them, there")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        if options.prometheus:
            client, known, scrape = Client(options.prometheus), None, board.seconds(options.scrape)
        elif reason := prometheus.missing():
            print(f"{reason}, or name one that runs with --prometheus", file=sys.stderr)
            return 1
        else:
            print(f"{NOTE}: a few seconds ...", flush=True)
            client, known = stack.enter_context(with_sample(working_hour(time.time())))
            scrape = sample.STEP
        preview = Preview(options.dashboards, client, known, scrape)
        if not preview.boards:
            print(f"there are no boards in {options.dashboards}", file=sys.stderr)
            return 1
        if options.write:
            write(preview, options.write)
        else:
            serve(preview, options.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
