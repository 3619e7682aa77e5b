"""Runs without a loop in them, made up from seeds: a coding agent, a search agent, retail, operations, a browser.

Each is full of what looks like a loop to a careless detector: pages, polls, retries, the same lookup for many, files
read again after a change, tests run after each edit.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from tests.core.loops.runs import Step, asked, call, said

NOUNS = [
    "invoice",
    "parser",
    "cache",
    "scheduler",
    "token",
    "session",
    "router",
    "gateway",
    "ledger",
    "widget",
    "report",
    "queue",
    "worker",
    "index",
    "mapper",
    "policy",
    "editor",
    "planner",
    "bridge",
    "filter",
    "panel",
    "sensor",
    "engine",
    "monitor",
    "cluster",
    "bucket",
    "replica",
    "schema",
    "tenant",
    "badge",
]
VERBS = [
    "fix",
    "extend",
    "rewrite",
    "document",
    "measure",
    "simplify",
    "rename",
    "cover",
    "split",
    "profile",
    "port",
    "trace",
]
NAMES = [
    "alice",
    "bob",
    "carla",
    "deniz",
    "emeka",
    "farid",
    "grace",
    "hiro",
    "ines",
    "jonas",
    "kemal",
    "lena",
    "mina",
    "noor",
    "oskar",
    "petra",
]


def words(random: Random, count: int) -> str:
    return " ".join(random.choice(NOUNS + VERBS) for _ in range(count))


def prose(random: Random, sentences: int = 3) -> str:
    lines = [
        f"The {random.choice(NOUNS)} {random.choice(NOUNS)} {random.choice(['needs', 'uses', 'returns', 'keeps'])} "
        f"{random.randint(2, 900)} {random.choice(NOUNS)}s for the {random.choice(NOUNS)}."
        for _ in range(sentences)
    ]
    return " ".join(lines)


def clock(random: Random) -> str:
    hour, minute, second = random.randint(0, 23), random.randint(0, 59), random.randint(0, 59)
    return f"2025-03-{random.randint(1, 28):02}T{hour:02}:{minute:02}:{second:02}Z"


def request(random: Random) -> str:
    return f"req_{random.getrandbits(48):012x}"


# --- what happens in many domains, and is no loop ---


def polling(random: Random) -> list[Step]:
    """A job is polled until it is done; some jobs say how far they are, some only that they run."""
    job, tool = f"job-{random.randint(100, 999)}", random.choice(["get_job", "check_status", "poll_build"])
    count = random.randint(3, 9)
    kind = random.randrange(4)
    texts = []
    for n in range(count):
        share = 100 * n // count + random.randint(0, 3)
        texts.append(
            [
                json.dumps({"job": job, "status": "running", "progress": share}),
                f"{share} % done",
                json.dumps({"job": job, "status": "running", "checked_at": clock(random)}),
                f"Job {job} is still running.",
            ][kind]
        )
    done = [call(tool, f"Job {job} finished: {prose(random, 1)}", id=job)]
    steps = [call(tool, text, id=job) for text in texts]
    if random.random() < 0.4:
        wait = call("sleep", "", seconds=random.choice([5, 10]))
        steps = [each for step in steps for each in (step, wait)]
    return [*steps, *done]


def paging(random: Random) -> list[Step]:
    """A list is read page by page."""
    tool, query = random.choice(["list_orders", "search_issues", "list_objects"]), words(random, 2)
    by = random.choice(["page", "cursor", "offset"])
    steps = []
    for page in range(random.randint(3, 8)):
        where: Any = {"page": page, "cursor": f"c{random.getrandbits(32):x}", "offset": page * 20}[by]
        rows = [{"id": random.randint(10_000, 99_999), "title": words(random, 3)} for _ in range(4)]
        found = json.dumps({"rows": rows, "next": page + 1})
        steps.append(Step(tool, json.dumps({"query": query, by: where}), found))
    return steps


def retrying(random: Random) -> list[Step]:
    """A call fails, fails again, and succeeds."""
    tool, what = random.choice(["http_get", "send_invoice", "query_db"]), words(random, 2)
    why = random.choice(
        ["Error: 503 Service Unavailable", "TimeoutError: timed out after 30 s", "Error: rate limit, try again later"]
    )
    fails = [call(tool, why, target=what) for _ in range(random.randint(1, 2))]
    return [*fails, call(tool, prose(random), target=what)]


def many_users(random: Random) -> list[Step]:
    """The same lookup for different users; for some of them there is nothing."""
    tool = random.choice(["get_orders", "find_tickets", "get_user"])
    nothing = random.choice(["[]", "No open tickets.", '{"orders": []}'])
    empty = random.random()
    field = random.choice(["user_id", "name", "email"])
    steps = []
    for name in random.sample(NAMES, random.randint(3, 7)):
        value: Any = {"user_id": f"{name}_{random.randint(100, 999)}", "name": name, "email": f"{name}@example.com"}[
            field
        ]
        result = nothing if random.random() < empty else json.dumps({"name": name, "orders": [random.randint(1, 9999)]})
        steps.append(Step(tool, json.dumps({field: value}), result))
    return steps


def rereading(random: Random) -> list[Step]:
    """A thing is read, changed, and read again."""
    thing, steps = f"{random.choice(NOUNS)}-{random.randint(1, 99)}", []
    state = random.randint(1, 50)
    for _ in range(random.randint(2, 4)):
        steps.append(call("get_record", json.dumps({"id": thing, "version": state, "kind": "standard"}), id=thing))
        state += random.randint(1, 5)
        steps.append(call("update_record", "ok", id=thing, version=state))
    return [*steps, call("get_record", json.dumps({"id": thing, "version": state, "kind": "standard"}), id=thing)]


def looking_twice(random: Random) -> list[Step]:
    """One thing is looked at again, once, among others."""
    step = call("get_details", prose(random), id=f"{random.choice(NOUNS)}-{random.randint(1, 99)}")
    others = [call("get_details", prose(random), id=f"x-{n}-{random.randint(1, 99)}") for n in range(3)]
    return [step, *others[:2], step, *others[2:]]


def at_once(random: Random) -> list[Step]:
    """Several calls in one turn, some of them the same."""
    steps = [call("lookup", prose(random, 1), key=random.choice(NOUNS)) for _ in range(random.randint(2, 4))]
    return [Step(steps[0].tool, steps[0].text, steps[0].result, more=(*steps[1:], *steps, steps[0]))]


def clocks(random: Random) -> list[Step]:
    """The time of day, now and then."""
    return [call("get_current_time", clock(random)), *paging(random)[:2], call("get_current_time", clock(random))]


Maker = Callable[[Random], list[Step]]

COMMON: list[Maker] = [
    polling, paging, retrying, many_users, rereading, looking_twice, at_once, clocks,
]  # fmt: skip


# --- domains ---


def coding(random: Random) -> list[Step]:
    """A coding agent: shell commands, files, edits, tests that fail until they pass."""
    files = [f"src/{random.choice(NOUNS)}_{random.choice(NOUNS)}.py" for _ in range(6)]
    steps = [asked(f"Please {random.choice(VERBS)} the {random.choice(NOUNS)} in this project.")]
    listing = "\n".join(files)
    steps.append(call("bash", listing, command="ls src"))
    for _ in range(random.randint(3, 6)):
        file = random.choice(files)
        steps += [call("bash", out, command=command) for command, out in _commands(random, file)]
        steps.append(call("read_file", prose(random, 6), path=file, offset=random.randint(0, 400)))
        for n in range(random.randint(1, 3)):
            old, new = prose(random, 1), prose(random, 1)
            steps.append(call("edit_file", f"The file {file} has been edited.", path=file, old=old, new=new))
            left = random.randint(1, 4)
            failing = f"FAILED tests/test_all.py::test_{random.choice(NOUNS)}\n{left} failed, 12 passed in 0.{n}3s"
            steps.append(call("bash", failing, command="python -m pytest -q"))
        steps.append(call("bash", f"13 passed in 0.{random.randint(10, 99)}s", command="python -m pytest -q"))
        if random.random() < 0.5:
            steps.append(call("todo_write", "Todos have been modified successfully.", todos=[words(random, 4)]))
    return steps


def _commands(random: Random, file: str) -> list[tuple[str, str]]:
    known = [
        (f"grep -rn {random.choice(NOUNS)} src", "" if random.random() < 0.5 else prose(random, 2)),
        (f"mkdir -p build/{random.choice(NOUNS)}", ""),
        (f"cp {file} build/", ""),
        ("git status --short", f" M {file}"),
        (f"sed -n 1,80p {file}", prose(random, 4)),
        (f"git add {file}", ""),
        (f"wc -l {file}", f"{random.randint(20, 900)} {file}"),
        (f"cat {file}.bak", f"cat: {file}.bak: No such file or directory"),
    ]
    return random.sample(known, random.randint(2, 5))


def searching(random: Random) -> list[Step]:
    """A research agent: searches, some in vain, pages that are read, notes."""
    topic = words(random, 2)
    steps = [asked(f"What is known about {topic}?")]
    for _ in range(random.randint(4, 8)):
        query = f"{topic} {words(random, random.randint(1, 4))}"
        hits = [{"title": words(random, 4), "url": f"https://example.org/{random.getrandbits(24):x}"} for _ in range(3)]
        found = "No results found." if random.random() < 0.2 else json.dumps(hits)
        steps.append(call("web_search", found, query=query))
        read = random.sample(hits, random.randint(0, 2))
        steps += [call("open_page", prose(random, 8), url=hit["url"]) for hit in read]
        if random.random() < 0.4:
            steps.append(call("think", "", thought=prose(random, 2)))
        if random.random() < 0.3:
            steps.append(call("note", "saved", text=prose(random, 1)))
    return [*steps, said(prose(random, 4))]


def retail(random: Random) -> list[Step]:
    """A shop's assistant, in talk with a customer."""
    steps = [asked(f"Hello, it is about my order {random.randint(1000, 9999)}.")]
    user, orders = (
        f"{random.choice(NAMES)}_{random.randint(100, 999)}",
        [f"W{random.randint(10**6, 10**7)}" for _ in range(4)],
    )
    steps.append(call("find_user_id", user, email=f"{user}@example.com"))
    for order in orders[: random.randint(2, 4)]:
        rows = [{"item": random.randint(10**9, 10**10), "name": random.choice(NOUNS)} for _ in range(2)]
        state = random.choice(["pending", "delivered", "processed"])
        whole = json.dumps({"order_id": order, "user_id": user, "status": state, "items": rows, "note": prose(random)})
        steps += [call("get_order_details", whole, order_id=order), said(prose(random, 2)), asked(prose(random, 1))]
        if random.random() < 0.5:
            steps += [call("get_order_details", whole, order_id=order), said(prose(random, 2)), asked(prose(random, 1))]
        if random.random() < 0.5:
            after = whole.replace(state, "cancelled")
            steps += [call("cancel_order", after, order_id=order), said("Is there anything else I can do for you?")]
            steps += [asked(f"Yes: {prose(random, 1)}")]
    return [*steps, said("You are welcome. Have a nice day!")]


