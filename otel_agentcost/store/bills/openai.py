"""OpenAI: the costs of the organization by line item, and its usage by model, batch and tier.

Through the admin client of the `openai` package: `/organization/costs` and `/organization/usage/...`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, time, timezone
from typing import Any, Final

from otel_agentcost.store.bills import _api
from otel_agentcost.store.bills.bill import Ask, Bill, BillError, BillLine, UsageLine, day_of, nano, tier_of, whole

SUMMARY: Final = "the costs and the usage of the organization; needs OPENAI_ADMIN_KEY"
NAMES: Final = frozenset({"openai"})
ADDRESS: Final = "https://api.openai.com/v1"

_KEY: Final = "OPENAI_ADMIN_KEY"
_COUNTED: Final = ("embeddings", "moderations", "images", "audio_speeches", "audio_transcriptions")
"""Usage beside that of models that chat, whose requests are counted."""

_LINE: Final = re.compile(
    r"(?:(?P<tier>[\w ]+?) \| )?(?P<model>[^,|]+?)(?: (?P<modality>text|audio|image))?, (?P<rest>.+)"
)
_TIERS: Final = ("batch", "flex", "priority", "scale")
_TOOLS: Final = {
    "web search": "web search",
    "file search": "file search",
    "code interpreter": "code execution",
    "container": "code execution",
}
_NO_USAGE: Final = re.compile(
    r"\b(?:credits?|discounts?|refunds?|adjustments?|promotions?|promotional|grants?|tax|taxes|vat|gst|fees?)\b",
    re.IGNORECASE,
)
_TIMES: Final = {"tokens": 1, "1000_tokens": 1000}


def fetch(ask: Ask) -> Bill:
    """Return the bill. Raises `BillError`."""
    key = _api.key_of(ask.variables, (_KEY,), "an admin key (sk-admin-...)")
    address = ask.base_url or ADDRESS
    openai = _api.sdk("openai", "openai")
    try:
        # The address is said here: the key of an administrator must not go to a gateway that OPENAI_BASE_URL names.
        with openai.OpenAI(admin_api_key=key, base_url=address, timeout=_api.TIMEOUT) as client:
            reports = _reports(client)
            usage = list(_usage(reports, ask))
            lines = list(_costs(reports, ask, {line.model for line in usage}))
    except BillError:
        raise
    except Exception as error:  # of the SDK: its text can quote the key
        raise _api.failed(error, "OpenAI", _KEY, address) from None
    return Bill(provider="openai", names=NAMES, origin=f"{address}/organization/costs", lines=lines, usage=usage)


def _reports(client: Any) -> Any:
    if not hasattr(client, "admin"):
        raise BillError("This version of openai has no admin client: pip install --upgrade openai")
    return client.admin.organization.usage


def _period(ask: Ask) -> dict[str, Any]:
    starts = (datetime.combine(day, time(), timezone.utc) for day in (ask.since, ask.until))
    begin, end = (int(start.timestamp()) for start in starts)
    return {"start_time": begin, "end_time": end, "bucket_width": "1d"}


def _results(method: Any, ask: Ask, **more: Any) -> Iterator[tuple[str, Any]]:
    """Yield the day and the values of each result."""

    def page(cursor: str | None) -> Any:
        return method(**_period(ask), **more, **({"page": cursor} if cursor else {}))

    for answer in _api.pages(page, "OpenAI"):
        for bucket in answer.data:
            for result in bucket.results:
                yield day_of(bucket.start_time), result


# --- costs ---


def _costs(usage: Any, ask: Ask, models: set[str]) -> Iterator[BillLine]:
    for day, result in _results(usage.costs, ask, group_by=["line_item"], limit=180):
        amount = result.amount
        if amount is None or amount.value is None:
            raise BillError(f"A line of OpenAI's costs of {day} has no amount: try again later.")
        _api.dollars(amount.currency, "OpenAI")
        nusd = nano(amount.value)
        if nusd is None:
            raise BillError(f"An amount of OpenAI's costs of {day} is no number.")
        yield line_of(day, result.line_item, nusd, result.quantity, result.quantity_unit, models)


def line_of(
    day: str, item: str | None, nusd: int, quantity: object, unit: str | None, models: Iterable[str]
) -> BillLine:
    """Return a line of the costs.

    Args:
        day: The UTC day.
        item: Its name: `gpt-5.6-luna, cached input`, `priority | gpt-5.6-sol, output, long context`,
            `web search tool calls`; None if the costs have no name for it.
        nusd: Billionths of a dollar.
        quantity: The number of units.
        unit: The unit.
        models: The models that the usage names.
    """
    if item is None:
        return BillLine(day, "", "", "an amount without a name", "other", nusd)
    tokens = whole(quantity, times=_TIMES[unit]) if unit in _TIMES and quantity is not None else None
    if item in models:
        return BillLine(day, item, None, "", "tokens", nusd, None, tokens)
    found = _LINE.fullmatch(item.strip())
    kind = _kind(found["modality"], found["rest"]) if found is not None else None
    if found is None or kind is None:
        tool = next((name for word, name in _TOOLS.items() if word in item.lower()), item.lower()[:60])
        if nusd < 0 or _NO_USAGE.search(item):
            return BillLine(day, "", "", item.lower()[:60], "other", nusd)
        return BillLine(day, "", "", tool, "tool", nusd)
    words = f"{found['tier'] or ''} {found['rest']}".lower()
    tier = next((name for name in _TIERS if name in words), None)
    return BillLine(day, found["model"], tier, kind, "tokens", nusd, None, tokens)


def _kind(modality: str | None, words: str) -> str | None:
    """Return the kind of token that a line is for; None if it is none."""
    text = words.lower().replace("_", " ")
    about = modality if modality in ("audio", "image") else next((w for w in ("audio", "image") if w in text), "")
    before = f"{about} " if about else ""
    if "cache" in text:
        return f"{before}cache {'write' if 'write' in text else 'read'}"
    if "output" in text:
        return f"{before}output"
    return f"{before}input" if "input" in text else None


# --- usage ---


def _usage(usage: Any, ask: Ask) -> Iterator[UsageLine]:
    for day, result in _results(usage.completions, ask, group_by=["model", "batch", "service_tier"], limit=31):
        tier = tier_of({"processing": "batch" if result.batch else None, "service_tier": result.service_tier})
        yield UsageLine(day, result.model or "", tier, result.num_model_requests, _tokens(result))
    for name in _COUNTED:
        for day, result in _results(getattr(usage, name), ask, group_by=["model"], limit=31):
            tokens = whole(getattr(result, "input_tokens", None))
            counts = {"input": tokens} if tokens and name == "embeddings" else {}
            yield UsageLine(day, result.model or "", "", result.num_model_requests, counts)


def _tokens(result: Any) -> dict[str, int]:
    """Return tokens that do not overlap."""

    def number(name: str) -> int:
        return getattr(result, name, None) or 0

    cached, written = number("input_cached_tokens"), number("input_cache_write_tokens")
    fresh = result.input_uncached_tokens
    fresh = result.input_tokens - cached - written if fresh is None else fresh
    audio, image = number("input_audio_tokens"), number("input_image_tokens")
    cached_audio, cached_image = number("input_cached_audio_tokens"), number("input_cached_image_tokens")
    spoken, drawn = number("output_audio_tokens"), number("output_image_tokens")
    found = {
        "input": fresh - audio - image,
        "audio input": audio,
        "image input": image,
        "cache read": cached - cached_audio - cached_image,
        "audio cache read": cached_audio,
        "image cache read": cached_image,
        "cache write": written,
        "output": result.output_tokens - spoken - drawn,
        "audio output": spoken,
        "image output": drawn,
    }
    return {kind: tokens for kind, tokens in found.items() if tokens > 0}
