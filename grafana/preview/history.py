"""The sample as Prometheus series in OpenMetrics, with one scrape every fifteen minutes.

Names, attributes and buckets come from the package's table of signals.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import math
import tempfile
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

from grafana.preview import sample as samples
from grafana.preview.company import SELF_HOSTED
from grafana.preview.prometheus import Client, Prometheus
from grafana.preview.sample import BUDGETS, RUN_BUDGET, STEP, Budget, Call, Run, Sample
from otel_agentcost.core import semconv
from otel_agentcost.telemetry import signals
from otel_agentcost.telemetry.signals import Signal, label

Labels = tuple[tuple[str, str], ...]
_DAY = 86400
_BREAKER = "agent/10m:loops=1,open=15m"


@contextlib.contextmanager
def prometheus_with_sample(end: float) -> Generator[tuple[Client, Sample], None, None]:
    """Run a Prometheus that holds the sample up to `end`, a Unix time, for the duration of the context.

    Raises:
        OSError: The programs prometheus and promtool cannot be run.

    """
    data = samples.generate(end)
    with tempfile.TemporaryDirectory() as folder:
        history = Path(folder, "history.txt")
        History(data).write(history)
        server = Prometheus(Path(folder, "prometheus"), options=[f"--query.lookback-delta={STEP + 60}s"])
        server.backfill(history)
        history.unlink()
        server.start()
        try:
            yield server, data
        finally:
            server.stop()


class History:
    """Events of a sample, and the series that they add up to."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self._steps = round((sample.end - sample.start) / STEP)
        self._events: dict[tuple[Signal, Labels], list[tuple[float, float]]] = defaultdict(list)
        for run in sample.runs:
            self._run(run)
        self._gauges = _utilization(sample, self._steps)
        self._warnings()

    def write(self, path: Path) -> None:
        """Write the series as OpenMetrics."""
        with path.open("w", encoding="utf-8") as out:
            for name, labels, values in self._series():
                selector = ",".join(f'{key}="{value}"' for key, value in labels)
                out.writelines(f"{name}{{{selector}}} {value!r} {at}\n" for at, value in values)
            out.write("# EOF\n")

    def _series(self) -> Iterator[tuple[str, Labels, Iterable[tuple[int, float]]]]:
        for (signal, labels), events in self._events.items():
            if signal.kind == "counter":
                yield signal.prometheus, labels, self._cumulative(events)
                continue
            yield f"{signal.prometheus}_sum", labels, self._cumulative(events)
            yield f"{signal.prometheus}_count", labels, self._cumulative([(at, 1.0) for at, _ in events])
            born = min(at for at, _ in events)
            for bound in (*signal.buckets, math.inf):
                within = [(at, float(value <= bound)) for at, value in events]
                text = "+Inf" if bound == math.inf else f"{bound:.12g}"
                yield f"{signal.prometheus}_bucket", (*labels, ("le", text)), self._cumulative(within, born)
        for labels, values in self._gauges:
            yield signals.UTILIZATION.prometheus, labels, values

    def _cumulative(self, events: list[tuple[float, float]], born: float = math.inf) -> Iterator[tuple[int, float]]:
        """Return the running sum at each scrape since the first event."""
        added = [0.0] * (self._steps + 1)
        for at, value in events:
            added[self._step(at)] += value
        first = min(self._step(min(at for at, _ in events)), self._step(born) if born < math.inf else self._steps)
        total, start = 0.0, round(self._sample.start)
        for step in range(first, self._steps + 1):
            total += added[step]
            yield start + step * STEP, total

    def _step(self, at: float) -> int:
        return math.ceil((at - self._sample.start) / STEP)

    def _add(self, signal: Signal, at: float, value: float, where: Labels, **more: str | None) -> None:
        labels = {key: text for key, text in more.items() if text}
        self._events[signal, (*where, *labels.items())].append((at, value))

    def _run(self, run: Run) -> None:
        where = _place_labels(run)
        for call in run.calls:
            self._call(run, call, where)
        who = _attribution(run)
        for at, tool, usd in run.tools:
            if usd:
                executed = {label(semconv.OPERATION): semconv.EXECUTE_TOOL, **who, label(semconv.TOOL): tool}
                self._add(signals.COST, at, usd, where, **executed)
        if run.allowed_calls:
            self._add(signals.TRACE_COST, run.ended, run.usd, where)
            self._add(signals.TRACE_LLM_CALLS, run.ended, len(run.allowed_calls), where)
        if run.usd > RUN_BUDGET:
            self._add(signals.TRACES_OVER_BUDGET, run.ended, 1, where)
        if run.loop:
            self._loop(run, where)

    def _call(self, run: Run, call: Call, where: Labels) -> None:
        at = call.ended
        if budget := call.refused:
            rule = {label(semconv.BUDGET_UNIT): "usd", label(semconv.BUDGET_ACTION): budget.action}
            self._add(signals.REFUSALS, at, 1, where, **_budget_labels(budget), **rule)
            return
        model = {
            label(semconv.OPERATION): semconv.CHAT,
            label(semconv.PROVIDER): call.model.provider,
            label(semconv.REQUEST_MODEL): call.model.requested,
            label(semconv.RESPONSE_MODEL): call.model.responding if call.usage.counts else None,
        }
        error = {label(semconv.ERROR_TYPE): call.error}
        self._add(signals.DURATION, at, call.seconds, where, **model, **error)
        if not call.usage.counts:
            return
        if call.model is SELF_HOSTED:  # dollar budgets do not cover calls without a price
            self._add(signals.UNENFORCED, at, 1, where)
        self._tokens(call, at, where, model, _attribution(run))
        if call.usd is None:
            reason = {label(semconv.REASON): f"no price for {call.model.requested!r} of {call.model.provider}"}
            self._add(signals.UNPRICED, at, 1, where, **model, **reason)
            return
        self._add(signals.OPERATION_COST, at, call.usd, where, **model)
        self._add(signals.COST, at, call.usd, where, **model, **_attribution(run), **error)
        if call is _broken(run):
            broken = {**model, **_attribution(run), label(semconv.PROMPT_CACHE_REASON): "system"}
            self._add(signals.PROMPT_CACHE_BREAKS, at, 1, where, **broken)
            self._add(signals.PROMPT_CACHE_LOST, at, call.saved_by_cache, where, **broken)
        for kind, usd in ("cache", call.saved_by_cache), ("downgrade", call.saved_by_downgrade):
            if usd:
                self._add(signals.SAVINGS, at, usd, where, **model, **{label(semconv.SAVINGS_KIND): kind})

    def _tokens(
        self, call: Call, at: float, where: Labels, model: dict[str, str | None], who: dict[str, str | None]
    ) -> None:
        usage, kind = call.usage, label(semconv.TOKEN_TYPE)
        for name, tokens in ("input", usage.input_tokens), ("output", usage.output_tokens):
            self._add(signals.TOKEN_USAGE, at, tokens, where, **model, **{kind: name})
        apart = {
            "input": usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens,
            "cache_read": usage.cache_read_tokens,
            "cache_write": usage.cache_write_tokens,
            "output": usage.output_tokens - usage.reasoning_tokens,
            "reasoning": usage.reasoning_tokens,
        }
        for name, tokens in apart.items():
            if tokens:
                self._add(signals.TOKENS, at, tokens, where, **model, **who, **{kind: name})

    def _warnings(self) -> None:
        """Add a warning at each time when a day's spend reaches 80 % or 100 % of the budget."""
        for labels, values in self._gauges:
            all_labels = dict(labels)
            where = labels[:2]
            budget = {name: all_labels[name] for name in map(label, (semconv.BUDGET, semconv.BUDGET_SCOPE))}
            for (_, before), (at, now) in itertools.pairwise(values):
                for level, share in ("soft", 0.8), ("limit", 1.0):
                    if before < share <= now:
                        self._add(signals.WARNINGS, at, 1, where, **budget, **{label(semconv.BUDGET_LEVEL): level})

    def _loop(self, run: Run, where: Labels) -> None:
        tool = run.tools[-1][1] if run.tools else None
        loop = {label(semconv.LOOP_RULE): run.loop, label(semconv.TOOL): tool, label(semconv.AGENT): run.agent.name}
        self._add(signals.LOOPS, run.ended, 1, where, **loop)
        self._add(signals.LOOP_WASTE, run.ended, run.wasted, where, **loop)
        breaker = {
            label(semconv.BREAKER): _BREAKER,
            label(semconv.BREAKER_SCOPE): "agent",
            label(semconv.BREAKER_VALUE): run.agent.name,
        }
        for later, state in (0, "open"), (900, "half_open"), (902, "closed"):
            if run.ended + later < self._sample.end:
                self._add(signals.BREAKERS, run.ended + later, 1, where, **breaker,
                          **{label(semconv.BREAKER_STATE): state})  # fmt: skip


