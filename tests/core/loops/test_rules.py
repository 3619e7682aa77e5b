"""The rules by which loops are found, and what must not be taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_agentcost.calls import text_similarity
from otel_agentcost.core.loops import Finding, Item, LoopDetector, TextMessage, Thresholds, ToolResult, make_tool_call


def turn(tool: str, result: str, *, error: bool = False, **arguments: Any) -> list[Item]:
    """One turn of the model: a call, and what came back."""
    return [make_tool_call(None, tool, json.dumps(arguments)), ToolResult(None, result, error, tool)]


def watch(thresholds: Thresholds | None = None) -> LoopDetector:
    return LoopDetector(text_similarity.function(), thresholds)


def found(turns: list[list[Item]], thresholds: Thresholds | None = None) -> list[tuple[int, Finding]]:
    """The findings after each turn, with the number of the turn."""
    watched = watch(thresholds)
    findings: list[tuple[int, Finding]] = []
    for number, items in enumerate(turns, start=1):
        watched.feed(items, number)
        findings += [(number, finding) for finding in watched.findings()]
    return findings


def test_repeat() -> None:
    """The same call with the same result is a loop at the third time, and the finding says since when."""
    turns = [turn("other", "news"), *[turn("get", "the same", id=7)] * 4]
    (at, first), (_, second) = found(turns)
    assert (at, first.rule, first.tool, first.repeats, first.since) == (4, "repeat", "get", 3, 2)
    assert (first.arguments, first.result) == ('{"id":7}', "the same")
    assert (first.first, second.first, second.repeats) == (True, False, 4)


@pytest.mark.parametrize("repeats", [2, 3, 5])
def test_threshold(repeats: int) -> None:
    """How many repetitions are a loop is a setting."""
    turns = [turn("get", "the same", id=7)] * 8
    assert found(turns, Thresholds(repeats=repeats))[0][0] == repeats


def test_order_of_keys_and_whitespace_make_no_other_call() -> None:
    """Arguments are compared as canonical JSON."""
    texts = ['{"a": 1, "b": {"c": [1, 2]}}', '{"b":{"c":[1,2]},"a":1}', ' {"a" : 1,\n"b":{"c":[1, 2]} }']
    turns: list[list[Item]] = [[make_tool_call(None, "get", text), ToolResult(None, "same")] for text in texts]
    assert found(turns)[0][0] == 3


def test_arguments_that_are_no_json_are_a_text() -> None:
    """A call whose arguments the model broke off can repeat, too."""
    turns: list[list[Item]] = [[make_tool_call(None, "get", '{"a": [1,'), ToolResult(None, "same")]] * 3
    assert found(turns)[0][1].rule == "repeat"


@pytest.mark.parametrize("period", range(2, 7))
def test_cycle(period: int) -> None:
    """Two to six calls, round after round, are a cycle; it is found as soon as its third round begins."""
    turns = [turn("step", f"result {n % period}", n=n % period) for n in range(4 * period)]
    at, finding = found(turns)[0]
    assert (at, finding.rule, finding.repeats, finding.period) == (2 * period + 1, "cycle", 3, period)


def test_near_repeat() -> None:
    """Other words for the same question, and the same answer: a loop."""
    asked = ["latest issue of the parser cache", "the newest issue of the parser cache", "parser cache: latest issue?"]
    turns = [turn("search", "Issue 12 is about the parser cache and how it is invalidated.", query=q) for q in asked]
    assert found(turns)[-1][1].rule == "near_repeat"


def test_error_storm() -> None:
    """One tool fails in the same way with whatever it is given."""
    turns = [turn("pay", f"Error: amount {n * 13} does not match", amount=n) for n in range(6)]
    at, finding = found(turns)[0]
    assert (at, finding.rule, finding.tool) == (4, "error_storm", "pay")


def test_no_progress() -> None:
    """The model gives the same answer again and again, whatever it is told."""
    turns: list[list[Item]] = [
        [TextMessage(True, "I cannot open the report because the archive is locked."), TextMessage(False, "Go on.")]
        for _ in range(5)
    ]
    at, finding = found(turns)[0]
    assert (at, finding.rule, finding.tool) == (4, "no_progress", None)
    assert finding.arguments.startswith("I cannot open")


def test_stall() -> None:
    """Ever new questions, and never anything new."""
    topics = ["red", "green", "round", "square", "small", "large", "old", "young", "dark", "bright", "warm", "cold"]
    turns = [turn("search", "No results found.", query=f"{topic} things of {topic}ness") for topic in topics]
    assert found(turns)[0][1].rule == "stall"


# --- what others take for loops, or miss (rows 52 to 57) ---


def test_row_52_polling_is_not_killed() -> None:
    """A background job is polled with the same arguments until it is done."""
    states = [json.dumps({"status": "running", "progress": n}) for n in range(0, 100, 5)]
    assert found([turn("check_status", state, id="job-1") for state in [*states, '{"status": "done"}']]) == []


def test_row_52_polling_with_a_sleep_in_between() -> None:
    """The sleep between two polls returns the same every time, and is no loop either."""
    polls = [(turn("read_output", f"compiled {n} files", handle=1), turn("bash", "", cmd="sleep 5")) for n in range(12)]
    assert found([each for pair in polls for each in pair]) == []


def test_row_53_results_count() -> None:
    """The same call with a new result is progress, however often; with the same result it is a loop."""
    assert found([turn("fetch", f"item {n}", queue="q") for n in range(30)]) == []
    assert found([turn("fetch", "item 1", queue="q") for _ in range(3)]) != []


def test_row_54_identical_poll_of_a_long_process() -> None:
    """A long process that says nothing new is waited for: twenty identical polls are no loop."""
    assert found([turn("write_stdin", "", session=1, chars="") for _ in range(20)]) == []
    assert found([turn("exec", "Process running with session ID 1", session=1) for _ in range(20)]) == []


def test_row_55_five_different_shell_commands() -> None:
    """The name of a tool alone is no evidence."""
    commands = ["mkdir build", "cp a.py build", "touch build/done", "chmod +x a.py", "git add a.py"]
    assert found([turn("bash", "", command=command) for command in commands]) == []


def test_row_56_a_paraphrased_loop() -> None:
    """Reworded arguments do not hide a loop."""
    wordings = [
        "workspace evidence for the review of the release",
        "workspace evidence for the release review, including related threads",
        "evidence in the workspace for the review of this release",
        "all workspace evidence for the release review",
    ]
    result = "Found 2 threads: the release was reviewed on Monday, and the evidence is in the workspace."
    turns = [turn("read_team_activity", result, query=text, sources=["chat"]) for text in wordings * 10]
    at, finding = found(turns)[0]
    assert (at, finding.rule) == (3, "near_repeat")


def test_row_57_a_hundred_calls_of_one_session() -> None:
    """A session that makes 106 calls of one kind is found at the third, and still told of at the last."""
    findings = found([turn("terminal", "same screen as before", command="status") for _ in range(106)])
    assert (findings[0][0], findings[-1][0], findings[-1][1].repeats) == (3, 106, 106)


# --- what must not be taken for a loop ---


def test_pages_are_no_loop() -> None:
    """Pages of a list are asked for with nearly the same arguments, and look nearly the same."""
    pages = [
        turn("list", json.dumps({"rows": [n, n + 1], "next": n + 2}), query="all open orders", page=n) for n in range(9)
    ]
    assert found(pages) == []


def test_retry_that_succeeds_is_no_loop() -> None:
    """What a retry can mend is tried three times before it is a loop."""
    fails = [turn("get", "Error: 503 Service Unavailable", id=1)] * 3
    assert found([*fails, turn("get", "here it is", id=1)]) == []
    assert found([turn("get", "Error: 503 Service Unavailable", id=1)] * 6) != []


@pytest.mark.parametrize("nothing", ["[]", "No orders found.", '{"orders": []}', "null"])
def test_the_same_lookup_for_different_users_is_no_loop(nothing: str) -> None:
    """That there is nothing for any of them does not make it one."""
    names = ["alice", "bob", "carla", "deniz", "emeka", "farid"]
    assert found([turn("get_orders", nothing, user_id=f"{name}_{n}") for n, name in enumerate(names)]) == []
    assert found([turn("get_orders", nothing, name=name) for name in names]) == []
    assert found([turn("get_orders", nothing, email=f"{name}@example.com") for name in names]) == []


def test_reading_again_after_a_change_is_no_loop() -> None:
    """A file that is read after each edit is another file each time."""
    turns: list[list[Item]] = []
    for n in range(6):
        turns += [
            turn("read", f"version {n}", path="a.py"),
            turn("edit", "The file was edited.", path="a.py", to=str(n)),
        ]
    assert found(turns) == []


def test_calls_at_once_are_one_time() -> None:
    """What the model calls several times in one turn, it has not seen the result of."""
    calls: list[Item] = [make_tool_call(f"c{n}", "get", '{"id":1}') for n in range(5)]
    results: list[Item] = [ToolResult(f"c{n}", "same") for n in range(5)]
    assert found([[*calls, *results]]) == []


def test_the_time_of_day_is_no_loop() -> None:
    """A clock that is asked again says the same but for the time; which is what it was asked for."""
    assert found([turn("now", f"2025-03-01T12:00:{n:02}Z") for n in range(10)]) == []


def test_a_user_who_says_something_new_breaks_a_loop_off() -> None:
    """After somebody has stepped in, the model gets its chance."""
    turns = [turn("get", "the same", id=7)] * 3
    assert found([*turns, [TextMessage(False, "Stop that, and ask Alice.")]])[-1][0] == 3


# --- what must not hide one ---


@pytest.mark.parametrize(
    "result",
    [
        '{{"request_id": "req_{n}a8f3c", "rows": [1, 2, 3]}}',
        '{{"rows": [1, 2], "elapsed_ms": {n}7, "timestamp": "2025-01-01T00:00:0{n}Z"}}',
        "[2025-01-01 12:00:0{n}] INFO nothing changed",
        "3 failed, 12 passed in 0.{n}3s",
        "nothing changed (request id: 8f3{n}c2a1b4d5, took {n}2 ms)",
        '2025-01-01T00:00:0{n}Z {{"rows": [1, 2]}}',
        "attempt {n}: nothing changed",
    ],
)
def test_what_differs_every_time_hides_no_repeat(result: str) -> None:
    """Ids of requests, the time, and how long it took are looked past."""
    turns = [turn("get", result.format(n=n), id=7) for n in range(1, 6)]
    assert found(turns)[0][0] == 3


@pytest.mark.parametrize(
    "result",
    [
        "{n}7 % done",
        '{{"progress": 0.{n}}}',
        '{{"items": [{n}], "timestamp": "2025-01-01T00:00:00Z"}}',
        "page {n} of 9",
        "{n} failed, 12 passed in 0.03s",
        '{{"departs_at": "2025-01-0{n}T08:00:00Z"}}',
        '{{"cursor": "c{n}"}}',
        "step {n} finished",
    ],
)
def test_progress_is_not_taken_for_what_differs_every_time(result: str) -> None:
    """Counts, pages, cursors and other people's times are what a result tells."""
    assert found([turn("get", result.format(n=n), id=7) for n in range(1, 9)]) == []


def test_useful_calls_in_between_hide_no_repeat() -> None:
    """An agent can go in circles and do other things as well: the loop is found one round later."""
    turns: list[list[Item]] = []
    for n in range(4):
        turns += [turn("get", "the same", id=7), turn("look", f"something new {n}", at=n)]
    assert found(turns)[0][0] == 7


def test_long_results_with_the_time_in_them() -> None:
    """Of a long result only a digest is kept: the loop is found one round later."""
    long = "Nothing has changed here since. " * 100
    assert found([turn("get", f"12:00:0{n} {long}", id=7) for n in range(6)])[0][0] == 4