def operating(random: Random) -> list[Step]:
    """An operator's agent: metrics that move, logs, restarts."""
    hosts = [f"{random.choice(NOUNS)}-{n}" for n in range(4)]
    steps = [asked(f"Latency of {hosts[0]} is high. Find out why.")]
    for _ in range(random.randint(3, 6)):
        host = random.choice(hosts)
        gauge = {"host": host, "cpu": round(random.uniform(1, 99), 2), "timestamp": clock(random)}
        steps.append(call("get_metrics", json.dumps(gauge), host=host))
        logs = "\n".join(f"{clock(random)} {random.choice(['INFO', 'WARN'])} {prose(random, 1)}" for _ in range(5))
        steps.append(call("tail_logs", logs, host=host, lines=5))
        if random.random() < 0.4:
            steps += [call("restart_service", "restarted", host=host), call("health", '{"healthy": true}', host=host)]
    return [*steps, said(prose(random, 3))]


def browsing(random: Random) -> list[Step]:
    """A browser's agent: it clicks, types and scrolls, and is shown the page."""
    steps = [asked(f"Order a {random.choice(NOUNS)} for me.")]
    for _ in range(random.randint(8, 16)):
        page = f"<page>{prose(random, 4)}</page>"
        steps.append(
            random.choice(
                [
                    call("click", "ok", element=random.randint(1, 80)),
                    call("scroll", page, direction="down", amount=3),
                    call("type", "ok", element=random.randint(1, 80), text=words(random, 2)),
                    call("screenshot", page),
                    call("navigate", page, url=f"https://shop.example/{random.choice(NOUNS)}"),
                ]
            )
        )
    return steps


DOMAINS = {"coding": coding, "search": searching, "retail": retail, "operations": operating, "browser": browsing}


def clean(domain: str, seed: int) -> list[Step]:
    """A run of the domain, with one to three things in it that only look like loops."""
    random = Random(f"{domain} {seed}")
    run = DOMAINS[domain](random)
    for _ in range(random.randint(1, 3)):
        at = random.randint(1, len(run))
        run[at:at] = random.choice(COMMON)(random)
    return run
