"""Confidence limits of a rate that was counted: the exact ones of Clopper and Pearson (Biometrika 26, 1934)."""

from __future__ import annotations

import math
from typing import NamedTuple


class Limits(NamedTuple):
    """A range that has the true rate in it, at the confidence that was asked for."""

    low: float
    high: float


def limits(count: int, of: int, confidence: float = 0.95) -> Limits:
    """Return the confidence limits of a rate.

    Args:
        count: How often it happened.
        of: How often it could have happened.
        confidence: The share of such ranges that have the true rate in them, at least.
    """
    if of <= 0:
        return Limits(0.0, 1.0)
    tail = (1 - confidence) / 2
    low = 0.0 if count <= 0 else 1 - _highest(of - count, of, tail)
    high = 1.0 if count >= of else _highest(count, of, tail)
    return Limits(low, high)


def _highest(count: int, of: int, tail: float) -> float:
    """Return the highest rate at which `count` or fewer of `of` still happen with the probability `tail`."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(count, of, middle) > tail:
            low = middle
        else:
            high = middle
    return high


def _at_most(count: int, of: int, rate: float) -> float:
    """Return the probability that something of a rate happens at most `count` times of `of`.

    The terms of the sum are added from the largest one on, until they no longer matter: counts may be millions.
    """
    if rate <= 0.0:
        return 1.0
    if rate >= 1.0:
        return 1.0 if count >= of else 0.0
    if count > of * rate:  # the other tail is the shorter one
        return 1.0 - _tail(of - count - 1, of, 1 - rate)
    return _tail(count, of, rate)


def _tail(count: int, of: int, rate: float) -> float:
    if count < 0:
        return 0.0
    logarithm = (
        math.lgamma(of + 1)
        - math.lgamma(count + 1)
        - math.lgamma(of - count + 1)
        + count * math.log(rate)
        + (of - count) * math.log1p(-rate)
    )
    term = total = 1.0
    odds = (1 - rate) / rate
    for at in range(count, 0, -1):
        term *= at / (of - at + 1) * odds
        total += term
        if term < total * 1e-12:
            break
    return math.exp(logarithm) * total if logarithm > -700 else 0.0
