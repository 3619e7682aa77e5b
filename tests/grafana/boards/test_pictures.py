"""Pictures of the boards by a browser without a window: each shows something, at the size of its page."""

from __future__ import annotations

import struct
import threading
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import pytest

from grafana.preview import page, screenshot
from grafana.preview.__main__ import server_of
from tests.grafana.boards.conftest import Boards


def test_each_board_has_a_picture_that_is_not_blank(boards: Boards, tmp_path: Path) -> None:
    """Most lines of pixels differ from each other; a page that failed to draw has lines that are all the same."""
    if screenshot.browser() is None:
        pytest.skip(screenshot.MISSING)
    for one in boards.preview.boards:
        html, picture = tmp_path / f"{one.uid}.html", tmp_path / f"{one.uid}.png"
        html.write_text(boards.preview.page(one, {}))
        screenshot.shoot(html, picture, page.WIDTH, page.height(one))
        width, height, lines = scanlines(picture.read_bytes())
        assert (width, height) == (page.WIDTH, page.height(one))
        assert len(set(lines)) > height / 3, one.uid


def scanlines(png: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height and the lines of a PNG, as they are stored."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height, depth, kind = struct.unpack(">IIBB", png[16:26])
    at, data = 8, b""
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + size]
        at += 12 + size
    raw = zlib.decompress(data)
    length = 1 + width * depth * {2: 3, 6: 4}[kind] // 8
    return width, height, [raw[start : start + length] for start in range(0, len(raw), length)]


def test_the_boards_are_served_on_localhost(boards: Boards) -> None:
    """The overview first; a chosen service and range stay chosen; what is not there is said."""
    with server_of(boards.preview, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        first = urllib.request.urlopen(address, timeout=60).read().decode()
        chosen = urllib.request.urlopen(f"{address}?var-service=helpdesk&range=7d", timeout=60).read().decode()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{address}nothing", timeout=60)
        server.shutdown()
    assert "<h1>Agent cost · Overview</h1>" in first
    assert "Sample data" in first
    assert '<option value="helpdesk" selected>' in chosen
    assert '<option value="7d" selected>' in chosen
    assert "researcher" not in chosen.partition("<main")[2]
