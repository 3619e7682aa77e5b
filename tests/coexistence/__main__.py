"""Prints the table of `docs/neighbours.md`: `python -m tests.coexistence`, or with `--write`, writes it there."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from tests.coexistence.experiment import play
from tests.coexistence.shapes import SHAPES
from tests.coexistence.table import COMPANIES, Table
from tests.support.model_server import ModelServer
from tools.documents import with_block

DOCUMENT = Path(__file__).parents[2] / "docs" / "neighbours.md"


def main() -> None:
    """Plays every scene."""
    table = Table()
    with ModelServer() as server:
        for company in COMPANIES:
            gc.collect()
            gc.freeze()  # scenes collect garbage often: not the SDKs' own objects each time
            for shape in (one for one in SHAPES if one.sdk == company[0].sdk):
                for order in ("theirs first", "ours first"):
                    table.add(company, order, shape, play(company, shape, server, order))
    lines = "".join(f"{line}\n" for line in table.lines())
    if "--write" in sys.argv:
        document = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(with_block(document, "table", lines), encoding="utf-8")
    else:
        sys.stdout.write(lines)


if __name__ == "__main__":
    main()