def _broken(run: Run) -> Call | None:
    """Return the call of a run that has found its prompt cache broken; None in most runs."""
    if not run.trace.endswith("7"):
        return None
    return next((call for call in reversed(run.allowed_calls) if call.saved_by_cache), None)


def _place_labels(run: Run) -> Labels:
    return tuple(zip(map(label, signals.WHERE), (run.agent.service, run.agent.environment), strict=True))


def _attribution(run: Run) -> dict[str, str | None]:
    agent = run.agent
    values = (agent.name, run.user, agent.tenant, agent.team, agent.feature)
    return dict(zip(map(label, signals.WHO), values, strict=True))


def _budget_labels(budget: Budget) -> dict[str, str | None]:
    return {label(semconv.BUDGET): budget.text, label(semconv.BUDGET_SCOPE): budget.scope}


def _utilization(sample: Sample, steps: int) -> list[tuple[Labels, list[tuple[int, float]]]]:
    """Return the utilization of each budget at each scrape; daily budgets restart at midnight."""
    spent: dict[Labels, tuple[Budget, dict[int, list[tuple[float, float]]]]] = {}
    for run in sample.runs:
        for budget in BUDGETS:
            if budget.agent != run.agent.name or run.agent.environment != "production":
                continue
            value = run.user if budget.each_user else run.agent.team if budget.scope == "team" else run.agent.name
            more = {**_budget_labels(budget), label(semconv.BUDGET_UNIT): "usd", label(semconv.BUDGET_VALUE): value}
            labels = (*_place_labels(run), *((key, text) for key, text in more.items() if text))
            days = spent.setdefault(labels, (budget, defaultdict(list)))[1]
            for call in run.calls:
                days[math.floor(call.ended / _DAY)].append((call.ended, call.usd or 0.0))
    series: list[tuple[Labels, list[tuple[int, float]]]] = []
    for labels, (budget, days) in spent.items():
        sums = {day: _running(events) for day, events in days.items()}
        values: list[tuple[int, float]] = []
        for step in range(steps + 1):
            at = round(sample.start) + step * STEP
            times, totals = sums.get(math.floor(at / _DAY), ([], [0.0]))
            values.append((at, totals[bisect.bisect_right(times, at)] / budget.usd))
        series.append((labels, values))
    return series


def _running(events: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    totals = [0.0]
    for _, usd in sorted(events):
        totals.append(totals[-1] + usd)
    return sorted(at for at, _ in events), totals
