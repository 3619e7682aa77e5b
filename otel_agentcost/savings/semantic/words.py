"""Words that change what is asked for, in English: numbers, negations, opposites, and groups of which one is meant.

All of them are in lower case, and those of opposites and groups without plural endings, as `veto` writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


def _words(text: str) -> list[str]:
    return text.split()


NUMBERS: Final[Mapping[str, str]] = {
    word: str(number)
    for number, word in enumerate(
        _words(
            "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
            "eighteen nineteen twenty"
        ),
        2,
    )
} | {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "ninety": "90", "hundred": "100", "thousand": "1000"}

NEGATIONS: Final = frozenset(
    _words("not no non never none nothing nobody neither nor cannot without except excluding exclude avoid stop refuse")
)
PREFIXES: Final = ("non", "un", "in", "im", "ir", "dis", "self", "ex", "de", "mis")
OPPOSITES: Final = tuple(
    frozenset(pair.split("/"))
    for pair in _words(
        "open/close open/closed opening/closing increase/decrease increased/decreased raise/lower raise/reduce "
        "add/remove add/delete enable/disable upgrade/downgrade include/exclude allow/ban allow/forbid "
        "allowed/banned allowed/forbidden allowed/prohibited permitted/prohibited benefit/drawback "
        "advantage/disadvantage pro/con safe/dangerou pass/fail join/leave enrol/withdraw enroll/withdraw "
        "start/stop start/end start/finish begin/end accept/reject accept/decline approve/reject approve/deny "
        "buy/sell lend/borrow send/receive import/export upload/download show/hide lock/unlock mute/unmute "
        "public/private include/omit most/least more/less more/fewer best/worst highest/lowest maximum/minimum "
        "max/min largest/smallest biggest/smallest longest/shortest cheapest/dearest fastest/slowest first/last "
        "earliest/latest early/late before/after within/after over/under above/below inside/outside "
        "indoor/outdoor hot/cold warm/cold old/new existing/new current/former past/future next/last "
        "next/previou next/same up/down on/off in/out left/right arrival/departure arrive/depart arrive/leave "
        "compulsory/optional mandatory/optional required/optional spicy/mild win/lose hire/fire save/spend "
        "deposit/withdraw deposit/withdrawal credit/debit alway/never with/without gain/lose love/hate "
        "like/dislike push/pull read/write input/output internal/external true/false fixed/variable "
        "simple/complex positive/negative"
    )
)
SCOPES: Final = (
    "adult|child children kid toddler|baby infant|senior pensioner|student",
    "full|part",
    "free|paid|pro|premium|enterprise|basic|standard|gold|silver",
    "personal|commercial|company corporate business",
    "home|car motor|travel|pet|life|content",
    "home|abroad|office",
    "online|store shop|paper",
    "delivery shipping|billing",
    "domestic national|international",
    "employer|employee",
    "landlord|tenant renter|homeowner|lodger",
    "member|guest visitor|resident|admin|owner",
    "buyer|seller",
    "customer|supplier",
    "daily|weekly|monthly|yearly annual annually|quarterly|hourly",
    "uk|us usa america american|eu europe|england english|scotland scottish|wales|ireland|canada|australia",
    "android|iphone ipad io",
    "window|mac maco|linux",
    "male men man father paternity|female women woman mother maternity",
    "boy|girl",
    "single sole individual|joint double shared",
    "undergraduate|postgraduate",
    "permanent|temporary casual",
    "regular|deep|extra",
    "all every|some|none",
    "cat|dog",
    "chicken|beef|fish|pork|lamb|vegetarian|vegan",
    "morning|afternoon|evening|night|noon|midnight",
    "monday|tuesday|wednesday|thursday|friday|saturday|sunday",
    "january|february|march|april|june|july|august|september|october|november|december",
    "yesterday|today|tomorrow|monday|tuesday|wednesday|thursday|friday|saturday|sunday",
    "weekday|weekend",
    "breakfast|lunch|dinner",
)
"""Groups of words, without plural endings, of which a question names one. Words between two bars mean the same."""

ALTERNATIVES: Final[Mapping[str, tuple[tuple[int, int], ...]]] = {
    word: tuple(
        (number, at)
        for number, group in enumerate(SCOPES)
        for at, words in enumerate(group.split("|"))
        if word in words.split()
    )
    for word in {word for group in SCOPES for word in group.replace("|", " ").split()}
}
"""The groups of a word, and where it stands in them."""

PLAIN: Final = frozenset(
    _words(
        "a an the of to in on at for from by with and or is are was were be been do does did can could will would "
        "shall should may might must i me my we us our you your it its this that these those there here what "
        "which who whom whose when where why how have has had get got if as so than then about into please tell "
        "er um okay ok hi hello hey up out s t re ve ll d m whats hows i'm i've i'd i'll am pm"
    )
)
"""Words that are not counted when the order of the others is compared."""
