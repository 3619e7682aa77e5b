"""Loops that are put into runs, at random places and with noise.

Each maker returns the rounds of one loop. What differs from round to round is what differs in life: the order of keys,
ids of requests, the time, the wording, useful calls in between, a user who says "go on".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tests.core.loops.domains import NAMES, NOUNS, VERBS, clock, prose, request, words
from tests.core.loops.runs import Step, asked, call, said

Rounds = list[list[Step]]


@dataclass(frozen=True, slots=True)
class Case:
    """A run with a loop in it."""

    rule: str
    run: list[Step]
    starts: int
    """How many steps are over when the loop begins."""
    ends: list[int]
    """How many are over after each of its rounds."""


def shuffled(random: Random, step: Step) -> Step:
    """The same call in another writing: other order of keys, other whitespace, other ids of requests."""
    try:
        arguments: Any = json.loads(step.text)
    except ValueError:
        return step
    if not isinstance(arguments, dict):
        return step
    names = list(arguments)
    random.shuffle(names)
    arguments = {name: arguments[name] for name in names}
    if random.random() < 0.3:
        arguments[random.choice(["request_id", "requestId", "idempotency_key"])] = request(random)
    if random.random() < 0.2:
        arguments["timestamp"] = clock(random)
    return replace(step, text=json.dumps(arguments, indent=random.choice([None, 2])))


def stamped(random: Random, result: str, how: int) -> str:
    """The same result as of another time: a time, a duration, an id of the request in it or before it."""
    match how:
        case 0:
            try:
                value = json.loads(result)
            except ValueError:
                value = result
            whole = {"request_id": request(random), "data": value, "elapsed_ms": random.randint(3, 900)}
            return json.dumps(whole)
        case 1:
            return f"[{clock(random)}] {result}"
        case 2:
            return f"{result}\n(took {random.randint(2, 900)} ms, request id: {random.getrandbits(64):016x})"
        case _:
            return result


def similar(random: Random, step: Step, how: int) -> Step:
    return replace(shuffled(random, step), result=stamped(random, step.result, how))


def subject(random: Random, run: list[Step]) -> Step:
    """A call that an agent could repeat: one of the run's own, or another."""
    own = [step for step in run if step.tool and not step.more and step.result.strip('[]{}" ') and step.tool != "sleep"]
    waiting = ("running", "% done")  # and nobody but the job can say when that is a loop
    own = [step for step in own if "time" not in (step.tool or "") and not any(word in step.result for word in waiting)]
    if own and random.random() < 0.7:
        return replace(random.choice(own))
    return call(f"get_{random.choice(NOUNS)}", prose(random), id=f"{random.choice(NOUNS)}-{random.randint(1, 999)}")


def repeat(random: Random, run: list[Step], rounds: int) -> Rounds:
    step, how = subject(random, run), random.randrange(6)
    return [[similar(random, step, how)] for _ in range(rounds)]


def cycle(random: Random, run: list[Step], rounds: int) -> Rounds:
    period = random.randint(2, 6)
    steps: list[Step] = []
    while len(steps) < period:
        step = subject(random, run)
        if (step.tool, step.text) not in [(other.tool, other.text) for other in steps]:
            steps.append(step)
    how = random.randrange(6)
    return [[similar(random, step, how) for step in steps] for _ in range(rounds)]


SYNONYMS = {
    "find": ["find", "search for", "look up", "show", "get", "locate", "retrieve"],
    "latest": ["latest", "newest", "most recent", "current", "recent"],
    "problem": ["problem", "issue", "error", "failure", "trouble"],
    "cause": ["cause", "reason", "explanation", "root cause"],
    "document": ["document", "page", "file", "article", "documentation"],
}
FRAMES = [
    "{find} the {latest} {document} about the {a} {b} {c} {problem}",
    "{cause} of the {problem} in the {a} {b} of the {c}",
    "{find} {document} on {a} {b} {problem} after {c} changes",
    "{latest} {a} {b} {problem} and its {cause} in {c}",
]
EXTRAS = ["", "", "please ", "again ", "all ", "once more ", "now "]
TAILS = ["", "", " please", " in detail", " again", "?", " details", " and related activity"]


