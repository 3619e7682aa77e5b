"""Who and what a call is for: user, tenant, team, feature, agent, conversation.

Four sources, the nearest wins: `attribute(...)` in the code, W3C baggage that came with a request, the span of the
agent that makes the call (its name, its conversation), and the environment. What `attribute` sets lives in the
OpenTelemetry context, so it follows tasks, `asyncio.gather`, and (through the threading instrumentation) worker
threads, as the current span does. It is not written into baggage: a user's id must not leave the process in a header
that nobody asked for.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import cast

from opentelemetry import baggage, context
from opentelemetry.context import Context

from otel_agentcost.core import semconv
from otel_agentcost.diagnostics import report
from otel_agentcost.telemetry.rollup import Tally

_KEY = context.create_key("agentcost-attribution")

BAGGAGE_KEYS = (semconv.USER, semconv.TENANT, semconv.TEAM, semconv.FEATURE, semconv.AGENT, semconv.CONVERSATION)

NOBODY: Mapping[str, str] = {}


@contextmanager
def attribute(
    *,
    user: str | None = None,
    tenant: str | None = None,
    team: str | None = None,
    feature: str | None = None,
    agent: str | None = None,
    conversation: str | None = None,
) -> Generator[None]:
    """Says for whom and for what the model and tool calls inside the block are made.

    Nested blocks add to and override what the outer ones say. Usable as a decorator too. The values end up on
    the spans (`user.id`, `agentcost.tenant`, `agentcost.team`, `agentcost.feature`, `gen_ai.agent.name`,
    `gen_ai.conversation.id`) and, except for the conversation, on the `agentcost.cost` metric.
    """
    follow_into_threads()
    ctx = within(
        context.get_current(),
        user=user,
        tenant=tenant,
        team=team,
        feature=feature,
        agent=agent,
        conversation=conversation,
    )
    token = context.attach(ctx)
    try:
        yield
    finally:
        context.detach(token)


def within(
    ctx: Context,
    *,
    user: str | None = None,
    tenant: str | None = None,
    team: str | None = None,
    feature: str | None = None,
    agent: str | None = None,
    conversation: str | None = None,
) -> Context:
    """`ctx` with what `attribute` is given."""
    given = {
        semconv.USER: user,
        semconv.TENANT: tenant,
        semconv.TEAM: team,
        semconv.FEATURE: feature,
        semconv.AGENT: agent,
        semconv.CONVERSATION: conversation,
    }
    said = {key: str(value) for key, value in given.items() if value is not None}
    return context.set_value(_KEY, {**_set_in(ctx), **said}, ctx) if said else ctx


def follow_into_threads() -> None:
    """Lets the context follow into threads, from the first `attribute` on, unless something does so already.

    Imported here because it costs as much as all of this package, and whoever attributes nothing does not need it.
    `opentelemetry-instrument` loads it by itself, and leaves it out where the user has disabled it.
    """
    global _asked_threads  # noqa: PLW0603
    if _asked_threads:
        return
    _asked_threads = True
    try:
        from opentelemetry.instrumentation.threading import ThreadingInstrumentor  # noqa: PLC0415

        disabled = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")
        if "threading" not in disabled and not ThreadingInstrumentor().is_instrumented_by_opentelemetry:
            ThreadingInstrumentor().instrument()
    except Exception as error:
        report("carrying the attribution into threads", error)


_asked_threads = False


def current(ctx: Context, defaults: Mapping[str, str], tally: Tally | None = None) -> Mapping[str, str]:
    """The attribution in force in `ctx`, as span attributes; `defaults` are the environment's.

    `tally` is the one that the call adds to: the span of the agent that it belongs to may name agent and conversation.
    """
    own = _set_in(ctx)
    carried = baggage.get_all(ctx)
    told = tally.said() if tally is not None else NOBODY
    if told:
        defaults = {**defaults, **told}
    if carried:
        return {**defaults, **{key: str(carried[key]) for key in BAGGAGE_KEYS if carried.get(key)}, **own}
    return {**defaults, **own} if own else defaults


def _set_in(ctx: Context) -> Mapping[str, str]:
    """What `attribute` has set in `ctx`."""
    return cast("Mapping[str, str]", context.get_value(_KEY, ctx) or NOBODY)
