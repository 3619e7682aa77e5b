"""Interpret texts of results, arguments and messages by their words: failures, empty results, volatile parts.

Such a judgement only ever lowers the weight of a repetition, or ignores parts that cannot matter (the time of day, the
id of a request). Numbers that count, page or measure are never ignored: they are progress.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

__all__ = [
    "VOLATILE_FIELDS",
    "failure_signature",
    "field_name",
    "is_acknowledgement",
    "is_empty",
    "is_failure",
    "is_not_found",
    "is_nudge",
    "is_only_volatile",
    "is_transient",
    "is_uninformative",
    "reports_failures",
    "stable_text",
    "without_digits",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


VOLATILE_FIELDS: Final = _words(
    """
    requestid reqid xrequestid traceid spanid correlationid clientrequestid idempotencykey invocationid callid
    nonce timestamp timestampms ts now currenttime servertime requesttime responsetime requestedat respondedat
    generatedat fetchedat retrievedat servedat checkedat queriedat lastchecked lastcheckedat elapsed elapsedms
    elapsedseconds duration durationms durationseconds took tookms latency latencyms attempt attemptno
    attemptnumber retry retries retrycount retryid
    """
)
"""Volatile fields, which differ in every call: names in lower case, without `_` and `-`."""


def field_name(name: Any) -> str:
    """Return `name` in the form of `VOLATILE_FIELDS`."""
    return _plain(name) if type(name) is str else ""


@lru_cache(maxsize=1024)
def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower() if len(name) <= 32 else ""


def _spelled(name: str) -> str:
    return "[_-]?".join(name)


_VALUE: Final = r'(?:"[^"\n]{0,80}"|-?[\d.]+(?:e[+-]?\d+)?)'
_FIELD: Final = re.compile(
    rf'"(?:{"|".join(sorted(map(_spelled, VOLATILE_FIELDS), key=len, reverse=True))})"\s*:\s*{_VALUE}', re.IGNORECASE
)
_ID: Final = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|\b(?=[0-9a-f]*\d)(?=\d*[a-f])[0-9a-f]{12,64}\b|\b0x[0-9a-f]{4,16}\b"
    r"|\b(?:req|request|trace|call|resp|chatcmpl|msg|run|evt)[_-](?=\w*\d)\w{6,}\b",
    re.IGNORECASE,
)
_DAY: Final = r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}"
_MONTH: Final = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_DATE: Final = (
    r"\d{4}[-/]\d\d[-/]\d\d|\d{1,2}[/.]\d{1,2}[/.]\d{4}"
    rf"|(?:{_DAY},? )?\d{{1,2}}[ /-]{_MONTH}[ /-]\d{{4}}|(?:{_DAY} )?{_MONTH} {{1,2}}\d{{1,2}}(?:,? \d{{4}})?"
)
_TEXT: Final = re.compile(
    rf"\b{_DAY} {_MONTH} {{1,2}}\d{{1,2}} \d\d:\d\d:\d\d (?:[A-Z]{{3,4}} )?\d{{4}}\b"
    rf"|\b(?:(?:{_DATE})[T ,:]{{1,2}})?\d\d:\d\d:\d\d(?:[.,]\d+)?"  # the time, to the second
    r"(?: ?(?:Z\b|[+-]\d\d:?\d\d\b|UTC\b|GMT\b|[AP]M\b))*"
    r"|(?:--|—|[(\[])[ ]?\d+(?:\.\d+)?[ ]?(?:ms|µs|us|ns|s|sec|seconds?|milliseconds?)\b[)\]]?"
    r"|\b1[5-9]\d{8}(?:\d{3}|\.\d+)?\b"
    r"|\b(?:in|took|after|within|elapsed|duration|time|real|user|sys|latency)[ \t:=]+(?:\d+m)?\d+(?:\.\d+)?"
    r"[ ]?(?:ms|µs|us|ns|s|secs?|seconds?|milliseconds?|minutes?)\b"
    r"|\b(?:request|trace|correlation|attempt|retry|try|invocation|req)(?:[ _-]?(?:id|no|number|count))?[ ]?[:=#]?[ ]?"
    r"#?(?=[\w-]*\d)[\w-]+",
    re.IGNORECASE,
)
_NAMES: Final = re.compile(r'"([A-Za-z_-]{2,24})"\s*:')
_PERHAPS_ID: Final = re.compile(r"[a-fA-F]\d|\d[a-fA-F]|0x|_\w{0,16}\d")
_PERHAPS_TIMED: Final = re.compile(
    r"\d:\d\d|\d ?(?:ms|µs|us|ns|s\b|sec|milli|min)|1[5-9]\d{8}"
    r"|(?i:request|trace|correl|attempt|retry|\btry|invoc|\breq)"
)
"""Cheap patterns that are searched first: most texts do not match them."""
_DATA: Final = re.compile(r'\{\s*["}]|\[\s*[\[{"\]]')
"""The start of JSON."""
_ESSENCE: Final = 16_384


def stable_text(text: str) -> str:
    """Return `text` without its volatile parts, so that results with the same content are equal.

    Texts of more than 16,384 characters are returned unchanged.
    """
    if len(text) > _ESSENCE:
        return text
    if '"' in text and not VOLATILE_FIELDS.isdisjoint(map(field_name, set(_NAMES.findall(text)))):
        text = _FIELD.sub('"":0', text)
    if _PERHAPS_ID.search(text) is not None:
        text = _ID.sub("", text)
    data = _DATA.search(text)
    if data is None:
        text = _untimed(text)
    else:  # in JSON, field names identify volatile times; around it, patterns do
        start, end = data.start(), max(text.rfind("}"), text.rfind("]")) + 1
        text = _untimed(text[:start]) + text[start:end] + _untimed(text[end:])
    return " ".join(text.split())


def _untimed(text: str) -> str:
    return _TEXT.sub("", text) if text and _PERHAPS_TIMED.search(text) is not None else text


def is_only_volatile(stable: str) -> bool:
    """Return whether a result has only volatile parts: the call asks for the time."""
    if "[]" in stable or "{}" in stable:  # an empty result with a time
        return False
    return not any(map(str.isalnum, stable.replace('"":0', "")))


_FAILED: Final = re.compile(
    r"""[\["'\s]*(?:\d{4}-\d\d-\d\d[T\ ][\d:.,+]+Z?[\]\s]*)?["'{\[<(*`\s]*(?:
        (?-i:ERROR|FATAL|CRITICAL)\b |
        (?:fatal|internal|server|tool|runtime|type|value|key|http|api|validation|assertion|syntax|permission|\w{0,24})?
        [ _-]?(?:error|exception)\b(?:["']?\s*[:\-(\]]|\s+(?:executing|calling|occurred|while|in|at|\d))
        | (?-i:(?:\w+\.)*(?:errors?|exceptions?)\.[A-Z]\w*:\s)
        | traceback\b | failed\b | failure\b | fail: | unable\ to\b | cannot\b | could\ not\b | invalid\b | denied\b
        | (?:http\s*)?(?:status(?:\ code)?\s*[:=]?\s*)?[45]\d\d\b\s+[a-z] | command\ failed | permission\ denied
        | (?:ba)?sh:\s | timed?\ ?out\b | timeout\b | exit\ (?:code|status):?\s*[1-9]
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_ERROR_FIELD: Final = re.compile(
    r'"(?:error|errors|error_?message|exception)"\s*:(?!\s*(?:null|false|none|""|\[\s*\]|\{\s*\}|0\b))'
    r'|"(?:success|ok)"\s*:\s*false|"status"\s*:\s*"(?:error|failed|failure)"|"is_?error"\s*:\s*true',
    re.IGNORECASE,
)


def is_failure(text: str) -> bool:
    """Return whether a result reports a failure, by its first words."""
    head = text[:160]
    first = head[:1]
    if first == "{":
        return '"' in head and _ERROR_FIELD.search(head) is not None
    if first == "[" and head[1:2] in ("{", '"', "[", "]"):
        return False
    begins = head[:96].lower()
    perhaps = (  # parts of the words above; these tests take half a microsecond together
        ("error" in begins or "fail" in begins or "exception" in begins or "traceback" in begins)
        or ("fatal" in begins or "critical" in begins or "unable" in begins or "cannot" in begins)
        or ("could not" in begins or "invalid" in begins or "denied" in begins or "sh: " in begins)
        or ("time" in begins or "exit " in begins or "http" in begins or "status" in begins)
        or begins[:1] in ("4", "5")
    )
    return perhaps and _FAILED.match(head) is not None


_IN_PART: Final = re.compile(r"\b[1-9]\d* (?:failed|failures?|failing|errors?)\b", re.IGNORECASE)


def reports_failures(text: str) -> bool:
    """Return whether a result counts failures, as test runners and compilers do."""
    return _IN_PART.search(text[:400]) is not None or (len(text) > 400 and _IN_PART.search(text[-400:]) is not None)


_MISSING: Final = re.compile(
    r"not[ _]?found|no such|does ?n.t exist|does not exist|do not exist|unknown|no \w+ (?:named|called|with)",
    re.IGNORECASE,
)


def is_not_found(text: str) -> bool:
    """Return whether a failure is a missing thing: another one may exist."""
    return _MISSING.search(text[:300]) is not None


_TRANSIENT: Final = re.compile(
    r"\b(?:429|502|503|504|529)\b|rate.?limit|too many requests|temporar|unavailable|overloaded|time[d ]?.?out"
    r"|try again|connection (?:reset|refused|aborted|error)|\bbusy\b|\blocked\b|EAGAIN|ECONN|network",
    re.IGNORECASE,
)


def is_transient(text: str) -> bool:
    """Return whether a retry can succeed after this failure."""
    return _TRANSIENT.search(text[:300]) is not None


_NOTHING: Final = re.compile(
    r"""["'(\[{<\s]*(?:none|null|nil|nothing|empty|n/a|0
        | (?:sorry,?\ )?(?:there\ (?:is|are|were|was)\ )?(?:no|0|zero)\ [\w\ ,'"-]*
        | [\w\ '"-]*\bnot\ found\b.* | [\w\ '"-]*\b(?:found|returned|matched)\ (?:no|nothing|0|zero)\b.*
        | [\w\ '"-]*did\ not\ (?:match|return|find)\b.*
        | (?:[\w"']+\s*:\s*(?:\[\s*\]|\{\s*\}|null|0|""|false)\s*,?\s*)+ )["')\]}>.!\s]*$""",
    re.IGNORECASE | re.VERBOSE,
)


def is_empty(text: str) -> bool:
    """Return whether a result is empty, or says that there is none."""
    if len(text) > 120:
        return False
    bare = text.strip().lower()
    if bare in ("", "[]", "{}", '""', "''", "()", "0"):
        return True
    perhaps = ("no" in bare or "nil" in bare or "null" in bare or "is_empty" in bare or "zero" in bare) or (
        "n/a" in bare or "0 " in bare or "[]" in bare or "{}" in bare or ": 0" in bare or ":0" in bare
    )
    return perhaps and _NOTHING.match(bare) is not None


_ACKNOWLEDGED: Final = re.compile(
    r"\b(?:ok|okay|done|success\w*|saved|updated?|sent|created|deleted|removed|added|written|applied|recorded|noted"
    r"|moved|edited|modified|completed?|stored|logged|set|clicked|typed|inserted|scheduled|confirmed|accepted|true)\b",
    re.IGNORECASE,
)


def is_acknowledgement(text: str) -> bool:
    """Return whether a result only confirms that something was done."""
    return len(text) <= 200 and (_ACKNOWLEDGED.search(text) is not None or _DID.match(text) is not None)


_DID: Final = re.compile(
    r"\W*(?:successfully )?(?!failed|denied|refused|rejected|unauthori[sz]ed|expired|limited)[a-z]{3,14}ed\b",
    re.IGNORECASE,
)
"""The start of a sentence that confirms an action: "Scrolled down", "Successfully transferred to"."""


_SHORT: Final = 300
_URGES: Final = re.compile(
    r"\b(?:go on|go ahead|carry on|keep going|move on|continue|proceed|again|retry|next|sure|really|ok|okay|yes|no"
    r"|please do|tools?|functions?|json|format|schema|valid|finish(?:ed)?|done|steps?|actions?|tasks?|goal|answer"
    r"|respond|reply)\b",
    re.IGNORECASE,
)


_NO_DIGITS: Final = str.maketrans("", "", "0123456789")


def without_digits(text: str) -> str:
    """Return `text` without digits."""
    return text.translate(_NO_DIGITS)


def is_nudge(text: str) -> bool:
    """Return whether a message of the user (or of a program) only tells the model to continue."""
    if len(text) >= _SHORT:
        return False
    return _URGES.search(text) is not None or (text.count(" ") < 3 and text[-1:] != "?")


def is_uninformative(text: str) -> bool:
    """Return whether a result is empty or only a short confirmation."""
    return is_empty(text) or (len(text) <= 60 and is_acknowledgement(text))


_FRAME: Final = re.compile(r"Traceback \(most recent call last\):|^ *File \"[^\n]*\n?", re.MULTILINE)
_PARTICULAR: Final = re.compile(
    r"""'[^'\n]{0,200}'|"[^"\n]{0,200}"|`[^`\n]{0,200}`|\S*[\d/\\]\S*|\b\w*[a-z][A-Z]\w*\b(?!:)"""
)


def failure_signature(text: str) -> str:
    """Return the kind of a failure: its words without names, numbers and paths."""
    if "Traceback" in text[:400]:  # all tracebacks share these words
        text = _FRAME.sub("", text[:1_024])
    return " ".join(_PARTICULAR.sub("", stable_text(text[:400]).replace('":', " ")).split()).lower()[:160]
