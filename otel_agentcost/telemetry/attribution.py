"""Attribution of calls: user, tenant, team, feature, agent, conversation.

There are four sources, in order of precedence: `attribute(...)` in the code, W3C baggage of the incoming request, the
span of the agent that makes the call (its name and conversation), and the environment. `attribute` opens a block
(`blocks.py`). Its values follow tasks, `asyncio.gather` and threads. They are never written to baggage, because a
user's id must not leave the process in a header without the consent of the application.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Literal, TypeVar

from opentelemetry import baggage
from opentelemetry.context import Context

from otel_agentcost.core import semconv
from otel_agentcost.telemetry import blocks
from otel_agentcost.telemetry.blocks import AgentFrame, Block, Entered
from otel_agentcost.telemetry.generators import decorated
from otel_agentcost.telemetry.rollup import Tally

_F = TypeVar("_F", bound=Callable[..., Any])

BAGGAGE_KEYS = (semconv.USER, semconv.TENANT, semconv.TEAM, semconv.FEATURE, semconv.AGENT, semconv.CONVERSATION)

_NO_ATTRIBUTION: Mapping[str, str] = {}


def attribute(
    *,
    user: str | None = None,
    tenant: str | None = None,
    team: str | None = None,
    feature: str | None = None,
    agent: str | None = None,
    conversation: str | None = None,
) -> Attributing:
    """Attribute the model and tool calls inside a `with` or `async with` block, or inside a decorated function.

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

    Returns:
        A context manager for `with` and `async with`, which is also a decorator.

    Example:
        with otel_agentcost.attribute(user="u1", feature="support"):
            client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    """
    return Attributing(
        {
            "user": user,
            "tenant": tenant,
            "team": team,
            "feature": feature,
            "agent": agent,
            "conversation": conversation,
        }
    )


class Attributing(AbstractContextManager[None], AbstractAsyncContextManager[None]):
    """A context manager and decorator, from `attribute`. It may be entered several times, and left anywhere."""

    def __init__(self, values: Mapping[str, str | None]) -> None:
        self._values = values
        self._entered: list[Entered] = []

    def __enter__(self) -> None:
        outer = blocks.here()
        self._entered.append(Entered(within(outer, **self._values), outer))

    def __exit__(self, *_exc: object) -> Literal[False]:
        if (leaving := blocks.take_current(self._entered)) is not None:
            leaving.leave()
        return False

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(self, *_exc: object) -> Literal[False]:
        return self.__exit__()

    def __call__(self, function: _F) -> _F:
        """Decorate a synchronous or `async` function or generator: its calls are attributed."""
        return decorated(function, lambda: Attributing(self._values))


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
    if not values:
        return ctx
    outer = blocks.of(ctx)
    if outer is None:
        return blocks.within(ctx, Block(values, (), None))
    return blocks.within(ctx, Block({**outer.attributes, **values}, outer.runs, outer, outer.carried))


def within_agent(
    ctx: Context, tally: Tally | None, *, agent: str | None, conversation: str | None, unit: str | None = None
) -> Context:
    """Return `ctx` inside an agent of a framework.

    Args:
        ctx: The context outside of the agent.
        tally: The totals that calls there add to.
        agent: The name of the agent; None if it has none.
        conversation: The id of its conversation; None if it has none.
        unit: A new name for this run of it, where no span is open; None if one is.
    """
    values = {semconv.AGENT: agent, semconv.CONVERSATION: conversation}
    own = {name: value for name, value in values.items() if value is not None}
    outer = blocks.of(ctx)
    if outer is None:
        return blocks.within(ctx, Block(_NO_ATTRIBUTION, (), None, agents=(AgentFrame(own, tally, unit),)))
    around = outer.agents[0].attributes if outer.agents else _NO_ATTRIBUTION
    unit = outer.agents[0].unit if outer.agents else None if outer.runs else unit
    agents = (AgentFrame({**around, **own}, tally, unit), *outer.agents)
    return blocks.within(ctx, Block(outer.attributes, outer.runs, outer, outer.carried, agents))


def unit_of_agent(ctx: Context) -> str | None:
    """Return the name of the agent's run that calls in `ctx` count in where no span is open; None if there is none."""
    block = blocks.of(ctx)
    return block.agents[0].unit if block is not None and block.agents else None


def enclosing_agents(ctx: Context, tally: Tally | None) -> list[Mapping[str, str]]:
    """Return the agents around a call, each as its name and conversation by attribute name.

    Args:
        ctx: Context of the call.
        tally: Totals that the call adds to, if any: they know agents whose spans other instrumentations made.
    """
    block = blocks.of(ctx)
    agents: list[Mapping[str, str]] = [each.attributes for each in block.agents] if block is not None else []
    while tally is not None:
        agents.append(tally.agent_attributes())
        tally = tally.outer
    return agents


def current(ctx: Context, defaults: Mapping[str, str], tally: Tally | None = None) -> Mapping[str, str]:
    """Return the attribution of a call in `ctx`, as span attributes.

    Args:
        ctx: Context of the call.
        defaults: Attribution from the environment, used where no other source has a value.
        tally: Totals that the call adds to, if any: the span of their agent may name the agent and the conversation.
    """
    block = blocks.of(ctx)
    set_in_code = block.attributes if block is not None else _NO_ATTRIBUTION
    carried = baggage.get_all(ctx)
    of_agent = tally.agent_attributes() if tally is not None else _NO_ATTRIBUTION
    if block is not None and block.agents:
        agent = block.agents[0]
        # Totals inside of the agent are those of its span, or of an agent inside of it that only has a span.
        inner = (of_agent, agent.attributes) if tally is agent.outer else (agent.attributes, of_agent)
        of_agent = {**inner[0], **inner[1]}
    if of_agent:
        defaults = {**defaults, **of_agent}
    if carried:
        return {**defaults, **{key: str(carried[key]) for key in BAGGAGE_KEYS if carried.get(key)}, **set_in_code}
    return {**defaults, **set_in_code} if set_in_code else defaults
