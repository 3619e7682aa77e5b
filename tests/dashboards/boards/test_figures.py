"""What the boards say is what was done: to the cent, to the call, whichever way it is split."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import pytest

from grafana.preview.sample import Call, Run, Sample
from tests.dashboards.boards.conftest import Boards

CENT = 0.005
OVERVIEW, BUDGETS, RUNS, OPPORTUNITIES = (
    f"agentcost-{name}" for name in ("overview", "budgets", "runs", "opportunities")
)
Truth = Callable[[Sample, float, float], float]


def _runs(sample: Sample, since: float, until: float) -> list[Run]:
    return [run for run in sample.runs if since < run.ended <= until and run.allowed_calls]


def _spent(sample: Sample, since: float, until: float) -> float:
    return sample.dollars(since, until)


def _refused(sample: Sample, since: float, until: float) -> float:
    calls = (call for run in sample.runs for call in run.calls if call.refused and since < call.ended <= until)
    return float(len(list(calls)))


def _unpriced_share(sample: Sample, since: float, until: float) -> float:
    calls = [call for _, call in sample.calls(since, until)]
    return sum(call.usd is None and bool(call.usage.counts) for call in calls) / len(calls)


# Prometheus stretches the increase of a series that was born in the window by half the time between two scrapes: here
# seven minutes. So the sparse dollars of loops are right to two cents; with scrapes every 15 seconds to less than one.
STATS: list[tuple[str, str, Truth, float]] = [
    (OVERVIEW, "Spent in this range", _spent, CENT),
    (OVERVIEW, "Dollars per hour", lambda sample, _, until: sample.dollars(until - 3600, until), CENT),
    (OVERVIEW, "Runs per hour", lambda sample, _, until: len(_runs(sample, until - 3600, until)), 0.5),
    (OPPORTUNITIES, "Spent", _spent, CENT),
    (RUNS, "Runs", lambda sample, since, until: len(_runs(sample, since, until)), 0.5),
    (RUNS, "Mean cost of a run",
     lambda sample, since, until: math.fsum(run.usd for run in _runs(sample, since, until))
     / len(_runs(sample, since, until)), 1e-4),
    (BUDGETS, "Calls refused", _refused, 0.5),
    (BUDGETS, "Loops detected",
     lambda sample, since, until: sum(run.loop is not None for run in _runs(sample, since, until)), 0.5),
    (BUDGETS, "Cost of loops",
     lambda sample, since, until: math.fsum(run.wasted for run in _runs(sample, since, until) if run.loop), 4 * CENT),
    (BUDGETS, "Saved by downgrades",
     lambda sample, since, until: math.fsum(call.saved_by_downgrade for _, call in sample.calls(since, until)), CENT),
    (OVERVIEW, "Calls without a price", _unpriced_share, 2e-3),
]  # fmt: skip


@pytest.mark.parametrize(("board", "title", "truth", "tolerance"), STATS, ids=[f"{one[0]} {one[1]}" for one in STATS])
@pytest.mark.parametrize("days", [1, 3])
def test_a_number_is_what_was_done(
    boards: Boards, board: str, title: str, truth: Truth, tolerance: float, days: int
) -> None:
    """A panel of one number, over a day and over three, against the sum over the sample's calls."""
    sample = boards.sample
    expected = truth(sample, sample.end - days * 86400, sample.end)
    assert expected > 0
    assert boards.value(board, title, days * 86400) == pytest.approx(expected, abs=tolerance)


def _model(_run: Run, call: Call | None) -> str:
    return call.model.requested if call else ""


def _provider(_run: Run, call: Call | None) -> str:
    return call.model.provider if call else ""


SPLITS: list[tuple[str, str, Callable[[Run, Call | None], str]]] = [
    ("By model", "gen_ai_request_model", _model),
    ("By provider", "gen_ai_provider_name", _provider),
    ("By agent", "gen_ai_agent_name", lambda run, _: run.agent.name),
    ("By user", "user_id", lambda run, _: run.user),
    ("By team", "agentcost_team", lambda run, _: run.agent.team),
    ("By feature", "agentcost_feature", lambda run, _: run.agent.feature),
    ("By service", "service_name", lambda run, _: run.agent.service),
]


@pytest.mark.parametrize(("title", "label", "whose"), SPLITS, ids=[one[0] for one in SPLITS])
def test_a_split_is_exact_and_its_parts_are_the_whole(
    boards: Boards, title: str, label: str, whose: Callable[[Run, Call | None], str]
) -> None:
    """Each bar has its own dollars, to the cent, and all together are the total: nothing twice, nothing left out."""
    sample, since = boards.sample, boards.sample.end - 86400
    expected = {
        name: sample.dollars(since, sample.end, functools.partial(_is, whose, name))
        for name in {whose(run, call) for run, call in sample.calls(since, sample.end)} | {whose(sample.runs[0], None)}
    }
    found = {
        "" if series.labels[label].startswith("(") else series.labels[label]: series.last
        for series in boards.series(OVERVIEW, title)
    }
    assert found == pytest.approx({name: usd for name, usd in expected.items() if usd or name in found}, abs=CENT)
    assert math.fsum(found.values()) == pytest.approx(boards.value(OVERVIEW, "Spent in this range"), abs=CENT)


def _is(whose: Callable[[Run, Call | None], str], name: str, run: Run, call: Call | None) -> bool:
    return whose(run, call) == name


@pytest.mark.parametrize("service", ["helpdesk", "research-api", "dev-tools"])
def test_a_chosen_service_is_that_service_alone(boards: Boards, service: str) -> None:
    """The variable chooses in every query."""
    sample = boards.sample
    expected = sample.dollars(sample.end - 86400, sample.end, lambda run, _: run.agent.service == service)
    assert boards.value(OVERVIEW, "Spent in this range", service=service) == pytest.approx(expected, abs=CENT)
    (only,) = boards.series(OVERVIEW, "By service", service=service)
    assert only.last == pytest.approx(expected, abs=CENT)


def test_tokens_add_up(boards: Boards) -> None:
    """By kind, of the last hour; all kinds together are input and output."""
    sample = boards.sample
    found = {one.labels["gen_ai_token_type"]: one.last for one in boards.series(OVERVIEW, "Tokens per hour")}
    calls = [call.usage for _, call in sample.calls(sample.end - 3600, sample.end)]
    assert found["cache_read"] == pytest.approx(sum(usage.cache_read_tokens for usage in calls), abs=1)
    assert found["reasoning"] == pytest.approx(sum(usage.reasoning_tokens for usage in calls), abs=1)
    everything = sum(usage.input_tokens + usage.output_tokens for usage in calls)
    assert math.fsum(found.values()) == pytest.approx(everything, abs=1)


def test_the_fullest_budget_is_the_one_with_the_largest_share(boards: Boards) -> None:
    """The gauge is the first of the bars."""
    bars = [one.last for one in boards.series(BUDGETS, "Budget utilization now")]
    assert boards.value(BUDGETS, "Highest utilization") == max(bars)
    assert len(bars) > 3
