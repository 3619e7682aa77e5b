"""OpenTelemetry spans, exact costs and budgets for the model and tool calls of AI agents.

    import otel_agentcost

    otel_agentcost.instrument()  # not needed under the command opentelemetry-instrument

    with otel_agentcost.run("support-ticket", usd=0.50, user="u1") as run:
        client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    print(run.cost_usd)

The names in `__all__` are the public API. Changing one of them is a breaking change.

PYTEST_DONT_REWRITE: pytest would warn that the package was imported before it, as `opentelemetry-instrument` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from otel_agentcost import runtime
from otel_agentcost._version import __version__
from otel_agentcost.calls.decorators import tool, tool_call
from otel_agentcost.calls.runs import adjust, refund, run
from otel_agentcost.errors import AgentCostError, BudgetExceeded, LoopDetected, SettingsError
from otel_agentcost.settings import Settings
from otel_agentcost.telemetry.attribution import attribute

if TYPE_CHECKING:
    from otel_agentcost.asking import remaining, spend
    from otel_agentcost.instrumentor import AgentCostInstrumentor

__all__ = [
    "AgentCostError",
    "AgentCostInstrumentor",
    "BudgetExceeded",
    "LoopDetected",
    "Settings",
    "SettingsError",
    "__version__",
    "adjust",
    "attribute",
    "instrument",
    "on_context",
    "refund",
    "remaining",
    "run",
    "spend",
    "tool",
    "tool_call",
    "uninstrument",
]


def instrument(
    *,
    tracer_provider: Any = None,
    meter_provider: Any = None,
    logger_provider: Any = None,
    settings: Settings | None = None,
) -> None:
    """Instrument all supported SDKs and tool frameworks, those imported already and those imported later.

    From then on, each model call and tool call has a span with its tokens and its cost in US dollars, and the budgets
    of the settings are enforced. A second call does nothing, and logs a warning if it brings other settings. The
    function logs an invalid setting in one sentence, ignores it, and raises nothing, unless the setting `strict` is
    set: then it raises SystemExit. The command `opentelemetry-instrument` calls it by itself.

    Args:
        tracer_provider: Provider of the tracer. Default: the global provider, even if it is set later.
        meter_provider: Provider of the meter. Default: the global provider.
        logger_provider: Provider of the logger that emits message content. Default: the global provider. It is used
            only if the settings capture content.
        settings: The settings. Default: the environment variables `OTEL_AGENTCOST_*` and the file that
            `OTEL_AGENTCOST_CONFIG` names.

    Example:
        otel_agentcost.instrument(settings=otel_agentcost.Settings(trace_budget_usd=Decimal("0.50")))
    """
    runtime.start(
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
        logger_provider=logger_provider,
        settings=settings,
    )


def on_context(
    function: Callable[..., Any] | None, *, least: int = 20_000, growth: float = 0.25, seconds: float = 30.0
) -> None:
    """Ask a function when the history of requests grows long. It may return shorter messages.

    The function gets one argument, with `messages`, `tokens`, prices, `projected_usd` and `break_even_calls(cleared)`.
    It returns a shorter list of messages, or None to send the request as it is. It may be a coroutine function. A call
    and its result stay together, and the instructions at the beginning and the last message stay as they are; otherwise
    the request is sent as it was. It is not asked about model calls that it makes itself. It takes precedence over the
    setting `on_context`.

    Args:
        function: The function; None: no function is asked any longer.
        least: The input tokens below which it is not asked.
        growth: The growth since it was last asked, as a share, after which it is asked again.
        seconds: How long it may take. Then the request is sent as it was.

    Example:
        otel_agentcost.on_context(lambda context: [context.messages[0], *context.messages[-4:]], least=50_000)
    """
    runtime.set_context_hook(function, least=least, growth=growth, seconds=seconds)


def uninstrument() -> None:
    """Restore every patched SDK and tool framework.

    Spans and budgets of in-flight calls are still settled. Without a previous `instrument()`, it does nothing.
    """
    runtime.stop()


def __getattr__(name: str) -> Any:
    # The base class of the instrumentor takes longer to import than this whole package, so it is imported on demand; so
    # is what answers questions, which few programs ask.
    if name == "AgentCostInstrumentor":
        from otel_agentcost.instrumentor import AgentCostInstrumentor  # noqa: PLC0415

        return AgentCostInstrumentor
    if name in ("remaining", "spend"):
        from otel_agentcost import asking  # noqa: PLC0415 (imports the store, which few programs ask)

        return getattr(asking, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
