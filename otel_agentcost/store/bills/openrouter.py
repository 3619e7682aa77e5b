"""OpenRouter: the activity of the last 30 complete UTC days, by model and provider (`GET /api/v1/activity`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final, cast
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from otel_agentcost.store.bills import _api
from otel_agentcost.store.bills.bill import Ask, Bill, BillError, BillLine, UsageLine, nano, whole

SUMMARY: Final = "the activity of the last 30 days; needs OPENROUTER_MANAGEMENT_KEY"
NAMES: Final = frozenset({"openrouter"})
ADDRESS: Final = "https://openrouter.ai/api/v1"

_KEYS: Final = ("OPENROUTER_MANAGEMENT_KEY", "OPENROUTER_PROVISIONING_KEY")
_MERGED: Final = {
    f"{before}{kind}": "input" if "output" not in kind else "output"
    for before in ("", "audio ", "image ", "video ")
    for kind in ("input", "cache read", "cache write", "cache write 1h", "output")
}
"""The activity has prompt and completion tokens only."""


class _Refused(Exception):
    """An answer that is no success; `status_code` says which."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status_code = status


def fetch(ask: Ask) -> Bill:
    """Return the bill. Raises `BillError`."""
    key = _api.key_of(ask.variables, _KEYS, "a management key")
    address = (ask.base_url or ADDRESS).rstrip("/")
    try:
        answer = _get(f"{address}/activity", key)
    except Exception as error:  # of the transport
        raise _api.failed(error, "OpenRouter", _KEYS[0], address) from None
    items = cast("Mapping[str, Any]", answer).get("data") if isinstance(answer, Mapping) else None
    if not isinstance(items, list):
        raise BillError("The answer of OpenRouter has no list of activity: see that the address is right.")
    lines: list[BillLine] = []
    usage: list[UsageLine] = []
    own = 0
    for item in cast("list[Mapping[str, Any]]", items):
        day = _day(item)
        if not ask.since.isoformat() <= day < ask.until.isoformat():
            continue
        billed, upstream = nano(item.get("usage")), nano(item.get("byok_usage_inference") or 0)
        if billed is None or upstream is None:
            raise BillError(f"An amount of OpenRouter's activity of {day} is no number.")
        own += upstream
        model = str(item.get("model_permaslug") or item.get("model") or "")
        tokens = {"input": _tokens(item, "prompt_tokens", day), "output": _tokens(item, "completion_tokens", day)}
        lines.append(BillLine(day, model, "", "", "tokens", billed + upstream))
        usage.append(UsageLine(day, model, "", whole(item.get("requests")), tokens))
    notes = ["OpenRouter bills complete UTC days: today is not in it."]
    if own:
        notes.append(f"${Decimal(own).scaleb(-9):.6f} of it was paid to other providers with keys of your own.")
    return Bill(
        provider="openrouter",
        names=NAMES,
        origin=f"{address}/activity",
        lines=lines,
        usage=usage,
        merged=_MERGED,
        notes=notes,
    )


def _day(item: object) -> str:
    written = str(cast("Mapping[str, Any]", item).get("date") or "")[:10] if isinstance(item, Mapping) else ""
    try:
        return date.fromisoformat(written).isoformat()
    except ValueError:
        raise BillError(f"A line of OpenRouter's activity has no day ({written!r}): try again later.") from None


def _tokens(item: Mapping[str, Any], name: str, day: str) -> int:
    number = whole(item.get(name) or 0)
    if number is None:
        raise BillError(f"The {name} of OpenRouter's activity of {day} are no number.")
    return number


def _get(url: str, key: str) -> object:
    if not url.startswith(("https://", "http://")):
        raise _Refused(404)
    request = Request(url, headers={"Authorization": f"Bearer {key}", "Accept": "application/json"})  # noqa: S310 (checked)
    try:
        with urlopen(request, timeout=_api.TIMEOUT) as response:  # noqa: S310 (checked)
            return json.loads(response.read(), parse_float=Decimal)
    except HTTPError as error:
        error.close()
        raise _Refused(error.code) from None
