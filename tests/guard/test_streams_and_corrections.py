"""How long a stream may go on, what is raised when it is closed, refunds, and models whose price is not known."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from otel_agentcost.guard import Level
from tests.guard.guards import NOW, facts, guard, refused, spent, ticket, usd


def stood(levels: tuple[Level, ...]) -> list[tuple[str, str, int]]:
    return [(each.budget.scope, each.unit, each.spent) for each in levels]


def test_a_stream_may_come_to_what_its_call_holds() -> None:
    """Without an output limit a call holds the rest: the longest answer that fits is told, to the token."""
    g = guard("user/day:usd=10;trace:usd=0.5")
    g.settle(ticket(g.admit(facts(1))), usd("0.1"), 1, NOW)
    asked = facts(None)
    admitted = ticket(g.admit(asked))
    most = admitted.most_output_tokens
    assert most == 399  # of 40 cents, a part of one is for the input
    assert admitted.wanted is not None
    assert admitted.wanted.worst_case is not None
    assert admitted.wanted.worst_case(most)["nano_usd"] <= admitted.reserved["nano_usd"]
    assert admitted.wanted.worst_case(most + 1)["nano_usd"] > admitted.reserved["nano_usd"]
    error = g.cut_off(admitted, asked, most + 1)
    assert error.cut_off
    assert (error.scope, error.unit, error.limit, error.spent) == ("trace", "usd", usd("0.5"), usd("0.1"))
    assert usd("0.4") < Decimal(error.requested or 0) < usd("0.402")
    assert "stream was closed" in str(error)


def test_a_stream_is_bounded_by_tokens_too() -> None:
    """The budget that is named is the one in whose unit the answer came to too much."""
    asked = facts(None)
    g = guard("user/day:tokens=300;trace:usd=0.5")
    admitted = ticket(g.admit(asked))
    most = admitted.most_output_tokens
    assert most is not None
    error = g.cut_off(admitted, asked, most + 1)
    assert (error.scope, error.unit, error.limit) == ("user", "tokens", 300)


@pytest.mark.parametrize(
    ("rules", "output", "policy"),
    [
        ("trace:usd=0.5", 100, {}),
        ("total:usd=1000", None, {}),
        ("trace:usd=0.5,on_exceed=warn", None, {}),
        ("trace:calls=1", None, {}),
        ("trace:usd=0.25", None, {"on_exceed": "clamp"}),
        ("trace:usd=0.5", None, {"unlimited_output": "assume", "longest_answer": 200}),
        ("team:usd=1", None, {}),
    ],
)
def test_where_nothing_can_be_outrun_no_stream_is_watched(
    rules: str, output: int | None, policy: dict[str, Any]
) -> None:
    """A limited output, room for the longest answer, a budget that only warns or counts calls, none at all."""
    g = guard(rules, **policy)
    assert ticket(g.admit(facts(output))).most_output_tokens is None


def test_a_stream_that_cannot_outrun_its_budget_is_not_blamed() -> None:
    """Asking for the error all the same is a programming error."""
    g = guard("trace:usd=0.5")
    asked = facts(100)
    with pytest.raises(ValueError, match="covers the longest possible answer"):
        g.cut_off(ticket(g.admit(asked)), asked, 101)


def test_choices_share_what_is_held() -> None:
    """The longest answer is that of all choices together, and no choice is left out."""
    asked = facts(None)
    asked = replace(asked, call=asked.call._replace(choices=4))
    assert ticket(guard("trace:usd=0.5").admit(asked)).most_output_tokens == 499


def test_a_refund_makes_room_in_every_budget_and_counts_no_call() -> None:
    """Once for its id, and no budget ever stands below zero; more can be charged in the same way."""
    g = guard("trace:usd=0.5,calls=2;user/day:usd=10;team:usd=1")
    g.settle(ticket(g.admit(facts(1))), usd("0.45"), 1, NOW)
    refused(g.admit(facts(100)))
    refund = facts()
    for _ in range(2):
        levels = g.adjust(refund, usd("-0.4"))
        assert stood(levels) == [
            ("trace", "nano_usd", 50_000_000), ("trace", "calls", 1), ("user", "nano_usd", 50_000_000),
        ]  # fmt: skip
    admitted = ticket(g.admit(facts(100)))
    g.release(admitted, NOW)
    g.adjust(facts(), usd("-5"))
    assert (spent(g, "trace", "t1"), spent(g, "user", "u1")) == (0, 0)
    levels = g.adjust(facts(), usd("0.45"))
    assert [each.crossed for each in levels] == ["soft", None, None]
    assert [each.crossed for each in g.adjust(facts(), usd("-0.2"))] == [None, None, None]


def test_a_refund_wakes_nobody_in_vain_and_breaks_no_ledger() -> None:
    """Amounts beyond all reason are taken for the most there is."""
    g = guard("total:usd=1")
    assert g.adjust(facts(), Decimal("-1e40"))[0].spent == 0
    assert g.adjust(facts(), Decimal("1e40"))[0].spent == 10**18
    assert g.adjust(replace(facts(), scopes={}), usd("1")) == ()


def test_a_model_without_a_price_is_refused_where_the_setting_says_so() -> None:
    """Under a budget of dollars that would block, with the reason; nothing is held."""
    g = guard("user/day:calls=5;trace:usd=1", unpriced="refuse")
    error = refused(g.admit(facts(model="secret"))).error
    assert (error.scope, error.unit, error.limit, error.unpriced) == ("trace", "usd", 1, "no price for secret")
    assert "OTEL_AGENTCOST_UNPRICED=allow" in str(error)
    assert "no price for secret" in str(error)
    ticket(g.admit(facts(model="big")))
    for rules in ("trace:usd=1,on_exceed=warn", "trace:tokens=10000", "team:usd=1"):
        assert ticket(guard(rules, unpriced="refuse").admit(facts(model="secret"))).unpriced is None


def test_no_call_is_downgraded_to_a_model_without_a_price() -> None:
    """It is passed over in the chain where such calls are refused, and the next one is tried."""
    chain = {"big": "secret", "secret": "small"}
    g = guard("trace:usd=0.05", on_exceed="downgrade", downgrade=chain, unpriced="refuse")
    assert ticket(g.admit(facts(100))).model == "small"
    error = refused(g.admit(facts(1000))).error
    assert (error.limit, error.unpriced) == (usd("0.05"), None)
