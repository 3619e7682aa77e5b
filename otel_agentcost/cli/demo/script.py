"""The texts of the demo: the user's tasks and the scripted model's answers, for the tour and for the replay.

The tour is short, and its tokens are counted. The replay is a run of ten model calls whose usage was fixed beforehand:
38,800 input tokens and 3,200 output tokens, two searches and three pages read.
"""

from __future__ import annotations

from otel_agentcost.cli.demo.model import Reply, Script
from otel_agentcost.testing.answers import Tokens

QUESTION = "How do honeybees survive the winter, and why do some colonies die?"

_PAGE = "https://bees.example/"

_REPORT = """\
Honeybees stay awake all winter. When it gets cold the colony draws together into a ball, the winter cluster: the outer
bees insulate, the inner ones shiver with their flight muscles and keep the centre at about twenty degrees Celsius,
and at thirty-five once there is brood again (bees.example/winter-cluster).

The fuel is honey, fifteen to twenty kilograms of it. Most is used in early spring, when the brood must be kept warm, so
that is when colonies starve, sometimes with full combs just out of reach (bees.example/honey-stores).

The most frequent cause of death lies months back. Mites of the species Varroa destructor, and the viruses they carry,
damage the long-lived winter bees while these are raised in August and September. The cluster then shrinks until it can
no longer hold its heat; treating in winter comes too late (bees.example/varroa)."""


def _search(query: str, text: str = "") -> Reply:
    return Reply(text=text, tools=(("web_search", {"query": query}),))


def _read(*pages: str, text: str = "") -> Reply:
    return Reply(text=text, tools=tuple(("read_page", {"url": _PAGE + page}) for page in pages))


TOUR_ASSIGNMENTS = (QUESTION,)

TOUR = Script(
    replies=(
        _search("honeybee colony winter cluster", text="I will look for how a colony winters first."),
        _read("winter-cluster", "honey-stores", "winter-bees"),
        _search("why colonies die in winter: mites, hunger, damp", text="So they keep warm. Now why it fails."),
        _read("varroa"),
        _read("insulation", text="One more page, on damp: it may matter as much as the cold."),
        Reply(text=_REPORT),
    )
)

REPLAY_ASSIGNMENTS = (
    f"{QUESTION} Do not answer yet: first plan in a few lines what you need to find out.",
    "Now research it, step by step.",
    "Outline the report.",
    "Write the report.",
    "Check every statement against the pages that you read, and write the final version.",
)

_PLAN = """\
1. How does a colony keep warm without hibernating? 2. What does it live on, and how much of it? 3. What kills
colonies in winter, and when is the cause laid? I expect to need two searches and about three pages."""

_FINDINGS = """\
Warmth: a cluster of bees that shiver, insulated by its own mantle. Food: fifteen to twenty kilograms of honey, most of
it used in early spring. Death: mainly mites and their viruses, which damage the winter bees in late summer; then
hunger, often near full combs. That covers the plan."""

_OUTLINE = """\
First the cluster and its heat; then honey as fuel, and when it runs out; last the mites, and why winter is too late."""

REPLAY = Script(
    replies=(
        Reply(text=_PLAN),
        _search("honeybee colony winter cluster"),
        _read("winter-cluster"),
        _read("honey-stores"),
        _search("why honeybee colonies die in winter"),
        _read("varroa"),
        Reply(text=_FINDINGS),
        Reply(text=_OUTLINE),
        Reply(text=_REPORT),
        Reply(text=_REPORT),
    ),
    # As an agent's usage grows: each prompt holds all that was said before, and what the tool returned.
    usage=(
        Tokens(prompt=550, output=240),
        Tokens(prompt=850, output=45),
        Tokens(prompt=1500, output=40),
        Tokens(prompt=2650, output=45),
        Tokens(prompt=3350, output=40),
        Tokens(prompt=4450, output=40),
        Tokens(prompt=5500, output=450),
        Tokens(prompt=6000, output=400),
        Tokens(prompt=6450, output=950),
        Tokens(prompt=7500, output=950),
    ),
)