def wordings(random: Random, count: int) -> list[str]:
    """Ways to ask for one thing."""
    frame, topic = random.choice(FRAMES), random.sample(NOUNS, 3)
    known: list[str] = []
    for _ in range(count * 20):
        names = {name: random.choice(words) for name, words in SYNONYMS.items()}
        if random.random() < 0.6:  # most people change a word, not all of them
            names |= {name: words[0] for name, words in SYNONYMS.items() if random.random() < 0.6}
        text = random.choice(EXTRAS) + frame.format(**names, a=topic[0], b=topic[1], c=topic[2]) + random.choice(TAILS)
        text = random.choice([text.lower(), text.capitalize(), text])
        if text not in known:
            known.append(text)
        if len(known) == count:
            break
    return known


def near_repeat(random: Random, run: list[Step], rounds: int) -> Rounds:
    tool, field = random.choice(
        [("search_docs", "query"), ("knowledge_base", "question"), ("web_search", "q"), ("ask_expert", "prompt")]
    )
    result = random.choice([prose(random, 4), json.dumps([{"title": prose(random, 1)}]), "No results found."])
    scopes: list[dict[str, Any]] = [{}, {"limit": 10}, {"source": random.choice(NOUNS)}]
    how, scope = random.randrange(6), random.choice(scopes)
    texts = wordings(random, rounds)
    return [[similar(random, Step(tool, json.dumps({field: text, **scope}), result), how)] for text in texts]


ERRORS: list[Callable[[Random], str]] = [
    lambda random: "Error: permission denied for this account",
    lambda random: f"Error: payment amount does not add up, total price is 305, but paid {random.randint(100, 299)}",
    lambda random: json.dumps({"error": {"code": 500, "message": "internal error", "request_id": request(random)}}),
    lambda random: f"ValueError: invalid literal for int() with base 10: '{random.choice(NAMES)}'",
    lambda random: f"{clock(random)} ERROR connection to database refused",
    lambda random: "Traceback (most recent call last):\n  File \"t.py\", line 3\nKeyError: 'total'",
]


def error_storm(random: Random, run: list[Step], rounds: int) -> Rounds:
    tool, error = f"{random.choice(VERBS)}_{random.choice(NOUNS)}", random.choice(ERRORS)
    same = random.random() < 0.3
    amount = random.randint(1, 999)
    loop: Rounds = []
    for _ in range(rounds):
        amount = amount if same else random.randint(1, 9999)
        loop.append([shuffled(random, call(tool, error(random), id=f"r-{amount}", note=words(random, 3)))])
    return loop


def no_progress(random: Random, run: list[Step], rounds: int) -> Rounds:
    answer = (
        f"I am sorry, but I cannot {random.choice(VERBS)} the {words(random, 3)} because of the {words(random, 4)}."
    )
    changed = random.random() < 0.5
    reply = random.choice(["Go on.", "Continue.", "Please try again."])
    loop: Rounds = []
    for _ in range(rounds):
        text = answer
        if changed:
            text = text.replace(
                "I am sorry, but", random.choice(["I am sorry, but", "Sorry,", "Unfortunately,", "I'm sorry but"])
            )
        other = f"Are you sure about the {random.choice(NOUNS)}?" if random.random() < 0.3 else reply
        loop.append([said(text), asked(other)])
    return loop


def stall(random: Random, run: list[Step], rounds: int) -> Rounds:
    """Ever other questions, and ever the same answers."""
    tool = random.choice(["search_docs", "grep", "query_index", "find_files"])
    answers = random.choice([["No results found."], ["[]"], [prose(random, 3)], [prose(random, 2), "[]"]])
    return [[call(tool, answers[n % len(answers)], query=words(random, 4))] for n in range(rounds * 3)]


MAKERS: dict[str, Callable[[Random, list[Step], int], Rounds]] = {
    "repeat": repeat,
    "cycle": cycle,
    "near_repeat": near_repeat,
    "error_storm": error_storm,
    "no_progress": no_progress,
    "stall": stall,
}


Makers = Mapping[str, Callable[[Random, list[Step], int], Rounds]]


def inject(rule: str, run: list[Step], seed: str, rounds: int = 7, makers: Makers = MAKERS) -> Case:
    """The run with a loop of that kind put into it, and useful calls of the run's own between some of its rounds."""
    random = Random(f"{rule} {seed}")
    at = random.randint(1, len(run))
    before, after = run[:at], run[at:]
    loop = makers[rule](random, run, rounds)
    useful = [step for step in after if step.tool and not step.more and "sleep" not in step.tool]
    mixed = random.random() < {"stall": 0, "no_progress": 0.2}.get(rule, 0.5)
    steps, ends = list(before), []
    for each in loop:
        steps += each
        ends.append(len(steps))
        if mixed and useful and random.random() < 0.4:
            steps.append(useful.pop(0))
    return Case(rule, steps + after, at, ends)
