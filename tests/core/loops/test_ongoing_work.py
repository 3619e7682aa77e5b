"""What is called again and again because the work goes on: checks after edits, steps of a queue, polls, moves."""

from __future__ import annotations

import json

import pytest

from otel_agentcost.core.loops import Item, TextMessage
from tests.core.loops.test_rules import found, turn

PARTS = [
    "parser",
    "renderer",
    "mailer",
    "printer",
    "indexer",
    "uploader",
    "gateway",
    "ledger",
    "quota",
    "audit",
    "banner",
]


@pytest.mark.parametrize("green", ["48 passed in 1.2s", "All checks passed!", "ok acme/svc 0.3s", "", "(1500, 12)"])
@pytest.mark.parametrize("check", ["bash", "run_tests", "lint"])
def test_a_check_after_each_edit(check: str, green: str) -> None:
    """Tests that stay green from edit to edit are what they are for."""
    steps = [step for part in PARTS for step in (turn("edit_file", "Edited.", path=part), turn(check, green, of="all"))]
    assert found(steps) == []


def test_a_check_that_fails_after_each_edit() -> None:
    """Edits that mend nothing are tried for a while, and not for ever."""
    red = "F.\n1 failed, 47 passed in 1.2s"
    steps = [step for part in PARTS for step in (turn("edit_file", "Edited.", path=part), turn("bash", red, run="t"))]
    assert found(steps)[0][0] == 10


def test_another_mistake_after_each_edit() -> None:
    """Tracebacks begin alike, whatever is wrong."""
    kinds = ["TypeError", "KeyError", "ValueError", "IndexError", "NameError", "ImportError"]
    steps: list[list[Item]] = []
    for line, kind in enumerate(kinds):
        failure = f'Traceback (most recent call last):\n  File "a.py", line {line}\n{kind}: {PARTS[line]}'
        steps += [turn("replace", "ok", path="a.py", to=line), turn("execute", failure, error=True, command="a.py")]
    assert found(steps) == []


@pytest.mark.parametrize(("tool", "done"), [("mark_done", '{"ok": true}'), ("submit", "Submitted."), ("logout", "ok")])
def test_items_of_a_queue(tool: str, done: str) -> None:
    """Each round brings another item, and ends with the same words."""
    assert found([step for n in range(40) for step in (turn("next_item", f"T-{n}"), turn(tool, done))]) == []


def test_a_backup_before_each_step() -> None:
    """What only says that it was done is done again for the next."""
    rounds = [(turn("create_backup", "Backup created."), turn("migrate", f"{n} rows", table=n)) for n in range(12)]
    assert found([step for each in rounds for step in each]) == []


@pytest.mark.parametrize(
    "state",
    [
        '{"Status": "CREATE_IN_PROGRESS"}',
        '{"StackStatus": "UPDATE_IN_PROGRESS"}',
        '{"status": "validating_files"}',
        '{"transcription": {"status": "transcribing"}}',
        '{"approval": "awaiting_review"}',
        '{"status": "scheduled"}',
        '{"status": "requires_action"}',
        '{"replicas": 3, "readyReplicas": 0}',
        '{"checks": {"passed": 2, "pending": 3}}',
        "web-0   0/1    ContainerCreating  0",
        "deployment web: 0 of 3 updated replicas are available...",
        "JobID 4711 PD (Priority)",
        "Health Status: Progressing",
    ],
)
def test_other_words_for_not_done(state: str) -> None:
    """Clouds, clusters and queues have their own."""
    assert found([turn("get_state", state, id="job-1")] * 25) == []


def test_working_days_are_no_work() -> None:
    """That somebody is there on working days is no sign that something is not done yet."""
    assert found([turn("read", "The help desk answers on working days only.", page="help")] * 3) != []


def test_a_terminal_that_is_silent() -> None:
    """Reading what a process has put out is waiting for it."""
    assert found([turn("terminal_read", "", process=12)] * 20) == []


def test_the_same_pieces_on_other_squares() -> None:
    """A board is another one when its pieces have moved."""
    rows = ["2 0 0 4", "0 2 4 0", "4 0 2 0", "0 4 0 2", "2 4 0 0", "0 0 4 2"]
    boards = ["\n".join(rows[n:] + rows[:n]) for n in range(6)]
    assert found([turn("swipe", board, direction="left") for board in boards]) == []


def test_steps_of_a_page_that_only_say_so() -> None:
    """What others show has changed, whatever word the tool has for it."""
    move = turn("scroll", "Scrolled down by 600 pixels.", to="down")
    assert found([move] * 8) == []
    assert found([move] * 12) != []


def test_claims_that_differ_in_one_word() -> None:
    """A sentence that is filled in for each of many, and what is known of none."""
    verdict = "Insufficient evidence to support or refute the claim."
    assert found([turn("verify", verdict, claim=f"the {part} was rewritten last year") for part in PARTS[:7]]) == []
    days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    rain = "overcast with light rain in the afternoon, wind from the west, and no thunderstorms expected"
    assert found([turn("weather", rain, question=f"what is the weather in oslo on {day}") for day in days]) == []


def test_commands_that_differ_in_what_is_quoted() -> None:
    """What stands in quotes is what is looked for."""
    commands = [f"grep -rn '{part}' src/ --include='*.py'" for part in PARTS]
    assert found([turn("bash", "", command=command) for command in commands]) == []


@pytest.mark.parametrize(
    "answer",
    [
        "This message is safe and does not violate any of the policies.",
        '{"category": "complaint", "priority": "low", "language": "en", "needs_human": false}',
        "I'm sorry, but I can only help with questions about your insurance policy.",
    ],
)
def test_one_answer_to_many_matters(answer: str) -> None:
    """A label, or a refusal: the user brings something else each time."""
    turns: list[list[Item]] = [
        [TextMessage(False, f"Somebody wrote about the {part} and the weather"), TextMessage(True, answer)]
        for part in PARTS
    ]
    assert found(turns) == []


def test_an_agent_that_is_asked_on_schedule() -> None:
    """A clock asks, nothing is there, and the agent says so: at every hour."""
    for again in ("", "[run {n}] "):
        rounds: list[list[Item]] = []
        for n in range(20):
            ask = TextMessage(
                False, again.format(n=n) + "Look into the intake folder and handle anything that came in."
            )
            rounds.append([ask, *turn("list_folder", json.dumps({"files": []}), path="/intake")])
            rounds.append([TextMessage(True, "The intake folder is empty, so there is nothing to do.")])
        assert found(rounds) == []


def test_a_short_question_asked_again() -> None:
    """Three words can be a question of a person's, and no urging."""
    question = TextMessage(False, "What's my balance?")
    assert found([[question, *turn("get_balance", '{"balance": 120.5}', account="A1")]] * 6) == []


def test_dice() -> None:
    """The same number comes up."""
    assert found([turn("roll_dice", "4", sides=6)] * 4) == []


def test_agents_that_read_one_another() -> None:
    """They hand over what they wrote; without a word in between they go in circles."""
    hands = [turn(f"transfer_to_{who}", f"Successfully transferred to {who}") for who in ("writer", "critic")]
    assert found(hands * 4) != []
    drafts = [
        TextMessage(
            True, f"Draft {n} of chapter {part}: a text with more than a dozen words in it about the {part}, again."
        )
        for n, part in enumerate(PARTS[:10])
    ]
    assert found([[draft, *hands[n % 2]] for n, draft in enumerate(drafts)]) == []
