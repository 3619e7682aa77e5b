"""Anthropic: cost and usage of the organization, by model, tier and type of token, with the discount of each.

Through the admin resources of the `anthropic` package: `analytics/cost` and `analytics/usage`. Where they are not
available, the older `cost_report` and `usage_report/messages` are asked, which have no number of requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta, timezone
from types import SimpleNamespace
from typing import Any, Final

from otel_agentcost.store.bills import _api
from otel_agentcost.store.bills.bill import Ask, Bill, BillError, BillLine, Sort, UsageLine, nano, tier_of

SUMMARY: Final = "cost and usage of the organization; needs ANTHROPIC_ADMIN_KEY"
NAMES: Final = frozenset({"anthropic"})
ADDRESS: Final = "https://api.anthropic.com"

_KEYS: Final = ("ANTHROPIC_ADMIN_KEY", "ANTHROPIC_ADMIN_API_KEY")
_DAYS: Final = 31
"""The longest period of one request."""
_GROUPS: Final = ("model", "service_tier", "speed", "inference_geo")
_COSTS: Final = ("cost_type", "token_type")
_CENTS: Final = 100

_KINDS: Final = {
    "uncached_input_tokens": "input",
    "cache_read_input_tokens": "cache read",
    "cache_creation.ephemeral_5m_input_tokens": "cache write",
    "cache_creation.ephemeral_1h_input_tokens": "cache write 1h",
    "output_tokens": "output",
}
_NOT_AVAILABLE: Final = (400, 404)


def fetch(ask: Ask) -> Bill:
    """Return the bill. Raises `BillError`."""
    key = _api.key_of(ask.variables, _KEYS, "an admin key (sk-ant-admin...)")
    address = ask.base_url or ADDRESS
    anthropic = _api.sdk("anthropic", "anthropic")
    try:
        # The address is said here: the key of an administrator must not go to a gateway that the environment names.
        with anthropic.Anthropic(api_key=key, base_url=address, timeout=_api.TIMEOUT) as client:
            return _newest(client, ask, address) or _older(client, ask, address)
    except BillError:
        raise
    except Exception as error:  # of the SDK: its text can quote the key
        raise _api.failed(error, "Anthropic", _KEYS[0], address) from None


def _periods(ask: Ask) -> Iterator[dict[str, str]]:
    """Yield the parts of the period that one request may ask for."""
    first = ask.since
    while first < ask.until:
        last = min(ask.until, first + timedelta(days=_DAYS))
        yield {"starting_at": _midnight(first), "ending_at": _midnight(last)}
        first = last


def _midnight(day: date) -> str:
    return datetime.combine(day, time(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- analytics ---


def _newest(client: Any, ask: Ask, address: str) -> Bill | None:
    """Return the bill of the analytics resources; None if there are none here."""
    organization: Any = getattr(getattr(client, "beta", None), "organization", None)
    analytics: Any = getattr(organization, "analytics", None)
    if analytics is None or not hasattr(analytics, "cost"):
        return None
    try:
        costs = list(_items(analytics.cost.list, ask, [*_GROUPS, *_COSTS]))
    except BillError:
        raise
    except Exception as error:  # of the SDK
        if getattr(error, "status_code", None) in _NOT_AVAILABLE:  # HIPAA readiness, or not here
            return None
        raise
    used = _items(analytics.usage.list, ask, [*_GROUPS])
    return Bill(
        provider="anthropic",
        names=NAMES,
        origin=f"{address}/v1/organizations/analytics/cost",
        lines=[_cost(item) for item in costs],
        usage=[_used(item) for item in used],
    )


def _items(method: Any, ask: Ask, groups: list[str]) -> Iterator[Any]:
    for period in _periods(ask):

        def page(cursor: str | None, period: Mapping[str, str] = period) -> Any:
            more = {"page": cursor} if cursor else {}
            return method(**period, time_bucket_width="1d", group_by=groups, order_by="time", limit=1000, **more)

        for answer in _api.pages(page, "Anthropic"):
            yield from answer.data


def _cost(item: Any) -> BillLine:
    group, cost = item.group, item.cost
    return _line(item.starting_at, group, cost.amount, cost.list_amount, cost.currency)


def _used(item: Any) -> UsageLine:
    usage, group = item.usage, item.group
    tokens = {
        "input": usage.uncached_input_tokens,
        "cache read": usage.cache_read_input_tokens,
        "cache write": usage.cache_creation.ephemeral_5m_input_tokens,
        "cache write 1h": usage.cache_creation.ephemeral_1h_input_tokens,
        "output": usage.output_tokens,
    }
    return UsageLine(_day(item.starting_at), group.model or "", _tier(group), usage.requests, _some(tokens))


def _line(at: object, group: Any, amount: object, list_amount: object, currency: object) -> BillLine:
    day = _day(at)
    _api.dollars(currency, "Anthropic")
    nusd, listed = nano(amount, per_dollar=_CENTS), nano(list_amount, per_dollar=_CENTS)
    if nusd is None:
        raise BillError(f"An amount of Anthropic's cost of {day} is no number.")
    cost_type, model = group.cost_type or "", group.model or ""
    kind = _KINDS.get(group.token_type or "")
    sort: Sort = "tokens" if kind is not None or cost_type == "tokens" else "tool" if cost_type else "other"
    name = kind or ("" if sort == "tokens" else cost_type.replace("_", " ") or "an amount without a type")
    return BillLine(day, model, _tier(group), name, sort, nusd, listed)


def _tier(group: Any) -> str:
    return tier_of({name: getattr(group, name, None) for name in ("service_tier", "speed", "inference_geo")})


def _day(at: object) -> str:
    moment = at if isinstance(at, datetime) else datetime.fromisoformat(str(at).replace("Z", "+00:00"))
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%d")


def _some(tokens: Mapping[str, int | None]) -> dict[str, int]:
    return {kind: number for kind, number in tokens.items() if number}


# --- the older reports ---


def _older(client: Any, ask: Ask, address: str) -> Bill:
    lines: list[BillLine] = []
    usage: list[UsageLine] = []
    for day, result in _results(client, "/v1/organizations/cost_report", ask, ["workspace_id", "description"]):
        group = SimpleNamespace(**{name: result.get(name) for name in (*_GROUPS, *_COSTS)})
        lines.append(_line(day, group, result.get("amount"), result.get("list_amount"), result.get("currency")))
    groups = ["model", "service_tier", "inference_geo"]
    for day, result in _results(client, "/v1/organizations/usage_report/messages", ask, groups):
        written: Mapping[str, Any] = result.get("cache_creation") or {}
        tokens = {
            "input": result.get("uncached_input_tokens"),
            "cache read": result.get("cache_read_input_tokens"),
            "cache write": written.get("ephemeral_5m_input_tokens"),
            "cache write 1h": written.get("ephemeral_1h_input_tokens"),
            "output": result.get("output_tokens"),
        }
        tier = tier_of({name: result.get(name) for name in ("service_tier", "inference_geo")})
        usage.append(UsageLine(_day(day), result.get("model") or "", tier, None, _some(tokens)))
    return Bill(
        provider="anthropic",
        names=NAMES,
        origin=f"{address}/v1/organizations/cost_report",
        lines=lines,
        usage=usage,
        notes=("These reports count no requests, and leave out the priority tier.",),
    )


def _results(client: Any, path: str, ask: Ask, groups: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for period in _periods(ask):

        def page(cursor: str | None, period: Mapping[str, str] = period) -> Any:
            query: dict[str, object] = {**period, "bucket_width": "1d", "limit": _DAYS, "group_by[]": groups}
            query |= {"page": cursor} if cursor else {}
            found = client.get(path, cast_to=object, options={"params": query})
            return SimpleNamespace(**found) if isinstance(found, Mapping) else None

        for answer in _api.pages(page, "Anthropic"):
            for bucket in answer.data:
                for result in bucket["results"]:
                    yield bucket["starting_at"], result
