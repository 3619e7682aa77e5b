"""The output of the demo: a line for every span that ends, and the bill of all runs.

`LiveView` is a span processor, and all that it shows it reads from span attributes, as any backend would: nothing is
passed to it from the agent, the server or the instrumentation. On a terminal it also shows what is in flight;
written to a file or a pipe, the same lines come out plain.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from rich.console import Console
from rich.table import Table
from rich.text import Text

from otel_agentcost.core import money, semconv

PLAIN_WIDTH = 108
"""Columns where there is no terminal to ask."""
MODEL_CALLS = frozenset({semconv.CHAT, semconv.TEXT_COMPLETION, semconv.GENERATE_CONTENT, semconv.EMBEDDINGS})
# Columns after the name: title, width.
COUNTS = (("in", 7), ("out", 6), ("cached", 7), ("dollars", 10), ("total", 10))
MODEL_WIDTH = 18
GAP = "  "
BY_RUN = ("run", "steps", "tools", "input", "output", "model $", "tool $", "total")
BY_MODEL = ("model", "provider", "calls", "input", "cached", "output", "dollars")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One ended span, as far as the demo shows it."""

    name: str
    operation: str
    provider: str = ""
    model: str = ""
    input: int = 0
    output: int = 0
    cached: int = 0
    usd: Decimal | None = None
    unpriced: str = ""

    @classmethod
    def read(cls, span: ReadableSpan) -> Line:
        """Return the figures in the attributes of `span`."""
        given: Mapping[str, object] = span.attributes or {}
        return cls(
            name=span.name,
            operation=str(given.get(semconv.OPERATION, "")),
            provider=str(given.get(semconv.PROVIDER, "")),
            model=str(given.get(semconv.RESPONSE_MODEL) or given.get(semconv.REQUEST_MODEL) or ""),
            input=_count(given, semconv.INPUT_TOKENS),
            output=_count(given, semconv.OUTPUT_TOKENS),
            cached=_count(given, semconv.CACHE_READ_TOKENS),
            usd=money.from_number(given.get(semconv.COST)),
            unpriced=str(given.get(semconv.UNPRICED, "")),
        )


@dataclass(slots=True)
class Run:
    """One run of the agent: its calls and, once it has ended, what its own span says about all of them."""

    lines: list[Line] = field(default_factory=list[Line])
    name: str = ""
    rollup: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def model_lines(self) -> list[Line]:
        """The model calls."""
        return [line for line in self.lines if line.operation in MODEL_CALLS]

    @property
    def usd(self) -> Decimal:
        """All dollars of the run, summed from its calls."""
        return total(line.usd for line in self.lines)

    @property
    def tool_lines(self) -> list[Line]:
        """The tool calls."""
        return [line for line in self.lines if line.operation == semconv.EXECUTE_TOOL]

    @property
    def tool_usd(self) -> Decimal:
        """The dollars of its tools."""
        return total(line.usd for line in self.tool_lines)

    def disagreements(self) -> list[str]:
        """Return the totals of the agent's span that differ from the sums of its calls."""
        added_up: dict[str, Decimal | int] = {
            semconv.TRACE_COST: self.usd,
            semconv.TRACE_TOOL_COST: self.tool_usd,
            semconv.TRACE_LLM_CALLS: len(self.model_lines),
            semconv.TRACE_TOOL_CALLS: len(self.lines) - len(self.model_lines),
            semconv.TRACE_INPUT_TOKENS: sum(line.input for line in self.model_lines),
            semconv.TRACE_OUTPUT_TOKENS: sum(line.output for line in self.model_lines),
        }
        return [
            f"{name} is {self.rollup.get(name)} on the span '{self.name}', and its calls add up to {added}"
            for name, added in added_up.items()
            # A sum of zero may be left out of the span.
            if abs(Decimal(repr(self.rollup.get(name, 0))) - added) > Decimal("1e-12")
        ]


