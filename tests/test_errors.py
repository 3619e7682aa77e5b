"""`BudgetExceeded`: a sentence that a person understands, figures for programs, and a way through pickle."""

from __future__ import annotations

import copy
import pickle
import traceback
from decimal import Decimal, Inexact, localcontext

from otel_agentcost.errors import AgentCostError, BudgetExceeded, LoopDetected

USED_UP = BudgetExceeded(
    budget="user/day:usd=0.50", scope="user", value="u1", unit="usd", reason="spent", limit=Decimal("0.50"),
    spent=Decimal("0.4821"), held=Decimal("0.01"), requested=Decimal("0.02"), trace_id="abc",
)  # fmt: skip
CUT_OFF = BudgetExceeded(
    budget="trace:usd=1500", scope="trace", value="abc", unit="usd", reason="cut_off", limit=Decimal(1500),
    spent=Decimal("1234.5"), requested=Decimal(300), trace_id="abc",
)  # fmt: skip
UNPRICED = BudgetExceeded(
    budget="total:usd=1", scope="total", value="", unit="usd", reason="unpriced", limit=Decimal(1), trace_id="abc",
    detail="no price for 'new'",
)  # fmt: skip


def test_a_refusal_is_a_sentence() -> None:
    """It says which budget, whose, how much in dollars, that nothing was sent, and what to do."""
    assert str(USED_UP) == (
        "The budget user/day:usd=0.50 of user u1 has too little left for this call, which was not sent (trace abc). "
        "$0.4821 of $0.50 is spent and $0.01 is reserved by in-flight calls; this call could cost up to $0.02. Raise "
        "the limit, or use a shorter prompt, a lower output limit or a cheaper model."
    )
    assert isinstance(USED_UP, AgentCostError)


def test_a_refusal_for_reserved_amounts_advises_to_retry() -> None:
    """In-flight calls usually need less than they have reserved."""
    error = BudgetExceeded(
        budget="total:tokens=5000",
        scope="total",
        value="",
        unit="tokens",
        reason="held",
        limit=5000,
        spent=0,
        held=4000,
        requested=1500,
    )
    assert "0 of 5,000 tokens are spent and 4,000 tokens are reserved by in-flight calls; this call" in str(error)
    assert str(error).endswith("without one, a call reserves the cost of the longest possible answer.")


def test_time_and_a_silent_ledger_have_their_own_sentences() -> None:
    """Neither has anything to do with the size of the call."""
    late = BudgetExceeded(
        budget="trace:seconds=60", scope="trace", value="t", unit="seconds", reason="seconds", limit=60, spent=61
    )
    assert "61 of 60 seconds" in str(late)
    silent = BudgetExceeded(
        budget="total:usd=1", scope="total", value="", unit="usd", reason="ledger", detail="timeout."
    )
    assert "its ledger does not answer (timeout). The call was not sent." in str(silent)
    assert "OTEL_AGENTCOST_LEDGER_DOWN=allow" in str(silent)
    assert silent.ledger == "timeout."


def test_an_open_circuit_breaker_is_named_with_its_cause() -> None:
    """No budget refused the call, so no budget is named."""
    error = BudgetExceeded(
        budget="agent:trips=5/10m,open=15m", scope="agent", value="researcher", unit="calls", reason="circuit",
        detail="5 refusals or loops within 10m",
    )  # fmt: skip
    assert str(error) == (
        "The circuit breaker agent:trips=5/10m,open=15m of agent researcher is open after 5 refusals or loops within "
        "10m. The call was not sent. When the open time is over, one trial call is admitted; if budgets admit it too, "
        "the breaker closes. The log names the refusals and loops that opened it."
    )
    assert error.circuit == "5 refusals or loops within 10m"
    assert (error.ledger, error.unpriced, error.cut_off) == (None, None, False)


def test_counts_of_calls_have_their_own_words() -> None:
    """Calls are made, not spent, and a smaller call would not help."""
    error = BudgetExceeded(
        budget="trace:tool_calls=3", scope="trace", value="t", unit="tool_calls", reason="spent", limit=3, spent=3,
        requested=1,
    )  # fmt: skip
    assert str(error).endswith("3 of 3 tool calls are made. Raise the limit.")


def test_a_loop_is_a_sentence() -> None:
    """It says which tool, how often, in which way, what that has cost, and what to do."""
    error = LoopDetected(rule="repeat", repeats=3, tool="search", wasted_usd=Decimal("0.00009"), trace_id="abc")
    assert str(error) == (
        "The agent is in a loop: search was called 3 times with the same arguments and the same result. The next model "
        "call was not sent (trace abc). $0.00009 was spent since the loop began. Change the prompt or the tools, or "
        "set OTEL_AGENTCOST_LOOP_ACTION=warn."
    )


def test_a_stream_that_was_closed_says_what_happened() -> None:
    """It was made, and what came is charged: nothing says that nothing was sent."""
    assert CUT_OFF.cut_off
    assert not USED_UP.cut_off
    assert str(CUT_OFF) == (
        "The budget trace:usd=1500 of trace abc has too little left for the rest of this answer, so the stream was "
        "closed. Without this call, $1,234.50 of $1,500.00 is spent; this call would have cost up to $300.00. The "
        "received part is charged. Raise the limit, or set an output limit that fits."
    )


def test_a_model_without_a_price_is_refused_with_the_reason() -> None:
    """And with both ways out."""
    assert str(UNPRICED) == (
        "The budget total:usd=1 cannot be enforced, because the price of the model is unknown: no price for 'new'. The "
        "call was not sent (trace abc). Add the price to your price file (OTEL_AGENTCOST_PRICES), or set "
        "OTEL_AGENTCOST_UNPRICED=allow."
    )


def test_the_applications_own_decimal_settings_do_not_matter() -> None:
    """Sums of dollars are neither rounded by them nor made an error."""
    with localcontext() as context:
        context.prec, context.traps[Inexact] = 2, True
        twin = pickle.loads(pickle.dumps(USED_UP))
    assert str(twin) == str(USED_UP)


def test_it_is_called_what_people_import() -> None:
    """Tracebacks and `error.type` name the package, not the module within it."""
    assert BudgetExceeded.__module__ == "otel_agentcost"
    assert traceback.format_exception_only(USED_UP)[0].startswith("otel_agentcost.BudgetExceeded: The budget ")


def test_it_survives_pickle_and_copy() -> None:
    """Worker processes send exceptions to one another: figures, sentence and notes arrive."""
    loop = LoopDetected(rule="cycle", repeats=2)
    for error in (USED_UP, CUT_OFF, UNPRICED, loop):
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert vars(twin) == vars(error)
            assert str(twin) == str(error)
            assert type(twin) is type(error)
