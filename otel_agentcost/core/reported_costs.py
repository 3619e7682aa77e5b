"""The table of what providers and gateways say of money in a response: its cost, or that it came from a cache.

`wire.reported_costs` reads the rows, and `calls.reported_costs` decides which of them to believe. A row is believed at
its hosts, and also at an unknown address if `elsewhere` is set, because a gateway can stand there or pass it on. To
support another provider, add a row.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, NamedTuple

from otel_agentcost.core import money

_DOLLARS: Final = Decimal(1)


class Row(NamedTuple):
    """One field of the response body, or one response header."""

    teller: str
    """The provider or gateway that defines the field, for people."""
    name: str
    """The path of the field (`usage.cost.total_cost`), or the name of the header in lower case."""
    source: str
    """The page that documents it."""
    hosts: tuple[str, ...] = ()
    """The hosts at which it is believed: the host is one of them or lies below one."""
    elsewhere: bool = True
    """True if it is also believed at an address that identifies no provider."""
    header: bool = False
    unit: Decimal = _DOLLARS
    """US dollars for 1."""
    free_models: str = ""
    """The ending of the names of models that are free there: a cost of 0 is believed for them."""
    hits: frozenset[str] = frozenset()
    """For a mark of cached answers: the values of a hit, in lower case. `*` stands for any value. Empty for a cost."""


ROWS: Final = (
    Row(
        teller="xAI",
        name="usage.cost_in_usd_ticks",
        unit=Decimal("1E-10"),
        hosts=("api.x.ai",),
        source="https://docs.x.ai/developers/cost-tracking",
    ),
    Row(
        teller="Perplexity",
        name="usage.cost.total_cost",
        hosts=("api.perplexity.ai",),
        source="https://docs.perplexity.ai/api-reference/chat-completions-post",
    ),
    Row(
        teller="OpenRouter",
        name="usage.cost",
        hosts=("openrouter.ai", "ai-gateway.vercel.sh"),
        free_models=":free",
        source="https://openrouter.ai/docs/use-cases/usage-accounting; Vercel AI Gateway, and a LiteLLM proxy with "
        "include_cost_in_streaming_usage, use the same field",
    ),
    Row(
        teller="DeepInfra",
        name="usage.estimated_cost",
        hosts=("api.deepinfra.com",),
        source="https://docs.deepinfra.com/chat/overview",
    ),
    Row(
        teller="LLM Gateway",
        name="usage.cost_usd_total",
        hosts=("api.llmgateway.io",),
        source="https://docs.llmgateway.io/features/cost-breakdown",
    ),
    Row(
        teller="Eden AI",
        name="cost",
        hosts=("edenai.run",),
        elsewhere=False,
        source="https://docs.edenai.co/v3/overview/ai-gateway: a cost field in USD in every response",
    ),
    Row(
        teller="AI/ML API",
        name="meta.usage.usd_spent",
        hosts=("api.aimlapi.com",),
        source="https://docs.aimlapi.com/",
    ),
    Row(
        teller="LiteLLM",
        name="x-litellm-response-cost",
        header=True,
        source="https://docs.litellm.ai/docs/proxy/response_headers",
    ),
    Row(
        teller="LiteLLM",
        name="x-litellm-cache-key",
        header=True,
        hits=frozenset({"*"}),
        source="https://docs.litellm.ai/docs/proxy/caching, 'Viewing Cache Keys from responses': sent on cache hits",
    ),
    Row(
        teller="LiteLLM",
        name="x-litellm-cache-hit",
        header=True,
        hits=frozenset({"true"}),
        source="https://docs.litellm.ai/docs/proxy/caching",
    ),
    Row(
        teller="Helicone",
        name="helicone-cache",
        header=True,
        hits=frozenset({"hit"}),
        hosts=("helicone.ai", "hconeai.com"),
        source="https://docs.helicone.ai/features/advanced-usage/caching",
    ),
    Row(
        teller="Portkey",
        name="x-portkey-cache-status",
        header=True,
        hits=frozenset({"hit", "semantic hit", "semantic_hit"}),
        hosts=("portkey.ai",),
        source="https://portkey.ai/docs/product/ai-gateway/cache-simple-and-semantic",
    ),
    Row(
        teller="Cloudflare AI Gateway",
        name="cf-aig-cache-status",
        header=True,
        hits=frozenset({"hit"}),
        hosts=("gateway.ai.cloudflare.com",),
        source="https://developers.cloudflare.com/ai-gateway/features/caching/",
    ),
    Row(
        teller="OpenRouter",
        name="x-openrouter-cache-status",
        header=True,
        hits=frozenset({"hit"}),
        hosts=("openrouter.ai",),
        source="https://openrouter.ai/docs/guides/features/response-caching",
    ),
    Row(
        teller="Kong AI Gateway",
        name="x-cache-status",
        header=True,
        hits=frozenset({"hit"}),
        source="https://developer.konghq.com/plugins/ai-semantic-cache/: `X-Cache-Status: Hit`",
    ),
)


class Reported(NamedTuple):
    """One statement of a response: a cost, or that the answer came from a cache."""

    row: Row
    usd: Decimal
    """US dollars; 0 for an answer from a cache."""

    @property
    def cached(self) -> bool:
        """True if the answer came from a cache."""
        return bool(self.row.hits)


def amount(row: Row, value: object) -> Decimal | None:
    """Return the US dollars that a field says; None if its value is not the cost of a call.

    Booleans, text that is no number, negative amounts, infinities, NaN, and a million dollars or more are no costs.
    """
    number = money.from_number(value)
    if number is None:
        return None
    usd = number if row.unit is _DOLLARS else money.multiply(number, row.unit)
    return usd if usd < money.MOST else None