class LiveView(SpanProcessor):
    """Prints each call as its span ends, and keeps what the bill needs."""

    def __init__(self, console: Console) -> None:
        self.runs: list[Run] = []
        self._console = console
        self._status = console.status("")
        self._open = Run()
        self._usd = money.ZERO
        self._unpriced = False
        self._lock = threading.Lock()

    def heading(self, title: str) -> None:
        """Announces a run, and names the columns."""
        self._console.print(Text(f"\n{title}", style="bold"))
        self._row("span", "model", "model or tool", [column for column, _ in COUNTS], "dim")

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 (the SDK's signature)
        """Shows, on a terminal, what is in flight."""
        if self._console.is_terminal:
            self._status.update(f"{span.name}   {amount(self._usd, dollars, unpriced=self._unpriced)} so far")
            self._status.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Prints a call, or takes in what the agent's span says about its calls."""
        line = Line.read(span)
        with self._lock:
            if line.operation in MODEL_CALLS or line.operation == semconv.EXECUTE_TOOL:
                self._open.lines.append(line)
                self._usd = money.add(self._usd, line.usd or money.ZERO)
                self._unpriced = self._unpriced or bool(line.unpriced)
                self._show(line)
            elif line.operation in semconv.AGENT_OPERATIONS:
                self._status.stop()
                self._open.name, self._open.rollup = line.name, dict(span.attributes or {})
                self.runs.append(self._open)
                self._open = Run()

    def _show(self, line: Line) -> None:
        cost, running = rounded(line.usd), amount(self._usd, rounded, unpriced=self._unpriced)
        if line.operation == semconv.EXECUTE_TOOL:
            self._row(line.name, "", line.name, ["", "", "", cost, running], "cyan")
        else:
            counts = [f"{line.input:,}", f"{line.output:,}", f"{line.cached:,}"]
            self._row(line.name, line.model, line.model, [*counts, cost, running], "")
        if line.usd is None and line.unpriced:
            self._console.print(Text(f"{GAP}unpriced: {line.unpriced}", style="yellow"))

    def _row(self, name: str, model: str, short: str, values: Iterable[str], style: str) -> None:
        """One line; on a terminal with little room `short` stands for the name and the model."""
        cells = "".join(GAP + value.rjust(width) for value, (_, width) in zip(values, COUNTS, strict=True))
        room = self._console.width - len(cells) - len(GAP)
        if room < 2 * MODEL_WIDTH:
            name = short
        else:
            cells = GAP + _clip(model, MODEL_WIDTH) + cells
            room -= MODEL_WIDTH + len(GAP)
        self._console.print(Text(GAP + _clip(name, max(room, 10)) + cells, style=style), soft_wrap=True)


def print_bill(console: Console, runs: list[Run]) -> None:
    """The tables at the end: every run, as its agent's span sums it up, and every model."""
    console.print()
    table = _table("by run, from the roll-up on each agent's span", BY_RUN)
    for run in runs:
        models = ", ".join(sorted({line.model for line in run.model_lines}))
        counts = [
            semconv.TRACE_LLM_CALLS,
            semconv.TRACE_TOOL_CALLS,
            semconv.TRACE_INPUT_TOKENS,
            semconv.TRACE_OUTPUT_TOKENS,
        ]
        amounts = [semconv.TRACE_LLM_COST, semconv.TRACE_TOOL_COST, semconv.TRACE_COST]
        table.add_row(
            models,
            *(f"{_count(run.rollup, name):,}" for name in counts),
            *(_rolled_up(run, name) for name in amounts),
        )
    console.print(table)
    console.print()
    lines = [line for run in runs for line in run.model_lines]
    table = _table("by model, from the span of each call", BY_MODEL)
    for provider, model in sorted({(line.provider, line.model) for line in lines}):
        mine = [line for line in lines if (line.provider, line.model) == (provider, model)]
        columns: list[Callable[[Line], int]] = [lambda x: x.input, lambda x: x.cached, lambda x: x.output]
        sums = [f"{sum(map(column, mine)):,}" for column in columns]
        table.add_row(model, provider, str(len(mine)), *sums, spent(mine, rounded))
    console.print(table)
    console.print()
    console.print(summary(runs), style="bold", soft_wrap=True, highlight=False)


def summary(runs: list[Run]) -> str:
    """All runs in one sentence on two lines, added up from the spans of their calls: every digit of it."""
    lines = [line for run in runs for line in run.model_lines]
    tools = [line for run in runs for line in run.tool_lines]
    return (
        f"{len(lines)} model calls, {sum(line.input for line in lines):,} input and"
        f" {sum(line.output for line in lines):,} output tokens:\n"
        f"{GAP}{spent(lines, dollars)} for models + {spent(tools, dollars)} for tools = {spent(lines + tools, dollars)}"
    )


def spent(lines: list[Line], form: Callable[[Decimal], str]) -> str:
    """The dollars of these calls, as far as they are known."""
    return amount(total(line.usd for line in lines), form, unpriced=any(line.unpriced for line in lines))


def amount(usd: Decimal, form: Callable[[Decimal], str], *, unpriced: bool) -> str:
    """An amount from which unpriced calls may be missing: then it is a lower bound, and zero says nothing."""
    if unpriced and not usd:
        return "unpriced"
    return f"{'>=' if unpriced else ''}{form(usd)}"


def dollars(usd: Decimal | None) -> str:
    """An exact amount, to the last digit that is not zero, and at least to the cent."""
    if usd is None:
        return "unpriced"
    whole, _, fraction = f"{usd:f}".partition(".")
    return f"${whole}.{fraction.rstrip('0'):0<2}"


def rounded(usd: Decimal | None) -> str:
    """An amount to the millionth of a dollar, for columns."""
    return "unpriced" if usd is None else f"${usd:.6f}"


def total(amounts: Iterable[Decimal | None]) -> Decimal:
    """The sum of the amounts that are known."""
    result = money.ZERO
    for amount in amounts:
        result = money.add(result, amount or money.ZERO)
    return result


def open_console() -> Console:
    """The terminal; where output goes elsewhere, plain lines of a fixed width."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def _table(title: str, columns: Iterable[str]) -> Table:
    """A table without borders. Where there is little room names are folded, and numbers never."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        pad_edge=False,
        padding=(0, len(GAP), 0, 0),
    )
    for column in columns:
        words = column in ("run", "model", "provider")
        table.add_column(column, justify="left" if words else "right", no_wrap=not words, overflow="fold")
    return table


def _rolled_up(run: Run, name: str) -> str:
    """An amount on the agent's span. A span without it had no amount to report: no call had a price."""
    usd = money.from_number(run.rollup.get(name))
    if usd is None:
        return "unpriced" if run.rollup.get(semconv.TRACE_LLM_CALLS) or run.lines else rounded(money.ZERO)
    return amount(usd, rounded, unpriced=bool(run.rollup.get(semconv.TRACE_UNPRICED_CALLS)))


def _clip(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 2] + ".."


def _count(given: Mapping[str, object], name: str) -> int:
    value = given.get(name)
    return value if isinstance(value, int) else 0
