"""Between the line and the guard: what a call brings to its budgets, and what their answer means for the call.

`Gate.admit` is the one step of the line that may raise on purpose (`BudgetExceeded`) or rewrite the request. What
goes wrong in here otherwise lets the call through, and says so. The guard decides; telemetry tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

from otel_agentcost.calls.circuit import Breaking
from otel_agentcost.calls.scopes import SCOPES, new_id, pricing, scopes_of, trace_id_of
from otel_agentcost.core import semconv
from otel_agentcost.core.breakers import Breaker
from otel_agentcost.core.budgets import Budget, Scope
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.cost import FREE, Cost
from otel_agentcost.core.usage import Tokens, Usage
from otel_agentcost.diagnostics import report, warn_once
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.guard import CallFacts, Guard, Refused, Ticket
from otel_agentcost.guard.ledger import LedgerError
from otel_agentcost.guard.ledger.memory import MemoryLedger
from otel_agentcost.guard.stream_meter import Meter
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.telemetry import attribution, rollup, run_context
from otel_agentcost.telemetry.budget_events import BudgetReports
from otel_agentcost.telemetry.run_context import Run
from otel_agentcost.wire import AnswerReader

if TYPE_CHECKING:
    from otel_agentcost.calls.call import InFlight, Seam

_FREE_OPERATIONS = frozenset({"moderation"})
"""What no provider charges for, whatever is left."""

_NO_CALL = Call(operation="", model=None)

Allowances = tuple[tuple[Budget, str], ...]
Arguments = tuple[Any, dict[str, Any]]
Feed = Callable[[Any], object]


class Gate:
    """Where calls are admitted. One for each `instrument()` under which a budget applies, or a run has an allowance."""

    def __init__(
        self,
        guard: Guard,
        book: PriceBook,
        reports: BudgetReports,
        defaults: Mapping[str, str],
        breakers: Sequence[Breaker] = (),
    ) -> None:
        """`defaults` are the environment's attribution; `breakers` the rules of circuit breakers."""
        attributed = {scope for _, scope in SCOPES}
        self._rules: tuple[Budget | Breaker, ...] = (*guard.budgets, *breakers)
        self._each = {rule.scope for rule in self._rules if rule.scope in attributed and rule.name is None}
        """Scopes each value of which has a budget or a breaker, as long as every call has named one."""
        self.carries = not isinstance(guard.keeper.ledger, MemoryLedger)
        """Whether runs count in other processes too, which share the ledger."""
        self.guard = guard
        self.reports = reports
        self.breaking: Breaking | None = None
        """The guard behind circuit breakers; None where there are none."""
        self._book = book
        self._defaults = defaults

    # --- model calls ---

    def admit(self, live: InFlight, seam: Seam, args: Any, kwargs: dict[str, Any]) -> Arguments:
        """The arguments to make the call with. Waits where that helps. Raises `BudgetExceeded` if it is refused."""
        facts = self._facts_of(live)
        if facts is None:
            return args, kwargs
        try:
            decision = self.ask(facts, live.record.span)
        except Exception as bug:
            return self._unguarded(live, bug, args, kwargs)
        return self._decided(decision, facts, live, seam, args, kwargs)

    async def admit_async(self, live: InFlight, seam: Seam, args: Any, kwargs: dict[str, Any]) -> Arguments:
        """`admit`, without ever blocking the event loop."""
        facts = self._facts_of(live)
        if facts is None:
            return args, kwargs
        try:
            if self.breaking is not None:
                decision = await self.breaking.admit_async(facts, live.record.span)
            else:
                decision = await self.guard.admit_async(facts)
        except Exception as bug:
            return self._unguarded(live, bug, args, kwargs)
        return self._decided(decision, facts, live, seam, args, kwargs)

    def ask(self, facts: CallFacts, span: Span, *, patient: bool = True) -> Ticket | Refused:
        """What breakers and budgets say of a call."""
        if self.breaking is not None:
            return self.breaking.admit(facts, span, patient=patient)
        return self.guard.admit(facts, patient=patient)

    def _facts_of(self, live: InFlight) -> CallFacts | None:
        asked, record = live.asked, live.record
        if asked.call.operation in _FREE_OPERATIONS:
            return None
        try:
            trace_id = trace_id_of(record.span)
            return CallFacts(
                call_id=new_id(),
                call=asked.call,
                scopes=scopes_of(trace_id, record.attribution, alone=record.alone),
                price=pricing(self._book, asked, live.at),
                now=live.at,
                allowances=self._allowances(record.runs, record.context),
                trace_id=trace_id,
            )
        except Exception as bug:
            report("checking budgets", bug)
            return None

    def _allowances(self, around: tuple[Run, ...], ctx: Context) -> Allowances:
        own = tuple((run.budget, run.value) for run in around if run.budget is not None)
        return (*own, *run_context.carried(ctx, around)) if self.carries else own

    def _unguarded(self, live: InFlight, bug: Exception, args: Any, kwargs: dict[str, Any]) -> Arguments:
        report("checking budgets", bug)
        self.reports.unenforced(live.record.span, f"otel-agentcost failed ({type(bug).__name__})")
        return args, kwargs

    def _decided(
        self,
        decision: Ticket | Refused,
        facts: CallFacts,
        live: InFlight,
        seam: Seam,
        args: Any,
        kwargs: dict[str, Any],
    ) -> Arguments:
        if isinstance(decision, Refused):
            self._refuse(live, decision)
        live.admission = Admission(self, facts, decision)
        try:
            if self._each and not self._each <= facts.scopes.keys():
                self._tell_unnamed(facts)
            if decision.unpriced or decision.unenforced or decision.waited or decision.over:
                self._tell(live, decision, facts)
            if decision.model is None and decision.max_output_tokens is None:
                return args, kwargs
            asked, args, kwargs = seam.rewrite(
                live.asked, args, kwargs, model=decision.model, max_output_tokens=decision.max_output_tokens
            )
            live.rewritten(asked)
        except Exception as bug:
            # Neither another model nor a lower limit can be asked for: what the budget would have said then, it says.
            self.guard.release(decision, time.time())
            if decision.instead is None:  # it is made all the same, and counts
                live.admission = Admission(self, facts, self.guard.unasked(facts, facts.call.model))
                return self._unguarded(live, bug, args, kwargs)
            self._refuse(live, Refused(action="block", error=decision.instead))
        return args, kwargs

    def _tell_unnamed(self, facts: CallFacts) -> None:
        """A budget of each user looks at no call that has no user, nor does a breaker of each agent."""
        unnamed = self._each - facts.scopes.keys()
        self._each = self._each - unnamed  # told once: nothing more to look for
        for scope in unnamed:
            rules = "; ".join(rule.text for rule in self._rules if rule.scope == scope)
            kind = "budget" if any(budget.scope == scope for budget in self.guard.budgets) else "circuit breaker"
            named = f"an {scope}" if scope == "agent" else f"a {scope}"
            warn_once(
                f"no {scope}",
                f"otel-agentcost: calls without {named} are not covered by a {kind} per {scope} ({rules:.200}). Set "
                f"one with otel_agentcost.attribute({scope}=...) or OTEL_AGENTCOST_{scope.upper()}.",
            )

    def _refuse(self, live: InFlight, refused: Refused) -> NoReturn:
        try:
            self.reports.refused(live.record.span, refused.error, refused.action)
        except Exception as bug:
            report("reporting a refusal", bug)
        raise refused.error

    def _tell(self, live: InFlight, ticket: Ticket, facts: CallFacts) -> None:
        span = live.record.span
        if ticket.unenforced is not None:
            self.reports.unenforced(span, ticket.unenforced)
        elif ticket.unpriced is not None:
            self.reports.unenforced(span, ticket.unpriced)
            warn_once(
                f"unpriced under a budget: {facts.call.model}",
                f"otel-agentcost: budgets in dollars do not cover calls of {facts.call.model!r:.120}: no price is known "
                f"({ticket.unpriced:.200}). Add it to your price file (OTEL_AGENTCOST_PRICES), limit tokens "
                "or calls, or set OTEL_AGENTCOST_UNPRICED=refuse.",
            )
        if ticket.waited > 0.001:
            span.set_attribute(semconv.WAITED, round(ticket.waited, 6))
        for level in ticket.over:
            self.reports.level(span, *level)

    # --- calls that others make ---

    def seen(
        self, call: Call, span: Span, ctx: Context, who: Mapping[str, str], price: Callable[[Usage, str | None], Cost]
    ) -> CallFacts:
        """What a call brings to its budgets that another instrumentation has just opened `span` for, in `ctx`."""
        alone = not trace.get_current_span(ctx).get_span_context().is_valid
        trace_id = trace_id_of(span)
        return CallFacts(
            call_id=new_id(),
            call=call,
            scopes=scopes_of(trace_id, who, alone=alone),
            price=price,
            now=time.time(),
            allowances=self._allowances(run_context.current(ctx), ctx),
            trace_id=trace_id,
        )

    # --- what is spent without asking ---

    def tool_used(self, span: Span, ctx: Context, usd: Decimal | None) -> None:
        """Counts a call of a tool, which is never refused: the next model call is."""
        facts = self._facts_in(span, ctx)

        def count() -> None:
            try:
                for level in self.guard.tool_used(facts, usd):
                    self.reports.level(span, *level)
            except Exception as bug:
                report("counting a tool call in its budgets", bug)

        self.guard.without_delay(count)

    def adjust(self, usd: Decimal, reason: str) -> None:
        """Counts `usd` more, or less where negative, in every budget that applies here, and says why."""
        ctx = context.get_current()
        span = trace.get_current_span(ctx)
        self.reports.adjusted(span, usd, reason)
        for level in self.guard.adjust(self._facts_in(span, ctx), usd):
            self.reports.level(span, *level)

    def spent(self, run: Run) -> int | None:
        """Billionths of a dollar that the ledger has for `run`, other processes' included.

        None where there are none, or where it does not answer.
        """
        if run.budget is None or not self.carries:
            return None
        try:
            (counted,) = self.guard.counted(self._facts({}, ((run.budget, run.value),)), None, time.time())
            return self.guard.keeper.ledger.standing(counted.claim.key, now=time.time()).spent["nano_usd"]
        except (LedgerError, OSError):
            return None

    def _facts_in(self, span: Span, ctx: Context) -> CallFacts:
        around = trace.get_current_span(ctx)
        who = attribution.current(ctx, self._defaults, rollup.tally_of(around))
        alone = not around.get_span_context().is_valid
        return self._facts(
            scopes_of(trace_id_of(span), who, alone=alone), self._allowances(run_context.current(ctx), ctx)
        )

    @staticmethod
    def _facts(scopes: Mapping[Scope, str], allowances: Allowances) -> CallFacts:
        return CallFacts(
            call_id=new_id(),
            call=_NO_CALL,
            scopes=scopes,
            price=lambda _usage, _model: FREE,
            now=time.time(),
            allowances=allowances,
        )


