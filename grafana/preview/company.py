"""A fictional company as sample data for the boards: its agents, their users, and a typical run of each.

Prices come from the price book; everything else is invented.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model: its name in requests and its name in responses."""

    provider: str
    requested: str
    responding: str


SONNET: Final = Model(provider="anthropic", requested="claude-sonnet-4-5", responding="claude-sonnet-4-5-20250929")
OPUS: Final = Model(provider="anthropic", requested="claude-opus-4-5", responding="claude-opus-4-5-20251101")
HAIKU: Final = Model(provider="anthropic", requested="claude-haiku-4-5", responding="claude-haiku-4-5-20251001")
GPT_5: Final = Model(provider="openai", requested="gpt-5", responding="gpt-5-2025-08-07")
GPT_41: Final = Model(provider="openai", requested="gpt-4.1", responding="gpt-4.1-2025-04-14")
GPT_4O: Final = Model(provider="openai", requested="gpt-4o", responding="gpt-4o-2024-08-06")
GPT_4O_MINI: Final = Model(provider="openai", requested="gpt-4o-mini", responding="gpt-4o-mini-2024-07-18")
FLASH: Final = Model(provider="gcp.gemini", requested="gemini-2.5-flash", responding="gemini-2.5-flash")
SELF_HOSTED: Final = Model(provider="openai", requested="house-llm-7b", responding="house-llm-7b")
"""A self-hosted model with an OpenAI-compatible API and without a known price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One agent and its typical run."""

    name: str
    service: str
    team: str
    feature: str
    users: tuple[str, ...]
    """Users, the most active first."""
    models: tuple[tuple[Model, float], ...]
    """Models with their shares of the calls."""
    runs: float
    """Runs on a working day."""
    steps: tuple[int, int]
    """Minimum and maximum number of model calls of a run."""
    prompt: int
    """Input tokens of the first call; each further call adds `growth` times as many."""
    growth: float
    output: int
    """Mean output tokens of a call."""
    cached: float = 0.0
    """Share of a repeated prompt that the provider reads from its cache."""
    reasoning: float = 0.0
    """Share of the output that is reasoning."""
    tools: tuple[tuple[str, float], ...] = ()
    """Tools with their prices per call in dollars."""
    environment: str = "production"
    tenant: str | None = None
    nightly: bool = False
    failing: float = 0.01
    """Share of the calls that fail."""
    looping: float = 0.0
    """Share of the runs with a loop."""


AGENTS: Final = (
    Agent(
        name="support-desk", service="helpdesk", team="support", feature="tickets", users=("mara", "jonas"),
        models=((SONNET, 0.7), (HAIKU, 0.3)), runs=110, steps=(2, 6), prompt=5200, growth=0.25, output=420,
        cached=0.85, tools=(("search_tickets", 0.0), ("send_mail", 0.0004)), tenant="acme",
    ),
    Agent(
        name="researcher", service="research-api", team="research", feature="reports", users=("ada", "wei"),
        models=((GPT_5, 1.0),), runs=34, steps=(4, 14), prompt=3800, growth=0.6, output=1500, cached=0.4,
        reasoning=0.55, tools=(("web_search", 0.005), ("read_page", 0.001)), looping=0.09, failing=0.02,
    ),
    Agent(
        name="coder", service="dev-tools", team="platform", feature="pull-requests", users=("tomas", "ines"),
        models=((OPUS, 0.8), (HAIKU, 0.2)), runs=22, steps=(5, 22), prompt=9000, growth=0.35, output=900,
        cached=0.9, tools=(("run_tests", 0.002),), looping=0.02,
    ),
    Agent(
        name="invoice-reader", service="back-office", team="finance", feature="invoices", users=("batch",),
        models=((GPT_41, 1.0),), runs=260, steps=(1, 1), prompt=3100, growth=0.0, output=35, nightly=True,
    ),
    Agent(
        name="sales-assistant", service="crm", team="sales", feature="offers", users=("lena", "omar"),
        models=((GPT_4O, 0.75), (GPT_4O_MINI, 0.25)), runs=70, steps=(1, 5), prompt=2400, growth=0.3, output=500,
        cached=0.25, tools=(("crm_lookup", 0.0008),), tenant="acme",
    ),
    Agent(
        name="copywriter", service="campaigns", team="marketing", feature="newsletters", users=("sofia",),
        models=((FLASH, 1.0),), runs=45, steps=(1, 4), prompt=1800, growth=0.2, output=1100, reasoning=0.2,
    ),
    Agent(
        name="coder", service="dev-tools", team="platform", feature="pull-requests", users=("tomas",),
        models=((OPUS, 1.0),), runs=3, steps=(3, 9), prompt=7000, growth=0.3, output=700, cached=0.6,
        environment="staging",
    ),
)  # fmt: skip
