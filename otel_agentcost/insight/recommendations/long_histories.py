"""Conversations whose history grows: after some steps most of a prompt is what was said before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from otel_agentcost.core import money
from otel_agentcost.insight.recommendations import Bounded, Evidence, Finding, Seen, Tally, Watcher, place, thread

_STEP: Final = 5
_SHARE: Final = 0.5
"""The share of the growth in a prompt that makes it worth saying."""


class _Steps(NamedTuple):
    number: int
    tokens: int
    """Input tokens of the fifth step."""


def watch(_evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _LongHistories()


class _LongHistories(Watcher):
    sees = True

    def __init__(self) -> None:
        self._tally = Tally()
        self._steps = Bounded[_Steps]()

    def see(self, seen: Seen) -> None:
        call = seen.call
        if call.tokens is None or not call.calls or not call.chain:
            return
        key = thread(call)
        steps = self._steps.get(key) or _Steps(0, 0)
        number = steps.number + 1
        if number <= _STEP:
            self._steps.keep(key, _Steps(number, call.tokens.input))
            return
        self._steps.keep(key, _Steps(number, steps.tokens))
        growth = call.tokens.input - steps.tokens
        if growth <= _SHARE * call.tokens.input or seen.basis is None:
            return
        cost = seen.repricing.cost(call, seen.basis)
        paid = money.add(money.add(cost.input_usd, cost.cache_read_usd), cost.cache_write_usd)
        self._tally.add(place(call), money.to_nano(paid) * growth // call.tokens.input)

    def found(self) -> Iterator[Finding]:
        formula = (
            f"from step {_STEP + 1} on, where the growth is more than half of the prompt: dollars of the input x "
            f"(input tokens - input tokens of step {_STEP}) / input tokens"
        )
        title = f"Shorten histories after step {_STEP}: drop old tool results, or summarize"
        return self._tally.finding("long_histories", title, "ceiling", formula)
