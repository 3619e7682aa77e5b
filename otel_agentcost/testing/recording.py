"""A test's own instrumentation: `recording()` for a block, `exceeded()` to have model calls refused in it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import otel_agentcost
from otel_agentcost import runtime
from otel_agentcost.settings.table import Settings
from otel_agentcost.testing.calls import CallExporter, RecordedCall, RecordedTool
from otel_agentcost.testing.fake_model import FakeModel

__all__ = ["Recording", "exceeded", "recording"]


class Recording:
    """The calls in a `recording()` block so far, and a fake model for it."""

    def __init__(self, exporter: CallExporter) -> None:
        self.model = FakeModel()
        """A fake model; `model.answers(...)` says what it answers."""
        self._exporter = exporter

    @property
    def calls(self) -> tuple[RecordedCall, ...]:
        """The model calls that have ended, refused ones included."""
        return self._exporter.calls

    @property
    def tools(self) -> tuple[RecordedTool, ...]:
        """The tool calls that have ended."""
        return self._exporter.tools

    @property
    def usd(self) -> Decimal:
        """US dollars of all calls and tools that have a price."""
        return self._exporter.usd

    def clear(self) -> None:
        """Forget the calls so far."""
        self._exporter.clear()


@contextmanager
def recording(
    *, settings: Settings | None = None, tracer_provider: TracerProvider | None = None
) -> Generator[Recording, None, None]:
    """Instrument the SDKs within a block, and keep what is called there in memory.

    Args:
        settings: The settings; by default those of a fresh installation. The environment is not read.
        tracer_provider: Where spans go, for an application that has a provider of its own; by default a new one that
            nothing else sees. The global providers are never replaced.

    Yields:
        A `Recording`.

    Raises:
        RuntimeError: The process is instrumented already.

    Example:
        with recording(settings=Settings(trace_budget_usd="0.10")) as made:
            my_agent(made.model.openai())
        assert made.usd < 1

    """
    if runtime.running():
        raise RuntimeError(
            "This process is instrumented already: call otel_agentcost.uninstrument() before the test, or add a "
            "CallExporter to the application's own tracer provider."
        )
    exporter = CallExporter()
    provider = tracer_provider or TracerProvider(shutdown_on_exit=False)
    processor = SimpleSpanProcessor(exporter)
    provider.add_span_processor(processor)
    meter_provider = MeterProvider(shutdown_on_exit=False)
    otel_agentcost.instrument(tracer_provider=provider, meter_provider=meter_provider, settings=settings or Settings())
    try:
        yield Recording(exporter)
    finally:
        otel_agentcost.uninstrument()
        meter_provider.shutdown()
        if tracer_provider is None:
            provider.shutdown()


@contextmanager
def exceeded(*, after: int = 0) -> Generator[None, None, None]:
    """Have model calls within a block refused with `BudgetExceeded`, as in production.

    A run with an allowance that is too small does it, so that the whole way of a refusal is tested: the reservation,
    the exception, the span, its event and the metrics. Nothing is sent to the model. It needs an instrumented process,
    as in `recording()`, and holds for what the block starts: tasks and threads that ran before are not in it.

    Args:
        after: How many calls are admitted before the first refusal.

    Raises:
        RuntimeError: The process is not instrumented.
        ValueError: `after` is negative.

    Example:
        with exceeded(), pytest.raises(BudgetExceeded):
            my_agent(client)

    """
    if after < 0:
        raise ValueError(f"after={after!r} is negative: write how many calls are admitted before the first refusal")
    if not runtime.running():
        raise RuntimeError("This process is not instrumented: use exceeded() inside of recording().")
    # No call fits into a billionth of a dollar and one token: the first holds what has a price, the other the rest.
    limits: dict[str, Any] = {"llm_calls": after} if after else {"usd": Decimal(0), "tokens": 1}
    with otel_agentcost.run("exceeded", on_exceed="block", **limits):
        yield
