"""A small company that does not exist: its agents, whom they work for, and what a run of each looks like.

The prices are the price book's; everything else here is made up, so that the boards have something to show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as it is asked for, and as it answers."""

    provider: str
    asked: str
    served: str


SONNET: Final = Model(provider="anthropic", asked="claude-sonnet-4-5", served="claude-sonnet-4-5-20250929")
OPUS: Final = Model(provider="anthropic", asked="claude-opus-4-5", served="claude-opus-4-5-20251101")
HAIKU: Final = Model(provider="anthropic", asked="claude-haiku-4-5", served="claude-haiku-4-5-20251001")
GPT_5: Final = Model(provider="openai", asked="gpt-5", served="gpt-5-2025-08-07")
GPT_41: Final = Model(provider="openai", asked="gpt-4.1", served="gpt-4.1-2025-04-14")
GPT_4O: Final = Model(provider="openai", asked="gpt-4o", served="gpt-4o-2024-08-06")
GPT_4O_MINI: Final = Model(provider="openai", asked="gpt-4o-mini", served="gpt-4o-mini-2024-07-18")
FLASH: Final = Model(provider="gcp.gemini", asked="gemini-2.5-flash", served="gemini-2.5-flash")
HOUSE: Final = Model(provider="openai", asked="house-llm-7b", served="house-llm-7b")
"""Runs on the company's own machines, under an interface like OpenAI's: nobody has told its price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One agent, and a typical run of it."""

    name: str
    service: str
    team: str
    feature: str
    users: tuple[str, ...]
    """The first ones use it most."""
    models: tuple[tuple[Model, float], ...]
    """Each with its share of the calls."""
    runs: float
    """How many a working day."""
    steps: tuple[int, int]
    """Model calls a run, from and to."""
    prompt: int
    """Input tokens of the first call; each further step adds `growth` of it."""
    growth: float
    answer: int
    """Output tokens of a call."""
    cached: float = 0.0
    """Which share of a repeated prompt the provider reads from its cache."""
    reasoning: float = 0.0
    """Which share of the output is thought and not said."""
    tools: tuple[tuple[str, float], ...] = ()
    """Each with its dollars a call."""
    environment: str = "production"
    tenant: str | None = None
    nightly: bool = False
    failing: float = 0.01
    """Which share of the calls fails."""
    looping: float = 0.0
    """Which share of the runs goes round in circles."""


AGENTS: Final = (
    Agent(
        name="support-desk", service="helpdesk", team="support", feature="tickets", users=("mara", "jonas"),
        models=((SONNET, 0.7), (HAIKU, 0.3)), runs=110, steps=(2, 6), prompt=5200, growth=0.25, answer=420,
        cached=0.85, tools=(("search_tickets", 0.0), ("send_mail", 0.0004)), tenant="acme",
    ),
    Agent(
        name="researcher", service="research-api", team="research", feature="reports", users=("ada", "wei"),
        models=((GPT_5, 1.0),), runs=34, steps=(4, 14), prompt=3800, growth=0.6, answer=1500, cached=0.4,
        reasoning=0.55, tools=(("web_search", 0.005), ("read_page", 0.001)), looping=0.09, failing=0.02,
    ),
    Agent(
        name="coder", service="dev-tools", team="platform", feature="pull-requests", users=("tomas", "ines"),
        models=((OPUS, 0.8), (HAIKU, 0.2)), runs=22, steps=(5, 22), prompt=9000, growth=0.35, answer=900,
        cached=0.9, tools=(("run_tests", 0.002),), looping=0.02,
    ),
    Agent(
        name="invoice-reader", service="back-office", team="finance", feature="invoices", users=("batch",),
        models=((GPT_41, 1.0),), runs=260, steps=(1, 1), prompt=3100, growth=0.0, answer=35, nightly=True,
    ),
    Agent(
        name="sales-assistant", service="crm", team="sales", feature="offers", users=("lena", "omar"),
        models=((GPT_4O, 0.75), (GPT_4O_MINI, 0.25)), runs=70, steps=(1, 5), prompt=2400, growth=0.3, answer=500,
        cached=0.25, tools=(("crm_lookup", 0.0008),), tenant="acme",
    ),
    Agent(
        name="copywriter", service="campaigns", team="marketing", feature="newsletters", users=("sofia",),
        models=((FLASH, 1.0),), runs=45, steps=(1, 4), prompt=1800, growth=0.2, answer=1100, reasoning=0.2,
    ),
    Agent(
        name="coder", service="dev-tools", team="platform", feature="pull-requests", users=("tomas",),
        models=((OPUS, 1.0),), runs=3, steps=(3, 9), prompt=7000, growth=0.3, answer=700, cached=0.6,
        environment="staging",
    ),
)  # fmt: skip
