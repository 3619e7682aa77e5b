"""The error bound of one cached entry, learned from what happened at it (arXiv 2502.03771, "vCache").

Each time that a question was alike to the entry's, it is known afterwards whether the entry's answer would have been
right. The probability of that is a logistic curve of the similarity, with a threshold and a slope of the entry's own.
Where enough is known of the curve, the entry may answer; so often that, with what is not known, at most the share
`delta` of all answers is wrong. The rest of the time the model is asked, and the answer is one more observation.

With confidence `1 - epsilon` the true curve is among those that are not `epsilon` times less likely than the likeliest
one: for two parameters, twice the logarithm of that ratio is a chi-square of two degrees of freedom, whose tail beyond
`-2 ln(epsilon)` is `epsilon`. The lowest of these curves says how probable a right answer is at least. No matrix is
inverted, and entries that were always right are no exception.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from functools import cache
from operator import add, sub
from typing import Final, NamedTuple

DELTA: Final = 0.01
"""The share of answers that may be wrong, of all that an entry has a say in."""

LEAST: Final = 6
"""Observations below which the model is always asked."""

MOST: Final = 200
"""Observations of an entry that are kept, the latest ones."""

_THRESHOLDS: Final = tuple(0.3 + 0.025 * step for step in range(41))
"""Similarities at which a right answer is as probable as a wrong one. Above 1, no question is alike enough."""

_SLOPES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)


class Fit(NamedTuple):
    """The likeliest curve of an entry."""

    threshold: float
    slope: float


_CURVES: Final = tuple(Fit(threshold, slope) for threshold in _THRESHOLDS for slope in _SLOPES)


class Bound:
    """The observations of one entry, and what they say of each curve."""

    __slots__ = ("_likelihoods", "_seen")

    def __init__(self) -> None:
        """Start with nothing."""
        self._seen = deque[tuple[int, bool]]()
        self._likelihoods: array[float] | None = None

    def __len__(self) -> int:
        """Return the number of observations."""
        return len(self._seen)

    def learn(self, similarity: float, *, right: bool) -> None:
        """Take one observation.

        Args:
            similarity: That of the question to the entry's.
            right: Whether the entry's answer would have been right.
        """
        seen = _step(similarity), right
        self._seen.append(seen)
        if self._likelihoods is None:
            self._likelihoods = array("d", _logarithms(*seen))
        else:
            self._likelihoods = array("d", map(add, self._likelihoods, _logarithms(*seen)))
        if len(self._seen) > MOST:
            self._likelihoods = array("d", map(sub, self._likelihoods, _logarithms(*self._seen.popleft())))

    def fit(self) -> Fit | None:
        """Return the likeliest curve; None if too little is known."""
        if len(self._seen) < LEAST or self._likelihoods is None:
            return None
        return max(zip(self._likelihoods, _CURVES, strict=True))[1]

    def asks(self, similarity: float, delta: float = DELTA) -> float:
        """Return the probability with which the model has to be asked, for a question of a similarity.

        Args:
            similarity: That of the question to the entry's.
            delta: The share of answers that may be wrong.
        """
        if len(self._seen) < LEAST or self._likelihoods is None:
            return 1.0
        curves = sorted(zip(self._likelihoods, _logarithms(_step(similarity), True), strict=True), reverse=True)
        likeliest = curves[0][0]
        lowest, least = 0.0, 1.0  # the logarithm of a probability, and a probability
        for at, (likelihood, right) in enumerate(curves):
            lowest = min(lowest, right)
            # A curve that follows is not among those of this confidence.
            after = curves[at + 1][0] if at + 1 < len(curves) else -math.inf
            if after == likelihood:
                continue
            doubt = math.exp(after - likeliest)
            wrong = 1 - (1 - doubt) * math.exp(lowest)
            least = min(least, 1 - delta / wrong if wrong > delta else 0.0)
        return max(0.0, least)


def _step(similarity: float) -> int:
    """Return a similarity in hundredths."""
    return round(100 * min(1.0, max(-1.0, similarity)))


@cache
def _logarithms(step: int, right: bool) -> array[float]:  # noqa: FBT001 (cached by position)
    """Return the logarithm of the probability of an observation, for each curve."""
    distances = (curve.slope * (step / 100 - curve.threshold) for curve in _CURVES)
    return array("d", (-_softplus(-distance if right else distance) for distance in distances))


def _softplus(value: float) -> float:
    """Return log(1 + exp(value))."""
    return value + math.log1p(math.exp(-value)) if value > 0 else math.log1p(math.exp(value))
