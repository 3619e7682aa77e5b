"""Providers that answer what an administrator asks, over real HTTP, with values of the SDKs' own types.

A page is built as an instance of the type that the SDK would read it into, so that a field which the SDK does not have
cannot be in a fixture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

from anthropic.types.beta.beta_cache_creation import BetaCacheCreation
from anthropic.types.beta.organization.analytics.beta_analytics_cost_group import BetaAnalyticsCostGroup
from anthropic.types.beta.organization.analytics.beta_analytics_cost_item import BetaAnalyticsCostItem
from anthropic.types.beta.organization.analytics.beta_analytics_cost_metrics import BetaAnalyticsCostMetrics
from anthropic.types.beta.organization.analytics.beta_analytics_usage_group import BetaAnalyticsUsageGroup
from anthropic.types.beta.organization.analytics.beta_analytics_usage_item import BetaAnalyticsUsageItem
from anthropic.types.beta.organization.analytics.beta_analytics_usage_metrics import BetaAnalyticsUsageMetrics
from anthropic.types.beta.organization.beta_analytics_server_tool_use import BetaAnalyticsServerToolUse
from openai.types.admin.organization.usage_completions_response import DataResultOrganizationUsageCompletionsResult
from openai.types.admin.organization.usage_costs_response import (
    Data,
    DataResultOrganizationCostsResult,
    DataResultOrganizationCostsResultAmount,
    UsageCostsResponse,
)

from otel_agentcost.testing.server import Reply, Request, json_reply

KEY = "sk-admin-very-secret"
FAST = {"retry-after-ms": "1"}
"""A header that the SDKs follow: their retries wait for a millisecond."""


def epoch(day: str) -> int:
    """The first second of a UTC day."""
    parsed = date.fromisoformat(day)
    return int(datetime(parsed.year, parsed.month, parsed.day, tzinfo=timezone.utc).timestamp())


def query(request: Request) -> dict[str, list[str]]:
    """The parameters of a request."""
    return parse_qs(urlsplit(request.path).query)


def page_of(request: Request, items: Sequence[Any], size: int) -> tuple[list[Any], bool, str | None]:
    """One page of a list, whether there are more, and the cursor of the next one."""
    start = int(query(request).get("page", ["0"])[0])
    more = start + size < len(items)
    return list(items[start : start + size]), more, str(start + size) if more else None


@dataclass
class OpenAIServer:
    """The costs and the usage of an organization."""

    costs: list[tuple[str, str | None, float | None, float | None]] = field(
        default_factory=list[tuple[str, str | None, float | None, float | None]]
    )
    """Day, line item, dollars and tokens."""
    usage: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])
    """Day, and the fields of a result."""
    currency: str | None = "usd"
    size: int = 2
    """Days on a page."""
    requests: list[Request] = field(default_factory=list[Request])
    status: int = 200

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        self.requests.append(request)
        if self.status != 200:
            said = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}
            return json_reply(said, status=self.status, headers=FAST)
        path = urlsplit(request.path).path
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return json_reply({"error": {"message": f"Incorrect API key provided: {KEY}"}}, status=401)
        if path.endswith("/organization/costs"):
            return self._buckets(
                request, [(day, self._cost(item, value, tokens)) for day, item, value, tokens in self.costs]
            )
        if path.endswith("/usage/completions"):
            made = [(day, DataResultOrganizationUsageCompletionsResult(**_used(more))) for day, more in self.usage]
            return self._buckets(request, made)
        return self._buckets(request, [])

    def _cost(self, item: str | None, value: float | None, tokens: float | None) -> DataResultOrganizationCostsResult:
        amount = DataResultOrganizationCostsResultAmount(currency=self.currency, value=value)
        return DataResultOrganizationCostsResult(
            object="organization.costs.result",
            amount=amount,
            line_item=item,
            quantity=tokens,
            quantity_unit="tokens" if tokens is not None else None,
        )

    def _buckets(self, request: Request, found: Iterable[tuple[str, Any]]) -> Reply:
        by_day: dict[str, list[Any]] = {}
        begin, end = (int(query(request)[name][0]) for name in ("start_time", "end_time"))
        for day, result in found:
            if begin <= epoch(day) < end:
                by_day.setdefault(day, []).append(result.model_dump())
        buckets = [
            Data(object="bucket", start_time=epoch(day), end_time=epoch(day) + 86_400, results=results)
            for day, results in sorted(by_day.items())
        ]
        data, more, cursor = page_of(request, buckets, self.size)
        page = UsageCostsResponse(object="page", data=data, has_more=more, next_page=cursor)
        return json_reply(page.model_dump(mode="json"))


def _used(more: dict[str, Any]) -> dict[str, Any]:
    return {"object": "organization.usage.completions.result", "input_tokens": 0, "output_tokens": 0, **more}


@dataclass
class AnthropicServer:
    """The analytics of an organization."""

    costs: list[tuple[str, dict[str, Any], str, str]] = field(
        default_factory=list[tuple[str, dict[str, Any], str, str]]
    )
    """Day, group, and cents: after and before discounts."""
    usage: list[tuple[str, dict[str, Any], dict[str, int]]] = field(
        default_factory=list[tuple[str, dict[str, Any], dict[str, int]]]
    )
    older: dict[str, list[dict[str, Any]]] | None = None
    """The results of the older reports by path; with them, the newer ones do not exist."""
    currency: str = "USD"
    size: int = 3
    requests: list[Request] = field(default_factory=list[Request])
    status: int = 200

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        self.requests.append(request)
        path = urlsplit(request.path).path
        sent = (request.headers.get("x-api-key"), request.headers.get("authorization", "").removeprefix("Bearer "))
        if self.status != 200 or KEY not in sent:
            said = {"type": "error", "error": {"type": "authentication_error", "message": f"invalid x-api-key {KEY}"}}
            return json_reply(said, status=self.status if self.status != 200 else 401, headers=FAST)
        if self.older is not None:
            return self._older(request, path)
        asked = query(request)
        begin, end = asked["starting_at"][0], asked["ending_at"][0]
        items = self._costs() if path.endswith("/analytics/cost") else self._usage()
        mine = [item for item in items if begin <= item.starting_at.strftime("%Y-%m-%dT%H:%M:%SZ") < end]
        data, more, cursor = page_of(request, [item.model_dump(mode="json") for item in mine], self.size)
        return json_reply({"data": data, "has_more": more, "next_page": cursor})

    def _costs(self) -> list[BetaAnalyticsCostItem]:
        return [
            BetaAnalyticsCostItem(
                starting_at=_at(day),
                ending_at=_at(day, 86_400),
                group=BetaAnalyticsCostGroup(**group),
                cost=BetaAnalyticsCostMetrics(amount=amount, list_amount=listed, currency=self.currency),
            )
            for day, group, amount, listed in self.costs
        ]

    def _usage(self) -> list[BetaAnalyticsUsageItem]:
        return [
            BetaAnalyticsUsageItem(
                starting_at=_at(day),
                ending_at=_at(day, 86_400),
                group=BetaAnalyticsUsageGroup(**group),
                usage=BetaAnalyticsUsageMetrics(
                    cache_creation=BetaCacheCreation(
                        ephemeral_5m_input_tokens=used.get("write", 0),
                        ephemeral_1h_input_tokens=used.get("write_1h", 0),
                    ),
                    cache_read_input_tokens=used.get("read", 0),
                    output_tokens=used.get("output", 0),
                    uncached_input_tokens=used.get("input", 0),
                    total_tokens=0,
                    requests=used["requests"],
                    server_tool_use=BetaAnalyticsServerToolUse(web_search_requests=0),
                ),
            )
            for day, group, used in self.usage
        ]

    def _older(self, request: Request, path: str) -> Reply:
        if "/analytics/" in path:
            said = {
                "type": "error",
                "error": {"type": "invalid_request_error", "message": "HIPAA readiness is enabled"},
            }
            return json_reply(said, status=400)
        assert self.older is not None
        results = self.older[path.rpartition("/organizations/")[2]]
        days = sorted({str(result["day"]) for result in results})
        buckets = [
            {
                "starting_at": f"{day}T00:00:00Z",
                "ending_at": f"{day}T23:59:59Z",
                "results": [
                    {k: v for k, v in result.items() if k != "day"} for result in results if result["day"] == day
                ],
            }
            for day in days
        ]
        data, more, cursor = page_of(request, buckets, 1)
        return json_reply({"data": data, "has_more": more, "next_page": cursor})


def _at(day: str, seconds: int = 0) -> datetime:
    return datetime.fromtimestamp(epoch(day) + seconds, timezone.utc)
