"""A picture of a page, by a browser without a window: chromium, where it is found."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

MISSING = "no chromium is on the path: apt install chromium"


def browser() -> str | None:
    """The browser."""
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return next(filter(None, found), None)


def shoot(page: Path, picture: Path, width: int, height: int) -> None:
    """Writes the picture of a page as PNG. Raises RuntimeError with what the browser says where there is none."""
    program = browser()
    if program is None:
        raise RuntimeError(MISSING)
    with tempfile.TemporaryDirectory() as profile:
        command = [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            f"--user-data-dir={profile}", f"--window-size={width},{height}", f"--screenshot={picture}",
            page.resolve().as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if not picture.exists():
        raise RuntimeError(f"the browser made no picture: {done.stderr[-1000:]}")
