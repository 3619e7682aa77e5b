"""Rows of FOCUS 1.3, the FinOps Foundation's form of a bill: https://focus.finops.org.

There is a row for each UTC hour, provider, model, type of token, unit price, terms, tenant, team, feature and agent.
The dollars of a row are those of the calls' own parts, never a split of a sum. FOCUS has no columns for tokens: their
type is the meter of the SKU, and what else is ours begins with `x_`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Final, NamedTuple

from otel_agentcost.core import money
from otel_agentcost.core.usage import CACHE_READ_TOKENS, CACHE_WRITE_TOKENS, INPUT_TOKENS, OUTPUT_TOKENS
from otel_agentcost.insight.repricing import Charge, Repricing
from otel_agentcost.store.single_calls import Names, Recorded

COLUMNS: Final = (
    *("AllocatedMethodDetails", "AllocatedMethodId", "AllocatedResourceId", "AllocatedResourceName", "AllocatedTags"),
    *("AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType"),
    *("BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "CapacityReservationId"),
    *("CapacityReservationStatus", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency"),
    *("ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountCategory", "CommitmentDiscountId"),
    *("CommitmentDiscountName", "CommitmentDiscountQuantity", "CommitmentDiscountStatus", "CommitmentDiscountType"),
    *("CommitmentDiscountUnit", "ConsumedQuantity", "ConsumedUnit", "ContractApplied", "ContractedCost"),
    *("ContractedUnitPrice", "EffectiveCost", "HostProviderName", "InvoiceId", "InvoiceIssuerName", "ListCost"),
    *("ListUnitPrice", "PricingCategory", "PricingCurrency", "PricingCurrencyContractedUnitPrice"),
    *("PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice", "PricingQuantity", "PricingUnit"),
    *("ProviderName", "PublisherName", "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType"),
    *("ServiceCategory", "ServiceName", "ServiceProviderName", "ServiceSubcategory", "SkuId", "SkuMeter"),
    *("SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName", "SubAccountType", "Tags"),
    *("x_Agent", "x_Feature", "x_PriceBook", "x_Requests", "x_Team", "x_Unpriced", "x_UsageEstimated"),
)
"""The columns of FOCUS 1.3 and ours. What is not known here is empty, as FOCUS wants it."""

_TYPES: Final = {
    "input": INPUT_TOKENS - CACHE_READ_TOKENS - CACHE_WRITE_TOKENS,
    "output": OUTPUT_TOKENS,
    "cache read": CACHE_READ_TOKENS,
    "cache write": CACHE_WRITE_TOKENS,
}
_ONE_PRICE: Final = frozenset({"output_tokens", "output_reasoning_tokens"})
_NOT_SAID: Final = "unknown"


class Meter(NamedTuple):
    """The parts of a call that are billed alike."""

    kind: str
    """`input`, `output`, `cache read`, `cache write`, `tools`; `calls` for a call in one piece."""
    unit: str
    price: Decimal | None
    """US dollars of a unit; None if it is not known."""


class Part(NamedTuple):
    """One part of a call."""

    names: Names
    """Those of the call that a bill has. `requested` is the model that served it."""
    meter: Meter
    quantity: int
    billed: Decimal
    """US dollars, with the rounding of the whole call."""
    listed: Decimal
    """US dollars at the unit price."""


@dataclass(slots=True)
class _Sum:
    quantity: int = 0
    billed: Decimal = money.ZERO
    listed: Decimal = money.ZERO
    calls: int = 0

    def add(self, part: Part) -> None:
        self.quantity += part.quantity
        self.billed = money.wide_add(self.billed, part.billed)
        self.listed = money.wide_add(self.listed, part.listed)
        self.calls += 1


_Key = tuple[Names, Meter]


def rows(calls: Iterable[Recorded], repricing: Repricing) -> Iterator[dict[str, str]]:
    """Yield the rows of calls, hour by hour.

    Args:
        calls: The calls in the order of time.
        repricing: The price book, which splits their dollars.
    """
    hour, sums = None, dict[_Key, _Sum]()
    for call in calls:
        at = int(call.at // 3600)
        if at != hour:
            yield from _written(hour, sums)
            hour, sums = at, {}
        for part in parts(call, repricing):
            sums.setdefault((part.names, part.meter), _Sum()).add(part)
    yield from _written(hour, sums)


def parts(call: Recorded, repricing: Repricing) -> Iterator[Part]:
    """Yield the parts of a call. Their dollars add up to the recorded ones."""
    names = call.names._replace(user="", requested=call.names.model, served="", operation="", error="")
    nusd = money.from_nano(call.nusd or 0)
    if names.tool:
        yield Part(names, Meter("calls", "calls", nusd if call.nusd is not None else None), 1, nusd, nusd)
        return
    basis = repricing.whole_basis(call)
    charges = repricing.charges(call, basis) if basis is not None else ()
    found = [part for number, charge in enumerate(charges) for part in _split(_sold(names, charge, number), charge)]
    if not found:
        tokens = call.tokens.input + call.tokens.output if call.tokens is not None else 0
        unit = "tokens" if tokens else "requests"
        yield Part(names, Meter("calls", unit, None), tokens or 1, nusd, nusd)
        return
    rest = nusd
    for part in found:
        rest = money.wide_subtract(rest, part.billed)
    dearest = max(range(len(found)), key=lambda at: found[at].billed)
    for at, part in enumerate(found):  # a ledger rounds a call up to a billionth of a dollar
        yield part if at != dearest else part._replace(billed=money.wide_add(part.billed, rest))


def _sold(names: Names, charge: Charge, number: int) -> Names:
    """Return the names under which a charge is sold: after the first one, those of another model within the call."""
    if not number:
        return names
    terms = ",".join(f"{name}={value}" for name, value in charge.part.terms)
    return names._replace(requested=charge.part.model or names.requested, price=charge.cost.price or "", terms=terms)


def _split(names: Names, charge: Charge) -> Iterator[Part]:
    cost, counts = charge.cost, charge.part.counts
    amounts = {
        "input": cost.input_usd,
        "output": cost.output_usd,
        "cache read": cost.cache_read_usd,
        "cache write": cost.cache_write_usd,
    }
    for name, usd in amounts.items():
        kinds = _TYPES[name] & counts.keys()
        tokens = int(sum(counts[kind] for kind in kinds))
        if tokens:
            alike = len(kinds) == 1 or kinds <= _ONE_PRICE
            unit = money.divide(usd, Decimal(tokens)).normalize() if alike else None
            exact = unit if unit is not None and money.multiply(unit, Decimal(tokens)) == usd else None
            yield Part(names, Meter(name, "tokens", exact), tokens, usd, usd)
        elif usd:
            yield Part(names, Meter(name, "requests", None), 1, usd, usd)
    if cost.tool_usd:
        yield Part(names, Meter("tools", "requests", None), 1, cost.tool_usd, cost.tool_usd)


def _written(hour: int | None, sums: Mapping[_Key, _Sum]) -> Iterator[dict[str, str]]:
    if hour is None:
        return
    begins = datetime.fromtimestamp(hour * 3600, timezone.utc)
    first = begins.replace(day=1, hour=0)
    period = {
        "ChargePeriodStart": _time(begins),
        "ChargePeriodEnd": _time(begins + timedelta(hours=1)),
        "BillingPeriodStart": _time(first),
        "BillingPeriodEnd": _time((first + timedelta(days=32)).replace(day=1)),
    }
    for (names, meter), each in sums.items():
        yield {**dict.fromkeys(COLUMNS, ""), **period, **_who(names), **_what(names, meter), **_amounts(meter, each)}


def _who(names: Names) -> dict[str, str]:
    provider = names.provider or (_NOT_SAID if not names.tool else "own tools")
    account = names.tenant or names.team
    tags = {"agent": names.agent, "feature": names.feature, "team": names.team}
    return {
        "BillingAccountId": provider,
        "BillingAccountName": provider,
        "BillingAccountType": "Provider",
        "HostProviderName": provider,
        "InvoiceIssuerName": provider,
        "ProviderName": provider,
        "PublisherName": provider,
        "ServiceProviderName": provider,
        "ServiceName": f"{provider} API" if not names.tool else f"tool {names.tool}",
        "ResourceId": names.agent,
        "ResourceName": names.agent,
        "ResourceType": "Agent" if names.agent else "",
        "SubAccountId": account,
        "SubAccountName": account,
        "SubAccountType": ("Tenant" if names.tenant else "Team") if account else "",
        "Tags": json.dumps({name: value for name, value in tags.items() if value}),
        "x_Agent": names.agent,
        "x_Feature": names.feature,
        "x_Team": names.team,
    }


def _what(names: Names, meter: Meter) -> dict[str, str]:
    model = names.requested  # the one that served the call: see `rows`
    thing = f"tool {names.tool}" if names.tool else model or _NOT_SAID
    word = "calls" if meter.kind == "calls" else f"{meter.kind} {'tokens' if meter.unit == 'tokens' else 'requests'}"
    sku = f"tools/{names.tool}" if names.tool else f"{names.price or model or _NOT_SAID}/{meter.kind.replace(' ', '-')}"
    details = {f"x_{name}": value for name, value in names.conditions}
    described = f"{thing} {word}" + (f", unpriced: {names.unpriced}" if names.unpriced else "")
    priced = meter.price is not None
    return {
        "ChargeCategory": "Usage",
        "ChargeDescription": described,
        "ChargeFrequency": "Usage-Based",
        "PricingCategory": "Standard" if priced else "Other",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "SkuId": sku if priced else "",
        "SkuMeter": word if priced else "",
        "SkuPriceId": ";".join(filter(None, (sku, names.terms, names.book, f"{meter.price:f}"))) if priced else "",
        "SkuPriceDetails": json.dumps({"x_TokenType": meter.kind, **details}) if priced else "",
        "x_PriceBook": names.book,
        "x_Unpriced": names.unpriced,
        "x_UsageEstimated": "true" if names.source == "estimated" else "false",
    }


def _amounts(meter: Meter, each: _Sum) -> dict[str, str]:
    price = f"{meter.price:f}" if meter.price is not None else ""
    listed = money.multiply(meter.price, Decimal(each.quantity)) if meter.price is not None else each.billed
    return {
        "BillingCurrency": "USD",
        "PricingCurrency": "USD",
        "BilledCost": f"{each.billed:f}",
        "EffectiveCost": f"{each.billed:f}",
        "ContractedCost": f"{listed:f}",
        "ListCost": f"{listed:f}",
        "ContractedUnitPrice": price,
        "ListUnitPrice": price,
        "PricingCurrencyContractedUnitPrice": price,
        "PricingCurrencyListUnitPrice": price,
        "PricingCurrencyEffectiveCost": f"{each.billed:f}",
        "PricingQuantity": f"{each.quantity}.0" if price else "",
        "PricingUnit": meter.unit if price else "",
        "ConsumedQuantity": f"{each.quantity}.0",
        "ConsumedUnit": meter.unit,
        "x_Requests": str(each.calls),
    }


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
