"""`agentcost dashboards`: boards and alerts for Grafana, with provisioning, and files for Honeycomb and Datadog.

The command prints and returns an exit code. The files are part of the package; the repository builds them (`grafana/`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from otel_agentcost.cli import Subparsers, write_into
from otel_agentcost.errors import AgentCostError

SUMMARY = "Write the boards and alerts for Grafana, Honeycomb and Datadog."

_PACKAGE = Path(__file__).resolve().parent.parent
_FOLDERS = (_PACKAGE / "boards_data", _PACKAGE.parent / "grafana")
"""The folder of the files in an installed package, and in the repository."""
_NOT_FOR_USERS = {".py", ".pyc", ".png"}


class NoBoards(AgentCostError):
    """The installation has no boards."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to `agentcost`."""
    example = "Example: agentcost dashboards --write ./grafana"
    parser = subparsers.add_parser("dashboards", help=SUMMARY, description=SUMMARY, epilog=example)
    parser.add_argument("--write", type=Path, metavar="DIR", help="The folder for the files; default: list them only.")
    parser.add_argument("--force", action="store_true", help="Replace files even if they were edited.")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the files. Return 1 if some were edited and are therefore kept."""
    made = files()
    folder: Path | None = arguments.write
    if folder is None:
        print(*made, sep="\n")
        return 0
    code = write_into(folder, made, force=arguments.force)
    print(f"In Grafana 10.4 or newer: Dashboards, New, Import, and upload a file of {folder / 'dashboards'}.")
    return code


def files() -> dict[str, str]:
    """Return the text of each file, by its path.

    Raises:
        NoBoards: The installation has no boards.
    """
    for folder in _FOLDERS:
        if (folder / "dashboards").is_dir():
            return {
                path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
                for path in sorted(folder.rglob("*"))
                if path.is_file() and path.suffix not in _NOT_FOR_USERS
            }
    raise NoBoards("This installation has no boards: install otel-agentcost from a release, or from the repository.")
