"""Answers from Prometheus: from the counters of the package or of a Collector, as far as their labels go.

`increase()` extrapolates, and misses the first value of a series. So the counters' values at the ends of short windows
are read, and what was added is added up here: the first value of a series that begins within the period counts in full,
and so does what comes after a reset.
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from otel_agentcost.core import money, semconv
from otel_agentcost.errors import AgentCostError
from otel_agentcost.store.questions import TIMES, Question, Spend, Sums, UnclearQuestion
from otel_agentcost.store.remote import RemoteError, parse_url, post
from otel_agentcost.store.summing import Summing
from otel_agentcost.telemetry import signals
from otel_agentcost.telemetry.signals import Signal

__all__ = ["Prometheus", "PrometheusError", "open_source"]

ANY: Final = "(any)"
"""The value of a grouping for figures whose metric does not have it, such as the number of calls by agent."""

_ATTRIBUTES: Final = {
    "provider": semconv.PROVIDER,
    "model": semconv.RESPONSE_MODEL,
    "requested": semconv.REQUEST_MODEL,
    "operation": semconv.OPERATION,
    "agent": semconv.AGENT,
    "user": semconv.USER,
    "tenant": semconv.TENANT,
    "team": semconv.TEAM,
    "feature": semconv.FEATURE,
    "tool": semconv.TOOL,
    "error": semconv.ERROR_TYPE,
}
"""The groupings that metrics have, without those of time."""

_TOKENS: Final = {
    "input": ("input",),
    "cache_read": ("input", "cache_read"),
    "cache_write": ("input", "cache_write"),
    "output": ("output",),
    "reasoning": ("output", "reasoning"),
}
"""The sums that a kind of tokens adds to: in the metric, each token has one kind."""

_WINDOWS: Final = (300, 60, 30, 10, 5, 1)
"""Seconds of a window."""

_POINTS: Final = 5_000
"""Windows of one query. A server refuses more than 11,000 points of a series."""

_ALLOWED: Final = "prometheus://user:password@host:9090/path?secure=true"

Labels = Mapping[str, str]


class PrometheusError(AgentCostError):
    """The server cannot be reached, or does not answer. The text is one sentence."""


def open_source(url: str) -> Prometheus:
    """Return the source that `url` names.

    Args:
        url: `prometheus://user:password@host:9090/path?secure=true`; all but the host may be left out.

    Raises:
        UnclearAddress: The URL cannot be understood.
    """
    address = parse_url(url, "Prometheus", _ALLOWED, (9090, 443))
    path = f"{address.path}/api/v1/".lstrip("/")

    def ask(name: str, parameters: Mapping[str, str]) -> str:
        return post(address, path + name, urlencode(parameters), "application/x-www-form-urlencoded")

    return Prometheus(ask, address.host)


class Prometheus:
    """Implements `Source`. Its dollars are the counters' doubles, rounded to billionths."""

    def __init__(self, ask: Callable[[str, Mapping[str, str]], str], where: str) -> None:
        """Create the source.

        Args:
            ask: Returns the answer of a function of the HTTP API, with its parameters. Raises `RemoteError`.
            where: The server, for people.
        """
        self._ask = ask
        self._where = where

    def close(self) -> None:
        """See `Source`."""

    def spend(self, question: Question) -> Spend:
        """See `Source`.

        Raises:
            UnclearQuestion: Metrics do not have a grouping, or the period has no beginning.
            PrometheusError: There is no answer.
        """
        begins, windows, width = _windows(question)
        timed = any(name in TIMES for name in question.by)
        amounts: defaultdict[tuple[float, tuple[str, ...], str, str], Decimal] = defaultdict(Decimal)
        for signal, selector, fields in _parts():
            for labels, at, more in self._added(selector, begins, windows, width):
                keys = tuple(_key(name, signal, labels) for name in question.by if name not in TIMES)
                reason = labels.get(signals.label(semconv.REASON), "")
                for name in fields(labels):
                    amounts[at if timed else begins, keys, name, reason] += more
        summing = Summing(question)
        plain = [name for name in question.by if name not in TIMES]
        for (at, keys, name, reason), amount in amounts.items():
            whole = round(amount * (money.NANO_PER_USD if name in ("nusd", "saved") else 1))
            summing.add(at, dict(zip(plain, keys, strict=True)), Sums()._replace(**{name: whole}), reason)
        return summing.spend()

    def _added(self, selector: str, begins: float, windows: int, width: int) -> Iterator[tuple[Labels, float, Decimal]]:
        """Yield what was added to counters: their labels, the beginning of the window, and the amount."""
        latest = {
            _name(series["metric"]): Decimal(series["value"][1])
            for series in self._query("query", f"last_over_time({selector}[1h])", time=begins)
        }
        query = f"max_over_time({selector}[{width}s])"
        for first in range(0, windows, _POINTS):
            last = min(first + _POINTS, windows)
            start, end = begins + (first + 1) * width, begins + last * width
            for series in self._query("query_range", query, start=start, end=end, step=width):
                labels = series["metric"]
                name = _name(labels)
                for at, text in series["values"]:
                    value, before = Decimal(text), latest.get(name, money.ZERO)
                    latest[name] = value
                    more = value - before if value >= before else value  # a counter that is smaller has begun anew
                    if more:
                        yield labels, float(at) - width, more

    def _query(self, name: str, query: str, **parameters: float) -> list[dict[str, Any]]:
        given = {"query": query, **{key: repr(value) for key, value in parameters.items()}}
        try:
            answer = json.loads(self._ask(name, given))
            found: list[dict[str, Any]] = answer["data"]["result"]
        except RemoteError as error:
            raise PrometheusError(
                f"Prometheus at {self._where} does not answer the question ({error!s:.300})."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise PrometheusError(f"What answers at {self._where} is not Prometheus ({error!s:.80}).") from error
        return found


def _parts() -> Iterator[tuple[Signal, str, Callable[[Labels], tuple[str, ...]]]]:
    """Yield the metrics that are read: each with its selector, and the sums that a series adds to, by its labels."""
    kind, saved = signals.label(semconv.TOKEN_TYPE), signals.label(semconv.SAVINGS_KIND)

    def always(name: str, _labels: Labels) -> tuple[str, ...]:
        return (name,)

    yield signals.COST, signals.COST.prometheus, partial(always, "nusd")
    yield signals.TOKENS, signals.TOKENS.prometheus, lambda labels: _TOKENS.get(labels.get(kind, ""), ())
    yield signals.SAVINGS, f'{signals.SAVINGS.prometheus}{{{saved}="cache"}}', partial(always, "saved")
    yield signals.UNPRICED, signals.UNPRICED.prometheus, partial(always, "unpriced")
    yield signals.DURATION, f"{signals.DURATION.prometheus}_count", partial(always, "calls")


def _windows(question: Question) -> tuple[float, int, int]:
    """Return the beginning of a period, and the number and the seconds of the windows in it."""
    wanted = [name for name in question.by if name not in TIMES and name not in _ATTRIBUTES]
    if question.session is not None:
        wanted.append("session")
    if wanted:
        raise UnclearQuestion(
            f"Metrics do not say the {' or the '.join(wanted)} of a call: there are "
            f"{', '.join((*TIMES, *_ATTRIBUTES))}; spans say more, in files of OTLP or in ClickHouse."
        )
    if question.since is None:
        raise UnclearQuestion("Prometheus needs a beginning: name one, such as 30d.")
    begins, now = math.floor(question.since), math.ceil(time.time())
    ends = math.ceil(question.until) if question.until is not None and question.until < now else None
    length = max(1, (ends or now) - begins)
    width = next(seconds for seconds in _WINDOWS if ends is None or length % seconds == 0)
    return begins, math.ceil(length / width), width


def _key(name: str, signal: Signal, labels: Labels) -> str:
    attribute = _ATTRIBUTES[name]
    found = labels.get(signals.label(attribute), "")
    if name == "model" and not found:
        found = labels.get(signals.label(semconv.REQUEST_MODEL), "")
    if found or attribute in signal.attributes or name == "tool":  # a call of a model has no tool
        return found
    return ANY


def _name(labels: Labels) -> tuple[tuple[str, str], ...]:
    """Return what identifies a series: its labels. One function of Prometheus keeps the metric's name, one does not."""
    return tuple(sorted((name, value) for name, value in labels.items() if name != "__name__"))
