"""The demo's terminal: what it prints comes from span attributes, and it says when they do not add up."""

from __future__ import annotations

import io
import re
from decimal import Decimal

import pytest
from opentelemetry.sdk.trace import TracerProvider
from rich.console import Console

from otel_agentcost.cli.demo.terminal import LiveView, dollars, print_bill

Attributes = dict[str, str | int | float]

CHAT: Attributes = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.input_tokens": 12_345,
    "gen_ai.usage.output_tokens": 678,
    "gen_ai.usage.cache_read.input_tokens": 1_024,
    "agentcost.cost.usd": 0.0363625,
}
TOOL: Attributes = {"gen_ai.operation.name": "execute_tool", "agentcost.cost.usd": 0.005}
ROLLUP: Attributes = {
    "gen_ai.operation.name": "invoke_agent",
    "agentcost.trace.cost_usd": 0.0413625,
    "agentcost.trace.llm_cost_usd": 0.0363625,
    "agentcost.trace.tool_cost_usd": 0.005,
    "agentcost.trace.llm_calls": 1,
    "agentcost.trace.tool_calls": 1,
    "agentcost.trace.input_tokens": 12_345,
    "agentcost.trace.output_tokens": 678,
}


class Shown:
    """A view on a console of `width` columns that writes to memory."""

    def __init__(self, width: int = 100, *, terminal: bool = False) -> None:
        self.written = io.StringIO()
        self.console = Console(file=self.written, width=width, force_terminal=terminal, highlight=False)
        self.view = LiveView(self.console)
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(self.view)
        self.tracer = self.provider.get_tracer("test")

    def span(self, name: str, attributes: Attributes) -> None:
        """One span with `attributes`, from its start to its end."""
        with self.tracer.start_as_current_span(name) as span:
            span.set_attributes(attributes)

    def run(self) -> None:
        """One run: a model call, a tool call, and the agent's span with the roll-up."""
        self.span("chat gpt-4o", CHAT)
        self.span("execute_tool web_search", TOOL)
        self.span("invoke_agent researcher", ROLLUP)

    @property
    def lines(self) -> list[str]:
        """What was written so far."""
        return self.written.getvalue().splitlines()


def test_a_line_shows_what_the_span_says() -> None:
    """Name, model that served, tokens in, out and cached, dollars, and the running total."""
    shown = Shown()
    shown.span("chat gpt-4o", CHAT)
    shown.span("execute_tool web_search", TOOL)
    model, tool = (re.split(r"\s{2,}", line.strip()) for line in shown.lines)
    assert model == ["chat gpt-4o", "gpt-4o-2024-08-06", "12,345", "678", "1,024", "$0.036362", "$0.036362"]
    assert tool == ["execute_tool web_search", "$0.005000", "$0.041362"]


def test_other_spans_are_not_shown() -> None:
    """Spans that are neither a model call nor a tool call nor an agent leave the terminal alone."""
    shown = Shown()
    shown.span("GET /", {"http.request.method": "GET"})
    assert shown.lines == []
    assert shown.view.runs == []


def test_an_unpriced_call_is_not_shown_as_zero() -> None:
    """A call without dollars is shown as unpriced, with the reason from its span, and so is a sum of nothing else."""
    shown = Shown()
    priced = {name: value for name, value in CHAT.items() if name != "agentcost.cost.usd"}
    shown.span("chat a-model", {**priced, "agentcost.unpriced": "no price for a-model"})
    assert "unpriced  unpriced" in re.sub(r"\s{3,}", "  ", shown.lines[0])
    assert "unpriced: no price for a-model" in shown.lines[1]
    shown.span("chat gpt-4o", CHAT)
    assert shown.lines[2].endswith("$0.036362  >=$0.036362")


def test_a_bill_of_unpriced_calls_does_not_come_to_zero() -> None:
    """A run of which nothing is priced has no dollars in any table; one that is priced in part has a lower bound."""
    priced = {name: value for name, value in CHAT.items() if name != "agentcost.cost.usd"}
    rolled = {name: value for name, value in ROLLUP.items() if not name.endswith("_usd")}
    shown = Shown()
    shown.span("chat", {**priced, "agentcost.unpriced": "no price", "gen_ai.response.model": "a-model"})
    shown.span("invoke_agent one", {**rolled, "agentcost.trace.unpriced_calls": 1})
    print_bill(shown.console, shown.view.runs)
    assert "$0" not in "".join(line for line in shown.lines if "a-model" in line)
    assert shown.lines[-1] == "  unpriced for models + $0.00 for tools = unpriced"
    both = Shown()
    both.span("chat", {**priced, "agentcost.unpriced": "no price"})
    both.span("chat", CHAT)
    both.span("invoke_agent two", {**ROLLUP, "agentcost.trace.unpriced_calls": 1})
    print_bill(both.console, both.view.runs)
    assert both.lines[-1] == "  >=$0.0363625 for models + $0.00 for tools = >=$0.0363625"
    assert ">=$0.041362" in both.written.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_lines_keep_to_the_width(width: int) -> None:
    """Every line fits the terminal, on one line; only the name is cut, never a number."""
    shown = Shown(width)
    shown.view.heading("a run")
    shown.span("a name that is quite a bit longer than there is room for it", CHAT)
    assert max(map(len, shown.lines)) <= max(width, 71)
    assert shown.lines[-1].endswith("12,345     678    1,024   $0.036362   $0.036362")


