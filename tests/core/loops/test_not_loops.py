"""What is no loop, though it looks like one: waiting, batches, repeated questions, answers that are all alike."""

from __future__ import annotations

import json

import pytest

from otel_agentcost.core.loops import Item, TextMessage, ToolResult, make_tool_call
from tests.core.loops.test_rules import found, turn

PEOPLE = ["alice", "bob", "carla", "deniz", "emeka", "farid", "grace", "hiro", "ines", "jonas", "kemal", "lena"]


@pytest.mark.parametrize("state", ["pending", "running", "queued", "in_progress", "Pending", "PROCESSING", "not_ready"])
def test_a_job_that_is_not_done_for_long(state: str) -> None:
    """The same state twenty times over, with and without sleep in between, is waiting: the tool says so itself."""
    poll = turn("get_job", json.dumps({"id": "job-1", "status": state}), id="job-1")
    done = turn("get_job", json.dumps({"id": "job-1", "status": "done"}), id="job-1")
    assert found([*[poll] * 20, done]) == []
    assert found([*[poll, turn("sleep", "", seconds=30)] * 20, done]) == []


@pytest.mark.parametrize("sleep", [turn("sleep", "", seconds=60), turn("bash", "", command="sleep 60")])
def test_looking_again_after_a_sleep(sleep: list[Item]) -> None:
    """Whatever the tool says: who sleeps between two looks waits for a change."""
    assert found([turn("get_page", "The tickets are sold out.", url="/tickets"), sleep] * 20) == []


def test_the_same_without_a_sleep_is_a_loop() -> None:
    """Nothing says that it could change."""
    assert found([turn("get_page", "The tickets are sold out.", url="/tickets")] * 3) != []


@pytest.mark.parametrize(
    "outcome",
    ['{"ok": true}', "OK", '{"status": "success", "errors": []}', '{"errors" :  [ ], "error": null}', "", "null", "[]"],
)
@pytest.mark.parametrize("tool", ["process", "send_mail", "validate_row", "get_orders"])
def test_a_list_that_is_worked_off(tool: str, outcome: str) -> None:
    """Fifty items with the same outcome are fifty items."""
    assert found([turn(tool, outcome, item=n) for n in range(50)]) == []
    assert found([turn(tool, outcome, path=f"/in/{name}-{n}.csv") for n in range(4) for name in PEOPLE]) == []


def test_labels_for_many_texts() -> None:
    """Most tickets have the same label: that says nothing about the next."""
    words = ["late", "broken", "wrong", "lost", "cold", "torn", "wet", "old", "loud", "small", "grey", "thin"]
    texts = [f"the {one} parcel came with a {other} box" for one in words for other in words if one != other]
    assert found([turn("classify", "negative", text=text) for text in texts[:40]]) == []


def test_a_question_with_another_name_in_it() -> None:
    """There are no letters from any of twelve people: the same sentence asks for something else each time."""
    for nothing in ("[]", "No messages found.", '{"messages": []}'):
        texts = [f"unread letters from {name} about the delivery" for name in PEOPLE]
        assert found([turn("search_mail", nothing, query=text) for text in texts]) == []


def test_an_answer_from_a_template() -> None:
    """The same form of answer about other things."""
    turns = [turn("get_user", f"User {name} has no open invoices and no debts.", name=name) for name in PEOPLE]
    assert found(turns) == []


def test_a_user_who_asks_the_same_again() -> None:
    """People forget what a bot has told them; it tells them again, from its head or from a tool."""
    question = TextMessage(False, "When do you open on a weekday, and when on Sunday?")
    answer = TextMessage(True, "We open at nine in the morning, on Sundays at ten, and close at six in the evening.")
    assert found([[question], [answer]] * 8) == []
    looked = turn("opening_hours", '{"weekdays": "9-18", "sunday": "10-18"}', place="Riga")
    assert found([[question, *looked, answer]] * 6) == []


def test_a_program_that_urges_the_model_on_is_no_user() -> None:
    """A scaffold's fixed words do not hide that the model says the same again and again."""
    urged = TextMessage(False, "You did not call a tool. Please continue with the task, or call finish.")
    answer = TextMessage(True, "I will now look into the open shipments to Kyoto and report back.")
    at, finding = found([[answer, urged]] * 6)[0]
    assert (at, finding.rule) == (4, "no_progress")


