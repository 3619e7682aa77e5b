"""The veto on questions that are alike and ask for different things."""

from __future__ import annotations

import pytest

from otel_agentcost.savings.semantic.veto import marks_of, veto
from tests.savings.semantic.fow_pairs import pairs


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("Track order 48213", "Track order 48231", "numbers"),
        ("How much is it for 5 users?", "How much is it for 50 users?", "numbers"),
        ("How much is it for five users?", "How much is it for 6 users?", "numbers"),
        ("Remind me at 7am", "Remind me at 7pm", "numbers"),
        ("Cancel my subscription", "Don't cancel my subscription", "negation"),
        ("Is it refundable?", "Is it non-refundable?", "negation"),
        ("How do I subscribe?", "How do I unsubscribe?", "negation"),
        ("How do I raise the limit?", "How do I lower the limit?", "negation"),
        ("What do adults pay?", "What do children pay?", "scope"),
        ("Are you open on Saturday?", "Are you open on Sunday?", "scope"),
        ("Send it to Sarah", "Send it to Sam", "names"),
        ("Do I need it on easyJet?", "Do I need it on Ryanair?", "names"),
        ("Migrate my data from MySQL to Postgres", "Migrate my data from Postgres to MySQL", "order"),
    ],
)
def test_what_is_asked_for_differs(one: str, other: str, reason: str) -> None:
    """Two questions that differ in what matters are distinguished in both orders, with the reason."""
    assert veto(marks_of(one), marks_of(other)) == reason
    assert veto(marks_of(other), marks_of(one)) == reason


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("When are you open?", "what are your opening hours"),
        ("How much is it for five users?", "how much is it for 5 users"),
        ("Can I pay £40,000?", "can i pay 40000"),
        ("Is there a discount on train tickets?", "On train tickets, is there a discount?"),
        ("Do you sell Barolo?", "do you sell barolo?"),
        ("Remind me at 7am", "Remind me at seven"),
        ("", ""),
    ],
)
def test_the_same_question_passes(one: str, other: str) -> None:
    """Other words, letters in lower case, numbers in words and a part that moved are no reason."""
    assert veto(marks_of(one), marks_of(other)) is None


def test_it_stops_traps_and_lets_paraphrases_pass() -> None:
    """Of fow-cache's 300 traps it stops at least 49 %, and of the 300 good pairs at most 9 %."""
    stopped = {True: 0, False: 0}
    for pair in pairs():
        stopped[pair.same] += veto(marks_of(pair.one), marks_of(pair.other)) is not None
    assert stopped[False] >= 0.49 * 300, stopped  # 221 when this was written
    assert stopped[True] <= 0.09 * 300, stopped  # 18
