"""Attribution of calls: user, tenant, team, feature, agent, conversation.

There are four sources, in order of precedence: `attribute(...)` in the code, W3C baggage of the incoming request, the
span of the agent that makes the call (its name and conversation), and the environment. `attribute` stores its values
in the OpenTelemetry context. Like the current span, they follow tasks, `asyncio.gather` and, through the threading
instrumentation, worker threads. They are never written to baggage, because a user's id must not leave the process in
a header without the consent of the application.
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

_NO_ATTRIBUTION: Mapping[str, str] = {}


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
    """Attribute the model and tool calls inside a `with` block, or inside a decorated function.

    The values are set on the spans of the calls. All but the conversation are also set on the metrics `agentcost.cost`
    and `agentcost.tokens`. Budgets and circuit breakers use them to find the user, tenant, team, feature, agent or
    conversation of a call. A nested block adds to the outer ones, and overrides their values. The values follow tasks
    and threads, but do not leave the process. An argument that is None, the default, keeps the value of the outer block
    or of another source. A value that is not a string is converted with `str`.

    Args:
        user: Id of the user: `user.id`.
        tenant: Id of the tenant: `agentcost.tenant`.
        team: Name of the team: `agentcost.team`.
        feature: Name of the product feature: `agentcost.feature`.
        agent: Name of the agent: `gen_ai.agent.name`.
        conversation: Id of the conversation: `gen_ai.conversation.id`.

    Example:
        with otel_agentcost.attribute(user="u1", feature="support"):
            client.chat.completions.create(model="gpt-4o-mini", messages=messages)
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
    """Return `ctx` with attribution added; the arguments are those of `attribute`."""
    arguments = {
        semconv.USER: user,
        semconv.TENANT: tenant,
        semconv.TEAM: team,
        semconv.FEATURE: feature,
        semconv.AGENT: agent,
        semconv.CONVERSATION: conversation,
    }
    values = {key: str(value) for key, value in arguments.items() if value is not None}
    return context.set_value(_KEY, {**_set_in(ctx), **values}, ctx) if values else ctx


def follow_into_threads() -> None:
    """Propagate the context into threads, from the first call on: enable the threading instrumentation once.

    It does nothing if that instrumentation is enabled already, as under `opentelemetry-instrument`, or if
    `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS` disables it. Errors are logged, and never raised.
    """
    global _threads_handled  # noqa: PLW0603
    if _threads_handled:
        return
    _threads_handled = True
    try:
        # Imported late: it takes as long as this whole package, and only an application that uses attribution needs it.
        from opentelemetry.instrumentation.threading import ThreadingInstrumentor  # noqa: PLC0415

        disabled = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")
        if "threading" not in disabled and not ThreadingInstrumentor().is_instrumented_by_opentelemetry:
            ThreadingInstrumentor().instrument()
    except Exception as error:
        report("propagating the attribution into threads", error)


_threads_handled = False


def current(ctx: Context, defaults: Mapping[str, str], tally: Tally | None = None) -> Mapping[str, str]:
    """Return the attribution of a call in `ctx`, as span attributes.

    Args:
        ctx: Context of the call.
        defaults: Attribution from the environment, used where no other source has a value.
        tally: Totals that the call adds to, if any: the span of their agent may name the agent and the conversation.
    """
    set_in_code = _set_in(ctx)
    carried = baggage.get_all(ctx)
    of_agent = tally.agent_attributes() if tally is not None else _NO_ATTRIBUTION
    if of_agent:
        defaults = {**defaults, **of_agent}
    if carried:
        return {**defaults, **{key: str(carried[key]) for key in BAGGAGE_KEYS if carried.get(key)}, **set_in_code}
    return {**defaults, **set_in_code} if set_in_code else defaults


def _set_in(ctx: Context) -> Mapping[str, str]:
    """Return the values that `attribute` has set in `ctx`."""
    return cast("Mapping[str, str]", context.get_value(_KEY, ctx) or _NO_ATTRIBUTION)
