"""The page of a report in a real browser without a window: it opens from disk, asks for nothing, and has no errors."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from otel_agentcost.cli import main
from tests.cli.report.test_report import ALL

_BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_PROGRAM = next((found for name in _BROWSERS if (found := shutil.which(name))), None)

in_a_browser = pytest.mark.skipif(_PROGRAM is None, reason=f"no browser is here: one of {', '.join(_BROWSERS)}")

_PROBE = """<script>
const wrong = [];
addEventListener("error", (event) => wrong.push(event.message), true);
addEventListener("securitypolicyviolation", (event) => wrong.push("blocked " + event.blockedURI));
addEventListener("load", () => {
  const drawn = Object.values(Chart.instances).filter((chart) => {
    const { width, height } = chart.canvas;
    return chart.ctx.getImageData(0, 0, width, height).data.some((value) => value);
  });
  const asked = performance.getEntriesByType("resource").map((entry) => entry.name);
  document.title = JSON.stringify({ wrong, asked, drawn: drawn.map((chart) => chart.canvas.id) });
});
</script>"""
"""What the page is asked for before its own scripts run; the answer is its title."""


@pytest.fixture
def page(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The page of the weeks."""
    assert main(["report", *ALL, "--offline", "nightly", "--format", "html"]) == 0
    file = tmp_path / "weeks.html"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    return file


def browse(page: Path, folder: Path, *options: str) -> str:
    assert _PROGRAM is not None
    common = ("--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", "--virtual-time-budget=3000")
    done = subprocess.run(
        [_PROGRAM, *common, *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


@in_a_browser
def test_the_page_draws_its_charts_and_asks_for_nothing(page: Path, tmp_path: Path) -> None:
    """No script error, nothing that the page's own policy had to refuse, no other file; every chart has pixels."""
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text(encoding="utf-8").replace("<title>", f"{_PROBE}<title>", 1), encoding="utf-8")
    title = re.search(r"<title>(.*?)</title>", browse(probed, tmp_path / "profile", "--dump-dom"), re.DOTALL)
    assert title is not None
    charts = '"drawn":["daily","by-agent","by-user","by-feature"]'
    assert title[1] == f'{{"wrong":[],"asked":[],{charts}}}'


@in_a_browser
def test_the_page_prints(page: Path, tmp_path: Path) -> None:
    """On a few sheets of paper."""
    paper = tmp_path / "weeks.pdf"
    browse(page, tmp_path / "profile", f"--print-to-pdf={paper}")
    sheets = len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes()))
    assert 2 <= sheets <= 12


class _Page(HTMLParser):
    """Collects what a browser would fetch, and whether each element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [f"{tag} {name}" for name, _ in attrs if name in {"src", "href", "srcset", "action", "data"}]
        if tag not in {"meta", "link", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_one_file(page: Path) -> None:
    """At most a megabyte, with the licence of its library, without a reference to another file; its elements close."""
    text = page.read_text(encoding="utf-8")
    assert len(text.encode()) < 1_000_000
    assert "Chart.js v4.6.1" in text
    assert "The MIT License (MIT)" in text
    assert "sourceMappingURL" not in text
    parser = _Page()
    parser.feed(text)
    parser.close()
    assert (parser.fetched, parser.open) == ([], [])


def test_a_page_of_many_days_stays_small(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its tables have a bounded number of lines, whatever is grouped."""
    assert main(["report", *ALL, "--by", "trace,user", "--format", "html"]) == 0
    assert capsys.readouterr().out.count("<tr>") < 50
