"""The preview's pictures and pages of the boards."""

from __future__ import annotations

import struct
import threading
import urllib.error
import urllib.request
import zlib

import pytest

from grafana.preview import picture
from grafana.preview.__main__ import server_of
from tests.dashboards.boards.conftest import Boards


def test_each_board_has_a_picture_that_is_not_blank(boards: Boards) -> None:
    """Most rows of pixels differ from each other; in a blank picture all rows are equal."""
    for one in boards.preview.boards:
        width, height, lines = scanlines(boards.preview.picture(one))
        assert width == picture.WIDTH
        assert height > 38 * max(panel.y + panel.h for panel in one.panels)
        assert len(set(lines)) > height / 3, one.uid


def scanlines(png: bytes) -> tuple[int, int, list[bytes]]:
    """Return width, height and the rows of a PNG as stored."""
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
    """The overview is the start page; a chosen service and range stay selected; an unknown board is a 404."""
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
