"""`agentcost dashboards`: the boards for Grafana, with alerts, provisioning, and what Honeycomb and Datadog need.

Prints and returns an exit code. The files are made elsewhere, from the table of signals, and come with the package.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from otel_agentcost.cli import Subparsers, write_into
from otel_agentcost.errors import AgentCostError

SUMMARY = "Write the Grafana boards and alerts, and the files for Honeycomb and Datadog."

_PACKAGE = Path(__file__).resolve().parent.parent
_FOLDERS = (_PACKAGE / "boards_data", _PACKAGE.parent / "grafana")
"""Where the files are: in an installed package, and in the repository."""
_NOT_FOR_USERS = {".py", ".pyc", ".png"}


class NoBoards(AgentCostError):
    """The package was built without the boards."""


def add_parser(subparsers: Subparsers) -> None:
    """Adds the subcommand to `agentcost`."""
    example = "Example: agentcost dashboards --write ./grafana"
    parser = subparsers.add_parser("dashboards", help=SUMMARY, description=SUMMARY, epilog=example)
    parser.add_argument("--write", type=Path, metavar="DIR", help="The folder for the files. Default: only list them.")
    parser.add_argument("--force", action="store_true", help="Also replace files that you changed.")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes the files; returns 1 where some were changed by somebody, and left alone."""
    made = files()
    folder: Path | None = arguments.write
    if folder is None:
        print(*made, sep="\n")
        return 0
    code = write_into(folder, made, force=arguments.force)
    print(f"In Grafana 10.4 or newer: Dashboards, New, Import, and upload a file of {folder / 'dashboards'}.")
    return code


def files() -> dict[str, str]:
    """The text of each file, by its path. Raises NoBoards."""
    for folder in _FOLDERS:
        if (folder / "dashboards").is_dir():
            return {
                path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
                for path in sorted(folder.rglob("*"))
                if path.is_file() and path.suffix not in _NOT_FOR_USERS
            }
    raise NoBoards("This installation has no boards: install otel-agentcost from a release or from its repository.")
