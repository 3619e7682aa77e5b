"""The output of `agentcost run`: a line for each call as it ends, and the table of the run."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

from otel_agentcost.cli import _figures
from otel_agentcost.cli._run_process import Setup
from otel_agentcost.cli._shared_ledger import NoSharedLedger, shared_ledger
from otel_agentcost.core.run_tables import VIEWS, Happened, tables
from otel_agentcost.core.spend import Table
from otel_agentcost.errors import AgentCostError
from otel_agentcost.guard.allowances import Allowance, of_ledger, row
from otel_agentcost.guard.ledger import LedgerError
from otel_agentcost.store.questions import Question, Spend, Sums, dollars, shown
from otel_agentcost.store.schema import parse_url
from otel_agentcost.store.sources.sqlite import Called, SqliteSource

_NOTHING_SEEN: Final = (
    "No model or tool call was seen. If the program made some: otel-agentcost has to be installed in the Python that "
    "runs it, and `agentcost doctor` says what is patched there."
)


class LiveView:
    """Prints each call of a run when it is in the store."""

    def __init__(self, setup: Setup, out: TextIO, *, quiet: bool) -> None:
        """Create the view.

        Args:
            setup: The run.
            out: Where the lines go.
            quiet: True to print nothing.
        """
        self._path = parse_url(setup.url).path
        self._session = setup.session
        self._out = out
        self._quiet = quiet
        self._source: SqliteSource | None = None
        self._last = 0
        self._total = Sums()

    def look(self) -> None:
        """Print the calls that are new."""
        if self._quiet or not self._path.is_file():
            return
        try:
            if self._source is None:
                self._source = SqliteSource(self._path)
            for call in self._source.calls(self._session, self._last):
                self._last = call.number
                self._total = self._total.plus(_sums(call))
                print(self._line(call), file=self._out, flush=True)
        except BrokenPipeError:  # nobody reads on
            self._quiet = True
        except (AgentCostError, OSError):  # the program is still making it
            self._source = None

    def _line(self, call: Called) -> str:
        name = f"tool {call.tool}" if call.tool else f"{call.operation} {call.model}"
        who = f"  {shown(call.agent)}" if call.agent else ""
        tokens = "" if call.tool else f"  {call.input:,} in, {call.output:,} out, {call.cache_read:,} cached"
        cost = "free" if call.tool and call.nusd is None and not call.unpriced else dollars(_sums(call))
        failed = f"  {shown(call.error)}" if call.error else ""
        why = f"  {shown(call.unpriced)}" if call.unpriced else ""
        return f"{shown(name)}{who}{tokens}  {cost}  (so far {dollars(self._total)}){failed}{why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run that has ended."""

    command: Sequence[str]
    code: int
    seconds: float
    views: Mapping[str, Spend]
    """What was spent, by agent, model and tool."""
    budgets: Sequence[Allowance]
    events: Sequence[Happened]

    @property
    def total(self) -> Sums:
        """All calls together."""
        return self.views["model"].total

    def of_kind(self, kind: str) -> list[Happened]:
        """Return the events of a kind."""
        return [event for event in self.events if event.kind == kind]

    def tables(self) -> list[Table]:
        """Return the tables of the run."""
        return tables(self.views, list(map(row, self.budgets)), self.events, self.views["model"].reasons)

    def as_json(self) -> dict[str, Any]:
        """Return the run for a program."""
        return {
            "command": list(self.command),
            "exit_code": self.code,
            "seconds": round(self.seconds, 3),
            "total": _figures.as_json(self.total),
            **{f"by_{name}": _figures.lines_json(spend) for name, spend in self.views.items()},
            "budgets": [_figures.allowance_json(each) for each in self.budgets],
            "loops": [_event(each) for each in self.of_kind("loop")],
            "refusals": [_event(each) for each in self.of_kind("refusal")],
            "unpriced": dict(self.views["model"].reasons),
        }


def outcome_of(setup: Setup, command: Sequence[str], code: int, seconds: float) -> Outcome:
    """Return what the store and the ledger have of a run that has ended."""
    views: dict[str, Spend] = {name: Spend((name,), ()) for name in VIEWS}
    events: Sequence[Happened] = ()
    path = parse_url(setup.url).path
    if path.is_file():
        source = SqliteSource(path)
        try:
            for name in VIEWS:
                spend = source.spend(Question(by=(name,), session=setup.session))
                lines = tuple(line for line in spend.lines if name != "tool" or line.keys[0])
                views[name] = Spend(spend.by, lines, spend.reasons)
            events = source.events(Question(session=setup.session))
        finally:
            source.close()
    return Outcome(command=command, code=code, seconds=seconds, views=views, budgets=_budgets(setup), events=events)


def _budgets(setup: Setup) -> Sequence[Allowance]:
    """Return the budgets that the run has used; none if its ledger is gone with it."""
    settings = setup.settings
    if not settings.rules or not isinstance(settings.ledger, str):
        return ()
    try:
        ledger = shared_ledger(settings, "")
    except (LedgerError, NoSharedLedger):
        return ()
    try:
        return of_ledger(settings.rules, ledger, time.time(), settings.time_zone)
    except LedgerError:
        return ()
    finally:
        ledger.close()


def bill(outcome: Outcome, url: str | None) -> str:
    """Return the table of a run.

    Args:
        outcome: The run.
        url: The store that keeps it; None if nothing does.
    """
    command = shlex.join(outcome.command)
    head = f"{shown(command)[:100]}: {dollars(outcome.total, exact=True)} in {outcome.seconds:.1f} s"
    if not any(outcome.total) and not outcome.events:
        return f"\n{head}\n{_NOTHING_SEEN}"
    parts = [head, *(f"{found.title}\n{_figures.text_of(found)}" for found in outcome.tables())]
    if url is not None:
        parts.append(f"Recorded in {url}: agentcost spend shows it again.")
    return "\n" + "\n\n".join(parts)


def _event(event: Happened) -> dict[str, Any]:
    usd = _figures.as_float(event.nusd) if event.nusd is not None else None
    return {"what": event.what, "agent": event.agent or None, "usd": usd}


def _sums(call: Called) -> Sums:
    return Sums(
        calls=int(not call.tool),
        tools=int(bool(call.tool)),
        priced=int(call.nusd is not None),
        unpriced=int(bool(call.unpriced)),
        nusd=call.nusd or 0,
        input=call.input,
        cache_read=call.cache_read,
        output=call.output,
    )
