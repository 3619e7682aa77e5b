"""How well loops are found: `python -m tests.core.loops.measuring [--full] [--write]` prints the tables.

Thresholds were chosen on loops that were put into half of the real runs and into three of the made-up domains
(`CHOSEN_ON`). The same kinds of loops in the other half and in two other domains were kept for the check (`KEPT`);
`OTHER` are loops with other words, ids, times, framings and failures, in that half and in other domains again. That
the real runs raise no false alarm was watched on all of them. `--full` takes some minutes, `--write` puts the table
into docs/loops.md; `AGENTCOST_CORPORA` names the folder with the real runs, without which there are only the others.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from tests.core.loops import domains, holdout, runs
from tests.core.loops.injection import MAKERS, Makers, inject
from tests.core.loops.runs import Step
from tools.documents import LOOPS, with_block


@dataclass(frozen=True, slots=True)
class Sample:
    """Runs without loops, and the loops that are put into them."""

    name: str
    half: int
    """Which of the real runs: those with an even number, or with an odd one."""
    domains: tuple[str, ...]
    clean: Callable[[str, int], list[Step]]
    makers: Makers


CHOSEN_ON: Final = Sample("chosen on", 0, ("coding", "search", "operations"), domains.clean, MAKERS)
KEPT: Final = Sample("kept for the check", 1, ("retail", "browser"), domains.clean, MAKERS)
OTHER: Final = Sample("other noise", 1, tuple(holdout.RUNS), holdout.clean, holdout.MAKERS)
SAMPLES: Final = (CHOSEN_ON, KEPT, OTHER)


@dataclass
class Score:
    """What came of the cases of one rule."""

    cases: int = 0
    found: int = 0
    named: int = 0
    """How many were called by the name of their rule."""
    early: int = 0
    """False alarms, before the loop began."""
    rounds: Counter[int] = field(default_factory=Counter[int])
    """How many rounds had been made when the loop was found."""
    in_time: int = 0
    wasted: Counter[int] = field(default_factory=Counter[int])
    """How many calls were made from the first repetition to the finding."""

    def add(self, other: Score) -> None:
        for name in ("cases", "found", "named", "early", "in_time"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.rounds.update(other.rounds)
        self.wasted.update(other.wasted)

    def shares(self) -> tuple[float, float, float]:
        """Precision, recall, and how many of those found were found at most one round late."""
        found = self.found or 1
        return self.found / ((self.found + self.early) or 1), self.found / self.cases, self.in_time / found

    def calls_wasted(self, share: float) -> int:
        """So many calls or fewer were wasted in that share of the loops that were found."""
        left = share * self.found
        for calls in sorted(self.wasted):
            left -= self.wasted[calls]
            if left <= 0:
                return calls
        return 0

    def row(self, rule: str) -> str:
        precision, recall, in_time = self.shares()
        median, most = self.calls_wasted(0.5), self.calls_wasted(0.95)
        named = self.named / (self.found or 1)
        return (
            f"{rule:12} {self.cases:6} {precision:10.4f} {recall:7.4f} {in_time:9.3f} {median:7} {most:5} {named:6.2f}"
        )

    def markdown(self, rule: str) -> str:
        precision, recall, in_time = self.shares()
        median, most = self.calls_wasted(0.5), self.calls_wasted(0.95)
        return f"| {rule} | {self.cases:,} | {precision:.3f} | {recall:.3f} | {in_time:.3f} | {median} | {most} |\n"


HEAD = f"{'rule':12} {'cases':>6} {'precision':>10} {'recall':>7} {'in time':>9} {'median':>7} {'p95':>5} {'named':>6}"
MARKDOWN = (
    "| loops | cases | precision | recall | in time | calls wasted, median | 95 % |\n|---|---|---|---|---|---|---|\n"
)


def allowed(rule: str) -> int:
    """The rounds within which a loop is to be found: three, or eight turns of a stall, and one more."""
    return 9 if rule == "stall" else 4


def pool(sample: Sample, each: int) -> list[tuple[str, list[Step]]]:
    """Runs without loops, named."""
    known = [(f"airline {n}", run) for n, run in enumerate(runs.real()) if n % 2 == sample.half]
    known = [(name, run) for name, run in known if not _shown(run)]  # one is a loop already
    return known + [(f"{name} {n}", sample.clean(name, n)) for name in sample.domains for n in range(each)]


def score(rule: str, among: list[tuple[str, list[Step]]], cases: int, makers: Makers = MAKERS) -> Score:
    """What comes of so many cases of a rule, each in one of the runs."""
    result = Score()
    for n in range(cases):
        name, run = among[n * 7 % len(among)]
        case = inject(rule, run, f"{name} {n}", makers=makers)
        found = runs.findings(case.run)
        result.cases += 1
        result.early += any(at <= case.starts for at, _ in found)
        inside = [(at, finding) for at, finding in found if at > case.starts]
        if not inside:
            continue
        at, finding = inside[0]
        result.found += 1
        result.named += finding.rule == rule
        rounds = 1 + sum(end < at for end in case.ends)
        result.rounds[rounds] += 1
        result.in_time += rounds <= allowed(rule)
        since = case.run[case.ends[0] : at]
        result.wasted[sum(step.tool is not None or step.by == "assistant" for step in since)] += 1
    return result


def scores(sample: Sample, among: list[tuple[str, list[Step]]], cases: int) -> dict[str, Score]:
    """What comes of so many cases of each rule."""
    return {rule: score(rule, among, cases, sample.makers) for rule in sample.makers}


def total(parts: Iterable[Score]) -> Score:
    result = Score()
    for each in parts:
        result.add(each)
    return result


def alarms_in_clean(sample: Sample, each: int) -> tuple[int, int, list[str]]:
    """Runs without a loop: how many there are, and those in which one is found all the same."""
    wrong: list[str] = []
    count = 0
    for n, run in enumerate(runs.real()):
        if n % 2 == sample.half and not _shown(run):
            found = runs.findings(run)
            count += 1
            wrong += [f"airline {n}: {found[0]}"] if found else []
    for name in sample.domains:
        for n in range(each):
            count += 1
            found = runs.findings(sample.clean(name, n))
            wrong += [f"{name} {n}: {found[0]}"] if found else []
    return count, len(wrong), wrong


def _shown(run: list[Step]) -> bool:
    """Whether the run is the one that does go in circles: it fails in the same way and has the same thought, three
    times and more. It is no run without a loop.
    """
    fails = Counter((step.tool, step.result) for step in run if step.result.startswith("Error"))
    thoughts = Counter((step.tool, step.text) for step in run if step.tool == "think")
    return max(fails.values(), default=0) >= 4 and max(thoughts.values(), default=0) >= 3


def main(*, full: bool, write: bool) -> None:
    """All tables."""
    each, cases = (2000, 2000) if full else (200, 200)
    found: dict[str, dict[str, Score]] = {}
    for sample in SAMPLES:
        count, wrong, which = alarms_in_clean(sample, each)
        print(f"\n{sample.name}: {wrong} false alarms in {count} runs without a loop")
        print("\n".join(which[:5]))
        print(HEAD)
        found[sample.name] = scores(sample, pool(sample, 40), cases)
        for rule, score_of_it in found[sample.name].items():
            print(score_of_it.row(rule), flush=True)
        print(total(found[sample.name].values()).row("all"), flush=True)
    if write:
        page = LOOPS.read_text(encoding="utf-8")
        LOOPS.write_text(with_block(page, "detection", table(found)), encoding="utf-8")


def table(found: dict[str, dict[str, Score]]) -> str:
    """By rule, in all samples; then by sample."""
    rows = [total(each[rule] for each in found.values()).markdown(f"`{rule}`") for rule in MAKERS]
    rows += [total(each.values()).markdown(f"all, {name}") for name, each in found.items()]
    rows.append(total(score for each in found.values() for score in each.values()).markdown("all"))
    return MARKDOWN + "".join(rows)


if __name__ == "__main__":
    main(full="--full" in sys.argv, write="--write" in sys.argv)