def test_counting_notes_hide_no_loop() -> None:
    """`7 steps left` is what a framework says, and nothing that anybody has to say."""
    turns = [[*turn("get", "the same", id=7), TextMessage(False, f"You have {9 - n} steps left.")] for n in range(6)]
    assert found(turns)[0][0] <= 4


def test_the_closing_words_of_a_bot() -> None:
    """After every matter it asks whether there is another."""
    turns: list[list[Item]] = []
    for n, name in enumerate(PEOPLE):
        turns.append([TextMessage(False, f"And what does {name} owe us for the month?")])
        turns.append(turn("balance", f"{n * 17 + 3} dollars", name=name))
        turns.append([TextMessage(True, "I have looked that up. Is there anything else that I can do for you today?")])
    assert found(turns) == []


@pytest.mark.parametrize("fails", [1, 2, 3])
@pytest.mark.parametrize("why", ["Error: 503 Service Unavailable", "TimeoutError: timed out", "429 Too Many Requests"])
def test_a_retry_that_succeeds(why: str, fails: int) -> None:
    """What may pass is tried again."""
    assert found([*[turn("get", why, id=1)] * fails, turn("get", "here it is", id=1)]) == []


@pytest.mark.parametrize("by", ["page", "cursor", "offset"])
def test_pages_that_look_alike(by: str) -> None:
    """Rows of the same kind, page after page, up to one that is empty."""

    def page(n: int, rows: list[dict[str, object]]) -> list[Item]:
        found = json.dumps({"rows": rows, "more": bool(rows)})
        return [make_tool_call(None, "list", json.dumps({"query": "all", by: n})), ToolResult(None, found)]

    pages = [page(n, [{"id": n, "state": "open"}]) for n in range(20)]
    assert found([*pages, page(20, [])]) == []


# --- what was taken for something new ---


@pytest.mark.parametrize(
    "framed",
    [
        "Date: Wed, 18 Nov 2025 08:14:1{n} GMT\n\n{it}",
        "Nov 18 08:14:1{n} host {it}",
        "18/Nov/2025:08:14:1{n} +0000 {it}",
        "Tue Nov 18 08:14:1{n} UTC 2025 {it}",
        "11/18/2025, 08:14:1{n} PM {it}",
        "{it}\n-- 7{n} ms, trace id 57e2ee3{n}9c8a4f1b",
        "{it} (1{n} ms)",
        "{it} (attempt {n})",
    ],
)
@pytest.mark.parametrize("it", ["The stock in Riga is unchanged since spring.", "[]", '{"rows": [1, 2, 3]}'])
def test_a_repeat_within_changing_frames(framed: str, it: str) -> None:
    """Dates as others write them, durations and attempts round a result make no other result of it."""
    turns = [turn("look", framed.format(n=n, it=it), at="Riga") for n in range(1, 7)]
    assert found(turns)[0][0] == 3


def test_general_words_may_stand_for_each_other() -> None:
    """`the latest error` and `the most recent problem` ask for one thing, also where nothing is found."""
    asked = [
        "latest problem with the tenant gateway and its cause",
        "newest issue with the tenant gateway and why",
        "recent tenant gateway failure, explanation please",
        "current error of the tenant gateway: reason?",
    ]
    at, finding = found([turn("search", "No results found.", query=text) for text in asked])[0]
    assert (at, finding.rule) == (4, "near_repeat")


def test_an_answer_with_and_without_apology() -> None:
    """An apology more, a contraction less: it is the same answer."""
    answers = [
        "I am sorry, but I cannot open the report because the archive is locked.",
        "Unfortunately, I can't open the report because the archive is locked.",
        "Sorry, I cannot open the report because the archive is locked.",
        "I'm afraid I cannot open the report, because the archive is locked.",
    ]
    at, finding = found([[TextMessage(True, text), TextMessage(False, "Go on.")] for text in answers])[0]
    assert (at, finding.rule) == (4, "no_progress")


def test_a_failure_about_other_things() -> None:
    """One sentence with another name in it is one way to fail."""
    turns = [turn("pay", f"Forbidden: account {name} is locked", error=True, of=name) for name in PEOPLE]
    assert found(turns)[0][0] == 4
