"""What docs/architecture.md says of the files that one call passes."""

from __future__ import annotations

import re
import subprocess
import sys

from tools import documents


def test_the_page_counts_the_files_of_a_call() -> None:
    """As `make walk` counts them."""
    script = documents.ROOT / "tools" / "walk.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    ((files, rooms),) = re.findall(r"^openai chat +\d+ +\d+ +(\d+) +\d+ +\d+ +(\d+)$", done.stdout, re.MULTILINE)
    page = (documents.ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert f"{files} files for an OpenAI chat, in {rooms} rooms" in page
