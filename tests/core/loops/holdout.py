"""What no threshold and no word list was chosen on: other runs, other loops, other noise than `injection` makes.

Its vocabulary, ids, times, wrappings, errors and ways to reword share nothing with `domains` and `injection`, and the
loops are put into real runs that were not used to choose anything. Nothing in the package is to be changed because of
what a word in here does; or else this is no hold-out any more.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from tests.core.loops.injection import Rounds
from tests.core.loops.runs import Step, asked, call, said

PLACES = ["lisbon", "oslo", "kyoto", "lima", "cairo", "tallinn", "porto", "quito", "hanoi", "riga", "perth", "accra"]
PEOPLE = ["marta", "yusuf", "ling", "pavel", "aisha", "bruno", "chloe", "dmitri", "elif", "goran", "helga", "ivan"]
GOODS = ["espresso", "saddle", "violin", "kayak", "lantern", "turbine", "vaccine", "mortgage", "pension", "orchard"]
TRADES = ["roasting", "freight", "insurance", "harvest", "tuning", "dosage", "storage", "permit", "tariff", "repair"]


def line(random: Random, sentences: int = 2) -> str:
    return " ".join(
        f"In {random.choice(PLACES).title()} {random.choice(PEOPLE).title()} sold {random.randint(3, 800)} crates of "
        f"{random.choice(GOODS)} {random.choice(TRADES)} papers at {random.uniform(1, 99):.2f} each."
        for _ in range(sentences)
    )


def token(random: Random, size: int = 20) -> str:
    return base64.urlsafe_b64encode(random.randbytes(size)).decode().rstrip("=")


def http_date(random: Random) -> str:
    day = random.choice(["Mon", "Tue", "Wed", "Thu"])
    hour, minute, second = random.randint(0, 23), random.randint(0, 59), random.randint(0, 59)
    return f"{day}, {random.randint(10, 28)} Nov 2025 {hour:02}:{minute:02}:{second:02} GMT"


# --- runs without a loop ---


def mailing(random: Random) -> list[Step]:
    """An assistant for the mail: the same confirmation for every letter, the same search for every sender."""
    steps = [asked("Answer everybody who wrote about the delivery.")]
    for person in random.sample(PEOPLE, random.randint(5, 9)):
        found = "[]" if random.random() < 0.4 else json.dumps([{"from": person, "text": line(random)}])
        steps.append(call("search_mail", found, query=f"unread letters from {person} about the delivery"))
        if found != "[]":
            steps.append(call("send_mail", '{"ok": true}', to=f"{person}@mail.test", body=line(random, 1)))
    return [*steps, said("I have answered all of them.")]


def analysing(random: Random) -> list[Step]:
    """An analyst: queries that yield nothing, queries that fail until one does not, charts."""
    steps = [asked("Which town buys most?")]
    for place in random.sample(PLACES, random.randint(4, 7)):
        table = f"{random.choice(GOODS)}_{random.choice(TRADES)}"
        if random.random() < 0.5:
            why = f'ERROR: column "{random.choice(GOODS)}" does not exist in "{table}"'
            steps.append(call("run_sql", why, sql=f"select {random.choice(GOODS)} from {table} where town = '{place}'"))
        rows = json.dumps({"rows": [[place, random.randint(0, 9999)]], "ms": random.randint(1, 90)})
        steps.append(call("run_sql", rows, sql=f"select town, sum(n) from {table} where town = '{place}' group by 1"))
        steps.append(call("draw_chart", "chart written", title=f"{place} {table}", kind="bar"))
    return [*steps, said(line(random))]


def deploying(random: Random) -> list[Step]:
    """A cluster is changed until it is well; it is slow to say so."""
    steps = [asked(f"Bring up {random.choice(GOODS)} in {random.choice(PLACES)}.")]
    for _ in range(random.randint(2, 4)):
        name = f"{random.choice(GOODS)}-{random.getrandbits(20):05x}"
        steps.append(call("apply_manifest", "configured", name=name, replicas=random.randint(1, 9)))
        for _ in range(random.randint(2, 10)):
            steps.append(call("get_pods", json.dumps({"pod": name, "phase": "Pending"}), name=name))
            if random.random() < 0.5:
                steps.append(call("sleep_for", "", seconds=15))
        steps.append(call("get_pods", json.dumps({"pod": name, "phase": "Running", "ip": token(random, 4)}), name=name))
    return [*steps, said(line(random))]


def helping(random: Random) -> list[Step]:
    """A bot at a counter: people ask what they asked before, and it says what it said before."""
    hours = "We open at nine in the morning and close at six in the evening, on Sundays at four."
    steps: list[Step] = []
    for _ in range(random.randint(4, 8)):
        thing = random.choice(GOODS)
        steps += random.choice(
            [
                [asked("When do you open on a weekday, and when on Sunday?"), said(hours)],
                [
                    asked(f"What does the {thing} cost, and can I pay in two parts?"),
                    call("price_of", json.dumps({"item": thing, "price": random.randint(5, 99)}), item=thing),
                    said(line(random, 1)),
                    asked("Thank you."),
                    said("You are very welcome. Is there anything else that I can do for you today?"),
                ],
            ]
        )
    return steps


def batching(random: Random) -> list[Step]:
    """A list is worked off, item by item, with the same outcome for each."""
    outcome = random.choice(
        ['{"ok": true}', "OK", "Record processed.", '{"status": "success", "errors": []}', "", "null"]
    )
    tool, kind = random.choice(["process", "tag_photo", "archive_item", "validate_row"]), random.randrange(3)
    steps = [asked("Work off the list.")]
    for n in range(random.randint(8, 20)):
        arguments: list[dict[str, Any]] = [
            {"item": n},
            {"path": f"/in/{random.choice(GOODS)}/{n}.csv"},
            {"name": random.choice(PEOPLE) + random.choice(PEOPLE), "row": {"town": random.choice(PLACES), "n": n}},
        ]
        steps.append(Step(tool, json.dumps(arguments[kind]), outcome))
    return [*steps, said("All of them are done.")]


RUNS: dict[str, Callable[[Random], list[Step]]] = {
    "mail": mailing, "analysis": analysing, "deployment": deploying, "counter": helping, "batch": batching,
}  # fmt: skip


def clean(domain: str, seed: int) -> list[Step]:
    return RUNS[domain](Random(f"hold-out {domain} {seed}"))


# --- loops ---


def rewritten(random: Random, step: Step) -> Step:
    """The same call in other writings than those of `injection`."""
    arguments = step.arguments
    if not isinstance(arguments, dict):
        return step
    pairs = list(arguments.items())
    random.shuffle(pairs)
    arguments = dict(pairs)
    if random.random() < 0.4:
        name = random.choice(["traceId", "x-request-id", "Nonce", "requested_at", "attempt", "correlation_id"])
        arguments[name] = random.randint(1, 9) if name == "attempt" else token(random)
    separators = random.choice([(",", ":"), (" , ", " : "), (", ", ": ")])
    return replace(step, text=json.dumps(arguments, separators=separators, ensure_ascii=random.random() < 0.5))


def wrapped(random: Random, result: str, how: int) -> str:
    match how:
        case 0:
            return json.dumps(
                {"fetchedAt": random.randint(10**12, 2 * 10**12), "traceId": token(random), "value": result}
            )
        case 1:
            return f"Date: {http_date(random)}\n\n{result}"
        case 2:
            return f"{result}\n-- {random.randint(1, 90)} ms, trace id {random.getrandbits(128):032x}"
        case 3:
            return f"{result} (attempt {random.randint(1, 90)})"
        case _:
            return result


def own(random: Random, run: list[Step]) -> Step:
    steps = [
        s
        for s in run
        if s.tool and not s.more and len(s.result) > 20 and "ending" not in s.result and "unning" not in s.result
    ]
    if steps and random.random() < 0.6:
        return random.choice(steps)
    made = {"town": random.choice(PLACES), "goods": random.choice(GOODS), "year": random.randint(1990, 2025)}
    return Step(f"read_{random.choice(TRADES)}", json.dumps(made), line(random, 3))


def repeat(random: Random, run: list[Step], rounds: int) -> Rounds:
    step, how = own(random, run), random.randrange(7)
    return [[replace(rewritten(random, step), result=wrapped(random, step.result, how))] for _ in range(rounds)]


def cycle(random: Random, run: list[Step], rounds: int) -> Rounds:
    period, how = random.randint(2, 6), random.randrange(7)
    steps: dict[tuple[str | None, str], Step] = {}
    while len(steps) < period:
        step = own(random, run)
        steps[step.tool, step.text] = step
    return [
        [replace(rewritten(random, step), result=wrapped(random, step.result, how)) for step in steps.values()]
        for _ in range(rounds)
    ]


WAYS = [
    ["how do I {do} the {a} {b} in {p}", "what is the way to {do} the {a} {b} in {p}", "steps to {do} {a} {b} {p}",
     "{a} {b} {p} how to {do} it", "instructions to {do} the {a} {b} in {p}"],
    ["{much} of {a} {b} in {p} for {x}", "{p} {a} {b} {much} for {x}", "what is the {much} of {a} {b} for {x} in {p}",
     "{x} {a} {b} {much} {p}", "{much} that {x} have to pay for {a} {b} in {p}"],
    ["rules for {x} about {a} {b} in {p}", "{p} {a} {b} rules {x}", "regulations on {a} {b} for {x} in {p}",
     "what {x} must know about {a} {b} rules in {p}", "{a} {b} rules in {p} that apply to {x}"],
]  # fmt: skip
DOING = ["renew", "extend", "prolong"]
MUCH = ["price", "prices", "cost", "fee"]
WHO = ["students", "tourists", "farmers"]


def typed(random: Random, text: str) -> str:
    """A slip of the finger, now and then; other capitals."""
    if random.random() < 0.15:
        words = text.split()
        at = max(range(len(words)), key=lambda n: len(words[n]))
        words[at] = words[at][:3] + words[at][4:]
        text = " ".join(words)
    return random.choice([text, text, text.capitalize(), text.upper() if random.random() < 0.1 else text])


def near_repeat(random: Random, run: list[Step], rounds: int) -> Rounds:
    ways, names = random.choice(WAYS), {"p": random.choice(PLACES), "x": random.choice(WHO)}
    names |= {"a": random.choice(GOODS), "b": random.choice(TRADES)}
    result = random.choice(["No matches.", "[]", line(random, 3), json.dumps({"hits": [line(random, 1)]})])
    tool, field = random.choice([("lookup", "text"), ("browse", "search_query"), ("consult_manual", "about")])
    how = random.randrange(7)
    loop: Rounds = []
    for _ in range(rounds):
        way = random.choice(ways) if random.random() < 0.7 else ways[0]
        text = typed(random, way.format(do=random.choice(DOING), much=random.choice(MUCH), **names))
        loop.append(
            [replace(rewritten(random, Step(tool, json.dumps({field: text}))), result=wrapped(random, result, how))]
        )
    return loop


FAILURES: list[Callable[[Random], str]] = [
    lambda random: f"401 Unauthorized: token {token(random, 6)} was revoked",
    lambda random: json.dumps({"success": False, "reason": f"quota of {random.choice(GOODS)} is used up"}),
    lambda random: f'psycopg.errors.UndefinedTable: relation "{random.choice(GOODS)}" does not exist',
    lambda random: f"Exit code: 1\nerror: unexpected argument '--{random.choice(TRADES)}'",
    lambda random: f"Exception: cannot open /data/{random.randint(1, 999)}.parquet: disk is read-only",
]  # fmt: skip


def error_storm(random: Random, run: list[Step], rounds: int) -> Rounds:
    error, tool, flagged = (
        random.choice(FAILURES),
        f"{random.choice(TRADES)}_{random.choice(['do', 'write', 'call'])}",
        random.random() < 0.5,
    )
    made = [
        {"n": random.randint(1, 10**6), "of": random.choice(GOODS), "in": random.choice(PLACES)} for _ in range(rounds)
    ]
    return [[rewritten(random, Step(tool, json.dumps(each), error(random), error=flagged))] for each in made]


def no_progress(random: Random, run: list[Step], rounds: int) -> Rounds:
    goods, place = random.choice(GOODS), random.choice(PLACES).title()
    answers = random.choice(
        [
            [f"I will now look into the {goods} shipment to {place} and report back."],
            [f"The {goods} office in {place} does not reply, so I have to wait for them.",
             f"The {goods} office in {place} doesn't reply, so I have to wait for them."],
            [f"Let me start over with the {goods} plan for {place}.",
             f"Let me start again with the {goods} plan for {place}."],
        ]
    )  # fmt: skip
    replies = random.choice(
        [["Proceed."], ["You did not use a tool. Use one, or finish."], ["Ok", "Yes, do that", "Please do"]]
    )
    return [[said(random.choice(answers)), asked(random.choice(replies))] for _ in range(rounds)]


def stall(random: Random, run: list[Step], rounds: int) -> Rounds:
    tools = random.choice([["find_offer"], ["find_offer", "scan_index"]])
    nothing = random.choice(
        ["No matches.", '{"hits": [], "total": 0}', "Nothing found for this query.", line(random, 2)]
    )
    return [
        [
            call(
                random.choice(tools),
                nothing,
                q=f"{random.choice(GOODS)} {random.choice(TRADES)} {random.choice(PLACES)}",
            )
        ]
        for _ in range(rounds * 3)
    ]


MAKERS: dict[str, Callable[[Random, list[Step], int], Rounds]] = {
    "repeat": repeat, "cycle": cycle, "near_repeat": near_repeat, "error_storm": error_storm,
    "no_progress": no_progress, "stall": stall,
}  # fmt: skip
