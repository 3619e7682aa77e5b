"""The rehearsal of a semantic cache on fow-cache's pairs: its figures are the true ones."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from otel_agentcost.savings.responses.keys import canonical
from otel_agentcost.savings.semantic.limits import limits
from otel_agentcost.savings.semantic.question import scope_of, split
from otel_agentcost.savings.semantic.rehearsal import LIFETIME, PER_SCOPE, Asked, Outcome, Rehearsal
from tests.savings.semantic.fow_pairs import Pair, embed, pairs, traps_in_conversations


def asked(question: str, answer: str, *, scope: bytes = b"s", at: float = 0.0) -> Asked:
    """A question that the model has answered."""
    return Asked(scope, question, answer, at)


def traffic(of: list[Pair], number: int, seed: int) -> Iterator[tuple[Asked, Asked, bool]]:
    """Pairs as traffic: each a scope of its own, its two questions again and again, with answers that say it all."""
    chance = random.Random(seed)
    for _ in range(number):
        pair = chance.choice(of)
        scope = pair.name.encode()
        answer = f"the answer to {pair.name}"
        other = answer if pair.same else f"another answer than to {pair.name}"
        yield asked(pair.one, answer, scope=scope), asked(pair.other, other, scope=scope), pair.same


def rehearsed(rehearsal: Rehearsal, *each: Asked) -> list[Outcome | None]:
    """The outcomes of questions."""
    return [rehearsal.take(one, embed(one.question)) for one in each]


def test_the_first_question_has_no_candidate() -> None:
    """An entry becomes a candidate for what is asked after it, within its scope only."""
    rehearsal = Rehearsal()
    first, again, elsewhere = rehearsed(
        rehearsal, asked("Hello you", "Hi"), asked("hello you", " hi "), asked("Hello you", "Hi", scope=b"t")
    )
    assert first is None
    assert elsewhere is None
    assert again is not None
    assert (again.verdict, again.vetoed, again.served) == ("right", None, False)
    assert again.similarity == pytest.approx(1.0)


def test_answers_in_other_words_are_unknown_without_a_judge() -> None:
    """Without a judge, answers that differ are unknown, and an entry learns nothing good from them."""
    rehearsal = Rehearsal(delta=0.5)
    outcomes = rehearsed(rehearsal, *(asked("When?", f"At {number}") for number in range(60)))
    assert {one.verdict for one in outcomes if one is not None} == {"unknown"}
    # Half of the answers may be wrong here, so that half is served of what was never shown to be right.
    assert sum(one.served for one in outcomes if one is not None) <= 40


def test_a_judge_compares_answers_in_other_words() -> None:
    """The judge gets the question and both answers."""
    seen: list[tuple[str, str, str]] = []

    def judge(question: str, ours: str, real: str) -> bool:
        seen.append((question, ours, real))
        return len(ours) == len(real)

    outcomes = rehearsed(
        Rehearsal(judge=judge), asked("When?", "At 7"), asked("When?", "At 8"), asked("When?", "Never")
    )
    assert [one.verdict for one in outcomes if one is not None] == ["right", "wrong"]
    assert seen == [("When?", "At 7", "At 8"), ("When?", "At 7", "Never")]


def test_the_same_traffic_and_seed_give_the_same_outcomes() -> None:
    """What would have been served depends on nothing but the traffic and the seed."""
    questions = [each for pair in traffic(pairs()[:40], 400, 1) for each in pair[:2]]
    assert rehearsed(Rehearsal(seed=4), *questions) == rehearsed(Rehearsal(seed=4), *questions)


def test_memory_is_bounded() -> None:
    """The oldest entries make room, in a scope and over all of them, and old ones are forgotten."""
    rehearsal = Rehearsal(most_bytes=500_000)
    for number in range(PER_SCOPE + 50):
        rehearsal.take(asked(f"question {number}", "x", scope=b"one"), [0.0] * number + [1.0] + [0.0] * 300)
        assert rehearsal.bytes <= 500_000
    for number in range(300):
        rehearsed(rehearsal, asked("Hello", "x", scope=str(number).encode()))
    assert rehearsal.bytes <= 500_000
    assert 10 < len(rehearsal) <= 100
    late = rehearsed(rehearsal, asked("Hello", "x", scope=b"299", at=LIFETIME + 1))
    assert late == [None]


@pytest.mark.parametrize("vector", [[], [0.0, 0.0], [float("nan")], [float("inf"), 1.0]])
def test_an_embedding_without_a_direction_is_refused(vector: list[float]) -> None:
    """Such an embedding raises, and leaves nothing behind."""
    rehearsal = Rehearsal()
    with pytest.raises(ValueError, match="no direction"):
        rehearsal.take(asked("Hello", "x"), vector)
    assert len(rehearsal) == 0


def test_the_reported_error_of_a_sample_holds_the_true_one() -> None:
    """Limits that half of fow-cache's pairs give hold the error over all 600, for at least 93 of 100 halves."""
    every = pairs()
    wrong = {pair.name: outcome for pair in every if (outcome := _once(pair)) is not None}
    true = sum(one.verdict != "right" for one in wrong.values()) / len(wrong)
    chance, held = random.Random(7), 0
    for _ in range(100):
        half = chance.sample(sorted(wrong), len(wrong) // 2)
        low, high = limits(sum(wrong[name].verdict != "right" for name in half), len(half))
        held += low <= true <= high
    assert held >= 93


def test_the_reported_error_of_what_is_served_is_the_true_one() -> None:
    """A cache whose answers are wrong one time in twenty says so: in 20 rehearsals, at least 18 limits hold 5 %."""
    good = [pair for pair in pairs() if pair.same][::30]
    held = 0
    for seed in range(20):
        chance = random.Random(seed)
        rehearsal = Rehearsal(judge=lambda *_, chance=chance: chance.random() >= 0.05, delta=0.2, seed=seed)
        served = wrong = 0
        for number in range(400):
            pair = chance.choice(good)
            (outcome,) = rehearsed(rehearsal, asked(pair.one, f"answer {number}", scope=pair.name.encode()))
            if outcome is not None and outcome.served:
                served, wrong = served + 1, wrong + (outcome.verdict != "right")
        assert served >= 50
        low, high = limits(wrong, served)
        held += low <= 0.05 <= high
    assert held >= 18, held


def test_the_traps_of_conversations_are_no_candidates() -> None:
    """Of fow-cache's 120 conversations whose last messages are alike, the earlier turns differ: another scope."""
    traps = traps_in_conversations()
    assert len(traps) == 120
    rehearsal = Rehearsal()
    for pair in traps:
        for messages in pair:
            parts = split({"model": "m", "messages": messages})
            assert parts is not None
            scope = scope_of(parts.rest, ("a tenant",), canonical)
            assert scope is not None
            assert rehearsed(rehearsal, asked(parts.question, "x", scope=scope)) == [None]


def _once(pair: Pair) -> Outcome | None:
    """The outcome of a pair's second question, if its candidate passed the veto."""
    one, other, _ = next(traffic([pair], 1, 0))
    outcome = rehearsed(Rehearsal(judge=lambda *_: False), one, other)[1]
    return outcome if outcome is not None and outcome.vetoed is None else None


@pytest.mark.parametrize("delta", [0.02, 0.05])
def test_less_is_wrong_than_is_allowed(delta: float) -> None:
    """On repeated traffic of fow-cache's pairs, the share of wrong answers is below `delta`, and much is served."""
    rehearsal = Rehearsal(judge=lambda *_: False, delta=delta, seed=1)
    served = wrong = total = 0
    for one, other, same in traffic(pairs()[::6], 3_000, 2):
        outcomes = rehearsed(rehearsal, one, other)
        total += 2
        for outcome in outcomes:
            if outcome is not None and outcome.served:
                served += 1
                wrong += outcome.verdict != "right"
        assert same or outcomes[1] is None or outcomes[1].verdict in ("right", "wrong")
    assert wrong <= delta * total, (wrong, total)
    assert served >= 0.1 * total, (served, total)
