"""The web of the demo: eight short pages on how honeybees survive the winter, and a search over them.

Pure functions over constants: no network, no clock. The agent's tools call these two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the demo's web."""

    url: str
    title: str
    text: str


PAGES = (
    Page(
        "https://bees.example/winter-cluster",
        "The winter cluster",
        """\
Honeybees do not hibernate. When the air around the combs falls below roughly ten degrees Celsius, the colony
draws together into a ball, the winter cluster. Bees on the outside press their heads inwards and form an
insulating mantle, several layers deep; bees on the inside have room to move, to eat, and to make heat.

Heat comes from the flight muscles. A bee can uncouple her wings and let the muscles work against each other, so
that she warms up without moving: she shivers. A cluster holds its centre at about twenty degrees while there is
no brood, and at thirty-four to thirty-five degrees once the queen begins to lay again, usually some weeks after
the solstice. The mantle is kept only just warm enough for its bees not to fall into a chill coma.

The size of the ball changes with the weather. On a cold night it contracts and loses less heat; on a mild day
it loosens, and bees use the hours to move the cluster along the comb towards fresh honey. Places are exchanged:
no bee stays at the rim all winter. A colony that goes into winter with too few bees cannot form a mantle that
is thick enough, burns its stores faster for each bee, and often dies with honey left a hand's breadth away.
""",
    ),
    Page(
        "https://bees.example/honey-stores",
        "How much honey a colony needs",
        """\
Everything that a wintering colony does is paid for in honey. A colony in a temperate climate uses between
fifteen and twenty kilograms from the end of autumn to the first flowers of spring; in regions with long frost
it can be thirty and more. Consumption is not even. In the broodless weeks of early winter a kilogram may last a
fortnight. From late winter on, with brood to keep warm and to feed, the same colony can use that much in a few
days, and most colonies that starve do so in early spring, not in the depth of winter.

Where the honey is matters as much as how much of it there is. The cluster moves upwards more readily than
sideways, so beekeepers see to it that stores lie above and beside the bees before the cold comes. Moving a
frame of honey in frost breaks the cluster and costs more than it helps.

A beekeeper who harvests in summer must give back what was taken: sugar syrup in late summer, while bees can
still dry and cap it, or solid sugar above the cluster in an emergency. Weighing the hive from behind with a
hand scale in October tells more than opening it.
""",
    ),
    Page(
        "https://bees.example/winter-bees",
        "Long-lived winter bees",
        """\
A worker that hatches in June lives for about six weeks. A worker that hatches in September can live for six
months. The two have the same genes; what differs is how they are raised and what they do. Winter bees are
reared when the colony has little brood and plenty of pollen. They eat well, nurse little, and store protein and
fat in the fat body of the abdomen. One protein above all, vitellogenin, serves as a larder, protects against
the wear of ageing, and keeps the bee from turning into a short-lived forager.

The number of healthy winter bees in October decides the number of bees in March. Anything that harms the bees
which nurse the brood of late summer harms the winter bees too: hunger in a dry August, a want of varied pollen,
and above all mites.
""",
    ),
    Page(
        "https://bees.example/varroa",
        "Varroa and winter losses",
        """\
Surveys of beekeepers in Europe and North America agree on the first cause of dead colonies in winter: the mite
Varroa destructor and the viruses that it carries. The mite breeds under the cappings of the brood and feeds on
the fat body of the bee, the very organ in which a winter bee keeps her reserves. Deformed wing virus shortens
the life of such bees to a few weeks, and the cluster shrinks through November and December until it can no
longer hold its heat.

Treatment in winter is too late for the bees that are already damaged. What counts is a low number of mites
while the winter bees are raised, in August and September: beekeepers monitor the natural mite fall, remove
drone brood in spring, and treat with organic acids right after the harvest, then once more in the broodless
time when no mite can hide.
""",
    ),
    Page(
        "https://bees.example/insulation",
        "Insulation, damp and air",
        """\
Bees heat the cluster, not the hive. Measurements in ordinary wooden boxes show that the air a hand's breadth
from the cluster is hardly warmer than outside. Still, the box matters. In hollow trees, with walls ten
centimetres thick and more, colonies spend markedly less energy than in boards of two centimetres, and insulated
hives come through winter on less honey.

Damp is the greater danger. A colony that eats twenty kilograms of honey breathes out more than ten litres of
water. If the moist air meets a cold lid, water drips back upon the bees, and a wet bee cools quickly. So the
lid should be the warmest surface in the hive: insulation belongs on top first. A small entrance low down keeps
mice and wind out and still lets stale air go.
""",
    ),
    Page(
        "https://bees.example/queen-in-winter",
        "What the queen does in winter",
        """\
With shorter days and the end of the pollen the queen lays less, and in most temperate places she stops for some
weeks around the solstice. A colony without brood can let its temperature sink, and spares honey. She sits in
the middle of the cluster, is fed by her workers, and begins to lay again in a patch no larger than a coin, long
before anything flowers.
""",
    ),
    Page(
        "https://bees.example/cleansing-flights",
        "Cleansing flights",
        """\
Bees do not soil their hive. They hold their waste through weeks of frost, and on the first sunny day above
eight to ten degrees they leave by the thousand for a cleansing flight; yellow spots on the snow are the sign. A
winter without such days, or stores of poor honey with much that cannot be digested, leads to dysentery in the
hive.
""",
    ),
    Page(
        "https://bees.example/bumblebees",
        "Bumblebees and solitary bees",
        """\
Only the honeybee winters as a colony. Of the bumblebees, the young mated queens alone survive, each for herself
in the ground; of most solitary bees, the next generation rests as larva or as a finished bee in its cell until
spring.
""",
    ),
)

_WORD = re.compile(r"[a-z]{3,}")


def search(query: str, *, limit: int = 3) -> list[Page]:
    """The pages that share most words with `query`, best first; a word in the title counts threefold."""
    wanted = set(_WORD.findall(query.lower()))

    def score(page: Page) -> int:
        title, text = _WORD.findall(page.title.lower()), _WORD.findall(page.text.lower())
        return sum(3 * (word in title) + (word in text) for word in wanted)

    found = [page for page in sorted(PAGES, key=score, reverse=True) if score(page)]
    return found[:limit]


def read(url: str) -> Page | None:
    """The page at `url`; None where the demo's web has none."""
    return next((page for page in PAGES if page.url == url), None)