class Admission:
    """What the budgets hold for one call, from its admission to its settlement."""

    __slots__ = ("_facts", "_gate", "settled", "ticket")

    def __init__(self, gate: Gate, facts: CallFacts, ticket: Ticket) -> None:
        self._gate = gate
        self._facts = facts
        self.ticket = ticket
        self.settled = False
        """Whether it was settled or given back, or is about to be."""

    def metered(self, feed: Feed, reader: AnswerReader, live: InFlight) -> Feed:
        """`feed`, with a meter in front of it where what is held does not cover whatever the stream may bring."""
        try:
            most = self.ticket.most_output_tokens
        except Exception as bug:
            report("computing the limit of a stream", bug)
            return feed
        if most is None:
            return feed
        # The span, not the call itself: a dropped stream must not be kept by its own meter.
        return Meter(feed, reader, live.asked.call.model, most, partial(self._outrun, live.record.span))

    def _outrun(self, span: Span, output_tokens: int) -> BudgetExceeded:
        error = self._gate.guard.outrun(self.ticket, self._facts, output_tokens)
        try:
            self._gate.reports.refused(span, error, "cut_off")
        except Exception as bug:
            report("reporting a stream that was cut off", bug)
        return error

    def settle(self, live: InFlight, answer: Answer, cost: Cost, tokens: Tokens) -> None:
        """The call has ended, and took this."""
        gate, span = self._gate, live.record.span
        self.settled = True
        gate.guard.without_delay(partial(self._settle, span, cost.usd, tokens.input + tokens.output, time.time()))
        if cost.usd is None and cost.unpriced is not None and not (self.ticket.unpriced or self.ticket.unenforced):
            self._tell_uncounted(live, cost.unpriced)
        if self.ticket.model is not None and cost.usd is not None and answer.usage is not None:
            before = self._facts.price(answer.usage, self._facts.call.model).usd
            if before is not None:
                live.saved_by_downgrade(before - cost.usd, self._facts.call.model, self.ticket.model)

    def _settle(self, span: Span, usd: Decimal | None, tokens: int, now: float) -> None:
        try:
            for level in self._gate.guard.settle(self.ticket, usd, tokens, now):
                self._gate.reports.level(span, *level)
        except Exception as bug:
            report("settling a call in its budgets", bug)
            self._release(now)  # unless it was settled, and only telling of it failed

    def _release(self, now: float) -> None:
        try:
            self._gate.guard.release(self.ticket, now)
        except Exception as bug:
            report("releasing the reservation of a call", bug)

    def _tell_uncounted(self, live: InFlight, why: str) -> None:
        """What the call took is not known: no budget of dollars, or of tokens, has moved."""
        if not any(unit in each.budget.limits for each in self.ticket.counted for unit in ("nano_usd", "tokens")):
            return
        self._gate.reports.unenforced(live.record.span, why)
        warn_once(
            f"uncounted under a budget: {live.asked.call.model} {why}",
            f"otel-agentcost: a call of {live.asked.call.model!r:.120} is not counted in budgets of dollars, because "
            f"its cost is unknown ({why:.200}). Also limit calls.",
        )

    def end(self, *, made: bool) -> None:
        """Gives back what is still held. A call that was `made`, and could not be settled, counts as a call."""
        if self.settled:
            return
        self.settled = True
        guard, now = self._gate.guard, time.time()
        span = trace.INVALID_SPAN
        guard.without_delay(partial(self._settle, span, None, 0, now) if made else partial(self._release, now))
