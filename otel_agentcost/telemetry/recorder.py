"""The one settlement: charges a call to its metrics, its runs and its totals, after the guard has settled its budgets.

Model calls of patched SDKs, tool calls, and spans of other instrumentations all end here, so that they are counted in
the same way. The recorder knows no budget and no price: it receives the cost. The caller writes the span's attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

from otel_agentcost.core import money, semconv
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.spend import Sums
from otel_agentcost.core.usage import NO_TOKENS, Tokens
from otel_agentcost.diagnostics import logger
from otel_agentcost.telemetry.metrics import OTHER, Metrics, ModelLabels, Names, whose_of
from otel_agentcost.telemetry.receiver import Receiver, Settled
from otel_agentcost.telemetry.rollup import Tally
from otel_agentcost.telemetry.run_context import Run

_MAX_LABELS = 1000
"""Sets of metric attributes that are kept. Others are made for each call."""


class Account(Protocol):
    """The runs, totals and attribution that one call is charged to. `telemetry.spans.Record` is an account."""

    @property
    def attribution(self) -> Mapping[str, str]:
        """The user, team, feature and so on that the call is made for."""
        ...

    @property
    def context(self) -> Context:
        """The context that holds the call's span: metrics take exemplars from it."""
        ...

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs that the call is made in."""
        ...

    @property
    def span(self) -> Span | None:
        """The span of the call; None for that of `context`."""
        ...

    @property
    def tally(self) -> Tally | None:
        """The totals of the nearest agent or trace; None where no span processor saw it start."""
        ...


@dataclass(frozen=True, slots=True)
class SpanAccount:
    """The account of a call that has no `Record`: a tool call, or a span of another instrumentation."""

    attribution: Mapping[str, str]
    context: Context
    runs: tuple[Run, ...]
    tally: Tally | None
    span: Span | None = None


class Recorder:
    """Charges calls to metrics, runs and totals. One for each `instrument()`."""

    def __init__(self, metrics: Metrics, receiver: Receiver | None = None) -> None:
        """Create a recorder.

        Args:
            metrics: The instruments.
            receiver: Gets each charged call too; None if nothing else keeps them.
        """
        self._metrics = metrics
        self._receiver = receiver
        self._labels: dict[tuple[str, str, str | None, str | None], ModelLabels] = {}

    def model_labels(
        self, operation: str, provider: str, requested: str | None, served: str | None = None
    ) -> ModelLabels:
        """Return the metric attributes of a model call.

        Args:
            operation: `gen_ai.operation.name`.
            provider: `gen_ai.provider.name`.
            requested: The model that the request names; None where it names none.
            served: The model that answered, as the provider names it; None where it is not known.
        """
        labels = self._labels.get((operation, provider, requested, served))
        if labels is None:
            labels = self._new_labels(operation, provider, requested, served)
        return labels

    def _new_labels(self, operation: str, provider: str, requested: str | None, served: str | None) -> ModelLabels:
        bounded = self._metrics.bounded_model
        attributes = {semconv.OPERATION: operation, semconv.PROVIDER: provider}
        if requested is not None:
            attributes[semconv.REQUEST_MODEL] = bounded(requested)
        if served is not None:
            attributes[semconv.RESPONSE_MODEL] = bounded(served)
        labels = self._metrics.labelled(attributes, (operation, provider, requested, served))
        if len(self._labels) < _MAX_LABELS and OTHER not in attributes.values():
            self._labels[operation, provider, requested, served] = labels
        return labels

    def charge_model_call(  # noqa: PLR0913 (the figures of a call, and what its receiver keeps beside them)
        self,
        account: Account,
        labels: ModelLabels,
        tokens: Tokens | None,
        cost: Cost,
        error: str | None,
        *,
        seconds: float | None = None,
        calls: int = 1,
        call: Call | None = None,
        answer: Answer | None = None,
    ) -> None:
        """Charge one model call.

        Args:
            account: Where the figures go.
            labels: The call's metric attributes, from `model_labels`.
            tokens: The call's tokens; None where the usage is not known.
            cost: The call's cost, or the reason why it is not known.
            error: `error.type`, where the call failed.
            seconds: The call's duration. None for a call that another instrumentation records: the conventions'
                histograms of tokens and duration then come from that instrumentation.
            calls: The number of calls that one report is of.
            call: The request, for the receiver; None if it is not known.
            answer: The response, for the receiver; None if it is not known.
        """
        metrics = self._metrics
        who = account.attribution
        whose = whose_of(labels.attributes, who) if who else labels.whose
        if tokens is not None:
            metrics.used(tokens, whose)
        metrics.cost(cost, labels, whose, error)
        unpriced = cost.unpriced is not None
        if cost.unpriced is not None:
            metrics.unpriced(cost.unpriced, labels.attributes)
        input_tokens, output_tokens = (tokens.input, tokens.output) if tokens is not None else (0, 0)
        for run in account.runs:
            run.tally.add_llm(cost.usd, input_tokens, output_tokens, unpriced=unpriced, calls=calls)
        if account.runs:
            _add_to(account.runs, who, labels.names, tokens, cost, calls=calls)
        if account.tally is not None:
            account.tally.add_llm(cost.usd, input_tokens, output_tokens, unpriced=unpriced, calls=calls)
        if self._receiver is not None:
            self._receiver.settled(
                _settled(account, labels.names, tokens, cost, error, seconds, calls=calls, call=call, answer=answer)
            )
        # The histograms come last: a view or a reservoir of the application may raise, and the sums must have the call.
        metrics.call(labels, tokens if seconds is not None else None, cost, seconds, error, account.context)

    def left_to_upstream(self, account: Account, labels: ModelLabels, tokens: Tokens, cost: Cost) -> Cost:
        """Count a call that the service upstream charges in the runs that this service has opened around it.

        Returns:
            The cost to show on the span: none.
        """
        for run in account.runs:
            run.tally.add_llm(cost.usd, tokens.input, tokens.output, unpriced=cost.unpriced is not None)
        _add_to(account.runs, account.attribution, labels.names, tokens, cost, calls=1)
        return Cost()

    def charge_finished_answer(
        self, begun: Account, account: Account, labels: ModelLabels, tokens: Tokens | None, cost: Cost
    ) -> None:
        """Charge an answer that was not finished when its call ended. The call itself is counted already.

        Args:
            begun: The account of the call.
            account: Where the finished answer was retrieved. Its totals count it if those of the call have ended.
            labels: The call's metric attributes, from `model_labels`.
            tokens: The answer's tokens; None where the usage is not known.
            cost: The answer's cost, or the reason why it is not known.
        """
        self._record_later(labels, begun.attribution, tokens, cost, account.context)
        into, out = (tokens.input, tokens.output) if tokens is not None else (0, 0)
        for run in begun.runs:
            run.tally.finish_llm(cost.usd, into, out, resolves=cost.unpriced is None)
        _add_to(begun.runs, begun.attribution, labels.names, tokens, cost, resolves=int(cost.unpriced is None))
        same = begun.tally is not None and (account.tally is None or account.tally.root is begun.tally.root)
        tally = begun.tally if same else account.tally
        if tally is not None:
            tally.finish_llm(cost.usd, into, out, resolves=same and cost.unpriced is None)
        if self._receiver is not None:
            resolves = int(cost.unpriced is None)
            self._receiver.settled(_settled(begun, labels.names, tokens, cost, None, None, calls=0, resolves=resolves))

    def charge_batch(
        self,
        account: Account,
        runs: Sequence[Run],
        labels: ModelLabels,
        tokens: Tokens | None,
        cost: Cost,
        *,
        resolves: bool,
    ) -> None:
        """Charge lines of a batch, whose creation was counted as one call.

        Args:
            account: Where the results were read; its attribution is that of the batch.
            runs: The runs that the batch was created in.
            labels: The metric attributes of the lines, from `model_labels`.
            tokens: The tokens of the lines together; None where no line has a usage.
            cost: Their cost, or the reason why it is not known.
            resolves: True if the whole cost of the batch is known now.
        """
        self._record_later(labels, account.attribution, tokens, cost, account.context)
        if cost.unpriced is not None:
            self._metrics.unpriced(cost.unpriced, labels.attributes)
        into, out = (tokens.input, tokens.output) if tokens is not None else (0, 0)
        for run in runs:
            run.tally.finish_llm(cost.usd, into, out, resolves=resolves)
        _add_to(runs, account.attribution, labels.names, tokens, cost, resolves=int(resolves))
        if account.tally is not None:
            account.tally.finish_llm(cost.usd, into, out, resolves=False)
        if self._receiver is not None:
            found = _settled(account, labels.names, tokens, cost, None, None, calls=0, resolves=int(resolves))
            inner, outer = (runs[0].value, runs[-1].value) if runs else (None, None)
            self._receiver.settled(found._replace(run=inner, root=outer))

    def _record_later(
        self, labels: ModelLabels, who: Mapping[str, str], tokens: Tokens | None, cost: Cost, ctx: Context
    ) -> None:
        """Record the tokens and the cost of what is known after its call, which was counted without them."""
        whose = whose_of(labels.attributes, who)
        if tokens is not None:
            self._metrics.used(tokens, whose)
        self._metrics.cost(cost, labels, whose, None)
        self._metrics.call(labels, tokens, cost, None, None, ctx)

    def charge_tool_call(
        self,
        account: Account,
        tool: str,
        usd: Decimal | None,
        unpriced: str | None,
        error: str | None,
        *,
        seconds: float | None = None,
        arguments: str | None = None,
    ) -> None:
        """Charge one tool call.

        Args:
            account: Where the figures go.
            tool: The tool's name.
            usd: US dollars; None for a tool without a price.
            unpriced: Why a tool that has a price has no dollars.
            error: `error.type`, where the call failed.
            seconds: The call's duration; None if it is not known.
            arguments: Its arguments, for the receiver; None if they are not known in full.
        """
        metrics = self._metrics
        labels = {semconv.OPERATION: semconv.EXECUTE_TOOL, semconv.TOOL: metrics.bounded_model(tool)}
        if usd is not None:
            metrics.spent(usd, labels, account.attribution, error)
        if unpriced is not None:
            metrics.unpriced(unpriced, labels)
        for tally in _tallies(account):
            tally.add_tool(usd, unpriced=unpriced is not None)
        names, cost = (semconv.EXECUTE_TOOL, "", None, None), Cost(usd=usd, unpriced=unpriced)
        _add_to(account.runs, account.attribution, names, None, cost, tool=tool)
        if self._receiver is not None:
            found = _settled(account, names, None, cost, error, seconds, calls=0, tool=tool)
            self._receiver.settled(found if arguments is None else found._replace(arguments=arguments))

    def saved_by_tool_cache(self, tool: str, usd: Decimal) -> None:
        """Add US dollars that a tool would have cost, whose result was known."""
        labels = {semconv.OPERATION: semconv.EXECUTE_TOOL, semconv.TOOL: self._metrics.bounded_model(tool)}
        self._metrics.saved(usd, labels, "tool_cache")

    def adjusted(self, span: Span, usd: Decimal, reason: str) -> None:
        """Report that the application adjusted the spent amount by `usd` US dollars; negative for a refund.

        Args:
            span: The span that is current.
            usd: The amount.
            reason: The reason, which the application gives.
        """
        span.add_event(semconv.E_ADJUSTED, {semconv.ADJUSTED: money.to_float(usd), semconv.BUDGET_REASON: reason})
        if self._receiver is not None:
            self._receiver.event("adjustment", reason, span, agent=None, usd=usd)
        logger.info("otel-agentcost: spent amount adjusted by $%s; reason: %s.", f"{usd:f}", reason)

    def flush(self) -> None:
        """Let the receiver write what waits, for who wants to read it now."""
        if self._receiver is not None:
            self._receiver.force_flush()

    def close(self) -> None:
        """Let the receiver write what waits."""
        if self._receiver is not None:
            self._receiver.close()

    def unended_model_call(self, tally: Tally, labels: ModelLabels, reason: str) -> None:
        """Count a model call whose span was dropped before it ended: its usage will never be known."""
        tally.add_llm(None, 0, 0, unpriced=True)
        self._metrics.unpriced(reason, labels.attributes)
        if self._receiver is not None:
            account = SpanAccount({}, Context(), (), tally)
            self._receiver.settled(_settled(account, labels.names, None, Cost.unknown(reason), None, None))

    def saved_by_downgrade(self, usd: Decimal, labels: ModelLabels) -> None:
        """Count the US dollars that a cheaper model saved. Amounts of zero or less are ignored."""
        self._metrics.saved(usd, labels.attributes, "downgrade")

    def saved_by_cached_answer(self, usd: Decimal, labels: ModelLabels) -> None:
        """Count the US dollars that a cached answer saved: those of the call that was not made."""
        self._metrics.saved(usd, labels.attributes, "response_cache")

    def saved_by_markers(self, usd: Decimal, call: Call, provider: str, served: str | None) -> None:
        """Count the US dollars that marks for the prompt cache have saved, net of what writing to it has cost more."""
        labels = self.model_labels(call.operation, provider, call.model, served)
        self._metrics.saved_by_marks(usd, labels.attributes)


def _add_to(
    runs: Sequence[Run],
    who: Mapping[str, str],
    names: Names,
    tokens: Tokens | None,
    cost: Cost,
    *,
    calls: int = 0,
    resolves: int = 0,
    tool: str | None = None,
) -> None:
    """Add a call to the tables of its runs."""
    if not runs:
        return
    used = tokens if tokens is not None else NO_TOKENS
    sums = Sums(
        calls,
        int(tool is not None),
        int(cost.usd is not None),
        int(cost.unpriced is not None) - resolves,
        money.to_nano(cost.usd) if cost.usd is not None else 0,
        used.input,
        used.cache_read,
        used.cache_write,
        used.output,
        used.reasoning,
        money.to_nano(cost.cache_savings_usd) if cost.cache_savings_usd else 0,
    )
    _, _, requested, served = names
    key = who.get(semconv.AGENT, ""), served or requested or "", tool or ""
    for run in runs:
        run.sums.add(key, sums, cost.unpriced or "")


def _tallies(account: Account) -> list[Tally]:
    tallies = [run.tally for run in account.runs]
    if account.tally is not None:
        tallies.append(account.tally)
    return tallies


def _settled(  # noqa: PLR0913 (one argument for each figure)
    account: Account,
    names: Names,
    tokens: Tokens | None,
    cost: Cost,
    error: str | None,
    seconds: float | None,
    *,
    calls: int = 1,
    resolves: int = 0,
    tool: str | None = None,
    call: Call | None = None,
    answer: Answer | None = None,
) -> Settled:
    """Return the figures of a call, without what must not outlive it: its span and its context."""
    span = account.span or trace.get_current_span(account.context)
    where, runs = span.get_span_context(), account.runs
    return Settled(
        names,
        account.attribution,
        where.trace_id,
        where.span_id,
        runs[0].value if runs else None,
        tokens,
        cost,
        error,
        seconds,
        calls,
        resolves,
        tool,
        call,
        answer,
        runs[-1].value if runs else None,
    )
