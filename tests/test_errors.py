"""`BudgetExceeded`: a sentence that a person understands, figures for programs, and a way through pickle."""

from __future__ import annotations

import copy
import pickle

from otel_agentcost.errors import AgentCostError, BudgetExceeded

USED_UP = BudgetExceeded(
    budget="user/day:usd=0.50", scope="user", value="u1", unit="nano_usd", limit=500_000_000, spent=482_100_000,
    held=10_000_000, requested=20_000_000, trace_id="abc",
)  # fmt: skip


def test_a_refusal_is_a_sentence() -> None:
    """It says which budget, whose, how much in dollars, that nothing was sent, and what to do."""
    assert str(USED_UP) == (
        "The budget user/day:usd=0.50 of user u1 has no room for this call, which was not made (trace abc): $0.4821 of "
        "$0.50 is spent and $0.01 held by calls in flight; this call could take up to $0.02. Raise the limit, or ask "
        "for less: a shorter prompt, a lower output limit, a cheaper model."
    )
    assert isinstance(USED_UP, AgentCostError)


def test_what_is_only_held_comes_back() -> None:
    """Where calls in flight hold what is missing, the advice is to retry."""
    error = BudgetExceeded(
        budget="total:tokens=5000",
        scope="total",
        value="",
        unit="tokens",
        limit=5000,
        spent=0,
        held=4000,
        requested=1500,
    )
    assert "0 tokens of 5,000 tokens is spent and 4,000 tokens held" in str(error)
    assert str(error).endswith("Retry when they have ended, or make fewer calls at once.")


def test_time_and_a_silent_ledger_have_their_own_sentences() -> None:
    """Neither has anything to do with the size of the call."""
    late = BudgetExceeded(budget="trace:seconds=60", scope="trace", value="t", unit="seconds", limit=60, spent=61)
    assert "61 of 60 seconds" in str(late)
    silent = BudgetExceeded(budget="total:usd=1", scope="total", value="", unit="nano_usd")
    assert "OTEL_AGENTCOST_LEDGER_DOWN=allow" in str(silent)


def test_it_survives_pickle_and_copy() -> None:
    """Worker processes send exceptions to one another: figures, sentence and notes arrive."""
    for twin in (pickle.loads(pickle.dumps(USED_UP)), copy.copy(USED_UP), copy.deepcopy(USED_UP)):
        assert vars(twin) == vars(USED_UP)
        assert str(twin) == str(USED_UP)
        assert type(twin) is BudgetExceeded