def test_the_bill_adds_up() -> None:
    """The tables show the roll-ups and the sums of the calls, and the sentence shows them to the last digit."""
    shown = Shown()
    shown.run()
    assert shown.view.runs[0].disagreements() == []
    print_bill(shown.console, shown.view.runs)
    assert shown.lines[-2:] == [
        "1 model calls, 12,345 input and 678 output tokens:",
        "  $0.0363625 for models + $0.005 for tools = $0.0413625",
    ]
    text = shown.written.getvalue()
    assert "$0.041362" in text.split("by model")[0].split("by run")[1]
    assert re.search(r"gpt-4o-2024-08-06\W+openai\W+1\W+12,345\W+1,024\W+678\W+\$0\.036362", text.split("by model")[1])


def test_the_bill_fits_eighty_columns() -> None:
    """In a terminal of 80 columns every number of the tables is whole, and a long name goes over two lines."""
    shown = Shown(80)
    model = "claude-haiku-4-5-20251001-and-more"
    figures: Attributes = {"agentcost.trace.input_tokens": 123_456, "agentcost.trace.cost_usd": 0.01234567890123}
    shown.span("chat", {**CHAT, "gen_ai.response.model": model, "agentcost.cost.usd": 0.01234567890123})
    shown.span("invoke_agent researcher", {**ROLLUP, **figures})
    print_bill(shown.console, shown.view.runs)
    assert max(map(len, shown.lines)) <= 80
    text = shown.written.getvalue()
    assert "\u2026" not in text
    rows = text.split("by model")[0].partition(" total")[2].split("\n")[1:]
    assert "".join(row[:16].strip() for row in rows) == model
    (row,) = (line for line in shown.lines if " 123,456 " in line)
    assert re.fullmatch(r"claude\S+ +1 +1 +123,456 +678 +\$0\.036362 +\$0\.005000 +\$0\.012346\s*", row)


def test_tables_stand_apart() -> None:
    """A blank line goes before each table and before the sentence."""
    shown = Shown()
    shown.run()
    print_bill(shown.console, shown.view.runs)
    starts = [number for number, line in enumerate(shown.lines) if line.startswith(("by run", "by model", "1 model"))]
    assert [shown.lines[number - 1].strip() for number in starts] == ["", "", ""]


def test_a_narrow_terminal_names_the_model() -> None:
    """Where there is room for one name only, it is the model's, whatever the span is called."""
    shown = Shown(80)
    shown.span("anthropic.messages.create", CHAT)
    shown.span("execute_tool web_search", TOOL)
    assert shown.lines[0].startswith("  gpt-4o-2024-08-06 ")
    assert shown.lines[1].startswith("  execute_tool web_search ")


@pytest.mark.parametrize("name", [name for name in ROLLUP if name.startswith("agentcost.") and "llm_cost" not in name])
def test_a_roll_up_that_does_not_add_up_is_named(name: str) -> None:
    """A wrong number on the agent's span, or none, is found and named."""
    for wrong in ({**ROLLUP, name: 99}, {key: value for key, value in ROLLUP.items() if key != name}):
        shown = Shown()
        shown.span("chat gpt-4o", CHAT)
        shown.span("execute_tool web_search", TOOL)
        shown.span("invoke_agent researcher", wrong)
        (text,) = shown.view.runs[0].disagreements()
        assert text.startswith(name)


def test_a_terminal_shows_what_is_in_flight() -> None:
    """On a terminal the name of the open span and the dollars so far are shown while it lasts."""
    shown = Shown(terminal=True)
    with shown.tracer.start_as_current_span("invoke_agent researcher", attributes=ROLLUP):
        shown.span("execute_tool web_search", TOOL)
        with shown.tracer.start_as_current_span("chat gpt-4o", attributes=CHAT):
            pass
    assert "chat gpt-4o   $0.005 so far" in shown.written.getvalue()


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        ("0.142", "$0.142"),
        ("0", "$0.00"),
        ("1.5", "$1.50"),
        ("2E+1", "$20.00"),
        ("0.0000000375", "$0.0000000375"),
        ("1234.1000", "$1234.10"),
    ],
)
def test_dollars_are_exact(usd: str, text: str) -> None:
    """Amounts are written to their last digit, and at least to the cent."""
    assert dollars(Decimal(usd)) == text
