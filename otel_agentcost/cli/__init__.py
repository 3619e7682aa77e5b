"""The command `agentcost`. Each module of this folder is one subcommand of the same name (`_` becomes `-`).

Such a module has `add_parser(subparsers)`, which adds its parser and sets the default `run`: a function from the parsed
arguments to an exit code. Modules are found by listing the folder, and only those that a command line needs are
imported; what a command works with it imports when it runs. What goes wrong is one sentence on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, TypeAlias, cast

from otel_agentcost._version import __version__
from otel_agentcost.errors import AgentCostError

__all__ = ["Subparsers", "main", "write_into"]

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001
"""What `add_parser` is given (argparse has no public name for it)."""


def write_into(folder: Path, made: Mapping[str, str], *, force: bool) -> int:
    """Writes files, and says which, for the commands that do; returns 1 where some were changed, and left alone."""
    from otel_agentcost.cli._file_writer import write  # noqa: PLC0415 (for two commands only)

    kept = write(made, folder, force=force)
    for name in made:
        if name not in kept:
            print(f"wrote {folder / name}")
    for name in kept:
        print(f"left alone: {folder / name} is there and different (--force replaces it)")
    return 1 if kept else 0


def main(argv: list[str] | None = None) -> int:
    """Runs one command line; returns the exit code. `--help`, `--version` and misuse leave through SystemExit."""
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
        # The reader of our output (`| head`) has seen enough. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (AgentCostError, OSError) as error:
        print(f"agentcost {arguments.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return code


class _Parser(argparse.ArgumentParser):
    """Speaks of itself in sentences, like everything else that the command line says."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, add_help=False)
        self.add_argument("-h", "--help", action="help", help="Show this help.")


def _parser(first: str) -> argparse.ArgumentParser:
    """The parser of the command that the first word names; of all commands, where it names none."""
    parser = _Parser(prog="agentcost", description="What AI agents cost, on OpenTelemetry.")
    version = f"otel-agentcost {__version__}"
    parser.add_argument("--version", action="version", version=version, help="Show the version.")
    subparsers = cast("Subparsers", parser.add_subparsers(dest="command", metavar="COMMAND", title="commands"))
    names = [module.name for module in iter_modules(__path__) if not module.name.startswith("_")]
    modules = {name.replace("_", "-"): name for name in names}
    for name in [modules[first]] if first in modules else sorted(modules.values()):
        import_module(f"{__name__}.{name}").add_parser(subparsers)
    return parser
