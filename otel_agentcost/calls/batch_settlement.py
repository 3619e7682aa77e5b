"""The settlement of batches: lines are priced, counted once by the ledger, and what it has counted is charged.

Only the ledger knows which lines were counted before, here or in another process. Without its answer nothing is
charged, and the lines are counted when they are read again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar, cast

from otel_agentcost.calls import pricing
from otel_agentcost.calls.admission import Gates
from otel_agentcost.calls.scopes import new_id
from otel_agentcost.core import money
from otel_agentcost.core.batch import TERMS, BatchVerbs, KeptBatch, batch_verbs
from otel_agentcost.core.batch_record import BatchRecord
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.cost import FREE, Cost
from otel_agentcost.core.ledger import MOST, Amounts, Ledger
from otel_agentcost.core.notes import NoteVerbs, keeps_notes
from otel_agentcost.core.usage import NO_TOKENS, NOTHING, Tokens
from otel_agentcost.diagnostics import report, warn_once
from otel_agentcost.guard import CallFacts, forks
from otel_agentcost.guard.executor import run_to_its_end, submit
from otel_agentcost.guard.ledger import LedgerError
from otel_agentcost.guard.types import Level
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.telemetry.recorder import Recorder
from otel_agentcost.telemetry.run_context import Run
from otel_agentcost.telemetry.spans import Spans
from otel_agentcost.wire import load
from otel_agentcost.wire.batch_api import BatchLine, format_of_line
from otel_agentcost.wire.format import ModelRequest

_T = TypeVar("_T")

OPERATION = "settle_batch"
"""`gen_ai.operation.name` of a settlement."""

_OF_THE_BATCH = ("processing", "service_tier")
"""Terms that a line may state too. Its price is that of the batch."""


class Steps:
    """Actions that run one after the other, in whatever thread: a batch is named before its results are looked up."""

    def __init__(self) -> None:
        self._steps: deque[Callable[[], object]] = deque()
        self._lock = threading.Lock()
        self._runner: int | None = None
        """The thread that runs actions now."""
        forks.watch(self)

    def after_fork(self) -> None:
        """Leave the actions to the parent, and replace the lock, which one of its threads may hold."""
        self._steps.clear()
        self._lock = threading.Lock()
        self._runner = None

    def add(self, step: Callable[[], object]) -> None:
        """Add an action, which must not raise."""
        self._steps.append(step)

    def run(self) -> None:
        """Run the actions that were added up to now. An action may add others: they run after it."""
        if self._runner == threading.get_ident():
            return  # the loop below, which runs the action that called this, goes on with what it has added
        with self._lock:
            self._runner = threading.get_ident()
            try:
                while self._steps:
                    self._steps.popleft()()
            finally:
                self._runner = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Books:
    """The parts that settle batches."""

    ledger: Ledger
    gates: Gates
    """The budgets. They have the ledger too, once there are any."""
    book: PriceBook
    spans: Spans
    recorder: Recorder
    clock: Callable[[], float]
    """Returns the time in seconds since the epoch."""
    reserves: bool
    """True if batches reserve their worst case."""
    runs: dict[str, tuple[Run, ...]] = field(default_factory=dict[str, tuple[Run, ...]])
    """The runs that batches of this process were created in, by the key of the batch."""
    steps: Steps = field(default_factory=Steps)

    def ask(self, verb: Callable[[BatchVerbs], _T]) -> _T:
        """Return the answer of the ledger. Raises `LedgerError` if it is down."""
        gate = self.gates.gate
        return gate.guard.ledger.ask(verb) if gate is not None else verb(batch_verbs(self.ledger))

    def ask_notes(self, verb: Callable[[NoteVerbs], _T]) -> _T:
        """Return the answer of the ledger, which keeps notes. Raises `LedgerError` if it is down."""
        gate, ledger = self.gates.gate, cast("object", self.ledger)
        if gate is not None:
            return gate.guard.ledger.ask_notes(verb)
        if not keeps_notes(ledger):
            raise LedgerError("it keeps no notes")
        return verb(ledger)

    def run(self, action: Callable[[], object]) -> None:
        """Run an action that asks the ledger, in a thread if it could block an event loop. Errors are logged."""
        self.steps.add(partial(_guarded, action))
        gate, awaited = self.gates.gate, _awaited.get()
        if gate is None:
            self.steps.run()
        elif awaited is not None and gate.guard.blocks_here():
            awaited.append(self.steps.run)
        else:
            gate.guard.run_without_blocking(self.steps.run)


class Awaiting:
    """A place that can wait for what is settled in it: a context manager. An event loop goes on meanwhile."""

    __slots__ = ("_actions",)

    def __enter__(self) -> Awaiting:  # noqa: PYI034 (`Self` needs Python 3.11)
        self._actions: list[Callable[[], object]] = []
        _awaited.set(self._actions)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        _awaited.set(None)
        if kind is not None:  # the application does not wait then
            for action in self._actions:
                submit(action)

    async def settled(self) -> None:
        """Settle it, in a thread."""
        for action in self._actions:
            await run_to_its_end(action)


_awaited: ContextVar[list[Callable[[], object]] | None] = ContextVar("agentcost_awaited", default=None)


def _guarded(action: Callable[[], object]) -> None:
    try:
        action()
    except LedgerError as error:
        warn_once(
            "batches: ledger",
            f"otel-agentcost: the ledger does not answer ({error!s:.200}), so a batch or an answer was not kept, or "
            "its results are not counted yet. Answers are when it answers again; batches when their results are read "
            "again, also with `agentcost batches settle`.",
        )
    except Exception as bug:  # the application reads its results all the same
        report("settling a batch, or an answer in the background", bug)


class _Priced(NamedTuple):
    """One line with its cost."""

    requested: str | None
    served: str | None
    tokens: Tokens
    counted: bool
    """True if the line has a usage."""
    cost: Cost

    @property
    def amounts(self) -> Amounts:
        usd = self.cost.usd
        nano = 0 if usd is None else min(MOST, max(0, money.to_nano(usd)))
        return {"nano_usd": nano, "tokens": min(MOST, self.tokens.input + self.tokens.output)}


@dataclass(slots=True)
class _Sum:
    """The cost of the lines of one model together."""

    lines: int = 0
    tokens: Tokens = NO_TOKENS
    counted: bool = False
    cost: Cost = FREE
    priced: bool = False
    unpriced: str | None = None

    def add(self, line: _Priced) -> None:
        self.lines += 1
        self.tokens = Tokens(*map(sum, zip(self.tokens, line.tokens, strict=True)))
        self.counted |= line.counted
        self.unpriced = self.unpriced or line.cost.unpriced
        if line.cost.usd is not None:
            self.priced = True
            self.cost += line.cost

    def whole(self) -> Cost:
        """Return the cost of the lines together; a lower bound if some of them have none."""
        return self.cost._replace(unpriced=self.unpriced) if self.priced else Cost(unpriced=self.unpriced)


class Settlement:
    """The settlement of one reading. Its steps run one after the other, in any thread."""

    def __init__(self, books: Books, names: Sequence[str]) -> None:
        """Begin a settlement.

        Args:
            books: The parts that it needs.
            names: What the ledger may call the batch.
        """
        self._books = books
        self._names = names
        self._kept: KeptBatch | None = None
        self._record: BatchRecord | None = None
        self._sums: dict[tuple[str | None, str | None], _Sum] = {}
        self._levels: list[Level] = []
        self._failed = False

    def add(self, lines: Sequence[BatchLine]) -> None:
        """Count lines of the results. Raises `LedgerError` if the ledger is down: they stay uncounted."""
        record, failed = self._found(), self._failed
        if record is None or self._kept is None or not self._kept.open:
            return
        self._failed = True
        priced = {line.id: self._priced(record, line) for line in lines}
        by_model: dict[str | None, dict[str, Amounts]] = {}
        for name, line in priced.items():
            by_model.setdefault(line.requested, {})[name] = line.amounts
        for model, amounts in by_model.items():
            for name in self._count(record, self._kept.key, model, amounts):
                line = priced[name]
                self._sums.setdefault((line.requested, line.served), _Sum()).add(line)
        self._failed = failed

    def end(self, *, complete: bool) -> None:
        """Charge what was counted. After all lines (`complete`), the batch is closed."""
        record = self._found()
        if record is None or self._kept is None:
            return
        closed = complete and not self._failed and self._kept.open and self.close()
        billed = {models: sum_ for models, sum_ in self._sums.items() if sum_.counted or sum_.priced or sum_.unpriced}
        for number, ((requested, served), found) in enumerate(billed.items()):
            first = number == 0
            self._charge(
                record, requested, served, found, closed=closed and first, levels=self._levels if first else ()
            )
        self._sums.clear()

    def close(self) -> bool:
        """Close the batch and drop its reservation. Returns True for the one that has closed it."""
        record, books = self._found(), self._books
        if record is None or self._kept is None or not self._kept.open:
            return False
        key, now, gate = self._kept.key, books.clock(), books.gates.gate
        closed = books.ask(lambda ledger: ledger.close_batch(key, now=now))
        if closed and record.hold is not None and gate is not None:
            gate.guard.end_hold(record.hold, _facts(record, record.requested(None), now), now)
        return closed

    def _found(self) -> BatchRecord | None:
        """Return the batch as the ledger has it; None if it does not know it."""
        if self._record is None:
            now = self._books.clock()
            for name in self._names:
                self._kept = self._books.ask(partial(_find, name, now))
                if self._kept is not None:
                    self._record = BatchRecord.read(self._kept.record)
                    break
        return self._record

    def _count(
        self, record: BatchRecord, key: str, model: str | None, amounts: Mapping[str, Amounts]
    ) -> frozenset[str]:
        now, gate = self._books.clock(), self._books.gates.gate
        if gate is None:
            return self._books.ask(lambda ledger: ledger.count_lines(key, (), amounts, now=now)).lines
        lines, levels = gate.guard.count_lines(key, _facts(record, model, now), amounts, now)
        self._levels += levels
        return lines

    def _priced(self, record: BatchRecord, line: BatchLine) -> _Priced:
        """Return the price of one line, at the prices of batches on the day of its creation."""
        if line.response is None:
            return _Priced(None, None, NO_TOKENS, counted=False, cost=Cost())
        form, path = load(format_of_line(record.path)), record.path
        model = line.model or record.requested(None)
        if path.startswith(":"):  # the path of Gemini's requests has the model
            path = f"models/{model}{path}"
        call = form.read_request({"model": model}, path)
        answer = form.read_response(call, line.response)
        requested = line.model or record.requested(answer.model)
        if requested != call.model:
            call = call._replace(model=requested, body=None)
        terms = tuple(term for term in answer.terms if term[0] not in _OF_THE_BATCH)
        answer = answer._replace(terms=terms)
        request = ModelRequest(call=call._replace(terms=TERMS, asked_terms=()), endpoint=record.endpoint, format=form)
        cost = pricing.cost_of(self._books.book, request, answer, at=record.at, failed=False)
        return _Priced(requested or answer.model, answer.model, answer.tokens(), answer.usage is not None, cost)

    def _charge(
        self,
        record: BatchRecord,
        requested: str | None,
        served: str | None,
        found: _Sum,
        *,
        closed: bool,
        levels: Sequence[Level],
    ) -> None:
        """Charge the lines of one model: a span, metrics, the runs of the batch, and the totals around the reading."""
        books, cost = self._books, found.whole()
        resolves = closed and cost.unpriced is None
        call = Call(operation=OPERATION, model=requested)
        account = books.spans.settling(call, record.attributes, record.attribution, record.span)
        try:
            if books.gates.gate is not None:
                for level in levels:
                    books.gates.gate.reports.level(account.span, *level)
            key = self._kept.key if self._kept is not None else ""
            values = frozenset(record.runs)
            runs = books.runs.get(key) or tuple(run for run in account.runs if run.value in values)
            labels = books.recorder.model_labels(OPERATION, record.provider, requested, served)
            tokens = found.tokens if found.counted else None
            books.recorder.charge_batch(account, runs, labels, tokens, cost, resolves=resolves)
        finally:
            answer = Answer(usage=NOTHING if found.counted else None, model=served, response_id=record.id)
            account.close_batch(answer, found.tokens, cost, found.lines, resolves=resolves)


def _find(name: str, now: float, ledger: BatchVerbs) -> KeptBatch | None:
    return ledger.find_batch(name, now=now)


def _facts(record: BatchRecord, model: str | None, now: float) -> CallFacts:
    return CallFacts(
        call_id=new_id(),
        call=Call(operation=OPERATION, model=model),
        scopes=record.scopes,
        price=lambda _usage, _model: FREE,
        now=now,
        allowances=record.allowances,
    )
