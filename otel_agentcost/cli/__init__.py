"""The command `agentcost`. Each module and package of this folder is one subcommand of the same name.

In the name of the subcommand, `_` becomes `-`. A leading `_` marks a helper module, which is no subcommand. The module
of a subcommand has a function `add_parser(subparsers)`. It adds a parser and sets its default `run`: a function that
takes the parsed arguments and returns an exit code. `main` lists the folder to find the modules, and imports only the
module that the command line names. A module imports its own dependencies when its command runs. An error is one
sentence on stderr, with exit code 2.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TypeAlias

from otel_agentcost._version import __version__
from otel_agentcost.errors import AgentCostError

__all__ = ["Subparsers", "main", "write_into"]

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001
"""The argument of `add_parser`. argparse has no public name for this type."""


def write_into(folder: Path, made: Mapping[str, str], *, force: bool) -> int:
    """Write files and print a line for each of them.

    Args:
        folder: The folder to write into; it is created if it does not exist.
        made: Text by path, relative to `folder`.
        force: True to replace files that the user has changed.

    Returns:
        The exit code: 1 if a changed file was kept, else 0.

    Raises:
        CannotWrite: A file cannot be written.
    """
    from otel_agentcost.cli._file_writer import write  # noqa: PLC0415 (only two commands need it)

    kept = write(made, folder, force=force)
    for name in made:
        if name not in kept:
            print(f"wrote {folder / name}")
    for name in kept:
        print(f"kept {folder / name}: it was changed (--force replaces it)")
    return 1 if kept else 0


def main(argv: list[str] | None = None) -> int:
    """Run one command line.

    Args:
        argv: The arguments, without the name of the program. Default: those of the process.

    Returns:
        The exit code: 2 after an error, 130 after an interrupt, else the exit code of the command.

    Raises:
        SystemExit: After `--help` or `--version`, or if the arguments are invalid.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = _parser(argv[0] if argv else "")
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output, such as `| head`, has closed it. Without this, Python reports that again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (AgentCostError, OSError) as error:
        print(f"agentcost {arguments.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return code


def _parser(first: str) -> argparse.ArgumentParser:
    """Return a parser for the command named `first`, or for all commands if there is no command of that name."""
    parser = argparse.ArgumentParser(prog="agentcost", description="What AI agents cost, on OpenTelemetry.")
    version = f"otel-agentcost {__version__}"
    parser.add_argument("--version", action="version", version=version, help="Show the version.")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    names = [module.name for module in iter_modules(__path__) if not module.name.startswith("_")]
    modules = {name.replace("_", "-"): name for name in names}
    for name in [modules[first]] if first in modules else sorted(modules.values()):
        import_module(f"{__name__}.{name}").add_parser(subparsers)
    return parser
