"""The error bound of an entry, and the limits of a measured rate."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_agentcost.savings.semantic.bound import LEAST, Bound
from otel_agentcost.savings.semantic.limits import limits


def learned(pairs: list[tuple[float, bool]]) -> Bound:
    """A bound that knows observations."""
    bound = Bound()
    for similarity, right in pairs:
        bound.learn(similarity, right=right)
    return bound


def drawn(number: int, *, threshold: float, slope: float, seed: int = 1) -> list[tuple[float, bool]]:
    """Observations of an entry whose curve is known."""
    chance = random.Random(seed)
    found: list[tuple[float, bool]] = []
    for _ in range(number):
        similarity = chance.uniform(0.5, 1)
        found.append((similarity, chance.random() < 1 / (1 + math.exp(-slope * (similarity - threshold)))))
    return found


def test_the_model_is_always_asked_at_first() -> None:
    """Fewer than six observations allow nothing, however right they were."""
    bound = learned([(0.99, True)] * (LEAST - 1))
    assert bound.asks(1.0, 0.5) == 1.0
    assert bound.fit() is None


def test_the_curve_of_an_entry_is_found() -> None:
    """The likeliest curve has the threshold that the observations were drawn with."""
    fit = learned(drawn(200, threshold=0.8, slope=40)).fit()
    assert fit is not None
    assert abs(fit.threshold - 0.8) <= 0.05
    assert fit.slope >= 16


def test_an_entry_answers_where_it_was_right() -> None:
    """Far above its threshold an entry answers, and below it the model is asked nearly always."""
    bound = learned(drawn(200, threshold=0.8, slope=40))
    assert bound.asks(1.0, 0.05) == 0.0
    assert bound.asks(0.7, 0.05) >= 0.9


def test_an_entry_that_is_never_right_answers_next_to_nothing() -> None:
    """Only so much is served as may be wrong: of what is always wrong, the share `delta`."""
    bound = learned([(0.95, False)] * 50)
    assert bound.asks(0.95, 0.01) >= 0.985


@pytest.mark.parametrize("delta", [0.02, 0.1])
def test_the_share_of_wrong_answers_stays_below_delta(delta: float) -> None:
    """Over 40 entries with curves of their own, at most `delta` of all answers are wrong."""
    chance = random.Random(3)
    wrong = asked = served = 0
    for _ in range(40):
        bound, threshold = Bound(), chance.uniform(0.6, 1.0)
        for _ in range(150):
            similarity = chance.uniform(0.5, 1)
            right = chance.random() < 1 / (1 + math.exp(-30 * (similarity - threshold)))
            serves = chance.random() >= bound.asks(similarity, delta)
            bound.learn(similarity, right=right)
            asked, served, wrong = asked + 1, served + serves, wrong + (serves and not right)
    assert wrong <= delta * asked, (wrong, asked)
    assert served >= 0.05 * asked, "else nothing is tested"


def test_limits_are_those_of_the_tables() -> None:
    """The limits are the exact ones that tables of the binomial distribution have."""
    assert limits(0, 100) == pytest.approx((0.0, 0.0362), abs=1e-4)
    assert limits(3, 100) == pytest.approx((0.0062, 0.0852), abs=1e-4)
    assert limits(50, 100) == pytest.approx((0.3983, 0.6017), abs=1e-4)
    assert limits(100, 100) == pytest.approx((0.9638, 1.0), abs=1e-4)
    assert limits(0, 0) == (0.0, 1.0)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 2_000_000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_limits_hold_the_measured_rate(counted: tuple[int, int]) -> None:
    """The measured rate is within its limits, for any counts."""
    count, of = counted
    low, high = limits(count, of)
    assert 0 <= low <= count / of <= high <= 1


def test_limits_hold_the_true_rate_often_enough() -> None:
    """Of 400 samples at a known rate, at least 93 % have it within their limits of 95 %."""
    chance = random.Random(5)
    held = 0
    for _ in range(400):
        counted = sum(chance.random() < 0.07 for _ in range(150))
        low, high = limits(counted, 150)
        held += low <= 0.07 <= high
    assert held >= 0.93 * 400
