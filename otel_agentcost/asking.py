"""Public functions that answer questions: what was spent (from the spend store), what is left (from the ledger)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date

from opentelemetry import trace

from otel_agentcost import runtime
from otel_agentcost.calls import active
from otel_agentcost.calls.scopes import SCOPES, process_name, trace_id_of
from otel_agentcost.core.budgets import Budget, Scope
from otel_agentcost.core.ledger import Standing
from otel_agentcost.guard.allowances import Allowance, applying, of
from otel_agentcost.guard.opening import opened
from otel_agentcost.settings import Settings, from_environment
from otel_agentcost.store.periods import period
from otel_agentcost.store.questions import Question, Spend, UnclearQuestion, groupings
from otel_agentcost.store.sources import open_source
from otel_agentcost.telemetry import attribution, blocks, run_context


def spend(
    since: str | date = "today",
    *,
    until: str | date | None = None,
    by: str | Sequence[str] = (),
    source: str | None = None,
    settings: Settings | None = None,
) -> Spend:
    """Return what was spent in a period, from the spend store.

    Args:
        since: The beginning: `today`, `yesterday`, `month`, `7d`, `24h`, `all`, a day or a time, also as a `date`.
        until: The end; a day is included. Default: now.
        by: Groupings such as `agent,model`, or a sequence of them. Default: one line for all.
        source: The store, or a backend: `sqlite:////path`, `otlp:///path/spans*.json`, `clickhouse://host:8123/otel`,
            `prometheus://host:9090`. Default: the store of the setting `record`.
        settings: The settings. Default: those of `instrument`, else those of the environment.

    Returns:
        The lines, the dearest first. Each has `keys` and `sums`; `usd` is a `Decimal`, a lower bound if
        `sums.unpriced` calls have no price, and None if nothing is known.

    Raises:
        AgentCostError: A grouping or a period cannot be understood, or there is no such store.

    Example:
        for line in otel_agentcost.spend(since="yesterday", by="agent,model"):
            print(line.keys, line.usd)
    """
    settings = settings or runtime.settings_in_use() or from_environment()
    url = source or settings.record
    if url is None:
        raise UnclearQuestion(
            "No spend store is named: set OTEL_AGENTCOST_RECORD=sqlite:////path/to/file, or pass the source."
        )
    running = active.active()
    if running is not None:
        running.recorder.flush()
    begins, ends = period(since, until, time.time(), settings.time_zone)
    question = Question(by=groupings(by), since=begins, until=ends, zone=settings.time_zone)
    opened_source = open_source(url)
    try:
        return opened_source.spend(question)
    finally:
        opened_source.close()


def remaining(
    *,
    user: str | None = None,
    tenant: str | None = None,
    team: str | None = None,
    feature: str | None = None,
    agent: str | None = None,
    conversation: str | None = None,
    model: str | None = None,
    settings: Settings | None = None,
) -> list[Allowance]:
    """Return what is left of every budget that applies to a call here, now.

    The attribution is that of the current context, with the arguments in place of its values. The answer is that of the
    ledger: with `memory://`, of this process.

    Args:
        user: The user; so are the other arguments the values of a call.
        tenant: Id of the tenant.
        team: Name of the team.
        feature: Name of the product feature.
        agent: Name of the agent.
        conversation: Id of the conversation.
        model: The requested model.
        settings: The settings. Default: those of `instrument`, else those of the environment.

    Returns:
        An allowance for each budget and unit: `spent`, `reserved`, `left` (US dollars as `Decimal`), `resets_at`.

    Raises:
        AgentCostError: The ledger does not answer.

    Example:
        for budget in otel_agentcost.remaining(user="u1"):
            print(budget.budget, budget.left, budget.resets_at)
    """
    settings = settings or runtime.settings_in_use() or from_environment()
    named = {"user": user, "tenant": tenant, "team": team, "feature": feature, "agent": agent}
    ctx = attribution.within(blocks.here(), **named, conversation=conversation)
    who = attribution.current(ctx, settings.attribution)
    span = trace.get_current_span(ctx)
    scopes: dict[Scope, str] = {"process": process_name(), "total": ""}
    if span.get_span_context().is_valid:
        scopes["trace"] = trace_id_of(span)
    scopes |= {scope: who[attribute] for attribute, scope in SCOPES if attribute in who}
    if model is not None:
        scopes["model"] = model
    runs: list[tuple[Budget, str]] = [
        (run.budget, run.value) for run in run_context.current(ctx) if run.budget is not None
    ]
    now = time.time()
    rules = [*applying(settings.rules, scopes), *runs]
    standing, rolling = _standings(settings, now)
    return of(rules, standing, now, settings.time_zone, rolling=rolling)


def _standings(settings: Settings, now: float) -> tuple[Callable[[str], Standing | None], bool]:
    """Return the function that asks the ledger: that of the instrumentation, or one that is opened for this. And
    whether it knows rolling windows.
    """
    running = active.active()
    gate = running.gates.gate if running is not None else None
    if gate is not None:
        kept = gate.guard.ledger
        return (lambda key: kept.standing(key, now)), getattr(kept.wrapped, "rolling", False)
    ledger = opened(settings.ledger, max(1.0, settings.ledger_timeout))
    return (lambda key: ledger.standing(key, now=now)), getattr(ledger, "rolling", False)
