"""Admission: check a call against its budgets, and apply their decision to the call.

`Gate.admit` is the step of the pipeline that raises `BudgetExceeded`. Any other error in this module is logged, and the
call is made. The guard decides; telemetry reports.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import NamedTuple, NoReturn

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

from otel_agentcost.calls.batch_reservation import Uploads, reserve_batch
from otel_agentcost.calls.circuit import Breaking
from otel_agentcost.calls.named_rules import NamedRules
from otel_agentcost.calls.passage import Passage
from otel_agentcost.calls.pricing import WorstCasePrice
from otel_agentcost.calls.scopes import SCOPES, new_id, scopes_of, trace_id_of
from otel_agentcost.calls.streams import Feed
from otel_agentcost.calls.work import Work
from otel_agentcost.core import money, semconv
from otel_agentcost.core.breakers import Breaker
from otel_agentcost.core.budgets import Budget, Scope
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.cost import FREE, Cost
from otel_agentcost.core.usage import Usage
from otel_agentcost.diagnostics import complete, foreign, report, reraise_foreign, warn_once
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.guard import CallFacts, Guard, Refused, Ticket, both_ends, forks
from otel_agentcost.guard.both_ends import Made
from otel_agentcost.guard.ledger import MOST, LedgerError
from otel_agentcost.guard.marks import Mark
from otel_agentcost.guard.reservation import reservation_for
from otel_agentcost.guard.stream_meter import Meter
from otel_agentcost.guard.types import Counted
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.telemetry import attribution, blocks, rollup, run_context
from otel_agentcost.telemetry.budget_events import BudgetReports
from otel_agentcost.telemetry.run_context import Run
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire import AnswerReader
from otel_agentcost.wire.format import ModelRequest

_FREE_OPERATIONS = frozenset({"moderation"})
"""Operations that no provider charges for: they are always admitted."""

_AGENT_SCOPES: Mapping[Scope, str] = {"agent": semconv.AGENT, "conversation": semconv.CONVERSATION}
"""The scopes that agents of frameworks set, with their attributes."""

_NO_CALL = Call(operation="", model=None)

Allowances = tuple[tuple[Budget, str], ...]


class Gates:
    """The gate of one `instrument()`, which is opened when the first budget needs it."""

    def __init__(self, open_gate: Callable[[], Gate]) -> None:
        """Create the object. `open_gate` makes the gate and opens the ledger, which may take time."""
        self._open = open_gate
        self._lock = threading.Lock()
        self.gate: Gate | None = None
        """The open gate; None if nothing is limited yet."""
        forks.watch(self)

    def after_fork(self) -> None:
        """Replace the lock: a thread of the parent may hold it for as long as a ledger takes to answer."""
        self._lock = threading.Lock()

    def open(self) -> Gate:
        """Return the gate, opened now if it is not open yet."""
        with self._lock:
            if self.gate is None:
                self.gate = self._open()
            return self.gate


class Saved(NamedTuple):
    """The amount in US dollars that a downgrade saved, and both models."""

    usd: Decimal
    requested: str | None
    served: str


class Gate:
    """Admits calls. One for each `instrument()` under which a budget applies, or a run has an allowance."""

    def __init__(  # noqa: PLR0913 (one argument for each part)
        self,
        guard: Guard,
        book: PriceBook,
        reports: BudgetReports,
        defaults: Mapping[str, str],
        breakers: Sequence[Breaker] = (),
        circuit: Breaking | None = None,
        *,
        work: Work,
        clock: Callable[[], float] = time.time,
        call_ids: Callable[[], str] = new_id,
    ) -> None:
        """Assemble a gate.

        Args:
            guard: Decides by the budgets.
            book: Prices the worst case of a call.
            reports: Reports refusals and levels to telemetry.
            defaults: The environment's attribution.
            breakers: The rules of the circuit breakers.
            circuit: The circuit breakers in front of the guard; None where there are none.
            work: Names the traces of calls.
            clock: Returns the time in seconds since the epoch.
            call_ids: Returns an id that no other process uses.
        """
        attributed = {scope for _, scope in SCOPES}
        self._rules: tuple[Budget | Breaker, ...] = (*guard.budgets, *breakers)
        downgrades = any(guard.policy.action(budget) == "downgrade" for budget in guard.budgets)
        self._named = NamedRules(self._rules, guard.policy.downgrade if downgrades else None)
        self._each: set[Scope] = {rule.scope for rule in self._rules if rule.scope in attributed and rule.name is None}
        """Scopes in which each value has a budget or a breaker, and all calls so far had a value."""
        self._each_of_tools: set[Scope] = {
            rule.scope for rule in guard.budgets if rule.scope in self._each and "tool_calls" in rule.limits
        }
        """Those among them in which each value has a limit of tool calls."""
        self.carries = guard.ledger.wrapped.shared
        """True if other processes share the ledger, so that runs count there too."""
        self._of_agents = tuple(rule for rule in guard.budgets if rule.scope in _AGENT_SCOPES)
        self.guard = guard
        self.reports = reports
        self.clock = clock
        self._circuit = circuit
        self._book = book
        self.uploads: Uploads = {}
        """The worst cases of the files that this process has uploaded for batches, by the id of the file."""
        self._defaults = defaults
        self._call_ids = call_ids
        self._work = work

    # --- model calls ---

    def admit(
        self, request: ModelRequest, record: Record, at: float, passage: Passage | None = None
    ) -> Admission | None:
        """Admit a call; blocks this thread while it waits for reserved budget.

        Args:
            request: The request.
            record: The span of the call.
            at: When the call was made, in seconds since the epoch.
            passage: The marks that it has received and passes on; None if there are none.

        Returns:
            The reservation of the call; None if no budget applies, or if checking the budgets failed.

        Raises:
            BudgetExceeded: The call is refused.
        """
        if self.carries and passage is not None and passage.covers and passage.mark is not None:
            passage.confirmed(self.guard.confirms(passage.mark, passage.taker, at), self.guard.unconfirmed, at)
        facts = self._facts_of(request, record, at, passage)
        if facts is None:
            return None
        try:
            return self._decided(self.ask(facts, record.span), facts, record.span)
        except BaseException as error:  # of others too: they can interrupt a reservation
            self._not_decided(error, facts, record.span)
            return None

    async def admit_async(
        self, request: ModelRequest, record: Record, at: float, passage: Passage | None = None
    ) -> Admission | None:
        """Do the same as `admit`, without blocking the event loop."""
        if passage is not None and passage.mark is not None and passage.covers and self.carries:
            confirmed = await self.guard.confirms_async(passage.mark, passage.taker, at)
            passage.confirmed(confirmed, self.guard.unconfirmed, at)
        facts = self._facts_of(request, record, at, passage)
        if facts is None:
            return None
        try:
            return self._decided(await self.ask_async(facts, record.span), facts, record.span)
        except BaseException as error:  # of others too: they can interrupt a reservation
            self._not_decided(error, facts, record.span)
            return None

    def ask(self, facts: CallFacts, span: Span, *, wait: bool = True) -> Ticket | Refused:
        """Return the decision of the circuit breakers and the budgets. Waits only if `wait`."""
        if self._circuit is not None:
            return self._circuit.admit(facts, span, wait=wait)
        return self.guard.admit(facts, wait=wait)

    async def ask_async(self, facts: CallFacts, span: Span) -> Ticket | Refused:
        """Return the decision of the circuit breakers and the budgets, without blocking the event loop."""
        if self._circuit is not None:
            return await self._circuit.admit_async(facts, span)
        return await self.guard.admit_async(facts)

    def fits(self, request: ModelRequest, at: float) -> bool:
        """Return True if a call with this request would be admitted now. Reserves nothing, and waits for nothing."""
        ctx = blocks.here()
        span = trace.get_current_span(ctx)
        try:
            who = attribution.current(ctx, self._defaults, rollup.tally_of(span))
            price = WorstCasePrice(self._book, request, at)
            facts = replace(self.facts_of_span(request.call, span, ctx, who, price), format=request.format)
            decision = self.guard.admit(facts, wait=False)
            if isinstance(decision, Ticket):
                self.guard.release(decision, self.clock())
        except Exception as bug:  # of a ledger: the input is sent, as without budgets
            report("checking budgets", bug)
            return True
        return isinstance(decision, Ticket) and decision.model is None and decision.max_output_tokens is None

    def admit_unasked(
        self, request: ModelRequest, record: Record, at: float
    ) -> tuple[Admission | None, BudgetExceeded | None]:
        """Admit an answer that the provider has begun by itself, without waiting.

        Args:
            request: The request that the answer would have.
            record: The span of its call.
            at: When it began, in seconds since the epoch.

        Returns:
            The admission of the call, and the error if a budget refuses it: the call then counts without a reservation.
        """
        facts = self._facts_of(request, record, at, None)
        if facts is None:
            return None, None
        try:
            decision = self.ask(facts, record.span, wait=False)
            refused = decision.error if isinstance(decision, Refused) else decision.fallback_error
            if refused is None:
                return self._decided(decision, facts, record.span), None
            if isinstance(decision, Ticket):  # admitted with another model or limit: too late for that
                self.guard.release(decision, self.clock())
            self.reports.refused(record.span, refused, "block")
            return Admission(self, facts, self.guard.without_reservation(facts, facts.call.model)), refused
        except BaseException as error:  # of others too: they can interrupt a reservation
            self._not_decided(error, facts, record.span)
            return None, None

    def loop_detected(self, record: Record, at: float, *, new: bool) -> None:
        """Report a loop to the circuit breakers. `new`: the loop counts as another one."""
        if self._circuit is None:
            return
        try:
            scopes = scopes_of(self._work.trace_of(record), record.attribution)
            self._circuit.loop_detected(scopes, record.span, at, new=new)
        except Exception as bug:
            report("reporting a loop to the circuit breakers", bug)

    def cache_broken(self, record: Record, at: float) -> None:
        """Report a broken prompt cache to the circuit breakers."""
        if self._circuit is None:
            return
        try:
            self._circuit.cache_broken(scopes_of(self._work.trace_of(record), record.attribution), record.span, at)
        except Exception as bug:
            report("reporting a broken prompt cache to the circuit breakers", bug)

    def _facts_of(self, request: ModelRequest, record: Record, at: float, passage: Passage | None) -> CallFacts | None:
        if request.call.operation in _FREE_OPERATIONS:
            return None
        try:
            trace_id = trace_id_of(record.span)
            price = WorstCasePrice(self._book, request, at)
            facts = CallFacts(
                call_id=self._call_ids(),
                call=request.call,
                format=request.format,
                scopes=scopes_of(self._work.trace_of(record), record.attribution),
                price=price,
                rates=price.of_text,
                now=at,
                allowances=self._allowances(record.runs, record.context, record.attribution),
                trace_id=trace_id,
            )
            if request.format.batches is not None:
                reserve_batch(facts, request, self._book, self.guard.policy, self.uploads)
            if passage is not None:
                passage.tell(facts, shared=self.carries)
        except Exception as bug:
            report("checking budgets", bug)
            return None
        return facts

    def _allowances(self, around: tuple[Run, ...], ctx: Context, who: Mapping[str, str]) -> Allowances:
        own = tuple((run.budget, run.value) for run in around if run.budget is not None)
        if self._of_agents:
            own += self._of_enclosing_agents(ctx, who)
        return (*own, *run_context.carried(ctx, around)) if self.carries else own

    def whose(self, record: Record) -> tuple[Mapping[Scope, str], Allowances]:
        """Return the scopes of a call and the budgets of its runs and agents, for what it starts and others bill."""
        own = self._allowances(record.runs, record.context, record.attribution)
        return scopes_of(self._work.trace_of(record), record.attribution), own

    def _of_enclosing_agents(self, ctx: Context, who: Mapping[str, str]) -> Allowances:
        """Return the budgets of the agents around the one that makes the call: it shares their allowances."""
        agents = attribution.enclosing_agents(ctx, rollup.tally_of(trace.get_current_span(ctx)))
        found: list[tuple[Budget, str]] = []
        for rule in self._of_agents:
            attribute = _AGENT_SCOPES[rule.scope]
            names = dict.fromkeys(agent[attribute] for agent in agents if attribute in agent)
            names.pop(who.get(attribute, ""), None)  # the call counts there by its own attribution
            found += [(rule, name) for name in names if rule.name in (None, name)]
        return tuple(found)

    def _not_decided(self, error: BaseException, facts: CallFacts, span: Span) -> None:
        """Give back whatever `error` has left reserved. Raises it again unless it is a failure of this package."""
        if isinstance(error, BudgetExceeded) and not foreign(error):
            raise error  # a refusal: nothing is reserved
        complete(partial(self.guard.run_without_blocking, partial(self.guard.give_back, facts)))
        if not isinstance(error, Exception):
            raise error
        self._unguarded(span, error)

    def _unguarded(self, span: Span, bug: Exception) -> None:
        report("checking budgets", bug)
        self.reports.unenforced(span, f"otel-agentcost failed ({type(bug).__name__})")

    def _decided(self, decision: Ticket | Refused, facts: CallFacts, span: Span) -> Admission:
        if self._named.open:
            self._named.called(facts.scopes, facts.call.model, [budget for budget, _ in facts.allowances])
        if isinstance(decision, Refused):
            self.refuse(span, decision)
        try:
            if self._each and not self._each <= facts.scopes.keys():
                self._warn_of_missing_scopes(self._each - facts.scopes.keys())
            if decision.unpriced or decision.unenforced or decision.waited or decision.over:
                self._report_decision(span, decision, facts)
        except Exception as bug:
            report("reporting an admission", bug)
        return Admission(self, facts, decision)

    def refuse(self, span: Span, refused: Refused) -> NoReturn:
        """Report a refusal and raise its `BudgetExceeded`."""
        try:
            self.reports.refused(span, refused.error, refused.action)
        except Exception as bug:
            report("reporting a refusal", bug)
        raise refused.error

    def _warn_of_missing_scopes(self, unnamed: AbstractSet[Scope]) -> None:
        """Warn, once, of calls without a user (agent, tenant ...) where each user has a budget or a breaker."""
        self._each = self._each - unnamed  # warned once: nothing more to look for
        for scope in unnamed:
            rules = "; ".join(rule.text for rule in self._rules if rule.scope == scope)
            kind = "budget" if any(budget.scope == scope for budget in self.guard.budgets) else "circuit breaker"
            named = f"an {scope}" if scope == "agent" else f"a {scope}"
            warn_once(
                f"no {scope}",
                f"otel-agentcost: calls without {named} are not covered by a {kind} per {scope} ({rules:.200}). Set "
                f"one with otel_agentcost.attribute({scope}=...) or OTEL_AGENTCOST_{scope.upper()}.",
            )

    def _report_decision(self, span: Span, ticket: Ticket, facts: CallFacts) -> None:
        if ticket.unenforced is not None:
            self.reports.unenforced(span, ticket.unenforced)
        elif ticket.unpriced is not None:
            self.reports.unenforced(span, ticket.unpriced)
            warn_once(
                f"unpriced under a budget: {facts.call.model}",
                f"otel-agentcost: budgets in US dollars do not limit calls of {facts.call.model!r:.120}, because its "
                f"price is not known ({ticket.unpriced:.200}). Add its price to a file (OTEL_AGENTCOST_PRICES), limit "
                "tokens or calls, or set OTEL_AGENTCOST_UNPRICED=refuse.",
            )
        if ticket.waited > 0.001:
            span.set_attribute(semconv.WAITED, round(ticket.waited, 6))
        for level in ticket.over:
            self.reports.level(span, *level)

    # --- model calls from spans of other instrumentations ---

    def facts_of_span(
        self, call: Call, span: Span, ctx: Context, who: Mapping[str, str], price: Callable[[Usage, str | None], Cost]
    ) -> CallFacts:
        """Return the budget facts of a call for which another instrumentation opened `span` in the context `ctx`."""
        alone = not trace.get_current_span(ctx).get_span_context().is_valid
        trace_id = trace_id_of(span)
        return CallFacts(
            call_id=self._call_ids(),
            call=call,
            scopes=scopes_of(self._work.trace(trace_id, ctx, alone=alone), who),
            price=price,
            now=self.clock(),
            allowances=self._allowances(run_context.current(ctx), ctx, who),
            trace_id=trace_id,
        )

    # --- spend that is not refused ---

    def tool_used(self, span: Span, ctx: Context, usd: Decimal | None, charge_id: str | None) -> None:
        """Count a tool call, which is never refused: the next model call is. Counts once for each `charge_id`."""
        facts = self._facts_in(span, ctx, charge_id)
        if self._named.open:
            self._named.tool_used(facts.scopes, [budget for budget, _ in facts.allowances])
        if unnamed := (self._each & self._each_of_tools) - facts.scopes.keys():
            self._warn_of_missing_scopes(unnamed)

        def count() -> None:
            try:
                for level in self.guard.tool_used(facts, usd):
                    self.reports.level(span, *level)
            except Exception as bug:
                report("counting a tool call in its budgets", bug)

        self.guard.run_without_blocking(count)

    def adjust(self, usd: Decimal) -> None:
        """Count `usd` US dollars more, or less where negative, in every budget that applies here."""
        ctx = blocks.here()
        span = trace.get_current_span(ctx)
        for level in self.guard.adjust(self._facts_in(span, ctx), usd):
            self.reports.level(span, *level)

    def spent(self, run: Run) -> int | None:
        """Return the nano-dollars that the ledger has for `run`, those of other processes included.

        None where the run has no allowance, or where the ledger does not answer.
        """
        if run.budget is None or not self.carries:
            return None
        try:
            (counted,) = self.guard.counted(self._facts({}, ((run.budget, run.value),)), None, self.clock())
            return self.guard.ledger.wrapped.standing(counted.claim.key, now=self.clock()).spent["nano_usd"]
        except (LedgerError, OSError) as error:
            reraise_foreign(error)
            return None
        except Exception as bug:  # a ledger of another distribution may raise anything, and the application asks here
            report("reading what a run has spent", bug)
            return None

    def _facts_in(self, span: Span, ctx: Context, call_id: str | None = None) -> CallFacts:
        around = trace.get_current_span(ctx)
        who = attribution.current(ctx, self._defaults, rollup.tally_of(around))
        alone = not around.get_span_context().is_valid
        within = self._work.trace(trace_id_of(span), ctx, alone=alone)
        return self._facts(scopes_of(within, who), self._allowances(run_context.current(ctx), ctx, who), call_id)

    def _facts(self, scopes: Mapping[Scope, str], allowances: Allowances, call_id: str | None = None) -> CallFacts:
        return CallFacts(
            call_id=call_id or self._call_ids(),
            call=_NO_CALL,
            scopes=scopes,
            price=lambda _usage, _model: FREE,
            now=self.clock(),
            allowances=allowances,
        )


class Admission:
    """The reservation of one call, from its admission to its settlement."""

    __slots__ = ("_facts", "_gate", "settled", "ticket")

    def __init__(self, gate: Gate, facts: CallFacts, ticket: Ticket) -> None:
        self._gate = gate
        self._facts = facts
        self.ticket = ticket
        self.settled = False
        """True if the reservation is settled or released, or a thread was asked to do so."""

    @property
    def rewrites(self) -> bool:
        """True if the call was admitted only with another model or a lower output limit."""
        return self.ticket.model is not None or self.ticket.max_output_tokens is not None

    def not_rewritten(self, record: Record, bug: Exception) -> Admission:
        """Return the admission of a call whose request could not be rewritten as admitted.

        Raises:
            BudgetExceeded: The budget blocks the call as it was requested.
        """
        reraise_foreign(bug)
        gate, facts = self._gate, self._facts
        gate.guard.release(self.ticket, gate.clock())
        if self.ticket.fallback_error is not None:
            gate.refuse(record.span, Refused(action="block", error=self.ticket.fallback_error))
        report("rewriting a request", bug)
        gate.reports.unenforced(record.span, f"otel-agentcost failed ({type(bug).__name__})")
        return Admission(
            gate, facts, gate.guard.without_reservation(facts, facts.call.model)
        )  # made all the same, and counted

    def rewritten(self) -> None:
        """Log the first downgrade from a model to another."""
        ticket, model = self.ticket, self._facts.call.model
        if ticket.model is not None:
            budget = f"the budget {ticket.fallback_error.budget}" if ticket.fallback_error is not None else "a budget"
            warn_once(
                f"downgraded: {model} {ticket.model}",
                f"otel-agentcost: a call of {model!r:.120} was sent to {ticket.model!r:.120}, because {budget} has too "
                "little left for it. Further ones are not logged: their spans have agentcost.downgraded_from.",
            )

    def metered(self, feed: Feed, reader: AnswerReader, model: str | None, span: Span) -> Feed:
        """Return `feed`, behind a meter where the reservation does not cover whatever the stream may bring.

        Args:
            feed: Takes in one event of the stream.
            reader: The reader that `feed` shows the events to.
            model: The requested model, for its tokenizer.
            span: The call's span. Not the call itself: a dropped stream must not be kept alive by its own meter.
        """
        try:
            most = self.ticket.most_output_tokens
        except Exception as bug:
            report("computing the limit of a stream", bug)
            return feed
        return feed if most is None else Meter(feed, reader, model, most, partial(self._cut_off, span))

    def _cut_off(self, span: Span, output_tokens: int) -> BudgetExceeded:
        error = self._gate.guard.cut_off(self.ticket, self._facts, output_tokens)
        try:
            self._gate.reports.refused(span, error, "cut_off")
        except Exception as bug:
            report("reporting a stream that was cut off", bug)
        return error

    def keep(self) -> str | None:
        """Keep the reservation of a batch until its lines are settled. Returns its id; None if it is not to be kept."""
        facts = self._facts
        if facts.lease is None or not self.ticket.counted or self.ticket.unenforced is not None:
            return None
        self.ticket.done = self.settled = True
        return facts.call_id

    def settle(self, record: Record, model: str | None, answer: Answer, cost: Cost) -> Saved | None:
        """Replace the reservation by the real cost. Returns what a downgrade saved, if it was one.

        Args:
            record: The span of the call.
            model: The model that was requested of the provider.
            answer: What came back.
            cost: What it cost.
        """
        gate, tokens = self._gate, answer.tokens()
        usd, used = cost.usd, tokens.input + tokens.output
        if answer.doubtful and usd is None:  # else such calls would pass every budget, without end
            reserved = self.ticket.reserved
            usd, used = Decimal(reserved.get("nano_usd", 0)).scaleb(-9), reserved.get("tokens", 0)
        answered = answer.usage is not None or usd is not None
        settle = partial(self._settle, record.span, usd, used, gate.clock(), answered=answered)
        gate.guard.run_without_blocking(settle)
        self.settled = True
        if cost.usd is None and cost.unpriced is not None and not (self.ticket.unpriced or self.ticket.unenforced):
            self._warn_of_unknown_cost(record.span, model, cost.unpriced)
        if self.ticket.model is None or cost.usd is None or answer.usage is None:
            return None
        before = self._facts.price(answer.usage, self._facts.call.model).usd
        if before is None:
            return None
        return Saved(before - cost.usd, self._facts.call.model, self.ticket.model)

    def unfinished(self, record: Record) -> Callable[[], None]:
        """Return the action that counts the whole reservation as spent: the provider goes on with the answer, and may
        bill all of it.
        """
        gate = self._gate
        if self.ticket.unenforced is not None:  # the ledger did not answer: nothing is reserved
            self._reserve_late()
        worst = self.ticket.worst_case
        self.settled = True
        usd, tokens = money.from_nano(worst.get("nano_usd", 0)), worst.get("tokens", 0)
        return partial(self._settle, record.span, usd, tokens, gate.clock())

    def _reserve_late(self) -> None:
        try:
            wanted = reservation_for(self._facts, self._facts.call.model, self._gate.guard.policy)
            self.ticket.reserved = wanted.amounts
        except Exception as bug:  # the answer itself is with the application already
            report("estimating an unfinished answer", bug)

    def settle_unfinished(self, record: Record) -> None:
        """Count the whole reservation as spent, without blocking an event loop."""
        self._gate.guard.run_without_blocking(self.unfinished(record))

    def finish(self, record: Record, answer: Answer, cost: Cost) -> None:
        """Replace what `settle_unfinished` has counted by the real cost. What is still unknown stays the worst case."""
        if answer.usage is None and cost.usd is None:
            return
        gate, tokens = self._gate, answer.tokens()

        def correct() -> None:
            try:
                for level in gate.guard.correct(self.ticket, cost.usd, tokens.input + tokens.output, gate.clock()):
                    gate.reports.level(record.span, *level)
            except Exception as bug:
                report("correcting what an unfinished answer has counted", bug)

        gate.guard.run_without_blocking(correct)

    def _settle(self, span: Span, usd: Decimal | None, tokens: int, now: float, *, answered: bool = True) -> None:
        try:
            for level in self._gate.guard.settle(self.ticket, usd, tokens, now, answered=answered):
                self._gate.reports.level(span, *level)
        except Exception as bug:
            report("settling a call with its budgets", bug)
            self._release(now)  # unless it was settled, and only its report failed

    # --- a call that another service makes or sends, too ---

    def asks(self, passage: Passage, answer: Answer) -> bool:
        """Return True if the ledger has to say which of two services charges the call. That may take time."""
        return passage.proved or (self.ticket.mark is not None and answer.usage is None and not answer.goes_on)

    def left_upstream(self, record: Record, mark: Mark, answer: Answer, cost: Cost) -> bool:
        """Write down for the service upstream what the call has cost. Returns False if that has ended without charging
        it: this process then charges the call, also in the budgets that the service upstream has counted it in.
        """
        gate, facts, now, tokens = self._gate, self._facts, self._gate.clock(), answer.tokens()
        if cost.usd is None:
            return True
        made = Made(min(MOST, max(0, money.to_nano(cost.usd))), min(MOST, tokens.input + tokens.output))
        if both_ends.left_upstream(gate.guard.ledger, mark, facts.call_id, made, now):
            return True
        every = gate.guard.counted(replace(facts, held=None), facts.call.model, facts.now)
        self._count_more(record, [each for each in every if mark.holds(each.claim.key)], made)
        return False

    def made_for(self, record: Record) -> Cost | None:
        """Charge the budgets with what the call of the next service has cost, if that one has ended before this call,
        which got no answer. Returns that cost; None if there is nothing to charge.
        """
        guard, mark = self._gate.guard, self.ticket.mark
        made = both_ends.made_for(guard.ledger, mark, self.ticket.call_id, self._gate.clock()) if mark else None
        if made is None:
            return None
        self._count_more(record, self.ticket.counted, made)
        return Cost(usd=money.from_nano(made.nano_usd))

    def _count_more(self, record: Record, counted: Sequence[Counted], made: Made) -> None:
        gate = self._gate
        for level in gate.guard.count_more(self.ticket.call_id, counted, made, gate.clock()):
            gate.reports.level(record.span, *level)

    def _release(self, now: float) -> None:
        try:
            self._gate.guard.release(self.ticket, now)
        except Exception as bug:
            report("releasing a reservation", bug)

    def _warn_of_unknown_cost(self, span: Span, model: str | None, why: str) -> None:
        """Warn that no budget in dollars or tokens has moved, because the call's cost is not known."""
        if not any(unit in each.budget.limits for each in self.ticket.counted for unit in ("nano_usd", "tokens")):
            return
        self._gate.reports.unenforced(span, why)
        warn_once(
            f"uncounted under a budget: {model} {why}",
            f"otel-agentcost: budgets in US dollars do not count a call of {model!r:.120}, because its cost is not "
            f"known ({why:.200}). Limit calls as well.",
        )

    def end(self, *, made: bool) -> None:
        """Release what is still reserved. A call that was `made` and could not be settled counts as a call."""
        if self.settled:
            return
        guard, now = self._gate.guard, self._gate.clock()
        span = trace.INVALID_SPAN
        guard.run_without_blocking(partial(self._settle, span, None, 0, now) if made else partial(self._release, now))
        self.settled = True
