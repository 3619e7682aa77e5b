"""`agentcost run CMD`: a program under the launcher of OpenTelemetry, with what its calls cost, live and at the end.

The program needs no change and no Collector. It records into the user's store (or a temporary one), which this command
reads: so child processes of the program are seen, too. Everything is printed on standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sqlite3
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from otel_agentcost.cli import _run_process
from otel_agentcost.cli._data_folder import store_url
from otel_agentcost.cli._run_view import LiveView, Outcome, bill, outcome_of
from otel_agentcost.core import money
from otel_agentcost.errors import AgentCostError
from otel_agentcost.settings import from_environment
from otel_agentcost.store.schema import open_for_writing, parse_url

if TYPE_CHECKING:
    from otel_agentcost.cli import Subparsers

SUMMARY = "Run a program, and show what its model and tool calls cost; needs no Collector and no change."
EXAMPLE = "Example: agentcost run --max-usd 0.50 python agent.py"
OVER = 3
"""The exit code of `--fail-over`."""

_LEAST = Decimal("1e-9")


class CannotRun(AgentCostError):
    """The program cannot be started as asked; the text is one sentence that says why."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to `agentcost`."""
    parser = subparsers.add_parser("run", help=SUMMARY, description=SUMMARY, epilog=EXAMPLE)
    parser.add_argument(
        "--max-usd", type=_usd, metavar="USD", help="Refuse model calls that could spend more than this, all together."
    )
    parser.add_argument(
        "--fail-over", type=_usd, metavar="USD", help=f"Exit with {OVER} if more than this was spent, for CI."
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="Also write the figures of the run into this file.")
    parser.add_argument(
        "--no-record", action="store_true", help="Keep nothing. Default: record into OTEL_AGENTCOST_RECORD, or a store "
        "in the folder for your data, for `agentcost spend`."
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="Print nothing.")
    parser.add_argument("program", metavar="CMD", help="The program, such as python.")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="Its arguments.")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the program. Return its exit code, or `OVER`."""
    with tempfile.TemporaryDirectory(prefix="agentcost-") as folder:
        return _run(arguments, Path(folder))


def _run(arguments: argparse.Namespace, folder: Path) -> int:
    command = [arguments.program, *arguments.arguments]
    settings = from_environment()
    record = f"sqlite:///{folder / 'spend.db'}" if arguments.no_record else settings.record or store_url()
    setup = _run_process.setup(os.environ, settings, record, arguments.max_usd, folder)
    _check(parse_url(setup.url).path, arguments.json)
    view = LiveView(setup, sys.stderr, quiet=arguments.quiet)
    began = time.time()
    try:
        code = _run_process.run(command, setup.environment, view.look)
    except FileNotFoundError as error:
        raise CannotRun(f"There is no program {arguments.program!r:.120}: name one as your shell knows it.") from error
    view.look()
    try:
        outcome = outcome_of(setup, command, code, time.time() - began)
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(outcome.as_json(), indent=2) + "\n", encoding="utf-8")
    except (AgentCostError, OSError) as error:  # the exit code is the program's, if it has failed
        _say(f"agentcost run: {error}")
        return code or 2
    if not arguments.quiet:
        _say(bill(outcome, setup.url if not arguments.no_record else None))
    return code or _over(outcome, arguments.fail_over)


def _check(store: Path, figures: Path | None) -> None:
    """Find out before money is spent that the figures of the run can be kept.

    Raises:
        CannotRun: They cannot.
        StoreError: The file is no store of this version.
    """
    try:
        open_for_writing(store).close()
    except (sqlite3.Error, OSError) as error:
        raise CannotRun(f"The spend cannot be recorded into {store} ({error}): set OTEL_AGENTCOST_RECORD.") from error
    if figures is not None and not figures.absolute().parent.is_dir():
        raise CannotRun(f"There is no folder {str(figures.absolute().parent)!r:.200} for --json.")


def _say(text: str) -> None:
    """Print on standard error, whose reader may be gone."""
    with contextlib.suppress(BrokenPipeError):
        print(text, file=sys.stderr, flush=True)


def _over(outcome: Outcome, most: Decimal | None) -> int:
    """Return `OVER` if more than `most` was spent, and say so."""
    spent = outcome.total.usd
    if most is None:
        return 0
    if outcome.total.unpriced > 0:
        _say(f"agentcost run: {outcome.total.unpriced} calls without a price are not in the sum.")
    if spent is None or spent <= most:
        return 0
    _say(f"agentcost run: ${spent.normalize():f} was spent, more than --fail-over {most:f}.")
    return OVER


def _usd(written: str) -> Decimal:
    usd = money.from_number(written.strip().removeprefix("$"))
    if usd is not None and 0 < usd < _LEAST:
        raise argparse.ArgumentTypeError(f"{written!r:.60} is less than a billionth of a US dollar, the least counted")
    if usd is None or not 0 < usd < money.MOST:
        raise argparse.ArgumentTypeError(f"{written!r:.60} is no amount of US dollars: write a number such as 0.50")
    return usd
