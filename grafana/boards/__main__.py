"""`python -m grafana.boards [FOLDER]`: write the boards into a folder (default: `grafana/dashboards`)."""

from __future__ import annotations

import sys
from pathlib import Path

from grafana.boards import budgets, opportunities, overview, runs

COMMITTED = Path(__file__).resolve().parent.parent / "dashboards"
BOARDS = (overview.BOARD, runs.BOARD, budgets.BOARD, opportunities.BOARD)


def files() -> dict[str, str]:
    """Return the text of each file by its name."""
    return {f"{board.uid}.json": board.json() for board in BOARDS}


def main(folder: Path) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else COMMITTED)
