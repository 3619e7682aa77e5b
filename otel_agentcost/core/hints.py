"""Words that help with the mistakes that people make in settings: the nearest word, the number that was meant.

A hint completes an error message, and begins with "; " so that it can be appended; it is empty where nothing is known.
Nothing is ever understood by a hint: a mistake stays a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

MEANT: Mapping[str, str] = {
    **dict.fromkeys(
        ("all", "global", "everything", "everyone", "overall", "org", "organization", "organisation"), "total"
    ),
    **dict.fromkeys(("session", "thread", "chat", "dialog"), "conversation"),
    **dict.fromkeys(("customer", "account", "client", "company", "workspace"), "tenant"),
    **dict.fromkeys(("group", "department"), "team"),
    **dict.fromkeys(("request",), "trace"),
    **dict.fromkeys(("service", "app", "worker"), "process"),
    **dict.fromkeys(("llm",), "model"),
    **dict.fromkeys(("agent_name",), "agent"),
    **dict.fromkeys(("daily", "days", "d"), "day"),
    **dict.fromkeys(("hourly", "60m", "hours", "h"), "hour"),
    **dict.fromkeys(("weekly", "weeks", "w"), "week"),
    **dict.fromkeys(("monthly", "months"), "month"),
    **dict.fromkeys(
        ("dollar", "dollars", "cost", "money", "spend", "budget", "limit", "amount", "price", "max_usd"), "usd"
    ),
    **dict.fromkeys(("requests", "call", "max_calls", "turns", "steps"), "calls"),
    **dict.fromkeys(("token", "max_tokens", "input_tokens", "output_tokens", "total_tokens"), "tokens"),
    **dict.fromkeys(("tools", "tool", "toolcalls"), "tool_calls"),
    **dict.fromkeys(("time", "sec", "secs", "s", "duration", "timeout", "minutes"), "seconds"),
    **dict.fromkeys(("deny", "reject", "stop", "raise", "error", "fail", "refuse", "hard", "abort", "kill"), "block"),
    **dict.fromkeys(("log", "alert", "notify", "soft", "allow", "ignore"), "warn"),
    **dict.fromkeys(("fallback", "cheaper", "degrade", "switch"), "downgrade"),
    **dict.fromkeys(("limit_output", "truncate", "shorten", "cap"), "clamp"),
}
"""Words that people write for a word of the settings."""

_PERMISSION = {"block": "refuse", "warn": "allow"}
"""The words of settings that allow or refuse, by those of budgets."""
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_CURRENCY = re.compile(r"[$\u20ac\u00a3\u00a5]|usd|eur|dollars?", re.IGNORECASE)
_CENTS = re.compile(r"(\d+(?:\.\d+)?)\s*(?:c|ct|cts|cents?|\u00a2)", re.IGNORECASE)
_COUNTED = re.compile(r"(\d[\d_]*)\s*(?:tokens?|tool calls?|llm calls?|calls?)", re.IGNORECASE)
_FRACTION = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*([1-9]\d*)(k?)", re.IGNORECASE)
_BLANKS = re.compile(r"[1-9]\d{0,2}(?: \d{3})+(?:\.\d+)?")
_CONTINENTAL = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+,\d+")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})|(?:PT)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"\d+,\d+")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_SCALED = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmM%])")
_SCALE = {"k": Decimal(1_000), "m": Decimal(1_000_000), "%": Decimal("0.01")}
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|sec|secs|seconds?|m|min|minutes?|h|hours?)", re.IGNORECASE)
_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_NONE = frozenset({"none", "null", "off", "no", "unlimited", "inf", "infinity", "infinite", "-1", "false", "0", "0.0"})


def near(word: object, words: Iterable[str]) -> str:
    """Return `; did you mean X?` for the one of `words` that was probably meant."""
    import difflib  # noqa: PLC0415 (only a mistake needs it)

    known = list(words)
    written = str(word).strip().lower().replace("-", "_").replace(" ", "_")
    meant: str | None = MEANT.get(written, written)
    if meant not in known:
        meant = _PERMISSION.get(meant or "")
    if meant not in known:
        meant = next(iter(difflib.get_close_matches(written, known, n=1, cutoff=0.7)), None)
    return f"; did you mean {meant}?" if meant is not None else ""


def number(written: object, *, seconds: bool = False) -> str:
    """Return `; write N` for the number that was probably meant.

    Args:
        written: What was written.
        seconds: True if the number is one of seconds.
    """
    text = str(written).strip()
    plain = text.rstrip(";, ")
    if plain == text:
        return _amount_hint(text) or _unit_hint(text, seconds=seconds)
    return f"; write {plain}" if _NUMBER.fullmatch(plain) else ""


def _amount_hint(text: str) -> str:
    """Return a hint for an amount of money, or for a number with separators."""
    bare = _CURRENCY.sub("", text).strip()
    if bare != text and _NUMBER.fullmatch(bare):
        return f"; write {bare}, without a currency sign"
    if _THOUSANDS.fullmatch(text) or _BLANKS.fullmatch(text):
        return f"; write {text.replace(',', '').replace(' ', '')}, without separators"
    if _DECIMAL_COMMA.fullmatch(text):
        return f"; write {text.replace(',', '.')}, with a decimal point"
    if _CONTINENTAL.fullmatch(text):
        return f"; write {text.replace('.', '').replace(',', '.')}, with a decimal point and without separators"
    return ""


def _unit_hint(text: str, *, seconds: bool) -> str:
    """Return a hint for a number with a unit, a scale or a denominator."""
    if cents := _CENTS.fullmatch(text):
        return f"; write {_plain(Decimal(cents[1]) / 100)}, in US dollars"
    if counted := _COUNTED.fullmatch(text):
        return f"; write {counted[1]}, without a unit"
    if seconds and (time := _in_seconds(text)) is not None:
        return f"; write {_plain(time)}, in seconds"
    if fraction := _FRACTION.fullmatch(text):
        return f"; write {_plain(Decimal(fraction[1]) / (int(fraction[2]) * (1000 if fraction[3] else 1)))}"
    scaled = _SCALED.fullmatch(text)
    return f"; write {_plain(Decimal(scaled[1]) * _SCALE[scaled[2].lower()])}" if scaled else ""


def _in_seconds(text: str) -> Decimal | None:
    if found := _TIME.fullmatch(text):
        unit = found[2].lower()
        return Decimal(found[1]) * _SECONDS["ms" if unit == "ms" else unit[0]]
    if text and (found := _CLOCK.fullmatch(text)):
        hours, minutes, seconds = (int(found[n] or found[n + 3] or 0) for n in (1, 2, 3))
        return Decimal(hours * 3600 + minutes * 60 + seconds)
    return None


def limit(written: object, *, seconds: bool) -> str:
    """Return a hint for a text that is no limit of a budget, with the arguments of `number`."""
    if is_none(written):
        return "; for no limit, remove it"
    return number(written, seconds=seconds)


def is_none(written: object) -> bool:
    """Return True for a word that stands for nothing, or for no limit."""
    return str(written).strip().lower() in _NONE


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def unquoted(written: object) -> str:
    """Return a hint for a text that has quotes around it, which files of variables keep (`docker --env-file`)."""
    text = str(written).strip()
    return "; remove the quotes around it" if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'`" else ""
