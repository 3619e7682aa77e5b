"""Sample data: the calls that the agents of `company.py` make in some weeks, at the price book's prices.

The random generator has a fixed seed, so the same end gives the same calls.
"""

from __future__ import annotations

import datetime as dt
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from grafana.preview.company import AGENTS, GPT_4O_MINI, SELF_HOSTED, Agent, Model
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.pricebook import open_book
from otel_agentcost.pricebook.book import PriceBook

DAYS: Final = 16
STEP: Final = 900
"""Seconds between two samples of a series, as the scrape interval of a real Prometheus."""
RUN_BUDGET: Final = 2.5
"""Limit in dollars above which the company's Collector counts a run as over budget."""
_DAY: Final = 86400
_SEED: Final = 40
_HOURS: Final = (0, 0, 0, 0, 0, 0, 1, 3, 8, 11, 12, 10, 7, 10, 12, 11, 9, 6, 3, 2, 1, 1, 0, 0)
"""Relative number of runs that start in each hour, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A budget of the company; `text` is its rule in the syntax of OTEL_AGENTCOST_BUDGETS."""

    text: str
    scope: str
    agent: str
    each_user: bool
    usd: float
    action: str


BUDGETS: Final = (
    Budget(text="agent=researcher/day:usd=11", scope="agent", agent="researcher", each_user=False, usd=11,
           action="block"),
    Budget(text="user/day:usd=6,on_exceed=warn", scope="user", agent="support-desk", each_user=True, usd=6,
           action="warn"),
    Budget(text="team=sales/day:usd=1.2,on_exceed=downgrade", scope="team", agent="sales-assistant", each_user=False,
           usd=1.2, action="downgrade"),
    Budget(text="agent=coder/day:usd=40", scope="agent", agent="coder", each_user=False, usd=40, action="block"),
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Call:
    """One model call. `usd` is None if it has no price."""

    at: float
    agent: Agent
    user: str
    model: Model
    usage: Usage
    usd: float | None
    saved_by_cache: float = 0.0
    saved_by_downgrade: float = 0.0
    seconds: float = 1.0
    error: str | None = None
    refused: Budget | None = None

    @property
    def ended(self) -> float:
        """Unix time of its end, when it is counted."""
        return self.at + self.seconds


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of an agent: a trace."""

    trace: str
    agent: Agent
    user: str
    started: float
    ended: float = 0.0
    calls: list[Call] = field(default_factory=list[Call])
    tools: list[tuple[float, str, float]] = field(default_factory=list[tuple[float, str, float]])
    """Tool calls as (Unix time, tool, dollars)."""
    loop: str | None = None
    """Rule of its loop, if it has one."""
    wasted: float = 0.0

    @property
    def allowed_calls(self) -> list[Call]:
        """Calls that no budget refused."""
        return [call for call in self.calls if call.refused is None]

    @property
    def model_usd(self) -> float:
        """Cost of its model calls."""
        return math.fsum(call.usd or 0.0 for call in self.calls)

    @property
    def tool_usd(self) -> float:
        """Cost of its tool calls."""
        return math.fsum(usd for _, _, usd in self.tools)

    @property
    def usd(self) -> float:
        """Total cost."""
        return self.model_usd + self.tool_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """All runs between two Unix times, `start` and `end`."""

    start: float
    end: float
    runs: list[Run]

    def calls(self, since: float, until: float) -> Iterator[tuple[Run, Call]]:
        """Yield the allowed model calls of a period with their runs."""
        return ((run, call) for run in self.runs for call in run.allowed_calls if since < call.ended <= until)

    def dollars(self, since: float, until: float, where: Callable[[Run, Call | None], bool] | None = None) -> float:
        """Return the cost of a period; `where` selects calls and gets None for tool calls."""
        models = (call.usd or 0.0 for run, call in self.calls(since, until) if where is None or where(run, call))
        tools = (
            usd for run in self.runs for at, _, usd in run.tools
            if since < at <= until and (where is None or where(run, None))
        )  # fmt: skip
        return math.fsum((*models, *tools))


def generate(end: float, days: int = DAYS) -> Sample:
    """Return the sample that ends at `end`, a Unix time."""
    end = math.floor(end / STEP) * STEP
    start = end - days * _DAY
    rng = random.Random(_SEED)
    generator = _Generator(open_book(), rng)
    first = math.floor(start / _DAY)
    for day in range(first, math.floor(end / _DAY) + 1):
        begins = [(at, agent) for agent in AGENTS for at in _start_times(rng, agent, day, day - first)]
        for at, agent in sorted(begins, key=lambda one: one[0]):
            if start < at:
                generator.run(at, agent, recent=at > end - 2 * _DAY)
    runs = [run for run in generator.runs if run.ended < end]
    return Sample(start=start, end=end, runs=runs)


def _start_times(rng: random.Random, agent: Agent, day: int, age: int) -> Iterator[float]:
    """Yield the start times of an agent's runs on a day: more every week, few at weekends."""
    weekend = dt.datetime.fromtimestamp(day * _DAY, dt.timezone.utc).weekday() >= 5
    expected = agent.runs * (1 + 0.012 * age) * (0.3 if weekend else 1.0)
    for _ in range(max(1, round(rng.gauss(expected, expected / 9)))):
        if agent.nightly:
            yield day * _DAY + 3600 + rng.random() * 7200
        else:
            hour = rng.choices(range(24), _HOURS)[0]
            yield day * _DAY + (hour + rng.random()) * 3600


class _Generator:
    """Generates runs in order of time and keeps the spend of each daily budget."""

    def __init__(self, book: PriceBook, rng: random.Random) -> None:
        self.runs: list[Run] = []
        self._book = book
        self._rng = rng
        self._spent: dict[tuple[Budget, str, int], float] = defaultdict(float)

    def run(self, at: float, agent: Agent, *, recent: bool) -> None:
        """Generate one run."""
        rng = self._rng
        user = rng.choices(agent.users, [2.0 / (rank + 1) for rank in range(len(agent.users))])[0]
        run = Run(trace=f"{rng.getrandbits(128):032x}", agent=agent, user=user, started=at)
        steps = rng.randint(*agent.steps)
        if rng.random() < agent.looping:
            run.loop = rng.choice(("repeat", "repeat", "cycle", "near_repeat", "error_storm"))
            steps = steps * 2 + 8
        self_hosted = recent and agent.name == "copywriter" and rng.random() < 0.15
        for step in range(steps):
            call = self._call(run, at, step, SELF_HOSTED if self_hosted else None)
            run.calls.append(call)
            at += call.seconds
            if call.refused:
                break
            if agent.tools and step < steps - 1:
                tool, usd = rng.choice(agent.tools)
                at += 0.2 + rng.expovariate(1.2)
                run.tools.append((at, tool, usd))
        if len(run.allowed_calls) < 6 or not run.tools:  # refused before it could loop
            run.loop = None
        if run.loop:
            run.wasted = math.fsum(call.usd or 0.0 for call in run.calls[len(run.calls) // 3 :])
        run.ended = at + 0.1
        self.runs.append(run)

    def _call(self, run: Run, at: float, step: int, model: Model | None) -> Call:
        rng, agent = self._rng, run.agent
        requested = model or rng.choices([one for one, _ in agent.models], [share for _, share in agent.models])[0]
        used, refused = requested, None
        for budget in self._exceeded(agent, run.user, at):
            if budget.action == "block":
                refused = budget
            elif budget.action == "downgrade":
                used = GPT_4O_MINI
        usage = self._usage(agent, step, requested)
        error = None
        if rng.random() < agent.failing:
            error = rng.choice(("RateLimitError", "APITimeoutError", "ContentFilterError"))
        if refused or error == "RateLimitError":
            usage = Usage(counts={})
        usd = None if refused else self._price(used, usage, at)
        call = Call(at=at, agent=agent, user=run.user, model=used, usage=usage, usd=usd, error=error,
                    refused=refused)  # fmt: skip
        if refused:
            call.seconds = 0.01
            return call
        call.seconds = 0.4 + usage.output_tokens / rng.uniform(45, 130) + rng.expovariate(3)
        if usd and used is not requested:
            call.saved_by_downgrade = max(0.0, (self._price(requested, usage, at) or 0.0) - usd)
        if usd and (read := usage.counts.get("cache_read_tokens")):
            uncached = self._price(used, Usage(counts={"input_tokens": read}), at) or 0.0
            call.saved_by_cache = uncached - (self._price(used, Usage(counts={"cache_read_tokens": read}), at) or 0)
        self._spend(agent, run.user, at, usd or 0.0)
        return call

    def _usage(self, agent: Agent, step: int, model: Model) -> Usage:
        rng = self._rng
        prompt = round(agent.prompt * rng.uniform(0.7, 1.4) * (1 + agent.growth * step))
        output = max(4, round(agent.output * rng.lognormvariate(0, 0.5)))
        cached = round(prompt * agent.cached * rng.uniform(0.75, 1.05)) if agent.cached else 0
        cached = min(cached, prompt - 50)
        counts: dict[Kind, int] = {}
        if step and cached > 1024:
            counts["cache_read_tokens"] = cached
        elif cached > 1024 and model.provider == "anthropic":
            counts["cache_write_tokens"] = cached
        else:
            cached = 0
        reasoning = round(output * agent.reasoning)
        counts |= {"input_tokens": prompt - cached, "output_tokens": output - reasoning}
        if reasoning:
            counts["output_reasoning_tokens"] = reasoning
        return Usage(counts=dict(counts))

    def _price(self, model: Model, usage: Usage, at: float) -> float | None:
        cost = self._book.price(
            usage, provider=model.provider, base_url=None, models=(model.responding, model.requested), at=at
        )
        return None if cost.usd is None else float(cost.usd)

    def _exceeded(self, agent: Agent, user: str, at: float) -> list[Budget]:
        return [
            budget for budget in BUDGETS
            if budget.agent == agent.name and self._spent[_key(budget, user, at)] >= budget.usd
        ]  # fmt: skip

    def _spend(self, agent: Agent, user: str, at: float, usd: float) -> None:
        for budget in BUDGETS:
            if budget.agent == agent.name:
                self._spent[_key(budget, user, at)] += usd


def _key(budget: Budget, user: str, at: float) -> tuple[Budget, str, int]:
    return budget, user if budget.each_user else budget.text, math.floor(at / _DAY)
