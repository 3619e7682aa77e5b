"""How well loops are found: `python -m tests.loops.measuring [--full]` prints the table.

Thresholds were chosen on loops that were put into half of the real runs and into three of the made-up domains. Loops in
the other half and in two other domains were kept for the check, and the table says both; that the real runs raise no
false alarm was watched on all of them. `--full` takes some minutes; `AGENTCOST_CORPORA` names the folder with the real
runs, without which there are only the others.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.loops import domains, runs
from tests.loops.injection import MAKERS, inject
from tests.loops.runs import Step

SEEN = ("coding", "search", "operations")
UNSEEN = ("retail", "browser")


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
    wasted: int = 0
    """Calls made from the first repetition to the finding, in all."""

    def row(self, rule: str) -> str:
        mean = self.wasted / self.found if self.found else 0.0
        recall = self.found / self.cases
        precision = self.found / (self.found + self.early) if self.found else 0.0
        share = self.in_time / self.found if self.found else 0.0
        named = self.named / self.found if self.found else 0.0
        return f"{rule:12} {self.cases:6} {precision:10.4f} {recall:7.4f} {share:9.3f} {mean:7.1f} {named:6.2f}"


HEAD = f"{'rule':12} {'cases':>6} {'precision':>10} {'recall':>7} {'in time':>9} {'wasted':>7} {'named':>6}"


def allowed(rule: str) -> int:
    """The rounds within which a loop is to be found: three, or eight turns of a stall, and one more."""
    return 9 if rule == "stall" else 4


def pool(*, seen: bool, each: int) -> list[tuple[str, list[Step]]]:
    """Runs without loops, named."""
    known = [(f"airline {n}", run) for n, run in enumerate(runs.real()) if n % 2 == (0 if seen else 1)]
    known = [(name, run) for name, run in known if not runs.findings(run)]  # one is a loop already
    return known + [(f"{name} {n}", domains.clean(name, n)) for name in (SEEN if seen else UNSEEN) for n in range(each)]


def score(rule: str, among: list[tuple[str, list[Step]]], cases: int) -> Score:
    """What comes of so many cases of a rule, each in one of the runs."""
    result = Score()
    for n in range(cases):
        name, run = among[n * 7 % len(among)]
        case = inject(rule, run, f"{name} {n}")
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
        result.wasted += sum(step.tool is not None or step.by == "assistant" for step in case.run[case.ends[0] : at])
    return result


def total(scores: Iterable[Score]) -> Score:
    result = Score()
    for each in scores:
        for name in ("cases", "found", "named", "early", "in_time", "wasted"):
            setattr(result, name, getattr(result, name) + getattr(each, name))
        result.rounds.update(each.rounds)
    return result


def alarms_in_clean(*, seen: bool, each: int) -> tuple[int, int, list[str]]:
    """Runs without a loop: how many there are, and those in which one is found all the same."""
    wrong: list[str] = []
    count = 0
    for n, run in enumerate(runs.real()):
        if n % 2 == (0 if seen else 1):
            found = runs.findings(run)
            count += 1
            wrong += [f"airline {n}: {found[0]}"] if found and not _shown(run) else []
    for name in SEEN if seen else UNSEEN:
        for n in range(each):
            count += 1
            found = runs.findings(domains.clean(name, n))
            wrong += [f"{name} {n}: {found[0]}"] if found else []
    return count, len(wrong), wrong


def _shown(run: list[Step]) -> bool:
    """Whether the run is the one that does go in circles: it fails in the same way and has the same thought, three
    times and more. It is no run without a loop.
    """
    fails = Counter((step.tool, step.result) for step in run if step.result.startswith("Error"))
    thoughts = Counter((step.tool, step.text) for step in run if step.tool == "think")
    return max(fails.values(), default=0) >= 4 and max(thoughts.values(), default=0) >= 3


def main(*, full: bool) -> None:
    """All tables."""
    each, cases = (2000, 2000) if full else (200, 200)
    for seen, title in ((True, "runs that thresholds were chosen on"), (False, "runs that they were not chosen on")):
        count, wrong, which = alarms_in_clean(seen=seen, each=each)
        print(f"\n{title}: {wrong} false alarms in {count} runs without a loop")
        print("\n".join(which[:5]))
        print(HEAD)
        among = pool(seen=seen, each=40)
        scores = {rule: score(rule, among, cases) for rule in MAKERS}
        for rule, each_score in scores.items():
            print(each_score.row(rule), flush=True)
        print(total(scores.values()).row("all"), flush=True)


if __name__ == "__main__":
    main(full="--full" in sys.argv)
